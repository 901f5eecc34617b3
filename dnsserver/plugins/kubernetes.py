"""`kubernetes`: the cluster's names, from the API server or from manifests (CoreDNS plugin/kubernetes; KubeVirt)."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from asyncio_extras import call_in_executor

from dnsserver.admin.own_metrics import cluster_families, teller_families
from dnsserver.admin.rest_metrics import rest_families
from dnsserver.answer import answer, leads_outside
from dnsserver.cluster import Cluster
from dnsserver.derive.endpoint import Endpoint
from dnsserver.message import Query, Reply
from dnsserver.names import Name, is_at_or_below
from dnsserver.objects import Kind, Service
from dnsserver.plugins.kubernetes_options import Config, parse_config
from dnsserver.plugins.kubernetes_paths import search_path
from dnsserver.plugins.plugin import Context, Directives, Handler, Plugin, PluginError, Request, Runtime
from dnsserver.records import Rcode, RRClass, RRType
from dnsserver.sources.kubernetes import ApiConnection, SourceError, connect
from dnsserver.sources.manifests import ManifestError, Manifests
from dnsserver.sources.source import Source
from dnsserver.sources.watch import ResourceWatch
from dnsserver.store import Store
from dnsserver.store.journal import Journal
from dnsserver.telling import Teller
from dnsserver.zone import Zone, find_origin

__all__ = ["Config", "Kubernetes", "parse"]

_log = logging.getLogger("plugin/kubernetes")

_TRANSFERS = (RRType.AXFR, RRType.IXFR)
# what gets here was not answered by the `transfer` plugin; INFO-CODE 21 is Not Supported (RFC 8914, section 4.22)
_NO_TRANSFER = Reply(rcode=Rcode.REFUSED, authoritative=False, extended_error=(21, ""))
_CLASSES = (int(RRClass.IN), int(RRClass.ANY))
_WAITING_EVERY = 0.5  # seconds between two lines that say what start-up waits for


def parse(directives: Directives, context: Context) -> tuple[Plugin, ...]:
    """Parse the plugin's one directive. Raises `CorefileError`."""
    return (Kubernetes(parse_config(directives, context)),)


