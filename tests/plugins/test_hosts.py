"""Names from a hosts file: the file's lines, the answers, and following what happens to the file."""

import ipaddress
import os
from pathlib import Path

import pytest

from dnsserver import corefile
from dnsserver.message import Reply
from dnsserver.names import ROOT, from_text, reverse_name, to_text
from dnsserver.plugins import hosts
from dnsserver.plugins.hosting.table import MAX_LOOKED_AT, Table, names_in, parse_hosts
from dnsserver.plugins.hosts import Hosts
from dnsserver.plugins.order import available
from dnsserver.plugins.plugin import Context, PluginError
from dnsserver.records import Rcode, RRClass, RRType
from tests.harness import serving
from tests.plugins.conftest import World, answering, failing, parse, refusal, request, until

NEXT = Reply(rcode=Rcode.NXDOMAIN, authoritative=False)  # what the rest of the chain says

FILE = """\
# a comment
127.0.0.1 localhost localhost.localdomain
::1 localhost ip6-localhost # another
10.0.0.1\tWWW.Example.COM. www  # several names, tabs
fe80::1%eth0 link.example.com
::FFFF:10.0.0.2 mapped.example.com
10.0.0.3 www.example.com
10.0.0.1 www.example.com
10.0.0.9 *.example.com
10.0.0.8 www.example.org
"""


def plugin(text: str = "", *, file: str = FILE, folder: Path = Path()) -> Hosts:
    """Return a plugin that has read a file with this content."""
    (one,) = parse("hosts", text or "hosts unread . {\nfallthrough\n}", folder=folder)
    assert isinstance(one, Hosts)
    one.file._table = table(file, reverse=one.config.reverse)
    return one


def table(file: str, zone: str = ".", *, reverse: bool = True) -> Table:
    """Parse a file without a fault."""
    complaints: list[str] = []
    lines = file.encode().split(b"\n")
    parsed = parse_hosts(lines, (from_text(zone),), reverse=reverse, complain=lambda _, text: complaints.append(text))
    assert complaints == []
    return parsed


def texts(reply: Reply) -> list[str]:
    """Return the records of an answer."""
    return [
        to_text(rdata) if rrset.rrtype == RRType.PTR else str(ipaddress.ip_address(rdata))
        for rrset in reply.answer
        for rdata in rrset.rdatas
    ]


def reverse(address: str) -> str:
    """Return the name at which an address' PTR records are."""
    return to_text(reverse_name(ipaddress.ip_address(address).packed))


ANSWERS = [  # name, type, records; None: the next plugin's to answer
    ("www.example.com.", RRType.A, ["10.0.0.1", "10.0.0.3"]),
    ("WWW.eXample.com.", RRType.A, ["10.0.0.1", "10.0.0.3"]),
    ("www.example.com.", RRType.AAAA, []),
    ("www.example.com.", RRType.MX, []),
    ("www.", RRType.A, ["10.0.0.1"]),
    ("localhost.", RRType.A, ["127.0.0.1"]),
    ("localhost.", RRType.AAAA, ["::1"]),
    ("link.example.com.", RRType.AAAA, ["fe80::1"]),
    ("link.example.com.", RRType.A, []),  # the name is there, so no wildcard stands for it
    ("mapped.example.com.", RRType.A, ["10.0.0.2"]),
    ("other.example.com.", RRType.A, ["10.0.0.9"]),
    ("other.example.com.", RRType.AAAA, []),
    ("*.example.com.", RRType.A, ["10.0.0.9"]),
    ("deep.other.example.com.", RRType.A, None),
    ("example.com.", RRType.A, None),
    ("example.", RRType.A, None),
    (".", RRType.A, None),
    (reverse("10.0.0.1"), RRType.PTR, ["www.example.com.", "www."]),
    (reverse("::1"), RRType.PTR, ["localhost.", "ip6-localhost."]),
    (reverse("fe80::1"), RRType.PTR, ["link.example.com."]),
    (reverse("10.0.0.9"), RRType.PTR, None),  # only a wildcard
    (reverse("10.0.0.7"), RRType.PTR, None),
    ("0.0.10.in-addr.arpa.", RRType.PTR, None),
    ("www.example.com.", RRType.PTR, None),
    ("www.example.com.", RRType.AXFR, None),
]


