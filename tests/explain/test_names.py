"""Names of every shape: what refuses them, what may have been meant, and what to change."""

from collections.abc import Iterable
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsserver.events import Changed, NotServed
from dnsserver.explain import Explanation, InvalidQuestionError, Served, at_once, explaining, parse_question
from dnsserver.names import InvalidNameError, from_labels, from_text, to_text
from dnsserver.objects import Kind, Object
from dnsserver.store import Store, StoreConfig
from dnsserver.store.config import InterfacesConfig
from tests.build import (
    CONFIG,
    IN_ADDR,
    IP6,
    ZONE,
    apply_all,
    endpoint_json,
    endpoint_slice,
    listing,
    namespace,
    pod,
    port_json,
    service,
    service_import,
    store_of,
    vmi,
    vmi_json,
    wired,
    with_interface,
)
from tests.explain.support import explained, explained_objects, explained_vmi, served_of

NS = namespace("ns1")
DB = service()
INTERFACES = from_text("vm.test")


def config(**options: object) -> StoreConfig:
    """Return a configuration with other options."""
    return StoreConfig(zones=(ZONE,), reverse_zones=(IN_ADDR, IP6), **options)  # type: ignore[arg-type]  # by name


WORLD = (
    NS,
    namespace("ns2"),
    DB,
    service("web", cluster_ip="10.96.0.7", cluster_ips=["10.96.0.7"], ports=[port_json(80, "http", "TCP")]),
    service("alias", external_name="www.example.net", cluster_ip=None),
    service("nothing", selector={"app": "none"}),
    service("api", selector={"app": "api"}, ports=[port_json(80, "http", "TCP")]),
    vmi("vm1"),
    vmi("vm2", hostname="second"),
    vmi("loose", subdomain=None, labels={"app": "other"}, addresses=["10.244.0.9"]),
    vmi("vm1", namespace="ns2", uid="uid-2", subdomain="gone"),
    endpoint_slice(
        endpoint_json("10.244.9.1", hostname="pod-a", pod="p1"),
        endpoint_json("10.244.9.2", hostname="pod-b", pod="p2", ready=False),
        name="api-1",
        service="api",
        ports=[port_json(80, "http", "TCP")],
    ),
)

