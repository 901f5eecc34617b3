"""TLS that fails or hangs, certificates and tokens that change: rows F12, F16 and F17, as a pod meets them."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dnsserver.records import Rcode
from dnsserver.sources.kubernetes import CONNECT_TIMEOUT, HEAD_TIMEOUT, ApiConfig
from dnsserver.sources.timing import Timing
from tests.fakes.api_server import VMIS, FakeApiServer
from tests.faults.bed import DB, VM1, Bed, faulted, vmi
from tests.faults.test_outages import LONGEST, silent
from tests.sources.test_kubernetes import pod, server_side

FIRST, SECOND = "f1rst-t0ken", "sec0nd-t0ken"  # no tokens of anything but the fake
VM2 = f"vm2.{DB}"
LINGER_NOT = struct.pack("ii", 1, 0)  # SO_LINGER: closing resets the connection


@pytest.fixture
async def secure(tls: Path) -> AsyncIterator[FakeApiServer]:
    """An API server with the certificate `one`, and a token."""
    async with FakeApiServer(tokens={FIRST}, ssl_context=server_side(tls, "one")) as server:
        yield server


@pytest.fixture
def account(tls: Path, tmp_path: Path) -> Path:
    """A pod's service account that fits."""
    return pod(tmp_path / "account", FIRST, (tls / "one.crt").read_text())


def in_pod(api: FakeApiServer, account: Path, folder: Path, **how: Any) -> AbstractAsyncContextManager[Bed]:
    """Run a server as in a pod: with an address from the environment, and a service account."""
    environ = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(api.port)}

    def config(given: ApiConfig) -> ApiConfig:
        return replace(given, service_account=account, environ=environ)

    return faulted(api, folder, where="", config=config, **how)


@asynccontextmanager
async def resetting(port: int) -> AsyncIterator[list[int]]:
    """Reset every connection to a port as soon as it has said something; yields their count."""
    count = [0]

    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
        writer.transport.abort()
        count[0] += 1

    async with await asyncio.start_server(reset, "127.0.0.1", port):
        yield count


def no_token_told(bed: Bed) -> bool:
    """Say whether the log holds no token."""
    return not any(token in one.getMessage() for one in bed.log.records for token in (FIRST, SECOND))


