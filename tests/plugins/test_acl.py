"""Who may ask for what: rules in order, types, networks, what each action answers and counts."""

import asyncio
import ipaddress
import socket
from pathlib import Path

import pytest

from dnsserver.message import Client, Edns, Reply, Transport
from dnsserver.names import from_text
from dnsserver.plugins.acl import Acl, Networks
from dnsserver.plugins.plugin import Request
from dnsserver.records import Rcode, RRType
from dnsserver.wire import encode_query, parse_response
from tests.harness import ask_udp, question, serving
from tests.plugins.conftest import SERVER, World, answering, parse, refusal, request

ALLOWED = Reply(rcode=Rcode.NXDOMAIN)
BLOCKED = Reply(rcode=Rcode.REFUSED, authoritative=False, extended_error=(15, ""))
FILTERED = Reply(authoritative=False, extended_error=(17, ""))
DROPPED = Reply(authoritative=False, silent=True)


def plugin(text: str) -> Acl:
    """Parse the directives of one block."""
    (one,) = parse("acl", text)
    assert isinstance(one, Acl)
    return one


def asked(address: str = "10.0.0.1", qtype: int = RRType.A, name: str = "www.example.com.") -> Request:
    """Return a request from an address."""
    return request(name, qtype, client=Client(address, 1234, Transport.UDP, SERVER))


TWO = "acl a.example.com {\nblock net 10.0.1.0/24\n}\nacl b.example.com {\nblock net 10.0.2.0/24\n}"
CASES = [  # directives, client, type, name, reply
    ("acl", "10.0.0.1", "A", "www.example.com.", ALLOWED),
    ("acl {\nblock\n}", "10.0.0.1", "A", "www.example.com.", BLOCKED),
    ("acl {\nBLOCK\n}", "10.0.0.1", "A", "www.example.com.", BLOCKED),
    ("acl {\nfilter\n}", "2001:db8::1", "A", "www.example.com.", FILTERED),
    ("acl {\ndrop\n}", "2001:db8::1", "A", "www.example.com.", DROPPED),
    ("acl {\nblock\n}", "10.0.0.1", "A", "www.example.org.", ALLOWED),  # outside the block's zones
    ("acl EXAMPLE.org {\nblock\n}", "10.0.0.1", "A", "www.example.org.", BLOCKED),
    ("acl example.org {\nblock\n}", "10.0.0.1", "A", "www.example.com.", ALLOWED),
    ("acl 10.0.0.0/8 {\nblock\n}", "10.0.0.1", "PTR", "1.0.0.10.in-addr.arpa.", BLOCKED),
    ("acl {\nblock type A net 192.168.0.0/16\n}", "192.168.0.2", "A", "www.example.com.", BLOCKED),
    ("acl {\nblock type A net 192.168.0.0/16\n}", "192.167.0.2", "A", "www.example.com.", ALLOWED),
    ("acl {\nblock type A net 192.168.0.0/16\n}", "192.168.0.2", "AAAA", "www.example.com.", ALLOWED),
    ("acl {\nblock net 192.168.0.9/16 type A aaaa\n}", "192.168.0.2", "AAAA", "www.example.com.", BLOCKED),
    ("acl {\nblock type A type MX net 10.0.0.1 net 10.0.0.2\n}", "10.0.0.2", "MX", "www.example.com.", BLOCKED),
    ("acl {\nblock type A type MX net 10.0.0.1 net 10.0.0.2\n}", "10.0.0.3", "MX", "www.example.com.", ALLOWED),
    ("acl {\nblock type * net *\n}", "10.0.0.1", "TXT", "www.example.com.", BLOCKED),
    ("acl {\nblock TYPE A * NET 10.0.0.1 *\n}", "10.9.9.9", "TXT", "www.example.com.", BLOCKED),
    ("acl {\nblock type ANY\n}", "10.0.0.1", "ANY", "www.example.com.", BLOCKED),
    ("acl {\nblock type TYPE1\n}", "10.0.0.1", "A", "www.example.com.", BLOCKED),
    ("acl {\nallow net 10.0.1.0/24\nblock net 10.0.0.0/8\n}", "10.0.1.1", "A", "www.example.com.", ALLOWED),
    ("acl {\nallow net 10.0.1.0/24\nblock net 10.0.0.0/8\n}", "10.0.2.1", "A", "www.example.com.", BLOCKED),
    ("acl {\nallow net 10.0.1.0/24\nblock\n}", "192.0.2.1", "A", "www.example.com.", BLOCKED),
    ("acl {\nallow net 10.0.1.0/24\nblock\n}", "2001:db8::1", "A", "www.example.com.", BLOCKED),
    ("acl {\nallow\n}\nacl {\nblock\n}", "10.0.0.1", "A", "www.example.com.", ALLOWED),
    (TWO, "10.0.2.2", "A", "b.example.com.", BLOCKED),
    (TWO, "10.0.1.2", "A", "b.example.com.", ALLOWED),
    ("acl {\nblock net 2001:db8::/32\n}", "2001:db8:1::1", "A", "www.example.com.", BLOCKED),
    ("acl {\nblock net 2001:db8::1\n}", "2001:db8::2", "A", "www.example.com.", ALLOWED),
    ("acl {\nblock net ::/0\n}", "10.0.0.1", "A", "www.example.com.", ALLOWED),
    ("acl {\nblock net fe80::/10\n}", "fe80::1%eth0", "A", "www.example.com.", BLOCKED),
    ("acl {\nblock net 10.0.0.0/8\n}", "::ffff:10.0.0.1", "A", "www.example.com.", BLOCKED),
    ("acl {\nblock net ::ffff:10.0.0.0/104\n}", "10.0.0.1", "A", "www.example.com.", BLOCKED),
    ("acl {\nallow net 10.0.0.0/8\n}", "nonsense", "A", "www.example.com.", BLOCKED),
]