REFUSALS = [  # name asked, type, the rule that refuses, a part of the verdict, near misses or advice that are told
    ("vm1.db.ns1", "AAAA", "type", "no record of type AAAA", "serve IPv6 too"),
    ("vm3.db.ns1", "", "vmi", "has the host name vm3", "VMI ns1/vm1 has the host name vm1"),
    ("vm2.db.ns1", "", "host-name", "spec.hostname: vm2 wanted, second found", "second.db.ns1.svc.cluster.local."),
    ("vm1.bd.ns1", "", "subdomain", "spec.subdomain: bd wanted, db found", "vm1.db.ns1.svc.cluster.local."),
    ("vm1.db.ns2", "", "subdomain", "spec.subdomain: db wanted, gone found", "set spec.subdomain: db"),
    ("vm1.gone.ns2", "", "service", "there is no Service ns2/gone", "create Service ns2/gone: headless"),
    ("vm1.db.ns3", "", "namespace", "there is no Namespace ns3", "there is a Namespace ns1"),
    ("loose.db.ns1", "", "subdomain", "spec.subdomain: db wanted, none found", "spec.template.spec of its VM"),
    ("vm1.ns1", "", "service", "there is no Service ns1/vm1", "vm1.db.ns1.svc.cluster.local."),
    ("loose.ns1", "", "service", "there is no Service ns1/loose", "has no spec.subdomain"),
    ("vm1.db", "", "namespace", "there is no Namespace db", "vm1.db.ns1.svc.cluster.local."),
    ("vm1.db.svc", "", "namespace", "there is no Namespace db", "vm1.db.ns1.svc.cluster.local."),
    ("vm1.db.ns1.cluster.local", "", "name", "", "vm1.db.ns1.svc.cluster.local."),
    ("db.svc.cluster.local", "", "namespace", "there is no Namespace db", "db.ns1.svc.cluster.local."),
    ("x.vm1.db.ns1.svc", "", "name", "nothing is below the name of an endpoint", "vm1.db.ns1.svc.cluster.local."),
    (
        "vm1.db.ns1.svc.cluster.local.svc.cluster.local",
        "",
        "namespace",
        "there is no Namespace local",
        "the search path svc.cluster.local. was appended to a name that exists",
    ),
    (
        "vm1.db.ns1.svc.cluster.local.db.ns1.svc.cluster.local",
        "",
        "name",
        "nothing is below",
        "the search path db.ns1.svc.cluster.local. was appended",
    ),
    (
        "www.example.com.ns1.svc",
        "",
        "service",
        "no Service ns1/com",
        "search path makes such a name of www.example.com",
    ),
    ("www.example.com.db.ns1.svc", "", "name", "nothing", "search path makes such a name of www.example.com"),
    ("nothing.ns1", "", "endpoints", "Service ns1/nothing has no endpoint that is ready", ""),
    ("pod-b.api.ns1", "", "endpoint", "endpoint pod-b: ready wanted, not ready found", "see why it is not ready"),
    ("10-244-9-1.api.ns1", "", "endpoint", "the name pod-a found", "ask for pod-a"),
    ("_https._tcp.web.ns1", "", "port", "Service ns1/web has no port _https._tcp", "ask for one of _http._tcp"),
    ("_udp.web.ns1", "", "port", "Service ns1/web has no port _udp", "_http._tcp"),
    ("_x._tcp.api.ns1", "", "port", "Service ns1/api has no port _x._tcp", "_http._tcp"),
    ("10-244-0-7.ns1.pod", "", "pods", "pods have no names here", "option `pods verified`"),
    ("ns1.svc", "", "type", "no record of type A", ""),
    ("missing.svc", "", "namespace", "there is no Namespace missing", ""),
    ("web.ns1", "TXT", "type", "no record of type TXT", ""),
    ("10.244.0.9", "", "owner", "no published name has the address 10.244.0.9", "no headless Service selects it"),
    ("10.244.200.1", "", "owner", "no published name has the address", ""),
    ("a.b.in-addr.arpa", "PTR", "name", "", ""),
    ("bogus.cluster.local", "", "name", "", "spell the name out"),
    ("example.com.", "", "zone", "is in no zone of the plugin kubernetes: the server refuses it", "ends in one of"),
    ("a._zone.db.ns1.svc", "", "name", "option zonal", "set the option `zonal`"),
]


@pytest.mark.parametrize(("name", "rrtype", "rule", "part", "told"), REFUSALS, ids=[row[0] for row in REFUSALS])
def test_refusals(name: str, rrtype: str, rule: str, part: str, told: str) -> None:
    """Each name is refused by the rule that should, and what may have been meant is told."""
    found = explained_objects(WORLD, name, rrtype)
    assert (found.refusal.rule if found.refusal else None) == rule
    assert part in found.verdict
    assert told in " | ".join([*found.advice, *(f"{one.text}: {one.name}" for one in found.near_misses)])
    assert not found.resolves


RESOLVING = [  # name asked, type, the data, the rules that the chain ends with
    ("vm1.db.ns1", "A", ["10.244.0.7"], ["address"]),
    ("VM1.DB.ns1.SVC.cluster.local.", "A", ["10.244.0.7"], ["address"]),
    ("web.ns1", "A", ["10.96.0.7"], ["service", "published"]),
    ("alias.ns1", "A", ["www.example.net."], ["published", "alias"]),
    ("api.ns1", "A", ["10.244.9.1"], ["endpoints"]),
    ("pod-a.api.ns1", "A", ["10.244.9.1"], ["service", "endpoint"]),
    ("_http._tcp.web.ns1", "", ["0 100 80 web.ns1.svc.cluster.local."], ["service", "port"]),
    ("10.96.0.7", "", ["web.ns1.svc.cluster.local."], ["owner", "service"]),
    ("10.244.9.1", "", ["pod-a.api.ns1.svc.cluster.local."], ["owner", "service"]),
    ("cluster.local.", "NS", ["ns.dns.cluster.local."], ["zone", "name"]),
    ("dns-version.cluster.local", "TXT", ['"1.1.0"'], ["zone", "name"]),
]


