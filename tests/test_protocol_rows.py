"""The DNS protocol, packet in and packet out, over real sockets against a whole server.

Each row has the number of its requirement and, where a standard leaves a choice, the one that is made here. A response
is compared as a line of text (`said`): RCODE, header bits, the types in each section, EDNS and its options.
"""

import asyncio
import contextlib
import itertools
import random
import ssl
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_asyncio

from dnsserver.names import from_text, spelled_from_text
from dnsserver.records import Rcode, RRType
from dnsserver.wire import (
    AA,
    AD,
    CD,
    RA,
    RD,
    TC,
    MalformedQueryError,
    ParsedResponse,
    Record,
    parse_query,
    parse_response,
    type_to_text,
)
from tests.harness import TIMEOUT, Serving, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

CERTIFICATES = Path(__file__).parent / "certificates"
COREFILE = """
cluster.local {
    bind 127.0.0.1
    errors
    kubernetes {
        manifests manifests.yaml
    }
}
rows.test {
    bind 127.0.0.1
    file rows.zone
}
"""
MANIFESTS = """
apiVersion: v1
kind: Namespace
metadata: {name: default}
---
apiVersion: v1
kind: Service
metadata: {name: kubernetes, namespace: default, uid: u1}
spec:
  type: ClusterIP
  clusterIP: 10.96.0.1
  clusterIPs: [10.96.0.1]
  ports: [{name: https, protocol: TCP, port: 443}]
---
apiVersion: v1
kind: Service
metadata: {name: outside, namespace: default, uid: u2}
spec: {type: ExternalName, externalName: www.example.org}
---
apiVersion: v1
kind: Service
metadata: {name: inside, namespace: default, uid: u3}
spec: {type: ExternalName, externalName: kubernetes.default.svc.cluster.local}
---
apiVersion: v1
kind: Service
metadata: {name: circle, namespace: default, uid: u4}
spec: {type: ExternalName, externalName: circle.default.svc.cluster.local}
"""
ZONE_FILE = """
$ORIGIN rows.test.
@ 60 IN SOA ns hostmaster 7 3600 600 86400 30
@ 60 NS ns
ns 60 A 192.0.2.1
alias 60 CNAME ns
chain 60 CNAME alias
dangling 60 CNAME nowhere
*.wild 60 A 192.0.2.2
deep.there.wild 60 A 192.0.2.3
cut 60 NS ns.cut
cut 60 NS ns.elsewhere.example.
ns.cut 60 A 192.0.2.4
_big._tcp 60 SRV 0 0 53 big
""" + "".join(f"big 60 A 10.1.{number // 256}.{number % 256}\n" for number in range(2200))

K = "kubernetes.default.svc.cluster.local"
ZONE = "cluster.local"
FLAGS = (("AA", AA), ("TC", TC), ("RD", RD), ("RA", RA), ("Z", 0x40), ("AD", AD), ("CD", CD))
EDE = 15  # EDNS option (RFC 8914, section 2)


# -- packets ---------------------------------------------------------------------------------------------------------


def ask(
    qname: str | bytes = K,
    qtype: int = 1,
    qclass: int = 1,
    *,
    flags: int = 0,
    counts: tuple[int, int, int, int] = (1, 0, 0, 0),
    rest: str | bytes = b"",
    ident: int = 0x1234,
) -> bytes:
    """Return a query; a name is text or wire form, what follows the question is octets or their digits."""
    wire = spelled_from_text(qname) if isinstance(qname, str) else qname
    tail = bytes.fromhex(rest) if isinstance(rest, str) else rest
    return struct.pack("!6H", ident, flags, *counts) + wire + struct.pack("!HH", qtype, qclass) + tail


def opt(size: int = 1232, *, version: int = 0, flags: int = 0, upper: int = 0, options: bytes = b"") -> bytes:
    """Return an OPT record."""
    return b"\0" + struct.pack("!HHBBHH", RRType.OPT, size, upper, version, flags, len(options)) + options


def option(code: int, data: bytes = b"") -> bytes:
    """Return an EDNS option."""
    return struct.pack("!HH", code, len(data)) + data


def edns(
    options: bytes = b"",
    *,
    qname: str | bytes = K,
    qtype: int = 1,
    qclass: int = 1,
    flags: int = 0,
    size: int = 1232,
    version: int = 0,
    edns_flags: int = 0,
    upper: int = 0,
) -> bytes:
    """Return a query with OPT."""
    record = opt(size, version=version, flags=edns_flags, upper=upper, options=options)
    return ask(qname, qtype, qclass, flags=flags, counts=(1, 0, 0, 1), rest=record)


def header(flags: int = 0, *counts: int) -> bytes:
    """Return a header, with zeros for the counts that are not given."""
    return struct.pack("!6H", 0x1234, flags, *(*counts, 0, 0, 0, 0)[:4])


def soa(flags: int = 0, **kwargs: object) -> bytes:
    """Return the SOA query of the ISC list, without EDNS."""
    return ask(ZONE, RRType.SOA, flags=flags)


def esoa(options: bytes = b"", *, flags: int = 0, version: int = 0, edns_flags: int = 0) -> bytes:
    """Return the same with EDNS."""
    return edns(options, qname=ZONE, qtype=RRType.SOA, flags=flags, version=version, edns_flags=edns_flags)


def labels(*parts: bytes) -> bytes:
    """Return a name of these labels below the zone."""
    return b"".join(bytes((len(part),)) + part for part in parts) + from_text(ZONE)


def random_case(seed: int, name: str) -> bytes:
    """Return a name in the case that a resolver makes up (draft-vixie-dnsext-dns0x20)."""
    rng = random.Random(seed)
    return bytes(spelled_from_text("".join(rng.choice((one.upper(), one.lower())) for one in name)))


LONG = labels(b"a" * 63, b"a" * 63, b"a" * 63, b"a" * 47)
TSIG_RDATA = bytes.fromhex("0b686d61632d73686132353600 000065000000 012c 0000 1234 0000 0000")
TSIG = b"\3key\0" + struct.pack("!HHIH", RRType.TSIG, 255, 0, len(TSIG_RDATA)) + TSIG_RDATA
A_RECORD = "c00c 0001 0001 00000005 0004 0a000001"
NSID, EXPIRE, CLIENT_COOKIE = option(3), option(9), option(10, bytes(range(1, 9)))
SUBNET = option(8, bytes.fromhex("0001 00 00"))
ALL_BUT_QUERY = (1, 2, 3, *range(6, 16))


