"""`log`: lines, classes, names, formats, and refusals."""

import re

import pytest

from dnsserver.message import Client, Edns, Reply, Transport
from dnsserver.names import from_text
from dnsserver.plugins.log import COMBINED, COMMON, Log, compile_format, reply_class
from dnsserver.plugins.plugin import Handler, PluginError, Request
from dnsserver.records import Opcode, Rcode, RRset, RRType
from tests.plugins.conftest import NXDOMAIN, answering, failing, parse, refusal, request, rrset

FOUND = Reply(answer=(rrset("www.example.com", RRType.A, "192.0.2.1"),))
NODATA = Reply(authority=NXDOMAIN.authority)
DURATION = re.compile(r"[0-9]+(\.[0-9]{1,9})?s$")


def logging_to(written: list[str], text: str) -> Log:
    """Return the plugin of one block, writing to a list."""
    (plugin,) = parse("log", text)
    assert isinstance(plugin, Log)
    plugin._write = written.append
    return plugin


async def line(text: str, asked: Request, then: Handler) -> str:
    """Return the one line of a query, its duration replaced by `T`."""
    written: list[str] = []
    await logging_to(written, text).handle(asked, then)
    (only,) = written
    return DURATION.sub("T", only)


async def test_common_line() -> None:
    """The line of CoreDNS's documentation."""
    asked = request("name.", recursion_desired=True)
    expected = '[INFO] 127.0.0.1:60796 - 77 "A IN name. udp 46 false 512" NOERROR qr,aa,rd 53 T'
    assert await line("log", asked, answering(FOUND)) == expected
    assert await line("log . {common}", asked, answering(FOUND)) == expected
    combined = await line("log . {combined}", asked, answering(FOUND))
    assert re.sub(r"[0-9.]+s \"0\"$", "T", combined) == expected


@pytest.mark.parametrize(
    ("asked", "reply", "part"),
    [
        (
            request("www.example.com.", 65280, qclass=3, edns=Edns(4096, dnssec_ok=True), id=1, size=99),
            NXDOMAIN,
            '127.0.0.1:60796 - 1 "TYPE65280 CH www.example.com. udp 99 true 4096" NXDOMAIN qr,aa',
        ),
        (
            request("a.", client=Client("fd00::1", 5, Transport.TCP, "dns://:53"), edns=Edns(100)),
            FOUND,
            '[fd00::1]:5 - 77 "A IN a. tcp 46 false 65535" NOERROR',
        ),
        (request("a.", edns=Edns(100)), FOUND, "udp 46 false 512"),
        (
            request("a.", checking_disabled=True, recursion_desired=True),
            Reply(authoritative=False, truncated=True, recursion_available=True, authenticated=True),
            "NOERROR qr,tc,rd,ra,ad,cd 19",
        ),
        (request("a.", opcode=Opcode.NOTIFY, recursion_desired=True), FOUND, "NOERROR qr,aa 50"),
        (request("a."), Reply(rcode=3841), "3841 qr,aa"),
        (request('a\\"b\\010\\\\c.'), FOUND, '"A IN a\\"b\\010\\\\c. udp'),
    ],
)
async def test_fields(asked: Request, reply: Reply, part: str) -> None:
    """Types, classes, EDNS, TCP, IPv6, flags, and names that try to leave their field."""
    text = await line("log", asked, answering(reply))
    assert part in text
    assert "\n" not in text


async def test_failure() -> None:
    """A query that the server itself answers has the rcode, no flags and no size; the error goes on up."""
    written: list[str] = []
    with pytest.raises(PluginError):
        await logging_to(written, "log").handle(request(), failing("test", "x"))
    (only,) = written
    assert " SERVFAIL - 0 " in only


async def test_drop() -> None:
    """A query that gets no answer (`acl`, action drop) has no flags and no size either, and is an error."""
    assert " NOERROR - 0 " in await line("log {\nclass error\n}", request(), answering(Reply(silent=True)))


