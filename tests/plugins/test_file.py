"""`file`: what zone files answer, what is refused, and how they are reloaded."""

import logging
import os
import struct
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsserver import corefile
from dnsserver.message import Edns, Query, Reply
from dnsserver.names import from_labels, from_text, to_text
from dnsserver.plugins.file import Config, File, Served
from dnsserver.plugins.order import available
from dnsserver.plugins.plugin import Context, Plugin, PluginError, Request
from dnsserver.plugins.zonefile.content import Content, build
from dnsserver.plugins.zonefile.lookup import answer
from dnsserver.plugins.zonefile.reading import ZoneFile
from dnsserver.records import Rcode, RRset, RRType
from dnsserver.wire import rdata_to_text, record_to_text, text_to_type, type_to_text
from dnsserver.wire.masterfile import parse_master_file
from tests.harness import serving
from tests.plugins.conftest import DNSSEC, NXDOMAIN, World, answering, request, until

SOA = "example.org. 60 SOA ns.example.org. hostmaster.example.org. 7 7200 1800 86400 60"
NS = "example.org. 300 NS ns.example.org."
NS_ADDRESS = "ns.example.org. 300 A 192.0.2.53"

ZONE = """\
$TTL 300
@           SOA ns hostmaster 7 2h 30m 1d 60
            NS  ns
            MX  10 mail
ns          A   192.0.2.53
mail        A   192.0.2.25
            AAAA 2001:db8::25
www     600 A   192.0.2.1
www         A   192.0.2.2
a.b.c       TXT deep
*.wild      A   192.0.2.9
            MX  10 mail
real.deep.wild TXT x
*.alias     CNAME www
f.*.e       TXT x
one         CNAME two
two         CNAME www
circle      CNAME circus
circus      CNAME circle
nothing     CNAME a.b.c
away        CNAME Host.Example.NET.
lost        CNAME missing
_s._tcp     SRV 0 0 80 www
            SRV 0 0 80 host.example.net.
svc         HTTPS 1 www alpn=h2
            HTTPS 2 . alpn=h3
sub         NS  ns.sub
            NS  ns.example.net.
            DS  4711 8 2 00ff
ns.sub      A   192.0.2.54
below       CNAME host.sub
d           DNAME target
            TXT beside
x.target    A   192.0.2.77
e1          DNAME example.net.
"""
LONG = ".".join(["a" * 60] * 3)


def content() -> Content:
    """Return the zone of the tables."""
    origin = from_text("example.org")
    entries = parse_master_file(ZONE, origin, file="db", include=lambda *_: ("", ""))
    found = build(entries, origin, file="db")
    assert found is not None
    return found


CONTENT = content()


@dataclass(frozen=True)
class Case:
    """A query and its answer; the records of a section in any order."""

    id: str
    name: str
    qtype: str
    answer: tuple[str, ...] = ()
    authority: tuple[str, ...] = ()
    additional: tuple[str, ...] = ()
    rcode: int = Rcode.NOERROR
    authoritative: bool = True


SUB = ("sub.example.org. 300 NS ns.sub.example.org.", "sub.example.org. 300 NS ns.example.net.")
GLUE = ("ns.sub.example.org. 300 A 192.0.2.54",)
MAIL = ("mail.example.org. 300 A 192.0.2.25", "mail.example.org. 300 AAAA 2001:db8::25")
WWW = ("www.example.org. 300 A 192.0.2.1", "www.example.org. 300 A 192.0.2.2")
DS = "sub.example.org. 300 DS 4711 8 2 00FF"
DNAME = "d.example.org. 300 DNAME target.example.org."
LONG_DNAME = "e1.example.org. 300 DNAME example.net."


def missing(name: str) -> Case:
    """Return the case of a name that does not exist."""
    return Case(f"missing {name}", name, "A", authority=(SOA,), rcode=Rcode.NXDOMAIN)