class Row(NamedTuple):
    """One requirement: what is sent, and what is said to each message over UDP and TCP."""

    number: str
    what: str
    wires: bytes | Sequence[bytes]
    said: str
    tcp: str | None = None  # where TCP differs


SOA_ANSWER = "NOERROR AA answer=SOA"
EDNS_SOA = "NOERROR AA answer=SOA OPT"
COOKIE = "option10:24"  # the client's 8 octets and 16 of ours
NODATA = "NOERROR AA authority=SOA"
NXDOMAIN = "NXDOMAIN AA authority=SOA"
FOUND = "NOERROR AA answer=A"
FROM_FILE = f"{FOUND} authority=NS"  # as CoreDNS answers from a zone file
APEX_NS = "NOERROR AA answer=NS ..."  # its addresses are those of the machine
SILENCE = "none"
BARE_FORMERR = "FORMERR no-question"

TYPES = (  # those of the ISC list
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 24, 25, 26, 27, 28, 29, 30, 33, 35,
    36, 37, 38, 39, 42, 43, 44, 45, 46, 47, 48, 49, 50, 52, 53, 55, 59, 60, 99, 104, 105, 106, 107, 108, 109, 256, 257,
    258, 259, 32769, 1000,
)  # fmt: skip

ISC = [
    Row("1", "dns", soa(), SOA_ANSWER),
    Row("1", "aa", soa(AA), SOA_ANSWER),
    Row("1", "ad", soa(AD), SOA_ANSWER),
    Row("1", "cd", soa(CD), f"{SOA_ANSWER[:10]} CD answer=SOA"),
    Row("1", "ra", soa(RA), SOA_ANSWER),
    Row("1", "rd", soa(RD), "NOERROR AA RD answer=SOA"),
    Row("1", "tc", soa(TC), SOA_ANSWER),
    Row("1", "zflag", soa(0x40), SOA_ANSWER),
    Row("1", "opcode", header(0x7800), "NOTIMP no-question"),
    Row("1", "opcodeflg", header(0x7800 | AA | TC | RD | RA | 0x40 | AD | CD), "NOTIMP no-question"),
    Row("1", "type666", ask(ZONE, 666), NODATA),
    Row("1", "edns", esoa(), EDNS_SOA),
    Row("1", "edns1", esoa(version=1), "BADVERS OPT"),
    Row("1", "edns@512", edns(qname=ZONE, qtype=RRType.DNSKEY, size=512, edns_flags=0x8000), f"{NODATA} OPT DO"),
    Row("1", "ednsopt", esoa(option(100)), EDNS_SOA),
    Row("1", "edns1opt", esoa(option(100), version=1), "BADVERS OPT"),
    Row("1", "do", esoa(edns_flags=0x8000), f"{EDNS_SOA} DO"),
    Row("1", "docd", esoa(edns_flags=0x8000, flags=CD), "NOERROR AA CD answer=SOA OPT DO"),
    Row("1", "edns1do", esoa(edns_flags=0x8000, version=1), "BADVERS OPT DO"),
    Row("1", "ednsflags", esoa(edns_flags=0x80), EDNS_SOA),
    Row("1", "optlist", esoa(NSID + SUBNET + EXPIRE + CLIENT_COOKIE), f"{EDNS_SOA} {COOKIE}"),
    Row("1", "ednsnsid", esoa(NSID), EDNS_SOA),
    Row("1", "ednscookie", esoa(CLIENT_COOKIE), f"{EDNS_SOA} {COOKIE}"),
    Row("1", "ednsexpire", esoa(EXPIRE), EDNS_SOA),
    Row("1", "ednssubnet", esoa(SUBNET), EDNS_SOA),
    *[
        Row("1", f"edns1{name}", esoa(data, version=1), "BADVERS OPT")
        for name, data in (("nsid", NSID), ("cookie", CLIENT_COOKIE), ("expire", EXPIRE), ("subnet", SUBNET))
    ],
    Row("1", "bind11", esoa(CLIENT_COOKIE, edns_flags=0x8000), f"{EDNS_SOA} DO {COOKIE}"),
    Row("1", "dig11", esoa(CLIENT_COOKIE, flags=AD | RD), f"NOERROR AA RD answer=SOA OPT {COOKIE}"),
    *[Row("1", f"type{qtype}", ask(ZONE, qtype), {2: APEX_NS, 6: SOA_ANSWER}.get(qtype, NODATA)) for qtype in TYPES],
    Row("1", "dnswkk", ask(ZONE, 6, counts=(1, 0, 0, 1), rest=TSIG), "NOTAUTH additional=TSIG"),
]

HEADER = [
    Row("2.1", "known name", ask(), FOUND),
    Row("2.2", "SOA", soa(), SOA_ANSWER),
    Row("2.2", "NS", ask(ZONE, 2), APEX_NS),
    Row("2.3", "RD", ask(flags=RD), "NOERROR AA RD answer=A"),
    Row("2.4", "RCODE bits", ask(flags=5), FOUND),
    Row("2.5", "IDs", [ask(ident=ident) for ident in (0, 1, 0x8000, 0xFFFF)], FOUND),
    Row("2.6", "all flags", ask(flags=AA | TC | RD | RA | 0x40 | AD | CD), "NOERROR AA RD CD answer=A"),
    Row("2.8", "again and again", [ask()] * 8, FOUND),
]

ODD_LABELS = (
    b"a b", b"a\tb", b"\\.", b'"', b"(", b")", b";", b"@", b"$", b"*", b"-", b"_", b"\xc3\xa4", b"xn--", b"\0\0",
    b"a.b",
)  # fmt: skip

