"""The Corefile that the chart makes: our own parser reads it, and the server serves it from an API server."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dnsserver import cli
from dnsserver.corefile import Directive, parse
from dnsserver.message import Reply
from dnsserver.names import from_text
from dnsserver.plugins.kubernetes import Kubernetes
from dnsserver.records import Rcode, RRset, RRType
from dnsserver.setup import Setup, set_up
from dnsserver.sources.eventwriter import RULE
from tests.build import namespace_json, service_json, vmi_json
from tests.chart.helm import CHART, CI, JSON, WITH_COREFILE, Values, container, corefile, find, helm, kinds, pod, render
from tests.fakes.api_server import FakeApiServer
from tests.harness import serving
from tests.test_stock_corefiles import STOCK
from tests.upstream.support import answering
from tests.upstream.support import serving as upstream

CERTIFICATES = Path(__file__).parents[1] / "certificates"
ON = {"enabled": True}
KEYS = 'key "transfer.example.org." {\n    algorithm hmac-sha256;\n    secret "MDEyMzQ1Njc4OWFiY2RlZg==";\n};\n'


def local(text: str, objects: list[JSON], folder: Path) -> str:
    """Return a Corefile with the paths of the pod in a folder: what its volumes hold is written there."""
    (data,) = [one["data"] for one in objects if "Corefile" in one.get("data", ())]
    for name, content in data.items():
        (folder / name).write_text(content)
    (folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    (folder / "keys.conf").write_text(KEYS)
    for path, place in (
        ("/etc/dnsserver/tsig", folder),
        ("/etc/coredns", folder),
        ("/etc/resolv.conf", folder / "resolv.conf"),
        ("/etc/dnsserver/tls/tls.crt", CERTIFICATES / "server.pem"),
        ("/etc/dnsserver/tls/tls.key", CERTIFICATES / "server.key"),
    ):
        text = text.replace(path, str(place))
    return text


def setup_of(values: Values | Path | None, folder: Path) -> Setup:
    """Return what the server makes of the Corefile of values."""
    objects = render(values)
    return set_up(parse(local(corefile(objects), objects, folder)), folder=folder, port=53)


@pytest.mark.parametrize("values", [None, *WITH_COREFILE], ids=lambda one: one.stem if one else "default")
def test_the_server_takes_it(values: Path | None, tmp_path: Path) -> None:
    """Without an error, and without a warning that something in it has no effect."""
    assert setup_of(values, tmp_path).warnings == ()


def test_cluster_dns_is_kubeadm_s() -> None:
    """Directive for directive, in place of the image only."""

    def plain(directives: tuple[Directive, ...]) -> list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
        return sorted(
            (one.name, one.args, sorted((prop.name, *prop.args) for prop in one.properties)) for one in directives
        )

    (ours,) = parse(corefile(render({"mode": "clusterDNS"}))).blocks
    (stock,) = parse((STOCK / "kubeadm.Corefile").read_text()).blocks
    assert [(key.zone, key.port) for key in ours.keys] == [(key.zone, key.port) for key in stock.keys]
    assert plain(ours.directives) == plain(stock.directives)


MINIMAL = "a.test b.test {{\n health\n ready\n kubernetes a.test b.test {{\n {options}\n }}\n}}\n"
RIGHTS: list[Values | Path | None] = [
    None,
    *WITH_COREFILE,
    {"stubDomain": {"options": "noendpoints"}},
    {"stubDomain": {"options": "pods verified"}},
    {"corefile": MINIMAL.format(options="multicluster b.test")},
    {"events": ON},
    {"mode": "clusterDNS", "clusterDNS": {"options": "# noendpoints\nkubevirt off"}},
    {"corefile": MINIMAL.format(options="noendpoints") + "b.test:54 {\n kubernetes\n}\n"},
    {"corefile": MINIMAL.format(options="kubevirt off") + "b.test:54 {\n kubernetes\n}\n"},
    {"corefile": MINIMAL.format(options="manifests .")},
    {"corefile": "a.test {\n health\n ready\n whoami\n}\n"},
]


@pytest.mark.parametrize("values", RIGHTS, ids=lambda one: one.stem if isinstance(one, Path) else str(one))
def test_e4_rights_are_those_that_the_corefile_needs(values: Values | Path | None, tmp_path: Path) -> None:
    """Every kind that the server watches with it, `list` and `watch` alone, and nothing else; no token without any."""
    rule = re.fullmatch(r'apiGroups \["(.*)"\], resources \["events"\], verbs \["create", "patch"\]', RULE)
    assert rule is not None
    needed: set[tuple[str, str, str]] = set()
    for plugin in setup_of(values, tmp_path).plugins:
        if isinstance(plugin, Kubernetes) and not plugin.config.manifests:
            for kind in plugin._kinds():
                needed |= {(kind.group, kind.resource, verb) for verb in ("list", "watch")}
            if plugin.config.events:
                needed |= {(rule[1], "events", verb) for verb in ("create", "patch")}
    objects = render(values)
    granted = set()
    if "ClusterRole" in kinds(objects):
        role = find(objects, "ClusterRole")
        for one in role["rules"]:
            granted |= {
                (group, resource, verb)
                for group in one["apiGroups"]
                for resource in one["resources"]
                for verb in one["verbs"]
            }
        binding = find(objects, "ClusterRoleBinding")
        assert binding["roleRef"]["name"] == role["metadata"]["name"]
        account = find(objects, "ServiceAccount")["metadata"]
        assert binding["subjects"] == [
            {"kind": "ServiceAccount", "name": account["name"], "namespace": account["namespace"]}
        ]
        assert pod(objects)["spec"]["serviceAccountName"] == account["name"]
    assert granted == needed
    assert pod(objects)["spec"]["automountServiceAccountToken"] is bool(needed)


def test_e4_no_rights_are_made_where_none_are_wanted() -> None:
    """`rbac.create` off; and a Corefile of somebody else's gets those of every kind but pods."""
    assert "ClusterRole" not in kinds(render({"rbac": {"create": False}}))
    rules = find(render({"existingConfigMap": "coredns"}), "ClusterRole")["rules"]
    assert {one for rule in rules for one in rule["resources"]} == {
        "namespaces",
        "services",
        "endpointslices",
        "virtualmachineinstances",
    }


