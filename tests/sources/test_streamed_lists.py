"""Lists that come as the beginning of a watch, and what happens where the API server cannot do that."""

import json
import logging

import pytest

from dnsserver.events import Changed, Deleted, ListedPage, ListEnded, ListStarted, NotServed
from dnsserver.objects import Kind
from tests.fakes.api_clock import FakeClock
from tests.fakes.api_faults import Drop, Fault, Hang, Lines, Reply, event_line, gone, refuse, status_body, too_large
from tests.fakes.api_mirror import mirrored
from tests.fakes.api_server import VMIS, FakeApiServer, initial_end
from tests.sources.conftest import MakeWatch
from tests.sources.test_watch import nodes, put, vmi

VMI = "VirtualMachineInstance"


def line(change: str, name: str, version: int, *, node: str = "", kind: str = VMI) -> bytes:
    """Return an event of a VMI."""
    value = vmi(name, node, uid=f"uid-{name}", resourceVersion=str(version)) | {"kind": kind}
    return event_line(change, json.dumps(value).encode())


@pytest.fixture
def streaming(api: FakeApiServer) -> FakeApiServer:
    """An API server that streams lists."""
    api.streams = True
    return api


async def test_list_and_watch_are_one_request(streaming: FakeApiServer, make_watch: MakeWatch) -> None:
    """The list is told as a list, in pages; what follows comes in the same answer."""
    put(streaming, "a", "b", "c")
    watch = make_watch(streamed=True, page_size=2)
    async with mirrored(watch) as mirror:
        await mirror.until_names("a", "b", "c")
        put(streaming, "d")
        streaming.delete(VMI, "ns1", "a")
        await mirror.until_names("b", "c", "d")
        streaming.end_watches(VMIS)
        again = await streaming.seen(VMIS, "watch")
    assert [one.verb for one in streaming.requests if one.verb != "get"] == ["stream", "watch"]
    asked = streaming.asked(VMIS, "stream")[0].query
    assert asked.pop("timeoutSeconds") == "450"
    assert asked == {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
        "resourceVersion": "",
    }
    assert again.query["resourceVersion"] == "1005"
    assert [type(one) for one in mirror.events] == [ListStarted, ListedPage, ListEnded, Changed, Deleted]
    assert set(mirror.states[:2]) == {frozenset()}
    assert watch.status.lists[Kind.VMI] == 1
    assert not watch.status.watch_errors


async def test_relist_is_streamed_as_well(streaming: FakeApiServer, make_watch: MakeWatch) -> None:
    """After a 410 the list is no older than what is known, and shows in one step."""
    put(streaming, "a", "x")
    async with mirrored(make_watch(streamed=True)) as mirror:
        await mirror.until_names("a", "x")
        streaming.fault(VMIS, "watch", gone())
        streaming.end_watches(VMIS)
        streaming.delete(VMI, "ns1", "x")
        put(streaming, "y")
        await mirror.until_names("a", "y")
    assert [one.query["resourceVersion"] for one in streaming.asked(VMIS, "stream")] == ["", "1002"]
    assert not streaming.asked(VMIS, "list")
    assert frozenset({("ns1", "a")}) not in mirror.states


