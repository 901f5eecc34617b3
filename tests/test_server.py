"""Dispatch to server blocks, chains and their ends, and answers that are waited for."""

import asyncio
import inspect
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing

import msgspec
import pytest

from dnsserver.message import Client, Edns, Query, Reply, Transport
from dnsserver.names import from_labels, from_text
from dnsserver.plugins.plugin import Handler, Plugin, PluginError, Request, leave_fast_lane
from dnsserver.plugins.timeouts import Limit, Timeouts
from dnsserver.records import Opcode, Rcode, RRClass, RRset, RRType
from dnsserver.server import REFUSED, Block, Dispatcher, run_eagerly
from dnsserver.transports import serve_udp
from dnsserver.wire import HEADER_SIZE, ParsedResponse, encode_query, parse_response
from tests.harness import ask_udp, question

CLIENT = Client("127.0.0.1", 4242, Transport.UDP, "dns://:53")

Handle = Callable[[Request], Awaitable[Reply]]


class Says(Plugin):
    """Answers by a function, and notes the zone that each request came with."""

    def __init__(self, handle: Handle, name: str = "says") -> None:
        self.name = name
        self._handle = handle
        self.zones: list[str] = []

    async def handle(self, request: Request, call_next: Handler) -> Reply:
        """Answer."""
        self.zones.append(request.zone)
        return await self._handle(request)