async def test_f12_handshake_that_hangs(
    secure: FakeApiServer, account: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections are taken and nothing is said: given up, tried again after pauses that grow."""
    monkeypatch.setattr("dnsserver.sources.kubernetes.CONNECT_TIMEOUT", 0.1)
    async with in_pod(secure, account, tmp_path) as bed:
        await bed.calm()
        await secure.stop()
        with silent(secure.port):
            tried, began = len(bed.attempted(VMIS)), bed.clock.now()
            await bed.reach(lambda: len(bed.attempted(VMIS)) >= tried + 3)
            assert bed.clock.now() - began > 0.8 + 1.6
            assert len(bed.lines("no answer in time")) == 2 * bed.sources  # of the watch, then of the list
        await secure.start()
        secure.put(vmi("vm2", "10.244.0.8"))
        await bed.until(VM2, ["10.244.0.8"])


def test_f12_deadlines() -> None:
    """What the tests shorten is, in seconds: to connect, to begin an answer, and silent within a list."""
    assert (CONNECT_TIMEOUT, HEAD_TIMEOUT, Timing().answer_silence) == (10, 60, 60)


async def test_f16_tls_reset(secure: FakeApiServer, account: Path, tmp_path: Path) -> None:
    """Connections that are reset within the handshake are tried again."""
    async with in_pod(secure, account, tmp_path) as bed:
        await bed.calm()
        await secure.stop()
        async with resetting(secure.port) as resets:
            await bed.pass_time(60)
        assert resets[0] >= 4 * bed.sources
        assert await bed.ready()
        began = bed.clock.now()
        await secure.start()
        secure.put(vmi("vm2", "10.244.0.8"))
        await bed.until(VM2, ["10.244.0.8"])
        assert bed.clock.now() - began < LONGEST
        assert len(bed.lines("cannot list")) == bed.sources


@pytest.mark.parametrize("late", [False, True])
async def test_f16_authority_is_rotated(
    secure: FakeApiServer, account: Path, tls: Path, tmp_path: Path, late: bool
) -> None:
    """A certificate of a new authority is trusted when ca.crt says so, however late that is, and never before."""
    async with in_pod(secure, account, tmp_path) as bed:
        await bed.calm()
        authority = (tls / "two.crt").read_text()
        if not late:
            pod(account, FIRST, authority)
        await secure.stop()
        secure.present(server_side(tls, "two"))
        asked = len(secure.requests)
        await secure.start()
        secure.put(vmi("vm2", "10.244.0.8"))
        if late:
            await bed.pass_time(300)
            assert len(secure.requests) == asked
            assert await bed.texts(VM2) == []
            assert await bed.ready()
            assert len(bed.lines("its certificate is not trusted")) >= bed.sources
            assert len(bed.lines("cannot list")) == bed.sources, bed.lines()
            pod(account, FIRST, authority)
        began = bed.clock.now()
        await bed.until(VM2, ["10.244.0.8"])
        assert bed.clock.now() - began < (2 * LONGEST if late else 8)  # the first attempt fails, and has it read again


async def test_f16_another_name(tls: Path, tmp_path: Path) -> None:
    """A certificate of the right authority for another name is not trusted either."""
    async with FakeApiServer(ssl_context=server_side(tls, "one")) as api:
        where = f"endpoint https://localhost:{api.port}"  # it is for 127.0.0.1

        def config(given: ApiConfig) -> ApiConfig:
            return replace(given, ca_file=str(tls / "one.crt"))

        async with faulted(api, tmp_path, where=where, config=config, options="startup_timeout 0s") as bed:
            bed.keep = {}
            await bed.pass_time(60)
            assert (await bed.ask(VM1)).rcode == Rcode.SERVFAIL
            assert not await bed.ready()
            assert not api.requests
            assert len(bed.lines("its certificate is not trusted")) == bed.sources


async def test_f17_token_is_rotated(secure: FakeApiServer, account: Path, tls: Path, tmp_path: Path) -> None:
    """The kubelet replaces the token long before it expires: within a minute the new one is used."""
    async with in_pod(secure, account, tmp_path) as bed:
        await bed.calm()
        pod(account, SECOND, (tls / "one.crt").read_text())
        secure.tokens = {FIRST, SECOND}
        bed.clock.time += 60
        secure.end_watches(VMIS)
        secure.put(vmi("vm2", "10.244.0.8"))
        await bed.until(VM2, ["10.244.0.8"])
        assert secure.asked(VMIS, "watch")[-1].headers["authorization"] == f"Bearer {SECOND}"
        assert no_token_told(bed)


async def test_f17_expired_token_with_a_new_one_in_the_file(
    secure: FakeApiServer, account: Path, tls: Path, tmp_path: Path
) -> None:
    """401 has the file read at once, and the request repeated without a pause."""
    async with in_pod(secure, account, tmp_path) as bed:
        await bed.calm()
        pod(account, SECOND, (tls / "one.crt").read_text())
        secure.tokens = {SECOND}
        began, tried = bed.clock.now(), len(bed.attempted(VMIS))
        secure.end_watches(VMIS)
        secure.put(vmi("vm2", "10.244.0.8"))
        await bed.until(VM2, ["10.244.0.8"])
        assert (bed.clock.now(), len(bed.attempted(VMIS))) == (began, tried + 1)
        assert not bed.lines("status 401")
        assert no_token_told(bed)


async def test_f17_expired_token_and_none_in_the_file(
    secure: FakeApiServer, account: Path, tls: Path, tmp_path: Path
) -> None:
    """While the file is old, empty, half-written or gone the old token stays; the new one is used when it is there."""
    async with in_pod(secure, account, tmp_path) as bed:
        await bed.calm()
        secure.tokens = {SECOND}
        before, authority = len(secure.requests), (tls / "one.crt").read_text()
        secure.end_watches(VMIS, "drop")
        secure.put(vmi("vm2", "10.244.0.8"))
        for content in (FIRST, "", "\n", "half\nwritten"):
            pod(account, content, authority)
            await bed.pass_time(120)
        (account / "..data").rename(account / "..gone")
        await bed.pass_time(120)
        assert {one.headers["authorization"] for one in secure.requests[before:]} == {f"Bearer {FIRST}"}
        assert len(bed.lines("status 401")) == 2, bed.lines()  # of the watch, then of the list
        assert await bed.ready()
        pod(account, SECOND, authority)
        began = bed.clock.now()
        await bed.until(VM2, ["10.244.0.8"])
        assert bed.clock.now() - began < LONGEST
        assert no_token_told(bed)
