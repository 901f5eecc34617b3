"""The fingerprint that `reload` compares."""

import re

import pytest

from dnsserver.corefile import fingerprint
from tests.corefile.sources import parsed

BASE = ". a.org:1053 {\n log x y\n cache 30 {\n  success 5\n }\n}\nb.org {\n}"

SAME = [
    (
        "comments and white space",
        "# c\n\n.   a.org:1053 # c\n{\n\tlog x  y#z\n\n\n cache 30 {\nsuccess 5\n}\n}\n\n b.org { }",
    ),
    ("quotes", '"." "a.org:1053" {\n "log" "x" "y"\n cache "30" {\n  success "5"\n }\n}\nb.org {\n}'),
    ("the spelling of zones", "dns://. A.ORG.:1053 {\n log x y\n cache 30 {\n  success 5\n }\n}\nb.org {\n}"),
    ("snippets", "(s) {\n log x y\n}\n" + BASE.replace("log x y", "import s")),
    ("CR LF and a byte order mark", "\ufeff" + BASE.replace("\n", "\r\n")),
]

CHANGED = [
    ("a zone", BASE.replace("b.org", "c.org")),
    ("a port", BASE.replace("1053", "1054")),
    ("a scheme", BASE.replace("b.org", "tls://b.org")),
    ("an explicit port", BASE.replace("b.org", "b.org:53")),
    ("a directive", BASE.replace("log", "errors")),
    ("an argument", BASE.replace("log x y", "log x z")),
    ("where arguments end", BASE.replace("log x y", 'log "x y"')),
    ("their order", BASE.replace("log x y", "log y x")),
    ("an empty argument", BASE.replace("log x y", 'log x y ""')),
    ("a property", BASE.replace("success 5", "success 6")),
    ("a property's depth", BASE.replace("success 5", "success {\n 5\n }")),
    ("one directive less", BASE.replace("log x y", "")),
    ("one block less", BASE.replace("b.org {\n}", "")),
]


def test_form() -> None:
    """A fingerprint is SHA-512 in hexadecimal, and the same each time."""
    assert re.fullmatch("[0-9a-f]{128}", fingerprint(parsed(BASE)))
    assert fingerprint(parsed("")) == fingerprint(parsed("# nothing"))


@pytest.mark.parametrize("text", [row[1] for row in SAME], ids=[row[0] for row in SAME])
def test_same(text: str) -> None:
    """What means the same has the same fingerprint."""
    assert fingerprint(parsed(text)) == fingerprint(parsed(BASE))


@pytest.mark.parametrize("text", [row[1] for row in CHANGED], ids=[row[0] for row in CHANGED])
def test_changed(text: str) -> None:
    """What means something else has another fingerprint."""
    assert fingerprint(parsed(text)) != fingerprint(parsed(BASE))


def test_imports_and_environment_count() -> None:
    """A change in an imported file or in the environment is a change, a moved file is not."""
    text = ". {\n import {$FILE}\n log {$V}\n}"
    content = {"f": "ttl 5", "g": "ttl 6", "h": "# moved\nttl 5"}
    prints = {file: fingerprint(parsed(text, content, {"FILE": file, "V": "1"})) for file in content}
    assert prints["f"] == prints["h"] != prints["g"]
    assert prints["f"] != fingerprint(parsed(text, content, {"FILE": "f", "V": "2"}))


def test_warnings_do_not_count() -> None:
    """A warning is no configuration."""
    assert fingerprint(parsed(BASE + "\nimport x/*")) == fingerprint(parsed(BASE))


def test_octets_of_the_environment() -> None:
    """An environment that is not UTF-8 still has a fingerprint."""
    assert fingerprint(parsed(".\nlog {$V}", environment={"V": "\udcff"}))
