"""The loop: mutate, check, keep what reaches new lines, save and shrink what fails."""

import hashlib
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import FrameType

from tests.fuzz.targets import CORPUS, TARGETS, Target
from tests.fuzz.work import Feature, tracing

HANG = 20.0  # seconds that no input may take, on a loaded machine and under a tracer
_ATTEMPTS = 3000  # to make a failing input smaller
_FRESH = 0.3  # how often the parent is one of the inputs that were found last
_HERE = str(Path(__file__).parent)


class HangError(BaseException):
    """An input took too long. Not an `Exception`, so that nothing that is checked takes it for its own."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What an input broke."""

    signature: str  # the same for inputs that break the same thing
    text: str  # the traceback


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Raise `HangError` in what runs inside once it has taken too long; for the main thread only."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise HangError(f"longer than {seconds:g} seconds")

    handler = signal.signal(signal.SIGALRM, ring)
    began = time.monotonic()
    left, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if left:  # somebody else's alarm, such as that of pytest-timeout
            signal.setitimer(signal.ITIMER_REAL, max(0.001, left - (time.monotonic() - began)))


def failure_of(check: Callable[[bytes], None], data: bytes) -> Failure | None:
    """Return what an input breaks, None where all holds."""
    try:
        with alarm(HANG):
            check(data)
    except (Exception, HangError) as error:  # anything that comes out of a check is a finding
        frames = traceback.extract_tb(error.__traceback__)
        place = frames[-1]
        if isinstance(error, HangError):
            place = next((one for one in frames if one.filename.startswith(_HERE) and one.name == "check"), frames[0])
        signature = f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}"
        return Failure(signature, "".join(traceback.format_exception(error)))
    return None


def child(target: Target, parents: list[bytes], chance: Random) -> bytes:
    """Return a mutation of one of the inputs."""
    at = chance.randrange(len(parents))
    if chance.random() < _FRESH:
        at = max(0, len(parents) - 1 - int(chance.expovariate(1 / 8)))
    data = parents[at]
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        data = target.mutate(data, chance, parents)
    return data[: target.longest]


def minimised(check: Callable[[bytes], None], data: bytes, signature: str) -> bytes:
    """Return a smaller input that breaks the same thing: pieces left out, the large ones first."""
    size = len(data) // 2
    attempts = 0
    while size:
        at = 0
        while at < len(data) and attempts < _ATTEMPTS:
            attempts += 1
            smaller = data[:at] + data[at + size :]
            found = failure_of(check, smaller)
            if found is not None and found.signature == signature:
                data = smaller
            else:
                at += size
        size //= 2
    return data


def save(name: str, data: bytes, folder: Path = CORPUS) -> Path:
    """Save an input under the name that its octets give it; from then on the test suite replays it."""
    path = folder / name / hashlib.sha256(data).hexdigest()[:16]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@dataclass
class Session:
    """One run on one target, and what it found."""

    name: str
    seed: int
    folder: Path = CORPUS
    executions: int = 0
    features: set[Feature] = field(default_factory=set)
    found: list[bytes] = field(default_factory=list)  # inputs that reached something new, the last ones last
    failures: dict[str, Path] = field(default_factory=dict)  # by signature

    @property
    def target(self) -> Target:
        """What is fuzzed."""
        return TARGETS[self.name]

    def run(self, parents: list[bytes], seconds: float) -> None:
        """Fuzz for so long; 0 is until it is interrupted."""
        chance = Random(self.seed)
        ends = time.monotonic() + seconds if seconds else float("inf")
        for data in parents:
            self.execute(data)
        self.found.clear()  # what the saved inputs reach is nothing new
        parents = list(parents)
        while time.monotonic() < ends:
            data = child(self.target, parents, chance)
            if self.execute(data):
                parents.append(data)

    def execute(self, data: bytes) -> bool:
        """Check one input; say whether it reached something new. What fails is saved and told."""
        self.executions += 1
        with tracing() as tracer:
            failure = failure_of(self.target.check, data)
            new = tracer.features() - self.features
        if failure is not None:
            self.report(failure, data)
            return False
        if new:
            self.features |= new
            self.found.append(data)
        return bool(new)

    def report(self, failure: Failure, data: bytes) -> None:
        """Shrink, save and tell an input that fails in a way that none before did."""
        if failure.signature in self.failures:
            return
        path = save(self.name, minimised(self.target.check, data, failure.signature), self.folder)
        self.failures[failure.signature] = path
        print(f"{self.name}: {failure.signature}\n{failure.text}{replay_hint(self.name, path)}", flush=True)  # noqa: T201 -- a command line tool


def replay_hint(name: str, path: Path) -> str:
    """Return the command that repeats a failure."""
    return f"replay: python -m tests.fuzz --target {name} --replay {path}"