@pytest.fixture
async def api() -> AsyncIterator[FakeApiServer]:
    """Return an API server with a VMI, its headless Service, and a Service with a cluster IP."""
    async with FakeApiServer() as server:
        server.put(namespace_json("ns1"))
        server.put(service_json())
        server.put(vmi_json())
        web = service_json(name="web")
        web["spec"] |= {"clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"]}
        server.put(web)
        yield server


def moved(text: str, api: FakeApiServer) -> str:
    """Return a Corefile for this machine: free ports, and the API server that is here."""
    text = re.sub(r"(?<=\S):53\b", ":0", text)
    text = re.sub(r"^( *)errors$", r"\1bind 127.0.0.1\n\1errors", text, flags=re.MULTILINE)
    text = re.sub(r"^( *)health( :\d+)?", r"\1health 127.0.0.1:0", text, flags=re.MULTILINE)
    text = re.sub(r"^( *)ready( :\d+)?$", r"\1ready 127.0.0.1:0", text, flags=re.MULTILINE)
    text = re.sub(r"^( *)(prometheus|inspect) \S*:\d+", r"\1\2 127.0.0.1:0", text, flags=re.MULTILINE)
    text = re.sub(r"lameduck \d+s", "lameduck 10ms", text)
    return re.sub(r"^( *kubernetes [^{]*\{)$", rf"\1\n endpoint {api.url}", text, flags=re.MULTILINE)


async def test_a_stub_domain_serves(api: FakeApiServer, tmp_path: Path) -> None:
    """The zone's VMs, their PTR records, nothing but VMs, and no other zone."""
    values = {"stubDomain": {"zones": ["vm.example"], "reverseZones": ["10.244.0.0/16"]}, "inspect": ON}
    async with serving(moved(corefile(render(values)), api), tmp_path) as server:
        assert await server.texts("vm1.db.ns1.svc.vm.example") == ["10.244.0.7"]
        assert await server.texts("7.0.244.10.in-addr.arpa", "PTR") == ["vm1.db.ns1.svc.vm.example."]
        assert (await server.ask("web.ns1.svc.vm.example")).rcode == Rcode.NXDOMAIN
        assert (await server.ask("vm1.db.ns1.svc.cluster.local")).rcode == Rcode.REFUSED


async def test_names_without_a_service(api: FakeApiServer, tmp_path: Path) -> None:
    """`stubDomain.interfaces` makes them."""
    values = {"stubDomain": {"zones": ["vm.example"], "interfaces": ["net.vm.example"]}}
    async with serving(moved(corefile(render(values)), api), tmp_path) as server:
        assert await server.texts("vm1.ns1.net.vm.example") == ["10.244.0.7"]
        assert await server.texts("vm1.db.ns1.svc.vm.example") == ["10.244.0.7"]