class Kubernetes(Plugin):
    """Answers for the cluster's zones."""

    name = "kubernetes"

    def __init__(self, config: Config) -> None:
        self.config = config
        self.cluster: Cluster | None = None
        self._origins = config.origins
        self._runtime: Runtime | None = None
        self._api: ApiConnection | None = None  # None with manifests
        self._walkers = 0  # who asks for search paths
        self._followers: list[Callable[[], None]] = []

    # -- queries -------------------------------------------------------------------------------------------------------

    async def handle(self, request: Request, call_next: Handler) -> Reply:
        """Answer a name in one of the zones; pass on any other, and NXDOMAIN where `fallthrough` says so."""
        query = request.query
        origin = find_origin(self._origins, query.name)
        if origin is None or query.qclass not in _CLASSES:
            return await call_next(request)
        if query.qtype in _TRANSFERS:
            return _NO_TRANSFER
        zone = self.transferable(origin)
        if zone is None or self.cluster is None:
            raise PluginError(self.name, "not running")
        reply = answer(zone, query, synced=self.cluster.synced)
        if reply.rcode != Rcode.NOERROR and self._falls_through(query.name):
            return await call_next(request)
        target = leads_outside(reply, query)
        return reply if target is None else await self._follow_alias(request, reply, target)

    def _falls_through(self, name: Name) -> bool:
        """Say whether what does not exist here is the next plugin's to answer."""
        return any(is_at_or_below(name, zone) for zone in self.config.fall_through or ())

    async def _follow_alias(self, request: Request, reply: Reply, target: Name) -> Reply:
        """Ask the whole server for the target of an ExternalName Service; without an answer the alias stands alone.

        The alias is our own data, so the answer stays authoritative and its code NOERROR, whatever the target's
        (CoreDNS pkg/upstream).
        """
        if self._runtime is None:
            return reply
        query = request.query
        spelled = reply.answer[-1].rdatas[0]
        further = Query(
            id=query.id,
            qname=spelled,
            name=target,
            qtype=query.qtype,
            recursion_desired=query.recursion_desired,
            checking_disabled=query.checking_disabled,
            edns=query.edns,
            size=query.size,
        )
        try:
            found = await self._runtime.ask(request, further)
        except PluginError:
            return reply
        further_answer = tuple(one for one in found.answer if one not in reply.answer)  # aliases may lead in circles
        return Reply(
            answer=reply.answer + further_answer,
            additional=found.additional if further_answer else (),
            origin=reply.origin,
            truncated=found.truncated,
        )

    def ready(self) -> bool:
        """Say whether the cluster has been read once."""
        return self.cluster is not None and self.cluster.synced

    # -- what other plugins ask ----------------------------------------------------------------------------------------

    def same_as(self, old: Plugin) -> bool:
        """Say whether a reload may keep what `old` knows of the cluster."""
        return isinstance(old, Kubernetes) and old.config == self.config

    @property
    def synced(self) -> bool:
        """Whether the cluster has been read once."""
        return self.ready()

    @property
    def serial(self) -> int:
        """The serial of what is made of the cluster's objects elsewhere (`k8s_external`)."""
        return self.cluster.store.serial if self.cluster else 0

    @property
    def version(self) -> int:
        """Another number whenever the cluster's objects have changed (`k8s_external`)."""
        return self.cluster.store.version if self.cluster else 0

    def seal(self) -> float:
        """Have nothing that changes share the present serial; return in how many seconds nothing could anyway."""
        return self.cluster.store.seal(time.monotonic()) if self.cluster else 0.0

    @property
    def origins(self) -> tuple[Name, ...]:
        """The zones (`transfer`)."""
        return self._origins

    def is_whole(self, origin: Name) -> bool:
        """Say whether all of a zone is transferred: CoreDNS has no zones of interfaces to choose from (`transfer`)."""
        return origin in self.config.interface_zones

    def journal(self, origin: Name) -> Journal | None:
        """Return a zone's journal, which is kept from then on (`transfer`)."""
        return self.cluster.journal(origin) if self.cluster else None

    def follow(self, published: Callable[[], None]) -> Callable[[], None]:
        """Have `published` called whenever zones have changed, and once all is synced; returns what ends that."""
        self._followers.append(published)
        return lambda: self._followers.remove(published)

    def may_fall_through(self, origin: Name) -> bool:
        """Say whether a name of a zone that does not exist may be the next plugin's to answer."""
        zones = self.config.fall_through or ()
        return any(is_at_or_below(origin, zone) or is_at_or_below(zone, origin) for zone in zones)

    def _published(self) -> None:
        """Tell those who follow."""
        for published in self._followers:
            published()

    def transferable(self, name: Name) -> Zone | None:
        """Return the zone with that origin (`transfer`)."""
        return next((zone for zone in self.cluster.zones if zone.origin == name), None) if self.cluster else None

    def search_path(self, client_address: str, asked: Name) -> tuple[Name, ...]:
        """Return the search path of the VMI or the pod that has an address; none where none has it (`autopath`)."""
        if self.cluster is None:
            return ()
        return search_path(self.cluster.store, self.config.zones, client_address, asked)

    def give_paths(self) -> Callable[[], None]:
        """Know the search paths of VMIs from now on; returns what ends that (`autopath`).

        Those of pods are known with `pods verified`. CoreDNS says nothing where there are none to know.
        """
        kinds = self.config.store(()).kinds
        if Kind.POD not in kinds and Kind.VMI not in kinds:
            _log.warning("autopath finds no client here: it needs 'pods verified', or VMIs (not 'kubevirt off')")
        self._change_walkers(1)
        return lambda: self._change_walkers(-1)

    def _change_walkers(self, change: int) -> None:
        """Count those who ask for search paths; without any, nothing is kept for them."""
        self._walkers += change
        if self.cluster is not None:
            self.cluster.want_guests(wanted=self._walkers > 0)

    def services(self) -> Iterable[Service]:
        """Return the Services that are published (`k8s_external`)."""
        return self.cluster.store.services() if self.cluster else ()

    def service(self, namespace: str, name: str) -> Service | None:
        """Return one Service that is published (`k8s_external`)."""
        return self.cluster.store.service((namespace, name)) if self.cluster else None

    def endpoints(self, namespace: str, name: str) -> tuple[Endpoint, ...]:
        """Return the endpoints that a Service publishes (`k8s_external`)."""
        return self.cluster.store.endpoints((namespace, name)) if self.cluster else ()

    def exposed(self, namespace: str) -> bool:
        """Say whether a namespace is published (`k8s_external`)."""
        return self.cluster is not None and self.cluster.store.exposed(namespace)

    # -- life ----------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def running(self, runtime: Runtime) -> AsyncIterator[None]:
        """Follow the cluster. Raises `PluginError` where it cannot be reached at all by what the options say."""
        self._runtime = runtime
        async with AsyncExitStack() as stack:
            cluster = self.cluster = await self._connect(stack, runtime)
            cluster.want_guests(wanted=self._walkers > 0)
            stack.callback(runtime.metrics.register(lambda: cluster_families(cluster)))
            tasks = [asyncio.create_task(self._follow(cluster, runtime.fail)), *self._tell(cluster, stack, runtime)]
            try:
                await self._wait_for_first_sync(cluster)
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    def _tell(self, cluster: Cluster, stack: AsyncExitStack, runtime: Runtime) -> Iterator[asyncio.Task[None]]:
        """Have Events written about VMIs without names, where the options ask for it."""
        if self.config.events and self._api is not None:
            teller = Teller(cluster.store, self._api)
            stack.callback(self.follow(teller.published))
            stack.callback(runtime.metrics.register(lambda: teller_families(teller, self.config.zones[0])))
            yield asyncio.create_task(_guarded(teller))

    async def _connect(self, stack: AsyncExitStack, runtime: Runtime) -> Cluster:
        """Return the cluster with its stores and sources."""
        try:
            sources = await self._sources(stack, runtime)
        except (SourceError, ManifestError) as error:
            raise PluginError(self.name, str(error)) from error
        imported = self.config.imported_store(runtime.addresses)
        return Cluster(
            Store(self.config.store(runtime.addresses)),
            sources,
            imported=None if imported is None else Store(imported),
            published=self._published,
            programmed=lambda kind, seconds: runtime.metrics.programming(kind).observe(seconds),
        )

    async def _sources(self, stack: AsyncExitStack, runtime: Runtime) -> list[Source]:
        """Return the manifests, or a watch for each kind."""
        config = self.config
        further = config.interfaces.further if config.interfaces is not None else None
        if config.manifests:
            manifests = Manifests(config.manifests, further=further)
            await call_in_executor(manifests.check)
            return [manifests]
        api = self._api = await stack.enter_async_context(connect(config.api))
        stack.callback(runtime.metrics.register(lambda: rest_families(api.stats)))
        return [
            ResourceWatch(api, kind, selector=labels, field_selector=fields, further=further)
            for kind in self._kinds()
            for labels, fields in (config.selectors(kind),)
        ]

    def _kinds(self) -> Sequence[Kind]:
        """Return the kinds to watch, in a fixed order."""
        kinds = self.config.store(()).kinds
        if (imported := self.config.imported_store(())) is not None:
            kinds |= imported.kinds
        return sorted(kinds, key=lambda kind: kind.value)

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
                synced = asyncio.create_task(cluster.wait_synced())
                try:
                    while not (await asyncio.wait((synced,), timeout=_WAITING_EVERY))[0]:
                        _log.info("waiting for Kubernetes API before starting server")
                finally:
                    synced.cancel()
        except TimeoutError:
            _log.warning("starting server with unsynced Kubernetes API")


async def _guarded(teller: Teller) -> None:
    """Run a teller; a fault of our own ends the Events, and nothing else."""
    try:
        await teller.run()
    except Exception:
        _log.exception("no more Events are written")
