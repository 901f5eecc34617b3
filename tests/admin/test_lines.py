"""The batched writer: order, slow and absent readers, threads; and the log format."""

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dnsserver.admin.lines import LineHandler, LineWriter


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Yield the two ends of a pipe: to read, to write."""
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            continue  # the test closed it


def test_without_an_event_loop(pipe: tuple[int, int]) -> None:
    """A line is written at once where nothing would write it later."""
    writer = LineWriter(pipe[1])
    writer.write("one")
    writer.write("zwei \ud800")
    assert os.read(pipe[0], 100) == b"one\nzwei \\ud800\n"


async def test_batch(pipe: tuple[int, int]) -> None:
    """Lines of one turn of the loop are one write, in order."""
    writer = LineWriter(pipe[1])
    for number in range(3):
        writer.write(f"line {number}")
    os.set_blocking(pipe[0], False)
    with pytest.raises(BlockingIOError):
        os.read(pipe[0], 100)
    await asyncio.sleep(0)
    assert os.read(pipe[0], 100) == b"line 0\nline 1\nline 2\n"


async def test_full_pipe_does_not_block(pipe: tuple[int, int]) -> None:
    """More than a pipe holds waits for its reader while the loop goes on, and then arrives whole."""
    writer = LineWriter(pipe[1])
    lines = [f"{number:0100d}" for number in range(3000)]
    for line in lines:
        writer.write(line)
    expected = "".join(f"{line}\n" for line in lines).encode()
    await asyncio.sleep(0)  # the flush comes back although nobody reads
    received = b""
    while len(received) < len(expected):
        received += await asyncio.to_thread(os.read, pipe[0], 1 << 16)
    assert received == expected
    assert writer.dropped == 0


async def test_limit(pipe: tuple[int, int]) -> None:
    """What exceeds the limit is dropped by whole lines and counted."""
    writer = LineWriter(pipe[1], limit=20)
    for _ in range(5):
        writer.write("12345678")
    await asyncio.sleep(0)
    assert os.read(pipe[0], 100) == b"12345678\n" * 2
    assert writer.dropped == 3


async def test_reader_is_gone(pipe: tuple[int, int]) -> None:
    """Nobody to read is no error."""
    writer = LineWriter(pipe[1])
    os.close(pipe[0])
    writer.write("one")
    writer.write("two")
    await asyncio.sleep(0)
    assert writer.dropped == 2
    writer.write("three")
    await asyncio.sleep(0)
    assert writer.dropped == 3


async def test_non_blocking_pipe(pipe: tuple[int, int]) -> None:
    """A descriptor that somebody made non-blocking loses nothing."""
    os.set_blocking(pipe[1], False)
    writer = LineWriter(pipe[1])
    filled = 0
    while True:
        try:
            filled += os.write(pipe[1], bytes(4096))
        except BlockingIOError:
            break
    writer._chunk = 1 << 20
    writer.write("late")
    with writer._lock:
        assert not writer._write_chunk()
    while filled:
        filled -= len(os.read(pipe[0], filled))
    assert await asyncio.to_thread(os.read, pipe[0], 100) == b"late\n"


def test_closed_descriptor(pipe: tuple[int, int]) -> None:
    """A process without standard output serves all the same."""
    os.close(pipe[1])
    writer = LineWriter(pipe[1])
    writer.write("one")
    assert writer.dropped == 1


def test_file(tmp_path: Path) -> None:
    """A regular file takes everything in one go."""
    with (tmp_path / "log").open("wb") as file:
        writer = LineWriter(file.fileno())
        writer.write("x" * 10_000)
    assert (tmp_path / "log").stat().st_size == 10_001


def test_threads(pipe: tuple[int, int]) -> None:
    """Lines of several threads are never mixed."""
    writer = LineWriter(pipe[1])

    def work(letter: str) -> None:
        for _ in range(50):
            writer.write(letter * 100)

    threads = [threading.Thread(target=work, args=(letter,)) for letter in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = os.read(pipe[0], 1 << 16).decode().splitlines()
    assert sorted(lines) == sorted(letter * 100 for letter in "abcd" for _ in range(50))


def test_second_event_loop(pipe: tuple[int, int]) -> None:
    """A loop that ended before its flush does not silence the next one."""
    writer = LineWriter(pipe[1])

    async def say(text: str) -> None:
        writer.write(text)

    async def say_and_wait(text: str) -> None:
        writer.write(text)
        await asyncio.sleep(0)

    asyncio.run(say("first"))
    asyncio.run(say_and_wait("second"))
    assert os.read(pipe[0], 100) == b"first\nsecond\n"


def test_handler(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Loggers print CoreDNS's prefixes; a call with wrong arguments stops nobody."""
    handler = LineHandler(LineWriter(pipe[1]))
    plugin, other = logging.getLogger("plugin/test"), logging.getLogger("dnsserver.test")
    for logger in (plugin, other):
        monkeypatch.setattr(logger, "handlers", [handler])
        monkeypatch.setattr(logger, "propagate", False)
        monkeypatch.setattr(logger, "level", logging.DEBUG)
    plugin.error("%d errors", 2)
    other.info("hello")
    monkeypatch.setattr(sys, "stderr", None)
    other.info("%d", "no number")
    assert os.read(pipe[0], 100) == b"[ERROR] plugin/test: 2 errors\n[INFO] hello\n"
