"""When the oldest datagrams are dropped: an overload, never a burst or a stall."""

import pytest

from dnsserver.transports.backlog import MAX_AGE, STALL, Backlog

DAY = 86400.0
START = 1e9  # the wall clock when the monotonic one is 0


def turns(backlog: Backlog, *times: float, step: float = 0.0) -> list[bool]:
    """Begin a turn at each of these times, without ever finding the socket empty."""
    return [backlog.turn(time, START + time + step) for time in times]


def test_an_overload_drops_once_it_has_lasted() -> None:
    """Turn after turn that leaves something; the end of it is the end of dropping."""
    backlog = Backlog()
    times = [MAX_AGE * part for part in (0.0, 0.25, 0.5, 0.75, 0.9, 1.1, 1.2)]
    assert turns(backlog, *times) == [False] * 5 + [True] * 2
    backlog.emptied()
    assert not any(turns(backlog, 0.2, 0.21))


@pytest.mark.parametrize("pause", [0.2, 1.0, 60.0])
def test_a_stall_drops_nothing(pause: float) -> None:
    """However long, whether it comes on an empty socket or between two turns at a full one."""
    backlog = Backlog()
    turns(backlog, 0.0)
    backlog.emptied()
    assert not any(turns(backlog, pause, pause + 0.01, pause + 0.02))
    assert not any(turns(backlog, 2 * pause + 0.02, 2 * pause + 0.03))


def test_slow_turns_are_no_stall() -> None:
    """Where every turn takes long, a few of them are an overload."""
    assert turns(Backlog(), *(n * 2 * STALL for n in range(5)))[-1]


@pytest.mark.parametrize("step", [-DAY, -1.0, 1.0, DAY])
def test_a_clock_that_is_set_begins_anew(step: float) -> None:
    """What the kernel noted by the clock as it was cannot be compared; it can once it is too old by any clock."""
    backlog = Backlog()
    assert turns(backlog, *(n * 0.01 for n in range(20)))[-1]
    after = turns(backlog, *(0.2 + n * 0.01 for n in range(18)), step=step)
    assert not any(after[:15])
    assert after[-1]


def test_a_clock_that_is_slewed_changes_nothing() -> None:
    """The monotonic clock is slewed with it; what is left is less than a step."""
    backlog = Backlog()
    found = [backlog.turn(n * 0.01, START + n * 0.01 * 1.0005) for n in range(100)]
    assert all(found[16:])