@pytest.mark.parametrize(
    ("count", "edns", "transport", "flags"),
    [
        (28, None, Transport.UDP, "qr,aa,rd"),  # uncompressed 1285 octets, but 481 on the wire
        (30, None, Transport.UDP, "qr,aa,tc,rd"),
        (30, Edns(udp_size=1232), Transport.UDP, "qr,aa,rd"),
        (80, Edns(udp_size=4096), Transport.UDP, "qr,aa,tc,rd"),
        (80, None, Transport.TCP, "qr,aa,rd"),
    ],
)
async def test_truncated(count: int, edns: Edns | None, transport: Transport, flags: str) -> None:
    """The flags are those that the client gets: TC where the answer does not fit; the size is the whole answer's."""
    addresses = tuple(bytes([10, 0, 0, number]) for number in range(count))
    reply = Reply(answer=(RRset(from_text("www.example.com"), RRType.A, 60, addresses),))
    asked = request(edns=edns, client=Client("10.0.0.2", 1, transport, "dns://:53"), recursion_desired=True)
    text = await line("log", asked, answering(reply))
    assert f" NOERROR {flags} {33 + 31 * count + (11 if edns else 0)} " in text


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{proto} Request: {name} {type} {>id}", "udp Request: www.example.com. A 77"),
        ("{ {name} }", "{ www.example.com. }"),
        ("100%s {%d} {unknown} } {", "100%s {%d} {unknown} } {"),
        ("{/kubernetes/client-namespace}", "-"),
        ("{local} {>opcode} {rsize}", "[::] 0 64"),
        ("{{name}}", "{www.example.com.}"),
    ],
)
async def test_format(text: str, line: str) -> None:
    """Placeholders are replaced wherever they are; everything else stays."""
    (plugin,) = parse("log", f'log . "{text}"') if "{" in text else parse("log", "log")
    written: list[str] = []
    assert isinstance(plugin, Log)
    plugin._write = written.append
    await plugin.handle(request(), answering(FOUND))
    assert written == [f"[INFO] {line}"]


@pytest.mark.parametrize(("server", "local"), [("dns://10.0.0.1:53", "10.0.0.1"), ("dns://[fd00::1]:53", "[fd00::1]")])
async def test_local(server: str, local: str) -> None:
    """`{local}` is the address that was asked."""
    asked = request(client=Client("10.0.0.2", 1, Transport.UDP, server))
    assert await line("log . {local}", asked, answering(FOUND)) == f"[INFO] {local}"


@pytest.mark.parametrize(
    ("reply", "qtype", "expected"),
    [
        (FOUND, RRType.A, "success"),
        (FOUND, RRType.AAAA, "denial"),  # an answer without the address that was asked for
        (FOUND, RRType.SRV, "success"),
        (Reply(), RRType.A, "success"),
        (Reply(authority=(rrset("example.com", RRType.NS, "ns"),)), RRType.A, "success"),
        (NODATA, RRType.A, "denial"),
        (NXDOMAIN, RRType.A, "denial"),
        (Reply(rcode=Rcode.NXDOMAIN), RRType.A, "error"),  # no SOA
        (Reply(rcode=Rcode.SERVFAIL, authority=NXDOMAIN.authority), RRType.A, "error"),
        (Reply(rcode=Rcode.REFUSED), RRType.A, "error"),
        (FOUND, RRType.AXFR, "error"),
        (None, RRType.A, "error"),
    ],
)
def test_reply_class(reply: Reply | None, qtype: int, expected: str) -> None:
    """Replies are sorted as CoreDNS sorts them."""
    assert reply_class(request(qtype=qtype), reply) == expected


@pytest.mark.parametrize(
    ("text", "logged"),
    [
        ("log {\nclass all\n}", "found nodata nxdomain refused"),
        ("log {\nclass success\n}", "found"),
        ("log {\nclass denial\n}", "nodata nxdomain"),
        ("log {\nclass error\n}", "refused"),
        ("log {\nclass denial error\n}", "nodata nxdomain refused"),
        ("log {\nclass success\nclass error\n}", "found refused"),
        ("log example.com {\nclass success\n}", "found"),
        ("log Example.COM", "found nodata nxdomain refused"),
        ("log example.org", ""),
        ("log xample.com", ""),
        ("log example.org www.example.com {common}", "found nodata nxdomain refused"),
        ("log www.example.com {\nclass error\n}\nlog example.com", "refused"),  # the first rule decides
    ],
)
async def test_rules(text: str, logged: str) -> None:
    """Names and classes say what is logged."""
    replies = {"found": FOUND, "nodata": NODATA, "nxdomain": NXDOMAIN, "refused": Reply(rcode=Rcode.REFUSED)}
    seen = []
    for name, reply in replies.items():
        written: list[str] = []
        assert await logging_to(written, text).handle(request(), answering(reply)) is reply
        seen.extend([name] * len(written))
    assert " ".join(seen) == logged


def test_every_placeholder() -> None:
    """The two formats leave nothing unreplaced."""
    assert COMBINED.startswith(COMMON)
    assert callable(compile_format(COMBINED))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("log {combined}", "'{combined}' is not a name, expecting log NAMES... FORMAT"),
        ("log a..b", "'a..b' is not a name"),
        ("log {\nclass\n}", "expecting class all|success|denial|error..."),
        ("log {\nclass abracadabra\n}", "invalid Class: abracadabra, expecting one of all, success, denial, error"),
        ("log {\nminDuration 1s\n}", "unknown property 'minDuration', expecting class"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    """Every refusal says what was expected."""
    error = refusal("log", text)
    assert reason in error
    assert error.startswith("plugin/log: Corefile:")
