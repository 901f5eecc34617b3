"""An API server of its own process, so that what it computes delays neither the server under test nor its client.

Commands come as lines on standard input: `expire` forgets every change and tells the open watches so, which makes a
client list all of it again; `churn RATE PERIOD` has objects change by themselves, and `calm` ends that. What is ready
or done is a line on standard output.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum

from benchmarks import objects
from benchmarks.churn import Churn
from tests.fakes.api_server import FakeApiServer


class Lists(StrEnum):
    """How lists come, by what the API server can do and is asked for."""

    PAGED = "paged"  # every list in pages
    WHOLE = "whole"  # in one answer, as from a watch cache that is asked for any age
    STREAMED = "streamed"  # as the beginning of a watch (KEP-3157)


class Api:
    """The process, from outside."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.url = self._read()

    def expire(self) -> None:
        """Have every watch end with 410 Gone."""
        self._command("expire")

    def churn(self, rate: float, period: float) -> None:
        """Have so many objects change a second, and watches end once in so many seconds (`benchmarks.churn`)."""
        self._command(f"churn {rate} {period}")

    def calm(self) -> int:
        """Have nothing change by itself any more; return how many objects did."""
        return int(self._command("calm"))

    def lists(self) -> int:
        """Return the requests for lists of VMIs so far, every page and every stream."""
        return int(self._command("lists"))

    def _command(self, command: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@contextmanager
def api(vmis: int, lists: Lists = Lists.PAGED) -> Iterator[Api]:
    """Run an API server that holds so many VMIs; it gets what processor time the others leave."""
    command = [sys.executable, "-m", "benchmarks.api", str(vmis), lists.value]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Api(process)
    finally:
        process.kill()
        process.communicate()


async def _serve(vmis: int, lists: Lists) -> None:
    """Serve until standard input ends."""
    async with FakeApiServer() as server:
        server.streams = lists is Lists.STREAMED
        server.pages_any_age = lists is not Lists.WHOLE
        for value in objects.everything(vmis):
            server.put(value)
        print(server.url, flush=True)
        churn = Churn(server, vmis)
        churning: asyncio.Task[None] | None = None
        while command := (await asyncio.to_thread(sys.stdin.readline)).split():
            match command:
                case ["expire"]:
                    server.expire(tell=True)
                case ["churn", rate, period]:
                    churning = asyncio.create_task(churn.run(float(rate), float(period)))
                case ["calm"] if churning is not None:
                    churning.cancel()
                    with suppress(asyncio.CancelledError):
                        await churning  # raises what it ended with
                    print(churn.changes, flush=True)
                    continue
            print(sum(len(server.asked("virtualmachineinstances", verb)) for verb in ("list", "stream")), flush=True)


if __name__ == "__main__":
    os.nice(10)
    asyncio.run(_serve(int(sys.argv[1]), Lists(sys.argv[2])))