@pytest.mark.parametrize(
    ("fault", "again"),
    [
        (refuse(422, "Invalid"), False),
        (refuse(400, "BadRequest"), False),
        (Lines((line("ADDED", "x", 1001), line("ADDED", "y", 1002)), then="hang"), False),
        (Lines((line("ADDED", "x", 1001),), then="end"), True),
        (Lines((line("ADDED", "x", 1001),), then="drop"), True),
        (Lines((line("ADDED", "x", 1001), b"{nonsense}\n"), then="hang"), True),
        (Lines((event_line("BOOKMARK", b'{"metadata":{"annotations":{"k8s.io/initial-events-end":"true"}}}'),)), True),
        (Lines((event_line("ERROR", status_body(410, "Expired")),), then="hang"), True),
        (Hang(0), False),
        (Hang(40), False),
        (Drop(0), True),
        (Drop(100), True),
        (too_large("9"), True),
        (Reply(502, b"<html>Bad Gateway</html>", content_type="text/html"), False),
    ],
)
async def test_plain_list_where_that_fails(
    streaming: FakeApiServer, make_watch: MakeWatch, fault: Fault, *, again: bool
) -> None:
    """Nothing of a stream that does not come to its end is ever seen: a plain list follows at once.

    `again` says whether the next list is streamed.
    """
    put(streaming, "a", "b")
    streaming.fault(VMIS, "stream", fault)
    async with mirrored(make_watch(streamed=True, initial_silence=0.05)) as mirror:
        await mirror.until_names("a", "b")
        assert set(mirror.states[:-1]) == {frozenset()}
        await streaming.seen(VMIS, "watch")
        streaming.fault(VMIS, "watch", gone())
        streaming.end_watches(VMIS)
        await mirror.until_listed(2)
    assert len(streaming.asked(VMIS, "stream")) == 1 + again
    assert len(streaming.asked(VMIS, "list")) == 2 - again


async def test_endless_list(streaming: FakeApiServer, make_watch: MakeWatch) -> None:
    """An API server that does not know the parameter may talk for ever, and never says where the list ends."""
    put(streaming, "a")
    streaming.fault(VMIS, "stream", Lines((line("ADDED", "x", 1),), then="hang"))
    async with mirrored(make_watch(streamed=True, initial_limit=-1.0)) as mirror:
        await mirror.until_names("a")
    assert len(streaming.asked(VMIS, "stream")) == 1


async def test_refused_once_is_not_asked_again(api: FakeApiServer, make_watch: MakeWatch) -> None:
    """An API server that cannot stream lists is found out by one request."""
    put(api, "a")
    async with mirrored(make_watch(streamed=True)) as mirror:
        await mirror.until_names("a")
        await api.seen(VMIS, "watch")
        api.send(VMIS, event_line("ERROR", status_body(410, "Expired")))
        await mirror.until_listed(2)
    assert len(api.asked(VMIS, "stream")) == 1


async def test_failures_are_those_of_the_list(
    streaming: FakeApiServer, make_watch: MakeWatch, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """What both ways of listing meet is told once, in the words of the list, and costs no more requests."""
    caplog.set_level(logging.INFO, "plugin/kubernetes")
    streaming.forbidden.add(VMIS)
    async with mirrored(make_watch(streamed=True)) as mirror:
        await mirror.until(lambda: mirror.count(NotServed) == 1)
        await clock.until(lambda: clock.time > 1300)
        assert len(streaming.asked(VMIS, "stream")) == 1
        streaming.forbidden.clear()
        put(streaming, "a")
        await mirror.until_names("a")
    assert [one.split(":")[0] for one in caplog.messages] == [
        "cannot list virtualmachineinstances.kubevirt.io",
        "listed 1 virtualmachineinstances.kubevirt.io",
    ]


async def test_other_events_among_them(streaming: FakeApiServer, make_watch: MakeWatch) -> None:
    """Whatever comes before the end of the list counts, in its order; what cannot be read is refused by itself."""
    lines = (
        line("ADDED", "a", 1001),
        line("ADDED", "b", 1002),
        line("ADDED", "odd", 1003, kind="Other"),
        line("ADDED", "a", 1001, node="replayed"),
        line("DELETED", "b", 1004),
        line("ADDED", "c", 1005),
        line("ADDED", "b", 1006, node="again"),
        line("MODIFIED", "c", 1007, node="later"),
        initial_end(VMI, 1008),
        line("MODIFIED", "a", 1009, node="watched"),
    )
    streaming.fault(VMIS, "stream", Lines(lines, then="hang"))
    watch = make_watch(streamed=True)
    async with mirrored(watch) as mirror:
        await mirror.until(lambda: nodes(mirror) == {"a": "watched", "b": "again", "c": "later"})
    (page,) = (one for one in mirror.events if isinstance(one, ListedPage))
    assert [one.key[1] for one in page.objects] == ["a", "b", "c"]
    assert page.kept == (("ns1", "odd"),)
    assert watch.status.refused[Kind.VMI] == 1
