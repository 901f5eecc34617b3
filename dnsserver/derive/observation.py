"""What has to be remembered about a VMI because its present state alone does not say it; no I/O, time is an argument.

Two things: since when a live migration has been handing over (the name outlives Ready=False for a bounded time), and
the last good addresses of a Ready VMI whose guest agent reports none for the moment (kubevirt#12698).
"""

from collections.abc import Iterator

import msgspec

from dnsserver.objects import VirtualMachineInstance


class Timing(msgspec.Struct, frozen=True, gc=False):
    """How long what is remembered counts; seconds."""

    migration_grace: float = 60.0
    address_hold: float = 60.0


class Held(msgspec.Struct, frozen=True, gc=False):
    """The last good addresses of one family, and until when they count."""

    addresses: tuple[bytes, ...]
    until: float
    interface: str = ""  # the network of the interface that had them, "" for the primary one


class Observation(msgspec.Struct, frozen=True, gc=False):
    """What is remembered of one VMI; times as the caller's clock counts them, in seconds."""

    grace_until: float | None = None  # None: no hand-over is under way
    held: tuple[Held, ...] = ()

    def in_grace(self, now: float) -> bool:
        """Say whether Ready=False is to be overlooked."""
        return self.grace_until is not None and now < self.grace_until

    def held_of(self, interface: str = "") -> tuple[Held, ...]:
        """Return what is held of an interface, "" for the primary one."""
        return tuple(held for held in self.held if held.interface == interface)

    def held_addresses(self, now: float, interface: str = "") -> tuple[bytes, ...]:
        """Return the addresses of an interface that still count."""
        return tuple(address for held in self.held_of(interface) if now < held.until for address in held.addresses)

    def holds(self, now: float) -> bool:
        """Say whether addresses of any interface still count."""
        return any(now < held.until for held in self.held)

    def deadlines(self) -> tuple[float, ...]:
        """Return the times at which the answer may change by itself."""
        grace = () if self.grace_until is None else (self.grace_until,)
        return (*grace, *(held.until for held in self.held))


NOTHING = Observation()


def observe(
    previous: VirtualMachineInstance | None,
    remembered: Observation,
    vmi: VirtualMachineInstance,
    *,
    timing: Timing,
    now: float,
) -> Observation:
    """Return what to remember once `vmi` has taken the place of `previous`."""
    if previous is not None and previous.packed_uid != vmi.packed_uid:
        previous, remembered = None, NOTHING
    return Observation(_grace(previous, remembered, vmi, timing, now), _held(previous, remembered, vmi, timing, now))


def _grace(
    previous: VirtualMachineInstance | None,
    remembered: Observation,
    vmi: VirtualMachineInstance,
    timing: Timing,
    now: float,
) -> float | None:
    """Return until when the hand-over excuses Ready=False.

    It runs from the first sight of the hand-over, by the local clock: the API server's may differ. A VMI that was not
    Ready before has nothing to lose and gets no grace.
    """
    if not vmi.handing_over:
        return None
    if previous is None:
        return now + timing.migration_grace
    if previous.handing_over:
        return remembered.grace_until
    return now + timing.migration_grace if previous.ready.status or vmi.ready.status else None


def _held(
    previous: VirtualMachineInstance | None,
    remembered: Observation,
    vmi: VirtualMachineInstance,
    timing: Timing,
    now: float,
) -> tuple[Held, ...]:
    """Return the addresses to hold: of each family that has just vanished, or is still away.

    Only while the VMI stays Ready on its node: anything else that changes is a better explanation than flapping.
    """
    if previous is None or not (vmi.ready.status and previous.ready.status and vmi.node == previous.node):
        return ()
    return tuple(
        one
        for interface, had, has in _reports(previous, vmi)
        for one in _held_of(interface, had, has, remembered, timing, now)
    )


def _reports(
    previous: VirtualMachineInstance, vmi: VirtualMachineInstance
) -> Iterator[tuple[str, tuple[bytes, ...], tuple[bytes, ...]]]:
    """Yield each interface that the VMI has, "" for the primary one, with what it reported and what it reports."""
    yield (
        "",
        previous.primary.addresses if previous.primary else (),
        vmi.primary.addresses if vmi.primary else (),
    )
    if vmi.further:
        before = {one.network: one.addresses for one in previous.further}
        yield from ((one.network, before.get(one.network, ()), one.addresses) for one in vmi.further)


def _held_of(
    interface: str,
    had: tuple[bytes, ...],
    reported: tuple[bytes, ...],
    remembered: Observation,
    timing: Timing,
    now: float,
) -> list[Held]:
    """Return the addresses of one interface to hold."""
    has = {len(address) for address in reported}
    held = [
        one
        for one in remembered.held
        if one.interface == interface and len(one.addresses[0]) not in has and now < one.until
    ]
    away = {len(one.addresses[0]) for one in held}
    for size in (4, 16):
        lost = tuple(address for address in had if len(address) == size)
        if lost and size not in has and size not in away:
            held.append(Held(lost, now + timing.address_hold, interface))
    return held
