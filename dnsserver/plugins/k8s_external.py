"""`k8s_external [ZONES...] { apex LABEL; ttl SECONDS; headless; fallthrough [ZONES...] }`: Services from outside.

`<service>.<namespace>.<zone>` is where a Service is reached from outside the cluster: its externalIPs and what its load
balancer has (CoreDNS plugin/k8s_external; plugin/kubernetes, external.go). Names, addresses and transfers are all read
from `ExternalService`.
"""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol, runtime_checkable

import msgspec

from dnsserver.corefile import Directive
from dnsserver.derive.endpoint import Endpoint, address_rrsets
from dnsserver.message import Reply
from dnsserver.names import (
    InvalidNameError,
    Name,
    fold,
    from_labels,
    intersection,
    is_at_or_below,
    labels,
    reverse_name,
)
from dnsserver.objects import Service
from dnsserver.plugins.external.options import Config, is_reverse, parse_config
from dnsserver.plugins.external.service import ExternalService, external_addresses
from dnsserver.plugins.plugin import Context, Handler, Plugin, PluginError, Request, Runtime, leave_fast_lane
from dnsserver.records import Rcode, RRClass, RRset, RRType, Soa
from dnsserver.zone import EXPIRE, REFRESH, RETRY, Fixed, Records, Zone, ZoneEditor, find_origin

__all__ = ["Config", "External", "ExternalSource", "parse"]

_CLASSES = (int(RRClass.IN), int(RRClass.ANY))
_TRANSFERS = (RRType.AXFR, RRType.IXFR)
# what gets here was not answered by the `transfer` plugin; INFO-CODE 21 is Not Supported (RFC 8914, section 4.22)
_NO_TRANSFER = Reply(rcode=Rcode.REFUSED, authoritative=False, extended_error=(21, ""))
_NOT_READY = (14, "")  # INFO-CODE of an extended error (RFC 8914, section 4.15)


@runtime_checkable
class ExternalSource(Protocol):
    """A plugin that knows the cluster's Services."""

    @property
    def synced(self) -> bool:
        """Whether the cluster has been read once."""
        ...

    @property
    def serial(self) -> int:
        """The serial of zones that are made of the cluster as it is now."""
        ...

    @property
    def version(self) -> int:
        """Another number whenever the cluster has changed; 0 before it has been read."""
        ...

    def seal(self) -> float:
        """Have nothing that changes share the present serial; return in how many seconds nothing could anyway."""
        ...

    def services(self) -> Iterable[Service]:
        """Return the Services that are published."""
        ...

    def service(self, namespace: str, name: str) -> Service | None:
        """Return one Service that is published."""
        ...

    def endpoints(self, namespace: str, name: str) -> tuple[Endpoint, ...]:
        """Return the ready endpoints of a Service."""
        ...

    def exposed(self, namespace: str) -> bool:
        """Say whether a namespace is there and published."""
        ...


def parse(directives: Sequence[Directive], context: Context) -> tuple[Plugin, ...]:
    """Return the block's only `k8s_external`. Raises `CorefileError`."""
    return (External(parse_config(directives, context)),)


