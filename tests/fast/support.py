"""Zones to answer from, queries of every sort for them, and what the responder says to each."""

import struct
from collections.abc import Iterator
from functools import cache
from random import Random

import msgspec

from dnsserver.answer import answer
from dnsserver.message import Query, Transport
from dnsserver.names import Name, is_at_or_below
from dnsserver.objects import Object
from dnsserver.responder import finish, receive
from dnsserver.store import Store
from dnsserver.zone import Zone
from tests.build import CONFIG, endpoint_json, endpoint_slice, namespace, port_json, service, store_of, vmi

TYPES = (1, 2, 5, 6, 12, 16, 28, 33, 43, 65, 97, 255, 252, 41, 0, 257, 999)
OPTS = {
    "none": b"",
    "plain": b"\0\0\x29\x04\xd0\0\0\0\0\0\0",
    "do": b"\0\0\x29\x10\0\0\0\x80\0\0\0",
    "zero": b"\0\0\x29\0\0\0\0\0\0\0\0",
    "tiny": b"\0\0\x29\0\x64\0\0\0\0\0\0",
    "middle": b"\0\0\x29\x03\0\0\0\0\0\0\0",
    "version": b"\0\0\x29\x04\xd0\0\1\0\0\0\0",
    "rcode": b"\0\0\x29\x04\xd0\1\0\0\0\0\0",
    "flags": b"\0\0\x29\x04\xd0\0\0\x40\0\0\0",
    "option": b"\0\0\x29\x04\xd0\0\0\0\0\0\4\0\3\0\0",
    "owner": b"\1a\0\0\x29\x04\xd0\0\0\0\0\0\0",
}
FLAGS = (0x0000, 0x0100, 0x0120, 0x0130, 0x0110, 0x0010, 0x0020, 0x0400, 0x0200, 0x0080, 0x0040, 0x0005, 0x8000, 0x2800)


def objects() -> list[Object]:
    """Return what gives every sort of name: VMIs, Services of each type, many endpoints, an alias."""
    web = [endpoint_json(f"10.244.2.{n}", hostname=f"web-{n}") for n in range(20)]
    big = [endpoint_json(f"10.245.{n >> 8}.{n & 255}") for n in range(120)]
    return [
        namespace("ns1"),
        service("db", ports=[port_json(5432, "sql")], selector={"app": "db"}),
        service("web", ports=[port_json(80, "http")], selector={"app": "web"}),
        service("big", selector={"app": "big"}),
        service("api", cluster_ip="10.96.0.10", selector={"app": "api"}),
        service("dual", cluster_ip="10.96.0.11", cluster_ips=["10.96.0.11", "fd00::b"], families=["IPv4", "IPv6"]),
        service("out", cluster_ip=None, external_name="example.org"),
        service("near", cluster_ip=None, external_name="api.ns1.svc.cluster.local"),
        endpoint_slice(*web, name="web-1", service="web", ports=[port_json(80, "http")]),
        endpoint_slice(*big, name="big-1", service="big"),
        *(
            vmi(f"vm{n}", subdomain="db", labels={"app": "db"}, addresses=[f"10.244.0.{n + 7}", f"fd00::{n + 7}"])
            for n in range(5)
        ),
    ]


@cache
def store() -> Store:
    """Return a store with all of that; pods have names by their addresses alone."""
    return store_of(objects(), msgspec.structs.replace(CONFIG, pods="insecure", zonal=True))


def responder(zones: tuple[Zone, ...], wire: bytes, transport: Transport = Transport.UDP) -> bytes | None:
    """Return what the responder says; REFUSED outside the zones is not the zones' to say."""
    query = receive(wire, transport)
    if not isinstance(query, Query):
        return query
    zone = next((one for one in zones if is_at_or_below(query.name, one.origin)), None)
    return b"outside" if zone is None else finish(query, answer(zone, query, synced=True), transport)


def all_names(zones: tuple[Zone, ...]) -> list[Name]:
    """Return every name that exists."""
    return [Name(name) for zone in zones for name in {*zone.nodes, *zone.below, zone.origin}]


def some_query(names: list[Name], chance: Random) -> bytes:
    """Return a query for a name, or for one near it, in one of many forms."""
    name = bytes(chance.choice(names))
    match chance.randrange(8):
        case 0:
            name = b"\3www" + name
        case 1:
            name = b"\3www\7example\3com" + name
        case 2:
            name = chance.choice((b"\4http\3tcp", b"\5_http\4_tcp", b"\0121-2-3-4", b"\3pin\5_zone", b"\3a.b")) + name
        case 3:
            name = name[1 + name[0] :] or b"\0"
        case _:
            pass
    if chance.random() < 0.3:
        name = bytes(octet ^ 0x20 if chr(octet).isalpha() and chance.random() < 0.5 else octet for octet in name)
    opt = chance.choice((b"", b"", OPTS["plain"], chance.choice(list(OPTS.values()))))
    flags = chance.choice(FLAGS[:4] if chance.random() < 0.8 else FLAGS)
    head = struct.pack("!6H", chance.randrange(65536), flags, 1, 0, 0, bool(opt))
    rrclass = 1 if chance.random() < 0.95 else chance.choice((0, 3, 255))
    qtype = chance.choice((1, 28)) if chance.random() < 0.5 else chance.choice(TYPES)
    return head + name + struct.pack("!HH", qtype, rrclass) + opt


def queries(count: int, seed: int) -> Iterator[bytes]:
    """Yield queries."""
    chance = Random(seed)
    names = all_names(store().zones)
    for _ in range(count):
        yield some_query(names, chance)