NAMES = [
    Row("3.9", "0x20 found", [ask(random_case(seed, K)) for seed in range(8)], FOUND),
    Row("3.9", "0x20 NODATA", [ask(random_case(seed, K), 16) for seed in range(8)], NODATA),
    Row("3.9", "0x20 NXDOMAIN", [ask(random_case(seed, f"nx.{ZONE}")) for seed in range(8)], NXDOMAIN),
    Row("3.9", "0x20 REFUSED", [ask(random_case(seed, "www.example.org")) for seed in range(8)], "REFUSED"),
    Row("3.11", "dot in a label", ask(labels(b"kubernetes.default", b"svc")), NXDOMAIN),
    Row("3.11", "dots everywhere", ask(b"\x24kubernetes.default.svc.cluster.local\0"), "REFUSED"),
    Row("3.11", "dot in the zone", ask(labels(b"kubernetes", b"default")[:-15] + b"\x0dcluster.local\0"), "REFUSED"),
    Row("3.12", "one-octet labels", [ask(labels(bytes((octet,)))) for octet in range(256)], NXDOMAIN),
    Row("3.12", "odd labels", [ask(labels(label)) for label in ODD_LABELS], NXDOMAIN),
    Row(
        "3.13",
        "only letters fold",
        [ask(labels(label, b"default", b"svc")) for label in (b"{ubernetes", b"\xebubernetes", b"Kubernete\x53"[:-1])],
        NXDOMAIN,
    ),
    Row("3.13", "letters fold", ask(labels(b"KUBERNETES", b"DEFAULT", b"SVC")), FOUND),
    Row("3.14", "longest label", ask(labels(b"a" * 63)), NXDOMAIN),
    Row("3.14", "longest name", ask(LONG), NXDOMAIN),
    Row("3.14", "127 labels", ask(b"\1a" * 127 + b"\0"), "REFUSED"),
    Row("3.14", "as many below the zone", ask(labels(*[b"a"] * 120)), NXDOMAIN),
]

NEGATIVE = [
    Row("4.15", "NXDOMAIN", ask(f"nx-1.{ZONE}"), NXDOMAIN),
    Row("4.17", "NODATA", [ask(K, qtype) for qtype in (13, 65280, 666, 99)], NODATA),
    *[
        Row("4.18", f"ancestor {name}", [ask(name, 1), ask(name, 16)], NODATA)
        for name in (f"default.svc.{ZONE}", f"svc.{ZONE}", ZONE)
    ],
    Row("4.19", "nothing above either", ask(f"a.b.c.nx.{ZONE}"), NXDOMAIN),
    Row("4.19", "below the known name", ask(f"zz.{K}"), NXDOMAIN),
    Row("4.20", "outside", [ask("example.org"), ask("."), ask(".", 2)], "REFUSED"),
    Row(
        "4.21",
        "beside the zone",
        [ask(name) for name in (f"x{ZONE}", "local", f"{ZONE}.example", f"{ZONE}x", "rows.tes", "xrows.test")],
        "REFUSED",
    ),
    Row(
        "4.23", "alias out", [ask(f"outside.default.svc.{ZONE}", t) for t in (1, 28, 16, 5)], "NOERROR AA answer=CNAME"
    ),
    Row("4.23", "alias in", ask(f"inside.default.svc.{ZONE}"), "NOERROR AA answer=CNAME,A"),
    # without the alias, which some resolvers would take for an answer (CoreDNS issue 6088)
    Row("4.23", "alias to NODATA", ask(f"inside.default.svc.{ZONE}", 16), NODATA),
    Row("4.23", "alias in a circle", ask(f"circle.default.svc.{ZONE}"), NODATA),
    Row("4.23", "chain", ask("chain.rows.test"), "NOERROR AA answer=CNAME,A authority=NS"),
    Row("4.23", "dangling", ask("dangling.rows.test"), "NXDOMAIN AA answer=CNAME authority=SOA"),
    Row("4.24", "wildcard", [ask("x.wild.rows.test"), ask("a.b.WILD.rows.test"), ask("*.wild.rows.test")], FROM_FILE),
    Row("4.24", "wildcard, other type", ask("x.wild.rows.test", 16), NODATA),
    Row("4.24", "an ENT is not covered", ask("there.wild.rows.test"), NODATA),
    Row("4.24", "nor what is below it", ask("x.there.wild.rows.test"), NXDOMAIN),
    Row("4.25", "cut", ask("www.cut.rows.test"), "NOERROR authority=NS additional=A"),
]

OTHER_CLASSES = (0, 3, 4, 254, 5, 65280, 65535)

TYPES_AND_CLASSES = [
    Row("5.26", "no types of data", [ask(K, qtype) for qtype in (0, 41, 128, 250)], "FORMERR"),
    Row("5.26", "TKEY, MAILB, MAILA", [ask(K, qtype) for qtype in (249, 253, 254)], "NOTIMP"),
    Row("5.26", "65535", ask(K, 65535), NODATA),
    Row("5.27", "ANY", [ask(K, 255), ask(ZONE, 255)], NODATA),
    Row("5.28", "ANY at no name", ask(f"nx.{ZONE}", 255), NXDOMAIN),
    Row("5.28", "ANY at an ENT", ask(f"svc.{ZONE}", 255), NODATA),
    Row("5.29", "version", [ask(name, 16, 3) for name in ("version.bind", "id.server")], "REFUSED"),
    Row("5.30", "other classes", [ask(K, 1, qclass) for qclass in OTHER_CLASSES], "REFUSED"),
    Row("5.31", "class ANY", ask(K, 1, 255), "NOERROR answer=A"),
    Row("5.32", "AXFR, IXFR", [ask(ZONE, 252), ask(ZONE, 251), ask("rows.test", 252)], "REFUSED"),
    Row("5.33", "DS at the apex", ask(ZONE, 43), NODATA),
]

UPDATE = ask(ZONE, 6, flags=0x2800, counts=(1, 0, 1, 0), rest="02 7570" + "c00c 0001 0001 00000005 0004 0a000001")
MANY_UPDATES = ask(ZONE, 6, flags=0x2800, counts=(1, 0, 80, 0), rest=A_RECORD.replace(" ", "") * 80)

OPCODES = [
    Row("6.34", "with a question", [ask(flags=opcode << 11) for opcode in ALL_BUT_QUERY], "NOTIMP"),
    Row("6.34", "with EDNS", [edns(flags=opcode << 11) for opcode in ALL_BUT_QUERY], "NOTIMP OPT"),
    Row("6.35", "header only", header(0x7800), "NOTIMP no-question"),
    Row("6.36", "NOTIFY", ask(ZONE, 6, flags=0x2400), "REFUSED"),
    Row("6.37", "UPDATE", UPDATE, "NOTIMP"),
    Row("6.37", "not made", ask(f"up.{ZONE}"), NXDOMAIN),
    Row("6.37", "UPDATE with 80 records", MANY_UPDATES, "NOTIMP no-question"),
]

