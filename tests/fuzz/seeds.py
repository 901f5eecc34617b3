"""The seeds that are made of something: our own cases, and packets. `python -m tests.fuzz --seeds` writes them.

Corefiles for each plugin, and master files, are written by hand where they are, in the corpus.
"""

import json
import re
import struct
from pathlib import Path

from dnsserver.message import Transport
from tests.build import endpoint_json, endpoint_slice_json, namespace_json, pod_json, service_import_json, service_json
from tests.fuzz import check_packet
from tests.fuzz.check_packet import opt, query, wire_name
from tests.fuzz.mutate_packet import Item, Packet
from tests.fuzz.targets import CORPUS

TESTS = Path(__file__).parent.parent
ROOT = TESTS.parent
_LARGEST = 5200  # octets of a manifest that is worth a seed

NAMES = (
    "vm1.db.ns1.svc.cluster.local",
    "vm2.db.ns1.old.cluster.local",
    "short.cluster.local",
    "_http._tcp.web.ns2.svc.cluster.local",
    "many.ns1.svc.cluster.local",
    "named.ns1.svc.cluster.local",
    "alias.ns1.svc.cluster.local",
    "circle.ns1.svc.cluster.local",
    "outside.ns1.svc.cluster.local",
    "10-244-0-7.ns1.pod.cluster.local",
    "nothing.ns1.svc.cluster.local",
    "cluster.local",
    "dns-version.cluster.local",
    "7.0.244.10.in-addr.arpa",
    "example.org",
    "chain.example.org",
    "big.example.org",
    "a.sub.example.org",
    "x.dn.example.org",
    "x.wild.example.org",
    "abc.generated",
    "unknown.test",
    "",
)


def packets() -> dict[str, bytes]:
    """Return queries of every sort that has rules of its own."""
    found = {f"name-{number:02}": query(name, 1, edns=opt()) for number, name in enumerate(NAMES)}
    vm1 = NAMES[0]
    for qtype in (2, 5, 6, 12, 15, 16, 28, 33, 43, 64, 128, 249, 250, 251, 252, 255):
        found[f"type-{qtype:03}"] = query("cluster.local" if qtype in (2, 6, 251, 252) else vm1, qtype)
    found["version-bind"] = query("version.bind", 16, 3)
    found["class-any"] = query(vm1, 1, 255)
    found["class-hs"] = query(vm1, 1, 4)
    found["long-dnssec"] = query("many.ns1.svc.cluster.local", 33, edns=opt(4096, 0x8000))
    found["tiny"] = query("many.ns1.svc.cluster.local", 1, edns=opt(0))
    found["badvers"] = query(vm1, 1, edns=opt(1232, 0x10000))
    options = b"".join(struct.pack("!HH", code, len(data)) + data for code, data in _OPTIONS)
    found["options"] = query(vm1, 1, edns=opt(1232, 0, options))
    found["cookie-only"] = struct.pack("!6H", 7, 0, 0, 0, 0, 1) + opt(options=struct.pack("!HH", 10, 8) + b"12345678")
    found["header-only"] = bytes.fromhex("123478000000000000000000")
    for opcode in (1, 2, 4, 5, 6, 15):
        found[f"opcode-{opcode:02}"] = query(vm1, 6, flags=opcode << 11)
    found["response"] = query(vm1, 1, flags=0x8180)
    found["all-flags"] = query(vm1, 1, flags=0x07FF)
    found["two-questions"] = _of(Packet(1, 0), [Item(wire_name(vm1), 1, 1), Item(wire_name("example.org"), 1, 1)])
    soa = Item(b"\xc0\x0c", 6, 1, 0, b"\xc0\x0c\xc0\x0c" + struct.pack("!5I", 1, 2, 3, 4, 5))
    found["ixfr"] = _of(Packet(1, 0), [Item(wire_name("cluster.local"), 251, 1)], [], [soa])
    found["notify"] = _of(Packet(1, 4 << 11), [Item(wire_name("cluster.local"), 6, 1)], [soa])
    tsig = b"\x0bhmac-sha256\0" + bytes(6) + struct.pack("!HH", 300, 16) + bytes(16) + struct.pack("!HHH", 1, 0, 0)
    keyed = Item(wire_name("key"), 250, 255, 0, tsig)
    found["tsig"] = _of(Packet(1, 0), [Item(wire_name(vm1), 1, 1)], [], [], [keyed])
    one = Item(b"\0", 41, 1232, 0, b"")
    found["two-opt"] = _of(Packet(1, 0), [Item(wire_name(vm1), 1, 1)], [], [], [one, one])
    found["longest-name"] = query(".".join(["x" * 63] * 3 + ["x" * 49, "cluster", "local"]), 1)
    found["too-long-name"] = query(".".join(["x" * 63] * 4), 1)
    found["many-options"] = query(vm1, 1, edns=opt(options=bytes.fromhex("fde90000") * 300))
    return found