CASES = [
    # one TTL an RRset, the lowest; the zone's servers go with it (RFC 2181, section 5.2; plugin/file)
    Case("data", "www.example.org.", "A", WWW, (NS,)),
    Case("any case", "WWW.example.org.", "A", WWW, (NS,)),
    Case("soa", "example.org.", "SOA", (SOA.replace(" 60 SOA", " 300 SOA"),), (NS,)),
    Case("ns", "example.org.", "NS", (NS,), (), (NS_ADDRESS,)),
    Case("mx", "example.org.", "MX", ("example.org. 300 MX 10 mail.example.org.",), (NS,), MAIL),
    Case(
        "srv",
        "_s._tcp.example.org.",
        "SRV",
        tuple(f"_s._tcp.example.org. 300 SRV 0 0 80 {target}" for target in ("host.example.net.", "www.example.org.")),
        (NS,),
        WWW,
    ),
    Case("nodata", "www.example.org.", "TXT", authority=(SOA,)),
    Case("any is nodata, as in CoreDNS", "www.example.org.", "ANY", authority=(SOA,)),
    Case("empty non-terminal", "b.c.example.org.", "A", authority=(SOA,)),
    missing("nope.example.org."),
    missing("nope.www.example.org."),
    # wildcards (RFC 4592)
    Case("wildcard", "x.wild.example.org.", "A", ("x.wild.example.org. 300 A 192.0.2.9",), (NS,)),
    Case("wildcard, two labels", "y.x.wild.example.org.", "A", ("y.x.wild.example.org. 300 A 192.0.2.9",), (NS,)),
    Case(
        "wildcard additional",
        "x.wild.example.org.",
        "MX",
        ("x.wild.example.org. 300 MX 10 mail.example.org.",),
        (NS,),
        MAIL,
    ),
    Case("wildcard nodata", "x.wild.example.org.", "TXT", authority=(SOA,)),
    Case("wildcard itself", "*.wild.example.org.", "A", ("*.wild.example.org. 300 A 192.0.2.9",), (NS,)),
    Case("not beside what exists", "deep.wild.example.org.", "A", authority=(SOA,)),
    missing("nope.deep.wild.example.org."),
    Case("empty wildcard", "x.e.example.org.", "A", authority=(SOA,)),
    Case(
        "wildcard alias", "x.alias.example.org.", "A", ("x.alias.example.org. 300 CNAME www.example.org.", *WWW), (NS,)
    ),
    Case(
        "wildcard alias asked for",
        "x.alias.example.org.",
        "CNAME",
        ("x.alias.example.org. 300 CNAME www.example.org.",),
        (NS,),
    ),
    # aliases
    Case(
        "chain",
        "one.example.org.",
        "A",
        ("one.example.org. 300 CNAME two.example.org.", "two.example.org. 300 CNAME www.example.org.", *WWW),
        (NS,),
    ),
    Case("alias asked for", "one.example.org.", "CNAME", ("one.example.org. 300 CNAME two.example.org.",), (NS,)),
    Case(
        "circle",
        "circle.example.org.",
        "A",
        ("circle.example.org. 300 CNAME circus.example.org.", "circus.example.org. 300 CNAME circle.example.org."),
        (NS,),
    ),
    Case(
        "alias of nodata", "nothing.example.org.", "A", ("nothing.example.org. 300 CNAME a.b.c.example.org.",), (SOA,)
    ),
    Case(
        "alias of a delegated name",
        "below.example.org.",
        "A",
        ("below.example.org. 300 CNAME host.sub.example.org.",),
        SUB,
        GLUE,
    ),
    # delegations
    Case("below a cut", "x.y.sub.example.org.", "A", (), SUB, GLUE, authoritative=False),
    Case("at a cut", "sub.example.org.", "NS", (), SUB, GLUE, authoritative=False),
    Case("glue is no data", "ns.sub.example.org.", "A", (), SUB, GLUE, authoritative=False),
    Case("ds at a cut", "sub.example.org.", "DS", (DS,), (NS,)),
    Case("ds below a cut", "x.sub.example.org.", "DS", (), SUB, GLUE, authoritative=False),
    Case("ds at the apex", "example.org.", "DS", authority=(SOA,)),
    # DNAME (RFC 6672)
    Case(
        "dname",
        "x.d.example.org.",
        "A",
        (DNAME, "x.d.example.org. 300 CNAME x.target.example.org.", "x.target.example.org. 300 A 192.0.2.77"),
        (NS,),
    ),
    Case("dname owner", "d.example.org.", "TXT", ('d.example.org. 300 TXT "beside"',), (NS,)),
    Case("dname asked for", "d.example.org.", "DNAME", (DNAME,), (NS,)),
    Case(
        "its cname asked for",
        "x.d.example.org.",
        "CNAME",
        (DNAME, "x.d.example.org. 300 CNAME x.target.example.org."),
        (NS,),
    ),
]


