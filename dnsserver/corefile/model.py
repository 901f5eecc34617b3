"""The frozen values that a parsed Corefile consists of, and the one error of this package; no I/O.

Nothing here knows a plugin: a directive is a name, arguments and properties, each with the place it was written at.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from dnsserver.corefile.zones import default_port


class CorefileError(Exception):
    """A Corefile that cannot be used, with the place to mend.

    Its text is CoreDNS's, `Corefile:12 - Error during parsing: MESSAGE`, behind `plugin/NAME: ` where a plugin
    found it. `line` is 0 where no line is to blame, as for a file that cannot be read.
    """

    def __init__(self, message: str, file: str, line: int = 0, *, plugin: str = "") -> None:
        super().__init__(message, file, line, plugin)
        self.message = message
        self.file = file
        self.line = line
        self.plugin = plugin

    def __str__(self) -> str:
        prefix = f"plugin/{self.plugin}: " if self.plugin else ""
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{prefix}{place} - Error during parsing: {self.message}"


@dataclass(frozen=True, slots=True)
class Position:
    """Where a word was written: in an imported file or a snippet, that is not where it took effect."""

    file: str
    line: int  # from 1


class _Statement:
    """What a directive and a property can both say about a mistake in them.

    The fields are declared by the dataclasses below; an instance of this class alone does not exist.
    """

    __slots__ = ()

    name: str
    args: tuple[str, ...]
    file: str
    line: int
    positions: tuple[Position, ...]

    @property
    def plugin(self) -> str:
        """The directive that this statement is or belongs to."""
        raise NotImplementedError

    def error(self, message: str, argument: int | None = None) -> CorefileError:
        """Return, for the caller to raise, an error at this statement, or at its argument of that index.

        The message says what was expected; file, line and plugin are added here. An argument can stand on a later
        line than its statement only when a quoted one before it spans lines.
        """
        at = Position(self.file, self.line)
        if argument is not None and argument < len(self.positions):
            at = self.positions[argument]
        return CorefileError(message, at.file, at.line, plugin=self.plugin)

    def argument_error(self, usage: str) -> CorefileError:
        """Return CoreDNS's error for too few or too many arguments: the last word of the line, and the right line."""
        last = self.args[-1] if self.args else self.name
        message = f"Wrong argument count or unexpected line ending after '{last}', expecting {usage}"
        return self.error(message, max(len(self.args) - 1, 0))


@dataclass(frozen=True, slots=True)
class Property(_Statement):
    """One statement inside a plugin's block: `ttl 30`, or one with a block of its own."""

    name: str
    args: tuple[str, ...]
    file: str
    line: int
    properties: tuple["Property", ...] = ()
    positions: tuple[Position, ...] = ()  # of each argument
    directive: str = ""  # the plugin whose block this is in, however deep

    @property
    def plugin(self) -> str:
        return self.directive

    def unknown(self, expected: str) -> CorefileError:
        """Return CoreDNS's error for a property that the plugin does not have, and what it has."""
        return self.error(f"unknown property '{self.name}', expecting {expected}")


@dataclass(frozen=True, slots=True)
class Directive(_Statement):
    """One plugin of a server block: `kubernetes cluster.local { ... }`.

    `hosts {}` with nothing inside and `hosts` are the same value, as they are to CoreDNS's plugins.
    """

    name: str
    args: tuple[str, ...]
    properties: tuple[Property, ...]
    file: str
    line: int
    positions: tuple[Position, ...] = ()  # of each argument

    @property
    def plugin(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Key:
    """One zone that a server block serves over one scheme and port; a network key became one of these a zone."""

    scheme: str
    zone: str  # absolute and lower case, in presentation format: `example.org.`
    port: int | None  # None: the scheme's own
    file: str
    line: int

    def listen_port(self, dns_port: int = 53) -> int:
        """Return the port to listen on; `dns_port` is the command line's, for plain DNS without a port."""
        return default_port(self.scheme, dns_port) if self.port is None else self.port


@dataclass(frozen=True, slots=True)
class ServerBlock:
    """The zones that share one chain of plugins, and the plugins in the order they were written."""

    keys: tuple[Key, ...]
    directives: tuple[Directive, ...]
    file: str
    line: int

    @property
    def zones(self) -> tuple[str, ...]:
        """Its zones in the order written, each once; what a plugin without zone arguments is for."""
        return tuple(dict.fromkeys(key.zone for key in self.keys))

    def find(self, name: str) -> Iterator[Directive]:
        """Yield the directives of one plugin; whether two are a mistake is for the plugin to say."""
        return (directive for directive in self.directives if directive.name == name)


@dataclass(frozen=True, slots=True)
class Corefile:
    """A whole configuration, imports and environment resolved.

    `warnings` are for the caller to log; their texts are CoreDNS's where it has one.
    """

    blocks: tuple[ServerBlock, ...]
    warnings: tuple[str, ...] = ()