_OPTIONS = ((3, b""), (8, bytes.fromhex("00011800c00002")), (10, b"12345678"), (11, b""), (12, bytes(7)), (65001, b"x"))


def _of(packet: Packet, *sections: list[Item]) -> bytes:
    """Return a message with these sections."""
    packet.sections[: len(sections)] = sections
    return packet.octets()


def responses() -> dict[str, bytes]:
    """Return what the server itself answers, and messages that only others send."""
    there = check_packet.world()
    found = {}
    for name, wire in packets().items():
        there.begin()
        messages = there.ask(wire, Transport.UDP)
        if messages and len(messages[0]) > 40:
            found[name] = messages[0]
    ladder = b"".join(struct.pack("!H", 0xC000 | (12 + 2 * number)) for number in range(60))
    found["ladder"] = struct.pack("!6H", 1, 0x8000, 0, 2, 0, 0) + b"\0" + bytes(1) + ladder
    found["to-itself"] = struct.pack("!6H", 1, 0x8000, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1"
    rows = [Item(b"\xc0\x0c", 15, 1, 5, b"\0\x0a\x01m\xc0\x0c"), Item(b"\xc0\x0c", 33, 1, 5, bytes(6) + b"\xc0\x0c")]
    rows += [Item(b"\xc0\x0c", rrtype, 1, 2**31, b"\x01a\xc0\x0c" * 2) for rrtype in (2, 5, 6, 14, 17, 18, 39)]
    rows += [Item(b"\xc0\x0c", rrtype, 1, 5, b"\x01a" * 4) for rrtype in (13, 16, 35, 43, 46, 47, 52, 64, 257)]
    found["types"] = _of(Packet(1, 0x8180), [Item(wire_name("example.org"), 15, 1)], rows, rows[:2], rows[2:4])
    return found


def manifests() -> dict[str, bytes]:
    """Return the short ones among the cases, some as JSON."""
    found = {}
    for path in sorted((TESTS / "cases" / "kubevirt").glob("*.yaml")):
        if len(data := path.read_bytes()) <= _LARGEST:
            found[path.stem] = data
    values = objects()
    found["list-json"] = json.dumps({"apiVersion": "v1", "kind": "List", "items": values}, indent=1).encode()
    found["lines-json"] = "\n".join(map(json.dumps, values)).encode()
    typed = [service_json("a"), service_json("b", cluster_ip="10.0.0.1")]
    found["typed-list"] = json.dumps({"apiVersion": "v1", "kind": "ServiceList", "items": typed}).encode()
    found["anchors"] = b"apiVersion: v1\nkind: &k Service\nmetadata: &m {name: a, namespace: b}\n---\nkind: List\n"
    found["bom"] = b"\xef\xbb\xbf" + json.dumps(namespace_json()).encode()
    return found


def objects() -> list[dict[str, object]]:
    """Return objects of every kind."""
    more = [
        service_import_json(ips=["10.1.0.1"]),
        service_import_json("imp"),
        endpoint_slice_json(
            endpoint_json("10.3.0.1", zone="z1", pod_name="p"), name="imp-1", imported="imp", cluster="c"
        ),
        pod_json("gone", deleting=True),
    ]
    short = [one for one in check_packet.objects() if len(json.dumps(one)) < 2000]
    return short + more


def histories() -> dict[str, bytes]:
    """Return watches: of everything, and of each kubevirt case, where objects come, change and go."""
    found = {"all": _lines([("ADDED", one) for one in objects()])}
    found["gone"] = _lines([(kind, one) for kind in ("ADDED", "DELETED", "MODIFIED") for one in objects()[:10]])
    for path in sorted((TESTS / "cases" / "coredns").glob("*.json")):
        values = [one for one in json.loads(path.read_text())["objects"] if len(json.dumps(one)) < 1500][:15]
        found[path.stem] = _lines([("ADDED", one) for one in values])
    return found


def _lines(events: list[tuple[str, dict[str, object]]]) -> bytes:
    return b"\n".join(json.dumps({"type": kind, "object": value}).encode() for kind, value in events)


def corefiles() -> dict[str, bytes]:
    """Return the stock files and the documentation's examples."""
    found = {path.stem: path.read_bytes() for path in sorted((TESTS / "cases" / "stock").glob("*.Corefile"))}
    found["example"] = (ROOT / "examples" / "Corefile").read_bytes()
    found["packets"] = check_packet.COREFILE.encode()
    for number, text in enumerate(
        re.findall(r"```[a-z]*\n(.*?)```", (ROOT / "docs" / "configuration.md").read_text(), re.S)
    ):
        if "{" in text:
            found[f"documented-{number:02}"] = text.encode()
    return found


def write() -> None:
    """Write all seeds; what was written by hand or found stays."""
    every = {
        "packet": packets(),
        "response": responses(),
        "manifests": manifests(),
        "objects": histories(),
        "corefile": corefiles(),
    }
    for target, inputs in every.items():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in inputs.items():
            (folder / f"seed-{name}").write_bytes(data)
