"""`k8s_external [ZONES...] { apex LABEL; ttl SECONDS; headless; fallthrough [ZONES...] }`: Services from outside.

`<service>.<namespace>.<zone>` is where a Service is reached from outside the cluster: its externalIPs and what its load
balancer has (CoreDNS plugin/k8s_external; plugin/kubernetes, external.go). Names, addresses and transfers are all read
from `_ExternalService`.
"""

import dataclasses
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Protocol, runtime_checkable

import msgspec

from dnsserver.corefile import Directive, Property, plugin_zones
from dnsserver.derive.endpoint import Endpoint, address_rrsets, srv_rrsets
from dnsserver.derive.service import external_name_rrsets, service_ports
from dnsserver.message import Reply
from dnsserver.names import (
    ROOT,
    InvalidNameError,
    Name,
    fold,
    from_labels,
    from_text,
    is_at_or_below,
    is_dns1123_label,
    labels,
    reverse_name,
    to_text,
)
from dnsserver.objects import Port, Service
from dnsserver.plugins.options import arguments, once, properties
from dnsserver.plugins.plugin import Context, Handler, Plugin, PluginError, Request, Runtime
from dnsserver.records import Rcode, RRClass, RRset, RRType, Soa, srv_target
from dnsserver.zone import EXPIRE, REFRESH, RETRY, Fixed, Records, Zone, ZoneEditor, find_origin

MAX_TTL = 3600  # seconds

_REVERSE = (from_text("in-addr.arpa"), from_text("ip6.arpa"))
_CLASSES = (int(RRClass.IN), int(RRClass.ANY))
_TRANSFERS = (RRType.AXFR, RRType.IXFR)
# what gets here was not answered by the `transfer` plugin; INFO-CODE 21 is Not Supported (RFC 8914, section 4.22)
_NO_TRANSFER = Reply(rcode=Rcode.REFUSED, authoritative=False, extended_error=(21, ""))
_NOT_READY = (14, "")  # INFO-CODE of an extended error (RFC 8914, section 4.15)

PortLabels = tuple[bytes, bytes]  # (b"_http", b"_tcp")


@runtime_checkable
class ExternalSource(Protocol):
    """A plugin that knows the cluster's Services."""

    @property
    def synced(self) -> bool:
        """Whether the cluster has been read once."""
        ...

    @property
    def serial(self) -> int:
        """Which version of the cluster this is: the Unix time of the last change, or one more than the last."""
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


@dataclass(frozen=True, slots=True)
class Config:
    """The plugin's options."""

    zones: tuple[Name, ...]
    apex: bytes = b"dns"  # the label above `ns1`
    ttl: int = 5  # seconds
    headless: bool = False  # publish endpoints too
    fall_through: tuple[Name, ...] | None = None  # None: never; the root: for every zone

    @property
    def primary(self) -> Name:
        """The zone that PTR records lead to: the first one that is not a reverse zone."""
        return next(zone for zone in self.zones if not _is_reverse(zone))

    def name_server(self, origin: Name) -> Name:
        """Return the name of this server in a zone."""
        return from_labels((b"ns1", self.apex), origin)


def _is_reverse(origin: Name) -> bool:
    return any(is_at_or_below(origin, root) for root in _REVERSE)


