"""The plugins' order, and finding the ones that exist."""

from importlib.util import find_spec

from dnsserver.plugins.order import ORDER, available


def test_order() -> None:
    """Each directive has one place; what wraps comes before what it wraps."""
    assert len(ORDER) == len(set(ORDER)) == 60
    wrapping = ("prometheus", "errors", "log", "loadbalance", "cache", "hosts", "kubernetes", "file", "forward")
    assert [name for name in ORDER if name in wrapping] == list(wrapping)


def test_available() -> None:
    """What is offered has a module, and comes in chain order."""
    names = list(available())
    assert names == sorted(names, key=ORDER.index)
    assert {"bind", "errors", "health", "kubernetes", "loadbalance", "log", "prometheus", "ready"} <= set(names)
    assert [name for name in names if find_spec(f"dnsserver.plugins.{name}") is None] == []
