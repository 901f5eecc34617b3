"""The lexer: every quirk of coredns/caddy's as a row."""

import pytest

from dnsserver.corefile.model import CorefileError
from dnsserver.corefile.tokens import Token, tokenize

WORDS = [
    ("nothing", "", []),
    ("white space only", " \t\n\v\f\r\n", []),
    ("words", "a bc\td\ne", ["a", "bc", "d", "e"]),
    ("no-break and line separators are white space, as in Go", "a\u00a0b\u2028c\u0085d\u3000e", list("abcde")),
    ("U+001C is not white space in Go", "a\x1cb", ["a\x1cb"]),
    ("quotes keep spaces", '"a  b" c', ["a  b", "c"]),
    ("quotes keep newlines", '"a\nb" c', ["a\nb", "c"]),
    ("quotes keep a comment sign", '"a # b" c', ["a # b", "c"]),
    ("quotes keep CR", '"a\r\nb"', ["a\r\nb"]),
    ("an empty token", '"" a', ["", "a"]),
    ("an escaped quote", r'"say \"hi\"" a', ['say "hi"', "a"]),
    ("no other escape", r'"a\n\t\d" b', [r"a\n\t\d", "b"]),
    ("backslashes pair up", r'"a\\" b', [r"a\\", "b"]),
    ("an escaped newline stays", '"a\\\nb"', ["a\\\nb"]),
    ("a word follows a quote without a space", '"a"b', ["a", "b"]),
    ("a quote in mid-token is a character", 'a"b c"d', ['a"b', 'c"d']),
    ("backslash in a word is a character", r"^a\.b$ c\d", [r"^a\.b$", r"c\d"]),
    ("comment line", "# x y\na", ["a"]),
    ("comment after a token", "a # b c\nd", ["a", "d"]),
    ("comment without a space after it", "a #b c\nd", ["a", "d"]),
    ("comment to the end", "a # b", ["a"]),
    ("comment after a quote", '"a"#b c\nd', ["a", "d"]),
    ("mid-token: only the rest of that word", "a#b c", ["a", "c"]),
    ("mid-token at the end of a line", "a#b\nc", ["a", "c"]),
    ("mid-token, a quote is part of the word", 'a#"b c" d', ["a", 'c"', "d"]),
    ("mid-token, more than one sign", "a#b#c d", ["a", "d"]),
    ("byte order mark", "\ufeffa b", ["a", "b"]),
    ("byte order mark only at the start", "a \ufeffb", ["a", "\ufeffb"]),
    ("CR LF", "a b\r\nc\r\n", ["a", "b", "c"]),
    ("CR ends no word", "a\rb c", ["ab", "c"]),
    ("CR before a quote", '\r"a b"', ["a b"]),
    ("CR before a comment", "\r# a\nb", ["b"]),
    ("braces are words only alone", "a{ {} } {", ["a{", "{}", "}", "{"]),
    ("environment references are left alone", "{$A} {%B%}", ["{$A}", "{%B%}"]),
    ("any character", "é\x00☃ \U0001f600", ["é\x00☃", "\U0001f600"]),
]


@pytest.mark.parametrize(("text", "words"), [row[1:] for row in WORDS], ids=[row[0] for row in WORDS])
def test_words(text: str, words: list[str]) -> None:
    """Text becomes these tokens."""
    assert [token.text for token in tokenize(text, "Corefile")] == words


def test_places() -> None:
    """A token has its file, the line it starts on, and whether it was quoted."""
    text = 'a "b\n\nc" d # x\n\n\n"e" "f\ng"\nh'
    places = [(token.text, token.line, token.quoted) for token in tokenize(text, "f")]
    assert places == [
        ("a", 1, False),
        ("b\n\nc", 1, True),
        ("d", 3, False),
        ("e", 6, True),
        ("f\ng", 6, True),
        ("h", 8, False),
    ]
    assert {token.file for token in tokenize(text, "f")} == {"f"}


STARTS = [
    ("first of a line", "a b\nc d", ["a", "c"]),
    ("a newline inside quotes is no new line", 'a "b\nc" d\ne', ["a", "e"]),
    ("after a comment", "a # b\nc", ["a", "c"]),
    ("after a mid-token comment", "a b#c\nd", ["a", "d"]),
    ("after an opening brace", "a { b\n}", ["a", "b", "}"]),
    ("a closing brace in the middle starts nothing", "a b }", ["a"]),
    ("a quoted brace opens nothing", 'a "{" b', ["a"]),
    ("after blank lines", "\n\na\n\n\nb", ["a", "b"]),
]


@pytest.mark.parametrize(("text", "starts"), [row[1:] for row in STARTS], ids=[row[0] for row in STARTS])
def test_starts(text: str, starts: list[str]) -> None:
    """A statement can start at these tokens."""
    assert [token.text for token in tokenize(text, "Corefile") if token.starts] == starts


@pytest.mark.parametrize("text", ['a\n"b', 'a\n"b\nc', 'a\n"b\\"', 'a\n"', 'a\n"b\\'])
def test_quote_without_end(text: str) -> None:
    """A quoted string without an end is an error at its first line."""
    with pytest.raises(CorefileError) as raised:
        list(tokenize(text, "Corefile"))
    message = "Corefile:2 - Error during parsing: Quoted string without an end, expecting '\"'"
    assert str(raised.value) == message


ROLES = [
    (Token("{", "f", 1), (True, False, False)),
    (Token("}", "f", 1), (False, True, False)),
    (Token("import", "f", 1, starts=True), (False, False, True)),
    (Token("import", "f", 1), (False, False, False)),
    (Token("{", "f", 1, quoted=True), (False, False, False)),
    (Token("}", "f", 1, quoted=True), (False, False, False)),
    (Token("import", "f", 1, quoted=True, starts=True), (False, False, False)),
]


@pytest.mark.parametrize(("token", "roles"), ROLES)
def test_roles(token: Token, roles: tuple[bool, bool, bool]) -> None:
    """Only a bare brace is a brace, and only a bare `import` that starts a statement imports."""
    assert (token.opens, token.closes, token.imports) == roles


def test_long_text_is_read_in_one_pass() -> None:
    """A large quoted string, comment or word neither recurses nor backtracks."""
    size = 200_000
    text = f'"{"a" * size}{chr(92)}"{"b " * size}" #{"c " * size}\n{"d#" * size} {"e" * size}'
    assert [len(token.text) for token in tokenize(text, "f")] == [3 * size + 1, 1, size]
