"""Of each case: the rule that refuses a name, or the records that it has none of."""

import pytest

from dnsserver.derive.interfaces import InterfaceRule
from dnsserver.derive.vmi import Rule
from dnsserver.explain.values import Check, rule_id
from tests.explain.support import NAMES, case_queries, case_store, explained

# case, name, type, the first rule that refuses
REFUSED = [
    ("01-user-guide", "myvmi.mysubdomain.default.svc.cluster.local.", "AAAA", "type"),
    ("01-user-guide", "vmi-fedora.mysubdomain.default.svc.cluster.local.", "A", "host-name"),
    ("01-user-guide", "x.myvmi.mysubdomain.default.svc.cluster.local.", "A", "name"),
    ("01-user-guide", "myvmi.default.svc.cluster.local.", "A", "service"),
    ("01-user-guide", "www.example.com.mysubdomain.default.svc.cluster.local.", "A", "name"),
    ("01-user-guide", "default.svc.cluster.local.", "A", "type"),
    ("03-dotted-name", "web01.corp.example.com.lab.default.svc.cluster.local.", "A", "name"),
    ("03-dotted-name", "web02.lab.default.svc.cluster.local.", "A", "host-name"),
    ("05-shared-subdomain", "etcd-3.cluster.default.svc.cluster.local.", "A", "vmi"),
    ("07-selector-mismatch", "a.mysubdomain.default.svc.cluster.local.", "A", "selector"),
    ("07-selector-mismatch", "mysubdomain.default.svc.cluster.local.", "A", "endpoints"),
    ("08-no-service", "lonely.nosuchsvc.default.svc.cluster.local.", "A", "service"),
    ("08-no-service", "lonely.other.default.svc.cluster.local.", "A", "subdomain"),
    ("09-non-headless-service", "web.front.default.svc.cluster.local.", "A", "headless"),
    ("10-not-ready", "slow.lab.default.svc.cluster.local.", "A", "ready"),
    ("11-publish-not-ready", "boot2.boot.default.svc.cluster.local.", "A", "phase"),
    ("14-ipv6-only", "six1.six.default.svc.cluster.local.", "A", "type"),
    ("15-multus-secondary", "multi.apps.default.svc.cluster.local.", "AAAA", "type"),
    ("17-bridge-binding", "br1.br.default.svc.cluster.local.", "AAAA", "type"),
    ("23-deleting", "del1.del.default.svc.cluster.local.", "A", "deleting"),
    ("23-deleting", "del2.del.default.svc.cluster.local.", "A", "deleting"),
    ("25-paused", "paused.lab.default.svc.cluster.local.", "A", "ready"),
    ("27-starting", "p.early.default.svc.cluster.local.", "A", "phase"),
    ("27-starting", "s.early.default.svc.cluster.local.", "A", "phase"),
    ("27-starting", "d.early.default.svc.cluster.local.", "A", "phase"),
    ("29-no-selector", "m.manual.default.svc.cluster.local.", "A", "selector"),
    ("29-no-selector", "e.empty.default.svc.cluster.local.", "A", "selector"),
    ("30-headless-without-ports", "_ssh._tcp.noport.default.svc.cluster.local.", "SRV", "port"),
    ("31-namespaces", "vm1.lab.team-b.svc.cluster.local.", "A", "selector"),
    ("31-namespaces", "vm2.lab.team-c.svc.cluster.local.", "A", "service"),
    ("31-namespaces", "vm1.lab.team-z.svc.cluster.local.", "A", "namespace"),
    ("34-vm-pool-console-headless", "from-template.headless.prod.svc.cluster.local.", "A", "subdomain"),
    ("35-decentralized-migration-target", "dec.dc.dst.svc.cluster.local.", "A", "phase"),
    ("50-label-vm-name", "front.byname.default.svc.cluster.local.", "A", "selector"),
    ("50-label-vm-name", "app.byname.default.svc.cluster.local.", "A", "host-name"),
    ("50-label-vm-name", "byname.default.svc.cluster.local.", "A", "endpoints"),
    ("50-label-vm-name", "51.1.244.10.in-addr.arpa.", "PTR", "owner"),
    ("51-label-vmi-id", "cut.default.svc.cluster.local.", "A", "endpoints"),
    ("52-forced-labels", "mine.default.svc.cluster.local.", "A", "endpoints"),
    ("52-forced-labels", "vm-b.created.default.svc.cluster.local.", "A", "selector"),
    ("52-forced-labels", "vm-a.created.default.svc.cluster.local.", "A", "subdomain"),
    ("53-hand-over", "mig.lm.default.svc.cluster.local.", "AAAA", "type"),
    ("53-hand-over", "59.1.244.10.in-addr.arpa.", "PTR", "owner"),
    ("54-hand-over-without-slices", "mig3.lm.default.svc.cluster.local.", "A", "deleting"),
    ("54-hand-over-without-slices", "mig4.lm.default.svc.cluster.local.", "A", "ready"),
    ("54-hand-over-without-slices", "mig5.lm.default.svc.cluster.local.", "A", "ready"),
    ("55-hand-over-source-gone", "64.1.244.10.in-addr.arpa.", "PTR", "owner"),
    ("56-migration-publish-not-ready", "65.3.244.10.in-addr.arpa.", "PTR", "owner"),
    ("57-migration-endings", "postcopy.lm.default.svc.cluster.local.", "A", "phase"),
    ("57-migration-endings", "67.1.244.10.in-addr.arpa.", "PTR", "owner"),
    ("58-guest-internal", "gi1.gi.default.svc.cluster.local.", "AAAA", "type"),
    ("58-guest-internal", "gi2.bare.default.svc.cluster.local.", "A", "address"),
    ("58-guest-internal", "gi4.gi.default.svc.cluster.local.", "AAAA", "type"),
    ("58-guest-internal", "2.2.0.10.in-addr.arpa.", "PTR", "owner"),
    ("59-agent-reports-nothing", "em2.em.default.svc.cluster.local.", "AAAA", "type"),
    ("59-agent-reports-nothing", "em4.em.default.svc.cluster.local.", "A", "address"),
    ("60-dual-stack-service-single-stack-vmi", "four.ds.default.svc.cluster.local.", "AAAA", "type"),
    ("60-dual-stack-service-single-stack-vmi", "six.ds.default.svc.cluster.local.", "A", "type"),
    ("60-dual-stack-service-single-stack-vmi", "six.ds.default.svc.cluster.local.", "TXT", "type"),
    ("60-dual-stack-service-single-stack-vmi", "six.ds.default.svc.cluster.local.", "MX", "type"),
    ("61-dual-stack-vmi-single-stack-service", "v4only.four.default.svc.cluster.local.", "AAAA", "type"),
    ("61-dual-stack-vmi-single-stack-service", "v6only.six.default.svc.cluster.local.", "A", "type"),
    (
        "61-dual-stack-vmi-single-stack-service",
        "0.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.4.4.2.0.0.1.0.0.0.0.d.f.ip6.arpa.",
        "PTR",
        "owner",
    ),
    ("62-shared-host-label", "web7x2kp.farm.default.svc.cluster.local.", "A", "host-name"),
    ("62-shared-host-label", "83.3.244.10.in-addr.arpa.", "PTR", "owner"),
    ("63-external-name", "vm1.ext.default.svc.cluster.local.", "A", "headless"),
    ("63-external-name", "vm1.ext.default.svc.cluster.local.", "AAAA", "headless"),
    ("63-external-name", "85.1.244.10.in-addr.arpa.", "PTR", "owner"),
    ("64-ended-vmis", "done.job.default.svc.cluster.local.", "A", "phase"),
    ("64-ended-vmis", "crash.job.default.svc.cluster.local.", "A", "phase"),
    ("64-ended-vmis", "late.jobp.default.svc.cluster.local.", "A", "phase"),
    ("64-ended-vmis", "88.1.244.10.in-addr.arpa.", "PTR", "owner"),
    ("65-no-primary-network", "nonic.nn.default.svc.cluster.local.", "A", "primary-network"),
    ("65-no-primary-network", "onlylan.nn.default.svc.cluster.local.", "A", "primary-network"),
    ("65-no-primary-network", "nn.default.svc.cluster.local.", "A", "endpoints"),
    ("65-no-primary-network", "89.1.244.10.in-addr.arpa.", "PTR", "owner"),
    ("65-no-primary-network", "15.9.168.192.in-addr.arpa.", "PTR", "owner"),
    ("66-multus-default-network", "md.mdn.default.svc.cluster.local.", "AAAA", "type"),
    ("67-static-ipv6-in-the-guest", "v4pod.st.default.svc.cluster.local.", "AAAA", "type"),
    (
        "67-static-ipv6-in-the-guest",
        "0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.7.7.0.0.8.b.d.0.1.0.0.2.ip6.arpa.",
        "PTR",
        "owner",
    ),
    ("68-pods-and-vmis", "vm2.mix.default.svc.cluster.local.", "A", "ready"),
    ("68-pods-and-vmis", "db-1.mix.default.svc.cluster.local.", "A", "endpoint"),
    ("68-pods-and-vmis", "10-244-1-94.mix.default.svc.cluster.local.", "A", "host-name"),
    ("68-pods-and-vmis", "95.1.244.10.in-addr.arpa.", "PTR", "owner"),
    (
        "69-long-names",
        "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd-.len.default.svc.cluster.local.",
        "A",
        "host-label",
    ),
    (
        "69-long-names",
        "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd.len.default.svc.cluster.local.",
        "A",
        "vmi",
    ),
    ("69-long-names", "short.len.default.svc.cluster.local.", "A", "host-name"),
    ("70-ephemeral-provisioning", "wffc.prov.default.svc.cluster.local.", "A", "phase"),
    ("70-ephemeral-provisioning", "100.1.244.10.in-addr.arpa.", "PTR", "owner"),
    ("71-primary-user-defined-network", "102.1.244.10.in-addr.arpa.", "PTR", "owner"),
    ("72-named-target-ports", "_._tcp.un.default.svc.cluster.local.", "SRV", "port"),
    ("72-named-target-ports", "_tcp.un.default.svc.cluster.local.", "SRV", "port"),
    ("73-v1alpha3-sparse", "old.old.default.svc.cluster.local.", "AAAA", "type"),
    ("73-v1alpha3-sparse", "oldbr.old.default.svc.cluster.local.", "AAAA", "type"),
    ("74-restarted", "vm2.rs.default.svc.cluster.local.", "A", "phase"),
    ("74-restarted", "109.1.244.10.in-addr.arpa.", "PTR", "owner"),
    ("75-spelling", "VM1.SP.DEFAULT.SVC.CLUSTER.LOCAL.", "TXT", "type"),
    ("75-spelling", "vm1.sp.default.svc.cluster.local.", "CNAME", "type"),
    ("75-spelling", "vm1.sp.default.svc.cluster.local.", "HTTPS", "type"),
    ("75-spelling", "vm1.sp.default.svc.cluster.local.", "NS", "type"),
    ("75-spelling", "_ssh._tcp.vm1.sp.default.svc.cluster.local.", "SRV", "name"),
    ("75-spelling", "*.sp.default.svc.cluster.local.", "A", "vmi"),
    ("75-spelling", "_tcp.sp.default.svc.cluster.local.", "A", "type"),
    ("75-spelling", "svc.cluster.local.", "A", "type"),
    ("75-spelling", "default.svc.cluster.local.", "AAAA", "type"),
    ("75-spelling", "sp.default.pod.cluster.local.", "A", "pods"),
    ("76-two-services", "vm1.blue.default.svc.cluster.local.", "A", "subdomain"),
    ("76-two-services", "vm2.red.default.svc.cluster.local.", "A", "subdomain"),
    ("76-two-services", "vm1.red.other.svc.cluster.local.", "A", "vmi"),
    ("76-two-services", "red.other.svc.cluster.local.", "A", "endpoints"),
    ("76-two-services", "empty.svc.cluster.local.", "A", "type"),
    ("76-two-services", "missing.svc.cluster.local.", "A", "namespace"),
    ("77-phases", "p0.ph.default.svc.cluster.local.", "A", "phase"),
    ("77-phases", "p1.ph.default.svc.cluster.local.", "A", "phase"),
    ("77-phases", "p2.ph.default.svc.cluster.local.", "A", "phase"),
    ("77-phases", "p3.ph.default.svc.cluster.local.", "A", "phase"),
    ("77-phases", "p4.ph.default.svc.cluster.local.", "A", "phase"),
    ("77-phases", "strict.default.svc.cluster.local.", "A", "endpoints"),
    ("78-decentralized-done", "dec.dc.src.svc.cluster.local.", "A", "phase"),
    ("78-decentralized-done", "130.1.244.10.in-addr.arpa.", "PTR", "owner"),
    ("79-no-slices", "vm2.ns.default.svc.cluster.local.", "A", "subdomain"),
    ("79-no-slices", "vm3.ns.default.svc.cluster.local.", "A", "ready"),
    ("80-impossible-names", "dotted.a.b.default.svc.cluster.local.", "A", "subdomain"),
    ("80-impossible-names", "dotted.a.default.svc.cluster.local.", "A", "subdomain"),
    ("80-impossible-names", "b.default.svc.cluster.local.", "A", "service"),
    ("81-addresses-that-are-none", "onlylocal.ad.default.svc.cluster.local.", "A", "address"),
    ("82-service-with-cluster-ip", "vm1.node.default.svc.cluster.local.", "A", "headless"),
    ("82-service-with-cluster-ip", "vm2.lb.default.svc.cluster.local.", "A", "headless"),
    ("82-service-with-cluster-ip", "138.1.244.10.in-addr.arpa.", "PTR", "owner"),
    ("83-deleting-publish-not-ready", "gone.dp.default.svc.cluster.local.", "A", "phase"),
    ("83-deleting-publish-not-ready", "strict.default.svc.cluster.local.", "A", "endpoints"),
    ("83-deleting-publish-not-ready", "142.1.244.10.in-addr.arpa.", "PTR", "owner"),
]


