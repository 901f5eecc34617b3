"""The one shape of a rule, and the words of a Corefile that make one; no I/O."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import msgspec

from dnsserver.corefile import CorefileError, Directive, Property
from dnsserver.message import Query, Reply
from dnsserver.plugins.plugin import Request
from dnsserver.records import RRset

Ask = Callable[[Request, Query], Awaitable[Reply]]
ChangeRecords = Callable[[RRset], RRset]


class Reversal(Protocol):
    """What a rule that matched does to the reply."""

    async def apply(self, reply: Reply, request: Request, ask: Ask) -> Reply:
        """Return the reply as the client may see it; `request` is what the rest of the chain was asked."""
        ...


@dataclass(frozen=True, slots=True)
class Change:
    """What a rule that matched makes of a query, and what it does to the reply to it."""

    query: Query
    reversals: tuple[Reversal, ...] = ()  # applied last to first


Rule = Callable[[Request], Change | None]  # None where it does not match; raises `PluginError`


@dataclass(frozen=True, slots=True)
class ForRecords:
    """A reversal that changes one RRset at a time, in every section and in a zone transfer."""

    change: ChangeRecords

    async def apply(self, reply: Reply, request: Request, ask: Ask) -> Reply:
        del request, ask
        sections = [tuple(map(self._changed, one)) for one in (reply.answer, reply.authority, reply.additional)]
        stream = None if reply.stream is None else map(self._changed, reply.stream)
        return msgspec.structs.replace(
            reply, answer=sections[0], authority=sections[1], additional=sections[2], stream=stream
        )

    def _changed(self, rrset: RRset) -> RRset:
        return self.change(rrset) if rrset.rdatas else rrset  # one without records marks a pause in a transfer


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one rule, from one line or the lines of one block, each with the statement it stands in."""

    directive: Directive
    words: tuple[tuple[str, Directive | Property, int], ...]
    warn: Callable[[str], None]

    @classmethod
    def of(cls, directive: Directive, warn: Callable[[str], None]) -> "Words":
        """Return a directive's words; raises `CorefileError` for a block where the line has a rule already."""
        words = [(arg, directive, index) for index, arg in enumerate(directive.args)]
        if directive.properties and len(words) > 1:
            raise directive.properties[0].error("a rule on the line of 'rewrite' takes no block")
        block = (word for prop in directive.properties for word in _words(prop))
        return cls(directive, (*words, *block), warn)

    def __len__(self) -> int:
        return len(self.words)

    def __getitem__(self, index: int) -> str:
        return self.words[index][0]

    def behind(self, count: int) -> "Words":
        """Return the words without the first ones."""
        return replace(self, words=self.words[count:])

    def error(self, message: str, index: int | None = None) -> CorefileError:
        """Return an error at the word of that index, or at the directive."""
        if index is None or not -len(self.words) <= index < len(self.words):
            return self.directive.error(message)
        _, statement, argument = self.words[index]
        return statement.error(message, argument if argument >= 0 else None)


def _words(prop: Property) -> Iterator[tuple[str, Property, int]]:
    if prop.properties:
        raise prop.error(f"'{prop.name}' has no block of its own")
    yield prop.name, prop, -1
    yield from ((arg, prop, index) for index, arg in enumerate(prop.args))
