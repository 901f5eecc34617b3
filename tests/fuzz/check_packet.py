"""Packets through the whole dispatcher: a chain as clusters have it, over UDP, TCP and TLS; no sockets."""

import asyncio
import atexit
import inspect
import json
import struct
import tempfile
import zlib
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from random import Random

import dnslib

from dnsserver.admin.http import AdminServers
from dnsserver.admin.metrics import Metrics
from dnsserver.corefile import parse
from dnsserver.generation import Generation
from dnsserver.message import OWN_UDP_SIZE, PLAIN_UDP_SIZE, Client, Query, Reply, Transport
from dnsserver.names import fold
from dnsserver.plugins.cache import Cache
from dnsserver.plugins.plugin import MAX_DEPTH, Plugin, PluginError, Request, Runtime
from dnsserver.records import Opcode, Rcode, RRType
from dnsserver.server import Dispatcher, Response
from dnsserver.setup import Setup, set_up
from dnsserver.wire import (
    AA,
    AD,
    CD,
    HEADER_SIZE,
    MAX_MESSAGE,
    QR,
    RA,
    RD,
    MalformedMessageError,
    ParsedResponse,
    parse_message,
    parse_response,
)
from dnsserver.wire.format import MAX_OPTIONS
from tests.build import endpoint_json, endpoint_slice_json, namespace_json, pod_json, port_json, service_json, vmi_json
from tests.fuzz.work import lines_of

COREFILE = """
cluster.local in-addr.arpa ip6.arpa {
    errors
    nsid fuzz
    bufsize 1232
    transfer {
        to *
    }
    cache 30
    rewrite stop name suffix .old.cluster.local .svc.cluster.local answer auto
    rewrite name exact short.cluster.local vm1.db.ns1.svc.cluster.local
    rewrite stop type ANY HINFO
    loadbalance
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        manifests objects.json
        pods insecure
        fallthrough in-addr.arpa
        ttl 30
    }
    template ANY ANY in-addr.arpa {
        rcode NXDOMAIN
    }
}
example.org {
    errors
    any
    minimal
    cache 5
    loadbalance
    file db.example.org
}
. {
    errors
    chaos "dnsserver" "someone"
    template ANY A {
        match ^(?P<name>[a-z]+)[.]generated[.]$
        answer "{{ .Name }} 60 IN A 192.0.2.1"
        fallthrough
    }
    whoami
}
"""
ZONE_FILE = """$TTL 60
@ SOA ns hostmaster 1 7200 1800 86400 60
@ NS ns
@ MX 10 mail
ns A 192.0.2.1
mail A 192.0.2.2
*.wild TXT "some text"
alias CNAME ns
loop CNAME loop
chain CNAME alias
sub NS ns.sub
ns.sub A 192.0.2.3
dn DNAME other
other A 192.0.2.4
big TXT {texts}
"""
CASE = 0x20  # what distinguishes the two cases of a letter
JUNK = (65001, 65534, 3000)  # codes of EDNS options that nobody has
KNOWN_OPTIONS = (3, 10, 11, 12, 15)  # NSID, COOKIE, edns-tcp-keepalive, PADDING, extended error

TIMES = 20  # ordinary queries that any message may take as much work as, of 64 KiB even,
PER_OCTET = 3  # lines, and what the octets of its answer may add: the transfer of a zone is long


def objects() -> list[dict[str, object]]:
    """Return a small cluster in which something is of every sort, and some answers are long."""
    many = [endpoint_json(f"10.1.{number // 200}.{number % 200}") for number in range(120)]
    named = [endpoint_json(f"10.2.0.{number}", hostname=f"{'h' * 40}-{number}") for number in range(40)]
    ports = [port_json(80, "http", "TCP"), port_json(53, "dns", "UDP")]
    return [
        namespace_json("ns1"),
        namespace_json("ns2"),
        service_json("db"),
        vmi_json("vm1"),
        vmi_json("vm2", addresses=("10.244.0.8", "fd00::8")),
        service_json("web", namespace="ns2", cluster_ip="10.96.0.7", families=("IPv4", "IPv6"), ports=ports),
        service_json("many", selector={}, ports=ports),
        endpoint_slice_json(*many, name="many-1", service="many", ports=ports),
        service_json("named", selector={}, ports=ports),
        endpoint_slice_json(*named, name="named-1", service="named", ports=ports),
        service_json("outside", external_name="ns.example.org"),
        service_json("alias", external_name="many.ns1.svc.cluster.local"),
        service_json("circle", external_name="circle.ns1.svc.cluster.local"),
        service_json("lost", external_name="nothing.example.org"),
        service_json("far", external_name="big.example.org"),
        pod_json(),
    ]


