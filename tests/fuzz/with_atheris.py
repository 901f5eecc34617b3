"""The same targets under atheris, libFuzzer for Python, where it is installed (`pip install -e '.[fuzz]'`)."""

import importlib
import importlib.util
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.fuzz.engine import Session


def available() -> bool:
    """Say whether atheris is installed."""
    return importlib.util.find_spec("atheris") is not None


def run(session: "Session", parents: Sequence[bytes], seconds: float) -> None:
    """Fuzz for so long in this process, which then ends: libFuzzer never returns. 0 is until it is interrupted.

    What it finds of interest stays in a folder for the time it runs; failures are saved, and it goes on.
    """
    from tests.fuzz.engine import failure_of  # nothing of the package before it is instrumented

    atheris = importlib.import_module("atheris")
    target = session.target

    def one_input(data: bytes) -> None:
        session.executions += 1
        failure = failure_of(target.check, data)
        if failure is not None:
            session.report(failure, data)

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        chance = Random(seed)
        if chance.random() < 0.2:
            mutated: bytes = atheris.Mutate(data, max_size)
            return mutated
        return target.mutate(data, chance, parents)[:max_size]

    with tempfile.TemporaryDirectory(prefix="dnsserver-fuzz-") as work:
        for number, data in enumerate(parents):
            (Path(work) / f"{number:06}").write_bytes(data)
        limits = [f"-max_total_time={int(seconds)}", f"-max_len={target.longest}", f"-seed={session.seed or 1}"]
        atheris.Setup(
            [sys.argv[0], *limits, "-timeout=60", "-rss_limit_mb=4096", "-print_final_stats=1", work],
            one_input,
            custom_mutator=mutate,
        )
        atheris.Fuzz()


def instrument() -> None:
    """Instrument the package; only what is imported afterwards counts, so that is the first thing to do."""
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["dnsserver"]):
        importlib.import_module("tests.fuzz.targets")
