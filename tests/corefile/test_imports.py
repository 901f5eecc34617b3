"""Imports: snippets, files and patterns."""

import pytest

from dnsserver.corefile import CorefileError, parse
from dnsserver.corefile.imports import MAX_FILE_IMPORTS, MAX_SNIPPET_IMPORTS, TokenStream
from dnsserver.corefile.tokens import tokenize
from tests.corefile.sources import Files, failure, files, line, parsed, shapes

LOG = [((".",), (line("log"),))]

FILES = [
    ("inside a server block", ". {\n import x\n}", {"x": "log\n"}),
    ("without a final newline", ". {\n import x\n}", {"x": "log"}),
    ("with a byte order mark", ". {\n import x\n}", {"x": "\ufefflog"}),
    ("whole server blocks", "import x", {"x": ". {\n log\n}\n"}),
    ("only its keys", "import x\n{\n log\n}", {"x": "."}),
    ("braces that do not match in the file", "import x\n}", {"x": ". {\n log\n"}),
    ("an empty file", ". {\n import x\n log\n}", {"x": ""}),
    ("a quoted path", '. {\n import "my file"\n}', {"my file": "log"}),
    ("a file of snippets", "import x\n. {\n import s\n}", {"x": "(s) {\n log\n}\n"}),
    ("a snippet from outside", "(s) {\n log\n}\nimport x", {"x": ". {\n import s\n}"}),
    ("a snippet before a file of that name", "(s) {\n log\n}\n. {\n import s\n}", {"s": "errors"}),
    ("a path that is not clean", ". {\n import ./a/../b/x\n}", {"b/x": "log"}),
    ("an absolute path", ". {\n import /etc/x\n}", {"/etc/x": "log"}),
    ("twice, one after the other", ". {\n import y\n import y\n log\n}", {"y": ""}),
]


@pytest.mark.parametrize(("text", "content"), [row[1:] for row in FILES], ids=[row[0] for row in FILES])
def test_files(text: str, content: dict[str, str]) -> None:
    """An import is replaced by the file it names."""
    assert shapes(parsed(text, content)) == LOG


def test_file_in_a_plugins_block() -> None:
    """Properties can be imported, also as one file of each pattern's match."""
    content = {"a.hosts": "10.0.0.1 a.org", "b.hosts": "10.0.0.2 b.org"}
    corefile = parsed(". {\n hosts {\n  import *.hosts\n  fallthrough\n }\n}", content)
    block = (line("10.0.0.1", "a.org"), line("10.0.0.2", "b.org"), line("fallthrough"))
    assert shapes(corefile) == [((".",), (line("hosts", block=block),))]


def test_paths_are_relative_to_the_importing_file() -> None:
    """A relative path starts at the file it is written in, in snippets at the file that defines them."""
    content = {
        "/etc/dns/sub/a": "import b\nimport ../c\n",
        "/etc/dns/sub/b": "log b",
        "/etc/dns/c": "log c",
        "/etc/dns/sub/snippets": "(s) {\n import b\n}",
    }
    text = "import sub/snippets\n. {\n import sub/a\n import s\n}"
    corefile = parsed(text, content, file="/etc/dns/Corefile")
    assert shapes(corefile) == [((".",), (line("log", "b"), line("log", "c"), line("log", "b")))]
    assert [(each.file, each.line) for each in corefile.blocks[0].directives] == [
        ("/etc/dns/sub/b", 1),
        ("/etc/dns/c", 1),
        ("/etc/dns/sub/b", 1),
    ]


def test_patterns_are_read_in_order() -> None:
    """The matches of a pattern follow each other sorted by path."""
    content = {"c/2.conf": "log 2", "c/10.conf": "log 10", "c/1.conf": "log 1", "c/x.txt": "bad"}
    expected = [((".",), (line("log", "1"), line("log", "10"), line("log", "2")))]
    assert shapes(parsed(". {\n import c/*.conf\n}", content)) == expected
    assert shapes(parsed(". {\n import c/?.conf\n}", content)) == [((".",), (line("log", "1"), line("log", "2")))]


def test_matches_may_import_each_other() -> None:
    """A file that a pattern matches may import another match: that is no cycle."""
    content = {"c/a": "import b\n", "c/b": "log"}
    assert shapes(parsed(". {\n import c/*\n}", content)) == [((".",), (line("log"), line("log")))]


@pytest.mark.parametrize("pattern", ["custom/*.override", "custom/?", "/absolute/*"])
def test_pattern_without_match_warns(pattern: str) -> None:
    """A pattern that matches nothing is a warning in CoreDNS's words, wherever it stands."""
    message = f"No files matching import glob pattern: {pattern}"
    text = f"import {pattern}\n. {{\n import {pattern}\n log {{\n  import {pattern}\n }}\n}}\nimport {pattern}"
    corefile = parsed(text)
    assert shapes(corefile) == LOG
    assert corefile.warnings == (message,) * 4