@pytest.mark.parametrize(("name", "rrtype", "data", "rules"), RESOLVING, ids=[row[0] for row in RESOLVING])
def test_resolving(name: str, rrtype: str, data: list[str], rules: list[str]) -> None:
    """What exists is told with its records, and nothing refuses."""
    found = explained_objects(WORLD, name, rrtype)
    assert [text.split(" ", 4)[4] for text in found.answer] == data
    assert [step.rule for step in found.chain][-len(rules) :] == rules
    assert found.resolves
    assert found.refusal is None
    assert found.verdict.endswith("resolves: 1 record")
    assert (found.rcode, found.advice) == ("NOERROR", ())


LAUNCHER = endpoint_slice(endpoint_json("10.244.0.7", hostname="launched", pod="p", pod_name="virt-launcher-x"))
TWINS = (NS, DB, vmi(hostname="web"), vmi("twin", hostname="web", ready=False, addresses=["10.244.0.8"]))

OPTIONS: list[tuple[str, dict[str, object], tuple[Object, ...], str, str, str]] = [
    # what it shows, options, objects, name, the rule that refuses ("" for none), a part of the text
    ("kubevirt off", {"kubevirt": "off"}, (NS, DB, vmi()), "vm1.db.ns1", "vmi", "kubevirt off"),
    ("kubevirt only", {"kubevirt": "only"}, WORLD, "web.ns1", "published", "None, with `kubevirt only` wanted"),
    ("not asked for", {"namespaces": frozenset({"ns2"})}, WORLD, "vm1.db.ns1", "namespace", "add ns1 to the option"),
    ("ignore empty_service", {"ignore_empty": True}, WORLD, "web.ns1", "endpoints", "no endpoint that is ready"),
    ("pods verified", {"pods": "verified"}, (NS, pod()), "10-244-0-7.ns1.pod", "", "web-1"),
    ("no such pod", {"pods": "verified"}, (NS, pod()), "10-244-0-8.ns1.pod", "owner", "no pod in namespace ns1"),
    ("pod elsewhere", {"pods": "verified"}, (*WORLD, pod()), "10-244-0-7.ns2.pod", "owner", "Pod ns1/web-1 has the"),
    ("no address", {"pods": "verified"}, (NS, pod()), "web-1.ns1.pod", "owner", "web-1 found"),
    ("pods insecure", {"pods": "insecure"}, (NS,), "10-1-2-3.ns1.pod", "", "any address has a name"),
    ("pods of nowhere", {"pods": "insecure"}, (NS,), "10-1-2-3.ns9.pod", "namespace", "there is no Namespace ns9"),
    ("a pod's namespace", {"pods": "insecure"}, (NS,), "ns1.pod", "type", "names of this namespace are below it"),
    ("zonal", {"zonal": True}, WORLD, "a.pin._zone.db.ns1.svc", "type", "one topology zone"),
    ("endpoints of others", {"kubevirt": "only"}, WORLD, "pod-a.api.ns1", "endpoint", "a VMI wanted, not a VMI found"),
    ("a VMI's pod", {}, (NS, DB, LAUNCHER), "launched.db.ns1", "endpoint", "its VMI does not list the pod"),
    ("one behind a VMI", {}, TWINS, "web.db.ns1", "", "VMI ns1/twin has the same host name, and is left out"),
    ("another of the name", {}, TWINS, "web.bd.ns1", "subdomain", "VMI ns1/vm1 has the host name web, subdomain db"),
    ("IPv6 alone", {}, (NS, DB, vmi(addresses=["fd00::7"])), "vm1.db.ns1", "address", "serve the family too"),
    ("no networks", {}, (NS, DB, vmi(subdomain="x")), "vm9.x.ns1", "service", "there is no Service ns1/x"),
    ("a Service of a namespace", {}, WORLD, "webb.ns2", "service", "there is no Service ns2/webb"),
    ("of the Services of a namespace", {}, (*WORLD, service(namespace="ns7")), "dbx.ns7", "namespace", "ns7/db"),
    ("no address", {}, (NS, DB, vmi(addresses=[])), "vm1.db.ns1", "address", "has to be on its primary network"),
    ("reported, refused", {}, (NS, DB, vmi(ready=False)), "10.244.0.7", "owner", "condition Ready: True wanted, False"),
    ("reported, dropped", {}, (NS, DB, vmi(addresses=["10.0.2.2"])), "10.0.2.2", "owner", "never published (inside"),
    ("a pod without a Service", {"pods": "verified"}, (NS, pod()), "10.244.0.7", "owner", "no Service has the pod"),
    ("above addresses", {}, WORLD, "244.10.in-addr.arpa", "type", "names of addresses are below it"),
    ("a reverse zone", {}, WORLD, "in-addr.arpa", "type", "the zone's own name"),
    ("a VMI for a namespace", {}, WORLD, "vm2.svc", "namespace", "there is a VMI ns1/vm2"),
    ("a host name for a Service", {}, WORLD, "second.ns1", "service", "ask for second.db.ns1"),
    ("no pods in a namespace", {}, WORLD, "ns1.pod", "pods", "option pods: insecure or verified wanted, disabled"),
    ("no cluster IP yet", {}, (NS, service(cluster_ip="")), "db.ns1", "published", "spec.clusterIP or spec.external"),
    ("a Service called svc", {}, (NS, service("svc"), vmi(subdomain="svc")), "10.244.0.7", "", "'ns1', name='svc'"),
    ("a dotted name", {}, (NS, DB, vmi("a.b")), "a.b.db.ns1.svc", "name", "VMI ns1/a.b is called a in the DNS"),
    ("a dotted subdomain", {}, (NS, vmi(subdomain="a.b")), "vm1.a.b.ns1.svc", "subdomain", "a subdomain without dots"),
    ("ports without names", {}, (NS, service(ports=[port_json(80)])), "_a._tcp.db.ns1", "port", "give the ports of"),
    ("ended", {}, (NS, DB, vmi(phase="Failed")), "vm1.db.ns1", "phase", "virtctl -n ns1 start vm1"),
    ("going", {}, (NS, DB, vmi(deleting=True)), "vm1.db.ns1", "deleting", "wait until the VMI has gone"),
    ("no such mode", {"zonal": True}, WORLD, "a.b._zone.db.ns1.svc", "name", "<pin or prefer>"),
]


