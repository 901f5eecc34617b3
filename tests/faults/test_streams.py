"""Watches and answers that are cut, garbled, oversized or stuck: rows F7 to F12."""

import json
import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from dnsserver.sources.timing import Timing
from tests import build
from tests.fakes.api_faults import Chunks, Drop, Hang, event_line, gone
from tests.fakes.api_server import VMIS, FakeApiServer
from tests.fakes.proxy import SwallowingProxy
from tests.faults.bed import DB, VMI, faulted, vmi

NEW = "new.ns1.svc.cluster.local"
OTHER = "other.ns1.svc.cluster.local"
VM2 = f"vm2.{DB}"


def service(name: str, address: str) -> dict[str, Any]:
    """Return a Service with an address."""
    return build.service_json(name, cluster_ip=address, selector={"app": name})


def added(value: dict[str, Any]) -> bytes:
    """Return the line that tells of a new object."""
    return event_line("ADDED", json.dumps(value).encode())


async def test_f7_cut_at_every_offset(api: FakeApiServer, tmp_path: Path) -> None:
    """One event, cut at each of its octets in turn: it counts once it is whole, and costs no list."""
    # Not paced: each cut is the end of one watch, after which client-go goes on at once as well.
    async with faulted(api, tmp_path, paced=False) as bed:
        await bed.calm()
        known = str(api.version)
        watches, lists = len(api.asked("services", "watch")), len(api.asked("services", "list"))
        api.end_watches("services", "drop")
        length = len(added(api.put(service("new", "10.96.0.11"))))
        api.fault("services", "watch", *map(Drop, range(length)))
        await bed.until(NEW, ["10.96.0.11"])
        cut = api.asked("services", "watch")[watches:]
        assert len(cut) == length + 1
        assert {one.query["resourceVersion"] for one in cut} == {known}
        assert len(api.asked("services", "list")) == lists
        assert await bed.metric("dnsserver_watch_errors_total", kind="Service") == length + 1


async def test_f7_cut_in_the_second_event(api: FakeApiServer, tmp_path: Path) -> None:
    """The event before the cut counts, and the next watch goes on from it."""
    async with faulted(api, tmp_path) as bed:
        await bed.calm()
        watches, lists = len(api.asked("services", "watch")), len(api.asked("services", "list"))
        api.end_watches("services")
        first = api.put(service("new", "10.96.0.11"))
        api.put(service("other", "10.96.0.12"))
        api.fault("services", "watch", Drop(len(added(first)) + 20))
        await bed.until(OTHER, ["10.96.0.12"])
        assert await bed.texts(NEW) == ["10.96.0.11"]
        versions = [one.query["resourceVersion"] for one in api.asked("services", "watch")[watches:]]
        assert versions[1:] == [first["metadata"]["resourceVersion"]]
        assert len(api.asked("services", "list")) == lists


MOVED = json.dumps(  # good as such: if it counted, VM1 would be there
    build.vmi_json(addresses=("10.244.66.6",))
    | {"metadata": build.vmi_json()["metadata"] | {"uid": "uid-moved", "resourceVersion": "2000"}}
).encode()
TABLE = b'{"kind":"Table","apiVersion":"meta.k8s.io/v1","columnDefinitions":[],"rows":[],"metadata":{"name":"vm1"}}'
JUNK = {  # name -> the line, and what counts it
    "no JSON": (b"{nonsense}\n", "watch_errors"),
    "HTML": (b"<html><body>Bad Gateway</body></html>\n", "watch_errors"),
    "no UTF-8": (b"\xff\xfe\n", "watch_errors"),
    "a list": (b"[]\n", "watch_errors"),
    "null": (b"null\n", "watch_errors"),
    "no object": (b'{"type":"ADDED"}\n', "watch_errors"),
    "a type that is none": (b'{"type":7,"object":{}}\n', "watch_errors"),
    "an unknown type": (event_line("SHINY", MOVED), "refused_objects"),
    "no metadata": (event_line("MODIFIED", b'{"kind":"VirtualMachineInstance","spec":{}}'), "refused_objects"),
    "null for an object": (event_line("MODIFIED", b"null"), "refused_objects"),
    "another kind": (event_line("MODIFIED", MOVED.replace(VMI.encode(), b"Other")), "refused_objects"),
    "a Table": (event_line("MODIFIED", TABLE), "refused_objects"),
}


@pytest.mark.parametrize("what", JUNK)
async def test_f8_junk_in_a_watch(api: FakeApiServer, tmp_path: Path, what: str) -> None:
    """It is counted and changes nothing, and what comes after it counts."""
    line, counter = JUNK[what]
    async with faulted(api, tmp_path) as bed:
        await bed.calm()
        api.send(VMIS, line)
        api.put(vmi("vm2", "10.244.0.8"))
        await bed.until(VM2, ["10.244.0.8"])
        await bed.calm()
        assert await bed.metric(f"dnsserver_{counter}_total", kind=VMI) == 1
        assert await bed.metric("dnsserver_lists_total", kind=VMI) == 1 + (counter == "watch_errors")


