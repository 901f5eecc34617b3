"""The Dockerfile read, and its first stage carried out without Docker: every COPY and RUN, in a folder of our own.

The folder is kept (`.tools/image`), with a stamp for each step as Docker has its layers: what did not change is not
done again. `/opt` is the folder's `opt`, the working directory its `src`, and `python` the one that runs the tests.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRATCH = ROOT / ".tools" / "image"
SITE = Path("opt", "dnsserver", "lib", f"python{sys.version_info.major}.{sys.version_info.minor}", "site-packages")
# what pip says where no index can be reached; a wrong hash, or a version that is gone, is a failure
_NO_INDEX = re.compile(
    r"NewConnectionError|Temporary failure in name resolution|ConnectTimeout|ProxyError|Network is unr"
)


class UnreachableIndexError(Exception):
    """There is no package index here."""


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction: `RUN`, and the rest of its lines as one."""

    instruction: str
    text: str


def stages() -> list[list[Step]]:
    """Return the instructions of each stage, its FROM first."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    found: list[list[Step]] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        instruction, _, rest = line.partition(" ")
        if instruction == "FROM":
            found.append([])
        found[-1].append(Step(instruction, re.sub(r"\s+", " ", rest.strip())))
    return found


def copied(step: Step) -> list[Path]:
    """Return the files that a COPY of the first stage brings in, relative to the sources; what is ignored is not."""
    files: list[Path] = []
    for word in step.text.split()[:-1]:
        source = ROOT / word
        if source.is_file():
            files.append(Path(word))
            continue
        found = (path.relative_to(ROOT) for path in sorted(source.rglob("*")) if path.is_file())
        files.extend(path for path in found if not ignored(path))
    return files


def ignored(path: Path) -> bool:
    """Say whether `.dockerignore` keeps a file out of the build (its own lines, and no more of their grammar)."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    kept = {line[1:] for line in lines if line.startswith("!")}
    assert not any("*" in one or "/" in one for one in kept)
    without = [line for line in lines[1:] if not line.startswith("!")]
    assert without == ["**/__pycache__", "**/*.so", "dnsserver/fast/compiled.c"]
    name = str(path)
    return path.parts[0] not in kept or "__pycache__" in path.parts or path.suffix == ".so" or name == without[-1]


def build() -> Path:
    """Carry out the first stage; return the folder. Raises `UnreachableIndexError`, and `AssertionError` for a step."""
    with _locked():
        steps = stages()[0]
        keys = _keys(steps)
        stamps = [SCRATCH / f"step{number}" for number in range(len(steps))]
        first = next((at for at, stamp in enumerate(stamps) if not _holds(stamp, keys[at])), len(steps))
        packages = next(at for at, step in enumerate(steps) if step.instruction == "RUN")
        if first <= packages:
            first = 0
        if first < len(steps):
            _clear(everything=first == 0)
        for at in range(first, len(steps)):
            stamps[at].unlink(missing_ok=True)
        for at in range(first, len(steps)):
            _carry_out(steps[at])
            stamps[at].write_text(keys[at])
        return SCRATCH


def _holds(stamp: Path, key: str) -> bool:
    return stamp.exists() and stamp.read_text() == key


def _keys(steps: list[Step]) -> list[str]:
    """Return a key for each step, which depends on all those before it."""
    keys = [sys.version + str(ROOT)]
    for step in steps:
        keys.append(hashlib.sha256((keys[-1] + _content(step)).encode()).hexdigest())
    return keys[1:]


def _content(step: Step) -> str:
    """Return what a step depends on, besides those before it."""
    files = copied(step) if step.instruction == "COPY" else []
    return f"{step}{[(path, hashlib.sha256((ROOT / path).read_bytes()).hexdigest()) for path in files]}"


def _clear(*, everything: bool) -> None:
    """Remove what steps have made: all of it, or what came after the packages."""
    for folder in ("opt", "src") if everything else ("src/build",):
        shutil.rmtree(SCRATCH / folder, ignore_errors=True)
    for path in (SCRATCH / SITE).glob("dnsserver*"):
        shutil.rmtree(path)
    (SCRATCH / "src").mkdir(exist_ok=True)


def _carry_out(step: Step) -> None:
    if step.instruction == "COPY":
        target = SCRATCH / "src" / step.text.split()[-1]
        for word in step.text.split()[:-1]:  # a file that is gone from a folder is gone here
            if (ROOT / word).is_dir():
                shutil.rmtree(target, ignore_errors=True)
        for path in copied(step):
            # COPY puts a folder's contents into the target; ours have the names of their sources
            place = target / path.name if step.text.endswith("/") and path.parts[1:] else SCRATCH / "src" / path
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / path, place)
    elif step.instruction == "RUN":
        _run(step.text)


def _run(text: str) -> None:
    """Run a step as the stage's SHELL would."""
    moved = text.replace("/opt/", f"{SCRATCH}/opt/")
    home = Path(sys.base_prefix) / "bin"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COVERAGE"))}
    environment |= {
        "PATH": f"{home}:{environment['PATH']}",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_QUIET": "1",
    }
    ended = subprocess.run(
        ("/bin/bash", "-o", "pipefail", "-c", moved),
        check=False,
        cwd=SCRATCH / "src",
        env=environment,
        capture_output=True,
        text=True,
    )
    if ended.returncode and _NO_INDEX.search(ended.stderr):
        raise UnreachableIndexError
    assert ended.returncode == 0, f"{text}\n{ended.stdout}\n{ended.stderr}"


@contextmanager
def _locked() -> Iterator[None]:
    """Let one process build at a time: tests run in several."""
    (SCRATCH / "src").mkdir(parents=True, exist_ok=True)
    with (SCRATCH / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