@pytest.mark.parametrize(("text", "address", "qtype", "name", "expected"), CASES)
async def test_actions(text: str, address: str, qtype: str, name: str, expected: Reply) -> None:
    """The first policy that matches decides, in the first rule that has one."""
    reply = await plugin(text).handle(asked(address, RRType[qtype], name), answering(ALLOWED))
    assert reply == expected


def test_networks() -> None:
    """A set of networks holds what any of them does."""
    words = ("10.0.0.0/8", "10.1.0.0/16", "192.0.2.1", "2001:db8::/32")
    networks = Networks(map(ipaddress.ip_network, words))
    inside = ("10.255.0.1", "192.0.2.1", "2001:db8:ffff::")
    outside = ("11.0.0.1", "192.0.2.2", "2001:db9::", "::10.0.0.1")
    assert [word for word in (*inside, *outside) if ipaddress.ip_address(word) in networks] == list(inside)


async def test_metrics(world: World) -> None:
    """Each action has its counter; that of allowed queries has no zone; all plugins share them, and they stay."""
    first = plugin("acl www.example.com {\ndrop type TXT\nfilter type MX\n}\nacl {\nblock type A\n}")
    second = plugin("acl {\nallow\n}")
    async with first.running(world.runtime), second.running(world.runtime):
        for qtype in (RRType.A, RRType.A, RRType.TXT, RRType.MX, RRType.AAAA):
            await first.handle(asked(qtype=qtype), answering(ALLOWED))
        await second.handle(asked(), answering(ALLOWED))
    lines = (await world.runtime.metrics.render()).decode().splitlines()
    assert [line for line in lines if line.startswith("coredns_acl_")] == [
        'coredns_acl_blocked_requests_total{server="dns://:53",view="",zone="example.com."} 2.0',
        'coredns_acl_filtered_requests_total{server="dns://:53",view="",zone="www.example.com."} 1.0',
        'coredns_acl_dropped_requests_total{server="dns://:53",view="",zone="www.example.com."} 1.0',
        'coredns_acl_allowed_requests_total{server="dns://:53",view=""} 2.0',
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("acl {\nblck type A net 192.168.0.0/16\n}", "unexpected token 'blck'; expecting allow|block|filter|drop"),
        ("acl {\nblock A net 192.168.0.0/16\n}", "unexpected token 'A'; expecting allow|block|filter|drop"),
        ("acl {\nblock file list.txt\n}", "unexpected token 'file'"),
        ("acl {\nblock type net 192.168.0.0/16\n}", "no token specified in 'type' section"),
        ("acl {\nblock type A net\n}", "no token specified in 'net' section"),
        ("acl {\nblock type\n}", "no token specified in 'type' section"),
        ("acl {\nblock type A type\n}", "no token specified in 'type' section"),
        ("acl {\nblock type ABC net 192.168.0.0/16\n}", "unexpected token 'ABC'; expecting a type such as A, or *"),
        ("acl {\nblock type * ABC\n}", "unexpected token 'ABC'"),
        ("acl {\nblock type A net 192.168.0/16\n}", "illegal CIDR notation '192.168.0/16'"),
        ("acl {\nblock type A net 192.168.0.0/33\n}", "illegal CIDR notation '192.168.0.0/33'"),
        ("acl {\nblock net 10.0.0.0/255.0.0.0\n}", "illegal CIDR notation '10.0.0.0/255.0.0.0': no prefix length"),
        ("acl {\nblock net * 10.0.0.x\n}", "illegal CIDR notation '10.0.0.x'"),
        ("acl {\nblock {\ntype A\n}\n}", "has no block of its own"),
        ("acl a..b {\nblock\n}", "'a..b' is not a zone"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    """Every refusal says what was expected."""
    error = refusal("acl", text)
    assert reason in error
    assert error.startswith("plugin/acl: Corefile:")


async def test_whole_server(tmp_path: Path) -> None:
    """A dropped query gets no answer, and the extended error reaches who asked."""
    text = ". {\nbind 127.0.0.1\nacl {\ndrop type TXT\nblock type MX\n}\nhosts {\n10.0.0.1 a\n}\n}"
    async with serving(text, tmp_path) as server:
        assert await server.texts("a.") == ["10.0.0.1"]
        edns = Edns(1232)
        wire = encode_query(question("a.", "MX", edns=edns))
        assert (await ask_udp(server.address, wire)).endswith(b"\x00\x0f\x00\x02\x00\x0f")
        dropped, answered = (encode_query(question("a.", qtype)) for qtype in ("TXT", "A"))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.setblocking(False)
            client.connect(server.address)
            for wire in (dropped, answered):
                await asyncio.get_running_loop().sock_sendall(client, wire)
            first = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 512), 5)
        assert len(parse_response(first).answer) == 1


def test_zones() -> None:
    """A rule without zones is for the block's."""
    (rule,) = plugin("acl {\nblock\n}").rules
    assert rule.zones == (from_text("example.com"),)