class Passes(Plugin):
    """Passes everything on, as `errors` or `log` do."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.errors: list[str] = []

    async def handle(self, request: Request, call_next: Handler) -> Reply:
        """Pass on, and note what fails below."""
        try:
            return await call_next(request)
        except PluginError as error:
            self.errors.append(str(error))
            raise


class Silent(Plugin):
    """Takes no part in answering, as `bind` does."""

    name = "bind"


class Counted:
    """What a dispatcher counts."""

    def __init__(self) -> None:
        self.dropped: list[Reply] = []
        self.panics = 0

    def count_dropped(self, query: Query, client: Client, reply: Reply, started: float) -> None:
        """Note the reply to a query of no zone."""
        assert client == CLIENT
        assert 0 <= time.perf_counter() - started < 60
        self.dropped.append(reply)

    def count_panic(self) -> None:
        """Count."""
        self.panics += 1


def address(text: str) -> Handle:
    """Return a handler that answers with one address."""
    packed = bytes(map(int, text.split(".")))

    async def handle(request: Request) -> Reply:
        return Reply(answer=(RRset(request.query.name, RRType.A, 5, (packed,)),))

    return handle


def raising(error: BaseException) -> Handle:
    """Return a handler that fails."""

    async def handle(request: Request) -> Reply:
        raise error

    return handle


def block(zones: str, *plugins: Plugin) -> Block:
    """Return a server block of some zones."""
    return Block(tuple(map(from_text, zones.split())), plugins)


async def respond(dispatcher: Dispatcher, query: Query) -> ParsedResponse:
    """Return the response to a query, waited for where it has to be."""
    response = await waited(dispatcher(encode_query(query), CLIENT))
    assert isinstance(response, bytes)
    return parse_response(response)


async def waited(response: object) -> object:
    """Return a response, waited for where it has to be."""
    return await response if inspect.isawaitable(response) else response


ZONES = [".", "cluster.local", "svc.cluster.local", "ns.svc.cluster.local", "0.10.in-addr.arpa"]
OWNERS = [  # name asked, the zone whose block must answer
    ("example.org", "."),
    (".", "."),
    ("local", "."),
    ("cluster.local", "cluster.local"),
    ("CLUSTER.Local", "cluster.local"),
    ("notcluster.local", "."),  # the end of the text is no end of the name
    ("a.svc.cluster.local", "svc.cluster.local"),
    ("xsvc.cluster.local", "cluster.local"),
    ("ns.svc.cluster.local", "ns.svc.cluster.local"),
    ("a.b.c.ns.svc.cluster.local", "ns.svc.cluster.local"),
    ("cluster.local.example", "."),
    ("1.0.10.in-addr.arpa", "0.10.in-addr.arpa"),
    ("1.10.10.in-addr.arpa", "."),
]


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize(("qname", "zone"), OWNERS)
async def test_longest_zone_wins(qname: str, zone: str, backwards: bool) -> None:
    """The block of the longest zone answers, label by label, whatever the order of the blocks."""
    blocks = [(one, Says(address(f"10.0.0.{index}"))) for index, one in enumerate(ZONES)]
    ordered = blocks[::-1] if backwards else blocks
    dispatcher = Dispatcher([block(one, plugin) for one, plugin in ordered], Counted())
    response = await respond(dispatcher, question(qname))
    assert [record.rdata for record in response.answer] == [bytes([10, 0, 0, ZONES.index(zone)])]
    told = {one: plugin.zones for one, plugin in blocks if plugin.zones}
    assert told == {zone: ["." if zone == "." else f"{zone}."]}


def test_dot_inside_a_label_is_no_boundary() -> None:
    """`a.cluster.local` as one label is not below `cluster.local` (names are compared by labels)."""
    dispatcher = Dispatcher([block("cluster.local", Says(address("10.0.0.1")))], Counted())
    wire = from_labels((b"x.cluster", b"local"))
    query = Query(id=1, qname=wire, name=wire, qtype=RRType.A)
    response = dispatcher(encode_query(query), CLIENT)
    assert isinstance(response, bytes)
    assert parse_response(response).rcode == Rcode.REFUSED


async def test_outside_every_zone_is_refused_and_counted() -> None:
    """REFUSED with the question, without AA."""
    counted = Counted()
    dispatcher = Dispatcher([block("cluster.local", Says(address("10.0.0.1")))], counted)
    response = await respond(dispatcher, question("example.org"))
    assert (response.rcode, response.authoritative, response.answer) == (Rcode.REFUSED, False, ())
    assert counted.dropped == [REFUSED]


KEEPALIVES = [  # the options of `timeouts` in each block, tenths of a second
    ((), 100),
    (({"idle": 30.0},), 300),
    (({"idle": 30.0}, {"idle": 2.5}), 25),
    (({"idle": 86_400.0},), 0xFFFF),
]


@pytest.mark.parametrize(("limits", "expected"), KEEPALIVES)
async def test_keepalive(limits: tuple[dict[str, float], ...], expected: int) -> None:
    """What is told over TCP is the idle time of the listener, as far as 16 bits can say it; UDP has none."""
    blocks = [
        block(f"z{number}", Timeouts({name: Limit(value, "") for name, value in one.items()}))
        for number, one in enumerate(limits)
    ]
    query = question("a.b", edns=Edns(1232, options=((11, b""),)))
    wire = encode_query(msgspec.structs.replace(query, opcode=Opcode.STATUS))
    for transport, options in ((Transport.TCP, ((11, expected.to_bytes(2, "big")),)), (Transport.UDP, ())):
        client = Client("127.0.0.1", 4242, transport, "dns://:53")
        response = await waited(Dispatcher(blocks, Counted())(wire, client))
        assert isinstance(response, bytes)
        edns = parse_response(response).edns
        assert edns is not None
        assert edns.options == options


async def test_options_between_two_hosts() -> None:
    """Cookies and their like are neither for the chain nor from it; IPv6 clients have cookies too."""
    seen: list[Query] = []

    async def handle(request: Request) -> Reply:
        seen.append(request.query)
        return Reply(options=((10, b"upstream"), (12, b""), (65001, b"x")))

    asked = ((10, b"12345678"), (11, b""), (12, b""), (3, b""))
    wire = encode_query(question("a.b", edns=Edns(1232, options=asked)))
    dispatcher = Dispatcher([block(".", Says(handle))], Counted(), clock=lambda: 1559731985.9)
    response = await waited(dispatcher(wire, Client("fe80::1", 4242, Transport.UDP, "dns://:53")))
    assert isinstance(response, bytes)
    edns = parse_response(response).edns
    assert edns is not None
    assert [code for code, _ in edns.options] == [10, 65001]
    assert edns.options[0][1][:16] == b"12345678\1\0\0\0\x5c\xf7\x9f\x11"
    assert [query.edns for query in seen] == [Edns(1232, options=((3, b""),))]


async def test_proven_address() -> None:
    """A cookie of ours proves a client's address over UDP; the chain learns that, and nothing else of the cookie."""
    seen: list[Client] = []

    async def handle(request: Request) -> Reply:
        seen.append(request.client)
        return Reply()

    dispatcher = Dispatcher([block(".", Says(handle))], Counted(), clock=lambda: 1559731985.9)
    client = Client("127.0.0.1", 4242, Transport.UDP, "dns://:53")
    first = await waited(dispatcher(encode_query(question("a.b", edns=Edns(1232, options=((10, bytes(8)),)))), client))
    assert isinstance(first, bytes)
    edns = parse_response(first).edns
    assert edns is not None
    wire = encode_query(question("a.b", edns=edns))
    elsewhere = msgspec.structs.replace(client, address="127.0.0.2")
    for one in (client, elsewhere, msgspec.structs.replace(client, transport=Transport.TCP)):
        await waited(dispatcher(wire, one))
    await waited(dispatcher(encode_query(question("a.b")), client))
    assert [one.proven for one in seen] == [False, True, False, False, False]


