"""Zones of interfaces in a table: octet for octet what the responder says, one inside another zone included."""

import struct
from random import Random

import msgspec
import pytest

from dnsserver.derive.apex import NameServer
from dnsserver.names import from_text
from dnsserver.store import Store
from dnsserver.store.config import InterfacesConfig
from tests.build import CONFIG, namespace, packed, service, store_of, vmi_json, wired, with_interface
from tests.fast.support import all_names, responder, some_query
from tests.fast.test_table import Make, plain, table_of

__all__ = ["table_of"]  # the fixture

ZONES = ("vm.cluster.local", "vm.example.org")


def store(*servers: NameServer) -> Store:
    """Return a store with names of VMIs, in namespaces that are called like what a SOA has."""
    interfaces = InterfacesConfig(tuple(map(from_text, ZONES)), ttl=9, servers=servers)
    config = msgspec.structs.replace(CONFIG, interfaces=interfaces, addresses=(packed("203.0.113.1"),))
    names = ("ns1", "ns", "a", "dns", "hostmaster")
    machines = [
        with_interface(
            vmi_json(f"vm{index}", namespace=name, addresses=[f"10.244.0.{index}"]), "nic", f"192.0.2.{index}"
        )
        for index, name in enumerate(names)
    ]
    return store_of([*map(namespace, names), service(), *map(wired, machines)], config)


SERVERS = {
    "none named": (),
    "in one of the zones": (NameServer(from_text("a.vm.example.org"), (packed("192.0.2.53"),)),),
    "elsewhere": (NameServer(from_text("vm.example.net")), NameServer(from_text("ns.example.org"))),
}


@pytest.mark.parametrize("servers", SERVERS.values(), ids=SERVERS)
def test_agreement(servers: tuple[NameServer, ...], table_of: Make) -> None:
    """Whatever is asked, also below the names of the SOA, which are written shorter there."""
    zones = tuple(sorted(store(*servers).zones, key=lambda zone: len(zone.origin), reverse=True))
    table, chance = table_of(zones), Random(8)
    names = all_names(zones)
    ready = 0
    for _ in range(6_000):
        wire = some_query(names, chance)
        response = table.respond(wire)
        if response is not None:
            ready += 1
            assert response == responder(zones, wire), wire.hex()
    assert ready > 2_000


READY = [
    ("nic.vm0.ns1.vm.example.org", 1, 0),
    ("nic.vm0.ns1.vm.example.org", 28, 0),
    ("vm0.ns1.vm.cluster.local", 1, 0),
    ("ns1.vm.cluster.local", 1, 0),
    ("nx.vm.cluster.local", 1, 3),
    ("nx.vm0.ns1.vm.example.org", 1, 3),
    ("nx.cluster.local", 1, 3),
    ("vm0.db.ns1.svc.cluster.local", 1, 0),
]


@pytest.mark.parametrize(("name", "qtype", "rcode"), READY)
def test_ready(name: str, qtype: int, rcode: int, table_of: Make) -> None:
    """Names of both kinds of zone are, in whichever order they are asked for."""
    table = table_of(store().zones)
    for other, *_ in (*READY, *READY[::-1]):
        table.respond(plain(other))
    response = table.respond(plain(name, qtype))
    assert response is not None
    assert struct.unpack_from("!H", response, 2)[0] & 0xF == rcode