def section(sets: tuple[RRset, ...]) -> tuple[str, ...]:
    """Return the records of a section as sorted lines."""
    return tuple(
        sorted(
            f"{to_text(one.owner)} {one.ttl} {type_to_text(one.rrtype)} {rdata_to_text(one.rrtype, rdata)}"
            for one in sets
            for rdata in one.rdatas
        )
    )


def parse(folder: Path, text: str, warnings: list[str] | None = None) -> File:
    """Return the plugin of a block's lines."""
    (block,) = corefile.parse(f"example.org:53 {{\n{text}\n}}\n", file="Corefile").blocks
    complain = (warnings if warnings is not None else []).append
    context = Context(zones=(from_text("example.org"),), folder=folder, port=53, warn=complain)
    (plugin,) = available()["file"](tuple(block.directives), context)
    assert isinstance(plugin, File)
    return plugin


@pytest.fixture
def zone(tmp_path: Path) -> File:
    """Return the plugin with the zone of the tables."""
    (tmp_path / "db").write_text(ZONE)
    return parse(tmp_path, "file db")


async def never(request: Request) -> Reply:
    """Stand for plugins that must not be asked."""
    raise AssertionError(f"{request} was passed on")


async def ask(plugin: Plugin, name: str, qtype: str = "A", edns: Edns | None = None) -> Reply:
    """Return a plugin's own answer."""
    return await plugin.handle(request(name, text_to_type(qtype), edns=edns), never)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
async def test_answers(zone: File, case: Case) -> None:
    """The rules as a table."""
    reply = await ask(zone, case.name.lower(), case.qtype)
    assert Rcode(reply.rcode).name == Rcode(case.rcode).name
    assert section(reply.answer) == tuple(sorted(case.answer))
    assert section(reply.authority) == tuple(sorted(case.authority))
    assert section(reply.additional) == tuple(sorted(case.additional))
    assert reply.authoritative == case.authoritative
    assert reply.origin == from_text("example.org")


async def test_https_targets_have_addresses(zone: File) -> None:
    """A target of "." is the owner itself, which nobody has to be told about."""
    reply = await ask(zone, "svc.example.org.", "HTTPS")
    assert section(reply.additional) == WWW


async def test_dname_that_makes_a_name_too_long(tmp_path: Path) -> None:
    """There is no such CNAME: YXDOMAIN (RFC 6672, section 2.2)."""
    (tmp_path / "db").write_text(ZONE + f"long DNAME {LONG}.example.org.\n")
    reply = await ask(parse(tmp_path, "file db"), f"{'b' * 60}.long.example.org.")
    assert reply.rcode == Rcode.YXDOMAIN
    assert [one.rrtype for one in reply.answer] == [39]


LABELS = st.sampled_from([b"www", b"wild", b"*", b"sub", b"ns", b"d", b"deep", b"b", b"c", b"alias", b"e", b"e1", b"x"])


@given(st.lists(LABELS, max_size=5), st.sampled_from([1, 2, 5, 6, 16, 39, 43, 46, 47, 255]), st.booleans())
def test_every_question_has_an_answer(labels: list[bytes], qtype: int, dnssec: bool) -> None:
    """Whatever is asked, there is data, a target, a referral, or an SOA that says how long there is none."""
    name = from_labels(labels, from_text("example.org"))
    found = answer(CONTENT, request(to_text(name), qtype, edns=DNSSEC if dnssec else None).query)
    assert found.reply.answer or found.reply.authority
    if found.reply.rcode == Rcode.NXDOMAIN or not found.reply.answer:
        expected = RRType.SOA if found.reply.authoritative else RRType.NS
        assert found.reply.authority[0].rrtype == expected


