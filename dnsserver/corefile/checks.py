"""Checks over a whole parsed Corefile that need to know more than the grammar does; no I/O."""

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from dnsserver.corefile.model import Corefile, CorefileError, Key, ServerBlock


class _Listener(NamedTuple):
    """A zone at an address and port; the empty address is every address."""

    scheme: str
    zone: str
    port: int
    address: str

    def __str__(self) -> str:
        bound = f" on {self.address}" if self.address else ""
        return f"{self.scheme}://{self.zone}:{self.port}{bound}"


def check_directives(corefile: Corefile, known: Collection[str]) -> None:
    """Raise `CorefileError` at the first directive that is no known plugin."""
    for block in corefile.blocks:
        for directive in block.directives:
            if directive.name not in known:
                message = f"Unknown directive '{directive.name}'"
                raise CorefileError(message, directive.file, directive.line)


def check_duplicates(
    corefile: Corefile, addresses: Mapping[ServerBlock, Collection[str]] | None = None, *, dns_port: int = 53
) -> None:
    """Raise `CorefileError` where two keys would serve the same zone at the same address and port.

    `addresses` are those each block binds to, all spelled alike; a block that is absent or has none listens on
    every address, and that overlaps with any.
    """
    seen: dict[_Listener, Key] = {}
    overlapping: dict[_Listener, _Listener] = {}  # without its address: the last one seen
    for listener, key in _listeners(corefile, addresses or {}, dns_port):
        if listener in seen:
            other = seen[listener]
            message = f"cannot serve {listener} - it is already defined at {other.file}:{other.line}"
            raise CorefileError(message, key.file, key.line)
        anywhere = listener._replace(address="")
        overlap = anywhere if anywhere in seen else overlapping.get(listener)
        if overlap is not None:
            message = f"cannot serve {listener} - zone overlap listener capacity with {overlap}"
            raise CorefileError(message, key.file, key.line)
        seen[listener] = key
        overlapping[anywhere] = listener


def _listeners(
    corefile: Corefile, addresses: Mapping[ServerBlock, Collection[str]], dns_port: int
) -> Iterator[tuple[_Listener, Key]]:
    for block in corefile.blocks:
        bound = addresses.get(block) or ("",)
        for key in block.keys:
            for address in bound:
                yield _Listener(key.scheme, key.zone, key.listen_port(dns_port), address), key
