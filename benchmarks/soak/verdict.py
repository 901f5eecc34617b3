"""What a soak has shown: the list of what is not as it should be; no I/O."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.soak.samples import Sample
from benchmarks.soak.tally import Tally

GROWTH = 0.05  # of resident memory, from the second quarter to the last one


@dataclass(frozen=True, slots=True)
class Soaked:
    """One run."""

    samples: Sequence[Sample]  # from the end of the start-up seconds on
    tally: Tally
    descriptors_before: int
    descriptors_after: int
    exit_code: int | None
    tracebacks: int  # in the server's log


def growth(samples: Sequence[Sample]) -> float:
    """Return by how much the median of resident memory in the last quarter is above that in the second.

    Medians, for a watch makes memory rise until it ends; not the first quarter, in which caches and arenas fill.
    """
    quarter = max(len(samples) // 4, 1)
    early = statistics.median(one.resident for one in samples[quarter : 2 * quarter] or samples)
    late = statistics.median(one.resident for one in samples[-quarter:])
    return late / early - 1


def stalls(samples: Sequence[Sample]) -> tuple[int, int]:
    """Return how often the event loop stood still, and for how many of these the machine may be the reason.

    Each wait for the core excuses no more than one stall, of the same few seconds.
    """
    pairs = list(zip(samples, samples[1:], strict=False))
    excused = sum(min(late.stalls - early.stalls, late.waits - early.waits) for early, late in pairs)
    return samples[-1].stalls - samples[0].stalls, excused


def faults(run: Soaked) -> list[str]:
    """Return what is wrong, in words; nothing where all is well."""
    found = []
    samples, tally = run.samples, run.tally
    if (grown := growth(samples)) > GROWTH:
        found.append(f"resident memory grew by {grown:.1%} from the second quarter to the last one")
    if run.descriptors_after > run.descriptors_before:
        found.append(f"{run.descriptors_after} descriptors at the end, {run.descriptors_before} at the start")
    if lost := max(0, tally.lost.total() - tally.own_drops):
        found.append(f"{lost} queries lost: {dict(tally.lost)}, {tally.own_drops} dropped at our own sockets")
    if tally.wrong:
        found.append(f"{tally.wrong.total()} wrong answers: {dict(tally.wrong)}")
    total, excused = stalls(samples)
    if total > excused:
        found.append(f"{total} stalls of the event loop over 50 ms, {excused} of them while its core was not to be had")
    if unready := sum(not one.ready for one in samples):
        found.append(f"not ready in {unready} of {len(samples)} samples")
    if dropped := samples[-1].drops - samples[0].drops:
        found.append(f"{dropped} queries dropped by the kernel at the server's socket")
    if run.tracebacks:
        found.append(f"{run.tracebacks} tracebacks in the log")
    if run.exit_code != 0:
        found.append(f"exit code {run.exit_code}")
    return found
