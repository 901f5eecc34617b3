"""`python -m benchmarks [NAME...]`: run the benchmarks of these names, or all quick ones, and print their tables."""

import argparse
import asyncio
from collections.abc import Callable
from pathlib import Path

from benchmarks import hostile, relist, startup, updates
from benchmarks.api import Lists
from benchmarks.peers import run, scale, table
from benchmarks.peers.servers import PEERS
from tests.respdiff.servers import find


def print_startup() -> None:
    """Print memory and time to ready."""
    print("Start from one JSON manifest, 100 VMIs to a headless Service")
    print(f"{'VMIs':>8} {'manifest MiB':>13} {'ready s':>8} {'resident MiB':>13} {'highest MiB':>12}")
    for size, megabytes, seconds, resident, highest in startup.run((10_000, 100_000)):
        print(f"{size:>8} {megabytes:>13.1f} {seconds:>8.2f} {resident:>13.1f} {highest:>12.1f}")


def print_updates() -> None:
    """Print the time from a watch event to the changed answer."""
    print("From a watch event to the changed answer, 1,000 changes 10 ms apart, and what queries took meanwhile")
    print(f"{'VMIs':>8} {'median ms':>10} {'p99 ms':>8} {'worst ms':>9} {'queries':>8} {'slowest ms':>11}")
    for vmis in (10_000, 100_000):
        one = asyncio.run(updates.run(vmis, 1_000, 0.01))
        middle, high, worst = (one.times[int(len(one.times) * share)] for share in (0.5, 0.99, 0.9999))
        print(f"{vmis:>8} {middle:>10.2f} {high:>8.2f} {worst:>9.2f} {one.queries:>8} {one.slowest:>11.2f}")


def print_relist() -> None:
    """Print what a relist costs those who ask meanwhile."""
    print("A relist of 100,000 VMIs while serving, by how the API server lists")
    head = f"{'queries':>8} {'lost':>5} {'median ms':>10} {'p99 ms':>8} {'worst ms':>9}"
    print(f"{'':>20} {head} {'resident MiB':>13} {'highest':>8} {'times':>6}")
    for lists in Lists:
        one = relist.run(100_000, lists)
        print(f"{lists.value + ', at rest':>20} {_latencies(one.at_rest)}")
        memory = f"{one.steady:>13.0f} {one.highest:>8.0f} {one.highest / one.steady:>6.2f}"
        print(f"{lists.value + ', meanwhile':>20} {_latencies(one.meanwhile)} {memory}")


def _latencies(seen: relist.Latencies) -> str:
    """Return the columns of what a client saw."""
    times = f"{seen.percentile(0.5):>10.2f} {seen.percentile(0.99):>8.2f} {max(seen.times):>9.2f}"
    return f"{len(seen.times):>8} {seen.lost:>5} {times}"


def print_hostile() -> None:
    """Print what hostile clients cost the others."""
    print("UDP while 20,000 malformed datagrams come in 5 s and 1,000 TCP connections stall")
    one = hostile.run(20_000, 1000)
    print(
        f"{'':>11} {'queries':>8} {'lost':>5} {'p50 ms':>7} {'p99 ms':>7} {'ratio':>6} {'descriptors':>12} {'MiB':>6}"
    )
    for label, stage in (("at rest", one.at_rest), ("attacked", one.attacked), ("afterwards", one.afterwards)):
        ratio = stage.percentile(0.99) / one.at_rest.percentile(0.99)
        times = f"{stage.percentile(0.5):>7.3f} {stage.percentile(0.99):>7.3f} {ratio:>6.2f}"
        print(
            f"{label:>11} {len(stage.times):>8} {stage.lost:>5} {times} {stage.descriptors:>12} {stage.resident:>6.1f}"
        )
    print(f"{one.sent} datagrams were sent; the descriptors were back {one.seconds:.2f} s after the attack")


def print_peers(options: argparse.Namespace) -> None:
    """Print how this server compares with others."""
    plan = run.Plan(next(iter(options.vmis), 100_000), options.runs, options.seconds)
    print(f"{plan.vmis} names, {plan.runs} runs of {plan.seconds:g} s: the servers have one core, the client another")
    if absent := [command for command in PEERS if find(command) is None]:
        print(f"not installed, and so left out: {', '.join(absent)}")
    for line in table.lines(run.compare(plan)):
        print(line)


def print_scale(options: argparse.Namespace) -> None:
    """Print what an answer costs by how many names there are, and draw it where that was asked for."""
    print(f"A query for a VMI's address over UDP, {options.runs} runs of {options.seconds:g} s")
    print(scale.head())
    sizes = []
    for vmis in options.vmis or (1000, 100_000, 1_000_000):
        sizes.append(scale.scale(run.Plan(vmis, options.runs, options.seconds)))
        print(scale.line(sizes[-1]), flush=True)
    if options.chart is not None:
        try:
            scale.draw(sizes, options.chart)
        except ImportError as error:
            print(f"no chart: {error} (`pip install dnsserver[bench]` brings it)")


BENCHMARKS: dict[str, Callable[[], None]] = {
    "startup": print_startup,
    "updates": print_updates,
    "relist": print_relist,
    "hostile": print_hostile,
}
# many minutes each, and `peers` wants programs that are not everywhere: only by name
LONG: dict[str, Callable[[argparse.Namespace], None]] = {
    "peers": print_peers,
    "scale": print_scale,
}


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="benchmarks")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(BENCHMARKS)}; {', '.join(LONG)}")
    long = parser.add_argument_group("options of peers and scale")
    long.add_argument("--vmis", type=int, nargs="+", default=[], help="how many names, several for scale")
    long.add_argument("--runs", type=int, default=5, help="of each measurement (5)")
    long.add_argument("--seconds", type=float, default=3.0, help="that a run takes (3)")
    long.add_argument("--chart", type=Path, metavar="PNG", help="where scale draws what it measured")
    options = parser.parse_args()
    names = options.names or list(BENCHMARKS)
    if unknown := set(names) - set(BENCHMARKS) - set(LONG):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    if set(names) & set(LONG) and find("dnsperf") is None:
        parser.error(f"{' and '.join(LONG)} need dnsperf")
    for position, name in enumerate(names):
        if position:
            print()
        if name in LONG:
            LONG[name](options)
        else:
            BENCHMARKS[name]()


if __name__ == "__main__":
    main()
