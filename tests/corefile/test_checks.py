"""Checks over the whole Corefile."""

import pytest

from dnsserver.corefile import Corefile, CorefileError, ServerBlock, check_directives, check_duplicates
from tests.corefile.sources import parsed


def test_unknown_directive() -> None:
    """The first directive that is not known is reported at its place."""
    corefile = parsed(". {\n log\n}\na.org {\n errors\n\n x y\n z\n}")
    check_directives(corefile, {"log", "errors", "x", "z"})
    with pytest.raises(CorefileError) as raised:
        check_directives(corefile, ["log", "errors"])
    assert str(raised.value) == "Corefile:7 - Error during parsing: Unknown directive 'x'"


def test_unknown_directive_in_an_import() -> None:
    """The place is that of the imported file."""
    with pytest.raises(CorefileError) as raised:
        check_directives(parsed(". {\n import f\n}", {"f": "\nx"}), ())
    assert str(raised.value) == "f:2 - Error during parsing: Unknown directive 'x'"


def bound(corefile: Corefile) -> dict[ServerBlock, tuple[str, ...]]:
    """Return what the `bind` directives of each block say."""
    return {block: tuple(address for bind in block.find("bind") for address in bind.args) for block in corefile.blocks}


DISTINCT = [
    "a.org {\n}\nb.org {\n}",
    ".:53 {\n}\n.:54 {\n}",
    "dns://. {\n}\ntls://. {\n}\nhttps://. {\n}\ngrpc://. {\n}",
    ". {\n bind 127.0.0.1\n}\n. {\n bind 127.0.0.2\n}",
    ". {\n bind 127.0.0.1\n}\n.:54 {\n}",
    ". {\n bind 127.0.0.1\n}\na.org {\n}",
    "10.0.0.0/15 {\n}\n10.2.0.0/15 {\n}",
]


@pytest.mark.parametrize("text", DISTINCT)
def test_distinct(text: str) -> None:
    """Blocks that differ in zone, port, scheme or address may stand beside each other."""
    corefile = parsed(text)
    check_duplicates(corefile, bound(corefile))


DUPLICATE = [
    (". {\n}\n. {\n}", "Corefile:3", "dns://.:53 - it is already defined at Corefile:1"),
    (". . {\n}", "Corefile:1", "dns://.:53 - it is already defined at Corefile:1"),
    ("A.org {\n}\na.ORG. {\n}", "Corefile:3", "dns://a.org.:53 - it is already defined at Corefile:1"),
    (".:53 {\n}\n. {\n}", "Corefile:3", "dns://.:53 - it is already defined at Corefile:1"),
    ("tls://. {\n}\ntls://.:853 {\n}", "Corefile:3", "tls://.:853 - it is already defined at Corefile:1"),
    (
        "10.0.0.0/15 {\n}\n1.10.in-addr.arpa {\n}",
        "Corefile:3",
        "dns://1.10.in-addr.arpa.:53 - it is already defined at Corefile:1",
    ),
    (
        ". {\n bind 127.0.0.1 127.0.0.2\n}\n. {\n bind 127.0.0.2\n}",
        "Corefile:4",
        "dns://.:53 on 127.0.0.2 - it is already defined at Corefile:1",
    ),
    (
        ". {\n}\n. {\n bind 127.0.0.1\n}",
        "Corefile:3",
        "dns://.:53 on 127.0.0.1 - zone overlap listener capacity with dns://.:53",
    ),
    (
        ". {\n bind 127.0.0.1\n}\n. {\n bind 127.0.0.2\n}\n. {\n}",
        "Corefile:7",
        "dns://.:53 - zone overlap listener capacity with dns://.:53 on 127.0.0.2",
    ),
]


@pytest.mark.parametrize(("text", "place", "message"), DUPLICATE)
def test_duplicate(text: str, place: str, message: str) -> None:
    """The same zone at the same address and port twice is an error at the second."""
    corefile = parsed(text)
    with pytest.raises(CorefileError) as raised:
        check_duplicates(corefile, bound(corefile))
    assert str(raised.value) == f"{place} - Error during parsing: cannot serve {message}"


def test_default_port_counts() -> None:
    """The command line's port is the port of a key without one."""
    corefile = parsed(".:1053 {\n}\n. {\n}")
    check_duplicates(corefile)
    with pytest.raises(CorefileError, match=r"cannot serve dns://\.:1053 - it is already defined"):
        check_duplicates(corefile, dns_port=1053)


def test_blocks_from_one_snippet_are_equal_and_still_two() -> None:
    """A block imported twice is one value with one place, and a duplicate all the same."""
    with pytest.raises(CorefileError, match=r"cannot serve dns://\.:53 - it is already defined at Corefile:2"):
        check_duplicates(parsed("(s) {\n. {\n}\n}\nimport s\nimport s"))
