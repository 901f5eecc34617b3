"""The values and their errors."""

import pytest

from dnsserver.corefile import Corefile, CorefileError, Directive, Key, Position, Property, ServerBlock
from tests.corefile.sources import parsed

BLOCK = """\
.:1053 example.org tls://example.org {
    log
    hosts /etc/hosts "a
    b" c {
        ttl 60
        outer x {
            inner y
        }
    }
    log example.org
}
"""


def parsed_block() -> ServerBlock:
    """Return the block above."""
    (block,) = parsed(BLOCK).blocks
    return block


ERRORS = [
    (
        CorefileError("Unknown directive 'x'", "Corefile", 12),
        "Corefile:12 - Error during parsing: Unknown directive 'x'",
    ),
    (
        CorefileError("expecting a number", "/etc/coredns/Corefile", 3, plugin="cache"),
        "plugin/cache: /etc/coredns/Corefile:3 - Error during parsing: expecting a number",
    ),
    (CorefileError("cannot be read", "Corefile"), "Corefile - Error during parsing: cannot be read"),
]


@pytest.mark.parametrize(("error", "text"), ERRORS)
def test_error_text(error: CorefileError, text: str) -> None:
    """An error reads as CoreDNS's do."""
    assert str(error) == text


def test_error_parts() -> None:
    """An error's parts stay apart, for who wants to show them another way."""
    error = CorefileError("m", "f", 2, plugin="p")
    assert (error.message, error.file, error.line, error.plugin) == ("m", "f", 2, "p")


def test_places_of_arguments() -> None:
    """Every argument has its own place, also behind one that spans lines."""
    hosts = next(parsed_block().find("hosts"))
    assert hosts.args == ("/etc/hosts", "a\n    b", "c")
    assert [position.line for position in hosts.positions] == [3, 3, 4]
    assert (hosts.file, hosts.line) == ("Corefile", 3)


def test_statement_errors() -> None:
    """A directive's or property's error names file, line and plugin; an argument's the argument's line."""
    hosts = next(parsed_block().find("hosts"))
    ttl, outer = hosts.properties
    (inner,) = outer.properties
    prefix = "plugin/hosts: Corefile"
    suffix = "Error during parsing: expecting x"
    assert str(hosts.error("expecting x")) == f"{prefix}:3 - {suffix}"
    assert str(hosts.error("expecting x", 2)) == f"{prefix}:4 - {suffix}"
    assert str(hosts.error("expecting x", 3)) == f"{prefix}:3 - {suffix}"  # there is no such argument
    assert str(ttl.error("expecting x")) == f"{prefix}:5 - {suffix}"
    assert str(inner.error("expecting x")) == f"{prefix}:7 - {suffix}"
    suffix = "Error during parsing: unknown property 'inner', expecting ttl or x"
    assert str(inner.unknown("ttl or x")) == f"{prefix}:7 - {suffix}"


def test_argument_error() -> None:
    """Too few or too many arguments: CoreDNS's words, with the last word of the line, and what was expected."""
    hosts = next(parsed_block().find("hosts"))
    log = next(parsed_block().find("log"))
    usage = "x [Y]"
    message = "Error during parsing: Wrong argument count or unexpected line ending after"
    assert str(hosts.argument_error(usage)) == f"plugin/hosts: Corefile:4 - {message} 'c', expecting {usage}"
    assert str(log.argument_error(usage)) == f"plugin/log: Corefile:2 - {message} 'log', expecting {usage}"
    assert (
        str(hosts.properties[0].argument_error(usage))
        == f"plugin/hosts: Corefile:5 - {message} '60', expecting {usage}"
    )


def test_values_made_by_hand() -> None:
    """Positions are optional, for code that makes values without a text."""
    ttl = Property("ttl", ("60",), "f", 2, directive="hosts")
    hosts = Directive("hosts", ("x",), (ttl,), "f", 1)
    assert str(hosts.error("m", 0)) == "plugin/hosts: f:1 - Error during parsing: m"
    assert str(ttl.error("m", 0)) == "plugin/hosts: f:2 - Error during parsing: m"
    assert hosts == Directive("hosts", ("x",), (ttl,), "f", 1, ())
    assert Corefile((ServerBlock((), (hosts,), "f", 1),)).warnings == ()


def test_server_block() -> None:
    """A block lists its zones once and finds a plugin's directives in their order."""
    block = parsed_block()
    assert block.zones == (".", "example.org.")
    assert [log.args for log in block.find("log")] == [(), ("example.org",)]
    assert list(block.find("cache")) == []
    assert (block.file, block.line) == ("Corefile", 1)


def test_listen_port() -> None:
    """A key's own port wins, then the command line's for plain DNS, then the scheme's."""
    ports = [(key.listen_port(), key.listen_port(5300)) for key in parsed_block().keys]
    assert ports == [(1053, 1053), (53, 5300), (853, 853)]


def test_values_are_hashable() -> None:
    """Blocks can be keys of a mapping: the addresses a block binds to are."""
    block = parsed_block()
    assert {block: 1}[parsed_block()] == 1
    assert block.keys[0] == Key("dns", ".", 1053, "Corefile", 1)
    assert Position("f", 1) == Position("f", 1)