POINTERS = ("c00c", "c00e c00c", "0161 c00c", "".join(f"{0xC000 | 14 + 2 * n:04x}" for n in range(59)) + "c00c")
RESPONSES = [  # QR=1 in every shape
    ask(flags=0x8000),
    ask(flags=0x8001),
    ask(flags=0x8002),
    ask(ZONE, 6, flags=0xA400),
    ask(ZONE, 6, flags=0xA800),
    ask(flags=0xF800),
    header(0x8000),
    ask(flags=0x8000)[:20],
    edns(flags=0x8000, version=1),
    ask(flags=0x8000, counts=(1, 0, 0, 2), rest=opt() + opt()),
    ask(flags=0x8000, counts=(2, 0, 0, 0)),
    ask("version.bind", 16, 3, flags=0x8000),
    ask(flags=0x8580, counts=(1, 1, 0, 0), rest=A_RECORD),
]

MALFORMED = [
    Row("7.39", "no question", header(), BARE_FORMERR),
    Row("7.40", "two questions", header(0, 2) + ask()[12:] * 2, BARE_FORMERR),
    Row("7.41", "more questions than there are", [header(0, n) + ask()[12:] for n in (2, 256, 65535)], BARE_FORMERR),
    Row("7.41", "cut anywhere", [ask()[:size] for size in range(12, len(ask()))], BARE_FORMERR),
    Row(
        "7.42",
        "reserved labels",
        [header(0, 1) + bytes((first,)) + ask()[13:] for first in (0x40, 0x41, 0x7F, 0x80, 0xBF)],
        BARE_FORMERR,
    ),
    Row("7.43", "pointers", [header(0, 1) + bytes.fromhex(p + "0001 0001") for p in POINTERS], BARE_FORMERR),
    Row(
        "7.44",
        "pointers elsewhere",
        [header(0, 1) + struct.pack("!3H", 0xC000 | to, 1, 1) for to in (*range(12), 14, 18, 200, 0x3FFF)],
        BARE_FORMERR,
    ),
    Row(
        "7.45", "too long", [ask((b"\x3f" + b"a" * 63) * n + b"\x3e" + b"a" * 62 + b"\0") for n in (3, 7)], BARE_FORMERR
    ),
    Row("7.45", "256 octets", ask((b"\x3f" + b"a" * 63) * 3 + b"\x3e" + b"a" * 62 + b"\0"), BARE_FORMERR),
    Row("7.46", "junk behind", ask(rest=b"\xaa" * 40), FOUND),
    Row(
        "7.47",
        "absent records",
        [ask(counts=(1, *counts)) for counts in ((1, 0, 0), (0, 1, 0), (0, 0, 1))],
        "FORMERR",
    ),
    Row(
        "7.47",
        "records that no query has",
        [ask(counts=(1, *counts), rest=A_RECORD) for counts in ((1, 0, 0), (0, 1, 0), (0, 0, 1))],
        FOUND,
    ),
    Row("7.48", "responses", RESPONSES, SILENCE),
    Row("7.49", "zeros", bytes(4096), BARE_FORMERR),
    Row("7.49", "ones", [b"\xff" * size for size in (12, 33, 64)], SILENCE),
    Row("7.50", "unknown key", ask(counts=(1, 0, 0, 1), rest=TSIG), "NOTAUTH additional=TSIG"),
    Row("7.50", "and EDNS", ask(counts=(1, 0, 0, 2), rest=opt() + TSIG), "NOTAUTH additional=TSIG OPT"),
    Row("7.50", "not last", ask(counts=(1, 0, 0, 2), rest=TSIG + opt()), "FORMERR"),
    Row("7.50", "cut", ask(counts=(1, 0, 0, 1), rest=TSIG[:12] + b"\0\3abc"), "FORMERR"),
    Row("7.51", "key name as a pointer", ask(LONG, counts=(1, 0, 0, 1), rest=b"\xc0\x0c" + TSIG[5:]), "NOTAUTH"),
    Row("7.50", "SIG(0)", ask(counts=(1, 0, 0, 1), rest="00 0018 00ff 00000000 0000"), FOUND),
]

TWO_OPT = ask(counts=(1, 0, 0, 2), rest=opt() + opt())
ONLY_COOKIE = f"NOERROR no-question OPT {COOKIE}"
SIGNED = f"NOTAUTH additional=TSIG OPT {COOKIE}"
ODD_SUBNETS = ("0001", "0001 21 00 0a000001 00", "0001 08 08 0a", "0009 00 00", "0001 04 00 ff")