async def test_no_block_at_all() -> None:
    """A listener without blocks refuses."""
    assert (await respond(Dispatcher([], Counted()), question("a.b"))).rcode == Rcode.REFUSED


@pytest.mark.parametrize("plugins", [(), (Silent(),)])
async def test_block_without_answering_plugins_refuses(plugins: tuple[Plugin, ...]) -> None:
    """A block that has nobody to answer is no owner of its names; it is not counted as dropped."""
    counted = Counted()
    response = await respond(Dispatcher([block(".", *plugins)], counted), question("a.b"))
    assert response.rcode == Rcode.REFUSED
    assert not counted.dropped


async def test_end_of_chain() -> None:
    """Nobody left to answer: SERVFAIL, and the error names the last plugin that answers at all."""
    first, last = Passes("errors"), Passes("kubernetes")
    counted = Counted()
    response = await respond(Dispatcher([block(".", first, last, Silent())], counted), question("a.b"))
    assert (response.rcode, response.authoritative) == (Rcode.SERVFAIL, False)
    assert first.errors == last.errors == ["plugin/kubernetes: no next plugin found"]
    assert counted.panics == 0


async def test_plugin_error_says_why() -> None:
    """An extended error goes to who has EDNS (RFC 8914); the words are for the log."""
    says = Says(raising(PluginError("forward", "down", 22)))
    for edns, expected in ((Edns(1232), (22, "")), (None, None)):
        response = await respond(Dispatcher([block(".", says)], Counted()), question("a.b", edns=edns))
        assert (response.rcode, response.extended_error) == (Rcode.SERVFAIL, expected)


async def test_plugin_error_is_servfail() -> None:
    """What a plugin cannot answer is no fault of ours."""
    counted = Counted()
    dispatcher = Dispatcher([block(".", Says(raising(PluginError("forward", "down"))))], counted)
    assert (await respond(dispatcher, question("a.b"))).rcode == Rcode.SERVFAIL
    assert counted.panics == 0


@pytest.mark.parametrize("waits", [False, True])
async def test_unexpected_exception(waits: bool, caplog: pytest.LogCaptureFixture) -> None:
    """A fault of ours costs one answer, is counted and logged, before and after a wait."""

    async def handle(request: Request) -> Reply:
        if waits:
            await leave_fast_lane()
        raise ZeroDivisionError("oops")

    counted = Counted()
    dispatcher = Dispatcher([block(".", Says(handle))], counted)
    with caplog.at_level(logging.ERROR):
        assert (await respond(dispatcher, question("a.b"))).rcode == Rcode.SERVFAIL
    assert counted.panics == 1
    assert "a.b." in caplog.text
    assert "oops" in caplog.text


async def test_faults_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """A hundred in a row are counted one by one, and one line speaks of them; the next says how many it stands for."""

    async def handle(request: Request) -> Reply:
        raise ZeroDivisionError

    counted = Counted()
    dispatcher = Dispatcher([block(".", Says(handle))], counted)
    with caplog.at_level(logging.ERROR):
        for _ in range(100):
            await respond(dispatcher, question("a.b"))
        assert (counted.panics, len(caplog.records)) == (100, 1)
        dispatcher._next_log = 0.0
        await respond(dispatcher, question("a.b"))
    assert caplog.records[-1].getMessage().endswith("(99 more before it)")