async def test_zone_that_was_never_read(tmp_path: Path) -> None:
    """Without content there is no answer."""
    origin = from_text("example.org")
    plugin = File({origin: Served(ZoneFile(tmp_path / "db", origin), Config())})
    with pytest.raises(PluginError, match=r"zone example.org. has not been loaded"):
        await ask(plugin, "www.example.org.")
    assert plugin.transferable(origin) is None


# -- signed zones ------------------------------------------------------------------------------------------------------

SIGNED = """\
$TTL 300
@     SOA ns hostmaster 7 7200 1800 86400 60
      NS ns.example.net.
      NSEC a NS SOA RRSIG NSEC
a     A 192.0.2.1
      NSEC z.empty A RRSIG NSEC
z.empty TXT x
      NSEC plain TXT RRSIG NSEC
plain NS ns.plain
      NSEC secure NS RRSIG NSEC
secure NS ns.secure
      DS 1 8 2 00
      NSEC *.w NS DS RRSIG NSEC
ns.secure A 192.0.2.3
*.w   A 192.0.2.2
      NSEC @ A RRSIG NSEC
"""


def signed() -> str:
    """Return the zone with a signature, of no meaning, for each RRset but cuts and glue."""
    lines = SIGNED.splitlines()
    owner, more = "", []
    for line in lines[1:]:
        words = line.split()
        if not line.startswith(" "):
            owner = words.pop(0)
        if owner != "ns.secure" and not (words[0] == "NS" and owner != "@"):
            more.append(f"{owner} RRSIG {words[0]} 8 3 300 1 1 1 @ AQID")
    return "\n".join((*lines, *more, ""))


def types(sets: tuple[RRset, ...]) -> list[str]:
    """Return owner and type of each RRset, of a signature the type that it covers."""
    texts = []
    for one in sets:
        kind = type_to_text(one.rrtype)
        if one.rrtype == RRType.RRSIG:
            kind = f"({type_to_text(struct.unpack('!H', one.rdatas[0][:2])[0])})"
        texts.append(f"{to_text(one.owner).removesuffix('.').removesuffix('example.org').rstrip('.') or '@'} {kind}")
    return texts


def both(*words: str) -> list[str]:
    """Return RRsets with their signatures."""
    return [text for word in words for text in (word, f"{word.split()[0]} ({word.split()[1]})")]


PROOFS = [  # name, type, answer, authority (RFC 4035, section 3.1.3)
    ("a", "A", both("a A"), both("@ NS")),
    ("a", "TXT", [], both("@ SOA", "a NSEC")),
    ("x.w", "A", both("x.w A"), both("@ NS", "*.w NSEC")),
    ("x.w", "TXT", [], both("@ SOA", "*.w NSEC")),
    ("b", "A", [], both("@ SOA", "a NSEC", "@ NSEC")),
    ("empty", "A", [], both("@ SOA", "a NSEC")),
    ("x.secure", "A", [], ["secure NS", *both("secure DS")]),
    ("x.plain", "A", [], ["plain NS", *both("plain NSEC")]),
    ("secure", "DS", both("secure DS"), both("@ NS")),
    ("plain", "DS", [], both("@ SOA", "plain NSEC")),
    ("a", "RRSIG", ["a (A)", "a (NSEC)"], both("@ NS")),
]


@pytest.mark.parametrize(("name", "qtype", "answer", "authority"), PROOFS)
async def test_signed_zone(tmp_path: Path, name: str, qtype: str, answer: list[str], authority: list[str]) -> None:
    """With DO every RRset has its signatures, and what is not there is proved."""
    (tmp_path / "db").write_text(signed())
    plugin = parse(tmp_path, "file db")
    reply = await ask(plugin, f"{name}.example.org.", qtype, edns=DNSSEC)
    assert types(reply.answer) == answer
    assert sorted(types(reply.authority)) == sorted(authority)


async def test_signed_zone_without_do(tmp_path: Path) -> None:
    """Who does not ask for signatures gets none."""
    (tmp_path / "db").write_text(signed())
    reply = await ask(parse(tmp_path, "file db"), "b.example.org.")
    assert types(reply.authority) == ["@ SOA"]