@pytest.mark.parametrize(("name", "qtype", "records"), ANSWERS)
async def test_answers(name: str, qtype: int, records: list[str] | None) -> None:
    """Data, NODATA of a known name, or the next plugin."""
    folded = to_text(from_text(name))
    reply = await plugin().handle(request(folded, qtype), answering(NEXT))
    if records is None:
        assert reply is NEXT
        return
    assert (reply.rcode, reply.authoritative, reply.authority) == (Rcode.NOERROR, True, ())
    assert texts(reply) == records
    assert [(rrset.owner, rrset.rrtype, rrset.ttl) for rrset in reply.answer] == (
        [(from_text(name), qtype, 3600)] if records else []
    )


async def test_classes() -> None:
    """What is asked in another class is not ours; class ANY gets what class IN has."""
    one = plugin()
    assert await one.handle(request("www.", qclass=RRClass.CH), answering(NEXT)) is NEXT
    assert texts(await one.handle(request("www.", qclass=RRClass.ANY), answering(NEXT))) == ["10.0.0.1"]


FALLTHROUGH = [  # options, name, type, whether the next plugin answers
    ("hosts unread", "no.example.com.", RRType.A, False),
    ("hosts unread", "no.example.com.", RRType.PTR, True),
    ("hosts unread example.org", "no.example.com.", RRType.A, True),
    ("hosts unread {\nfallthrough\n}", "no.example.com.", RRType.A, True),
    ("hosts unread {\nfallthrough com\n}", "no.example.com.", RRType.A, True),
    ("hosts unread {\nfallthrough example.org\n}", "no.example.com.", RRType.A, False),
    ("hosts unread {\nfallthrough\n}", "www.example.com.", RRType.TXT, False),
    ("hosts unread {\nfallthrough\nfallthrough_unsupported\n}", "www.example.com.", RRType.TXT, True),
    ("hosts unread {\nfallthrough\nfallthrough_unsupported\n}", "www.example.com.", RRType.AAAA, False),
    ("hosts unread {\nfallthrough_unsupported\nfallthrough org\n}", "www.example.com.", RRType.TXT, False),
]


@pytest.mark.parametrize(("text", "name", "qtype", "passed"), FALLTHROUGH)
async def test_fallthrough(text: str, name: str, qtype: int, passed: bool) -> None:
    """An unknown name is SERVFAIL without `fallthrough`: there is no zone that could deny it."""
    reply = await plugin(text, file="10.0.0.1 www.example.com").handle(request(name, qtype), answering(NEXT))
    if passed:
        assert reply is NEXT
    elif name.startswith("www"):
        assert reply == Reply()
    else:
        assert reply == Reply(rcode=Rcode.SERVFAIL, authoritative=False)


async def test_options() -> None:
    """The TTL, no PTR, and names outside the zones."""
    one = plugin("hosts unread example.com {\nttl 60\nno_reverse\n}")
    reply = await one.handle(request(), failing("x", "y"))
    assert [rrset.ttl for rrset in reply.answer] == [60]
    with pytest.raises(PluginError):
        await one.handle(request(reverse("10.0.0.1"), RRType.PTR), failing("x", "y"))
    assert set(table(FILE, "example.org").addresses) == {from_text("www.example.org")}


