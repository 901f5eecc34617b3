"""`docs/compatibility.md` says what is: every directive's state, every refusal's words, every departure's test."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from dnsserver.corefile import CorefileError, parse
from dnsserver.plugins.order import COREDNS, STATES, Support
from dnsserver.setup import set_up

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "compatibility.md").read_text()
WORDS = {
    "same": Support.SERVED,
    "same but for": Support.SERVED,
    "without effect": Support.WITHOUT_EFFECT,
    "refused": Support.REFUSED,
}


def rows(section: str) -> list[list[str]]:
    """Return the cells of a section's table, without its head."""
    text = PAGE.split(f"## {section}\n", 1)[1].split("\n## ", 1)[0]
    table = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table[2:]]


DIRECTIVES = {cells[0].strip("`"): cells[1:] for cells in rows("Directives")}


def test_every_directive_has_one_row() -> None:
    """In CoreDNS's order, none twice."""
    assert [cells[0].strip("`") for cells in rows("Directives")] == list(COREDNS)


@pytest.mark.parametrize("name", COREDNS)
def test_state(name: str) -> None:
    """The page and the server agree on what becomes of a directive, and why."""
    word, reason = DIRECTIVES[name]
    state = STATES[name]
    assert WORDS[word] is state.support
    assert (word == "same") == (not reason)
    if state.support is not Support.SERVED:
        assert reason == state.reason


@pytest.mark.parametrize("name", [name for name in COREDNS if STATES[name].support is Support.REFUSED])
def test_refusal(name: str) -> None:
    """The error says where, which directive, and the page's reason."""
    with pytest.raises(CorefileError) as caught:
        set_up(parse(f".:53 {{\n    whoami\n    {name}\n}}\n"), folder=ROOT, port=53)
    expected = f"Corefile:3 - Error during parsing: plugin '{name}' of CoreDNS is not supported: {DIRECTIVES[name][1]}"
    assert str(caught.value) == expected


@pytest.mark.parametrize("scheme", ["quic", "grpc", "https", "https3"])
def test_schemes(scheme: str) -> None:
    """Listeners that do not exist are refused with file and line."""
    assert f"`{scheme}://`" in PAGE
    with pytest.raises(CorefileError, match=r"Corefile:1 - .*scheme"):
        set_up(parse(f"{scheme}://example.org {{\n    whoami\n}}\n"), folder=ROOT, port=53)


@cache
def _names_in(path: str) -> frozenset[str]:
    """Return the names of the tests in a file."""
    tree = ast.parse((ROOT / path).read_text())
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(node.name for node in functions if node.name.startswith("test_"))


@pytest.mark.parametrize("cells", rows("Departures"), ids=lambda cells: cells[0][:40])
def test_departure_is_held(cells: list[str]) -> None:
    """Each departure names a test that exists."""
    path, _, name = cells[2].strip("`").partition("::")
    assert _names_in(path)
    assert not name or name in _names_in(path)