EDNS = [
    Row("8.53", "two OPT", TWO_OPT, "FORMERR OPT"),
    Row("8.53", "OPT below the root", ask(counts=(1, 0, 0, 1), rest=b"\1a" + opt()), "FORMERR OPT"),
    Row("8.54", "RDLENGTH beyond the end", ask(counts=(1, 0, 0, 1), rest=opt()[:-2] + b"\0\7"), "FORMERR"),
    Row(
        "8.54",
        "options cut short",
        [edns(bytes.fromhex(data)) for data in ("00", "006400", "00640005616263")],
        "FORMERR OPT",
    ),
    Row("8.55", "elsewhere", [ask(counts=(1, *n, 0), rest=opt()) for n in ((1, 0), (0, 1))], "FORMERR OPT"),
    Row(
        "8.55",
        "first or last",
        [
            ask(counts=(1, 0, 0, 2), rest=rest)
            for rest in (opt() + bytes.fromhex(A_RECORD), bytes.fromhex(A_RECORD) + opt())
        ],
        f"{FOUND} OPT",
    ),
    Row("8.56", "small sizes", [edns(size=size) for size in (0, 1, 511)], f"{FOUND} OPT"),
    Row("8.57", "OPT with NXDOMAIN", edns(qname=f"nx.{ZONE}"), f"{NXDOMAIN} OPT"),
    Row("8.57", "OPT with NODATA", edns(qtype=16), f"{NODATA} OPT"),
    Row("8.57", "OPT with REFUSED", edns(qname="example.org"), "REFUSED OPT EDE20"),
    Row("8.57", "OPT with ANY", edns(qtype=255), f"{NODATA} OPT"),
    Row("8.57", "OPT with CH", edns(qname="version.bind", qtype=16, qclass=3), "REFUSED OPT EDE20"),
    Row("8.57", "OPT with another class", edns(qclass=3), "REFUSED OPT EDE20"),
    Row("8.57", "OPT with AXFR", edns(qname=ZONE, qtype=252), "REFUSED OPT EDE21"),
    Row("8.57", "OPT with NOTIMP", edns(flags=0x1000), "NOTIMP OPT"),
    Row("8.57", "none without", [ask(f"nx.{ZONE}"), ask(f"nx2.{ZONE}")], NXDOMAIN),
    Row("8.58", "versions", [edns(version=version, size=4096) for version in (1, 2, 255)], "BADVERS OPT"),
    Row("8.59", "extended RCODE", edns(upper=255), f"{FOUND} OPT"),
    Row("8.59", "flags", edns(edns_flags=0x7FFF), f"{FOUND} OPT"),
    Row("8.59", "DO", edns(edns_flags=0x8000), f"{FOUND} OPT DO"),
    Row("8.60", "unknown options", [edns(option(code, b"abc")) for code in (0, 100, 65001, 65535)], f"{FOUND} OPT"),
    Row("8.60", "60 of them", edns(option(65001, b"abc") * 60), f"{FOUND} OPT"),
    Row("8.61", "NSID without the plugin", edns(option(3, b"payload")), f"{FOUND} OPT"),
    Row("8.62", "client cookie", edns(CLIENT_COOKIE), f"{FOUND} OPT {COOKIE}"),
    Row(
        "8.62", "any server cookie", [edns(option(10, bytes(size))) for size in range(16, 41)], f"{FOUND} OPT {COOKIE}"
    ),
    Row(
        "8.62",
        "malformed cookies",
        [edns(option(10, bytes(size))) for size in (*range(8), *range(9, 16), 41, 100)],
        "FORMERR OPT",
    ),
    Row("8.62", "nothing but a cookie", header(0, 0, 0, 0, 1) + opt(options=CLIENT_COOKIE), ONLY_COOKIE),
    Row(
        "8.62",
        "and its keepalive",
        header(0, 0, 0, 0, 1) + opt(options=CLIENT_COOKIE + option(11)),
        ONLY_COOKIE,
        f"{ONLY_COOKIE} option11:2",
    ),
    Row(
        "8.62",
        "no question and no cookie",
        [
            header(0, 0, 0, 0, 1) + opt(),
            header(0, 0, 0, 0, 1) + opt(options=option(10)),
            header(0, 0, 0, 0, 1) + opt(version=1, options=CLIENT_COOKIE),
            header(0, 0, 0, 0, 2) + opt(options=CLIENT_COOKIE),
            header(0, 0, 0, 0, 1) + opt(options=CLIENT_COOKIE)[:-1],
        ],
        BARE_FORMERR,
    ),
    Row("8.62", "two of them", edns(CLIENT_COOKIE + option(10)), f"{FOUND} OPT {COOKIE}"),
    Row("8.62", "with an error", edns(CLIENT_COOKIE, flags=0x1000), f"NOTIMP OPT {COOKIE}"),
    Row("8.62", "with REFUSED", edns(CLIENT_COOKIE, qname="example.org"), f"REFUSED OPT {COOKIE} EDE20"),
    Row("8.62", "cookie and TSIG", ask(counts=(1, 0, 0, 2), rest=opt(options=CLIENT_COOKIE) + TSIG), SIGNED),
    Row("8.64", "keepalive", edns(option(11)), f"{FOUND} OPT", f"{FOUND} OPT option11:2"),
    Row("8.64", "keepalive with a time", edns(option(11, b"\0\1")), f"{FOUND} OPT", f"{FOUND} OPT option11:2"),
    Row("8.65", "padding in the clear", edns(option(12, bytes(40))), f"{FOUND} OPT"),
    Row("8.63", "client subnet", edns(option(8, bytes.fromhex("0001 18 00 c00002"))), f"{FOUND} OPT"),
    Row("8.63", "odd client subnets", [edns(option(8, bytes.fromhex(data))) for data in ODD_SUBNETS], f"{FOUND} OPT"),
    Row(
        "8.65",
        "options of others",
        [
            esoa(option(code, data))
            for code, data in ((13, b"\0"), (14, b"\0\1"), (15, b"\0\1"), (9, b""), (18, b""), (19, b""))
        ],
        EDNS_SOA,
    ),
]

BIG = "big.rows.test"
TRUNCATION = [
    Row("9.67", "too much", ask(BIG), "NOERROR AA TC answer=A", FROM_FILE),
    *[
        Row("9.69", f"size {size}", edns(qname=BIG, size=size), "NOERROR AA TC answer=A OPT", f"{FROM_FILE} OPT")
        for size in (512, 700, 1232, 1400, 4096, 65535)
    ],
    Row(
        "8.65",
        "TCP does not read the size",
        edns(qname=BIG, size=512),
        "NOERROR AA TC answer=A OPT",
        f"{FROM_FILE} OPT",
    ),
]

ROWS = [*ISC, *HEADER, *NAMES, *NEGATIVE, *TYPES_AND_CLASSES, *OPCODES, *MALFORMED, *EDNS, *TRUNCATION]


# -- responses -------------------------------------------------------------------------------------------------------


def said(response: ParsedResponse) -> str:
    """Return what a response says: RCODE, header bits, the types of each section, EDNS and its options."""
    words = [Rcode(response.rcode).name]
    words += [name for name, bit in FLAGS if response.flags & bit]
    if not response.question:
        words.append("no-question")
    for section in ("answer", "authority", "additional"):
        records: tuple[Record, ...] = getattr(response, section)
        if records:
            words.append(f"{section}={','.join(dict.fromkeys(type_to_text(one.rrtype) for one in records))}")
    if response.edns is not None:
        words += ["OPT", *["DO"] * response.edns.dnssec_ok, *map(_option_said, response.edns.options)]
    return " ".join(words)


def _option_said(one: tuple[int, bytes]) -> str:
    code, data = one
    return f"EDE{int.from_bytes(data[:2], 'big')}" if code == EDE else f"option{code}:{len(data)}"