# -- which plugin answers ----------------------------------------------------------------------------------------------


async def test_names_of_other_zones_go_on(zone: File) -> None:
    """The next plugin gets what is in no zone here, and other classes."""
    elsewhere = answering(NXDOMAIN)
    assert await zone.handle(request("www.example.net."), elsewhere) is NXDOMAIN
    assert await zone.handle(request("www.example.org.", qclass=3), elsewhere) is NXDOMAIN


async def test_last_plugin_refuses(zone: File, world: World) -> None:
    """With nobody left to ask, a name of no zone is REFUSED, not a failure."""
    world.block(zone)
    async with zone.running(world.runtime):
        assert (await ask(zone, "www.example.net.")).rcode == Rcode.REFUSED


async def test_longest_zone_answers(tmp_path: Path) -> None:
    """Of nested zones the longer one is asked, but the upper one about DS."""
    (tmp_path / "db").write_text(ZONE)
    (tmp_path / "sub").write_text("@ 5 SOA a b 1 2 3 4 5\n")
    plugin = parse(tmp_path, "file db\nfile sub sub.example.org")
    assert (await ask(plugin, "x.sub.example.org.")).authority[0].owner == from_text("sub.example.org")
    assert section((await ask(plugin, "sub.example.org.", "DS")).answer) == (DS,)


@pytest.mark.parametrize("qtype", ["AXFR", "IXFR"])
async def test_transfers_are_another_plugins(zone: File, qtype: str) -> None:
    """What `transfer` did not answer is refused."""
    assert (await ask(zone, "example.org.", qtype)).rcode == Rcode.REFUSED


def test_transferable(zone: File) -> None:
    """`transfer` gets the whole zone, with the file's own SOA and serial."""
    found = zone.transferable(from_text("example.org"))
    assert found is not None
    assert found.serial == 7
    assert section((found.soa,)) == (SOA.replace(" 60 SOA", " 300 SOA"),)
    assert sum(len(one.rdatas) for one in found.all_rrsets()) == 34
    assert zone.transferable(from_text("www.example.org")) is None


FALLTHROUGH = [  # option, name, whether it goes on
    ("", "nope.example.org.", False),
    ("fallthrough", "nope.example.org.", True),
    ("fallthrough", "www.example.org.", False),
    ("fallthrough", "b.c.example.org.", False),
    ("fallthrough", "circle.example.org.", False),
    ("fallthrough c.example.org", "nope.example.org.", False),
    ("fallthrough c.example.org", "nope.c.example.org.", True),
]


@pytest.mark.parametrize(("option", "name", "passed"), FALLTHROUGH)
async def test_fallthrough(tmp_path: Path, option: str, name: str, passed: bool) -> None:
    """Only what does not exist goes on, and only where the option says so."""
    (tmp_path / "db").write_text(ZONE)
    plugin = parse(tmp_path, f"file db {{\n{option}\n}}")
    sentinel = Reply(rcode=Rcode.SERVFAIL)
    assert (await plugin.handle(request(name), answering(sentinel)) is sentinel) == passed


# -- aliases that lead elsewhere ---------------------------------------------------------------------------------------

ELSEWHERE = RRset(from_text("host.example.net"), RRType.A, 5, (b"\xc0\0\2\7",))
FOREIGN_SOA = RRset(from_text("example.net"), RRType.SOA, 5, (b"soa",))
FOUND = "host.example.net. 5 A 192.0.2.7"
AWAY = "away.example.org. 300 CNAME host.example.net."

TARGETS = [  # what the server answers, code, answer, authority types
    (Reply(answer=(ELSEWHERE,)), Rcode.NOERROR, [AWAY, FOUND], ["NS"]),
    (Reply(rcode=Rcode.REFUSED, extended_error=(20, "")), Rcode.NOERROR, [AWAY], ["NS"]),
    (Reply(rcode=Rcode.SERVFAIL, extended_error=(23, "")), Rcode.SERVFAIL, [AWAY], ["NS"]),
    (Reply(rcode=Rcode.NXDOMAIN, authority=(FOREIGN_SOA,)), Rcode.NXDOMAIN, [AWAY], ["SOA"]),
    (Reply(authority=(FOREIGN_SOA,)), Rcode.NOERROR, [AWAY], ["SOA"]),
    (None, Rcode.SERVFAIL, [AWAY], ["NS"]),
]