def test_defaults(tmp_path: Path) -> None:
    """The block's zones, CoreDNS's file and numbers; a file below the Corefile's folder."""
    (one,) = parse("hosts", "hosts")
    assert isinstance(one, Hosts)
    assert one.config == hosts.Config(zones=(from_text("example.com"),))
    assert (one.config.file, one.config.ttl, one.config.reload) == (Path("/etc/hosts"), 3600, 5)
    (one,) = parse("hosts", "hosts sub/hosts a.test 10.0.0.0/8 {\nreload 1m\n}", folder=tmp_path)
    assert isinstance(one, Hosts)
    assert (one.config.file, one.config.label, one.config.reload) == (tmp_path / "sub/hosts", "sub/hosts", 60)
    assert one.config.zones == (from_text("a.test"), from_text("10.in-addr.arpa"))


async def test_inline() -> None:
    """Inline lines are there without a file, go with it, and keep wildcards of the file from their names."""
    text = "hosts unread . {\n10.0.0.20 extra.example.com www\n10.0.0.1 www\n127.0.0.1 #nothing\nfallthrough\n}"
    with pytest.raises(corefile.CorefileError, match=r"no name after '127\.0\.0\.1'"):
        parse("hosts", text)
    one = plugin(text.replace("127.0.0.1 #nothing\n", ""))
    assert texts(await one.handle(request("www."), answering(NEXT))) == ["10.0.0.1", "10.0.0.20"]
    assert texts(await one.handle(request("extra.example.com."), answering(NEXT))) == ["10.0.0.20"]
    names = await one.handle(request(reverse("10.0.0.1"), RRType.PTR), answering(NEXT))
    assert texts(names) == ["www.example.com.", "www."]
    assert one.file.entries == table(FILE).entries + 6


BAD = [  # line, complaint
    (b"10.0.0.1", "no name after '10.0.0.1'"),
    (b"10.0.0.256 a", "'10.0.0.256' is not an IP address"),
    (b"010.0.0.1 a", "'010.0.0.1' is not an IP address"),
    (b"a 10.0.0.1", "'a' is not an IP address"),
    (b"x" * 5000 + b" a", f"'{'x' * 100}' is not an IP address"),
    (b"10.0.0.1 a..b", "a label has 1 to 63 octets"),
    (b"10.0.0.1 " + b"a" * 64, "a label has 1 to 63 octets"),
    (b"10.0.0.1 \xff", "not UTF-8"),
]


@pytest.mark.parametrize(("line", "complaint"), BAD)
def test_bad_lines(line: bytes, complaint: str) -> None:
    """A bad line is complained about and skipped, and the lines after it count."""
    complaints: list[tuple[int, str]] = []
    parsed = parse_hosts(
        [b"10.0.0.1 a\r", line, b"", b"  # only a comment", b"10.0.0.2 b"],
        (ROOT,),
        reverse=True,
        complain=lambda number, text: complaints.append((number, text)),
    )
    assert set(parsed.addresses) == {from_text("a"), from_text("b")}
    ((number, text),) = complaints
    assert number == 2
    assert complaint in text


def test_long_line() -> None:
    """No line is too long, and no name has too many addresses to be read in good time."""
    names = " ".join(f"host{number}.example.com" for number in range(20_000))
    parsed = table(f"0.0.0.0 {names}\n10.0.0.1 after\n")
    assert len(parsed.addresses) == len(parsed.names[bytes(4)]) + 1 == 20_001
    assert parsed.entries == 40_002