@pytest.mark.parametrize(
    ("options", "objects", "name", "rule", "part"), [row[1:] for row in OPTIONS], ids=[row[0] for row in OPTIONS]
)
def test_options(options: dict[str, object], objects: Iterable[Object], name: str, rule: str, part: str) -> None:
    """What an option leaves out is said to be the option's doing."""
    found = explained_objects(objects, name, config=config(**options))
    assert (found.refusal.rule if found.refusal else "") == rule
    assert part in _everything(found)


def _everything(found: Explanation) -> str:
    """Return all text of an explanation."""
    steps = [
        (step.text, *(f"{fact.text}; {fact.what}: {fact.found}" for fact in step.facts), *step.notes, step.object)
        for step in found.chain
    ]
    return f"{found.verdict} {steps} {found.near_misses} {found.advice}"


def test_vmis_that_cannot_be_read() -> None:
    """Without KubeVirt, or without the right to read VMIs, that is why there is none."""
    store = Store(CONFIG)
    apply_all(store, [event for kind in (Kind.NAMESPACE, Kind.SERVICE) for event in listing(kind, [])])
    found = explained_objects((NS, DB), "vm1.db.ns1")
    assert found.refusal is not None
    assert found.refusal.notes == ()  # a list of VMIs came, and was empty
    refused = explained(_unreadable(), "vm1.db.ns1").refusal
    assert refused is not None
    assert "may not be read" in refused.notes[0]