@pytest.mark.parametrize(("reply", "rcode", "answer", "authority"), TARGETS)
async def test_alias_outside(
    zone: File, world: World, reply: Reply | None, rcode: int, answer: list[str], authority: list[str]
) -> None:
    """The whole server is asked for the target; the alias is answered whatever comes of that."""
    asked: list[Query] = []

    async def server(_request: Request, query: Query) -> Reply:
        asked.append(query)
        if reply is None:
            raise PluginError("", "in circles")
        return reply

    object.__setattr__(world.runtime, "ask", server)
    async with zone.running(world.runtime):
        got = await ask(zone, "away.example.org.")
    assert [query.name for query in asked] == [from_text("host.example.net")]
    assert got.extended_error == (None if reply is None or rcode == Rcode.NOERROR else reply.extended_error)
    assert (got.rcode, sorted(section(got.answer)), [type_to_text(one.rrtype) for one in got.authority]) == (
        rcode,
        answer,
        authority,
    )
    assert got.authoritative


SERVED = """\
.:0 {
    bind 127.0.0.1
    file db example.org
    file other example.net
    transfer {
        to *
    }
}
"""


async def test_whole_server(tmp_path: Path) -> None:
    """Over real sockets: aliases across zones and to missing names, zone transfers."""
    (tmp_path / "db").write_text(ZONE)
    (tmp_path / "other").write_text("$TTL 5\n@ SOA ns x 1 2 3 4 5\nhost A 192.0.2.7\n")
    async with serving(SERVED, tmp_path) as server:
        across = await server.ask("away.EXAMPLE.org.")
        assert sorted(map(record_to_text, across.answer)) == [
            "away.EXAMPLE.org. 300 IN CNAME host.example.net.",
            "host.example.net. 5 IN A 192.0.2.7",
        ]
        lost = await server.ask("lost.example.org.")
        assert (lost.rcode, [one.rrtype for one in lost.answer]) == (Rcode.NXDOMAIN, [RRType.CNAME])
        assert [one.rrtype for one in lost.authority] == [RRType.SOA]
        assert (await server.ask("www.example.com.")).rcode == Rcode.REFUSED
        whole = await server.ask("example.org.", "AXFR", tcp=True)
        assert (whole.answer[0], len(whole.answer)) == (whole.answer[-1], 35)


# -- zone files and options --------------------------------------------------------------------------------------------


def test_one_file_for_several_zones(tmp_path: Path) -> None:
    """Relative names are below each zone in turn."""
    (tmp_path / "db").write_text("@ 5 SOA a b 1 2 3 4 5\nwww 5 A 192.0.2.1\n")
    plugin = parse(tmp_path, "file db example.org example.net")
    for origin in ("example.org", "example.net"):
        found = plugin.transferable(from_text(origin))
        assert found is not None
        assert found.rrset(from_text(f"www.{origin}"), RRType.A) is not None


def test_files_include_others_beside_them(tmp_path: Path) -> None:
    """A relative path starts at the including file's folder."""
    (tmp_path / "zones").mkdir()
    (tmp_path / "zones" / "db").write_text("@ 5 SOA a b 1 2 3 4 5\n$INCLUDE more\n")
    (tmp_path / "zones" / "more").write_text("www 5 A 192.0.2.1\n")
    found = parse(tmp_path, "file zones/db").transferable(from_text("example.org"))
    assert found is not None
    assert from_text("www.example.org") in found.nodes