class _ExternalService:
    """The names of one Service in one zone, with their records.

    A Service with external addresses has its own name and those of its ports. With the option `headless`, one without
    has the names of its endpoints, and where it is headless also its own and those of its endpoints' ports.
    """

    def __init__(self, service: Service, owner: Name, endpoints: Callable[[], tuple[Endpoint, ...]], ttl: int) -> None:
        self.owner = owner
        self._service = service
        self._ttl = ttl
        self._addresses = list(external_addresses(service))
        self._hosts = external_hosts(service)
        self._external = bool(self._addresses or self._hosts)
        self._endpoints = () if self._external else endpoints()

    @property
    def exists(self) -> bool:
        """Whether there is anything to publish."""
        return self._external or bool(self._endpoints)

    def own_rrsets(self) -> tuple[RRset, ...]:
        """Return the records of the Service's own name.

        A load balancer that is only known by a host name makes it an alias, which nothing can stand beside (RFC 1034,
        section 3.6.2); beside addresses the host names are left to SRV.
        """
        if self._hosts and not self._addresses:
            return (RRset(self.owner, RRType.CNAME, self._ttl, self._hosts[:1]),)
        return self._select(self.owner, lambda _: True) if self._external or self._service.headless else ()

    def port_rrsets(self, owner: Name, port: PortLabels) -> tuple[RRset, ...]:
        """Return the records of `_port._protocol.<service>`: SRV, and the addresses behind that port."""
        return self._select(owner, lambda one: bool(one.name) and one.labels == port, named=True)

    def endpoint_rrsets(self, owner: Name, prefix: bytes) -> tuple[RRset, ...]:
        """Return the records of an endpoint's name, whose labels before the Service's are `prefix`."""
        found = [one for one in self._endpoints if one.prefix == prefix]
        addresses = [address for one in found for address in one.addresses]
        targets = [(owner, len(one.addresses), one.ports) for one in found]
        return address_rrsets(owner, self._ttl, addresses) + srv_rrsets(owner, self._ttl, targets)

    def ports(self) -> frozenset[PortLabels]:
        """Return the labels of the named ports."""
        if not self._external and not self._service.headless:
            return frozenset()
        return frozenset(port.labels for _, _, ports in self._targets() for port in ports if port.name)

    def prefixes(self) -> frozenset[bytes]:
        """Return what the names of endpoints have before the Service's."""
        return frozenset(one.prefix for one in self._endpoints)

    def additional(self, found: RRset) -> tuple[RRset, ...]:
        """Return the addresses of the names in the zone that an SRV RRset leads to (RFC 2782)."""
        wanted = dict.fromkeys(srv_target(rdata) for rdata in found.rdatas)
        addresses: dict[Name, list[bytes]] = {}
        for target, some, _ in self._targets():
            if target in wanted:
                addresses.setdefault(target, []).extend(some)
        return tuple(one for target in wanted for one in address_rrsets(target, self._ttl, addresses.get(target, [])))

    def records(self) -> Iterator[tuple[Name, Records]]:
        """Yield (owner, records) of every name, derived when they are asked for."""
        yield self.owner, _Derived(lambda _: self.own_rrsets())
        for port in self.ports():
            yield from_labels(port, self.owner), _Derived(partial(self.port_rrsets, port=port))
        for prefix in self.prefixes():
            yield Name(prefix + self.owner), _Derived(partial(self.endpoint_rrsets, prefix=prefix))

    def _targets(self) -> Iterator[tuple[Name, tuple[bytes, ...], tuple[Port, ...]]]:
        """Yield (SRV target, its addresses in the zone, ports)."""
        ports = service_ports(self._service)
        if self._addresses:
            yield self.owner, tuple(self._addresses), ports
        for host in self._hosts:
            yield Name(host), (), ports
        for endpoint in self._endpoints:
            yield Name(endpoint.prefix + self.owner), endpoint.addresses, endpoint.ports

    def _select(self, owner: Name, wanted: Callable[[Port], bool], *, named: bool = False) -> tuple[RRset, ...]:
        """Return the records at `owner` of the ports that are wanted; without `named`, of what has no ports too."""
        matched = [
            (target, addresses, chosen)
            for target, addresses, ports in self._targets()
            if (chosen := tuple(filter(wanted, ports))) or not named
        ]
        addresses = [address for _, some, _ in matched for address in some]
        targets = [(target, len(some) or 1, ports) for target, some, ports in matched]  # a host name counts as one
        return address_rrsets(owner, self._ttl, addresses) + srv_rrsets(owner, self._ttl, targets)


class _Derived(msgspec.Struct, frozen=True):
    """Records that a function derives."""

    derive: Callable[[Name], tuple[RRset, ...]]

    def rrsets(self, owner: Name) -> tuple[RRset, ...]:
        """Return them."""
        return self.derive(owner)


def external_addresses(service: Service) -> tuple[bytes, ...]:
    """Return the addresses that a Service has outside the cluster, packed and distinct."""
    return tuple(dict.fromkeys((*service.external_ips, *(one for one in service.ingress if isinstance(one, bytes)))))


def external_hosts(service: Service) -> tuple[bytes, ...]:
    """Return the host names of a Service's load balancer as spelled, without those that the DNS cannot carry."""
    hosts = [one for one in service.ingress if isinstance(one, str)]
    return tuple(rdata for text in hosts for alias in external_name_rrsets(ROOT, text, 0) for rdata in alias.rdatas)