def _unreadable() -> Store:
    """Return a store whose source has no VMIs."""
    store = Store(CONFIG)
    events = [*listing(Kind.NAMESPACE, [NS]), *listing(Kind.SERVICE, [DB]), *listing(Kind.ENDPOINT_SLICE, [])]
    apply_all(store, [*events, NotServed(Kind.VMI, "no such resource")])
    return store


def test_before_the_first_sync() -> None:
    """SERVFAIL is explained by what is still to be listed; the zone's own names need nothing of it."""
    store = Store(CONFIG)
    apply_all(store, listing(Kind.NAMESPACE, [NS]))
    found = explained(store, "vm1.db.ns1", synced=False)
    assert (found.rcode, found.refusal and found.refusal.rule) == ("SERVFAIL", "synced")
    assert "no list of EndpointSlice, Service, VirtualMachineInstance" in found.verdict
    assert explained(store, "cluster.local.", "SOA", synced=False).resolves


def test_fallthrough() -> None:
    """What is passed on has no code of ours, and the plugins that get it are named; what exists is not passed on."""
    around: dict[str, Any] = {"fall_through": (from_text("."),), "before": ("hosts",), "after": ("forward", "file")}
    store = store_of(WORLD)
    found = explained(store, "vm9.db.ns1", **around)
    assert (found.rcode, found.passed_on) == ("", ("forward", "file"))
    assert "is passed on to forward, file (fallthrough)" in found.verdict
    assert "may answer first, or change the question: hosts" in found.chain[0].notes[0]
    assert explained(store, "vm1.db.ns1", **around).passed_on == ()
    alone = explained(store, "vm9.db.ns1", fall_through=(from_text("."),))
    assert alone.rcode == "NXDOMAIN"  # nobody is there to get it


def test_outside_with_other_plugins() -> None:
    """A name outside every zone is theirs who have answers."""
    served = served_of(store_of(WORLD))
    question = parse_question("example.com.", "", served.origins)
    found = at_once(explaining((served,), question, 0.0, ("forward",)))
    assert (found.rcode, found.passed_on) == ("", ("forward",))
    assert found.verdict.endswith("forward may answer it")
    assert at_once(explaining((), question, 0.0)).rcode == "REFUSED"


def test_grace_and_hold() -> None:
    """What lets a rule pass for a while is told, with how long it still does."""
    ended = {"targetNode": "node1", "endTimestamp": "2026-01-01T00:00:00Z"}
    store = store_of((NS, DB, vmi()))
    apply_all(store, [Changed(Kind.VMI, vmi(ready=False, reason="ReadinessGatesNotReady", migration=ended))], now=100.0)
    notes = [note for step in explained(store, "vm1.db.ns1", now=118.0).chain for note in step.notes]
    assert any("excuses that for 42 s more (migration_grace)" in note for note in notes)
    store = store_of((NS, DB, vmi()))
    apply_all(store, [Changed(Kind.VMI, vmi(addresses=[]))], now=100.0)
    found = explained(store, "vm1.db.ns1", now=110.0)
    notes = [note for step in found.chain for note in step.notes]
    assert "10.244.0.7 stays for 50 s more (address_hold)" in notes
    assert any("held: the guest agent reports none" in note for note in notes)
    assert found.resolves


def test_published_before_ready() -> None:
    """A rule that publishNotReadyAddresses takes out is said not to have been asked."""
    found = explained_objects((NS, service(publish_not_ready=True), vmi(ready=False)), "vm1.db.ns1")
    ready = next(step for step in found.chain if step.rule == "ready")
    assert found.resolves
    assert ready.notes == ("not asked: the Service has publishNotReadyAddresses: true",)


