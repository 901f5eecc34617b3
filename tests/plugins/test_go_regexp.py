"""Go's regular expressions: what they match, what is refused, and that no subject makes them slow."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsserver.plugins.go_regexp import MAX_PATTERN, RegexpError, compile_regexp
from dnsserver.plugins.go_regexp.engine import Program
from dnsserver.plugins.go_regexp.parser import Parser

CASES: list[tuple[str, str, tuple[str, ...] | None]] = [
    (r"(.*)-(us-west)\.example", "ftp-us-west.example.", ("ftp-us-west.example", "ftp", "us-west")),
    (r"(^|[.])ip-(?P<a>[0-9]*)[.]example[.]$", "x.ip-10.example.", (".ip-10.example.", ".", "10")),
    (r"a|ab", "ab", ("a",)),  # the first alternative, not the longest
    (r"x*", "yx", ("",)),
    (r"(a)|b", "b", ("b", "")),  # a group without a part is empty
    (r"a+?", "aaa", ("a",)),
    (r"a{2}", "aaa", ("aa",)),
    (r"a{2,}?", "aaaa", ("aa",)),
    (r"a{1,2}b", "aaab", ("aab",)),
    (r"a{,2}", "a{,2}", ("a{,2}",)),  # Python would repeat
    (r"a{02}{", "a{02}{", ("a{02}{",)),
    (r"\Qa.b\E+c", "a.bbc", ("a.bbc",)),
    (r"\Q\Ea\Q.", "a.", ("a.",)),
    (r"a\Q*", "a*", ("a*",)),
    (r"a$", "a\n", None),  # Python's $ would match
    (r"(?m)^b$", "a\nb\nc", ("b",)),
    (r"\Ab\z", "b", ("b",)),
    (r"\bb\B", "a bb", ("b",)),
    (r".", "\n", None),
    (r"(?s).", "\n", ("\n",)),
    (r"(?i)aB", "Ab", ("Ab",)),
    (r"a(?i)b|c", "C", ("C",)),  # the flag holds to the end of the group, alternatives included
    (r"(?:a(?i)b)c", "aBC", None),
    (r"(?i:a)b", "AB", None),
    (r"(?i)a(?-i:b)", "AB", None),
    (r"(?i)[^b-c]", "C", None),
    (r"(?i)[^b-c]", "d", ("d",)),
    (r"\d+\D\w\W", "12ab.", ("12ab.",)),
    (r"\d", "\u0663", None),  # ASCII alone
    (r"\s", "\v", None),
    (r"[\s\S]", "\v", ("\v",)),
    (r"[^\d\s]", "1 a", ("a",)),
    (r"[[:alpha:]]+[^[:digit:]]", "ab1-", ("ab",)),
    (r"[[:^alpha:]]", "a1", ("1",)),
    (r"[]a]+", "a]", ("a]",)),
    (r"[^]a]", "]ab", ("b",)),
    (r"[a-]+", "-a", ("-a",)),
    (r"[-a]+", "-a", ("-a",)),
    (r"[a&&b||~~-]+", "&|~", ("&|~",)),
    (r"[a\]\-\\]+", "]-\\a", ("]-\\a",)),
    (r"[\x{41}-\103]+", "ABCD", ("ABC",)),
    (r"\x41\101\0\n\.\_", "AA\0\n._", ("AA\0\n._",)),
    (r"^*a", "a", ("a",)),
    (r"()*a|", "b", ("", "")),
    (r"(?P<x>a)(?<y>b)", "ab", ("ab", "a", "b")),
    (r"(a|b)*c", "xabc", ("abc", "b")),
    (r"((a|b)+?)(c|)", "abc", ("a", "a", "a", "")),
    (r"é[à-ü]", "éé", ("éé",)),
    ("(?:é|[é-ê]){2,7}x(a|b)*", "ééxab", ("ééxab", "b")),
]  # fmt: skip  # a pattern a line


@pytest.mark.parametrize(("pattern", "text", "expected"), CASES)
def test_find(pattern: str, text: str, expected: tuple[str, ...] | None) -> None:
    """Both engines find what Go finds."""
    regexp = compile_regexp(pattern)
    assert regexp.find(text) == expected
    assert regexp.pattern == pattern
    assert Program(Parser(pattern).parse(), regexp.groups + 1).find(text) == expected


def test_names() -> None:
    """Groups have their names by number."""
    assert compile_regexp("(a)(?P<b>b)(?:c)").names == ("", "", "b")


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(?=a)", "not supported"),
        ("(?!a)", "not supported"),
        ("(?<=a)", "not supported"),
        ("(?<!a)", "not supported"),
        ("(?>a)", "not supported"),
        ("(?P=a)", "not supported"),
        ("(?(1)a)", "not supported"),
        ("(?#x)", "not supported"),
        ("(?U)a", "not supported"),
        ("(?x)a", "not supported"),
        ("(?)", "not supported"),
        (r"(a)\1", r"escape \1"),
        (r"\pL", r"escape \p"),
        (r"\Z", r"escape \Z"),
        (r"\C", r"escape \C"),
        (r"[\b]", r"escape \b"),
        ("\\é", "escape"),
        (r"\x{110000}", r"escape \x"),
        (r"\xg0", r"escape \x"),
        ("a**", "repetition of a repetition"),
        ("a*+", "repetition of a repetition"),
        ("a{2}{3}", "repetition of a repetition"),
        ("*a", "nothing to repeat"),
        ("(?i)*", "nothing to repeat"),
        ("a{1001}", "repeat count"),
        ("a{2,1}", "repeat count"),
        ("a{99999}", "repeat count"),
        ("(a{100}){100}", "repeat count"),
        ("[z-a]", "class range"),
        (r"[a-\d]", "class range"),
        ("[[:foo:]]", "character class"),
        ("[a", "unexpected end"),
        ("a\\", "unexpected end"),
        ("(a", "missing ')'"),
        ("(?:a", "missing ')'"),
        ("a)", "unexpected ')'"),
        ("(?P<1>a)", "group name"),
        ("(?P<a>a)(?P<a>a)", "used twice"),
        ("(?i)é", "outside ASCII"),
        ("(" * 5000 + ")" * 5000, "cannot be used"),
        ("a" * (MAX_PATTERN + 1), "at most"),
        ("((a|b){500}c*)*", "too complex"),
    ],
)
def test_refusals(pattern: str, reason: str) -> None:
    """What Go refuses, and what has no equal here, is refused with the part that is wrong."""
    with pytest.raises(RegexpError, match=re.escape(reason)):
        compile_regexp(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        "^(a+)+$",
        "^(a|a)*$",
        "(a*)*b",
        "(.*)-(.*)-(.*)-(.*)x",
        "^(.*)(.*)(.*)(.*)x",
        "(a?){30}a{30}b",
        "(a|b|ab){20}c",
        "([a-z-]+[.]?)+x",
        "(?:(?:a|aa)(?:a|aa)){4}(?:a|aa|aaa){4}x",
    ],
)
@pytest.mark.timeout(5)
def test_never_slow(pattern: str) -> None:
    """A subject cannot make a match take longer than the pattern's length times its own."""
    regexp = compile_regexp(pattern)
    assert regexp.find("a-" * 100) is None or "x" not in pattern
    assert regexp.find("a" * 1000 + "!") is None or "(a" in pattern


