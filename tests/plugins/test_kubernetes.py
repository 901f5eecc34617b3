"""The plugin's options, its zones, `fallthrough`, and how it starts, waits and fails."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dnsserver import corefile
from dnsserver.cluster import Cluster
from dnsserver.events import Event
from dnsserver.message import Reply
from dnsserver.names import ROOT, from_text, to_text
from dnsserver.objects import Kind
from dnsserver.plugins import kubernetes as module
from dnsserver.plugins.kubernetes import Config, Kubernetes, parse
from dnsserver.plugins.plugin import Context, Plugin, PluginError, Request
from dnsserver.records import Rcode
from dnsserver.sources.api import SourceError
from dnsserver.sources.requests import RequestLimits
from dnsserver.sources.source import Source, SourceStatus
from dnsserver.store import Store
from tests import build
from tests.build import endpoint_json, endpoint_slice_json, namespace_json, service_json
from tests.fakes.api_server import FakeApiServer
from tests.plugins.conftest import World, request, until

CONTEXT_ZONES = (from_text("cluster.local"), from_text("in-addr.arpa"))


def parsed(text: str, *, folder: Path = Path("/etc/dns"), zones: tuple[bytes, ...] = CONTEXT_ZONES) -> Config:
    """Return the configuration of one directive's text."""
    (block,) = corefile.parse(f". {{\n{text}\n}}\n").blocks
    context = Context(zones=tuple(from_text(to_text(zone)) for zone in zones), folder=folder, port=53)
    (plugin,) = parse(block.directives, context)
    assert isinstance(plugin, Kubernetes)
    return plugin.config


def option(text: str, *, folder: Path = Path("/etc/dns")) -> Config:
    """Return the configuration with one option."""
    return parsed(f"kubernetes {{\n{text}\n}}", folder=folder)


def test_defaults() -> None:
    """CoreDNS's, and the server block's zones."""
    config = parsed("kubernetes")
    zones, reverse_zones = (from_text("cluster.local"),), (from_text("in-addr.arpa"),)
    assert config == Config(zones=zones, reverse_zones=reverse_zones, folder=Path("/etc/dns"))
    assert (config.ttl, config.startup_timeout, config.kubevirt) == (5, 5.0, "auto")
    assert (config.timing.migration_grace, config.timing.address_hold) == (60.0, 60.0)
    assert config.fall_through is None


GOOD = [  # option, attribute (dots go deeper), value
    ("endpoint https://10.96.0.1:443/", "api.endpoint", "https://10.96.0.1:443"),
    ("endpoint http://[::1]:8001", "api.endpoint", "http://[::1]:8001"),
    ("tls cert.pem /k/key.pem ../ca.pem", "api.cert_file", "/etc/dns/cert.pem"),
    ("tls cert.pem /k/key.pem ../ca.pem", "api.key_file", "/k/key.pem"),
    ("tls cert.pem /k/key.pem ../ca.pem", "api.ca_file", "/etc/dns/../ca.pem"),
    ("kubeconfig admin.conf", "api.kubeconfig", "/etc/dns/admin.conf"),
    ("kubeconfig /k/admin.conf kind", "api.kubeconfig", "/k/admin.conf"),
    ("kubeconfig admin.conf", "api.context", ""),
    ("kubeconfig admin.conf kind", "api.context", "kind"),
    ("kubevirt off", "kubevirt", "off"),
    ("kubevirt on", "kubevirt", "on"),
    ("kubevirt only", "kubevirt", "only"),
    ("kubevirt auto", "kubevirt", "auto"),
    ("migration_grace 90s", "timing.migration_grace", 90.0),
    ("migration_grace 90s", "timing.address_hold", 60.0),
    ("address_hold 1m30s", "timing.address_hold", 90.0),
    ("address_hold 0", "timing.address_hold", 0.0),
    ("address_hold 5s\nmigration_grace 7s", "timing.address_hold", 5.0),
    ("startup_timeout 250ms", "startup_timeout", 0.25),
    ("ttl 0", "ttl", 0),
    ("ttl 3600", "ttl", 3600),
    ("ttl 030", "ttl", 30),
    ("namespaces a b\nnamespaces c", "namespaces", frozenset("abc")),
    ("labels app=db,tier in (a, b)", "labels", "app=db,tier in (a, b)"),
    ("namespace_labels team=x", "namespace_labels", "team=x"),
    ("endpoint_pod_names", "endpoint_pod_names", True),
    ("pods disabled", "ttl", 5),
    ("fallthrough", "fall_through", (ROOT,)),
    ("fallthrough in-addr.arpa 10.0.0.0/8", "fall_through", (from_text("in-addr.arpa"), from_text("10.in-addr.arpa"))),
    ("pods disabled", "pods", "disabled"),
    ("pods insecure", "pods", "insecure"),
    ("pods verified", "pods", "verified"),
    ("noendpoints", "noendpoints", True),
    ("ttl 5", "noendpoints", False),
    ("ignore empty_service", "ignore_empty", True),
    ("ttl 5", "ignore_empty", False),
    ("zonal", "zonal", True),
    ("events", "events", True),
    ("ttl 5", "events", False),
    ("ttl 5", "zonal", False),
    ("ttl 5", "multicluster", ()),
    ("ttl 5", "api.limits", RequestLimits()),
    ("apiserver_qps 20", "api.limits", RequestLimits(qps=20.0)),
    ("apiserver_qps 0.5", "api.limits", RequestLimits(qps=0.5)),
    ("apiserver_burst 100", "api.limits", RequestLimits(burst=100)),
    ("apiserver_max_inflight 4", "api.limits", RequestLimits(max_inflight=4)),
    ("apiserver_qps 20\napiserver_max_inflight 4\napiserver_burst 9", "api.limits", RequestLimits(20.0, 9, 4)),
]


