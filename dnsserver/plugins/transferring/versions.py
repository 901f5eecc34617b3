"""Where zones that can be transferred come from, and which version of one a secondary gets."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from dnsserver.names import Name
from dnsserver.plugins.plugin import leave_fast_lane
from dnsserver.plugins.transferring.content import ClusterContent, Content
from dnsserver.store.journal import Journal, Version
from dnsserver.zone import Zone


@runtime_checkable
class Transferable(Protocol):
    """A plugin with zones that can be transferred."""

    name: str  # the directive

    def transferable(self, name: Name) -> Zone | None:
        """Return the present version of the zone whose origin is `name`; None where it has no such zone."""
        ...


@runtime_checkable
class Followed(Transferable, Protocol):
    """One that says when its zones change."""

    @property
    def origins(self) -> tuple[Name, ...]:
        """The zones."""
        ...

    def follow(self, published: Callable[[], None]) -> Callable[[], None]:
        """Have `published` called whenever a zone may have changed; returns what ends that."""
        ...


@runtime_checkable
class Journaled(Followed, Protocol):
    """One that knows what its zones were like."""

    def journal(self, origin: Name) -> Journal | None:
        """Return a zone's journal, which is kept from then on; None where there is none now."""
        ...


@runtime_checkable
class Settling(Transferable, Protocol):
    """One whose zones are made when they are asked for."""

    async def settled(self, name: Name) -> Zone | None:
        """Return the zone, once no other content can get its serial any more."""
        ...


@runtime_checkable
class Whole(Transferable, Protocol):
    """One that has zones besides those of which CoreDNS's choice is transferred."""

    def is_whole(self, origin: Name) -> bool:
        """Say whether all of a zone is transferred."""
        ...


@dataclass(frozen=True, slots=True)
class Settled:
    """A version that no other content can share the serial of any more."""

    zone: Zone
    cluster: bool  # its content is chosen as CoreDNS does for `kubernetes`
    journal: Journal | None = None
    version: Version | None = None

    @property
    def content(self) -> Content:
        """What a transfer of it holds."""
        return self.of(self.zone)

    def of(self, zone: Zone) -> Content:
        """Return what a transfer of another version holds."""
        return ClusterContent(zone) if self.cluster else Content(zone)

    def since(self, serial: int) -> tuple[Zone, set[Name]] | None:
        """Return the version of a serial, and the names that differ since; None where that is not known."""
        if self.journal is None or self.version is None:
            return None
        return self.journal.since(serial, self.version)


async def settled(source: Transferable, origin: Name) -> Settled | None:
    """Return the newest version of a zone, once it is settled, which may take a second; None where there is none.

    The serial of a `file` is its author's: there is nothing to wait for.
    """
    cluster = source.name == "kubernetes" and not (isinstance(source, Whole) and source.is_whole(origin))
    journal = source.journal(origin) if isinstance(source, Journaled) else None
    if journal is not None:
        version = journal.newest
        if version is None:
            return None
        while (seconds := journal.settles(version, time.monotonic())) > 0:
            await leave_fast_lane()
            await asyncio.sleep(seconds)
        return Settled(version.zone, cluster, journal, version)
    zone = await source.settled(origin) if isinstance(source, Settling) else source.transferable(origin)
    return Settled(zone, cluster) if zone is not None and zone.serial else None
