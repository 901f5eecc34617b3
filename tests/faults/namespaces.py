"""Network namespaces: a scenario in a process of its own, with a network of its own, where everything is permitted."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Coroutine
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
_SECONDS = 30  # for a scenario; far more than one takes


def inside(scenario: Callable[[], Coroutine[Any, Any, None]], *commands: str) -> None:
    """Run an asynchronous function of a module with `lo` up and more commands done, or skip the test.

    Fails with the output of the function's process. It runs in new user and network namespaces.
    """
    if not _permitted():
        pytest.skip("this host grants no network namespace, or has no ip(8)")
    program = f"import asyncio; from {scenario.__module__} import {scenario.__name__} as run; asyncio.run(run())"
    ended = _run("\n".join(("ip link set lo up", *commands)), "-W", "error", "-c", program)
    assert ended.returncode == 0, ended.stderr


@cache
def _permitted() -> bool:
    """Say whether there are namespaces and what sets them up."""
    if not (shutil.which("unshare", path=_PATH) and shutil.which("ip", path=_PATH)):
        return False
    return _run("ip link set lo up", "-c", "").returncode == 0


def _run(commands: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run commands of the shell, then Python, in new namespaces."""
    script = f'set -e\n{commands}\nexec "$0" "$@"'
    return subprocess.run(
        ["unshare", "--user", "--map-root-user", "--net", "sh", "-c", script, sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "PATH": _PATH},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