class Counted:
    """What the dispatcher counts."""

    def __init__(self) -> None:
        self.panics = 0

    def count_dropped(self, query: Query, client: Client, reply: Reply, started: float) -> None:
        """Nobody asks."""

    def count_panic(self) -> None:
        """Count."""
        self.panics += 1


class World:
    """Plugins at work in an event loop that runs only while they are started, or an answer is waited for."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.counted = Counted()
        self._made = tempfile.TemporaryDirectory(prefix="dnsserver-fuzz-")  # as long as the plugins look at its files
        folder = Path(self._made.name)
        (folder / "objects.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects()}))
        texts = " ".join(f'"{"t" * 200}{number}"' for number in range(12))
        (folder / "db.example.org").write_text(ZONE_FILE.replace("{texts}", texts))
        self.setup = set_up(parse(COREFILE), folder=folder, port=53)
        generation = Generation(self.setup, self.counted, {})
        runtime = Runtime(
            metrics=Metrics("0", "0"),
            http=AdminServers(),
            fail=self._fail,
            plugins=lambda: self.setup.plugins,
            block=generation.block,
            server=generation.server,
            ask=self._ask,
        )
        self.loop.run_until_complete(generation.start(self.setup.plugins, runtime))
        self.dispatcher = self._fresh()
        self.ordinary = self._ordinary()
        atexit.register(self._close)

    def _close(self) -> None:
        """End what the plugins have begun."""
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self.loop.close()
        self._made.cleanup()

    def begin(self) -> None:
        """Forget what is cached, so that an input does what it does whatever came before."""
        self.dispatcher = self._fresh()
        self.counted.panics = 0

    def ask(self, wire: bytes, transport: Transport) -> list[bytes] | None:
        """Return the messages of the response, None for silence."""
        client = Client("10.244.0.7", 4242, transport, "dns://:53")
        response = self.dispatcher(wire, client)
        if inspect.isawaitable(response):
            response = self.loop.run_until_complete(_waited(response))
        assert response is None or isinstance(response, bytes | Iterator)
        if response is None or isinstance(response, bytes):
            return None if response is None else [response]
        return [message for message in response if message]

    def _fresh(self) -> Dispatcher:
        """Return a dispatcher with empty caches."""
        caches: dict[Plugin, Plugin] = {one: Cache(one.options) for one in self.setup.plugins if isinstance(one, Cache)}
        setup: Setup = self.setup.with_plugins(caches)
        return Dispatcher(setup.blocks, self.counted)

    def _ordinary(self) -> int:
        """Return the lines that the costliest of three ordinary queries takes."""
        names = ("vm1.db.ns1.svc.cluster.local", "nothing.db.ns1.svc.cluster.local", "lost.ns1.svc.cluster.local")
        wires = [query(name, 1) for name in names]
        return max(lines_of(partial(self.ask, wire, Transport.TCP)) for wire in wires)

    async def _ask(self, request: Request, query: Query) -> Reply:
        """Ask the whole server, as `App` does."""
        if request.depth >= MAX_DEPTH:
            raise PluginError("", "the server asks itself in circles")
        return await self.dispatcher.resolve(query, request.client, request.started, request.depth + 1)

    def _fail(self, message: str) -> None:
        raise AssertionError(message)


async def _waited(response: object) -> Response:
    """Return a response that is waited for."""
    assert inspect.isawaitable(response)
    waited: Response = await response
    return waited


@cache
def world() -> World:
    """Return the one world."""
    return World()


def wire_name(text: str) -> bytes:
    """Return a name of plain letters as octets."""
    return b"".join(bytes((len(label),)) + label.encode() for label in text.split(".") if label) + b"\0"


def query(name: str, qtype: int, qclass: int = 1, *, edns: bytes = b"", flags: int = RD) -> bytes:
    """Return a query; `edns` is a whole OPT record."""
    head = struct.pack("!6H", 0x1234, flags, 1, 0, 0, bool(edns))
    return head + wire_name(name) + struct.pack("!HH", qtype, qclass) + edns


def opt(size: int = 1232, ttl: int = 0, options: bytes = b"") -> bytes:
    """Return an OPT record."""
    return b"\0" + struct.pack("!HHIH", 41, size, ttl, len(options)) + options


def check(data: bytes) -> None:
    """Check one packet: what each transport answers, and that all of them say the same."""
    there = world()
    there.begin()
    parsed = _understood(data)
    answers: dict[Transport, list[bytes] | None] = {}
    lines = lines_of(lambda: answers.update({Transport.TCP: there.ask(data, Transport.TCP)}))
    for transport in (Transport.UDP, Transport.TLS):
        answers[transport] = there.ask(data, transport)
    assert there.counted.panics == 0, "a fault of our own"
    for message in answers[Transport.UDP] or ():
        _check_by_another(message)
    for transport, messages in answers.items():
        for message in messages or ():
            _check_response(data, parsed, message, transport)
    silent = len(data) < HEADER_SIZE or data[2] & 0x80 != 0
    assert all((messages is None) == silent for messages in answers.values()), "silence at the wrong place"
    udp, tcp = answers[Transport.UDP], answers[Transport.TCP]
    if udp and tcp:
        _check_sections(udp, tcp)
        octets = sum(map(len, tcp))
        limit = TIMES * there.ordinary + PER_OCTET * octets
        assert lines <= limit, f"{lines} lines for an answer of {octets} octets, expecting at most {limit}"
        if parsed is not None and len(tcp) == 1:
            _check_equivalents(there, data, parsed, tcp[0])


def _understood(data: bytes) -> ParsedResponse | None:
    """Return the message where it is a whole query as any server would take it."""
    try:
        parsed = parse_message(data)
    except MalformedMessageError:
        return None
    counts = (len(parsed.question), len(parsed.answer), len(parsed.authority), len(parsed.additional))
    return parsed if counts == (1, 0, 0, 0) and b"\xc0" not in data[HEADER_SIZE : HEADER_SIZE + 1] else None


def _check_response(data: bytes, parsed: ParsedResponse | None, message: bytes, transport: Transport) -> None:
    """Assert what holds for any response."""
    response = parse_response(message)
    assert response.size == len(message), "octets behind the last record"
    assert message[:2] == data[:2], "another ID"
    assert response.opcode == data[2] >> 3 & 15, "another opcode"
    # CoreDNS's answer to an IXFR query that does not say which version its sender has
    transfer = any(question.qtype == RRType.IXFR for question in response.question)
    assert transfer or response.rcode != Rcode.SERVFAIL, "SERVFAIL though nothing is wrong with the server"
    flags = response.flags
    assert flags & QR
    assert not flags & (RA | AD | 0x40), f"flags {flags:04x}"
    asked = int.from_bytes(data[2:4], "big")
    kept = (RD | CD) & asked if response.opcode == Opcode.QUERY else 0
    assert flags & (RD | CD) == kept, f"RD or CD of {asked:04x} became {flags:04x}"
    assert not (flags & AA and response.rcode not in (Rcode.NOERROR, Rcode.NXDOMAIN)), "AA of an error"
    assert len(response.question) <= 1
    for question in response.question:
        echo = question.qname + struct.pack("!HH", question.qtype, question.qclass)
        assert data[HEADER_SIZE : HEADER_SIZE + len(echo)] == echo, "another question"
    _check_edns(parsed, response, transport)
    _check_size(parsed, response, transport)


def _check_by_another(message: bytes) -> None:
    """Assert that a parser that is not ours reads the message as well: ours might share a mistake with our encoder.

    A name that is not UTF-8 is one that dnslib does not read; ours are ASCII, but a question may hold anything.
    """
    if not all(question.qname.isascii() for question in parse_response(message).question):
        return
    read = dnslib.DNSRecord.parse(message)  # type: ignore[attr-defined]  # our stub has only what the package uses
    counts = tuple(map(len, (read.questions, read.rr, read.auth, read.ar)))
    assert counts == struct.unpack_from("!4H", message, 4), "another parser finds other sections"


def _check_edns(parsed: ParsedResponse | None, response: ParsedResponse, transport: Transport) -> None:
    """Assert that EDNS is there as it was asked for, with options that we have."""
    if parsed is not None and response.opcode == Opcode.QUERY:
        assert response.question, "a good question is not repeated"
        assert (parsed.edns is None) == (response.edns is None), "OPT, or none, as it was not asked"
    edns = response.edns
    if edns is None:
        assert response.rcode < 16
        return
    assert (edns.version, edns.udp_size) == (0, OWN_UDP_SIZE)
    assert parsed is None or parsed.edns is None or edns.dnssec_ok == parsed.edns.dnssec_ok
    codes = [code for code, _ in edns.options]
    assert len(set(codes)) == len(codes), f"an option stands twice: {codes}"
    assert set(codes) <= set(KNOWN_OPTIONS), f"options {codes}"
    sent = {code for code, _ in parsed.edns.options} if parsed is not None and parsed.edns is not None else None
    assert sent is None or set(codes) - {15} <= sent, f"options {codes} where {sent} were sent"
    assert 11 not in codes or transport is not Transport.UDP
    assert 12 not in codes or transport is Transport.TLS


def _check_size(parsed: ParsedResponse | None, response: ParsedResponse, transport: Transport) -> None:
    """Assert that a response keeps within the limits of its transport and of its client."""
    if transport is not Transport.UDP:
        assert response.size <= MAX_MESSAGE
        assert not response.truncated, "TC over a stream"
        return
    limit = PLAIN_UDP_SIZE if response.edns is None else OWN_UDP_SIZE
    if parsed is not None and parsed.edns is not None:
        limit = min(max(PLAIN_UDP_SIZE, parsed.edns.udp_size), OWN_UDP_SIZE)
    assert response.size <= limit, f"{response.size} octets, expecting at most {limit}"


def _check_sections(udp: list[bytes], tcp: list[bytes]) -> None:
    """Assert that UDP says what TCP says, and TC where it does not say all of it."""
    assert len(udp) == 1
    short, whole = parse_response(udp[0]), parse_response(tcp[0])
    if any(question.qtype in (RRType.AXFR, RRType.IXFR) for question in whole.question):
        return  # that is for TCP
    assert len(tcp) == 1
    assert short.rcode == whole.rcode, "another code over UDP"
    said, all_of_it = _answer(short), _answer(whole)
    assert said <= all_of_it, "UDP has other records than TCP"
    assert short.truncated == (said != all_of_it), "TC, or none, at the wrong place"


def _answer(response: ParsedResponse) -> set[tuple[int, bytes, int, int, bytes]]:
    """Return the records that TC is about; a cache lets their TTLs differ, and names are spelled as they are asked."""
    sections = (response.answer, response.authority)
    return {
        (number, bytes(fold(one.owner)), one.rrtype, one.rrclass, one.rdata.lower())
        for number, section in enumerate(sections)
        for one in section
    }


def _check_equivalents(there: World, data: bytes, parsed: ParsedResponse, plain: bytes) -> None:
    """Assert that letters' case and EDNS options that nobody knows change nothing in the records."""
    chance = Random(zlib.crc32(data))
    name = parsed.question[0].qname
    end = HEADER_SIZE + len(name)
    spelled = data[:HEADER_SIZE] + _recased(name, chance) + data[end:]
    cases = {"case": spelled}
    if parsed.edns is not None and parsed.size == len(data):
        cases["junk"] = _with_junk(data, parsed, chance)
    expected = parse_response(plain)
    for what, changed in cases.items():
        if len(changed) > MAX_MESSAGE:
            continue
        messages = there.ask(changed, Transport.TCP)
        assert messages is not None and len(messages) == 1, f"another number of messages by {what}"  # noqa: PT018 -- one thing
        response = parse_response(messages[0])
        assert response.rcode == expected.rcode, f"{response.rcode} and not {expected.rcode} by {what}"
        assert _answer(response) == _answer(expected), f"other records by {what}"


def _recased(name: bytes, chance: Random) -> bytes:
    """Return a name with the case of some of its letters changed (draft-vixie-dnsext-dns0x20)."""
    out = bytearray(name)
    index = 0
    while length := out[index]:
        for at in range(index + 1, index + 1 + length):
            if chr(out[at]).isascii() and chr(out[at]).isalpha() and chance.random() < 0.5:
                out[at] ^= CASE
        index += 1 + length
    return bytes(out)


def _with_junk(data: bytes, parsed: ParsedResponse, chance: Random) -> bytes:
    """Return the message, which ends with its OPT, with one more option."""
    edns = parsed.edns
    assert edns is not None
    size = sum(4 + len(option) for _, option in edns.options)
    length_at = len(data) - size - 2
    junk = bytes(chance.randrange(256) for _ in range(chance.randrange(9)))
    option = struct.pack("!HH", chance.choice(JUNK), len(junk)) + junk
    if size + len(option) > 0xFFFF or len(edns.options) >= MAX_OPTIONS:
        return data
    return data[:length_at] + (size + len(option)).to_bytes(2, "big") + data[length_at + 2 :] + option