@pytest.mark.parametrize(
    "pattern",
    [
        r"(.*)-(us-west-1)\.example\.org",
        r"^([^.]*)[.]([^.]*)[.]([^.]*)[.]in-addr[.]arpa[.]$",
        r"(^|[.])ip-(?P<a>[0-9]*)-(?P<b>[0-9]*)-(?P<c>[0-9]*)-(?P<d>[0-9]*)[.]example[.]$",
        r"^(.*)\.(.*)\.svc$",
        r"^(a|b|c)\.(d|e)(f|g)?$",
    ],
)
def test_usual_patterns_are_fast(pattern: str) -> None:
    """What Corefiles hold goes to Python's engine."""
    assert compile_regexp(pattern)._program is None


ATOMS = st.sampled_from(
    ["a", "b", ".", "[ab]", "[^a]", "^", "$", "\\b", "a*", "b+?", "a?", "(?:a|b)", "(a)", "(b|)", "a{1,2}"]
)


@given(st.lists(ATOMS, max_size=5).map("".join), st.text("ab-", max_size=8))
def test_both_engines(pattern: str, text: str) -> None:
    """Python's engine and ours agree on what both can do."""
    groups = re.compile(pattern).groups
    found = re.search(pattern, text)
    expected = None if found is None else (found[0], *found.groups(""))
    assert Program(Parser(pattern).parse(), groups + 1).find(text) == expected
    assert compile_regexp(pattern).find(text) == expected
