"""`python -m benchmarks.soak [--seconds N] [--vmis N] [--rate N] [--churn N]`: exit code 1 where something is wrong."""

import argparse
import sys

from benchmarks.soak.run import Plan, soak
from benchmarks.soak.verdict import Soaked, faults, growth, stalls


def main() -> int:
    """Soak, and print the verdict; return the exit code."""
    parser = argparse.ArgumentParser(prog="soak")
    parser.add_argument("--seconds", type=float, default=1200.0, help="after 10 s of start-up (default: %(default)g)")
    parser.add_argument("--vmis", type=int, default=2000, help="half of them change (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=1000.0, help="queries a second over UDP (default: %(default)g)")
    parser.add_argument("--churn", type=float, default=20.0, help="objects changed a second (default: %(default)g)")
    arguments = parser.parse_args()
    plan = Plan(arguments.seconds, arguments.vmis, arguments.rate, arguments.churn)
    run = soak(plan)
    if run.samples:
        _print_figures(run)
    found = faults(run)
    for fault in found:
        print(f"FAULT: {fault}")
    for example in run.tally.examples:
        print(f"  {example}")
    print("not as it should be" if found else "all as it should be")
    return 1 if found else 0


def _print_figures(run: Soaked) -> None:
    """Print what the verdict rests on."""
    tally = run.tally
    tally.turn()
    times = tally.all_latencies
    total, excused = stalls(run.samples)
    print(f"queries and connections: {dict(sorted(tally.asked.items()))}")
    print(
        f"UDP: p50 {times.percentile(0.5):.2f} ms, p99 {times.percentile(0.99):.2f} ms, p99.9 "
        f"{times.percentile(0.999):.2f} ms, worst {times.worst:.1f} ms of {times.total} answers"
    )
    print(
        f"load generator: {tally.own_stalls} stalls over 20 ms, the longest {tally.own_worst * 1000:.0f} ms; "
        f"{tally.own_late.total} answers met one and count in no latency; {tally.own_drops} were dropped at its sockets"
    )
    resident = [one.resident for one in run.samples]
    print(
        f"memory: {min(resident):.1f} to {max(resident):.1f} MiB, {growth(run.samples):+.1%} from the second quarter "
        f"to the last; descriptors {run.descriptors_before} before, {run.descriptors_after} after, at most "
        f"{max(one.descriptors for one in run.samples)}"
    )
    print(f"event loop: {total} stalls over 50 ms, {excused} of them while the machine may have been the reason")
    print(f"cluster: {run.changes} changes, {run.samples[-1].lists - run.samples[0].lists} lists since the start-up")


if __name__ == "__main__":
    sys.exit(main())