async def test_reload(world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A missing file is waited for, a changed one read, one that goes away leaves its names, a bad one too."""
    path = tmp_path / "NodeHosts"
    one = plugin("hosts NodeHosts . {\nttl 60\nreload 1ms\nfallthrough\n}", file="", folder=tmp_path)

    async def answer() -> list[str]:
        return texts(await one.handle(request("node1."), answering(NEXT)))

    async with one.running(world.runtime):
        assert await answer() == []
        assert caplog.text == ""
        path.write_text("10.0.0.1 node1\n")
        await until(lambda: one.file.entries == 2)
        assert await answer() == ["10.0.0.1"]
        replacement = tmp_path / "new"
        replacement.write_text("10.0.0.1 node1\n10.0.0.2 node1\nbroken\n")
        replacement.replace(path)
        await until(lambda: one.file.entries == 4)
        assert f"{path}:3 is skipped: no name after 'broken'" in caplog.text
        path.unlink()
        await until(lambda: "No such file" in caplog.text)
        path.mkdir()
        await until(lambda: "is not a regular file; its last content is kept" in caplog.text)
        assert await answer() == ["10.0.0.1", "10.0.0.2"]
        path.rmdir()
        path.write_text("10.0.0.3 node1\n")
        await until(lambda: one.file.entries == 2)
        assert await answer() == ["10.0.0.3"]
        assert caplog.text.count("is not a regular file") == 1


async def test_one_complaint_a_file(world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file of nothing but bad lines does not fill the log."""
    (tmp_path / "hosts").write_text("bad line\n" * 5000)
    async with plugin("hosts hosts .", folder=tmp_path).running(world.runtime):
        assert caplog.text.count("is skipped") == 10
        assert "hosts: 4990 more lines are skipped" in caplog.text


async def test_never_reloaded(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`reload 0s` reads the file once; an unchanged file is not read again."""
    (tmp_path / "hosts").write_text("10.0.0.1 a\n")
    one = plugin("hosts hosts . {\nreload 0s\n}", file="", folder=tmp_path)
    async with one.running(world.runtime):
        await one.file.watch()
        assert one.file.entries == 2
        monkeypatch.setattr(Path, "read_bytes", lambda _: pytest.fail("read again"))
        await one.file.update()


async def test_metrics(world: World, tmp_path: Path) -> None:
    """The entries of each file, and the newest file's time; nothing of a plugin that has stopped."""
    for name, when in (("a", 1_000_000_000), ("b", 1_100_000_000)):
        (tmp_path / name).write_text(f"10.0.0.1 {name} second{name}\n")
        os.utime(tmp_path / name, (when, when))
    async with plugin("hosts a .", folder=tmp_path).running(world.runtime):
        async with plugin("hosts b . {\n10.0.0.1 c\n}", folder=tmp_path).running(world.runtime):
            text = (await world.runtime.metrics.render()).decode()
            assert 'coredns_hosts_entries{hostsfile="a"} 4.0' in text
            assert 'coredns_hosts_entries{hostsfile="b"} 6.0' in text
            assert "\ncoredns_hosts_reload_timestamp_seconds 1.1e+09" in text
        assert 'hostsfile="b"' not in (await world.runtime.metrics.render()).decode()


def test_warnings(tmp_path: Path) -> None:
    """A file that is not there, or a folder, is worth a warning, and no more."""
    warnings: list[str] = []
    (tmp_path / "folder").mkdir()
    for name in ("missing", "folder"):
        (block,) = corefile.parse(f". {{\nhosts {name}\n}}").blocks
        context = Context(zones=(), folder=tmp_path, port=53, warn=warnings.append)
        available()["hosts"](block.directives, context)
    assert warnings == [
        f"plugin/hosts: file does not exist: {tmp_path}/missing; it is read when it appears",
        f'plugin/hosts: hosts file "{tmp_path}/folder" is a directory',
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("hosts\nhosts", "this plugin can only be used once per Server Block"),
        ("hosts a\x00b", "unable to access hosts file"),
        ("hosts {\nttl\n}", "expecting ttl SECONDS"),
        ("hosts {\nttl 0\n}", "ttl provided is invalid: 0, expecting 1 to 65535 seconds"),
        ("hosts {\nttl 65536\n}", "ttl provided is invalid"),
        ("hosts {\nttl 5s\n}", "ttl provided is invalid"),
        ("hosts {\nreload\n}", "expecting reload DURATION"),
        ("hosts {\nreload 5\n}", "missing unit"),
        ("hosts {\nreload -5s\n}", "negative"),
        ("hosts {\nno_reverse x\n}", "expecting no_reverse"),
        ("hosts {\nfallthrough_unsupported\n}", "expecting fallthrough as well"),
        ("hosts {\nfallthrough\nfallthrough_unsupported x\n}", "expecting fallthrough_unsupported"),
        ("hosts {\nfallthrough\n10.0.0.1 a\n}", "unknown property '10.0.0.1', expecting inline lines before"),
        ("hosts {\n\nfallthru\n}", "no name after 'fallthru', expecting ADDRESS NAME... or one of ttl, no_reverse"),
        ("hosts {\nfallthru a\n}", "'fallthru' is not an IP address, expecting ADDRESS NAME..."),
        ("hosts {\n10.0.0.1 a..b\n}", "a label has 1 to 63 octets"),
        ("hosts {\n10.0.0.1 a {\nb\n}\n}", "has no block of its own"),
        ("hosts {\nttl 5 {\nb\n}\n}", "has no block of its own"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    """Every refusal says what was expected, and where."""
    error = refusal("hosts", text)
    assert reason in error
    assert error.startswith("plugin/hosts: Corefile:")


async def test_whole_server(tmp_path: Path) -> None:
    """A k3s Corefile's plugin, with the names spelled as they were asked for."""
    (tmp_path / "NodeHosts").write_text("10.0.0.1 node1\n")
    text = ". {\nbind 127.0.0.1\nhosts NodeHosts {\nttl 60\nreload 15s\nfallthrough\n}\n}"
    async with serving(text, tmp_path) as server:
        response = await server.ask("nOde1.")
        assert [(record.owner, record.ttl) for record in response.answer] == [(b"\x05nOde1\0", 60)]
        assert await server.texts(reverse("10.0.0.1"), "PTR") == ["node1."]


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("example.com", {"www.example.com", "link.example.com", "mapped.example.com", "example.com"}),
        ("www.example.com", {"www.example.com"}),
        ("other.example.com", {"other.example.com"}),  # the wildcard stands for it
        ("a.other.example.com", set()),  # but for one label only
        ("example.net", set()),
        (
            "10.in-addr.arpa",
            {"1.0.0.10.in-addr.arpa", "2.0.0.10.in-addr.arpa", "3.0.0.10.in-addr.arpa"} | {"8.0.0.10.in-addr.arpa"},
        ),
        ("127.in-addr.arpa", {"1.0.0.127.in-addr.arpa"}),
        ("0.8.e.f.ip6.arpa", {to_text(reverse_name(ipaddress.ip_address("fe80::1").packed))[:-1]}),
    ],
)
def test_names_of_a_zone(origin: str, expected: set[str]) -> None:
    """A wildcard is all below its parent; its address has no pointer."""
    found = names_in(from_text(origin), table(FILE), Table())
    assert {to_text(name)[:-1] for name in found} == expected


def test_names_of_a_zone_in_a_long_file() -> None:
    """A file that would take too long to look through has all of every zone."""
    half = {from_text(f"n{number}.example.org"): (b"1234",) for number in range(MAX_LOOKED_AT // 2)}
    assert names_in(from_text("example.com"), Table(half), Table(half)) == set()
    more = {**half, from_text("one.example.org"): (b"1234",)}
    assert names_in(from_text("example.com"), Table(half), Table(more)) == {from_text("example.com")}


async def test_followers(tmp_path: Path) -> None:
    """Who follows is told of another content, and of nothing after they have left."""
    file = tmp_path / "hosts"
    file.write_text(FILE)
    one = plugin("hosts hosts .", folder=tmp_path)
    told: list[set[str]] = []
    zone = from_text("example.org")
    leave = one.follow(lambda: told.append(set(map(to_text, one.file.names_in(zone)))))
    await one.file.update()
    await one.file.update()
    assert told == [{"www.example.org."}]
    leave()
    file.write_text("192.0.2.1 a.example.org")
    await one.file.update()
    assert len(told) == 1
