"""What a soak has shown: the list of what is not as it should be; no I/O."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from benchmarks.soak.samples import Sample
from benchmarks.soak.tally import Tally

_FEWEST = 4  # samples: one a quarter
GROWTH = 0.05  # of resident memory, from the second quarter to the last one


@dataclass(frozen=True, slots=True)
class Soaked:
    """One run."""

    samples: Sequence[Sample]  # from the end of the start-up seconds on
    tally: Tally
    descriptors_before: int
    descriptors_after: int
    changes: int  # of objects
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
    excused = sum(_excused(early, late) for early, late in pairwise(samples))
    return samples[-1].stalls - samples[0].stalls, excused


def _excused(early: Sample, late: Sample) -> int:
    """Return how many stalls between two samples the machine may have made: none unless half of the lag is waits."""
    if late.waited - early.waited < (late.lag - early.lag) / 2:
        return 0
    return min(late.stalls - early.stalls, late.waits - early.waits)


def faults(run: Soaked) -> list[str]:
    """Return what is wrong, in words; nothing where all is well."""
    return [*_of_samples(run.samples), *_of_load(run)]


def _of_samples(samples: Sequence[Sample]) -> Iterator[str]:
    """Yield what is wrong with the server as seen from outside."""
    if len(samples) < _FEWEST:
        yield f"{len(samples)} samples are too few to judge by"
        return
    if (grown := growth(samples)) > GROWTH:
        yield f"resident memory grew by {grown:.1%} from the second quarter to the last one"
    total, excused = stalls(samples)
    if total > excused:
        yield f"{total} stalls of the event loop over 50 ms, {excused} of them while its core was not to be had"
    if unready := sum(not one.ready for one in samples):
        yield f"not ready in {unready} of {len(samples)} samples"
    if (dropped := samples[-1].drops - samples[0].drops) > 0:
        yield f"{dropped} queries dropped by the kernel at the server's socket"


def _of_load(run: Soaked) -> Iterator[str]:
    """Yield what is wrong with what clients saw, and with the process's end."""
    tally = run.tally
    if run.descriptors_after > run.descriptors_before:
        yield f"{run.descriptors_after} descriptors at the end, {run.descriptors_before} at the start"
    if lost := max(0, tally.lost.total() - tally.own_drops):
        yield f"{lost} queries lost: {dict(tally.lost)}, {tally.own_drops} dropped at our own sockets"
    if tally.wrong:
        yield f"{tally.wrong.total()} wrong answers: {dict(tally.wrong)}"
    if not run.changes:
        yield "nothing changed in the cluster"
    if run.tracebacks:
        yield f"{run.tracebacks} tracebacks in the log"
    if run.exit_code != 0:
        yield f"exit code {run.exit_code}"
