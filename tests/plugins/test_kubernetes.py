"""The plugin's options, its zones, `fallthrough`, and how it starts, waits and fails."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
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
from dnsserver.plugins.plugin import Context, PluginError, Request
from dnsserver.records import Rcode
from dnsserver.sources.api import SourceError
from dnsserver.sources.source import Source, SourceStatus
from dnsserver.store import Store
from tests import build
from tests.plugins.conftest import World, request

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
    assert config == Config(zones=(from_text("cluster.local"),), reverse_zones=(from_text("in-addr.arpa"),))
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
]


@pytest.mark.parametrize(("text", "attribute", "value"), GOOD)
def test_good_values(text: str, attribute: str, value: object) -> None:
    """Each option lands in the configuration."""
    found: object = option(text)
    for name in attribute.split("."):
        found = getattr(found, name)
    assert found == value
    assert type(found) is type(value)


BAD = [  # option, what the error says behind file, line and plugin
    ("endpoint", "Wrong argument count or unexpected line ending after 'endpoint'"),
    ("endpoint a b", "Wrong argument count or unexpected line ending after 'b'"),
    ("endpoint 10.0.0.1:443", "endpoint is a URL such as https://10.96.0.1:443, not '10.0.0.1:443'"),
    ("endpoint ftp://x", "endpoint is a URL such as https://10.96.0.1:443, not 'ftp://x'"),
    ("tls a b", "Wrong argument count or unexpected line ending after 'b'"),
    ("tls a b c d", "Wrong argument count or unexpected line ending after 'd'"),
    ("kubeconfig", "Wrong argument count or unexpected line ending after 'kubeconfig'"),
    ("kubeconfig a b c", "Wrong argument count or unexpected line ending after 'c'"),
    ("manifests", "Wrong argument count or unexpected line ending after 'manifests'"),
    ("manifests nowhere", "manifests: no such file or folder: /etc/dns/nowhere"),
    ("kubevirt", "Wrong argument count or unexpected line ending after 'kubevirt'"),
    ("kubevirt yes", "kubevirt is one of auto, on, off, only, not 'yes'"),
    ("migration_grace", "Wrong argument count or unexpected line ending after 'migration_grace'"),
    ("migration_grace 5", 'time: missing unit in duration "5", expecting a duration such as 5s, 1m30s or 100ms'),
    ("migration_grace -5s", "duration -5s is negative, expecting 0s or more"),
    ("address_hold soon", 'time: invalid duration "soon", expecting a duration such as 5s, 1m30s or 100ms'),
    ("startup_timeout -1s", "duration -1s is negative, expecting 0s or more"),
    ("startup_timeout 1s 2s", "Wrong argument count or unexpected line ending after '2s'"),
    ("ttl", "Wrong argument count or unexpected line ending after 'ttl'"),
    ("ttl 3601", "ttl must be in range [0, 3600]: 3601"),
    ("ttl -1", "ttl must be in range [0, 3600]: -1"),
    ("ttl 5s", "ttl must be in range [0, 3600]: 5s"),
    ("ttl 0000099999999", "ttl must be in range [0, 3600]: 0000099999999"),
    ("ttl ²", "ttl must be in range [0, 3600]: ²"),
    ("namespaces", "Wrong argument count or unexpected line ending after 'namespaces'"),
    ("labels", "Wrong argument count or unexpected line ending after 'labels'"),
    ("namespace_labels", "Wrong argument count or unexpected line ending after 'namespace_labels'"),
    ("endpoint_pod_names yes", "Wrong argument count or unexpected line ending after 'yes'"),
    ("pods", "Wrong argument count or unexpected line ending after 'pods'"),
    ("pods some", "wrong value for pods: some, expecting one of disabled, insecure, verified"),
    ("resyncperiod 5m", "unknown property 'resyncperiod'"),
    ("TTL 5", "unknown property 'TTL'"),
    ("ttl 5 {\n x\n }", "'ttl' takes no block"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_bad_values(text: str, message: str) -> None:
    """Each refusal says where, and what was expected."""
    with pytest.raises(corefile.CorefileError) as caught:
        option(f"\n{text}")
    assert str(caught.value) == f"plugin/kubernetes: Corefile:4 - Error during parsing: {message}"


@pytest.mark.parametrize(
    "name", ["endpoint http://x", "tls a b c", "kubeconfig x", "labels a=b", "namespace_labels a=b"]
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
