"""Checking a server until it answers."""

import asyncio

from dnsserver.upstream import UpstreamError
from dnsserver.upstream.health import Probe
from tests.transports.support import eventually


class Server:
    """A server that is up or not, as the test says; it answers when the test lets it."""

    def __init__(self) -> None:
        self.up = False
        self.checks = 0
        self.failed = 0
        self.gate = asyncio.Semaphore(0)

    async def check(self) -> None:
        self.checks += 1
        await self.gate.acquire()
        if not self.up:
            raise UpstreamError("down")

    def fail(self) -> None:
        self.failed += 1


async def test_until_it_answers() -> None:
    """Failures in a row are counted, the first answer ends the check and the count; the next failure begins again."""
    server = Server()
    probe = Probe(server.check, 0.0, server.fail)
    for _ in range(3):
        probe.start()  # one check at a time
        server.gate.release()
    await eventually(lambda: probe.fails == 3)
    assert server.failed == 3
    server.up = True
    server.gate.release()
    await eventually(lambda: probe.fails == 0)
    checks = server.checks
    assert checks == 4
    server.gate.release()
    probe.start()
    await eventually(lambda: server.checks == checks + 1)
    await probe.stop()


async def test_stop() -> None:
    """Stopping ends a check under way, and no other begins; where there was none nothing happens."""
    server = Server()
    await Probe(server.check, 0.5, server.fail).stop()
    probe = Probe(server.check, 0.5, server.fail)
    probe.start()
    await eventually(lambda: server.checks)
    await probe.stop()
    assert (probe.fails, server.failed) == (0, 0)
    probe.start()
    assert probe._task is None
