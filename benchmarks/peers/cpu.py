"""What a server and its children have used of a processor: the sum to a nanosecond, its parts by the clock's ticks."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Cpu:
    """Time used, of one moment or between two."""

    seconds: float  # as the scheduler counts it
    user: int  # ticks, hundredths of a second nearly everywhere
    system: int  # ticks

    def __sub__(self, other: "Cpu") -> "Cpu":
        return Cpu(self.seconds - other.seconds, self.user - other.user, self.system - other.system)

    @property
    def user_share(self) -> float:
        """The part of the time that was not the kernel's; it is sampled, so it wants a hundred ticks to mean much."""
        return self.user / max(self.user + self.system, 1)


def used(pid: int) -> Cpu:
    """Return what a process and its descendants that still run have used, with all their threads."""
    seconds, user, system = 0.0, 0, 0
    for one in _family(pid):
        with suppress(OSError):  # it ended just now
            fields = _stat(one)
            seconds += time.clock_gettime(_clock(one))
            user += int(fields[11])
            system += int(fields[12])
    return Cpu(seconds, user, system)


def _clock(pid: int) -> int:
    """Return the clock of another process's CPU time, as clock_getcpuclockid(3) makes it."""
    return (~pid << 3) | 2


def _stat(pid: int) -> list[str]:
    """Return the fields of proc(5)'s `stat` from the state on; a command may have blanks and parentheses in it."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _family(pid: int) -> Iterator[int]:
    """Yield a process and its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                children.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
    waiting = [pid]
    while waiting:
        yield (one := waiting.pop())
        waiting += children.get(one, ())


def cores() -> tuple[int, int]:
    """Return the server's core and the client's, the same one where there is no second."""
    there = sorted(os.sched_getaffinity(0))
    return there[0], there[-1]


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Keep the calling thread, and every process it starts in the block, on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