class External(Plugin):
    """Answers for the external zones, from what the `kubernetes` plugin of the same server block knows."""

    name = "k8s_external"

    def __init__(self, config: Config) -> None:
        self.config = config
        self._source: ExternalSource | None = None
        self._runtime: Runtime | None = None
        self._zones: dict[Name, Zone] = {}  # made when they are needed, each kept until the cluster changes
        self._server: tuple[int, list[bytes]] = (0, [])  # this server's addresses, and the serial they are from

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
        self, source: ExternalSource, origin: Name, found: RRset, service: _ExternalService | None
    ) -> tuple[RRset, ...]:
        """Return the addresses that an SRV or NS RRset leads to."""
        if found.rrtype == RRType.SRV and service is not None:
            return service.additional(found)
        if found.rrtype == RRType.NS:
            return self._name_server_rrsets(source, origin)
        return ()

    def _lookup(
        self, source: ExternalSource, origin: Name, name: Name
    ) -> tuple[tuple[RRset, ...] | None, _ExternalService | None]:
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
        if _is_reverse(origin):
            return self._zone(source, origin).rrsets(name), None
        return self._lookup_service(source, origin, name)

    def _lookup_service(
        self, source: ExternalSource, origin: Name, name: Name
    ) -> tuple[tuple[RRset, ...] | None, _ExternalService | None]:
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
        return _rrsets_below(service, name, further), service

    def _external_service(self, source: ExternalSource, origin: Name, service: Service) -> _ExternalService | None:
        """Return the names of a Service that has any in a zone."""
        try:
            owner = from_labels((service.name.encode(), service.namespace.encode()), origin)
        except InvalidNameError:
            return None

        def endpoints() -> tuple[Endpoint, ...]:
            return source.endpoints(service.namespace, service.name) if self.config.headless else ()

        found = _ExternalService(service, owner, endpoints, self.config.ttl)
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
        serial, addresses = self._server
        if serial != source.serial or not serial:
            addresses = self._server_addresses(source)
            self._server = source.serial, addresses
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

    def _zone(self, source: ExternalSource, origin: Name) -> Zone:
        """Return a whole zone as the cluster is now."""
        known = self._zones.get(origin)
        if known is None or known.serial != source.serial or not source.serial:
            known = self._zones[origin] = self._make_zone(source, origin)
        return known

    def _make_zone(self, source: ExternalSource, origin: Name) -> Zone:
        editor = ZoneEditor(origin, self.config.ttl)
        editor.set(origin, Fixed((self._ns(origin),)))
        editor.set(self.config.name_server(origin), Fixed(self._name_server_rrsets(source, origin)))
        apex = from_labels((self.config.apex,), origin)
        for owner, records in (self._pointers if _is_reverse(origin) else self._service_names)(source, origin):
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


def _rrsets_below(service: _ExternalService, name: Name, further: list[bytes]) -> tuple[RRset, ...] | None:
    """Return the RRsets of a Service's name or one below it, `further` being the labels that it has before the former.

    Underscores of `_port._protocol` may be missing, as in CoreDNS (plugin/kubernetes, parse.go).
    """
    if not further:
        return service.own_rrsets()
    prefix = bytes(name[: len(name) - len(service.owner)])
    if prefix in service.prefixes():
        return service.endpoint_rrsets(name, prefix)
    marked = [label if label.startswith(b"_") else b"_" + label for label in further]
    if len(further) == 1 and any(protocol == marked[0] for _, protocol in service.ports()):
        return ()  # `_protocol.<service>` exists, for names are below it (RFC 8020)
    if len(further) == 2 and (marked[0], marked[1]) in service.ports():
        return service.port_rrsets(name, (marked[0], marked[1]))
    return None


def _text(label: bytes) -> str:
    """Return a label as the name of an object; no object has one with other octets than ASCII."""
    return label.decode("latin-1")


# -- options -----------------------------------------------------------------------------------------------------------


def parse(directives: Sequence[Directive], context: Context) -> tuple[Plugin, ...]:
    """Return the block's only `k8s_external`."""
    directive = once(directives)
    zones = tuple(map(from_text, plugin_zones(directive.args, [to_text(zone) for zone in context.zones])))
    if all(map(_is_reverse, zones)):
        raise directive.error("non-reverse zone name must be used: PTR records lead to it")
    config = Config(zones)
    for option in properties(directive, *_OPTIONS):
        config = _OPTIONS[option.name](config, option)
    return (External(config),)


def _apex(config: Config, option: Property) -> Config:
    (text,) = arguments(option, "apex LABEL", 1, 1)
    if not is_dns1123_label(text.lower()):
        raise option.error(f"apex is one label such as dns, not '{text}'", 0)
    return dataclasses.replace(config, apex=text.lower().encode())


def _ttl(config: Config, option: Property) -> Config:
    (text,) = arguments(option, "ttl SECONDS", 1, 1)
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and int(text) <= MAX_TTL):
        raise option.error(f"ttl must be in range [0, {MAX_TTL}]: {text}", 0)
    return dataclasses.replace(config, ttl=int(text))


def _headless(config: Config, option: Property) -> Config:
    arguments(option, "headless", 0, 0)
    return dataclasses.replace(config, headless=True)


def _fallthrough(config: Config, option: Property) -> Config:
    zones = plugin_zones(option.args, ["."])
    return dataclasses.replace(config, fall_through=tuple(map(from_text, zones)))


_OPTIONS: dict[str, Callable[[Config, Property], Config]] = {
    "apex": _apex,
    "ttl": _ttl,
    "headless": _headless,
    "fallthrough": _fallthrough,
}