@pytest.mark.parametrize("blocks", [(), (block("example.org", Says(address("10.0.0.1"))),)])
def test_case_of_the_question_is_kept(blocks: tuple[Block, ...]) -> None:
    """The question comes back octet for octet, answered or refused (draft-vixie-dnsext-dns0x20)."""
    query = question("wWw.ExAmple.ORG")
    response = Dispatcher(blocks, Counted())(encode_query(query), CLIENT)
    assert isinstance(response, bytes)
    assert response[HEADER_SIZE:].startswith(query.qname)


@pytest.mark.parametrize("wire", [b"", b"\x00" * 11, b"\x12\x34\x80\x00" + bytes(8), b"\xff" * 12])
def test_no_answer(wire: bytes) -> None:
    """Silence for what is too short to be a message, and for responses."""
    assert Dispatcher([block(".", Says(address("10.0.0.1")))], Counted())(wire, CLIENT) is None


async def test_what_the_rules_decide_reaches_no_plugin() -> None:
    """Class CH and malformed messages are answered before any zone is looked for."""
    plugin = Says(address("10.0.0.1"))
    dispatcher = Dispatcher([block(".", plugin)], Counted())
    assert (await respond(dispatcher, question("a.b", qclass=RRClass.CH))).rcode == Rcode.REFUSED
    broken = dispatcher(encode_query(question("a.b"))[:-1], CLIENT)
    assert isinstance(broken, bytes)
    assert broken[3] & 15 == Rcode.FORMERR
    assert not plugin.zones


DS_OWNERS = [  # zones, name asked for DS, the zone whose block must answer (RFC 4035, section 3.1.4.1)
    ("example.org sub.example.org", "sub.example.org", "example.org"),
    ("example.org sub.example.org", "x.sub.example.org", "sub.example.org"),
    (". sub.example.org", "sub.example.org", "."),
    ("sub.example.org", "sub.example.org", "sub.example.org"),  # nobody else has the parent
    (".", ".", "."),
]


@pytest.mark.parametrize(("zones", "qname", "owner"), DS_OWNERS)
async def test_ds_is_the_parent_s(zones: str, qname: str, owner: str) -> None:
    """Whether a zone is signed is what its parent says."""
    blocks = {zone: Says(address("10.0.0.1")) for zone in zones.split()}
    dispatcher = Dispatcher([block(zone, plugin) for zone, plugin in blocks.items()], Counted())
    query = Query(id=1, qname=from_text(qname), name=from_text(qname), qtype=RRType.DS)
    await respond(dispatcher, query)
    assert [zone for zone, plugin in blocks.items() if plugin.zones] == [owner]


async def test_ds_outside_every_zone_is_refused() -> None:
    """As any other type."""
    query = Query(id=1, qname=from_text("a.b"), name=from_text("a.b"), qtype=RRType.DS)
    assert (await respond(Dispatcher([block("c", Says(address("10.0.0.1")))], Counted()), query)).rcode == Rcode.REFUSED


async def test_other_classes_need_a_plugin_that_has_them() -> None:
    """REFUSED with the reason, unless some plugin of the block says that it answers in other classes."""

    class Chaotic(Says):
        any_class = True

    plain, chaotic = Says(address("10.0.0.1")), Chaotic(address("10.0.0.2"))
    dispatcher = Dispatcher([block("a", plain), block("b", Passes("log"), chaotic)], Counted())
    assert (await respond(dispatcher, question("x.a", qclass=RRClass.CH))).rcode == Rcode.REFUSED
    assert (await respond(dispatcher, question("x.b", qclass=RRClass.CH))).rcode == Rcode.NOERROR
    assert (await respond(dispatcher, question("x.a", qclass=RRClass.ANY))).rcode == Rcode.NOERROR
    assert len(plain.zones) == 1


@pytest.mark.parametrize("waits", [False, True])
async def test_silent_reply(waits: bool) -> None:
    """A plugin can have the server say nothing."""

    async def handle(request: Request) -> Reply:
        if waits:
            await asyncio.sleep(0)
        return Reply(silent=True)

    response = Dispatcher([block(".", Says(handle))], Counted())(encode_query(question("a.b")), CLIENT)
    assert await waited(response) is None


# Waiting


async def test_answer_from_memory_needs_no_task() -> None:
    """A chain that never waits has its answer at once."""
    response = Dispatcher([block(".", Passes("log"), Says(address("10.0.0.1")))], Counted())(
        encode_query(question("a.b")), CLIENT
    )
    assert isinstance(response, bytes)


