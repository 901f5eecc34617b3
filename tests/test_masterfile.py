"""Master files: what is read, and where and why anything else is refused."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsserver.names import from_text
from dnsserver.records import RRType
from dnsserver.wire import record_to_text
from dnsserver.wire.generate import Template
from dnsserver.wire.masterfile import MasterFileError, parse_master_file
from dnsserver.wire.zonetext import ZoneTextError

ORIGIN = from_text("example.org")


def parse(text: str, files: dict[str, str] | None = None) -> list[str]:
    """Return the records of a text as lines; `files` are what it may include."""

    def include(path: str, including: str) -> tuple[str, str]:
        if path not in (files or {}):
            raise FileNotFoundError(path)
        return path, (files or {})[path]

    entries = parse_master_file(text, ORIGIN, file="db", include=include)
    return [record_to_text(entry.record) for entry in entries]


A = "IN A 192.0.2.1"

READ = [  # text, what is read
    ("", []),
    ("; nothing\n\n  ; here\n", []),
    (f"www.example.org. 60 {A}", [f"www.example.org. 60 {A}"]),
    (f"www 60 {A}\r\n", [f"www.example.org. 60 {A}"]),
    ("www IN 60 A 192.0.2.1\n", [f"www.example.org. 60 {A}"]),
    ("www 60 A 192.0.2.1 ; why\n", [f"www.example.org. 60 {A}"]),
    (f"@ 60 {A}\n", [f"example.org. 60 {A}"]),
    (f"WWW 60 {A}\n", [f"WWW.example.org. 60 {A}"]),
    (f"a\\.b 60 {A}\n", [f"a\\.b.example.org. 60 {A}"]),
    (f"a\\. 60 {A}\n", [f"a\\..example.org. 60 {A}"]),
    (f". 60 {A}\n", [f". 60 {A}"]),
    ("www 60 A 192.0.2.1\n    A 192.0.2.2\n", [f"www.example.org. 60 {A}", "www.example.org. 60 IN A 192.0.2.2"]),
    ("www 60 A 192.0.2.1\n\t120 A 192.0.2.2\n", [f"www.example.org. 60 {A}", "www.example.org. 120 IN A 192.0.2.2"]),
    (f"$TTL 1h30m\nx 5 {A}\ny {A}\n", [f"x.example.org. 5 {A}", f"y.example.org. 5400 {A}"]),
    (f"x 5 {A}\ny {A}\n", [f"x.example.org. 5 {A}", f"y.example.org. 5 {A}"]),
    (f"$ttl 7\n$origin sub\nwww {A}\n$ORIGIN net.\nwww {A}\n", [f"www.sub.example.org. 7 {A}", f"www.net. 7 {A}"]),
    (
        f"@ SOA ns hostmaster (\n  1 ; serial\n  2h\n 3 4\n 60 )\nwww {A}\n",
        ["example.org. 60 IN SOA ns.example.org. hostmaster.example.org. 1 7200 3 4 60", f"www.example.org. 60 {A}"],
    ),
    ("( www 60\nIN A\n192.0.2.1 )\n", [f"www.example.org. 60 {A}"]),
    ("@ 5 MX 10 MAIL\n", ["example.org. 5 IN MX 10 mail.example.org."]),
    ("@ 5 MX 10 @\n", ["example.org. 5 IN MX 10 example.org."]),
    ("_s._tcp 5 SRV 1 2 3 Host.Example.NET.\n", ["_s._tcp.example.org. 5 IN SRV 1 2 3 host.example.net."]),
    ("p 5 PTR Host\n", ["p.example.org. 5 IN PTR Host.example.org."]),
    ('t 5 TXT "a;b (c)" d"e"\n', ['t.example.org. 5 IN TXT "a;b (c)" "d" "e"']),
    ("t 5 TYPE65534 \\# 2 abcd\n", ["t.example.org. 5 IN TYPE65534 \\# 2 abcd"]),
    ("in 5 IN A 192.0.2.1\n", [f"in.example.org. 5 {A}"]),
    (
        "$TTL 5\n$GENERATE 1-3/2 host-${10,3} A 192.0.2.$\n",
        ["host-011.example.org. 5 IN A 192.0.2.1", "host-013.example.org. 5 IN A 192.0.2.3"],
    ),
    ('$GENERATE 7-7 $ 5 TXT "a $ b"\n', ['7.example.org. 5 IN TXT "a 7 b"']),
]


@pytest.mark.parametrize(("text", "expected"), READ)
def test_read(text: str, expected: list[str]) -> None:
    """Each form of a record is read as the standard says."""
    assert parse(text) == expected


REFUSED = [  # text, the line, words of the error
    (f"\n\n  60 {A}\n", 3, "no owner"),
    (f"www {A}\n", 1, "no TTL"),
    ("www 60 A 192.0.2.256\n", 1, "not an IPv4 address"),
    ("www 60 A 192.0.2.1 192.0.2.2\n", 1, "more than its 1 fields"),
    ("www 60 A (\n192.0.2.1\n", 1, "a '(' without a ')'"),
    ("www 60 A 192.0.2.1 )\n", 1, "a ')' without a '('"),
    (f'\n"www" 60 {A}\n', 2, "expecting a name"),
    (f"a..b 60 {A}\n", 1, "not a name"),
    (f"{'a' * 64} 60 {A}\n", 1, "1 to 63 octets"),
    ('t 60 TXT "a\nb"\n', 1, "a string without its end"),
    ("t 60 TXT a\\\n", 1, "cannot stand here"),
    ("www 60\n", 1, "no type"),
    ("www 60 CAT 1\n", 1, "not a TTL, a class or a type"),
    ("www 60 AXFR 1\n", 1, "for questions"),
    (f"www 2147483648 {A}\n", 1, "more than"),
    (f"www 60x {A}\n", 1, "not a time"),
    ("$TTL\n", 1, "$TTL SECONDS"),
    ("$ORIGIN a b\n", 1, "$ORIGIN NAME"),
    ("$DATE now\n", 1, "unknown directive '$DATE'"),
    ("$INCLUDE\n", 1, "$INCLUDE FILE [ORIGIN]"),
    ("\n$INCLUDE gone\n", 2, "cannot include 'gone'"),
    ("$GENERATE 1-2 a\n", 1, "expecting $GENERATE"),
    ("$GENERATE 2-1 a 5 A 192.0.2.$\n", 1, "the lower one first"),
    ("$GENERATE 1-2 a-$ 5 A 192.0.2.300\n", 1, "not an IPv4 address"),
]


@pytest.mark.parametrize(("text", "line", "words"), REFUSED)
def test_refused(text: str, line: int, words: str) -> None:
    """Each mistake is told with its line and what was expected."""
    with pytest.raises(MasterFileError) as caught:
        parse(text)
    assert (caught.value.file, caught.value.line) == ("db", line)
    assert words in str(caught.value)


def test_include() -> None:
    """An included file has its own origin, owner and TTL; the including one goes on with what it had."""
    files = {"more": f"$ORIGIN deep\n$TTL 9\nx {A}\n", "rest": f"y {A}\n"}
    text = f"$TTL 5\na {A}\n$INCLUDE more sub\n  {A}\n$INCLUDE rest\nb {A}\n"
    owners = ["a 5", "x.deep.sub 9", "a 5", "y 5", "b 5"]
    expected = [f"{owner.split()[0]}.example.org. {owner.split()[1]} {A}" for owner in owners]
    assert parse(text, files) == expected


def test_error_in_an_included_file_names_that_file() -> None:
    """The line that is wrong is the included file's."""
    with pytest.raises(MasterFileError) as caught:
        parse("$INCLUDE more\n", {"more": "\nwww 5 A x\n"})
    assert str(caught.value).startswith("more:2: ")