class External(Plugin):
    """Answers for the external zones, from what the `kubernetes` plugin of the same server block knows."""

    name = "k8s_external"

    def __init__(self, config: Config) -> None:
        self.config = config
        self._source: ExternalSource | None = None
        self._runtime: Runtime | None = None
        # made when they are needed, each kept until the cluster changes, with its version
        self._zones: dict[Name, tuple[int, Zone]] = {}
        self._server: tuple[int, list[bytes]] = (0, [])  # this server's addresses, and the version they are from

    @asynccontextmanager
    async def running(self, runtime: Runtime) -> AsyncIterator[None]:
        """Find the source of Services. Raises `PluginError` where there is none."""
        plugin = next((one for one in runtime.block(self) if one.name == "kubernetes"), None)
        if plugin is None:
            raise PluginError(self.name, "kubernetes plugin not loaded")
        if not isinstance(plugin, ExternalSource):
            raise PluginError(self.name, "kubernetes plugin does not implement the Externaler interface")
        self._source, self._runtime = plugin, runtime
        yield

    # -- queries -------------------------------------------------------------------------------------------------------

    async def handle(self, request: Request, call_next: Handler) -> Reply:
        """Answer a name in one of the zones; pass on any other, and NXDOMAIN where `fallthrough` says so."""
        query = request.query
        origin = find_origin(self.config.zones, query.name)
        if origin is None or query.qclass not in _CLASSES:
            return await call_next(request)
        if query.qtype in _TRANSFERS:
            return _NO_TRANSFER
        source = self._running_source()
        sets, service = self._lookup(source, origin, query.name)
        if sets is None:
            if any(is_at_or_below(query.name, zone) for zone in self.config.fall_through or ()):
                return await call_next(request)
            missing = Reply(rcode=Rcode.NXDOMAIN, authority=(self._soa(source, origin),), origin=origin)
            if source.synced:
                return missing
            # it may only not be there yet
            return msgspec.structs.replace(missing, rcode=Rcode.SERVFAIL, extended_error=_NOT_READY)
        found = next((one for one in sets if one.rrtype == query.qtype), None)
        alias = next((one for one in sets if one.rrtype == RRType.CNAME), None)
        if found is None and alias is not None:
            return await self._follow_alias(request, alias, origin)
        if found is None:
            return Reply(authority=(self._soa(source, origin),), origin=origin)
        return Reply(answer=(found,), additional=self._additional(source, origin, found, service), origin=origin)

    def keeps(self, origin: Name, ttl: int) -> Iterable[Name]:
        """Keep the external zones."""
        del ttl
        return [common for zone in self.config.zones if (common := intersection(zone, origin)) is not None]

    def _running_source(self) -> ExternalSource:
        """Return the source; raises `PluginError` before the plugin runs."""
        if self._source is None:
            raise PluginError(self.name, "not running")
        return self._source

    async def _follow_alias(self, request: Request, alias: RRset, origin: Name) -> Reply:
        """Ask the whole server for a load balancer's host name; without an answer the alias stands alone.

        The alias is our own data: the answer stays authoritative and NOERROR, whatever the target's (CoreDNS
        pkg/upstream).
        """
        spelled = alias.rdatas[0]
        further = msgspec.structs.replace(request.query, qname=spelled, name=fold(spelled), qclass=int(RRClass.IN))
        reply = Reply(answer=(alias,), origin=origin)
        if self._runtime is None:
            return reply
        try:
            found = await self._runtime.ask(request, further)
        except PluginError:
            return reply
        return Reply(answer=(alias, *found.answer), origin=origin, truncated=found.truncated)

    def _additional(
        self, source: ExternalSource, origin: Name, found: RRset, service: ExternalService | None
    ) -> tuple[RRset, ...]:
        """Return the addresses that an SRV or NS RRset leads to."""
        if found.rrtype == RRType.SRV and service is not None:
            return service.additional(found)
        if found.rrtype == RRType.NS:
            return self._name_server_rrsets(source, origin)
        return ()

    def _lookup(
        self, source: ExternalSource, origin: Name, name: Name
    ) -> tuple[tuple[RRset, ...] | None, ExternalService | None]:
        """Return a name's RRsets, none for one that only exists and None for one that does not, and its Service."""
        if name == origin:
            return (self._soa(source, origin), self._ns(origin)), None
        server = self.config.name_server(origin)
        if name == server:
            return self._name_server_rrsets(source, origin), None
        if is_at_or_below(server, name):
            return (), None
        if is_at_or_below(name, from_labels((self.config.apex,), origin)):
            return None, None
        if is_reverse(origin):
            return self._zone(source, origin).rrsets(name), None
        return self._lookup_service(source, origin, name)

    def _lookup_service(
        self, source: ExternalSource, origin: Name, name: Name
    ) -> tuple[tuple[RRset, ...] | None, ExternalService | None]:
        """Do what `_lookup` does for `[...]<service>.<namespace>.<zone>`."""
        *further, namespace = labels(name)[: len(labels(name)) - len(labels(origin))]
        if not source.exposed(_text(namespace)):
            return None, None
        if not further:
            return (), None
        known = source.service(_text(namespace), _text(further.pop()))
        service = self._external_service(source, origin, known) if known is not None else None
        if service is None:
            return None, None
        return service.rrsets(name, further), service

    def _external_service(self, source: ExternalSource, origin: Name, service: Service) -> ExternalService | None:
        """Return the names of a Service that has any in a zone."""
        try:
            owner = from_labels((service.name.encode(), service.namespace.encode()), origin)
        except InvalidNameError:
            return None

        def endpoints() -> tuple[Endpoint, ...]:
            return source.endpoints(service.namespace, service.name) if self.config.headless else ()

        found = ExternalService(service, owner, endpoints, self.config.ttl)
        return found if found.exists else None

    # -- the apex ------------------------------------------------------------------------------------------------------

    def _soa(self, source: ExternalSource, origin: Name) -> RRset:
        """Return a zone's SOA RRset (CoreDNS plugin/k8s_external, apex.go)."""
        ttl = self.config.ttl
        hostmaster = from_labels((b"hostmaster", self.config.apex), origin)
        soa = Soa(self.config.name_server(origin), hostmaster, source.serial, REFRESH, RETRY, EXPIRE, ttl)
        return RRset(origin, RRType.SOA, ttl, (soa.rdata(),))

    def _ns(self, origin: Name) -> RRset:
        return RRset(origin, RRType.NS, self.config.ttl, (self.config.name_server(origin),))

    def _name_server_rrsets(self, source: ExternalSource, origin: Name) -> tuple[RRset, ...]:
        """Return the addresses of this server: those that its Services have outside, or else the host's own."""
        version, addresses = self._server
        if version != source.version or not version:
            addresses = self._server_addresses(source)
            self._server = source.version, addresses
        return address_rrsets(self.config.name_server(origin), self.config.ttl, addresses)

    def _server_addresses(self, source: ExternalSource) -> list[bytes]:
        """Return those addresses: those of Services that have this host as an endpoint (plugin/kubernetes, ns.go)."""
        own = frozenset(self._runtime.addresses) if self._runtime is not None else frozenset()
        found: list[bytes] = []
        for service in source.services():
            external = external_addresses(service)
            if not external and not (self.config.headless and service.headless):
                continue
            addresses = [one for endpoint in source.endpoints(*service.key) for one in endpoint.addresses]
            if not own.isdisjoint(addresses):
                found.extend(external or addresses)
        return found or list(own)

    # -- whole zones ---------------------------------------------------------------------------------------------------

    def transferable(self, name: Name) -> Zone | None:
        """Return the zone with that origin (`transfer`)."""
        return self._zone(self._source, name) if self._source is not None and name in self.config.zones else None

    async def settled(self, name: Name) -> Zone | None:
        """Return the zone as it is now, once no other content can get its serial any more (`transfer`)."""
        zone = self.transferable(name)
        if self._source is not None and zone is not None and (seconds := self._source.seal()) > 0:
            await leave_fast_lane()
            await asyncio.sleep(seconds)
        return zone

    def _zone(self, source: ExternalSource, origin: Name) -> Zone:
        """Return a whole zone as the cluster is now."""
        version, known = self._zones.get(origin, (0, None))
        if known is None or version != source.version or not source.version:
            known = self._make_zone(source, origin)
            self._zones[origin] = source.version, known
        return known

    def _make_zone(self, source: ExternalSource, origin: Name) -> Zone:
        editor = ZoneEditor(origin, self.config.ttl)
        editor.set(origin, Fixed((self._ns(origin),)))
        editor.set(self.config.name_server(origin), Fixed(self._name_server_rrsets(source, origin)))
        apex = from_labels((self.config.apex,), origin)
        for owner, records in (self._pointers if is_reverse(origin) else self._service_names)(source, origin):
            if not is_at_or_below(owner, apex):
                editor.set(owner, records)
        return dataclasses.replace(editor.publish(1), serial=source.serial, soa=self._soa(source, origin))

    def _service_names(self, source: ExternalSource, origin: Name) -> Iterator[tuple[Name, Records]]:
        """Yield (owner, records) of every Service's names in a zone."""
        for known in source.services():
            if (service := self._external_service(source, origin, known)) is not None:
                yield from service.records()

    def _pointers(self, source: ExternalSource, origin: Name) -> Iterator[tuple[Name, Records]]:
        """Yield (owner, records) of the external addresses in a reverse zone: PTR to each Service that has it."""
        names: dict[Name, set[Name]] = {}
        for known in source.services():
            for address in external_addresses(known):
                owner = reverse_name(address)
                service = self._external_service(source, self.config.primary, known)
                if service is not None and is_at_or_below(owner, origin):
                    names.setdefault(owner, set()).add(service.owner)
        for owner, targets in names.items():
            yield owner, Fixed((RRset(owner, RRType.PTR, self.config.ttl, tuple(sorted(targets))),))


def _text(label: bytes) -> str:
    """Return a label as the name of an object; no object has one with other octets than ASCII."""
    return label.decode("latin-1")