async def timeout_and_sleep() -> str:
    """Wait as `forward` would, with timeouts that need a task."""
    await leave_fast_lane()
    async with asyncio.timeout(5):
        await asyncio.sleep(0.001)
    return await asyncio.wait_for(asyncio.sleep(0.001, "done"), 5)


async def sleep_at_once() -> str:
    """Wait for a future without leaving the fast lane first."""
    return await asyncio.sleep(0.001, "done")


async def yield_twice() -> str:
    """Give others their turn."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return "done"


async def time_out() -> str:
    """Run into a timeout and handle it."""
    await leave_fast_lane()
    try:
        async with asyncio.timeout(0.001):
            await asyncio.Event().wait()
    except TimeoutError:
        return "done"
    return "no timeout"


async def first_wait_fails() -> str:
    """Handle what the very first wait ends in, and wait again while doing so."""
    refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    refused.get_loop().call_soon(refused.set_exception, ConnectionRefusedError("refused"))
    try:
        await refused
    except ConnectionRefusedError:
        await asyncio.sleep(0.001)
        return "done"
    return "no error"


async def two_waits_fail() -> str:
    """Handle one failure after the other."""
    for _ in range(2):
        refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        refused.get_loop().call_soon(refused.set_exception, ConnectionRefusedError("refused"))
        try:
            await refused
        except ConnectionRefusedError:
            continue
    return "done"


@pytest.mark.parametrize(
    "wait", [timeout_and_sleep, sleep_at_once, yield_twice, time_out, first_wait_fails, two_waits_fail]
)
async def test_handler_that_waits_is_answered(wait: Callable[[], Awaitable[str]]) -> None:
    """Whatever a handler waits for, and however that ends, its answer comes; also over a real socket."""

    async def handle(request: Request) -> Reply:
        assert await wait() == "done"
        return await address("10.0.0.9")(request)

    counted = Counted()
    dispatcher = Dispatcher([block(".", Passes("log"), Says(handle))], counted)
    response = dispatcher(encode_query(question("a.b")), CLIENT)
    assert inspect.isawaitable(response)
    answered = await waited(response)
    assert isinstance(answered, bytes)
    assert parse_response(answered).answer[0].rdata == bytes([10, 0, 0, 9])
    async with serve_udp(dispatcher, "127.0.0.1", 0, server_name="dns://:53") as where:
        response = await ask_udp(where, encode_query(question("a.b")))
    assert parse_response(response).answer[0].rdata == bytes([10, 0, 0, 9])
    assert counted.panics == 0


@pytest.mark.parametrize("fast", [False, True])
async def test_cancellation_reaches_the_handler(fast: bool) -> None:
    """A handler whose answer nobody waits for any more is told, and may still wait while it cleans up."""
    waiting, ended = asyncio.Event(), asyncio.Event()

    async def handle(request: Request) -> Reply:
        try:
            if not fast:
                await leave_fast_lane()
            waiting.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            ended.set()
            raise
        raise AssertionError("nobody sets the event")

    async with asyncio.timeout(5):
        response = Dispatcher([block(".", Says(handle))], Counted())(encode_query(question("a.b")), CLIENT)
        assert inspect.isawaitable(response)
        task = asyncio.ensure_future(response)
        await waiting.wait()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended.is_set()


async def test_answer_that_is_never_awaited() -> None:
    """An answer that is thrown away closes the handler and leaves nothing behind."""
    ended = False

    async def handle() -> bytes:
        nonlocal ended
        try:
            await asyncio.Event().wait()
        finally:
            ended = True
        return b""

    answer = run_eagerly(handle())
    assert not isinstance(answer, bytes)
    del answer
    assert ended


async def test_generator_is_closed_in_the_middle() -> None:
    """A wait inside nested generators is delegated to as well."""

    async def numbers() -> AsyncIterator[int]:
        for number in range(3):
            await asyncio.sleep(0)
            yield number

    async def handle() -> bytes:
        async with aclosing(numbers()) as found:  # type: ignore[type-var]  # it is a generator
            return bytes([number async for number in found])

    answer = run_eagerly(handle())
    assert inspect.isawaitable(answer)
    assert await waited(answer) == bytes([0, 1, 2])
