"""The list-then-watch loop against a fake API server over real HTTP: every fault, and what must come out."""

import asyncio
import json
import logging
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dnsserver.events import Changed, Deleted, ListedPage, ListEnded, ListStarted, NotServed
from dnsserver.objects import Kind, VirtualMachineInstance
from dnsserver.sources.backoff import Backoff, SystemClock
from dnsserver.sources.kubernetes import ApiConfig, connect
from dnsserver.sources.lines import MAX_LINE, LineBuffer, LineTooLongError
from dnsserver.sources.timing import Timing
from dnsserver.sources.watch import ResourceWatch
from tests.fakes.api_clock import FakeClock
from tests.fakes.api_faults import (
    Chunks,
    Drop,
    Fault,
    Hang,
    Lines,
    Reply,
    Serve,
    event_line,
    gone,
    refuse,
    status_body,
    too_large,
)
from tests.fakes.api_mirror import Mirror, mirrored
from tests.fakes.api_server import VMIS, FakeApiServer
from tests.sources.conftest import MakeWatch

GATEWAY_PAGE = Reply(502, b"<html><body>502 Bad Gateway</body></html>", content_type="text/html")


def vmi(name: str, node: str = "", **extra: Any) -> dict[str, Any]:
    """Return a small VMI."""
    metadata = {"namespace": "ns1", "name": name, **extra}
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": metadata,
        "status": {"nodeName": node},
    }


def service(name: str, **extra: Any) -> dict[str, Any]:
    """Return a small Service."""
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "ns1", "name": name, **extra}}


def put(api: FakeApiServer, *names: str) -> None:
    """Put some VMIs."""
    for name in names:
        api.put(vmi(name))


def nodes(mirror: Mirror) -> dict[str, str]:
    """Return each VMI's node: the part of its state that the tests change."""
    return {one.name: one.node for one in mirror.current.values() if isinstance(one, VirtualMachineInstance)}


async def test_first_list_then_watch(api: FakeApiServer, make_watch: MakeWatch) -> None:
    """The first list takes any age and is paged; the watch goes on from it, with bookmarks and a random length."""
    put(api, "a", "b")
    watch = make_watch()
    async with mirrored(watch) as mirror:
        await mirror.until_names("a", "b")
        listed = await api.seen(VMIS, "list")
        watched = await api.seen(VMIS, "watch")
        put(api, "c")
        await mirror.until_names("a", "b", "c")
        api.delete("VirtualMachineInstance", "ns1", "a")
        await mirror.until_names("b", "c")
    assert listed.path == "/apis/kubevirt.io/v1/virtualmachineinstances"
    assert listed.query == {"resourceVersion": "0", "limit": "500"}
    assert watched.query == {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": "1002",
        "timeoutSeconds": "450",
    }
    assert [type(event) for event in mirror.events] == [ListStarted, ListedPage, ListEnded, Changed, Deleted]
    assert watch.kinds == {Kind.VMI}
    assert watch.status.lists[Kind.VMI] == 1
    assert Kind.VMI in watch.status.last_contact
    assert not watch.status.watch_errors


async def test_list_of_10_000_in_pages(api: FakeApiServer, make_watch: MakeWatch) -> None:
    """Pages of 500, decoded 100 objects at a time, and nothing to be seen before the last."""
    put(api, *(f"vm{number}" for number in range(10_000)))
    async with mirrored(make_watch()) as mirror:
        await mirror.until_listed()
    assert len(mirror.current) == 10_000
    assert [len(one.objects) for one in mirror.events if isinstance(one, ListedPage)] == [100] * 100
    assert set(mirror.states[:-1]) == {frozenset()}
    requests = api.asked(VMIS, "list")
    assert [one.query["limit"] for one in requests] == ["500"] * 20
    assert all("resourceVersion" not in one.query for one in requests[1:])


async def test_unpaged_answer_is_decoded_in_parts(api: FakeApiServer, make_watch: MakeWatch) -> None:
    """A watch cache ignores the limit at resourceVersion=0; the event loop gets its turn all the same."""
    api.pages_any_age = False
    put(api, *(f"vm{number}" for number in range(1200)))
    async with mirrored(make_watch()) as mirror:
        await mirror.until_listed()
    assert [len(one.objects) for one in mirror.events if isinstance(one, ListedPage)] == [100] * 12


async def test_kinds_and_their_paths(api: FakeApiServer, make_watch: MakeWatch) -> None:
    """Every kind is found where the API has it."""
    api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ns1"}})
    api.put(service("db"))
    api.put(
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"namespace": "ns1", "name": "db-1"},
            "addressType": "IPv4",
            "endpoints": [],
        }
    )
    for kind, name in ((Kind.NAMESPACE, "ns1"), (Kind.SERVICE, "db"), (Kind.ENDPOINT_SLICE, "db-1")):
        async with mirrored(make_watch(kind)) as mirror:
            await mirror.until_names(name)
    assert [one.path for one in api.requests if one.verb == "list"] == [
        "/api/v1/namespaces",
        "/api/v1/services",
        "/apis/discovery.k8s.io/v1/endpointslices",
    ]


