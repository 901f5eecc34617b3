"""The grammar: valid Corefiles as shapes, invalid ones as error texts."""

import sys

import pytest

from dnsserver.corefile.parser import MAX_NESTING
from tests.corefile.sources import Shape, failure, line, parsed, shapes

Shapes = list[tuple[tuple[str, ...], tuple[Shape, ...]]]

VALID: list[tuple[str, str, Shapes]] = [
    ("nothing", "", []),
    ("comments only", "# nothing\n\n# here\n", []),
    ("an empty block", ". { }", [((".",), ())]),
    ("an empty block on two lines", ". {\n}", [((".",), ())]),
    ("one directive", ". {\n whoami\n}", [((".",), (line("whoami"),))]),
    ("a directive behind the brace", ". { whoami\n}", [((".",), (line("whoami"),))]),
    ("arguments", ". {\n forward . 1.1.1.1 2.2.2.2\n}", [((".",), (line("forward", ".", "1.1.1.1", "2.2.2.2"),))]),
    ("keys separated by space", "a.org b.org {\n}", [(("a.org.", "b.org."), ())]),
    ("keys separated by comma and space", "a.org, b.org {\n}", [(("a.org.", "b.org."), ())]),
    ("keys separated by comma", "a.org,b.org {\n}", [(("a.org.", "b.org."), ())]),
    ("keys separated by a lone comma", "a.org , b.org {\n}", [(("a.org.", "b.org."), ())]),
    ("a trailing comma continues", "a.org,\nb.org,\n\n# and\nc.org {\n}", [(("a.org.", "b.org.", "c.org."), ())]),
    ("keys only", "a.org", [(("a.org.",), ())]),
    ("keys only, continued", "a.org,\nb.org", [(("a.org.", "b.org."), ())]),
    ("a single block without braces", ".:53\nerrors\ncache 30", [((".",), (line("errors"), line("cache", "30")))]),
    (
        "a plugin's block without server braces",
        "a.org\ncache {\n success 100\n}\nlog",
        [(("a.org.",), (line("cache", block=(line("success", "100"),)), line("log")))],
    ),
    ("a server block's brace on the next line", "a.org b.org\n{\n log\n}", [(("a.org.", "b.org."), (line("log"),))]),
    ("two blocks", "a.org {\n log\n}\nb.org {\n}", [(("a.org.",), (line("log"),)), (("b.org.",), ())]),
    ("two blocks on one line", "a.org { } b.org { }", [(("a.org.",), ()), (("b.org.",), ())]),
    (
        "a key may be called import behind the first",
        "a.org import { }",
        [(("a.org.", "import."), ())],
    ),
    ("an empty quoted key is skipped", '"" a.org { }', [(("a.org.",), ())]),
    ("an empty quoted key keeps the comma open", 'a.org, ""\nb.org { }', [(("a.org.", "b.org."), ())]),
    ("a network is several zones", "10.0.0.0/15 { }", [(("0.10.in-addr.arpa.", "1.10.in-addr.arpa."), ())]),
    (
        "properties with arguments",
        ". {\n hosts /etc/hosts {\n  10.0.0.1 a.org b.org\n  ttl 60\n  fallthrough\n }\n}",
        [
            (
                (".",),
                (
                    line(
                        "hosts",
                        "/etc/hosts",
                        block=(line("10.0.0.1", "a.org", "b.org"), line("ttl", "60"), line("fallthrough")),
                    ),
                ),
            )
        ],
    ),
    ("an empty plugin block", ". {\n hosts { }\n}", [((".",), (line("hosts"),))]),
    (
        "a property behind the brace",
        ". {\n cache { success 1\n }\n}",
        [((".",), (line("cache", block=(line("success", "1"),)),))],
    ),
    (
        "a block in a plugin's block",
        ". {\n a {\n  b c {\n   d e\n  }\n  f\n }\n}",
        [((".",), (line("a", block=(line("b", "c", block=(line("d", "e"),)), line("f"))),))],
    ),
    ("a quoted brace is an argument", '. {\n log "{" "}" "a b"\n}', [((".",), (line("log", "{", "}", "a b"),))]),
    ("a brace in a word is an argument", ". {\n log {} {a} }}\n}", [((".",), (line("log", "{}", "{a}", "}}"),))]),
    ("a quoted newline does not end the line", '. {\n log "a\n b" c\n}', [((".",), (line("log", "a\n b", "c"),))]),
    ("a quoted import is a directive", '. {\n "import" x\n}', [((".",), (line("import", "x"),))]),
    ("import as an argument", ". {\n log import x\n}", [((".",), (line("log", "import", "x"),))]),
    ("the same directive twice", ". {\n log a\n log b\n}", [((".",), (line("log", "a"), line("log", "b")))]),
    ("comment quirk", ". {\n log a#b c\n}", [((".",), (line("log", "a", "c"),))]),
    ("byte order mark and CR LF", "\ufeff. {\r\n log\r\n}\r\n", [((".",), (line("log"),))]),
    ("snippet", "(a) {\n log\n errors\n}\n. {\n import a\n}", [((".",), (line("log"), line("errors")))]),
    ("snippet on one line", "(a) { log }\n. {\n import a\n}", [((".",), (line("log"),))]),
    ("snippet's brace on the next line", "(a)\n{\n log\n}\n. {\n import a\n}", [((".",), (line("log"),))]),
    ("empty snippet", "(a) { }\n. {\n import a\n}", [((".",), ())]),
    ("only a snippet", "(a) {\n log\n}", []),
    ("snippet used twice", "(a) {\n log\n}\n. {\n import a\n import a\n}", [((".",), (line("log"), line("log")))]),
    (
        "snippet with a plugin's block",
        "(a) {\n cache {\n  success 1\n }\n}\n. {\n import a\n}",
        [((".",), (line("cache", block=(line("success", "1"),)),))],
    ),
    (
        "snippet inside a plugin's block",
        "(a) {\n success 1\n}\n. {\n cache {\n  import a\n  denial 2\n }\n}",
        [((".",), (line("cache", block=(line("success", "1"), line("denial", "2"))),))],
    ),
    ("snippet of a whole server block", "(a) {\n. {\n log\n}\n}\nimport a", [((".",), (line("log"),))]),
    ("snippet of keys", "(a) {\n a.org,\n b.org\n}\nimport a\n{\n}", [(("a.org.", "b.org."), ())]),
    ("snippet that continues keys", "(a) {\n b.org\n}\na.org,\nimport a\n{\n}", [(("a.org.", "b.org."), ())]),
    (
        "snippet that uses an earlier one",
        "(a) {\n log\n}\n(b) {\n import a\n errors\n}\n. {\n import b\n}",
        [((".",), (line("log"), line("errors")))],
    ),
    ("import behind a brace", "(a) {\n log\n}\n. { import a\n}", [((".",), (line("log"),))]),
    ("import without braces", "(a) {\n log\n}\n.\nimport a\nerrors", [((".",), (line("log"), line("errors")))]),
]