def test_several_vmis_of_one_name() -> None:
    """Each VMI behind a name is told, and those that are left out; a crowd is counted."""
    crowd = [vmi(f"vm{number}", hostname="web", addresses=[f"10.244.1.{number}"]) for number in range(6)]
    found = explained_objects((NS, DB, *crowd, vmi("sick", hostname="web", ready=False)), "web.db.ns1")
    objects = {step.object.name for step in found.chain if step.object and step.object.kind.startswith("Virtual")}
    assert len(objects) == 3
    assert any("so do 3 further VMIs" in step.text for step in found.chain)
    assert any("ns1/sick has the same host name, and is left out" in one.text for one in found.near_misses)


def test_the_pod_of_a_vmi() -> None:
    """An endpoint that is a VMI's pod is left to the VMI's own rules, and that is said."""
    pods = {"pod-uid": "node1"}
    one = endpoint_slice(endpoint_json("10.244.0.7", hostname="other", pod="pod-uid"))
    found = explained_objects((NS, DB, vmi(pods=pods), one), "other.db.ns1")
    assert found.refusal is not None
    assert found.refusal.rule == "endpoint"
    assert "is published by its own rules" in found.refusal.notes[0]


MACHINES = [  # name below vm.test, the rule that refuses ("" for none), a part of the text
    ("vm1.ns1", "", "addresses: 10.244.0.7"),
    ("lan.vm1.ns1", "", "192.168.1.5"),
    ("wan.vm1.ns1", "label", "interface: wan wanted, default, lan found"),
    ("dry.vm1.ns1", "address", "address on network dry"),
    ("vm8.ns1", "vmi", "there is a VMI ns1/vm1"),
    ("sick.ns1", "ready", "condition Ready: True wanted, False (Sick)"),
    ("vm1.ns9", "namespace", "there is no Namespace ns9"),
    ("ns1", "type", "names of VMIs are below it"),
    ("a.b.c.ns1", "name", "<interface>.<vmi>.<namespace>"),
    ("default.vm1.ns1", "", "addresses of default: 10.244.0.7"),
    ("bare.ns1", "address", "addresses: IPv4 or IPv6 wanted, none found"),
    (f"{'a' * 45}__{sha256(b'a' * 70).hexdigest()[:16]}.ns1", "", "VirtualMachineInstance"),
    ("ns", "type", "the name server's name"),
    ("dotted_name.ns1", "", "VirtualMachineInstance"),
    ("dotted.name.ns1", "vmi", "VMI ns1/dotted.name has one label here: dotted_name"),
    ("default.dotted.name.ns1", "name", "VMI ns1/dotted.name has one label here: dotted_name"),
]


@pytest.mark.parametrize(("name", "rule", "part"), MACHINES, ids=[row[0] for row in MACHINES])
def test_names_without_a_service(name: str, rule: str, part: str) -> None:
    """The names of the option `interfaces` are explained by the VMI's state and its interfaces."""
    machines = (
        wired(with_interface(with_interface(vmi_json(), "lan", "192.168.1.5"), "dry")),
        wired(vmi_json("sick", ready=False, reason="Sick")),
        wired(vmi_json("dotted.name")),
        wired(vmi_json("a" * 70)),
        wired(vmi_json("bare", addresses=[])),
    )
    options = config(interfaces=InterfacesConfig((INTERFACES,)))
    found = explained_objects((NS, *machines), f"{name}.vm.test.", config=options)
    assert (found.refusal.rule if found.refusal else "") == rule
    assert part in _everything(found)
    assert found.resolves is not bool(rule)


@pytest.mark.parametrize("name", ["lan.vm1.ns1", "lan.vm1.ns1.svc", "lan.vm1.ns1.cluster.local", "vm1.ns1"])
def test_names_without_a_service_that_are_asked_for_below_services(name: str) -> None:
    """Where there is no such Service, the zone that has the name is told."""
    one = wired(with_interface(vmi_json(), "lan", "192.168.1.5"))
    found = explained_objects((NS, one), name, config=config(interfaces=InterfacesConfig((INTERFACES,))))
    near = {each.name: each.text for each in found.near_misses}
    whole = name.partition(".ns1")[0] + ".ns1.vm.test."
    assert near.get(whole) == "names of VMIs that need no Service are in vm.test."


