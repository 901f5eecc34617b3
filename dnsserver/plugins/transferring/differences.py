"""How one version of a zone becomes the next: the content of an IXFR (RFC 1995, section 4); no I/O.

Differences are condensed (RFC 1995, section 5): a name that has changed often has its first records and its last.
"""

import heapq
from collections.abc import Generator, Iterable, Iterator
from itertools import chain

from dnsserver.names import Name, order_key
from dnsserver.plugins.transferring.content import PAUSE, RUN, Content, below
from dnsserver.records import RRset

_STEP = 50  # names that are looked at in one go: about a millisecond, but for Services of very many endpoints


def affected(
    old: Content, new: Content, changed: Iterable[Name], most: int
) -> Generator[None, None, Iterator[Name] | None]:
    """Return the names, in order, at which two contents may differ; None where they are more than `most`.

    `changed` are those whose records in the zones may. Yields after each small step.
    """
    names = {*changed, old.zone.origin, *(one.owner for one in (*old.glue, *new.glue))}
    if len(names) > most:
        return None
    keys = []
    for count, name in enumerate(tuple(names), 1):
        keys.append((order_key(name), name))
        if old.gate(name) != new.gate(name):
            for one in chain(below(old.zone, name), below(new.zone, name)):
                if one is None:
                    yield
                elif one not in names:
                    names.add(one)
                    keys.append((order_key(one), one))
                if len(names) > most:
                    return None
        if not count % _STEP:
            yield
    runs = []
    while run := sorted(keys[-RUN:]):
        del keys[-RUN:]
        runs.append(run)
        yield
    return (name for _, name in heapq.merge(*runs))


def differences(old: Content, new: Content, names: Iterable[Name]) -> Iterator[RRset]:
    """Yield an IXFR's answer: new SOA; old SOA, what is gone; new SOA, what has come; new SOA.

    RRsets without records are among them, where finding the next one takes long.
    """
    yield new.zone.soa
    yield old.zone.soa
    come: list[RRset] = []
    for count, name in enumerate(names):
        if not count % _STEP:
            yield PAUSE
        for before, after in _pairs(old.at(name), new.at(name)):
            yield from before
            come += after
    yield new.zone.soa
    yield from come
    yield new.zone.soa


def _pairs(before: tuple[RRset, ...], after: tuple[RRset, ...]) -> Iterator[tuple[list[RRset], list[RRset]]]:
    """Yield, for each type of a name, what is only in the first and what is only in the second.

    There is one RRset of a type: signatures, which are a set for each type that they cover, are in no zone here.
    """
    sets = {one.rrtype: one for one in after}
    for one in before:
        other = sets.pop(one.rrtype, None)
        if other is None:
            yield [one], []
        elif other != one:
            yield _without(one, other), _without(other, one)
    for other in sets.values():
        yield [], [other]


def _without(one: RRset, other: RRset) -> list[RRset]:
    """Return the records that another RRset of that name and type does not have; with another TTL it has none."""
    if one.ttl != other.ttl:
        return [one]
    known = frozenset(other.rdatas)
    rdatas = tuple(rdata for rdata in one.rdatas if rdata not in known)
    return [RRset(one.owner, one.rrtype, one.ttl, rdatas)] if rdatas else []
