"""Runs the compiled loop without an interpreter under sanitizers (`python -m tests.fast.sanitize`); see harness.c."""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

SOURCE = Path(__file__).with_name("harness.c")
MODES = ("packets", "readers", "loops")
_PLAIN = ("-std=gnu11", "-O1", "-g")
SANITIZERS: dict[str, tuple[str, ...]] = {
    "address,undefined": ("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
    "thread": ("-fsanitize=thread",),
    "valgrind": (),
}
_VALGRIND = ("valgrind", "--quiet", "--error-exitcode=9", "--leak-check=full", "--fair-sched=yes")
_SLACK = 60  # seconds that a run may take longer than it was given


class MissingError(Exception):
    """What a sanitizer needs is not here."""


def build(sanitizer: str, folder: Path) -> list[str]:
    """Compile the harness; return the command that runs it.

    Raises `MissingError`, or `RuntimeError` where the code does not compile.
    """
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise MissingError("there is no C compiler")
    if sanitizer == "valgrind" and shutil.which("valgrind") is None:
        raise MissingError("valgrind is not installed")
    flags = SANITIZERS[sanitizer]
    empty = folder / "empty.c"
    empty.write_text("int main(void) { return 0; }\n")
    if subprocess.run((compiler, *flags, empty, "-o", folder / "empty"), capture_output=True, check=False).returncode:
        raise MissingError(f"the compiler has no {sanitizer} sanitizer")
    target = folder / sanitizer.replace(",", "-")
    command = (compiler, *_PLAIN, *flags, str(SOURCE), "-o", str(target), "-lpthread")
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode:
        raise RuntimeError(found.stderr)
    return [*(_VALGRIND if sanitizer == "valgrind" else ()), str(target)]


def run(command: Sequence[str], mode: str, seconds: float, seed: int = 1) -> tuple[bool, str]:
    """Run the harness; return whether nothing was found, and what it says."""
    found = subprocess.run(
        (*command, mode, str(seconds), str(seed)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        timeout=seconds + _SLACK,
    )
    return found.returncode == 0, found.stdout.strip()


def main() -> int:
    """Run everything there is; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each of the nine runs")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        for sanitizer in SANITIZERS:
            try:
                command = build(sanitizer, Path(folder))
            except MissingError as error:
                sys.stdout.write(f"{sanitizer}: left out, {error}\n")
                continue
            for mode in MODES:
                good, text = run(command, mode, options.seconds, options.seed)
                sys.stdout.write(f"{sanitizer}, {mode}: {text}\n")
                sys.stdout.flush()
                bad += not good
    sys.stdout.write(f"{bad} of the runs found something\n" if bad else "nothing found\n")
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