@pytest.mark.parametrize(("text", "expected"), [row[1:] for row in VALID], ids=[row[0] for row in VALID])
def test_valid(text: str, expected: Shapes) -> None:
    """A Corefile becomes these blocks, without a warning."""
    corefile = parsed(text)
    assert shapes(corefile) == expected
    assert corefile.warnings == ()


INVALID = [
    (". { whoami }", "Corefile:1 - Error during parsing: Unexpected '}', which must start a line"),
    (". {\n cache { success 1 }\n}", "Corefile:2 - Error during parsing: Unexpected '}', which must start a line"),
    (".\nlog }", "Corefile:2 - Error during parsing: Unexpected '}', which must start a line"),
    (
        ". {\n cache\n {\n success 1\n }\n}",
        "Corefile:3 - Error during parsing: Unexpected '{', expecting it on the line of the plugin or property it "
        "belongs to",
    ),
    (
        ". {\n cache {\n success\n {\n }\n }\n}",
        "Corefile:4 - Error during parsing: Unexpected '{', expecting it on the line of the plugin or property it "
        "belongs to",
    ),
    (
        ". {\n cache {\n } }\n",
        "Corefile:3 - Error during parsing: Unexpected '}' after '}', expecting a new line",
    ),
    (
        ". {\n cache {\n } log\n}",
        "Corefile:3 - Error during parsing: Unexpected 'log' after '}', expecting a new line",
    ),
    ("}", "Corefile:1 - Error during parsing: Unexpected '}' because no matching opening brace"),
    (". {\n} }", "Corefile:2 - Error during parsing: Unexpected '}' because no matching opening brace"),
    (".\nlog\n}", "Corefile:3 - Error during parsing: Unexpected '}' because no matching opening brace"),
    (
        "a.org, {\n}",
        "Corefile:1 - Error during parsing: Expected another address but had '{' - check for extra comma",
    ),
    (
        "a.org,\n{\n}",
        "Corefile:2 - Error during parsing: Expected another address but had '{' - check for extra comma",
    ),
    ("a.org,\n\n", "Corefile:1 - Error during parsing: Unexpected EOF, expecting another address after ','"),
    ("a.org, b.org,", "Corefile:1 - Error during parsing: Unexpected EOF, expecting another address after ','"),
    (". {\n log\n", "Corefile:2 - Error during parsing: Unexpected EOF, expecting '}' for the '{' at Corefile:1"),
    (". {", "Corefile:1 - Error during parsing: Unexpected EOF, expecting '}' for the '{' at Corefile:1"),
    (
        ". {\n cache {\n success 1\n}\n",
        "Corefile:4 - Error during parsing: Unexpected EOF, expecting '}' for the '{' at Corefile:1",
    ),
    (
        ".\ncache {\n success 1\n",
        "Corefile:3 - Error during parsing: Unexpected EOF, expecting '}' for the '{' at Corefile:2",
    ),
    (
        "(a) {\n log {\n}\n",
        "Corefile:3 - Error during parsing: Unexpected EOF, expecting '}' for the '{' at Corefile:1",
    ),
    ("(a) {", "Corefile:1 - Error during parsing: Unexpected EOF, expecting '}' for the '{' at Corefile:1"),
    ("(a)", "Corefile:1 - Error during parsing: Expected '{' after snippet (a)"),
    ("(a)\nlog", "Corefile:1 - Error during parsing: Expected '{' after snippet (a)"),
    (
        "(a) {\n}\n(a) {\n}",
        "Corefile:3 - Error during parsing: redeclaration of previously declared snippet a",
    ),
    (
        ". {\n import a\n}\n(a) {\n log\n}",  # defined after its use, so it is a file's name
        "Corefile:2 - Error during parsing: File to import not found: a",
    ),
    (
        "(a) {\n import a\n}\n. {\n import a\n}",
        "Corefile:2 - Error during parsing: import of (a) inside itself: (a) -> (a)",
    ),
    (
        "(a) {\n import b\n}\n(b) {\n import a\n}\nimport a",
        "Corefile:5 - Error during parsing: import of (a) inside itself: (a) -> (b) -> (a)",
    ),
    (
        ".\nimport",
        "Corefile:2 - Error during parsing: Wrong argument count or unexpected line ending after 'import'",
    ),
    (
        "import\n. {\n}",
        "Corefile:1 - Error during parsing: Wrong argument count or unexpected line ending after 'import'",
    ),
    (
        "import {\n}",
        "Corefile:1 - Error during parsing: Wrong argument count or unexpected line ending after 'import'",
    ),
    (
        ". { import }",
        "Corefile:1 - Error during parsing: Wrong argument count or unexpected line ending after 'import'",
    ),
    (
        ". {\n import a b\n}",
        "Corefile:2 - Error during parsing: Import takes only one argument (glob pattern or file)",
    ),
    (
        ". {\n import a {\n }\n}",
        "Corefile:2 - Error during parsing: Import takes only one argument (glob pattern or file)",
    ),
    (
        ". {\n import a }",
        "Corefile:2 - Error during parsing: Import takes only one argument (glob pattern or file)",
    ),
    ('import ""', "Corefile:1 - Error during parsing: Import requires a non-empty filepath"),
    ("import {$UNSET}", "Corefile:1 - Error during parsing: Import requires a non-empty filepath"),
    (". {\n}\na..b {\n}", "Corefile:3 - Error during parsing: 'a..b' is not a valid domain name: "),
    ("a.org,\nb.org:x {\n}", "Corefile:2 - Error during parsing: 'b.org:x' is not a zone: "),
    ("a.org{\n log\n}", "Corefile:1 - Error during parsing: 'a.org{' is not a zone: "),
    ("http://a.org {\n}", "Corefile:1 - Error during parsing: unknown scheme 'http' in 'http://a.org', "),
    (". {}", "Corefile:1 - Error during parsing: '{}' is not a zone: "),
    ("(a) b {\n}", "Corefile:1 - Error during parsing: '(a)' is not a zone: "),
    ('. {\n log "a\n}', "Corefile:2 - Error during parsing: Quoted string without an end, expecting '\"'"),
    (". {\n log \ud800\n}", "Corefile:2 - Error during parsing: octet 0xed is not UTF-8, expecting a text file"),
]