def check(wire: bytes, response: bytes, *, udp: bool) -> ParsedResponse:
    """Return a response, after what holds for all of them (rows 2.1, 2.7, 7.51, 8.66 and those common to the list)."""
    parsed = parse_response(response)
    assert response[:2] == wire[:2]
    assert parsed.opcode == wire[2] >> 3 & 15
    assert parsed.size == len(response), "octets behind the last record"
    assert not parsed.flags & 0x40
    if parsed.question:
        (asked,) = parsed.question
        end = 12 + len(asked.qname) + 4
        assert response[12:end] == wire[12:end], "another question"
    assert parsed.edns is None or (parsed.edns.version, parsed.edns.udp_size) == (0, 1232)
    records = (*parsed.answer, *parsed.authority, *parsed.additional)
    assert len(set(records)) == len(records)
    ttls: dict[tuple[bytes, int], set[int]] = {}
    for one in records:
        assert one.rrtype == RRType.TSIG or (one.rrclass == 1 and one.ttl < 2**31)
        ttls.setdefault((one.owner, one.rrtype), set()).add(one.ttl)
    assert all(len(found) == 1 for found in ttls.values())
    if udp:
        assert len(response) <= _limit(wire)
    options = parsed.edns.options if parsed.edns is not None else ()
    if parsed.rcode not in (Rcode.NOERROR, Rcode.NXDOMAIN) and all(code != 12 for code, _ in options):
        assert len(response) <= len(wire) + 11 + 6 + 24
    return parsed


def _limit(wire: bytes) -> int:
    """Return how many octets the client takes over UDP."""
    try:
        query = parse_query(wire)
    except MalformedQueryError:
        return 512
    return max(512, query.edns.udp_size) if query.edns is not None else 512


# -- conversations ---------------------------------------------------------------------------------------------------

PROBE = ask(ident=0xBEEF)  # what is asked to see that nothing was said before


class Talk(NamedTuple):
    """One socket to the server."""

    send: Callable[[bytes], None]
    receive: Callable[[], Awaitable[bytes]]

    async def exchange(self, wire: bytes, *, silent: bool = False) -> bytes | None:
        """Send a message and return the response; None where the next thing said is the answer to the next query."""
        self.send(wire)
        if silent:
            self.send(PROBE)
        response = await asyncio.wait_for(self.receive(), TIMEOUT)
        if silent:
            assert response[:2] == PROBE[:2]
            return None
        return response


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.queue.put_nowait(data)


@asynccontextmanager
async def talk(address: tuple[str, int], transport: str) -> AsyncIterator[Talk]:
    """Open a socket of one kind."""
    if transport == "udp":
        loop = asyncio.get_running_loop()
        endpoint, datagrams = await loop.create_datagram_endpoint(_Datagrams, remote_addr=address)
        try:
            yield Talk(endpoint.sendto, datagrams.queue.get)
        finally:
            endpoint.close()
        return
    context = None
    if transport == "tls":
        context = ssl.create_default_context(cafile=str(CERTIFICATES / "ca.pem"))
        context.check_hostname = False
    reader, writer = await asyncio.open_connection(*address, ssl=context)

    async def receive() -> bytes:
        (size,) = struct.unpack("!H", await reader.readexactly(2))
        return await reader.readexactly(size)

    try:
        yield Talk(lambda wire: writer.write(framed(wire)), receive)
    finally:
        writer.close()
        await writer.wait_closed()


def framed(wire: bytes) -> bytes:
    """Return a message behind its length."""
    return struct.pack("!H", len(wire)) + wire


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Serving]:
    """A server for all rows: it has to survive each of them."""
    folder = tmp_path_factory.mktemp("rows")
    write_zones(folder)
    async with serving(COREFILE, folder) as running:
        yield running


def write_zones(folder: Path) -> None:
    """Write what the Corefile names."""
    (folder / "manifests.yaml").write_text(MANIFESTS)
    (folder / "rows.zone").write_text(ZONE_FILE)


CASES = [
    pytest.param(row, transport, id=f"{row.number} {row.what} {transport}")
    for row, transport in itertools.product(ROWS, ("udp", "tcp"))
]


@pytest.mark.parametrize(("row", "transport"), CASES)
async def test_row(server: Serving, row: Row, transport: str) -> None:
    """What is said to a message is what the row says, and the socket goes on to be served."""
    expected = row.tcp if row.tcp is not None and transport == "tcp" else row.said
    wires = [row.wires] if isinstance(row.wires, bytes) else row.wires
    async with talk(server.address, transport) as socket:
        for wire in wires:
            response = await socket.exchange(wire, silent=expected == SILENCE)
            if response is not None:
                found = said(check(wire, response, udp=transport == "udp"))
                start, dots, _ = expected.partition("...")
                assert found.startswith(start) if dots else found == expected, wire.hex()
        assert said(parse_response(await socket.exchange(PROBE) or b"")) == FOUND


# -- what is not a message and its answer ----------------------------------------------------------------------------


async def asked(server: Serving, wire: bytes, transport: str = "udp") -> bytes:
    """Return the response to one query."""
    async with talk(server.address, transport) as socket:
        return await socket.exchange(wire) or b""


async def alive(server: Serving) -> None:
    """Ask over both transports."""
    for transport in ("udp", "tcp"):
        assert said(parse_response(await asked(server, PROBE, transport))) == FOUND


async def test_owners_follow_the_question(server: Serving) -> None:
    """Row 3.10: the owner in the answer is a pointer to the question's own spelling."""
    wire = ask(random_case(1, K))
    response = await asked(server, wire)
    assert response[12 : len(wire) + 2] == wire[12:] + b"\xc0\x0c"


@pytest.mark.parametrize(("name", "ttl"), [(f"nx.{ZONE}", 5), (f"nx.{K}", 5), ("x.there.wild.rows.test", 30)])
async def test_negative_ttl(server: Serving, name: str, ttl: int) -> None:
    """Row 4.16: the SOA of a negative answer has the smaller of its own TTL and MINIMUM."""
    (record,) = parse_response(await asked(server, ask(name))).authority
    assert record.ttl == ttl == min(ttl, int.from_bytes(record.rdata[-4:], "big"))


