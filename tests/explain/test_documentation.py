"""What docs/explain.md shows is what the command prints."""

import re
from pathlib import Path

import pytest

from dnsserver.cli import main
from dnsserver.derive.interfaces import InterfaceRule
from dnsserver.derive.vmi import Rule
from dnsserver.explain.values import Check, rule_id

ROOT = Path(__file__).parent.parent.parent
TEXT = (ROOT / "docs" / "explain.md").read_text()
SHOWN = re.findall(r"^```console\n\$ dnsserver (explain [^\n]*)\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


def test_examples_are_there() -> None:
    """An empty list would make the test below pass."""
    assert len(SHOWN) >= 6


@pytest.mark.parametrize(("command", "shown"), SHOWN, ids=[command for command, _ in SHOWN])
def test_example(command: str, shown: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Each example is printed as it is shown, but for the serial, which is the time."""
    monkeypatch.chdir(ROOT)
    assert main(command.split()) in (0, 1)
    assert _without_serials(capsys.readouterr().out) == _without_serials(shown)


def _without_serials(text: str) -> str:
    """Return text without the time in it."""
    return re.sub(r'(serial"?:? )\d+', r"\1N", text)


def test_rules() -> None:
    """Every rule has its row."""
    for rule in (*Check, *Rule, *InterfaceRule):
        assert f"| `{rule_id(rule)}`" in TEXT
        assert f" | {rule.value} |" in TEXT
