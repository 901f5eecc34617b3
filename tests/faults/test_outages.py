"""An API server that cannot be reached, or has forgotten where we were: rows F1 to F6."""

import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from dnsserver.message import Edns
from dnsserver.records import Rcode
from tests import build
from tests.fakes.api_faults import Reply, event_line, gone, status_body, too_large
from tests.fakes.api_server import VMIS, FakeApiServer
from tests.faults.bed import DB, VM1, VMI, Bed, faulted, unstarted, vmi

NOT_READY = 14  # INFO-CODE of an extended error (RFC 8914, section 4.15)
LONGEST = 61.0  # seconds: the longest pause between two attempts (30 s, at most doubled by chance) and one more


# F1: not there yet


@contextmanager
def refused(port: int) -> Iterator[None]:
    """Nothing listens."""
    yield


@contextmanager
def blackhole(port: int) -> Iterator[None]:
    """The packets for a port are dropped: its queue of connections is full."""
    with socket.create_server(("127.0.0.1", port), backlog=0):
        callers = [socket.socket() for _ in range(4)]
        for caller in callers:
            caller.setblocking(False)
            caller.connect_ex(("127.0.0.1", port))
        yield
        for caller in callers:
            caller.close()


@contextmanager
def silent(port: int) -> Iterator[None]:
    """Connections are taken, and nobody ever reads them."""
    with socket.create_server(("127.0.0.1", port), backlog=1000):
        yield


@contextmanager
def nameless(port: int) -> Iterator[None]:
    """The API server's name has no address: there is no DNS before us."""
    with pytest.MonkeyPatch.context() as patch:

        def fail(*arguments: Any, **options: Any) -> None:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

        patch.setattr(socket, "getaddrinfo", fail)
        yield