async def test_label_selector(api: FakeApiServer, make_watch: MakeWatch) -> None:
    """A selector is the API server's to apply, in the list and in the watch."""
    api.put(service("a", labels={"dns": "yes"}))
    api.put(service("b"))
    async with mirrored(make_watch(Kind.SERVICE, selector="dns=yes,!hidden")) as mirror:
        await mirror.until_names("a")
        await api.seen("services", "watch")
        api.put(service("c", labels={"dns": "yes"}))
        await mirror.until_names("a", "c")
        api.put(service("a", labels={"dns": "yes", "hidden": ""}))
        await mirror.until_names("c")
    assert {one.query["labelSelector"] for one in api.asked("services", "list")} == {"dns=yes,!hidden"}


# What the connection does


@pytest.mark.parametrize("how", ["end", "drop"])
async def test_watch_again_from_the_last_version(api: FakeApiServer, make_watch: MakeWatch, how: Any) -> None:
    """A watch that ends, well or badly, is followed by another from the last event, without a list and at once."""
    watch = make_watch()
    async with mirrored(watch) as mirror:
        await api.seen(VMIS, "watch")
        put(api, "a")
        await mirror.until_names("a")
        api.end_watches(VMIS, how)
        put(api, "b")  # while nobody looks
        again = await api.seen(VMIS, "watch", 2)
        await mirror.until_names("a", "b")
    assert again.query["resourceVersion"] == "1001"
    assert len(api.asked(VMIS, "list")) == 1
    assert watch.status.watch_errors[Kind.VMI] == (how == "drop")


async def test_bookmarks_move_the_version(api: FakeApiServer, make_watch: MakeWatch) -> None:
    """An hour of bookmarks, and the next watch goes on from the last."""
    async with mirrored(make_watch()) as mirror:
        await api.seen(VMIS, "watch")
        for number in range(60):
            api.put(service(f"other{number}"))
            api.bookmark(VMIS)
        api.end_watches(VMIS)
        again = await api.seen(VMIS, "watch", 2)
    assert again.query["resourceVersion"] == str(api.version)
    assert mirror.count(Changed) == 0


async def test_hung_watch(api: FakeApiServer, make_watch: MakeWatch) -> None:
    """A watch that says nothing for too long is given up for another."""
    api.fault(VMIS, "watch", Hang(0))
    async with mirrored(make_watch(watch_silence=0.05)) as mirror:
        await api.seen(VMIS, "watch", 2)
        put(api, "a")
        await mirror.until_names("a")
    assert len(api.asked(VMIS, "list")) == 1


@pytest.mark.parametrize("fault", [Hang(-1), Hang(0), Hang(40), Drop(-1), Drop(0), Drop(100)])
async def test_list_that_never_comes(api: FakeApiServer, make_watch: MakeWatch, fault: Fault) -> None:
    """A list that hangs or breaks off, wherever it does, is tried again after a pause."""
    put(api, "a")
    # The client repeats a request whose connection was closed before any answer, once and at once.
    api.fault(VMIS, "list", fault, times=2 if fault == Drop(-1) else 1)
    async with mirrored(make_watch(answer_silence=0.05)) as mirror:
        await mirror.until_names("a")
    assert mirror.count(ListEnded) == 1


async def test_page_that_fails_is_never_seen(api: FakeApiServer, make_watch: MakeWatch) -> None:
    """Half a list has no effect: the old state stays until a whole one has come."""
    put(api, "a", "b", "c", "d", "e")
    watch = make_watch(page_size=2)
    async with mirrored(watch) as mirror:
        await mirror.until_listed()
        for name in "abcd":
            api.delete("VirtualMachineInstance", "ns1", name)
        await mirror.until_names("e")
        put(api, "f", "g", "h")
        await mirror.until_names("e", "f", "g", "h")
        api.fault(VMIS, "list", Serve(), GATEWAY_PAGE)
        api.fault(VMIS, "watch", GATEWAY_PAGE)
        api.end_watches(VMIS)
        await mirror.until_listed(2)
    assert mirror.count(ListStarted) == 3
    assert mirror.states[-1] == {("ns1", name) for name in "efgh"}
    late = mirror.states[mirror.events.index(ListEnded(Kind.VMI)) + 8 :]
    assert set(late) == {mirror.states[-1]}


async def test_api_server_restarts(api: FakeApiServer, make_watch: MakeWatch, clock: FakeClock) -> None:
    """While nothing listens the state stays; afterwards the watch goes on without a list."""
    put(api, "a")
    async with mirrored(make_watch()) as mirror:
        await api.seen(VMIS, "watch")
        pauses = len(clock.sleeps)
        await api.stop()
        await clock.until(lambda: len(clock.sleeps) >= pauses + 8)
        api.put(vmi("b"))
        await api.start()
        await mirror.until_names("a", "b")
    assert len(api.asked(VMIS, "list")) == 1
    assert set(mirror.states[2:]) == {frozenset({("ns1", "a")}), frozenset({("ns1", "a"), ("ns1", "b")})}