START = "@ 5 SOA a b 1 2 3 4 5\n"
BROKEN = [  # the file, what the error says
    ("www 5 A 1\n", "db:1 - Error during parsing: '1' is not an IPv4 address"),
    ("www 5 A 192.0.2.1\n", "db - Error during parsing: no SOA record of example.org."),
    (f"{START}www 5 SOA a b 1 2 3 4 5\n", "db:2 - Error during parsing: an SOA record of www.example.org., expecting"),
    (f"{START}@ 5 SOA a b 2 2 3 4 5\n", "db:2 - Error during parsing: a second SOA record"),
    (f"{START}www 5 CNAME a\nwww 5 CNAME b\n", "db:3 - Error during parsing: a second CNAME record"),
    (f"{START}www 5 CH TXT a\n", "db:2 - Error during parsing: class CH, expecting IN"),
    (f"{START}www 5 NSEC3PARAM \\# 0\n", "db:2 - Error during parsing: NSEC3 is not supported"),
    (f"{START}$INCLUDE nowhere\n", "db:2 - Error during parsing: cannot include 'nowhere'"),
    (f"{START}\n\xff", "db:3 - Error during parsing: not UTF-8"),
]


@pytest.mark.parametrize(("text", "expected"), BROKEN)
def test_broken_files_are_refused(tmp_path: Path, text: str, expected: str) -> None:
    """At the start a mistake in a zone file is an error, with that file's line."""
    (tmp_path / "db").write_bytes(text.encode("latin-1"))
    with pytest.raises(corefile.CorefileError) as caught:
        parse(tmp_path, "file db")
    assert str(caught.value).startswith(f"plugin/file: {tmp_path}/{expected}")


REFUSALS = [  # lines, what the error says
    ("file", "Corefile:2 - Error during parsing: Wrong argument count"),
    ("file gone", "Corefile:2 - Error during parsing: cannot read zone file"),
    ("file db (", "Corefile:2 - Error during parsing: no zone in '('"),
    ("file db\nfile db", "Corefile:3 - Error during parsing: zone example.org. has a file already"),
    ("file db {\nreload\n}", "Corefile:3 - Error during parsing: Wrong argument count"),
    ("file db {\nreload soon\n}", "Corefile:3 - Error during parsing: time: invalid duration"),
    ("file db {\nreload -1s\n}", "Corefile:3 - Error during parsing: duration -1s is negative"),
    ("file db {\nreload_by_mtime yes\n}", "Corefile:3 - Error during parsing: Wrong argument count"),
    ("file db {\ntransfer to *\n}", "Corefile:3 - Error during parsing: unknown property 'transfer'"),
]


@pytest.mark.parametrize(("text", "expected"), REFUSALS)
def test_refusals(tmp_path: Path, text: str, expected: str) -> None:
    """What is not understood is refused with its place."""
    (tmp_path / "db").write_text(ZONE)
    with pytest.raises(corefile.CorefileError) as caught:
        parse(tmp_path, text)
    assert str(caught.value).startswith(f"plugin/file: {expected}")


def test_what_is_odd_is_told(tmp_path: Path) -> None:
    """Records of other zones, hidden records, and an option that does nothing."""
    (tmp_path / "db").write_text(f"{START}www 5 CNAME a\nwww 5 TXT x\nx.net. 5 TXT x\n")
    warnings: list[str] = []
    parse(tmp_path, "file db {\nupstream 192.0.2.1\n}", warnings)
    assert [text.removeprefix("plugin/file: ").replace(str(tmp_path), ".") for text in warnings] == [
        "Corefile:3: 'upstream' has no effect: the server asks itself",
        "./db:4: 1 records are left out, which are not in example.org.: the first is of x.net.",
        "./db:2: www.example.org. has other records, which its CNAME hides",
    ]


# -- reloads -----------------------------------------------------------------------------------------------------------

FIRST = "@ 5 SOA a b 1 2 3 4 5\nwww 5 A 192.0.2.1\n"
SECOND = "@ 5 SOA a b 2 2 3 4 5\nwww 5 A 192.0.2.22\n"


def loaded(path: Path, text: str = FIRST, *, by_time: bool = False) -> ZoneFile:
    """Return a zone whose file has been read."""
    path.write_text(text)
    file = ZoneFile(path, from_text("example.org"), by_time=by_time)
    file.load(pytest.fail)
    return file


def serial(file: ZoneFile) -> int:
    """Return the serial that is served."""
    assert file.content is not None
    return file.content.zone.serial


