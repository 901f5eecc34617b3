"""Where manifests hold objects: lines stay right whatever is replaced, and files are united without copies."""

from collections.abc import Iterable

from dnsserver.objects import Kind
from dnsserver.sources.contents import Contents, unite
from dnsserver.sources.places import Places
from tests.build import vmi


def places(*found: tuple[str, int], namespace: str = "ns1") -> Places:
    """Return VMIs by name and line."""
    made = Places()
    for name, line in found:
        made.put((namespace, name), vmi(name, namespace=namespace), line)
    return made


def lines(made: Places, names: Iterable[str], namespace: str = "ns1") -> list[int]:
    """Return the lines of some objects."""
    return [made.line((namespace, name)) for name in names]


def test_lines() -> None:
    """An object that is replaced stands on its new line, and one that comes after a line was asked for has its own."""
    made = places(("a", 1), ("b", 2))
    assert lines(made, "ba") == [2, 1]
    made.put(("ns1", "a"), vmi("a"), 3)
    made.put(("ns1", "c"), vmi("c"), 4)
    made.put(("ns2", "a"), vmi("a", namespace="ns2"), 5)
    assert (lines(made, "abc"), lines(made, "a", "ns2"), len(made)) == ([3, 2, 4], [5], 4)
    made.settle()
    assert lines(made, "abc") == [3, 2, 4]


def test_comparing() -> None:
    """Keys are compared across namespaces."""
    first, second = places(("a", 1), ("b", 2)), places(("b", 1))
    other = places(("a", 1), namespace="ns2")
    assert (first.common(second), first.common(other)) == ({("ns1", "b")}, set())
    assert [second.within(first), first.within(second), other.within(first)] == [True, False, False]
    assert (("ns1", "a") in first, ("ns2", "a") in first, "a" in first) == (True, False, False)
    assert first.get(("ns3", "a")) is None


def test_uniting() -> None:
    """What one file alone says is not copied; of two files neither is changed, and the later one's lines count."""
    first, second = (
        Contents(objects={Kind.VMI: places(("a", 1), ("b", 2))}),
        Contents(objects={Kind.VMI: places(("b", 7))}),
    )
    assert unite({"one": first}).objects[Kind.VMI] is first.objects[Kind.VMI]
    whole = unite({"one": first, "two": second})
    assert lines(whole.objects[Kind.VMI], "ab") == [1, 7]
    assert [clash.lines for clash in whole.clashes] == [(2, 7)]
    assert (lines(first.objects[Kind.VMI], "ab"), len(second.objects[Kind.VMI])) == ([1, 2], 1)