def test_imported() -> None:
    """Names of ServiceImports are explained as those of Services."""
    options = StoreConfig(zones=(from_text("clusterset.local"),), kubevirt="off", imported=True)
    objects = (NS, service_import(ips=["10.96.1.1"]))
    assert explained_objects(objects, "db.ns1.svc.clusterset.local", config=options).resolves
    refused = explained_objects(objects, "bd.ns1.svc.clusterset.local", config=options)
    assert refused.verdict.endswith("there is no ServiceImport ns1/bd")
    assert refused.near_misses[0].name == "db.ns1.svc.clusterset.local."


def test_vmi() -> None:
    """A VMI is explained by every name that it has, or should have."""
    store = store_of((*WORLD, service("all", selector={"app": "db"})))
    found = explained_vmi(store, "vm1")
    assert [one.name for one in found.names] == [
        "vm1.db.ns1.svc.cluster.local.",
        "10-244-0-7.all.ns1.svc.cluster.local.",
    ]
    assert (found.resolves, found.verdict) == (True, "VirtualMachineInstance ns1/vm1 has 2 names")
    assert all(one.resolves for one in found.names)


def test_vmi_with_names_of_its_own() -> None:
    """The names that need no Service are among a VMI's; of an IPv6 VMI it is AAAA that is asked for."""
    options = config(interfaces=InterfacesConfig((INTERFACES,)))
    one = wired(with_interface(vmi_json(addresses=["fd00::7"]), "lan", "fd00::8"))
    found = explained_vmi(store_of((NS, service(families=["IPv6"]), one), options), "vm1")
    names = ["vm1.db.ns1.svc.cluster.local.", "vm1.ns1.vm.test.", "default.vm1.ns1.vm.test.", "lan.vm1.ns1.vm.test."]
    assert [(each.name, each.type, each.resolves) for each in found.names] == [(name, "AAAA", True) for name in names]
    reverse = explained(store_of((NS, one), options), "fd00::8")
    assert "lan.vm1.ns1.vm.test. has it" in [step.text for step in reverse.chain]


def test_long_zone() -> None:
    """Where no host name would fit below a Service's, the Service has none."""
    long = from_text(".".join(["a" * 60] * 3))
    found = explained_objects((NS, service("s" * 40), vmi()), f"{'s' * 40}.ns1.svc", config=StoreConfig(zones=(long,)))
    assert found.refusal is not None
    assert found.refusal.text == "the Service's name is one that the DNS can carry"


def test_vmi_without_a_name() -> None:
    """Without a subdomain there is no name to explain, and that is what is to be changed."""
    found = explained_vmi(store_of(WORLD), "loose")
    assert not found.resolves
    assert [step.rule for step in found.chain] == ["subdomain"]
    assert "spec.subdomain: <name of a headless Service>" in found.advice[0]
    refused = explained_vmi(store_of(WORLD), "vm1", "ns2")
    assert "there is no Service ns2/gone" in refused.verdict


def test_vmi_that_is_not_there() -> None:
    """One that is not there may be in another namespace, spelled alike, or not started."""
    found = explained_vmi(store_of(WORLD), "vm2", "ns2")
    assert (found.resolves, found.verdict) == (False, "there is no VirtualMachineInstance ns2/vm2")
    assert {one.text for one in found.near_misses} == {"there is a VMI ns1/vm2", "there is a VMI ns2/vm1"}
    assert "virtctl -n ns2 start vm2" in found.advice[0]