# Versions that are too old, and too new


@pytest.mark.parametrize("told_in", ["status", "event"])
async def test_410(api: FakeApiServer, make_watch: MakeWatch, told_in: str) -> None:
    """Too old a version is answered by a list, and what happened meanwhile shows up in one step."""
    put(api, "a", "x")
    async with mirrored(make_watch()) as mirror:
        await api.seen(VMIS, "watch")
        if told_in == "status":
            api.fault(VMIS, "watch", gone())
        api.end_watches(VMIS)
        api.delete("VirtualMachineInstance", "ns1", "x")
        put(api, "y")
        api.expire()
        await mirror.until_names("a", "y")
    assert [one.query.get("resourceVersion") for one in api.asked(VMIS, "list")] == ["0", "1002"]
    assert "limit" not in api.asked(VMIS, "list")[1].query
    assert frozenset({("ns1", "a")}) not in mirror.states


async def test_410_in_mid_watch(api: FakeApiServer, make_watch: MakeWatch) -> None:
    """An ERROR event with 410 ends the watch, even where the server leaves the stream open."""
    put(api, "a")
    async with mirrored(make_watch()) as mirror:
        await api.seen(VMIS, "watch")
        api.send(VMIS, event_line("ERROR", status_body(410, "Expired")))
        await mirror.until_listed(2)
        await api.seen(VMIS, "watch", 2)


@pytest.mark.parametrize("reply", [gone(), too_large("1001"), refuse(504, "Timeout", "Too large resource version: 9")])
async def test_list_of_a_version_that_is_not_there(api: FakeApiServer, make_watch: MakeWatch, reply: Fault) -> None:
    """Where the last version cannot be listed, whatever is there now is, at once."""
    put(api, "a")
    async with mirrored(make_watch()) as mirror:
        await api.seen(VMIS, "watch")
        api.fault(VMIS, "list", reply)
        api.fault(VMIS, "watch", gone())
        api.end_watches(VMIS)
        await mirror.until_listed(2)
    assert [one.query.get("resourceVersion") for one in api.asked(VMIS, "list")] == ["0", "1001", None]


async def test_410_for_ever(api: FakeApiServer, make_watch: MakeWatch, clock: FakeClock) -> None:
    """Never a tight loop: at most ten requests in the first half minute, two a minute later."""
    api.fault(VMIS, "list", gone(), times=None)
    async with mirrored(make_watch()):
        await clock.until(lambda: clock.time > 1600)
    times = [one.time - 1000 for one in api.asked(VMIS, "list")]
    assert len([one for one in times if one < 30]) <= 10
    assert len([one for one in times if 300 <= one < 600]) <= 10
    assert [one.query.get("resourceVersion") for one in api.asked(VMIS, "list")][:4] == ["0", None, None, None]