def test_files_that_include_each_other_end() -> None:
    """A circle of files is an error, not the end of the stack."""
    with pytest.raises(MasterFileError, match="include each other"):
        parse("$INCLUDE db\n", {"db": "$INCLUDE db\n"})


def test_signed_records() -> None:
    """RRSIG and NSEC have the octets of RFC 4034, sections 3.1 and 4.1."""
    text = (
        "www 5 RRSIG A 8 3 5 20380119031408 2147483647 4711 @ AQ ID\n"
        "www 5 NSEC xxx A MX RRSIG NSEC TYPE1234\n"
        "www 5 NSEC host.example.com. A MX RRSIG NSEC TYPE1234\n"
    )
    entries = list(parse_master_file(text.replace("AQ ID", "AQID"), ORIGIN, file="db", include=lambda *_: ("", "")))
    signature, _, nsec = (entry.record for entry in entries)
    assert signature.rrtype == RRType.RRSIG
    fixed = bytes.fromhex("0001 08 03 00000005 80000000 7fffffff 1267")
    assert signature.rdata == fixed + ORIGIN + b"\x01\x02\x03"
    # the example of RFC 4034, section 4.3
    bitmap = bytes.fromhex("0006400100000003 041b" + "00" * 26 + "20")
    assert nsec.rdata == from_text("host.example.com") + bitmap


@pytest.mark.parametrize(
    ("rdata", "words"),
    [
        ("RRSIG A 8 3 5 1 1 1 @", "the 9 of RRSIG"),
        ("RRSIG A 8 3 5 20381319031408 1 1 @ AQID", "not a time"),
        ("RRSIG A 256 3 5 1 1 1 @ AQID", "0 to 255"),
        ("RRSIG A 8 3 5 1 1 1 @ A", "base64"),
        ("RRSIG CAT 8 3 5 1 1 1 @ AQID", "not a type"),
        ("NSEC", "expecting NEXT TYPE"),
    ],
)
def test_signed_records_refused(rdata: str, words: str) -> None:
    """What is wrong with a signature's text is said."""
    with pytest.raises(MasterFileError, match=words):
        parse(f"www 5 {rdata}\n")


EXPANDED = [
    ("a$b", "5-6", ["a5b", "a6b"]),
    ("$$ \\$ \\a ${0}", "5-5", ["$ $ \\a 5"]),
    ("${-1,2,x} ${0,0,X} ${250,4,o}", "15-15", ["0e F 0411"]),
]


@pytest.mark.parametrize(("template", "range_text", "expected"), EXPANDED)
def test_template(template: str, range_text: str, expected: list[str]) -> None:
    """Each form of a place gets its number."""
    assert list(Template(template).expand(range_text)) == expected


@pytest.mark.parametrize(
    ("template", "range_text"),
    [("$", "1"), ("$", "1-2/0"), ("$", "0-65536"), ("${-2}", "1-1"), ("${0,999}", "1-1"), ("${0,1,z}", "1-1")],
)
def test_template_refused(template: str, range_text: str) -> None:
    """A range or place that means nothing, or too much, is refused."""
    with pytest.raises(ZoneTextError):
        list(Template(template).expand(range_text))


@given(st.text(alphabet=st.sampled_from('a.@$ \t\n();"\\1-/{},IN A TXT SOA MX OTLGERIC'), max_size=80))
def test_any_text_is_records_or_an_error(text: str) -> None:
    """Whatever the text, nothing but the parser's own error comes out of it."""
    with suppress(MasterFileError):
        parse(text)