async def test_the_cluster_s_dns_serves(api: FakeApiServer, tmp_path: Path) -> None:
    """Services, VMs, pods, and by `forward` the rest of the world."""
    outside = from_text("www.example.org")
    reply = Reply(answer=(RRset(outside, RRType.A, 60, (bytes([192, 0, 2, 1]),)),))
    async with upstream(answering(reply)) as other:
        values = {"mode": "clusterDNS", "clusterDNS": {"forward": f"127.0.0.1:{other.endpoint.port}"}}
        text = re.sub(r"^ *loop\n", "", moved(corefile(render(values)), api), flags=re.MULTILINE)
        async with serving(text, tmp_path) as server:
            assert await server.texts("web.ns1.svc.cluster.local") == ["10.96.0.7"]
            assert await server.texts("vm1.db.ns1.svc.cluster.local") == ["10.244.0.7"]
            assert await server.texts("10-1-2-3.ns1.pod.cluster.local") == ["10.1.2.3"]
            assert await server.texts("www.example.org") == ["192.0.2.1"]


def notes(values: Values | Path) -> str:
    """Return what helm prints after an installation."""
    stdin = values.read_text() if isinstance(values, Path) else json.dumps(values)
    text = helm("install", "dns", str(CHART), "--dry-run=client", "--namespace", "net", "--values", "-", stdin=stdin)
    return text.partition("\nNOTES:\n")[2]


def test_the_snippet_can_be_pasted(tmp_path: Path) -> None:
    """It is a Corefile that forwards every zone to the Service's address."""
    text = notes(CHART / "ci" / "stub-domain-values.yaml")
    blocks = "\n".join(re.findall(r"^  \S+:53 \{\n.*?^  \}$", text, re.MULTILINE | re.DOTALL))
    found = parse(blocks).blocks
    zones = {key.zone for block in found for key in block.keys}
    assert {"vm.example.org.", "net.example.org.", "244.10.in-addr.arpa."} < zones
    assert len(found) == 4
    assert all("forward . 10.96.0.53\n" in one for one in blocks.split("\n\n") if one.strip())
    assert set_up(parse(blocks), folder=tmp_path, port=53).warnings == ()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "forward . CLUSTER-IP"),
        ({}, "get service dns-dnsserver -o jsonpath='{.spec.clusterIP}'"),
        ({"service": {"clusterIP": "10.96.0.53", "port": 5353}}, "forward . 10.96.0.53:5353"),
        ({"service": {"clusterIPs": ["10.96.0.53", "fd00::53"]}}, "forward . 10.96.0.53\n"),
        ({"mode": "clusterDNS"}, "has to be that of the Service kube-dns"),
        ({"mode": "clusterDNS", "service": {"enabled": False}}, "k8s-app: kube-dns"),
        ({}, "helm -n net test dns\n"),
        ({"inspect": ON}, "kubectl dnsserver explain --service net/dns-dnsserver NAME"),
        ({"inspect": ON | {"port": 9999}}, "--service net/dns-dnsserver --port 9999 NAME"),
    ],
)
def test_notes(values: Values, said: str) -> None:
    """They say what to do next."""
    assert said in notes(values)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({}, "vm.cluster.local"),
        ({"mode": "clusterDNS"}, "cluster.local"),
        (CHART / "ci" / "servers-values.yaml", "vm.example.org"),
        (CHART / "ci" / "corefile-values.yaml", "cluster.local"),
        ({"tests": {"name": "a.test"}}, "a.test"),
        ({"service": {"port": 5353, "name": "kube-dns"}}, "vm.cluster.local"),
    ],
)
async def test_helm_test_asks_a_question(
    values: Values | Path, name: str, api: FakeApiServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its pod asks the Service by our own command, over UDP and TCP; the same arguments get an answer here."""
    objects = render(values)
    found = find(objects, "Pod", "-test")
    service = find(
        [one for one in objects if one["kind"] == "Service" and one["spec"].get("clusterIP") != "None"], "Service"
    )
    udp, tcp = sorted(found["spec"]["containers"], key=lambda one: str(one["name"]), reverse=True)
    server_name = f"@{service['metadata']['name']}.net.svc"
    expected = ["query", server_name, "-p", str(service["spec"]["ports"][0]["port"]), name, "SOA"]
    assert (udp["args"], tcp["args"]) == (expected, [*expected, "+tcp"])
    assert {udp["image"], tcp["image"]} == {container(objects)["image"]}
    corefile_text = f"{name} {{\n bind 127.0.0.1\n kubernetes {{\n endpoint {api.url}\n }}\n}}\n"
    async with serving(corefile_text, tmp_path) as server:
        for one in (udp, tcp):
            arguments = [*one["args"]]
            arguments[1], arguments[3] = "@127.0.0.1", str(server.address[1])
            assert await asyncio.to_thread(cli.main, arguments) == 0
            assert " SOA " in capsys.readouterr().out


def test_every_mode_is_in_a_ci_file() -> None:
    """So that all that renders, validates and serves is looked at above."""
    texts = [path.read_text() for path in CI]
    for words in (
        "clusterDNS",
        "DaemonSet",
        "hostNetwork",
        "autoscaling",
        "proportionalAutoscaler",
        "servers:",
        "corefile:",
    ):
        assert any(words in text for text in texts), words