IMPORT_ERRORS = [
    ("missing", ". {\n import x\n}", {}, "Corefile:2 - Error during parsing: File to import not found: x"),
    (
        "missing, in an imported file",
        "import a/b",
        {"a/b": "\nimport c"},
        "a/b:2 - Error during parsing: File to import not found: c",
    ),
    (
        "gone since it was listed",
        "import *",
        {"x": FileNotFoundError(2, "No such file or directory")},
        "Corefile:1 - Error during parsing: File to import not found: x",
    ),
    (
        "a directory",
        "import x",
        {"x": IsADirectoryError(21, "Is a directory", "x")},
        "Corefile:1 - Error during parsing: Could not import x: Is a directory",
    ),
    (
        "no permission",
        "import x",
        {"x": PermissionError(13, "Permission denied", "x")},
        "Corefile:1 - Error during parsing: Could not import x: Permission denied",
    ),
    (
        "an error without a number",
        "import x",
        {"x": OSError("disk on fire")},
        "Corefile:1 - Error during parsing: Could not import x: disk on fire",
    ),
    (
        "not UTF-8",
        "import x",
        {"x": b"a {\n log\n \xff\n}"},
        "x:3 - Error during parsing: octet 0xff is not UTF-8, expecting a text file",
    ),
    (
        "two stars",
        "import */*.conf",
        {},
        "Corefile:1 - Error during parsing: Glob pattern may only contain one wildcard (*), but has others: */*.conf",
    ),
    (
        "two question marks",
        "import a/??",
        {},
        "Corefile:1 - Error during parsing: Glob pattern may only contain one wildcard (*), but has others: a/??",
    ),
    (
        "a set of characters",
        "import /[a-z]",
        {},
        "Corefile:1 - Error during parsing: Glob pattern may only contain one wildcard (*), but has others: /[a-z]",
    ),
    (
        "itself",
        ". {\n import ./Corefile\n}",
        {"Corefile": ". {\n import Corefile\n}"},
        "Corefile:2 - Error during parsing: import of Corefile inside itself: Corefile -> Corefile",
    ),
    (
        "each other",
        "import a",
        {"a": "\nimport b", "b": "\n\nimport a"},
        "b:3 - Error during parsing: import of a inside itself: a -> b -> a",
    ),
    (
        "a pattern that matches its own file",
        "import c/*",
        {"c/a": "import *"},
        "c/a:1 - Error during parsing: import of c/a inside itself: c/a -> c/a",
    ),
    (
        "a mistake in the file",
        ". {\n import x\n}",
        {"x": "log\n\ncache\n{\n}"},
        "x:4 - Error during parsing: Unexpected '{', expecting it on the line of the plugin or property it belongs to",
    ),
    (
        "a file that ends early",
        "import x",
        {"x": ". {\n log"},
        "x:2 - Error during parsing: Unexpected EOF, expecting '}' for the '{' at x:1",
    ),
]


@pytest.mark.parametrize(
    ("text", "content", "message"), [row[1:] for row in IMPORT_ERRORS], ids=[row[0] for row in IMPORT_ERRORS]
)
def test_import_errors(text: str, content: dict[str, str | bytes | Exception], message: str) -> None:
    """What cannot be imported is an error that names the file and the line to mend."""
    assert failure(text, content) == message


def test_long_cycle() -> None:
    """A cycle over many sources is shown by its ends."""
    text = "".join(f"(s{n}) {{\n import s{(n + 1) % 100}\n}}\n" for n in range(100))
    message = "import of (s0) inside itself: (s0) -> (s1) -> (s2) -> (s3) -> ... -> (s97) -> (s98) -> (s99) -> (s0)"
    assert failure(f"{text}import s0").endswith(message)


def test_pattern_that_cannot_be_listed() -> None:
    """An error while a pattern is matched is reported at the import."""

    class Broken(Files):
        def glob(self, pattern: str) -> list[str]:
            raise ValueError("embedded null byte")

    source = Broken({})
    with pytest.raises(Exception, match=r"^Corefile:1 - .*: Failed to use import pattern a\*: embedded null byte$"):
        parse("import a*", read=source.read, glob=source.glob, environment={})


def test_stream_ends() -> None:
    """At the end there is nothing to see, and taking a token is an error at the last one."""
    source = files({"x": "\nb"})
    stream = TokenStream(tuple(tokenize("a\nimport x", "f")), "f", read=source.read, glob=source.glob, environment={})
    assert stream.take().text == "a"
    assert stream.statement() == stream.take()
    assert stream.peek() is None
    with pytest.raises(CorefileError) as raised:
        stream.take()
    assert str(raised.value) == "x:2 - Error during parsing: Unexpected EOF"


def test_snippet_cap() -> None:
    """Snippets that double each other end at the cap instead of filling memory."""
    text = "(s0) {\n log\n}\n" + "".join(f"(s{n}) {{\n import s{n - 1}\n import s{n - 1}\n}}\n" for n in range(1, 30))
    message = f"maximum snippet import depth ({MAX_SNIPPET_IMPORTS}) exceeded"
    assert failure(f"{text}. {{\n import s29\n}}").endswith(message)


def test_file_cap() -> None:
    """Files that multiply each other end at the cap."""
    content: dict[str, str] = {f"f{n}": f"import f{n - 1}\n" * 10 for n in range(1, 9)}
    content["f0"] = ""
    message = f"maximum file import depth ({MAX_FILE_IMPORTS}) exceeded"
    assert failure("import f8", content).endswith(message)


def test_one_pattern_is_one_import() -> None:
    """A pattern may match more files than the cap has imports: they are one import."""
    content = {f"c/{n:06}": "" for n in range(MAX_FILE_IMPORTS // 50)}
    source = files(content)
    parse("import c/*\n" * 51, read=source.read, glob=source.glob, environment={})
    assert len(source.reads) > MAX_FILE_IMPORTS