@pytest.mark.parametrize(("text", "message"), INVALID)
def test_invalid(text: str, message: str) -> None:
    """A mistake is reported with its file and line and what was expected."""
    assert failure(text).startswith(message)


def test_places() -> None:
    """Blocks, keys, directives and properties know their lines."""
    (block,) = parsed("\na.org,\nb.org {\n log x\n cache {\n\n  success 1\n }\n}").blocks
    assert (block.file, block.line) == ("Corefile", 2)
    assert [key.line for key in block.keys] == [2, 3]
    assert [directive.line for directive in block.directives] == [4, 5]
    assert [each.line for each in block.directives[1].properties] == [7]


def test_environment() -> None:
    """References are replaced in keys, names, arguments, properties and imports."""
    environment = {"ZONE": "a.org", "PORT": "1053", "NAME": "hosts", "TTL": "5", "WORDS": "x y", "SNIPPET": "s"}
    text = """
    (s) {
        log {$WORDS} "in {$ZONE} quotes"
    }
    {$ZONE}:{%PORT%} {
        {$NAME} {$UNSET} {
            {$UNSET}ttl {$TTL}
        }
        import {$SNIPPET}
    }
    """
    corefile = parsed(text, environment=environment)
    expected = (line("hosts", "", block=(line("ttl", "5"),)), line("log", "x y", "in a.org quotes"))
    assert shapes(corefile) == [(("a.org.",), expected)]
    assert corefile.blocks[0].keys[0].port == 1053