@pytest.mark.parametrize("wire", [ask(f"nx.{ZONE}"), ask(K, 16), ask("example.org"), edns(qname=f"nx.{ZONE}")])
async def test_negative_over_both(server: Serving, wire: bytes) -> None:
    """Row 4.22: octet for octet the same over UDP and TCP."""
    assert await asked(server, wire, "udp") == await asked(server, wire, "tcp")


async def test_the_root_is_not_amplified(server: Serving) -> None:
    """Row 4.20: what is refused is hardly larger than its query."""
    wire = edns(qname=".", qtype=2)
    assert len(await asked(server, wire)) <= 2 * len(wire)


async def test_cookies(server: Serving) -> None:
    """Row 8.62: the client's octets come first, a good cookie comes back as it is, a bad one does not."""
    whole: dict[str, bytes] = {}
    for transport in ("udp", "tcp"):
        whole[transport] = await cookie(server, bytes(range(1, 9)), transport)
        assert whole[transport][:12] == bytes(range(1, 9)) + b"\1\0\0\0"
    assert await cookie(server, whole["udp"], "tcp") == whole["udp"]
    forged = whole["udp"][:-1] + bytes((whole["udp"][-1] ^ 1,))
    assert (await cookie(server, forged, "udp"))[-8:] != forged[-8:]


async def cookie(server: Serving, data: bytes, transport: str) -> bytes:
    """Return the cookie that comes back for one."""
    response = parse_response(await asked(server, edns(option(10, data)), transport))
    assert response.edns is not None
    ((_, found),) = response.edns.options
    return found


async def test_keepalive(server: Serving) -> None:
    """Row 8.64: what it says is when an idle connection is closed, in tenths of a second."""
    response = parse_response(await asked(server, edns(option(11)), "tcp"))
    assert response.edns is not None
    assert response.edns.options == ((11, (100).to_bytes(2, "big")),)


@pytest.mark.parametrize("size", range(12))
async def test_short_messages(server: Serving, size: int) -> None:
    """Row 7.38: nothing is said to what has no header; TCP closes, and the next connection is served."""
    async with talk(server.address, "udp") as socket:
        assert await socket.exchange(ask()[:size], silent=True) is None
    async with talk(server.address, "tcp") as socket:
        socket.send(ask()[:size])
        with pytest.raises(asyncio.IncompleteReadError):
            await asyncio.wait_for(socket.receive(), TIMEOUT)
    await alive(server)


async def test_junk(server: Serving) -> None:
    """Row 7.49: random octets, small and large, leave the server serving."""
    rng = random.Random(49)
    async with talk(server.address, "udp") as socket:
        for size in (*range(12, 65), 9000):
            socket.send(rng.randbytes(size))
        socket.send(ask(rest=rng.randbytes(60_000)))
    for wire in (rng.randbytes(9000), ask(rest=rng.randbytes(60_000))):
        async with talk(server.address, "tcp") as socket:
            socket.send(wire)
            socket.send(PROBE)
            while (await asyncio.wait_for(socket.receive(), TIMEOUT))[:2] != PROBE[:2]:
                pass
    await alive(server)


def ladder(owners: int, opcode: int) -> bytes:
    """Return a message of 8000 pointers, each to the one before, and records owned by the last."""
    pointers = b"".join(struct.pack("!H", 0xC000 | max(12, 10 + 2 * step)) for step in range(8000))
    records = struct.pack("!HHHIH", 0xC000 | 0x3F00, 1, 1, 0, 0) * owners
    message = struct.pack("!6H", 7, opcode << 11, 1, 0, 0, owners) + b"\0\0\1\0\1" + pointers + records
    return message[:65535]


@pytest.mark.parametrize("opcode", [0, 4, 5])
async def test_ladders_of_pointers(server: Serving, opcode: int) -> None:
    """Row 7.52: messages made to be slow to read delay nobody."""
    worst = 0.0
    async with talk(server.address, "tcp") as bad, talk(server.address, "udp") as good:
        for _ in range(20):
            bad.send(ladder(4000, opcode))
            good.send(ladder(4000, opcode)[:8192])
            await good.receive()  # FORMERR or NOTIMP
            started = time.perf_counter()
            await good.exchange(ask())
            worst = max(worst, time.perf_counter() - started)
    assert worst < 0.2


async def test_a_large_set_over_tcp(server: Serving) -> None:
    """Row 9.68: 2200 addresses are there, all of them."""
    response = parse_response(await asked(server, ask(BIG), "tcp"))
    assert (len(response.answer), response.truncated) == (2200, False)


@pytest.mark.parametrize(("size", "limit"), [(512, 512), (700, 700), (1232, 1232), (1400, 1232), (4096, 1232)])
async def test_truncated_to_whole_records(server: Serving, size: int, limit: int) -> None:
    """Row 9.69: within the smaller of both sizes, as many whole records as fit."""
    response = await asked(server, edns(qname=BIG, size=size))
    assert limit - 16 < len(response) <= limit
    assert parse_response(response).size == len(response)


async def test_srv_targets_are_not_compressed(server: Serving) -> None:
    """Row 9.70: the target stands in full, although its name is in the question; its address comes along."""
    response = await asked(server, ask(f"_https._tcp.{K}", 33))
    parsed = parse_response(response)
    assert said(parsed) == "NOERROR AA answer=SRV additional=A"
    assert response.count(bytes(from_text(K))) == 2


async def test_additional_records_are_dropped_without_tc(server: Serving) -> None:
    """Row 9.70: a target's addresses that do not fit are only missing."""
    response = await asked(server, ask("_big._tcp.rows.test", 33))
    assert len(response) <= 512
    assert not parse_response(response).truncated


# -- TCP -------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def connected(server: Serving) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Open a connection, and give it up at the end."""
    reader, writer = await asyncio.open_connection(*server.address)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def read_all(reader: asyncio.StreamReader) -> list[bytes]:
    """Return the messages up to the end of a connection."""
    data = await asyncio.wait_for(reader.read(-1), TIMEOUT)
    found = []
    while data:
        size = int.from_bytes(data[:2], "big")
        found.append(data[2 : 2 + size])
        data = data[2 + size :]
    return found