@pytest.mark.parametrize(("text", "attribute", "value"), GOOD)
def test_good_values(text: str, attribute: str, value: object) -> None:
    """Each option lands in the configuration."""
    found: object = option(text)
    for name in attribute.split("."):
        found = getattr(found, name)
    assert found == value
    assert type(found) is type(value)


MULTICLUSTER = [  # the plugin's zones, options, the zones of Services, those of ServiceImports
    ("a.test b.test", "multicluster b.test", ["a.test."], ["b.test."]),
    ("a.test b.test", "multicluster B.Test.", ["a.test."], ["b.test."]),
    ("a.test b.test c.test", "multicluster a.test c.test", ["b.test."], ["a.test.", "c.test."]),
    ("a.test b.test c.test", "multicluster a.test\nmulticluster c.test", ["b.test."], ["a.test.", "c.test."]),
    ("a.test 10.in-addr.arpa b.test", "multicluster a.test", ["b.test."], ["a.test."]),
]


@pytest.mark.parametrize(("zones", "text", "own", "imported"), MULTICLUSTER)
def test_multicluster(zones: str, text: str, own: list[str], imported: list[str]) -> None:
    """Zones of ServiceImports are the plugin's, but not its Services'; reverse names lead into none of them."""
    config = parsed(f"kubernetes {zones} {{\n{text}\n}}")
    assert [to_text(zone) for zone in config.zones] == own
    assert [to_text(zone) for zone in config.multicluster] == imported
    assert {to_text(zone) for zone in config.origins} >= {*own, *imported}
    store = config.imported_store(())
    assert store is not None
    assert (store.zones, store.reverse_zones, store.imported) == (config.multicluster, (), True)


def test_no_multicluster() -> None:
    """Without such zones there is no second store."""
    assert parsed("kubernetes").imported_store(()) is None


def test_imported_store_configuration() -> None:
    """What the store of the imports is told; KubeVirt and pods are this cluster's alone."""
    options = (
        "multicluster b.test\nttl 7\nnamespaces x\nnoendpoints\nignore empty_service\nendpoint_pod_names\npods verified"
    )
    store = parsed(f"kubernetes a.test b.test {{\n{options}\n}}").imported_store((b"\x0a\x00\x00\x01",))
    assert store is not None
    assert (store.ttl, store.namespaces, store.endpoints, store.ignore_empty) == (7, frozenset("x"), False, True)
    assert (store.pod_names, store.pods, store.kubevirt) == (True, "disabled", "off")
    assert store.addresses == (b"\x0a\x00\x00\x01",)
    assert store.kinds == {Kind.NAMESPACE, Kind.SERVICE_IMPORT}
    assert store.required == {Kind.SERVICE_IMPORT}