@pytest.mark.parametrize("streams", [False, True])
async def test_f9_object_of_2_mib(api: FakeApiServer, tmp_path: Path, streams: bool) -> None:
    """An object far longer than any line buffer, in a list, in a streamed one and in a watch."""
    api.streams = streams
    big = vmi("vm2", "10.244.0.8")
    big["metadata"]["annotations"] = {"blob": "x" * 2**21}
    async with faulted(api, tmp_path) as bed:
        await bed.calm()
        api.put(big)
        await bed.until(VM2, ["10.244.0.8"])
        watches = len(api.asked(VMIS, "watch"))
        api.fault(VMIS, "watch", gone())
        api.end_watches(VMIS)
        await api.seen(VMIS, "watch", watches + (1 if streams else 2))
        await bed.calm()
        assert await bed.metric("dnsserver_lists_total", kind=VMI) == 2
        assert await bed.texts(VM2) == ["10.244.0.8"]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 2**20])
async def test_f10_any_chunks(api: FakeApiServer, tmp_path: Path, size: int) -> None:
    """However a stream is cut, with CRLF, blank lines and characters of several octets: the events are the same."""
    async with faulted(api, tmp_path) as bed:
        await bed.calm()
        watches = len(api.asked(VMIS, "watch"))
        api.fault(VMIS, "watch", Chunks(size))
        api.end_watches(VMIS)
        await api.seen(VMIS, "watch", watches + 1)
        lines = b"\r\n \n\n"
        for number in range(2, 5):
            value = vmi(f"vm{number}", f"10.244.0.{number}")
            value["metadata"]["annotations"] = {"owner": "Jürgen 日本 🚀"}
            told = json.dumps(api.put(value, told=False), ensure_ascii=False).encode()
            lines += event_line("ADDED", told).rstrip() + b"\r\n\r\n"
        api.send(VMIS, lines)
        for number in range(2, 5):
            await bed.until(f"vm{number}.{DB}", [f"10.244.0.{number}"])
        assert len(api.asked(VMIS, "watch")) == watches + 1
        assert await bed.metric("dnsserver_refused_objects_total") == 0


async def test_f11_watch_that_hangs(api: FakeApiServer, tmp_path: Path) -> None:
    """A watch that says no more is given up for another from where it was, without a list."""
    async with faulted(api, tmp_path, timing={"watch_silence": 0.2}, paced=False) as bed:
        await bed.calm()
        watches, lists = len(api.asked(VMIS, "watch")), len(api.asked(VMIS, "list"))
        api.end_watches(VMIS, "hang")
        api.put(vmi("vm2", "10.244.0.8"))
        await bed.until(VM2, ["10.244.0.8"])
        assert len(api.asked(VMIS, "watch")) > watches
        assert len(api.asked(VMIS, "list")) == lists
    # Bookmarks come about every minute, and the server ends a watch after 10 minutes at the latest.
    assert 2 * 60 < Timing().watch_silence < Timing().watch_max + 30


async def test_f11_network_that_swallows(api: FakeApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections that lead nowhere, the next ones as well for a while: found out without a word from there."""
    monkeypatch.setattr("dnsserver.sources.kubernetes.HEAD_TIMEOUT", 0.2)
    silence = {"watch_silence": 0.2, "answer_silence": 0.2}
    async with SwallowingProxy(api.port) as proxy:
        where = f"endpoint http://127.0.0.1:{proxy.port}"
        async with faulted(api, tmp_path, where=where, timing=silence, paced=False) as bed:
            await bed.calm()
            tried = len(bed.attempted(VMIS))
            proxy.deaf = True
            proxy.swallow()
            api.put(vmi("vm2", "10.244.0.8"))
            await bed.reach(lambda: len(bed.attempted(VMIS)) >= tried + 3)
            assert await bed.texts(VM2) == []
            proxy.deaf = False
            proxy.swallow()
            await bed.until(VM2, ["10.244.0.8"])


async def test_f11_keepalive(api: FakeApiServer, tmp_path: Path) -> None:
    """The kernel looks after every connection as well: after 30 s, and three times without an answer."""
    async with faulted(api, tmp_path) as bed:
        await bed.calm()
        found = sockets_to(api.port)
        assert len(found) >= bed.sources
        for one in found:
            assert one.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert one.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30
            assert one.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 3
            one.close()


def sockets_to(port: int) -> list[socket.socket]:
    """Return this process's connections to a port of 127.0.0.1; they are to be closed."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            if stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                one = socket.socket(fileno=os.dup(int(name)))
                try:
                    if one.getpeername() == ("127.0.0.1", port):
                        found.append(one)
                        continue
                except OSError:
                    pass  # it listens, or is no connection
                one.close()
        except OSError:
            continue  # closed meanwhile: the listing's own
    return found


@pytest.mark.parametrize("streams", [False, True])
async def test_f12_list_that_hangs(
    api: FakeApiServer, tmp_path: Path, streams: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list whose answer does not begin, or stops, is asked for again after a pause; the old answers stay."""
    api.streams = streams
    monkeypatch.setattr("dnsserver.sources.kubernetes.HEAD_TIMEOUT", 0.2)
    async with faulted(api, tmp_path, timing={"answer_silence": 0.2, "initial_silence": 0.2}) as bed:
        await bed.calm()
        api.put(vmi("vm2", "10.244.0.8"))
        await bed.until(VM2, ["10.244.0.8"])
        api.fault(VMIS, "stream", Hang(40))
        api.fault(VMIS, "list", Hang(-1), Hang(0), Hang(40))
        api.fault(VMIS, "watch", gone())
        api.end_watches(VMIS)
        api.delete(VMI, "ns1", "vm2")
        began = bed.clock.now()
        await bed.until(VM2, [])
        assert bed.clock.now() - began > 0.8 + 1.6 + 3.2 + 6.4  # after the watch, and after each list
        assert len(bed.lines("cannot list")) == 1
        assert bed.lines("no answer in time")
