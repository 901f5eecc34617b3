"""`kubernetes`: the cluster's names, from the API server or from manifests (CoreDNS plugin/kubernetes; KubeVirt)."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import get_args

from asyncio_extras import call_in_executor

from dnsserver.admin.own_metrics import cluster_families
from dnsserver.answer import answer
from dnsserver.cluster import Cluster
from dnsserver.corefile import Directive, Property, plugin_zones
from dnsserver.derive.observation import Timing
from dnsserver.message import Reply
from dnsserver.names import Name, from_text, is_at_or_below, to_text
from dnsserver.objects import Kind
from dnsserver.plugins.options import duration
from dnsserver.plugins.plugin import Context, Handler, Plugin, PluginError, Request, Runtime
from dnsserver.records import Rcode, RRType
from dnsserver.sources.kubernetes import ApiConfig, SourceError, connect
from dnsserver.sources.manifests import ManifestError, Manifests
from dnsserver.sources.source import Source
from dnsserver.sources.watch import ResourceWatch
from dnsserver.store import Store, StoreConfig
from dnsserver.store.config import Kubevirt
from dnsserver.zone import find_origin

_log = logging.getLogger("plugin/kubernetes")

MAX_TTL = 3600  # seconds (CoreDNS plugin/kubernetes setup.go)
_REVERSE = (from_text("in-addr.arpa"), from_text("ip6.arpa"))
_API_ONLY = frozenset({"endpoint", "tls", "kubeconfig", "labels", "namespace_labels"})  # options
_TRANSFERS = (RRType.AXFR, RRType.IXFR)
# what gets here was not answered by the `transfer` plugin; INFO-CODE 21 is Not Supported (RFC 8914, section 4.22)
_NO_TRANSFER = Reply(rcode=Rcode.REFUSED, authoritative=False, extended_error=(21, ""))
_LABELLED = (Kind.SERVICE, Kind.ENDPOINT_SLICE)  # what `labels` selects among


@dataclass(frozen=True, slots=True)
class Config:
    """The plugin's options."""

    zones: tuple[Name, ...]  # forward zones
    reverse_zones: tuple[Name, ...]
    api: ApiConfig = field(default_factory=ApiConfig)
    manifests: tuple[Path, ...] = ()
    kubevirt: Kubevirt = "auto"
    timing: Timing = field(default_factory=Timing)
    ttl: int = 5  # seconds
    namespaces: frozenset[str] = frozenset()
    labels: str = ""
    namespace_labels: str = ""
    endpoint_pod_names: bool = False
    fall_through: tuple[Name, ...] | None = None  # None: never; the root: for every zone
    startup_timeout: float = 5.0  # seconds to wait for the first sync before anything is answered

    def store(self, addresses: tuple[bytes, ...]) -> StoreConfig:
        """Return what the store needs to know."""
        return StoreConfig(
            zones=self.zones,
            reverse_zones=self.reverse_zones,
            ttl=self.ttl,
            kubevirt=self.kubevirt,
            timing=self.timing,
            namespaces=self.namespaces,
            pod_names=self.endpoint_pod_names,
            addresses=addresses,
        )


def parse(directives: Sequence[Directive], context: Context) -> tuple[Plugin, ...]:
    """Parse the plugin's one directive. Raises `CorefileError`."""
    if len(directives) > 1:
        raise directives[1].error("this plugin can only be used once per Server Block")
    (directive,) = directives
    config = _zones(directive, context)
    for option in directive.properties:
        known = _OPTIONS.get(option.name)
        if known is None:
            raise option.unknown()
        config = known(config, option, context)
    if config.manifests and (foreign := next((one for one in directive.properties if one.name in _API_ONLY), None)):
        raise foreign.error(f"'{foreign.name}' is for objects from an API server, and cannot go with 'manifests'")
    return (Kubernetes(config),)


def _zones(directive: Directive, context: Context) -> Config:
    """Return a configuration of the plugin's zones, or the server block's."""
    origins = tuple(from_text(zone) for zone in plugin_zones(directive.args, [to_text(zone) for zone in context.zones]))
    reverse = tuple(zone for zone in origins if any(is_at_or_below(zone, root) for root in _REVERSE))
    forward = tuple(zone for zone in origins if zone not in reverse)
    if not forward:
        raise directive.error("non-reverse zone name must be used")
    return Config(zones=forward, reverse_zones=reverse)