@pytest.mark.parametrize("trouble", [refused, blackhole, silent, nameless])
async def test_f1_unreachable_at_start(trouble: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It listens, is not ready, and fails every name of its zones; it recovers within the longest pause."""
    for deadline in ("CONNECT_TIMEOUT", "HEAD_TIMEOUT"):
        monkeypatch.setattr(f"dnsserver.sources.kubernetes.{deadline}", 0.05)
    api = FakeApiServer()
    unstarted(api)
    where = f"endpoint http://localhost:{api.port}" if trouble is nameless else None
    try:
        async with faulted(api, tmp_path, where=where, options="startup_timeout 0s") as bed:
            with trouble(api.port):
                for name, rrtype in ((VM1, "A"), (f"nobody.{DB}", "A"), ("7.0.244.10.in-addr.arpa", "PTR")):
                    reply = await bed.ask(name, rrtype, edns=Edns(1232))
                    assert (reply.rcode, reply.extended_error) == (Rcode.SERVFAIL, (NOT_READY, ""))
                assert not await bed.ready()
                await bed.pass_time(20)
                assert (await bed.ask(VM1)).rcode == Rcode.SERVFAIL
                assert not api.requests
                assert len(bed.lines("cannot ")) == bed.sources, bed.lines()
            began = bed.clock.now()
            await api.start()
            await bed.until(VM1, ["10.244.0.7"])
            assert bed.clock.now() - began < LONGEST
            assert await bed.ready()
            assert (await bed.ask(f"nobody.{DB}")).rcode == Rcode.NXDOMAIN
    finally:
        await api.stop()


# F2: gone after a while


async def test_f2_api_server_dies(api: FakeApiServer, tmp_path: Path) -> None:
    """Ten minutes without it: every name is answered as before, the server stays ready, and says little."""
    names = [f"vm{number}.{DB}" for number in range(1, 101)]
    async with faulted(api, tmp_path) as bed:
        await bed.calm()
        for number in range(2, 101):
            api.put(vmi(f"vm{number}", f"10.244.1.{number}"))
        await bed.until(names[-1], ["10.244.1.100"])
        before = {name: await bed.texts(name) for name in names}
        said = len(bed.lines())
        await api.stop()
        await bed.pass_time(600)
        assert {name: await bed.texts(name) for name in names} == before
        assert await bed.ready()
        assert await bed.metric("dnsserver_source_age_seconds", kind="Service") > 600
        assert len(bed.lines()) - said == bed.sources, bed.lines()
        began = bed.clock.now()
        await api.start()
        api.put(vmi("vm101", "10.244.1.101"))
        await bed.until(f"vm101.{DB}", ["10.244.1.101"])
        await bed.calm()
        assert bed.clock.now() - began < LONGEST
        assert len(bed.lines()) - said == 2 * bed.sources, bed.lines()
        assert await bed.metric("dnsserver_source_age_seconds", kind="Service") < LONGEST


# F3 to F6: our version is too old, or too new


async def forget(bed: Bed, *, told: bool) -> None:
    """Delete x and create y unseen, and have that forgotten: `told` in the open watch, or to those who ask again."""
    api = bed.api
    api.put(vmi("x", "10.244.0.8"))
    await bed.until(DB, ["10.244.0.7", "10.244.0.8"])
    await bed.calm()
    if told:
        api.send(VMIS, event_line("ERROR", status_body(410, "Expired", "too old resource version")))
        api.end_watches(VMIS, "hang")  # the stream stays open, and says no more
    else:
        api.fault(VMIS, "watch", gone())
        api.end_watches(VMIS, "drop")
    api.delete(VMI, "ns1", "x")
    api.put(vmi("y", "10.244.0.9"))
    api.expire()


async def see_one_step(bed: Bed) -> None:
    """Ask every millisecond: the new state follows the old one, and there is nothing in between."""
    before, after = ["10.244.0.7", "10.244.0.8"], ["10.244.0.7", "10.244.0.9"]
    seen = [before]
    async with asyncio.timeout(10):
        while seen[-1] != after:
            seen.append(await bed.texts(DB))
            assert seen[-1] in (before, after)
            await asyncio.sleep(0.001)
    assert await bed.texts(f"y.{DB}") == ["10.244.0.9"]
    assert (await bed.ask(f"x.{DB}")).rcode == Rcode.NXDOMAIN


@pytest.mark.parametrize("streams", [False, True])
async def test_f3_gone_at_watch_start(api: FakeApiServer, tmp_path: Path, streams: bool) -> None:
    """410 as a status: listed again, and what happened meanwhile shows in one step."""
    api.streams = streams
    async with faulted(api, tmp_path) as bed:
        await forget(bed, told=False)
        await see_one_step(bed)


@pytest.mark.parametrize("streams", [False, True])
async def test_f4_gone_in_mid_watch(api: FakeApiServer, tmp_path: Path, streams: bool) -> None:
    """410 as an event: the same, and nobody watches from the dead version again."""
    api.streams = streams
    async with faulted(api, tmp_path) as bed:
        await forget(bed, told=True)
        watched = len(api.asked(VMIS, "watch"))
        await see_one_step(bed)
        await bed.calm()
        assert all(int(one.query["resourceVersion"]) == api.version for one in api.asked(VMIS, "watch")[watched:])


@pytest.mark.parametrize("streams", [False, True])
async def test_f5_gone_for_ever(api: FakeApiServer, tmp_path: Path, streams: bool) -> None:
    """Whatever is asked for is too old: whatever is there is asked for, after pauses that grow; one line is said."""
    api.streams = streams
    async with faulted(api, tmp_path) as bed:
        await bed.calm()
        known = api.version
        said, listed = len(bed.lines()), len(api.asked(VMIS, "list"))
        for verb in ("list", "watch", "stream"):
            api.fault(VMIS, verb, gone(), times=None)
        api.end_watches(VMIS)
        await bed.pass_time(300)
        lists = api.asked(VMIS, "list")[listed:]
        gaps = [later.time - one.time for one, later in pairwise(lists[1:])]
        assert gaps == sorted(gaps)
        assert gaps[-1] == pytest.approx(45)  # 30 s, and half of it by the clock's chance
        assert [one.query.get("resourceVersion") for one in lists] == [str(known)] + [None] * (len(lists) - 1)
        assert len(bed.lines()) - said == 2, bed.lines()  # of the watch, then of the list
        for verb in ("list", "watch", "stream"):
            api.heal(VMIS, verb)
        api.put(vmi("vm2", "10.244.0.8"))
        await bed.until(f"vm2.{DB}", ["10.244.0.8"])


@pytest.mark.parametrize("verb", ["list", "watch", "stream"])
async def test_f6_too_large_version(api: FakeApiServer, tmp_path: Path, verb: str) -> None:
    """An API server that lags behind is asked for what is there now: nothing we know is lost, nothing goes back."""
    api.streams = verb == "stream"
    async with faulted(api, tmp_path) as bed:
        api.put(vmi("vm2", "10.244.0.8"))
        await bed.until(f"vm2.{DB}", ["10.244.0.8"])
        bed.keep[f"vm2.{DB}"] = ["10.244.0.8"]
        await bed.calm()
        known = str(api.version)
        if verb != "watch":
            api.fault(VMIS, "watch", gone())
        api.fault(VMIS, verb, too_large(known))
        api.end_watches(VMIS)
        api.put(vmi("vm3", "10.244.0.9"))
        await bed.until(f"vm3.{DB}", ["10.244.0.9"])
        if verb == "list":
            versions = [one.query.get("resourceVersion") for one in api.asked(VMIS, "list")]
            assert versions == ["0", known, None]
        assert not bed.lines("back in time")


async def test_f6_going_back_is_said(api: FakeApiServer, tmp_path: Path) -> None:
    """An API server that really has gone back (etcd restored from a backup) is believed, with a warning."""
    async with faulted(api, tmp_path) as bed:
        api.put(vmi("vm2", "10.244.0.8"))
        await bed.until(f"vm2.{DB}", ["10.244.0.8"])
        await bed.calm()
        known = api.version
        item = build.vmi_json()
        item["metadata"]["resourceVersion"] = "7"
        older = {"kind": f"{VMI}List", "metadata": {"resourceVersion": "8"}, "items": [item]}
        api.fault(VMIS, "list", too_large(str(known)), Reply(body=json.dumps(older).encode()))
        api.fault(VMIS, "watch", gone())
        api.end_watches(VMIS)
        await bed.reach(lambda: bool(bed.lines(f"were at resourceVersion {known}, are at 8")))
        await bed.calm()  # and what has happened since is watched
        await bed.until(f"vm2.{DB}", ["10.244.0.8"])
