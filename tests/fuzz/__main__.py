"""`python -m tests.fuzz`: fuzz for as long as you like, or replay what was saved."""

import argparse
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from itertools import cycle
from pathlib import Path

TURN = 600.0  # seconds that a target gets while all of them are fuzzed without end


def main() -> int:
    """Return 1 where something was found, 0 where not."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--target", help="one target, by default all of them, one after the other")
    parser.add_argument("--seconds", type=float, default=0.0, help="how long for each target; 0 is until Ctrl-C")
    parser.add_argument("--seed", type=int, default=0, help="of the mutations; by default the time")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--engine", choices=("auto", "own", "atheris"), default="auto")
    parser.add_argument("--grow", type=int, default=0, help="save so many short inputs that reached something new")
    parser.add_argument("--replay", type=Path, nargs="+", metavar="FILE", help="check these and nothing else")
    parser.add_argument("--seeds", action="store_true", help="write the seeds of the corpus anew")
    options = parser.parse_args()
    logging.disable()  # what is wrong with an input is no news here
    if options.seeds:
        from tests.fuzz.seeds import write  # not needed by anything else

        write()
        return 0
    if options.replay:
        return _replay(options.target, options.replay)
    seed = options.seed or time.time_ns() % 2**31
    if options.processes > 1:
        return _several(options, seed)
    return _fuzz(options, seed)


def _replay(name: str | None, paths: list[Path]) -> int:
    """Check some inputs; the folder that holds one says its target where nothing else does."""
    from tests.fuzz.engine import failure_of  # nothing of the package before it is instrumented
    from tests.fuzz.targets import TARGETS  # likewise

    wrong = 0
    for path in paths:
        failure = failure_of(TARGETS[name or path.resolve().parent.name].check, path.read_bytes())
        print(f"{path}: {'ok' if failure is None else failure.text}")  # noqa: T201 -- a command line tool
        wrong += failure is not None
    return min(wrong, 1)


def _several(options: argparse.Namespace, seed: int) -> int:
    """Run processes side by side, each with mutations of its own, until all have ended."""
    common = [sys.executable, "-m", "tests.fuzz", "--engine", options.engine, "--seconds", str(options.seconds)]
    common += ["--grow", str(options.grow)] + (["--target", options.target] if options.target else [])
    children = [subprocess.Popen([*common, "--seed", str(seed + number)]) for number in range(options.processes)]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal tells the children as well, and they end by themselves
    return max(child.wait() for child in children)


def _fuzz(options: argparse.Namespace, seed: int) -> int:
    """Fuzz one target, or each in turn."""
    from tests.fuzz import with_atheris  # nothing of the package before it is instrumented

    use_atheris = options.engine == "atheris" or (options.engine == "auto" and with_atheris.available())
    if use_atheris:
        with_atheris.instrument()
    from tests.fuzz.engine import Session, save  # as above
    from tests.fuzz.targets import TARGETS, corpus  # as above

    if use_atheris and options.target is None:
        return _each_in_its_own_process(options, seed, list(TARGETS))
    found = 0
    for name in _in_turn(options.target, options.seconds, list(TARGETS)):
        session = Session(name, seed)
        parents = list(corpus(name).values())
        print(f"{name}: {len(parents)} saved inputs, seed {seed}", flush=True)  # noqa: T201 -- a command line tool
        stopped = False
        try:
            if use_atheris:
                with_atheris.run(session, parents, options.seconds)  # ends the process
            session.run(parents, options.seconds if options.target else options.seconds or TURN)
        except KeyboardInterrupt:
            stopped = True
        for data in sorted(session.found, key=len)[: options.grow]:
            save(name, data)
        reached = f"{len(session.features)} features, {len(session.found)} new, {len(session.failures)} failures"
        print(f"{name}: {session.executions} inputs, {reached}")  # noqa: T201 -- a command line tool
        found += len(session.failures)
        if stopped:
            break
        seed += 1
    return min(found, 1)


def _in_turn(target: str | None, seconds: float, names: list[str]) -> Iterable[str]:
    """Return the targets to fuzz in this process: all of them without end where nothing says how long."""
    if target:
        return [target]
    return names if seconds else cycle(names)


def _each_in_its_own_process(options: argparse.Namespace, seed: int, names: list[str]) -> int:
    """libFuzzer ends its process: give each target one, and as long as an endless run takes for each in turn."""
    seconds = options.seconds or TURN
    worst = 0
    while True:
        for name in names:
            command = [sys.executable, "-m", "tests.fuzz", "--engine", "atheris", "--target", name]
            done = subprocess.run(
                [*command, "--seed", str(seed), "--seconds", str(seconds)], check=False, env=os.environ
            )
            worst = max(worst, done.returncode)
        if options.seconds:
            return min(worst, 1)
        seed += 1


if __name__ == "__main__":
    sys.exit(main())