def _arguments(option: Property, least: int, most: int | None = None) -> tuple[str, ...]:
    """Return an option's arguments if their number is right."""
    if option.properties:
        raise option.error(f"'{option.name}' takes no block")
    if len(option.args) < least or (most is not None and len(option.args) > most):
        raise option.argument_error()
    return option.args


def _endpoint(config: Config, option: Property, context: Context) -> Config:
    del context
    (url,) = _arguments(option, 1, 1)
    if not url.startswith(("http://", "https://")):
        raise option.error(f"endpoint is a URL such as https://10.96.0.1:443, not '{url}'", 0)
    return replace(config, api=replace(config.api, endpoint=url.rstrip("/")))


def _tls(config: Config, option: Property, context: Context) -> Config:
    cert, key, ca = (str(context.folder / argument) for argument in _arguments(option, 3, 3))
    return replace(config, api=replace(config.api, cert_file=cert, key_file=key, ca_file=ca))


def _kubeconfig(config: Config, option: Property, context: Context) -> Config:
    path, *rest = _arguments(option, 1, 2)
    name = rest[0] if rest else ""
    return replace(config, api=replace(config.api, kubeconfig=str(context.folder / path), context=name))


def _manifests(config: Config, option: Property, context: Context) -> Config:
    paths = tuple(context.folder / argument for argument in _arguments(option, 1))
    for index, path in enumerate(paths):
        if not path.exists():
            raise option.error(f"manifests: no such file or folder: {path}", index)
    return replace(config, manifests=config.manifests + paths)


def _kubevirt(config: Config, option: Property, context: Context) -> Config:
    del context
    (mode,) = _arguments(option, 1, 1)
    modes: dict[str, Kubevirt] = {one: one for one in get_args(Kubevirt)}
    if mode not in modes:
        raise option.error(f"kubevirt is one of {', '.join(modes)}, not '{mode}'", 0)
    return replace(config, kubevirt=modes[mode])


def _seconds(option: Property) -> float:
    """Return an option's one argument, a duration."""
    _arguments(option, 1, 1)
    return duration(option)


def _migration_grace(config: Config, option: Property, context: Context) -> Config:
    del context
    return replace(config, timing=Timing(_seconds(option), config.timing.address_hold))


def _address_hold(config: Config, option: Property, context: Context) -> Config:
    del context
    return replace(config, timing=Timing(config.timing.migration_grace, _seconds(option)))


def _startup_timeout(config: Config, option: Property, context: Context) -> Config:
    del context
    return replace(config, startup_timeout=_seconds(option))


def _ttl(config: Config, option: Property, context: Context) -> Config:
    del context
    (text,) = _arguments(option, 1, 1)
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and int(text) <= MAX_TTL):
        raise option.error(f"ttl must be in range [0, {MAX_TTL}]: {text}", 0)
    return replace(config, ttl=int(text))


def _namespaces(config: Config, option: Property, context: Context) -> Config:
    del context
    return replace(config, namespaces=config.namespaces | frozenset(_arguments(option, 1)))


def _labels(config: Config, option: Property, context: Context) -> Config:
    del context
    return replace(config, labels=" ".join(_arguments(option, 1)))


def _namespace_labels(config: Config, option: Property, context: Context) -> Config:
    del context
    return replace(config, namespace_labels=" ".join(_arguments(option, 1)))


def _endpoint_pod_names(config: Config, option: Property, context: Context) -> Config:
    del context
    _arguments(option, 0, 0)
    return replace(config, endpoint_pod_names=True)


def _pods(config: Config, option: Property, context: Context) -> Config:
    del context
    (mode,) = _arguments(option, 1, 1)
    if mode != "disabled":
        raise option.error(f"pods can only be 'disabled' so far, not '{mode}'", 0)
    return config


def _fallthrough(config: Config, option: Property, context: Context) -> Config:
    del context
    zones = plugin_zones(_arguments(option, 0), ["."])
    return replace(config, fall_through=tuple(from_text(zone) for zone in zones))


