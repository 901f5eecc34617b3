"""`python -m benchmarks [NAME...]`: run the benchmarks of these names, or all, and print their tables."""

import argparse
import asyncio
from collections.abc import Callable

from benchmarks import startup, updates


def print_startup() -> None:
    """Print memory and time to ready."""
    print("Start from one JSON manifest, 100 VMIs to a headless Service")
    print(f"{'VMIs':>8} {'manifest MiB':>13} {'ready s':>8} {'resident MiB':>13} {'highest MiB':>12}")
    for size, megabytes, seconds, resident, highest in startup.run((10_000, 100_000)):
        print(f"{size:>8} {megabytes:>13.1f} {seconds:>8.2f} {resident:>13.1f} {highest:>12.1f}")


def print_updates() -> None:
    """Print the time from a watch event to the changed answer."""
    print("From a watch event to the changed answer, 10,000 VMIs, 1,000 changes 10 ms apart")
    median, high, worst = asyncio.run(updates.run(10_000, 1_000, 0.01))
    print(f"median {median:.2f} ms, 99th percentile {high:.2f} ms, maximum {worst:.2f} ms")


BENCHMARKS: dict[str, Callable[[], None]] = {"startup": print_startup, "updates": print_updates}


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="benchmarks")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    names = parser.parse_args().names or list(BENCHMARKS)
    if unknown := set(names) - set(BENCHMARKS):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    for position, name in enumerate(names):
        if position:
            print()
        BENCHMARKS[name]()


if __name__ == "__main__":
    main()