@pytest.mark.parametrize(("case", "name", "rrtype", "rule"), REFUSED)
def test_refusal(case: str, name: str, rrtype: str, rule: str) -> None:
    """The rule that refuses is named, with what it wanted and what it found, and the verdict gives the reason."""
    found = explained(case_store(case), name, rrtype)
    assert found.refusal is not None
    assert found.refusal.rule == rule
    assert not found.resolves
    assert found.refusal.facts
    assert all(fact.wanted != fact.found for fact in found.refusal.facts)
    assert ": " in found.verdict


def test_every_refusal_is_here() -> None:
    """A query of a case that has no answer has a row above."""
    there = {row[:3] for row in REFUSED}
    queries = ((case, query["qname"], query["qtype"]) for case in NAMES for query in case_queries(case))
    missing = [one for one in queries if not explained(case_store(one[0]), *one[1:]).resolves and one not in there]
    assert not missing


def test_rules_are_told_apart() -> None:
    """No two rules go by one name, but for those of interfaces that say the same of another name."""
    names = [rule_id(one) for rules in (Rule, Check) for one in rules]
    assert len(names) == len(set(names))
    assert set(names) & {rule_id(one) for one in InterfaceRule} == {"address"}


def test_the_vmi_rules_are_all_shown() -> None:
    """Each rule that can refuse a VMI does so in some case."""
    assert {rule_id(rule) for rule in Rule} <= {row[3] for row in REFUSED}
