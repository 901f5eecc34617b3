"""The names that a zone has whatever the cluster holds; no I/O."""

from collections.abc import Iterator

from dnsserver.derive.endpoint import address_rrsets
from dnsserver.names import Name, from_labels
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
