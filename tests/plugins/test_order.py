"""The plugins' order, and what becomes of each directive that CoreDNS has."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from dnsserver import corefile
from dnsserver.plugins import order, without_effect
from dnsserver.plugins.order import COREDNS, ORDER, OWN, STATES, Support, available, check
from dnsserver.plugins.plugin import Context


def test_order() -> None:
    """Each directive has one place; what wraps comes before what it wraps."""
    assert len(COREDNS) == 60
    assert len(ORDER) == len(set(ORDER)) == 60 + len(OWN)
    wrapping = ("prometheus", "errors", "log", "loadbalance", "cache", "hosts", "kubernetes", "file", "forward")
    assert [name for name in ORDER if name in wrapping] == list(wrapping)


def test_states() -> None:
    """Every directive is served, accepted or refused, and the last two say why; served is what has a module."""
    assert tuple(STATES) == ORDER
    by_support = {support: {name for name in ORDER if STATES[name].support is support} for support in Support}
    assert by_support[Support.WITHOUT_EFFECT] == set(without_effect.DIRECTIVES)
    assert {name for name in ORDER if find_spec(f"dnsserver.plugins.{name}")} == by_support[Support.SERVED]
    assert set(order._REFUSED) <= by_support[Support.REFUSED]
    for state in STATES.values():
        assert bool(state.reason) is (state.support is not Support.SERVED)


def test_available() -> None:
    """What a Corefile may have comes in chain order, and each can be imported."""
    names = list(available())
    assert names == sorted(names, key=ORDER.index)
    assert names == [name for name in ORDER if STATES[name].support is not Support.REFUSED]
    assert {"acl", "bind", "errors", "hosts", "kubernetes", "log", "pprof", "prometheus", "ready"} <= set(names)


def test_parse_is_lazy() -> None:
    """A plugin is imported when its directive is parsed."""
    (block,) = corefile.parse(". {\nany\n}").blocks
    (plugin,) = available()["any"](block.directives, Context(zones=(), folder=Path(), port=53))
    assert plugin.name == "any"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (". {\nerrors\npprof\nhosts\n}", ""),
        (". {\nerrors\nbogus\n}", "Corefile:3 - Error during parsing: Unknown directive 'bogus'"),
        (". {\ndnssec\nbogus\n}", "Corefile:3 - Error during parsing: Unknown directive 'bogus'"),
        (
            "a {\nerrors\n}\nb {\n\ndnssec {\nkey file x\n}\n}",
            "Corefile:6 - Error during parsing: plugin 'dnssec' of CoreDNS is not supported: answers cannot be signed",
        ),
    ],
)
def test_check(text: str, error: str) -> None:
    """What is refused is told from what nobody knows, with its place and the reason."""
    parsed = corefile.parse(text)
    if not error:
        check(parsed)
        return
    with pytest.raises(corefile.CorefileError) as caught:
        check(parsed)
    assert str(caught.value) == error


@pytest.mark.parametrize("name", [name for name in ORDER if STATES[name].support is Support.REFUSED])
def test_refused(name: str) -> None:
    """Every refusal names the plugin."""
    with pytest.raises(corefile.CorefileError, match=f"plugin '{name}' of CoreDNS is not supported: "):
        check(corefile.parse(f". {{\n{name}\n}}"))