WATCHED: list[tuple[str, set[Kind]]] = [  # options, what is watched besides Namespaces and Services
    ("", {Kind.ENDPOINT_SLICE, Kind.VMI}),
    ("kubevirt off", {Kind.ENDPOINT_SLICE}),
    ("noendpoints", {Kind.VMI}),
    ("pods insecure", {Kind.ENDPOINT_SLICE, Kind.VMI}),
    ("pods verified", {Kind.ENDPOINT_SLICE, Kind.VMI, Kind.POD}),
]


@pytest.mark.parametrize(("text", "kinds"), WATCHED)
def test_kinds(text: str, kinds: set[Kind]) -> None:
    """Only what an answer needs."""
    assert option(text).store(()).kinds == {Kind.NAMESPACE, Kind.SERVICE, *kinds}


CONFLICTS = [  # options, what the error says of the directive
    ("namespaces a\nnamespace_labels b=c", "namespaces and namespace_labels cannot both be set"),
    ("zonal\nnoendpoints", "zonal cannot go with noendpoints"),
    ("events\nkubevirt off", "events are about VMIs, and cannot go with kubevirt off"),
    ("multicluster cluster.local", "at least one zone must be neither reverse nor multicluster"),
    (
        "multicluster b.test\nkubevirt only",
        "kubevirt only publishes nothing but VMIs, and cannot go with multicluster",
    ),
]


@pytest.mark.parametrize(("text", "message"), CONFLICTS)
def test_options_that_exclude_each_other(text: str, message: str) -> None:
    """Each pair is refused, in any order, where the directive stands."""
    zones = "cluster.local b.test" if "b.test" in text else "cluster.local"
    for lines in (text.split("\n"), text.split("\n")[::-1]):
        with pytest.raises(corefile.CorefileError) as caught:
            parsed(f"kubernetes {zones} {{\n" + "\n".join(lines) + "\n}")
        assert str(caught.value) == f"plugin/kubernetes: Corefile:2 - Error during parsing: {message}"


def not_a(name: str, what: str, text: str) -> tuple[str, str]:
    """Return an option and its error."""
    return f"{name} {text}", f"{name} is a positive {what}, not '{text}'"


def wrong_count(text: str, usage: str) -> tuple[str, str]:
    """Return an option with too few or too many arguments and its error."""
    return text, f"Wrong argument count or unexpected line ending after '{text.split()[-1]}', expecting {usage}"


