"""docs/configuration.md against the parser: every option is documented, and what is documented is an option."""

import re
from pathlib import Path

import pytest

from dnsserver.corefile import CorefileError, parse
from dnsserver.plugins.order import STATES, Support
from dnsserver.setup import set_up

TEXT = (Path(__file__).parent.parent / "docs" / "configuration.md").read_text()
SERVED = sorted(name for name, state in STATES.items() if state.support is Support.SERVED)
ARGUMENTS = ("", " .", " . 127.0.0.1", " 10", " ANY ANY", " a b")  # one of them is right for each directive
EXPECTING = re.compile(r"unknown property 'nonsense', expecting (.+)$")
# what other directives say, whose blocks hold something else than properties
OTHERS = {
    "acl": {"allow", "block", "filter", "drop"},
    "hosts": {"ADDRESS", "ttl", "no_reverse", "reload", "fallthrough", "fallthrough_unsupported"},
    "loadbalance": {"reload", "prefer"},  # one or both, by its policy
    "reload": set[str](),
    "rewrite": set[str](),
}
SILENT = {"upstream"}  # CoreDNS's option of old Corefiles, which had no effect there either


def accepted(name: str, folder: Path) -> set[str]:
    """Return the properties that a directive takes, by what it says of one that it does not."""
    if name in OTHERS:
        return OTHERS[name]
    for arguments in ARGUMENTS:
        corefile = f". {{\n {name}{arguments} {{\n  nonsense\n }}\n}}\n"
        try:
            set_up(parse(corefile), folder=folder, port=0)
        except CorefileError as error:
            if found := EXPECTING.search(str(error)):
                return set() if found[1] == "no block" else set(found[1].split(" or ")) - SILENT
    raise AssertionError(f"{name} never says what it expects")


def documented(name: str) -> set[str]:
    """Return the properties of a directive by its code block, or else by its row of a table."""
    if block := re.search(rf"^```\n{name}\b[^\n]*\{{\n(.*?)^\}}\n```", TEXT, re.MULTILINE | re.DOTALL):
        return {words for line in block[1].splitlines() for words in line.split()[0].split("|")}
    rows = re.findall(rf"^\| `{name}(?: [^`]*)?`", TEXT, re.MULTILINE)
    inner = re.search(r"\{ (.*) \}", rows[0]) if rows else None
    if inner is None:
        return set()
    return {words for option in inner[1].split("; ") for words in option.split()[0].split("|")}


@pytest.mark.parametrize("name", SERVED)
def test_every_directive_is_documented(name: str) -> None:
    assert re.search(rf"^(```\n|\| `){name}\b", TEXT, re.MULTILINE)


@pytest.mark.parametrize("name", SERVED)
def test_options_are_those_of_the_parser(name: str, tmp_path: Path) -> None:
    taken = accepted(name, tmp_path)
    if name == "cookie":  # its block may also be two words of the directive itself
        taken &= {"secret"}
    assert documented(name) == taken
