"""`python -m tests.respdiff`: compare this server with Knot DNS and NSD; exit 1 where nothing explains a difference."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.respdiff.run import Extent, compare, installed, table
from tests.respdiff.servers import ServerError

_SHOWN = 20  # differences


def main() -> int:
    """Compare, print, and return the exit code: 0, 1 for what nothing explains, 2 where there is nobody to ask."""
    parser = argparse.ArgumentParser(prog="respdiff")
    parser.add_argument("--count", type=int, default=20_000, help="queries to each server (20000)")
    parser.add_argument("--vmis", type=int, default=3_000, help="generated VMIs beside the cases (3000)")
    parser.add_argument("--seed", type=int, default=1, help="of what is asked in which way (1)")
    arguments = parser.parse_args()
    names = installed()
    if not names:
        sys.stderr.write("respdiff: neither knotd nor nsd is installed (Debian: apt-get install knot nsd)\n")
        return 2
    try:
        with tempfile.TemporaryDirectory(prefix="respdiff-") as folder:
            extent = Extent(arguments.vmis, arguments.count, seed=arguments.seed)
            result = compare(Path(folder), names, extent)
    except ServerError as error:
        sys.stderr.write(f"respdiff: {error}\n")
        return 2
    sys.stdout.write(f"{result.asked} queries, {result.names} names in {result.zones} zones\n")
    for name in names:
        sys.stdout.write(f"{name}: {result.same[name]} answers are the same, {result.differ[name]} differ\n")
    sys.stdout.write("".join(f"{line}\n" for line in ("", *table(result, names))))
    for problem in result.problems[:_SHOWN]:
        sys.stdout.write(f"\nNOT EXPLAINED: {problem}")
    if result.problems:
        sys.stdout.write(f"\n{len(result.problems)} differences are not explained\n")
    return 1 if result.problems else 0


if __name__ == "__main__":
    sys.exit(main())