EXPECTED = (
    "expecting endpoint or tls or kubeconfig or apiserver_qps or apiserver_burst or apiserver_max_inflight "
    "or namespaces or labels or namespace_labels or pods or endpoint_pod_names or ttl or noendpoints or ignore "
    "or multicluster or zonal or fallthrough or startup_timeout or kubevirt or manifests or migration_grace "
    "or address_hold or interfaces or events"
)
BAD = [  # option, what the error says behind file, line and plugin
    wrong_count("endpoint", "endpoint URL"),
    wrong_count("endpoint a b", "endpoint URL"),
    ("endpoint 10.0.0.1:443", "endpoint is a URL such as https://10.96.0.1:443, not '10.0.0.1:443'"),
    *(
        (f"endpoint {url}", f"endpoint is a URL such as https://10.96.0.1:443, not '{url}'")
        for url in ("http://", "https://:443", "http://a:b", "http://a:65536", "http://a:0", "https://[::1", "http:x")
    ),
    ("endpoint ftp://x", "endpoint is a URL such as https://10.96.0.1:443, not 'ftp://x'"),
    wrong_count("tls a b", "tls CERT KEY CACERT"),
    wrong_count("tls a b c d", "tls CERT KEY CACERT"),
    wrong_count("kubeconfig", "kubeconfig FILE [CONTEXT]"),
    wrong_count("kubeconfig a b c", "kubeconfig FILE [CONTEXT]"),
    wrong_count("manifests", "manifests PATH..."),
    ("manifests nowhere", "manifests: no such file or folder: /etc/dns/nowhere"),
    wrong_count("kubevirt", "kubevirt auto|on|off|only"),
    ("kubevirt yes", "kubevirt is one of auto, on, off, only, not 'yes'"),
    wrong_count("migration_grace", "migration_grace DURATION"),
    ("migration_grace 5", 'time: missing unit in duration "5", expecting a duration such as 5s, 1m30s or 100ms'),
    ("migration_grace -5s", "duration -5s is negative, expecting 0s or more"),
    ("address_hold soon", 'time: invalid duration "soon", expecting a duration such as 5s, 1m30s or 100ms'),
    ("startup_timeout -1s", "duration -1s is negative, expecting 0s or more"),
    wrong_count("startup_timeout 1s 2s", "startup_timeout DURATION"),
    wrong_count("ttl", "ttl SECONDS"),
    ("ttl 3601", "ttl must be in range [0, 3600]: 3601"),
    ("ttl -1", "ttl must be in range [0, 3600]: -1"),
    ("ttl 5s", "ttl must be in range [0, 3600]: 5s"),
    ("ttl 0000099999999", "ttl must be in range [0, 3600]: 0000099999999"),
    ("ttl ²", "ttl must be in range [0, 3600]: ²"),
    wrong_count("namespaces", "namespaces NAMESPACE..."),
    wrong_count("labels", "labels EXPRESSION"),
    ("labels a=b c", "labels: not a label selector at 'c', expecting such as app=web,!old"),
    ("namespace_labels in (", "namespace_labels: not a label selector at '(', expecting such as app=web,!old"),
    wrong_count("namespace_labels", "namespace_labels EXPRESSION"),
    wrong_count("endpoint_pod_names yes", "endpoint_pod_names"),
    wrong_count("pods", "pods disabled|insecure|verified"),
    ("pods some", "wrong value for pods: some, expecting one of disabled, insecure, verified"),
    wrong_count("noendpoints yes", "noendpoints"),
    wrong_count("zonal yes", "zonal"),
    wrong_count("ignore", "ignore empty_service"),
    ("ignore empty_services", "unable to set ignore for empty_services, expecting empty_service"),
    wrong_count("ignore empty_service x", "ignore empty_service"),
    wrong_count("multicluster", "multicluster ZONES..."),
    ("multicluster b.test", "multicluster zone b.test. must be one of the plugin's own zones"),
    ("multicluster in-addr.arpa", "multicluster zone in-addr.arpa. must be one of the plugin's own zones"),
    ("multicluster 10.0.0.0/15", "multicluster zone 0.10.in-addr.arpa. must be one of the plugin's own zones"),
    wrong_count("pods verified x", "pods disabled|insecure|verified"),
    wrong_count("apiserver_qps", "apiserver_qps NUMBER"),
    wrong_count("apiserver_burst 1 2", "apiserver_burst NUMBER"),
    *(
        not_a("apiserver_qps", "number of requests a second", text)
        for text in ("0", "0.0", "-1", "x", "inf", "nan", "1e3", "1_0", "+1", ".5", "1.", "9999999999")
    ),
    *(not_a("apiserver_burst", "whole number", text) for text in ("0", "-1", "1.5", "x", "inf", "1_0")),
    *(not_a("apiserver_max_inflight", "whole number", text) for text in ("0", "2.5", "many")),
    ("upstream", f"unknown property 'upstream', {EXPECTED}"),
    ("transfer to *", f"unknown property 'transfer', {EXPECTED}"),
    ("federation a b", f"unknown property 'federation', {EXPECTED}"),
    ("resyncperiod 5m", f"unknown property 'resyncperiod', {EXPECTED}"),
    ("TTL 5", f"unknown property 'TTL', {EXPECTED}"),
    ("ttl 5 {\n x\n }", "'ttl' takes no block"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_bad_values(text: str, message: str) -> None:
    """Each refusal says where, and what was expected."""
    with pytest.raises(corefile.CorefileError) as caught:
        option(f"\n{text}")
    assert str(caught.value) == f"plugin/kubernetes: Corefile:4 - Error during parsing: {message}"


@pytest.mark.parametrize(
    "name",
    [
        "endpoint http://x",
        "tls a b c",
        "kubeconfig x",
        "labels a=b",
        "namespace_labels a=b",
        "apiserver_qps 1",
        "apiserver_burst 1",
        "apiserver_max_inflight 1",
        "events",
    ],
)
def test_options_of_the_api_do_not_go_with_manifests(name: str, tmp_path: Path) -> None:
    """Nothing is parsed and then ignored."""
    word = name.split()[0]
    with pytest.raises(corefile.CorefileError) as caught:
        option(f"manifests .\n{name}", folder=tmp_path)
    assert str(caught.value) == (
        f"plugin/kubernetes: Corefile:4 - Error during parsing: '{word}' is for objects from an API server, "
        "and cannot go with 'manifests'"
    )


def test_twice() -> None:
    """Once a server block, as in CoreDNS; the second is the one at fault."""
    with pytest.raises(
        corefile.CorefileError, match=r"^plugin/kubernetes: Corefile:3 - .*only be used once per Server"
    ):
        parsed("kubernetes\nkubernetes")


@pytest.mark.parametrize("zones", ["in-addr.arpa", "10.in-addr.arpa ip6.arpa", "10.0.0.0/8", "bad..zone"])
def test_no_forward_zone(zones: str) -> None:
    """Reverse zones alone have nothing to point to."""
    with pytest.raises(corefile.CorefileError, match=r"Corefile:2 - .*non-reverse zone name must be used"):
        parsed(f"kubernetes {zones}")


def test_zones() -> None:
    """Arguments win over the block's zones; networks are reverse zones."""
    config = parsed("kubernetes A.test 10.0.0.0/8 b.test ip6.arpa")
    assert [to_text(zone) for zone in config.zones] == ["a.test.", "b.test."]
    assert [to_text(zone) for zone in config.reverse_zones] == ["10.in-addr.arpa.", "ip6.arpa."]
    config = parsed("kubernetes", zones=(from_text("x.test"),))
    assert ([to_text(zone) for zone in config.zones], config.reverse_zones) == (["x.test."], ())


def test_manifests_start_at_the_corefile(tmp_path: Path) -> None:
    """Relative paths start at the Corefile's folder; several lines add up."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b.yaml").touch()
    config = option(f"manifests a b.yaml\nmanifests {tmp_path}/a", folder=tmp_path)
    assert config.manifests == (tmp_path / "a", tmp_path / "b.yaml", tmp_path / "a")


def test_store_configuration() -> None:
    """What the store is told."""
    config = option("ttl 7\nkubevirt only\nnamespaces x\nendpoint_pod_names\nmigration_grace 1s")
    store = config.store((b"\x0a\x00\x00\x01",))
    assert (store.zones, store.reverse_zones) == (config.zones, config.reverse_zones)
    assert (store.ttl, store.kubevirt, store.namespaces, store.pod_names) == (7, "only", frozenset("x"), True)
    assert (store.timing, store.addresses) == (config.timing, (b"\x0a\x00\x00\x01",))


# Answering


class Chain:
    """The rest of a chain: notes that it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def __call__(self, request: Request) -> Reply:
        """Answer with a code that no zone gives."""
        self.asked += 1
        return Reply(rcode=Rcode.NOTAUTH)


class Listed:
    """A source that lists some objects, or fails."""

    def __init__(self, events: list[Event], error: Exception | None = None) -> None:
        self.kinds = frozenset(Kind)
        self.status = SourceStatus()
        self._events = events
        self._error = error

    async def events(self) -> AsyncIterator[Event]:
        """Yield them, then nothing more."""
        for event in self._events:
            yield event
        if self._error:
            raise self._error
        await asyncio.Event().wait()


def plugin_with(cluster: Cluster | None, *, fall_through: tuple[bytes, ...] | None = None) -> Kubernetes:
    """Return a plugin for cluster.local and in-addr.arpa."""
    zones = None if fall_through is None else tuple(from_text(to_text(zone)) for zone in fall_through)
    plugin = Kubernetes(Config(zones=(build.ZONE,), reverse_zones=(build.IN_ADDR,), fall_through=zones))
    plugin.cluster = cluster
    return plugin


async def synced_cluster() -> Cluster:
    """Return a cluster that holds one VMI and its Service."""
    config = plugin_with(None).config
    source: Source = Listed(build.lists([build.namespace(), build.service(), build.vmi()]))
    cluster = Cluster(Store(config.store(())), [source])
    task = asyncio.create_task(cluster.run())
    await cluster.wait_synced()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return cluster


NAMES = [  # name, the code where nothing falls through
    ("vm1.db.ns1.svc.cluster.local", Rcode.NOERROR),
    ("db.ns1.svc.cluster.local", Rcode.NOERROR),
    ("svc.cluster.local", Rcode.NOERROR),  # NODATA: an empty non-terminal
    ("nobody.db.ns1.svc.cluster.local", Rcode.NXDOMAIN),
    ("7.0.244.10.in-addr.arpa", Rcode.NOERROR),
    ("8.0.244.10.in-addr.arpa", Rcode.NXDOMAIN),
]
FALLS = [  # fallthrough's zones, the names of NAMES that the next plugin is asked for
    (None, []),
    (("example.org",), []),
    ((".",), ["nobody.db.ns1.svc.cluster.local", "8.0.244.10.in-addr.arpa"]),
    (("in-addr.arpa",), ["8.0.244.10.in-addr.arpa"]),
    (("ns1.svc.cluster.local", "11.in-addr.arpa"), ["nobody.db.ns1.svc.cluster.local"]),
    (("b.ns1.svc.cluster.local",), []),
]


@pytest.mark.parametrize(("zones", "falling"), FALLS)
async def test_fallthrough(zones: tuple[str, ...] | None, falling: list[str]) -> None:
    """Only names that do not exist go on, never NODATA, and only below fallthrough's zones."""
    fall_through = None if zones is None else tuple(map(from_text, zones))
    plugin = plugin_with(await synced_cluster(), fall_through=fall_through)
    for name, rcode in NAMES:
        chain = Chain()
        reply = await plugin.handle(request(name), chain)
        assert (chain.asked == 1) == (name in falling), name
        assert reply.rcode == (Rcode.NOTAUTH if name in falling else rcode), name


async def test_other_names_are_passed_on() -> None:
    """What is in none of its zones is not the plugin's, even while it does not run."""
    chain = Chain()
    for cluster in (None, await synced_cluster()):
        assert (await plugin_with(cluster).handle(request("example.org"), chain)).rcode == Rcode.NOTAUTH
    assert chain.asked == 2


async def test_not_running() -> None:
    """A plugin that was never started cannot answer, and is not ready."""
    plugin = plugin_with(None)
    assert not plugin.ready()
    with pytest.raises(PluginError, match=r"^plugin/kubernetes: not running$"):
        await plugin.handle(request("a.cluster.local"), Chain())


def test_nothing_to_ask_before_it_runs() -> None:
    """A plugin that was never started has nothing."""
    plugin = plugin_with(None)
    assert (tuple(plugin.services()), plugin.service("a", "b"), plugin.endpoints("a", "b")) == ((), None, ())
    assert (plugin.exposed("a"), plugin.transferable(from_text("cluster.local"))) == (False, None)
    assert (plugin.search_path("10.244.0.7", CONTEXT_ZONES[0]), plugin.synced) == ((), False)


@pytest.mark.parametrize(("fall_through", "rcode"), [(None, Rcode.SERVFAIL), ((ROOT,), Rcode.NOTAUTH)])
async def test_not_synced(fall_through: tuple[bytes, ...] | None, rcode: int) -> None:
    """SERVFAIL instead of NXDOMAIN; with fallthrough the next plugin is asked, as in CoreDNS."""
    plugin = plugin_with(None, fall_through=fall_through)
    plugin.cluster = Cluster(Store(plugin.config.store(())), [])
    assert not plugin.ready()
    assert (await plugin.handle(request("a.cluster.local"), Chain())).rcode == rcode
    assert (await plugin.handle(request("cluster.local"), Chain())).rcode == Rcode.NOERROR


async def test_longest_zone_of_the_plugin() -> None:
    """Where one zone is inside another, the inner one answers."""
    inner = from_text("inner.cluster.local")
    plugin = Kubernetes(Config(zones=(build.ZONE, inner), reverse_zones=()))
    plugin.cluster = Cluster(Store(plugin.config.store(())), [])
    reply = await plugin.handle(request("x.inner.cluster.local"), Chain())
    assert reply.origin == inner


async def test_serial() -> None:
    """What `k8s_external` makes of the same objects has a serial of its own, 0 while nothing has been read."""
    assert plugin_with(None).serial == plugin_with(Cluster(Store(plugin_with(None).config.store(())), [])).serial == 0
    assert plugin_with(await synced_cluster()).serial > 0


def test_same_as() -> None:
    """A reload keeps what is known of a cluster that is configured as before, and only then."""
    plugin = Kubernetes(option("ttl 7"))
    assert plugin.same_as(Kubernetes(option("ttl 7")))
    assert not plugin.same_as(Kubernetes(option("ttl 8")))
    assert not plugin.same_as(Plugin())


# Running


def written(tmp_path: Path) -> Path:
    """Return a file with one published VMI."""
    items = [build.namespace_json(), build.service_json(), build.vmi_json()]
    path = tmp_path / "objects.json"
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    return path


async def test_runs_on_manifests(world: World, tmp_path: Path) -> None:
    """Ready and answering as soon as it runs; its metrics go when it stops."""
    plugin = Kubernetes(Config(zones=(build.ZONE,), reverse_zones=(), manifests=(written(tmp_path),)))
    async with plugin.running(world.runtime):
        assert plugin.ready()
        reply = await plugin.handle(request("vm1.db.ns1.svc.cluster.local"), Chain())
        assert reply.answer[0].rdatas == (bytes([10, 244, 0, 7]),)
        assert b'dnsserver_synced{cluster="cluster.local."} 1.0' in await world.runtime.metrics.render()
    assert b"dnsserver_synced" not in await world.runtime.metrics.render()
    assert not world.failures


async def test_manifests_that_are_gone(world: World, tmp_path: Path) -> None:
    """A path that has vanished since the Corefile was read is an error at the start."""
    plugin = Kubernetes(Config(zones=(build.ZONE,), reverse_zones=(), manifests=(tmp_path / "gone",)))
    with pytest.raises(PluginError, match=r"^plugin/kubernetes: .*gone.*no such file or folder"):
        async with plugin.running(world.runtime):
            raise AssertionError("it runs")


async def test_api_that_cannot_be_configured(world: World, tmp_path: Path) -> None:
    """A kubeconfig that is not there is an error at the start, and not a retry for ever."""
    config = option("kubeconfig nowhere", folder=tmp_path)
    with pytest.raises(PluginError, match=r"^plugin/kubernetes: kubeconfig .*nowhere: No such file"):
        async with Kubernetes(config).running(world.runtime):
            raise AssertionError("it runs")


def use_sources(monkeypatch: pytest.MonkeyPatch, *sources: Source) -> None:
    """Let the plugin follow these sources."""

    async def give(plugin: Kubernetes, stack: object, runtime: object) -> list[Source]:
        return list(sources)

    monkeypatch.setattr(Kubernetes, "_sources", give)


async def test_startup_timeout(world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """It starts unsynced once the time is over, and says so; SERVFAIL until the lists come."""
    use_sources(monkeypatch, Listed([]))
    plugin = Kubernetes(Config(zones=(build.ZONE,), reverse_zones=(), startup_timeout=0.05))
    with caplog.at_level(logging.INFO):
        async with plugin.running(world.runtime):
            assert not plugin.ready()
            assert (await plugin.handle(request("a.cluster.local"), Chain())).rcode == Rcode.SERVFAIL
    assert [(record.name, record.getMessage()) for record in caplog.records] == [
        ("plugin/kubernetes", "starting server with unsynced Kubernetes API")
    ]


async def test_waiting_is_told(world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """While it waits it says so again and again, and starts as soon as the lists are there."""
    told = asyncio.Event()

    class Slow(Listed):
        async def events(self) -> AsyncIterator[Event]:
            await told.wait()
            async for event in super().events():
                yield event

    use_sources(monkeypatch, Slow(build.lists([])))
    monkeypatch.setattr(module, "_WAITING_EVERY", 0.01)
    plugin = Kubernetes(Config(zones=(build.ZONE,), reverse_zones=()))
    with caplog.at_level(logging.INFO):
        starting = asyncio.create_task(plugin.running(world.runtime).__aenter__())
        await until(lambda: len(caplog.records) > 1)
        told.set()
        await starting
        assert plugin.ready()
    assert {record.getMessage() for record in caplog.records} == {"waiting for Kubernetes API before starting server"}


async def test_source_that_fails_ends_the_process(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault of ours is for the supervisor; the message names what happened."""
    use_sources(monkeypatch, Listed(build.lists([]), ZeroDivisionError("broken")))
    plugin = Kubernetes(Config(zones=(build.ZONE,), reverse_zones=(), startup_timeout=0.2))
    async with plugin.running(world.runtime), asyncio.timeout(5):
        while not world.failures:  # noqa: ASYNC110 -- a plain list
            await asyncio.sleep(0)
    assert world.failures == ["plugin/kubernetes: ZeroDivisionError: broken"]
    assert "can no longer be followed" in caplog.text


async def test_source_error_while_connecting(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the connection refuses is the plugin's error."""

    def refuse(config: object) -> None:
        raise SourceError("no certificate")

    monkeypatch.setattr(module, "connect", refuse)
    with pytest.raises(PluginError, match=r"^plugin/kubernetes: no certificate$"):
        async with Kubernetes(Config(zones=(build.ZONE,), reverse_zones=())).running(world.runtime):
            raise AssertionError("it runs")


# Over the API: what is watched, and what is measured


def running_on(api: FakeApiServer, options: str = "", zones: str = "cluster.local") -> Kubernetes:
    """Return a plugin that follows an API server."""
    return Kubernetes(parsed(f"kubernetes {zones} {{\nendpoint {api.url}\n{options}\n}}"))


async def test_what_is_watched(world: World) -> None:
    """Pods and imports are read where an option wants them, with the selectors that CoreDNS has for them."""
    async with FakeApiServer() as api:
        options = "pods verified\nmulticluster clusterset.local\nlabels app=web\nnamespace_labels team=a"
        plugin = running_on(api, options, "cluster.local clusterset.local")
        async with plugin.running(world.runtime):
            assert plugin.ready()
        asked = {
            one.resource: (one.query.get("labelSelector", ""), one.query.get("fieldSelector", ""))
            for one in api.requests
            if one.verb == "list"
        }
    assert asked == {
        "namespaces": ("team=a", ""),
        "services": ("app=web", ""),
        "endpointslices": ("app=web", ""),
        "pods": ("app=web", "status.phase!=Succeeded,status.phase!=Failed,status.phase!=Unknown"),
        "serviceimports": ("", ""),
        "virtualmachineinstances": ("", ""),
    }


@pytest.mark.parametrize(
    ("options", "resources"),
    [
        ("kubevirt off", {"namespaces", "services", "endpointslices"}),
        ("kubevirt off\nnoendpoints", {"namespaces", "services"}),
        ("kubevirt off\npods insecure", {"namespaces", "services", "endpointslices"}),
        ("noendpoints", {"namespaces", "services", "virtualmachineinstances"}),
    ],
)
async def test_what_is_not_watched(world: World, options: str, resources: set[str]) -> None:
    """Nothing is read that no answer needs."""
    async with FakeApiServer() as api:
        async with running_on(api, options).running(world.runtime):
            pass
        assert {one.resource for one in api.requests if one.verb == "list"} == resources


PROGRAMMING = "coredns_kubernetes_dns_programming_duration_seconds"


async def programmed(world: World) -> str:
    """Return the lines of the metric that has been observed for something."""
    lines = (await world.runtime.metrics.render()).decode().splitlines()
    return "\n".join(line for line in lines if line.startswith(PROGRAMMING))


async def test_programming_metric(world: World) -> None:
    """From the change that a slice tells of to its being served, for both kinds of Service, by the wall clock."""
    async with FakeApiServer() as api:
        for value in (
            namespace_json(),
            service_json("web", cluster_ip="10.96.0.10"),
            service_json("hl"),
            service_json("bare", selector={}),
        ):
            api.put(value)
        async with running_on(api).running(world.runtime):
            for name, age in (("web", 3.0), ("hl", 0.3), ("bare", 1.0), ("nobody", 1.0)):
                began = datetime.now(UTC) - timedelta(seconds=age)
                slice_json = endpoint_slice_json(
                    endpoint_json("10.244.0.7"), name=f"{name}-1", service=name, triggered=began.isoformat()
                )
                api.put(slice_json)
            async with asyncio.timeout(5):
                while (text := await programmed(world)).count("_count{") < 2:  # noqa: ASYNC110 -- as Prometheus sees it
                    await asyncio.sleep(0.005)
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines())
    for kind_of_service, below, above in (
        ("cluster_ip", "2.048", "16.384"),
        ("headless_with_selector", "0.256", "8.192"),
    ):
        buckets = [
            lines[f'{PROGRAMMING}_bucket{{le="{le}",service_kind="{kind_of_service}"}}'] for le in (below, above)
        ]
        assert buckets == ["0.0", "1.0"]
