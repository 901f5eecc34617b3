"""Mutations of octets, whatever they mean, and the splicing of two inputs."""

from collections.abc import Callable, Sequence
from random import Random

Mutate = Callable[[bytes, Random, Sequence[bytes]], bytes]  # an input, chance, and other inputs to take pieces of

INTERESTING = (0, 1, 2, 0x0C, 0x20, 0x22, 0x2A, 0x2E, 0x3F, 0x40, 0x41, 0x5C, 0x7F, 0x80, 0xC0, 0xFE, 0xFF)
_MAX_RUN = 64  # octets that one mutation moves, doubles or takes away


def mutate_octets(data: bytes, chance: Random, others: Sequence[bytes]) -> bytes:
    """Return the octets with one to four changes."""
    out = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4))):
        chance.choice(_CHANGES)(out, chance, others)
    return bytes(out)


def splice(data: bytes, chance: Random, others: Sequence[bytes]) -> bytes:
    """Return the beginning of one input and the end of another."""
    other = chance.choice(others) if others else data
    return data[: chance.randrange(len(data) + 1)] + other[chance.randrange(len(other) + 1) :]


def _place(out: bytearray, chance: Random) -> int:
    return chance.randrange(len(out) + 1)


def _flip(out: bytearray, chance: Random, others: Sequence[bytes]) -> None:
    if out:
        out[chance.randrange(len(out))] ^= 1 << chance.randrange(8)


def _set(out: bytearray, chance: Random, others: Sequence[bytes]) -> None:
    if out:
        out[chance.randrange(len(out))] = chance.choice(INTERESTING)


def _insert(out: bytearray, chance: Random, others: Sequence[bytes]) -> None:
    at = _place(out, chance)
    out[at:at] = bytes((chance.choice(INTERESTING),)) * chance.choice((1, 1, 2, 16))


def _remove(out: bytearray, chance: Random, others: Sequence[bytes]) -> None:
    at = _place(out, chance)
    del out[at : at + chance.randint(1, _MAX_RUN)]


def _double(out: bytearray, chance: Random, others: Sequence[bytes]) -> None:
    at = _place(out, chance)
    run = out[at : at + chance.randint(1, _MAX_RUN)]
    to = _place(out, chance)
    out[to:to] = run * chance.choice((1, 1, 1, 8))


def _take(out: bytearray, chance: Random, others: Sequence[bytes]) -> None:
    if others:
        other = chance.choice(others)
        at, to = chance.randrange(len(other) + 1), _place(out, chance)
        out[to:to] = other[at : at + chance.randint(1, _MAX_RUN)]


def _cut(out: bytearray, chance: Random, others: Sequence[bytes]) -> None:
    del out[_place(out, chance) :]


_CHANGES = (_flip, _flip, _set, _set, _insert, _remove, _double, _take, _cut)