async def test_going_back_in_time_is_said(
    api: FakeApiServer, make_watch: MakeWatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A cluster restored from a backup is believed, and the step back is logged."""
    put(api, "a")
    async with mirrored(make_watch()) as mirror:
        await api.seen(VMIS, "watch")
        api.fault(VMIS, "list", too_large("1001"), _list())
        api.send(VMIS, event_line("ERROR", status_body(500, "InternalError")))
        await mirror.until_listed(2)
    assert "were at resourceVersion 1001, are at 7" in caplog.text


async def test_continue_token_expires(api: FakeApiServer, make_watch: MakeWatch) -> None:
    """A list that outlived its token starts again, without pages."""
    put(api, *"abcdef")
    api.fault(VMIS, "list", Serve(), Serve(), gone())
    async with mirrored(make_watch(page_size=2)) as mirror:
        await mirror.until_names(*"abcdef")
    assert mirror.count(ListStarted) == 2
    assert mirror.count(ListEnded) == 1
    last = api.asked(VMIS, "list")[-1].query
    assert last == {"resourceVersion": "0"}


async def test_repeated_page_is_an_error(api: FakeApiServer, make_watch: MakeWatch) -> None:
    """A server that goes round in circles does not take us with it."""
    body = {"kind": "VirtualMachineInstanceList", "metadata": {"resourceVersion": "9", "continue": "x"}, "items": []}
    api.fault(VMIS, "list", Reply(body=json.dumps(body).encode()), times=2)
    put(api, "a")
    async with mirrored(make_watch()) as mirror:
        await mirror.until_names("a")
    assert mirror.count(ListStarted) == 2


# Answers that are no answers


def _list(**changes: Any) -> Reply:
    body = {"kind": "VirtualMachineInstanceList", "metadata": {"resourceVersion": "7"}, "items": []}
    return Reply(body=json.dumps(body | changes).encode())


@pytest.mark.parametrize(
    "fault",
    [
        Reply(body=b""),
        Reply(body=b"{}"),
        Reply(body=b"[]"),
        Reply(body=b"null"),
        Reply(body=b'{"kind":"VirtualMachineInstanceList","metadata":{"resourceVersion":"7"},"items":[{'),
        Reply(body=b"<html>please log in</html>", content_type="text/html"),
        Reply(body=status_body(200, "Fine")),
        _list(kind="Table"),
        _list(metadata={}),
        _list(metadata={"resourceVersion": ""}),
        _list(metadata=None),
        Reply(body=b"[" * 100_000),
        GATEWAY_PAGE,
        refuse(500, "InternalError"),
        refuse(503, "ServiceUnavailable", retry_after=1),
        Reply(429, b"slow down", {"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"}),
        refuse(401, "Unauthorized"),
        refuse(400, "BadRequest"),
    ],
)
async def test_list_that_is_none(api: FakeApiServer, make_watch: MakeWatch, fault: Fault) -> None:
    """None of these is an empty list: the old state stays, and the next list counts."""
    put(api, "a")
    async with mirrored(make_watch()) as mirror:
        await api.seen(VMIS, "watch")
        api.fault(VMIS, "list", fault, fault)
        api.send(VMIS, event_line("ERROR", status_body(500, "InternalError")))
        await mirror.until_listed(2)
    assert set(mirror.states[2:]) == {frozenset({("ns1", "a")})}
    assert mirror.count(ListStarted) == 2


async def test_items_null_is_empty(api: FakeApiServer, make_watch: MakeWatch) -> None:
    """A list of null is a list of nothing, as Go writes it."""
    put(api, "a")
    api.fault(VMIS, "list", _list(items=None))
    async with mirrored(make_watch()) as mirror:
        await mirror.until_listed()
        assert mirror.current == {}


@pytest.mark.parametrize(
    "line",
    [
        b"{nonsense}\n",
        b"[]\n",
        b'{"type":7}\n',
        b'{"object":{}}\n',
        b"\xff\xfe\n",
        b"<html>\n",
        event_line("ERROR", status_body(500, "InternalError")),
        event_line("ERROR", b"null"),
        event_line("ERROR", b'{"code":"x"}'),
        event_line("ERROR", b"{}"),
        event_line("ERROR", b'{"reason":"Gone"}'),
        b"[" * 100_000 + b"\n",
    ],
)
async def test_nonsense_in_a_watch(api: FakeApiServer, make_watch: MakeWatch, line: bytes) -> None:
    """A line that cannot be understood at all leads to a new list."""
    put(api, "a")
    api.fault(VMIS, "watch", Lines((line,)))
    watch = make_watch()
    async with mirrored(watch) as mirror:
        await mirror.until_listed(2)
        await api.seen(VMIS, "watch", 2)
        put(api, "b")
        await mirror.until_names("a", "b")
    assert watch.status.watch_errors[Kind.VMI] == 1


@pytest.mark.parametrize(
    "line",
    [
        event_line("SHINY", json.dumps(vmi("x", uid="x")).encode()),
        event_line("ADDED", b"{}"),
        event_line("ADDED", b"null"),
        event_line("ADDED", b"[1]"),
        event_line("ADDED", json.dumps(vmi("x") | {"kind": "Table"}).encode()),
        event_line("ADDED", json.dumps(vmi("x") | {"status": {"phase": 7}}).encode()),
        event_line("MODIFIED", json.dumps(vmi("x") | {"metadata": None}).encode()),
        event_line("DELETED", b'{"metadata":{"name":7,"namespace":"ns1"}}'),
        event_line("DELETED", b'{"metadata":{"name":"x"}}'),
        event_line("ADDED", b'{"kind":"VirtualMachineInstance","metadata":{"name":"\xff"}}'),
    ],
)
async def test_bad_object_in_a_watch(
    api: FakeApiServer, make_watch: MakeWatch, line: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """A bad object is skipped, counted and logged once; the watch goes on."""
    put(api, "a")
    api.fault(VMIS, "watch", Lines((line, line)))
    watch = make_watch()
    async with mirrored(watch) as mirror:
        await api.seen(VMIS, "watch")
        put(api, "b")
        await mirror.until_names("a", "b")
    assert watch.status.refused[Kind.VMI] == 2
    assert mirror.count(ListStarted) == 1
    assert len([one for one in caplog.messages if "refused" in one]) == 1


async def test_bad_object_in_a_list(
    api: FakeApiServer, make_watch: MakeWatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot be understood is named, so that its last good state stays; it is logged once."""
    put(api, "a", "b")
    watch = make_watch()
    async with mirrored(watch) as mirror:
        await api.seen(VMIS, "watch")
        good = mirror.current["ns1", "a"]
        api.put(vmi("a") | {"status": {"phase": 7}})
        api.send(VMIS, event_line("ERROR", status_body(500, "InternalError")))
        await mirror.until_listed(2)
        assert mirror.current["ns1", "a"] is good
        await api.seen(VMIS, "watch", 2)
        api.send(VMIS, event_line("ERROR", status_body(500, "InternalError")))
        await mirror.until_listed(3)
    assert [one.kept for one in mirror.events if isinstance(one, ListedPage)] == [(), (("ns1", "a"),), (("ns1", "a"),)]
    assert watch.status.refused[Kind.VMI] == 3
    assert len([one for one in caplog.messages if one.startswith("refused")]) == 1


async def test_deleted_object_may_be_nonsense(api: FakeApiServer, make_watch: MakeWatch) -> None:
    """A deletion needs a name, and believes the uid."""
    put(api, "a", "b", "c")
    lines = (
        event_line("DELETED", b'{"kind":7,"metadata":{"namespace":"ns1","name":"a","uid":"uid-1"},"status":[]}'),
        event_line("DELETED", b'{"metadata":{"namespace":"ns1","name":"b","uid":"another"}}'),
        event_line("DELETED", b'{"metadata":{"namespace":"ns1","name":"c","uid":{},"resourceVersion":8}}'),
    )
    api.fault(VMIS, "watch", Lines(lines))
    async with mirrored(make_watch()) as mirror:
        await mirror.until(lambda: mirror.count(Deleted) == 3)
    assert sorted(mirror.current) == [("ns1", "b")]


async def test_old_states_never_win(api: FakeApiServer, make_watch: MakeWatch) -> None:
    """Replays, duplicates and states out of order end where the API is (F21, F22)."""
    put(api, "a")

    def line(kind: str, node: str, version: int, uid: str) -> bytes:
        value = vmi("a", node, uid=uid, resourceVersion=str(version))
        return event_line(kind, json.dumps(value).encode())

    lines = [
        line("MODIFIED", "old", 900, "uid-1"),  # older than the list
        line("MODIFIED", "n1", 1010, "uid-1"),
        line("MODIFIED", "n1", 1010, "uid-1"),
        line("ADDED", "n3", 1030, "uid-2"),  # the successor
        line("DELETED", "n1", 1020, "uid-1"),  # late
        line("MODIFIED", "n0", 1005, "uid-1"),  # later still
    ]
    api.fault(VMIS, "watch", Lines(tuple(lines)))
    async with mirrored(make_watch()) as mirror:
        await mirror.until(lambda: mirror.count(Deleted) == 1)
        api.end_watches(VMIS)
        again = await api.seen(VMIS, "watch", 2)
    assert nodes(mirror)["a"] == "n3"
    assert mirror.count(Changed) == 2
    assert again.query["resourceVersion"] == "1030"


# How the bytes come


def test_line_buffer() -> None:
    """Lines come out whole however the stream is cut; blank ones and the unfinished last one do not."""
    stream = "eins\r\n\n  \nzwei ü\n\ndrei\nfragment".encode()
    for size in range(1, len(stream) + 1):
        buffer = LineBuffer()
        chunks = [stream[start : start + size] for start in range(0, len(stream), size)]
        assert [line for chunk in chunks for line in buffer.feed(chunk)] == [b"eins\r", "zwei ü".encode(), b"drei"]


def test_line_buffer_has_an_end() -> None:
    """A stream without line ends does not eat the memory."""
    buffer = LineBuffer()
    chunk = bytes(MAX_LINE // 2)
    assert list(buffer.feed(chunk)) == []
    assert list(buffer.feed(chunk)) == []
    with pytest.raises(LineTooLongError):
        list(buffer.feed(b"x"))


async def test_one_octet_chunks(api: FakeApiServer, make_watch: MakeWatch) -> None:
    """Chunks of one octet, which cut characters in two as well."""
    api.fault(VMIS, "watch", Chunks(1))
    async with mirrored(make_watch()) as mirror:
        await api.seen(VMIS, "watch")
        api.put(vmi("a", "knoten-ü"))
        api.put(vmi("b", "日本"))
        await mirror.until_names("a", "b")
    assert nodes(mirror) == {"a": "knoten-ü", "b": "日本"}


async def test_long_line(api: FakeApiServer, make_watch: MakeWatch) -> None:
    """An object of 2 MiB, in a list and in a watch."""
    big = {"blob": "x" * 2**21}
    api.put(vmi("a", annotations=big))
    async with mirrored(make_watch()) as mirror:
        await api.seen(VMIS, "watch")
        api.put(vmi("b", annotations=big))
        await mirror.until_names("a", "b")
    assert len(api.asked(VMIS, "list")) == 1


@pytest.mark.parametrize("depth", [*range(880, 1010, 5), 10_000])
async def test_deep_object_keeps_nobody_from_being_read(api: FakeApiServer, make_watch: MakeWatch, depth: int) -> None:
    """An object nested deeper than the parser goes is read like any other, in a list and in a watch."""
    deep = json.dumps(vmi("deep", "n1", uid="d", resourceVersion="2000"))[:-1].encode()
    deep += b',"x":{"y]":' + b'[{"\\"":1,"z":' * (depth // 2) + b"0" + b"}]" * (depth // 2) + b"}}"
    flat = json.dumps(vmi("flat", resourceVersion="999")).encode()
    head = b'{"kind":"VirtualMachineInstanceList","metadata":{"resourceVersion":"1000"},"items":['
    api.fault(VMIS, "list", Reply(body=head + deep + b"," + flat + b"]}"))
    api.fault(VMIS, "watch", Lines((event_line("MODIFIED", deep.replace(b'"n1"', b'"n2"')),)))
    async with mirrored(make_watch()) as mirror:
        await mirror.until_names("deep", "flat")
        await mirror.until(lambda: nodes(mirror)["deep"] == "n2")
    assert mirror.count(ListEnded) == 1


async def test_event_cut_at_any_place(api: FakeApiServer, make_watch: MakeWatch) -> None:
    """A fragment is dropped and its event comes with the next watch, without a list."""
    async with mirrored(make_watch()) as mirror:
        await api.seen(VMIS, "watch")
        length = len(event_line("ADDED", json.dumps(api.put(vmi("vm000"))).encode()))
        count = 1
        for offset in [1, 2, 9, 25, *range(40, length, 37), length - 2, length - 1, length, length + 1]:
            api.fault(VMIS, "watch", Drop(offset))
            api.end_watches(VMIS)
            await api.seen(VMIS, "watch", len(api.asked(VMIS, "watch")) + 1)
            api.put(vmi(f"vm{count:03d}"))
            api.put(vmi(f"vm{count + 1:03d}"))
            count += 2
            await mirror.until(lambda expected=count: len(mirror.current) == expected)  # type: ignore[misc]  # a default binds the loop's value
    assert len(api.asked(VMIS, "list")) == 1


# Pauses


def test_backoff() -> None:
    """0.8 s, doubled up to 30 s, lengthened by chance to at most its double, and from the start after 2 min."""
    clock = FakeClock(chance=0)
    backoff = Backoff(clock, first=0.8, cap=30, reset=120)
    assert [backoff.pause() for _ in range(8)] == pytest.approx([0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30])
    clock.luck = 0.999
    assert backoff.pause() == pytest.approx(60, abs=0.1)
    clock.time += 119
    assert backoff.pause() > 30
    clock.time += 121
    assert backoff.pause() < 1.6


async def test_system_clock() -> None:
    """The real clock goes on, and chance stays in its bounds."""
    clock = SystemClock()
    before = clock.now()
    await clock.sleep(0.001)
    assert clock.now() > before
    assert all(0 <= clock.chance() < 1 for _ in range(100))


@pytest.mark.parametrize("chance", [0.0, 0.5, 0.99])
async def test_request_rate_under_permanent_failure(
    api: FakeApiServer, make_watch: MakeWatch, clock: FakeClock, chance: float, caplog: pytest.LogCaptureFixture
) -> None:
    """At most ten requests in the first half minute and two a minute later; one log line in all."""
    clock.luck = chance
    api.fault(VMIS, "list", refuse(500, "InternalError"), times=None)
    async with mirrored(make_watch()) as mirror:
        await clock.until(lambda: clock.time > 2000)
    times = [one.time - 1000 for one in api.requests]
    assert len([one for one in times if one < 30]) <= 10
    assert len([one for one in times if 300 <= one < 900]) <= 20
    assert mirror.events == []
    assert len([one for one in caplog.records if one.levelno >= logging.INFO]) == 1


async def test_retry_after(api: FakeApiServer, make_watch: MakeWatch, clock: FakeClock) -> None:
    """A server that asks for a pause gets it, up to five minutes; a busy watch goes on from where it was."""
    clock.luck = 0
    api.fault(VMIS, "list", refuse(429, "TooManyRequests", retry_after=7))
    api.fault(VMIS, "list", refuse(503, "ServiceUnavailable", retry_after=100_000))
    api.fault(VMIS, "watch", refuse(429, "TooManyRequests", retryAfterSeconds=9))
    busy = event_line("ERROR", status_body(429, "TooManyRequests", retryAfterSeconds=11))
    api.fault(VMIS, "watch", Lines((busy,)))
    async with mirrored(make_watch()):
        await api.seen(VMIS, "watch", 3)
    assert clock.sleeps == [7, 300, 9, 11]
    assert len(api.asked(VMIS, "list")) == 3


async def test_watch_that_ends_as_it_begins(api: FakeApiServer, make_watch: MakeWatch, clock: FakeClock) -> None:
    """It is a failure, not an invitation to a tight loop; one with an event is not."""
    api.fault(VMIS, "watch", Lines((), "end"), Drop(0), Lines((event_line("BOOKMARK", b"{}"),), "end"))
    async with mirrored(make_watch(watch_short=1.0)):
        await api.seen(VMIS, "watch", 4)
    assert len(clock.sleeps) == 2
    assert len(api.asked(VMIS, "list")) == 3


# Resources that are not there, or not ours to see


async def test_kubevirt_comes_and_goes(
    api: FakeApiServer, make_watch: MakeWatch, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Not served: said once; installed: found within 30 s; removed: empty, once discovery says so."""
    caplog.set_level(logging.INFO, "plugin/kubernetes")
    api.remove_kubevirt()
    async with mirrored(make_watch()) as mirror:
        await clock.until(lambda: len(clock.sleeps) >= 20)
        assert [type(one) for one in mirror.events] == [NotServed]
        assert max(clock.sleeps) <= 30
        assert len(caplog.messages) == 1
        api.install_kubevirt()
        put(api, "a")
        await mirror.until_names("a")
        await api.seen(VMIS, "watch")
        api.remove_kubevirt()
        await mirror.until(lambda: mirror.count(NotServed) == 2)
        assert mirror.current == {}
        api.install_kubevirt()
        put(api, "b")
        await mirror.until_names("b")
    assert [one.split(" ")[0] for one in caplog.messages] == ["the", "listed", "the", "listed"]


@pytest.mark.parametrize(
    "reply", [GATEWAY_PAGE, Reply(404, b"<html>no such page</html>", content_type="text/html"), Reply(body=b"{}")]
)
async def test_one_404_proves_nothing(api: FakeApiServer, make_watch: MakeWatch, reply: Fault) -> None:
    """While discovery does not say so itself, a resource is not gone."""
    put(api, "a")
    async with mirrored(make_watch()) as mirror:
        await api.seen(VMIS, "watch")
        api.fault(VMIS, "watch", refuse(404, "NotFound"))
        api.fault(VMIS, "list", refuse(404, "NotFound"))
        api.fault("", "get", reply)
        api.end_watches(VMIS)
        await mirror.until_listed(2)
    assert mirror.count(NotServed) == 0
    assert set(mirror.states[2:]) == {frozenset({("ns1", "a")})}


async def test_group_without_the_resource(api: FakeApiServer, make_watch: MakeWatch, clock: FakeClock) -> None:
    """KubeVirt's group is there before its VMIs are."""
    body = {"kind": "APIResourceList", "groupVersion": "kubevirt.io/v1", "resources": [{"name": "kubevirts"}]}
    group = {"kind": "APIGroup", "name": "kubevirt.io", "versions": [{"version": "v1"}, {"version": "v2"}]}
    api.fault("", "get", Reply(body=json.dumps(group).encode()), Reply(body=json.dumps(body).encode()))
    put(api, "a")
    async with mirrored(make_watch()) as mirror:
        await mirror.until_names("a")
    assert isinstance(mirror.events[0], NotServed)


async def test_version_without_the_resource(api: FakeApiServer, make_watch: MakeWatch) -> None:
    """A version that the group names but does not serve gives way to the next."""
    group = {"kind": "APIGroup", "name": "kubevirt.io", "versions": [{"version": "v1"}, {"version": "v1alpha3"}]}
    api.remove_kubevirt()
    api.install_kubevirt("v1alpha3")
    api.fault("", "get", Reply(body=json.dumps(group).encode()))
    put(api, "a")
    async with mirrored(make_watch()) as mirror:
        await mirror.until_names("a")
    assert mirror.count(NotServed) == 0


async def test_only_v1alpha3(api: FakeApiServer, make_watch: MakeWatch) -> None:
    """The older version does where it is all there is; and the newer one is found when the older goes."""
    api.remove_kubevirt()
    api.install_kubevirt("v1alpha3")
    put(api, "a")
    async with mirrored(make_watch()) as mirror:
        await mirror.until_names("a")
        await api.seen(VMIS, "watch")
        api.end_watches(VMIS)
        api.install_kubevirt("v1")
        put(api, "a", "b")
        await mirror.until_names("a", "b")
    assert [one.path.split("/")[3] for one in api.asked(VMIS, "list")] == ["v1alpha3", "v1"]
    assert mirror.count(NotServed) == 0


async def test_403_then_granted(
    api: FakeApiServer, make_watch: MakeWatch, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Never listed: not served, said once; asked again at most once a minute; one line names verbs and resource."""
    caplog.set_level(logging.INFO, "plugin/kubernetes")
    api.forbidden.add(VMIS)
    put(api, "a")
    watch = make_watch()
    async with mirrored(watch) as mirror:
        await clock.until(lambda: len(clock.sleeps) >= 10)
        assert [type(one) for one in mirror.events] == [NotServed]
        sort, reason = watch.status.troubles[Kind.VMI]
        assert sort == "forbidden"
        assert "403" in reason
        assert min(clock.sleeps) >= 60
        assert len(caplog.messages) == 1
        assert "verbs list and watch on virtualmachineinstances.kubevirt.io" in caplog.text
        api.forbidden.clear()
        await mirror.until_names("a")
        assert not watch.status.troubles


async def test_403_later_keeps_the_state(api: FakeApiServer, make_watch: MakeWatch, clock: FakeClock) -> None:
    """What was listed once stays when the right to list it is taken away."""
    put(api, "a")
    async with mirrored(make_watch()) as mirror:
        await api.seen(VMIS, "watch")
        api.forbidden.add(VMIS)
        api.end_watches(VMIS)
        await clock.until(lambda: len(clock.sleeps) >= 5)
        put(api, "b")
        api.forbidden.clear()
        await mirror.until_names("a", "b")
    assert mirror.count(NotServed) == 0


async def test_forbidden_discovery(api: FakeApiServer, make_watch: MakeWatch) -> None:
    """Where discovery is forbidden, the preferred version is tried."""
    api.fault("", "get", refuse(403, "Forbidden"), times=None)
    put(api, "a")
    async with mirrored(make_watch()) as mirror:
        await mirror.until_names("a")


async def test_a_bug_does_not_end_the_source(
    api: FakeApiServer, make_watch: MakeWatch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even our own mistakes end it."""
    calls = iter([True, False])

    def stumble(watch: ResourceWatch) -> dict[str, str]:
        if next(calls, False):
            raise KeyError("our mistake")
        return original(watch)

    original = ResourceWatch._watch_query
    monkeypatch.setattr(ResourceWatch, "_watch_query", stumble)
    put(api, "a")
    async with mirrored(make_watch()) as mirror:
        await mirror.until_listed(2)
        await api.seen(VMIS, "watch")
    assert "unexpected failure" in caplog.text


async def test_log_lines_of_an_outage(
    api: FakeApiServer, make_watch: MakeWatch, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """One line when it begins, one when it ends."""
    caplog.set_level(logging.INFO, "plugin/kubernetes")
    async with mirrored(make_watch()) as mirror:
        await api.seen(VMIS, "watch")
        api.fault(VMIS, "watch", refuse(503, "ServiceUnavailable"))
        api.fault(VMIS, "list", *[refuse(503, "ServiceUnavailable")] * 5)
        api.end_watches(VMIS)
        await api.seen(VMIS, "watch", 3)
        put(api, "a")
        await mirror.until_names("a")
    assert [one.split(":")[0] for one in caplog.messages] == [
        "listed 0 virtualmachineinstances.kubevirt.io",
        "cannot watch virtualmachineinstances.kubevirt.io",
        "cannot list virtualmachineinstances.kubevirt.io",
        "listed 0 virtualmachineinstances.kubevirt.io",
    ]


# All of it together

_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from("abcd"), st.integers(0, 9)),
        st.tuples(st.just("delete"), st.sampled_from("abcd")),
        st.tuples(st.sampled_from(["end", "drop", "expire", "tell", "bookmark", "wait", "nonsense"])),
        st.tuples(
            st.just("fault"), st.sampled_from(["list", "watch", "stream"]), st.integers(0, 5), st.integers(0, 300)
        ),
    ),
    max_size=30,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=_STEPS, streams=st.booleans())
def test_any_history_ends_in_the_api_servers_state(steps: list[tuple[Any, ...]], *, streams: bool) -> None:
    """Whatever happens, in whatever order: the events lead to what the API server holds."""
    asyncio.run(_replay(steps, streams=streams))


async def _replay(steps: list[tuple[Any, ...]], *, streams: bool) -> None:
    async with FakeApiServer() as api, connect(ApiConfig(endpoint=api.url)) as connection:
        api.streams = streams
        timing = Timing(page_size=2, watch_silence=0.05, answer_silence=0.05, initial_silence=0.05)
        watch = ResourceWatch(connection, Kind.VMI, timing=timing, clock=FakeClock())
        async with mirrored(watch) as mirror:
            for step in steps:
                await _take(api, step)
            api.heal(VMIS, "list")
            api.heal(VMIS, "watch")
            api.heal(VMIS, "stream")
            final = {key[1]: one["status"]["nodeName"] for key, one in api.objects("VirtualMachineInstance").items()}
            async with asyncio.timeout(20):
                await mirror.until(lambda: mirror.count(ListEnded) > 0 and nodes(mirror) == final)


async def _take(api: FakeApiServer, step: tuple[Any, ...]) -> None:
    """Take one step of a history."""
    match step:
        case ("put", name, node):
            api.put(vmi(name, str(node)))
        case ("delete", name):
            if ("ns1", name) in api.objects("VirtualMachineInstance"):
                api.delete("VirtualMachineInstance", "ns1", name)
        case ("end" | "drop" as how,):
            api.end_watches(VMIS, how)
        case ("expire",):
            api.expire()
        case ("tell",):
            api.expire(tell=True)
        case ("bookmark",):
            api.bookmark(VMIS)
        case ("nonsense",):
            api.send(VMIS, b"{nonsense}\n")
        case ("wait",):
            await asyncio.sleep(random.random() / 200)
        case ("fault", verb, number, octets):
            faults = [gone(), GATEWAY_PAGE, Drop(octets), Hang(octets), Chunks(1 + octets % 7), too_large("9")]
            api.fault(VMIS, verb, faults[number])
