"""A list beside the running watch: what an API server has kept from the watch is found, counted and repaired."""

import asyncio
import logging

import msgspec
import pytest

from dnsserver.events import Changed, Deleted, ListEnded
from dnsserver.objects import Kind
from dnsserver.sources.envelopes import Head
from dnsserver.sources.versions import Comparison, Versions
from tests.fakes.api_clock import FakeClock
from tests.fakes.api_faults import Fault, Hang, Reply, Serve, gone, refuse
from tests.fakes.api_mirror import mirrored
from tests.fakes.api_server import VMIS, FakeApiServer
from tests.sources.conftest import MakeWatch
from tests.sources.test_watch import nodes, put, vmi


async def relisted(api: FakeApiServer, clock: FakeClock, seconds: float = 1800) -> None:
    """Let the time until the next list go by, and that list come; bookmarks are what a quiet watch gets."""
    before = len(api.asked(VMIS, "list"))
    clock.time += seconds
    async with asyncio.timeout(5):
        while len(api.asked(VMIS, "list")) == before:
            api.bookmark(VMIS)
            await asyncio.sleep(0.002)
    for _ in range(20):
        await asyncio.sleep(0.002)
        api.bookmark(VMIS)


async def test_skipped_events_are_repaired(
    api: FakeApiServer, make_watch: MakeWatch, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """An object that came, one that changed and one that went without a word: three differences, one list."""
    put(api, "a", "b", "c")
    watch = make_watch(page_size=2)
    async with mirrored(watch) as mirror:
        await api.seen(VMIS, "watch")
        api.put(vmi("new"), told=False)
        api.put(vmi("b", "node2"), told=False)
        api.delete("VirtualMachineInstance", "ns1", "c", told=False)
        lists = len(api.asked(VMIS, "list"))
        await relisted(api, clock)
        await mirror.until_names("a", "b", "new")
        assert nodes(mirror)["b"] == "node2"
        assert watch.status.relist_differences[Kind.VMI] == 3
        await relisted(api, clock)
        assert watch.status.relist_differences[Kind.VMI] == 3
    assert mirror.count(ListEnded) == 1  # what was known stayed known, and the watch went on
    assert len(api.asked(VMIS, "watch")) == 1
    assert "limit" in api.asked(VMIS, "list")[lists].query
    assert "resourceVersion" not in api.asked(VMIS, "list")[lists].query
    assert "missed 3 changes" in caplog.text


@pytest.mark.parametrize(("chance", "pause"), [(0.0, 600), (0.5, 1200), (1.0, 1800)])
async def test_when(api: FakeApiServer, make_watch: MakeWatch, clock: FakeClock, chance: float, pause: float) -> None:
    """Between 10 and 30 minutes after the last list, as chance has it, whatever the watch tells meanwhile."""
    clock.luck = chance
    async with mirrored(make_watch()) as mirror:
        await api.seen(VMIS, "watch")
        clock.time += pause - 1
        put(api, "a")
        await mirror.until_names("a")
        await asyncio.sleep(0.01)
        assert len(api.asked(VMIS, "list")) == 1
        await relisted(api, clock, 1)
    assert len(api.asked(VMIS, "list")) == 2


async def test_watch_goes_on_meanwhile(api: FakeApiServer, make_watch: MakeWatch, clock: FakeClock) -> None:
    """A list that hangs keeps no event back, and what the watch tells meanwhile is no difference."""
    put(api, "a", "b")
    watch = make_watch(page_size=1, answer_silence=0.2)
    async with mirrored(watch) as mirror:
        await api.seen(VMIS, "watch")
        api.fault(VMIS, "list", Serve(), Hang(0))
        lists = len(api.asked(VMIS, "list"))
        clock.time += 1800
        api.bookmark(VMIS)
        await api.seen(VMIS, "list", lists + 2)
        put(api, "c")
        api.delete("VirtualMachineInstance", "ns1", "a")
        await mirror.until_names("b", "c")
        await asyncio.sleep(0.3)
        await relisted(api, clock)
        await relisted(api, clock)
    assert not watch.status.relist_differences
    assert not watch.status.watch_errors
    assert [type(event) for event in mirror.events[-2:]] == [Changed, Deleted]


@pytest.mark.parametrize(
    "fault",
    [
        refuse(503, "ServiceUnavailable"),
        gone(),
        Reply(body=b'{"kind":"VirtualMachineInstanceList","metadata":{"resourceVersion":"7"},"items":[]}'),
        Reply(body=b'{"kind":"VirtualMachineInstanceList","metadata":{"resourceVersion":"x"},"items":[]}'),
        Reply(body=b"<html>", content_type="text/html"),
    ],
)
async def test_list_that_fails(api: FakeApiServer, make_watch: MakeWatch, clock: FakeClock, fault: Fault) -> None:
    """A list that fails, or one from the past, says nothing; the next one does."""
    put(api, "a")
    watch = make_watch()
    async with mirrored(watch) as mirror:
        await api.seen(VMIS, "watch")
        api.put(vmi("b"), told=False)
        api.fault(VMIS, "list", fault)
        await relisted(api, clock)
        assert sorted(nodes(mirror)) == ["a"]
        await relisted(api, clock)
        await mirror.until_names("a", "b")
    assert len(api.asked(VMIS, "watch")) == 1


async def test_list_in_circles(api: FakeApiServer, make_watch: MakeWatch, clock: FakeClock) -> None:
    """A server that repeats a page is not followed."""
    watch = make_watch()
    async with mirrored(watch):
        await api.seen(VMIS, "watch")
        body = b'{"kind":"VirtualMachineInstanceList","metadata":{"resourceVersion":"2000","continue":"x"},"items":[]}'
        api.fault(VMIS, "list", Reply(body=body), times=2)
        await relisted(api, clock)
    assert len(api.asked(VMIS, "list")) == 3


async def test_a_bug_does_not_end_the_watch(
    api: FakeApiServer,
    make_watch: MakeWatch,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Not even our own mistakes in comparing end the watch."""

    def stumble(comparison: Comparison, items: object) -> None:
        raise KeyError("our mistake")

    monkeypatch.setattr(Comparison, "page", stumble)
    put(api, "a")
    async with mirrored(make_watch()) as mirror:
        await api.seen(VMIS, "watch")
        await relisted(api, clock)
        put(api, "b")
        await mirror.until_names("a", "b")
    assert "unexpected failure in a list" in caplog.text


async def test_without_bookmarks_the_end_of_a_watch_tells(
    api: FakeApiServer, make_watch: MakeWatch, clock: FakeClock
) -> None:
    """Where no bookmark says how far the watch has come, a watch that has ended has told everything."""
    put(api, "a", "b")
    watch = make_watch()
    async with mirrored(watch) as mirror:
        await api.seen(VMIS, "watch")
        api.put(vmi("a", "node1"))
        api.delete("VirtualMachineInstance", "ns1", "b", told=False)
        clock.time += 1800
        api.put(vmi("a", "node2"))
        api.delete("VirtualMachineInstance", "ns1", "a", told=False)
        await api.seen(VMIS, "list", 2)
        await asyncio.sleep(0.05)
        assert len(mirror.current) == 2
        api.end_watches(VMIS)
        await mirror.until_names()
    assert watch.status.relist_differences[Kind.VMI] == 2


async def test_refused_object_is_no_difference(
    api: FakeApiServer, make_watch: MakeWatch, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """What the watch could not understand is not missed; what it was not told is refused like anything else."""
    caplog.set_level(logging.INFO)
    watch = make_watch()
    bad = {**vmi("bad"), "status": "?"}
    async with mirrored(watch):
        await api.seen(VMIS, "watch")
        api.put(bad)
        await relisted(api, clock)
        assert watch.status.refused[Kind.VMI] == 1
        api.put({**bad, "metadata": {"namespace": "ns1", "name": "worse"}}, told=False)
        await relisted(api, clock)
        await relisted(api, clock)
    assert watch.status.refused[Kind.VMI] == 2
    assert not watch.status.relist_differences


async def test_list_under_way_ends_with_the_source(api: FakeApiServer, make_watch: MakeWatch, clock: FakeClock) -> None:
    """No request outlives the source."""
    async with mirrored(make_watch()):
        await api.seen(VMIS, "watch")
        api.fault(VMIS, "list", Hang(0))
        clock.time += 1800
        api.bookmark(VMIS)
        await api.seen(VMIS, "list", 2)
        assert [task for task in asyncio.all_tasks() if "Relist" in repr(task.get_coro())]
    assert not [task for task in asyncio.all_tasks() if "Relist" in repr(task.get_coro())]


def _head(name: str, version: str) -> Head:
    return Head("", ("ns1", name), "", version)


def test_comparison() -> None:
    """Only what the watch should have told by the list's version is missed; its own newer news always counts."""
    versions = Versions()
    for name, version in (("same", "5"), ("gone", "6"), ("ahead", "7"), ("odd", "odd"), ("recreated", "3")):
        versions.list(_head(name, version))
    versions.list_ended()
    comparison = versions.compare()
    comparison.version = 20
    raw = msgspec.Raw(b"{}")
    late = ("late", "18"), ("deleted", "17"), ("missed", "19"), ("reborn", "16"), ("odd", "odd")
    comparison.page([(_head(name, version), raw) for name, version in (("same", "5"), *late)])
    versions.change(_head("late", "18"))  # was under way
    versions.delete(_head("deleted", "30"))  # was under way too, and so was its end
    versions.delete(_head("reborn", "15"))  # and then came again, of which nothing was told
    versions.change(_head("ahead", "25"))
    versions.delete(_head("recreated", "10"))
    versions.change(_head("recreated", "24"))
    versions.change(_head("young", "26"))
    assert sorted(head.key[1] for head, _ in comparison.changed()) == ["missed", "reborn"]
    assert [key[1] for key in comparison.deleted()] == ["gone"]
