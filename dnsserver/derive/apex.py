"""The names that a zone has whatever the cluster holds; no I/O."""

from collections.abc import Iterator

import msgspec

from dnsserver.derive.endpoint import address_rrsets
from dnsserver.names import Name, from_labels, is_at_or_below
from dnsserver.records import RRset, RRType, txt
from dnsserver.zone import EMPTY, Fixed, Records

SCHEMA_VERSION = b"1.1.0"  # Kubernetes DNS-Based Service Discovery, section 2.1
_VERSION_TTL = 28800  # seconds, whatever the zone's TTL (CoreDNS plugin/kubernetes)


def apex_records(
    origin: Name, servers: tuple[Name, ...], addresses: tuple[bytes, ...], ttl: int, *, reverse: bool
) -> Iterator[tuple[Name, Records]]:
    """Yield (owner, records) of the apex and of the names that only exist.

    `servers` are the names that this server has among the Services; where it has none, `ns.dns.<zone>` stands in.
    That name, which is the SOA's MNAME as well, has `addresses`, packed: the servers', or else the host's.
    """
    name_server = from_labels((b"ns", b"dns"), origin)
    yield origin, Fixed((RRset(origin, RRType.NS, ttl, tuple(sorted(servers)) or (name_server,)),))
    yield name_server, Fixed(address_rrsets(name_server, ttl, list(addresses)))
    if reverse:
        return
    version = from_labels((b"dns-version",), origin)
    yield version, Fixed((RRset(version, RRType.TXT, _VERSION_TTL, (txt(SCHEMA_VERSION),)),))
    yield from_labels((b"svc",), origin), EMPTY
    yield from_labels((b"pod",), origin), EMPTY


class NameServer(msgspec.Struct, frozen=True):
    """A name server of zones that are delegated to this server from outside."""

    name: Name
    addresses: tuple[bytes, ...] = ()  # packed, those of a name in such a zone; empty: the server's own


def own_server(origin: Name) -> Name:
    """Return the name server that a zone has where none is named: KubeSecondaryDNS's name."""
    return from_labels((b"ns",), origin)


def primary_server(origin: Name, servers: tuple[NameServer, ...]) -> Name:
    """Return the MNAME of a zone's SOA: its first name server in the zone, or the name that such a one would have."""
    return next((one.name for one in servers if is_at_or_below(one.name, origin)), own_server(origin))


def delegated_apex_records(
    origin: Name, servers: tuple[NameServer, ...], own: tuple[bytes, ...], ttl: int
) -> Iterator[tuple[Name, Records]]:
    """Yield (owner, records) of the apex of a zone with its own name servers, and of those that are in it.

    Without any it is `ns.<zone>`. `own` are this server's own addresses, packed.
    """
    servers = servers or (NameServer(own_server(origin)),)
    yield origin, Fixed((RRset(origin, RRType.NS, ttl, tuple(sorted({one.name for one in servers}))),))
    for one in servers:
        if is_at_or_below(one.name, origin):
            yield one.name, Fixed(address_rrsets(one.name, ttl, list(one.addresses or own)))