ENVIRONMENT_STRUCTURE = [
    ("a value holds several keys", "{$V} {\n}", "a.org, b.org", [(("a.org.", "b.org."), ())]),
    ("a value is never a brace", ".\nlog {$V}", "{", [((".",), (line("log", "{"),))]),
    ("a value is never an import", ". {\n {$V} x\n}", "import", [((".",), (line("import", "x"),))]),
]


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [row[1:] for row in ENVIRONMENT_STRUCTURE],
    ids=[row[0] for row in ENVIRONMENT_STRUCTURE],
)
def test_environment_makes_words_only(text: str, value: str, expected: Shapes) -> None:
    """The environment fills words and never makes structure."""
    assert shapes(parsed(text, environment={"V": value.replace(" ", "")})) == expected


@pytest.mark.parametrize("text", ["{\n log\n}\n", '"" {\n log\n}\n', "{$UNSET} {\n log\n}\n"])
def test_block_without_key(text: str) -> None:
    """A block without a key is ignored, as in CoreDNS, but not in silence."""
    corefile = parsed("\n" + text + "a.org {\n}")
    assert shapes(corefile) == [(("a.org.",), ())]
    assert corefile.warnings == ("Corefile:2 - Server block without a zone is ignored",)


def test_nesting_limit() -> None:
    """Blocks nest so deep and no deeper."""
    depth = MAX_NESTING
    assert parsed(".\n" + "a {\n" * depth + "}\n" * depth).blocks
    message = failure(".\n" + "a {\n" * (depth + 1) + "}\n" * (depth + 1))
    assert message == f"Corefile:{depth + 2} - Error during parsing: Blocks are nested more than {depth} deep"


@pytest.mark.parametrize("text", ["a {\n", "{\n", "(a) {\n", "}\n", "a { a {\n", "a,\n", "import a\n"])
def test_depth_does_not_exhaust_the_stack(text: str) -> None:
    """However often something opens, the error is a `CorefileError`."""
    assert "Error during parsing" in failure(text * (sys.getrecursionlimit() * 2))