QUERIES = [ask(ident=ident) for ident in range(100)]
SPLITS = {
    "one segment": lambda data: [data],
    "octet by octet": lambda data: [data[at : at + 1] for at in range(len(data))],
    "odd": lambda data: [data[at : at + 37] for at in range(0, len(data), 37)],
}


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("count", [2, 100])
async def test_pipelines(server: Serving, count: int, split: str) -> None:
    """Rows 10.71 and 10.72: however queries arrive, each is answered; after a half-close the server closes."""
    async with connected(server) as (reader, writer):
        for part in SPLITS[split](b"".join(map(framed, QUERIES[:count]))):
            writer.write(part)
            if len(part) < 40:
                await asyncio.sleep(0)
        writer.write_eof()
        responses = await read_all(reader)
    assert sorted(one[:2] for one in responses) == [one[:2] for one in QUERIES[:count]]
    assert {said(parse_response(one)) for one in responses} == {FOUND}


async def test_a_connection_goes_on(server: Serving) -> None:
    """Row 10.73: 300 queries one after the other, and one after a pause of two seconds."""
    async with talk(server.address, "tcp") as socket:
        for _ in range(300):
            assert await socket.exchange(ask())
        await asyncio.sleep(2)
        assert await socket.exchange(ask())


@pytest.mark.parametrize("end", ["FIN", "RST"])
async def test_a_message_without_its_end(server: Serving, end: str) -> None:
    """Row 10.74: a connection that ends within a message takes nothing with it."""
    async with connected(server) as (_, writer):
        writer.write(b"\1\0" + ask())
        await writer.drain()
        if end == "FIN":
            writer.close()
            await writer.wait_closed()
    await alive(server)


async def test_the_longest_message(server: Serving) -> None:
    """Row 10.74: 65535 octets with a query at their front are a query; a malformed one gets FORMERR."""
    wire = ask().ljust(65535, b"\xaa")
    assert said(parse_response(await asked(server, wire, "tcp"))) == FOUND
    assert said(parse_response(await asked(server, bytes(65535), "tcp"))) == BARE_FORMERR


async def test_many_at_once(server: Serving) -> None:
    """Row 10.75: 40 connections at one time are all served."""
    responses = await asyncio.gather(*(asked(server, ask(), "tcp") for _ in range(40)))
    assert {said(parse_response(one)) for one in responses} == {FOUND}


async def test_many_idle_connections(server: Serving) -> None:
    """Row 10.75: 300 idle connections of one address leave UDP and new connections served: the oldest go."""
    async with AsyncExitStack() as stack:
        for _ in range(300):
            await stack.enter_async_context(connected(server))
        await alive(server)
    await alive(server)


async def test_a_client_that_never_reads(server: Serving) -> None:
    """Row 10.76: it is not read from either, and UDP goes on."""
    pushed = framed(ask(BIG)) * 30_000
    async with connected(server) as (_, writer):
        for _ in range(64):  # megabytes
            writer.write(pushed)
            try:
                await asyncio.wait_for(writer.drain(), 0.3)
            except TimeoutError:
                break
        else:
            pytest.fail("megabytes of queries were read from a client that takes no answers")
        started = time.perf_counter()
        await asked(server, ask())
        assert time.perf_counter() - started < 0.5
    await alive(server)


async def test_stuck_connections(server: Serving) -> None:
    """Row 10.76: ten that wait within a message delay nobody."""
    async with AsyncExitStack() as stack:
        for _ in range(10):
            (_, writer) = await stack.enter_async_context(connected(server))
            writer.write(b"\0")
        started = time.perf_counter()
        await alive(server)
        assert time.perf_counter() - started < 0.5


async def test_time_limits(tmp_path: Path) -> None:
    """Row 10.77: an idle connection is closed after its time, and so is one that drips a message."""
    write_zones(tmp_path)
    corefile = COREFILE.replace("errors", "errors\n    timeouts {\n        read 1s\n        idle 1s\n    }", 1)
    async with serving(corefile, tmp_path) as server, connected(server) as idle, connected(server) as dripping:
        idle[1].write(framed(ask()))

        async def drip() -> None:
            for octet in framed(ask()):
                dripping[1].write(bytes((octet,)))
                await asyncio.sleep(0.1)

        task = asyncio.create_task(drip())
        started = time.perf_counter()
        messages = await asyncio.gather(read_all(idle[0]), read_all(dripping[0]))
        task.cancel()
        assert [len(found) for found in messages] == [1, 0]
        assert 0.9 < time.perf_counter() - started < 2.5


# -- TLS, and cookies of several servers -----------------------------------------------------------------------------

TLS = (
    "tls://cluster.local {{\n bind 127.0.0.1\n tls {0}/server.pem {0}/server.key\n kubernetes {{\n manifests .\n}}\n}}"
)
PADDED = [  # query, octets of its response
    (edns(option(12)), 468),
    (edns(option(12, bytes(300)) + option(11), qname=f"nx.{ZONE}"), 468),
    (edns(option(12) + CLIENT_COOKIE, flags=0x1000), 468),
    (edns(option(12), version=1), len(ask()) + 11),  # what its options are is not known
    (edns(), len(ask()) + 11 + 16),
    (ask(), len(ask()) + 16),
]


async def test_padding(tmp_path: Path) -> None:
    """Row 8.65: over TLS who pads a query gets a padded response (RFC 8467, section 4.1), and nobody else."""
    write_zones(tmp_path)
    async with serving(TLS.format(CERTIFICATES), tmp_path) as server, talk(server.address, "tls") as socket:
        for wire, size in PADDED:
            response = await socket.exchange(wire) or b""
            parsed = check(wire, response, udp=False)
            assert len(response) == size, said(parsed)
            if size == 468:
                assert parsed.edns is not None
                code, padding = parsed.edns.options[-1]
                assert (code, padding.strip(b"\0")) == (12, b"")


async def test_replicas_know_each_others_cookies(tmp_path: Path) -> None:
    """Row 8.62: with one secret what one server made is good to the other; without it each has its own."""
    write_zones(tmp_path)
    (tmp_path / "secret").write_text("e5e973e5a6b2a43f48e7dc849e37bfcf\n")
    shared = COREFILE.replace("errors", "errors\n    cookie {\n        secret secret\n    }", 1)
    async with serving(shared, tmp_path) as one, serving(shared, tmp_path) as two, serving(COREFILE, tmp_path) as other:
        made = await cookie(one, bytes(8), "udp")
        assert await cookie(two, made, "tcp") == made
        assert await cookie(other, made, "udp") != made