def address(file: ZoneFile) -> bytes:
    """Return the address that is served."""
    assert file.content is not None
    found = file.content.zone.rrset(from_text("www.example.org"), RRType.A)
    assert found is not None
    return found.rdatas[0]


async def test_reload(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Another serial is another zone; the log says so."""
    caplog.set_level(logging.INFO)
    file = loaded(tmp_path / "db")
    (tmp_path / "db").write_text(SECOND)
    await file.update()
    assert (serial(file), address(file)[-1]) == (2, 22)
    assert caplog.messages == [f'Successfully reloaded zone "example.org." in "{tmp_path}/db" with 2 SOA serial']


async def test_reloaded_zone_has_its_notes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What is odd in the new version is a warning."""
    file = loaded(tmp_path / "db")
    (tmp_path / "db").write_text(f"{SECOND}x.net. 5 TXT x\n")
    await file.update()
    assert [record.levelname for record in caplog.records] == ["WARNING"]


async def test_same_serial_is_the_same_zone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without another serial a change waits; it is told once."""
    caplog.set_level(logging.INFO)
    file = loaded(tmp_path / "db")
    (tmp_path / "db").write_text(FIRST.replace("192.0.2.1", "192.0.2.22"))
    await file.update()
    await file.update()
    assert address(file)[-1] == 1
    assert [message.partition(" is ")[2] for message in caplog.messages] == ["not reloaded: its SOA serial is still 1"]


async def test_reload_by_mtime(tmp_path: Path) -> None:
    """With that option the file's time counts and the serial does not; without a change nothing is read."""
    path = tmp_path / "db"
    file = loaded(path, by_time=True)
    path.write_text(FIRST.replace("192.0.2.1", "192.0.2.22"))
    os.utime(path, (1, 1))
    await file.update()
    assert address(file)[-1] == 22
    before = file.content
    await file.update()
    assert file.content is before


async def test_broken_file_keeps_the_last_zone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What is wrong is logged with file and line, once, and mended by the next version."""
    path = tmp_path / "db"
    file = loaded(path)
    path.write_text(SECOND + "\nx 5 A nowhere\n")
    await file.update()
    await file.update()
    assert serial(file) == 1
    (message,) = caplog.messages
    assert f"{path}:4: 'nowhere' is not an IPv4 address" in message
    path.write_text(SECOND)
    await file.update()
    assert serial(file) == 2


async def test_file_that_goes_away_keeps_the_last_zone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file that is gone is told once, and read when it is there again."""
    path = tmp_path / "db"
    file = loaded(path)
    path.unlink()
    await file.update()
    await file.update()
    assert serial(file) == 1
    assert [message.partition(":")[0] for message in caplog.messages] == [
        f'Failed to open zone "example.org." in "{path}"'
    ]
    path.write_text(SECOND)
    await file.update()
    assert serial(file) == 2


async def test_included_files_are_followed(tmp_path: Path) -> None:
    """A change of an included file is seen, also that it appears."""
    path, more = tmp_path / "db", tmp_path / "more"
    more.write_text(FIRST)
    file = loaded(path, "$INCLUDE more\n")
    more.unlink()
    await file.update()
    more.write_text(SECOND)
    await file.update()
    assert serial(file) == 2


async def test_running_plugin_follows_its_files(tmp_path: Path, world: World) -> None:
    """A file is looked at every so often, for as long as the plugin runs."""
    (tmp_path / "db").write_text(FIRST)
    plugin = parse(tmp_path, "file db {\nreload 1ms\n}")
    async with plugin.running(world.runtime):
        (tmp_path / "db").write_text(SECOND)
        await until(lambda: serial(plugin.zones[from_text("example.org")].file) == 2)


async def test_reload_can_be_off(tmp_path: Path, world: World) -> None:
    """With 0 no task watches the file."""
    (tmp_path / "db").write_text(FIRST)
    plugin = parse(tmp_path, "file db {\nreload 0\n}")
    assert plugin.zones[from_text("example.org")].config.reload == 0
    async with plugin.running(world.runtime):
        assert plugin.ready()