QUESTIONS = [  # what is written, the type, the name and the type that are asked for
    ("vm1.sub.ns", "", "vm1.sub.ns.svc.cluster.local.", 1),
    ("sub.ns", "", "sub.ns.svc.cluster.local.", 1),
    ("vm1.sub.ns.svc", "aaaa", "vm1.sub.ns.svc.cluster.local.", 28),
    ("1-2-3-4.ns.pod", "", "1-2-3-4.ns.pod.cluster.local.", 1),
    ("vm1.sub.ns.svc.cluster.local", "", "vm1.sub.ns.svc.cluster.local.", 1),
    ("vm1.sub.ns.", "", "vm1.sub.ns.", 1),
    ("www.a.example.com", "", "www.a.example.com.", 1),
    ("", "", ".", 1),
    ("_ssh._tcp.sub.ns", "", "_ssh._tcp.sub.ns.svc.cluster.local.", 33),
    ("10.0.0.1", "", "1.0.0.10.in-addr.arpa.", 12),
    ("::ffff:10.0.0.1", "", "1.0.0.10.in-addr.arpa.", 12),
    ("1.0.0.10.in-addr.arpa", "", "1.0.0.10.in-addr.arpa.", 12),
    (".", "NS", ".", 2),
    ("sub.ns", "TYPE65", "sub.ns.svc.cluster.local.", 65),
]


@pytest.mark.parametrize(("text", "rrtype", "name", "code"), QUESTIONS, ids=[row[0] for row in QUESTIONS])
def test_questions(text: str, rrtype: str, name: str, code: int) -> None:
    """What people write becomes a whole name and a type."""
    question = parse_question(text, rrtype, (ZONE, IN_ADDR, IP6))
    assert (question.name, question.qtype, question.asked) == (from_text(name), code, text)


@pytest.mark.parametrize(
    ("text", "rrtype"), [("a..b", ""), ("a" * 64, ""), (f"{'a.' * 130}", ""), ("a", "BOGUS"), ("a", "axfr"), ("\\", "")]
)
def test_no_questions(text: str, rrtype: str) -> None:
    """What is no name or no type is refused in words."""
    with pytest.raises(InvalidQuestionError, match=r"[a-z]"):
        parse_question(text, rrtype, (ZONE,))


HOSTILE = ["\\000\\027[31m", "\\255\\254", "a\\.b", "*", "_", "-", "a" * 63, "xn--80ak6aa92e", "%s", "\\007"]


@pytest.mark.parametrize("label", HOSTILE)
@pytest.mark.parametrize("rest", ["db.ns1.svc", "ns1.svc", "svc", "vm1.db.ns1.svc", "_tcp.db.ns1.svc", "ns1.pod"])
def test_hostile_names(label: str, rest: str) -> None:
    """Whatever stands in a label is explained, and its octets are escaped."""
    found = explained_objects(WORLD, f"{label}.{rest}.cluster.local.", config=config(pods="insecure"))
    assert not found.resolves
    assert found.refusal is not None
    assert found.verdict.isprintable()
    assert from_text(found.name) == from_text(f"{label}.{rest}.cluster.local.")


def test_two_plugins() -> None:
    """Of several plugins it is the one with the longest zone that has a name."""
    other = store_of((NS,), StoreConfig(zones=(from_text("sub.cluster.local"),)))
    both = (served_of(store_of(WORLD)), Served((other,), synced=True))
    question = parse_question("vm1.db.ns1.svc.sub.cluster.local.", "", ())
    assert at_once(explaining(both, question, 0.0)).zone == "sub.cluster.local."


LABELS = st.one_of(
    st.sampled_from(
        [b"vm1", b"db", b"ns1", b"svc", b"pod", b"_tcp", b"_http", b"_zone", b"pin", b"10-244-0-7", b"api"]
    ),
    st.binary(min_size=1, max_size=63),
)
ANYWHERE = store_of(
    WORLD, config(pods="insecure", zonal=True, interfaces=InterfacesConfig((INTERFACES,)), kubevirt="auto")
)


@given(st.lists(LABELS, max_size=7), st.sampled_from(["cluster.local", "vm.test", "in-addr.arpa", "ip6.arpa"]))
@settings(max_examples=300, deadline=None)
def test_any_name(labels: list[bytes], origin: str) -> None:
    """Whatever is asked, an explanation comes, and it has a refusal exactly where there is no answer."""
    try:
        name = to_text(from_labels(labels, from_text(origin)))
    except InvalidNameError:
        return
    for rrtype in ("A", "PTR", "SRV"):
        found = explained(ANYWHERE, name, rrtype)
        assert found.resolves is (found.refusal is None)
        assert found.verdict.isprintable()