_OPTIONS: dict[str, Callable[[Config, Property, Context], Config]] = {
    "endpoint": _endpoint,
    "tls": _tls,
    "kubeconfig": _kubeconfig,
    "manifests": _manifests,
    "kubevirt": _kubevirt,
    "migration_grace": _migration_grace,
    "address_hold": _address_hold,
    "startup_timeout": _startup_timeout,
    "ttl": _ttl,
    "namespaces": _namespaces,
    "labels": _labels,
    "namespace_labels": _namespace_labels,
    "endpoint_pod_names": _endpoint_pod_names,
    "pods": _pods,
    "fallthrough": _fallthrough,
}


class Kubernetes(Plugin):
    """Answers for the cluster's zones."""

    name = "kubernetes"

    def __init__(self, config: Config) -> None:
        self.config = config
        self.cluster: Cluster | None = None
        self._origins = (*config.zones, *config.reverse_zones)

    async def handle(self, request: Request, call_next: Handler) -> Reply:
        """Answer a name in one of the zones; pass on any other, and NXDOMAIN where `fallthrough` says so."""
        name = request.query.name
        origin = find_origin(self._origins, name)
        if origin is None:
            return await call_next(request)
        if request.query.qtype in _TRANSFERS:
            return _NO_TRANSFER
        if self.cluster is None:
            raise PluginError(self.name, "not running")
        zone = next(one for one in self.cluster.zones if one.origin == origin)
        reply = answer(zone, request.query, synced=self.cluster.synced)
        missing = reply.rcode != Rcode.NOERROR and not reply.answer
        if missing and any(is_at_or_below(name, one) for one in self.config.fall_through or ()):
            return await call_next(request)
        return reply

    def ready(self) -> bool:
        """Say whether the cluster has been read once."""
        return self.cluster is not None and self.cluster.synced

    @asynccontextmanager
    async def running(self, runtime: Runtime) -> AsyncIterator[None]:
        """Follow the cluster. Raises `PluginError` where it cannot be reached at all by what the options say."""
        async with AsyncExitStack() as stack:
            try:
                sources = await self._sources(stack)
            except (SourceError, ManifestError) as error:
                raise PluginError(self.name, str(error)) from error
            self.cluster = Cluster(Store(self.config.store(runtime.addresses)), sources)
            cluster = self.cluster
            stack.callback(runtime.metrics.register(lambda: cluster_families(cluster)))
            task = asyncio.create_task(self._follow(cluster, runtime.fail))
            try:
                await self._wait_for_first_sync(cluster)
                yield
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _sources(self, stack: AsyncExitStack) -> list[Source]:
        """Return the manifests, or a watch for each kind."""
        config = self.config
        if config.manifests:
            manifests = Manifests(config.manifests)
            await call_in_executor(manifests.check)
            return [manifests]
        api = await stack.enter_async_context(connect(config.api))
        selectors = dict.fromkeys(_LABELLED, config.labels) | {Kind.NAMESPACE: config.namespace_labels}
        kinds = config.store(()).kinds
        return [ResourceWatch(api, kind, selector=selectors.get(kind, "")) for kind in sorted(kinds, key=_by_name)]

    async def _follow(self, cluster: Cluster, fail: Callable[[str], None]) -> None:
        """Run the cluster; a fault of our own ends the process, so that its supervisor starts it afresh."""
        try:
            await cluster.run()
        except Exception as error:
            _log.exception("the cluster's objects can no longer be followed")
            first = error.exceptions[0] if isinstance(error, ExceptionGroup) else error
            fail(f"plugin/kubernetes: {type(first).__name__}: {first}")

    async def _wait_for_first_sync(self, cluster: Cluster) -> None:
        """Wait for the first sync, but not for ever: then SERVFAIL is answered until it comes."""
        try:
            async with asyncio.timeout(self.config.startup_timeout):
                await cluster.wait_synced()
        except TimeoutError:
            _log.warning("starting server with unsynced Kubernetes API")


def _by_name(kind: Kind) -> str:
    """Order kinds."""
    return kind.value
