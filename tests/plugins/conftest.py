"""What the plugin tests share: directives from Corefile text, requests, and a runtime on real sockets."""

import asyncio
import ipaddress
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from dnsserver import corefile
from dnsserver.admin.http import AdminServers
from dnsserver.admin.metrics import Metrics
from dnsserver.message import Client, Edns, Query, Reply, Transport
from dnsserver.names import from_text
from dnsserver.plugins.order import available
from dnsserver.plugins.plugin import Context, Handler, Plugin, PluginError, Request, Runtime
from dnsserver.records import Rcode, RRset, RRType

SERVER = "dns://:53"
ZONE = from_text("example.com")


def parse(name: str, text: str, *, folder: Path = Path()) -> tuple[Plugin, ...]:
    """Parse the lines of one server block that are all of one directive."""
    (block,) = corefile.parse(f".:53 {{\n{text}\n}}\n").blocks
    directives = tuple(block.find(name))
    assert directives == block.directives
    return available()[name](directives, Context(zones=(ZONE,), folder=folder, port=53))


def refusal(name: str, text: str) -> str:
    """Return the error that the same lines must give."""
    with pytest.raises(corefile.CorefileError) as caught:
        parse(name, text)
    return str(caught.value)


def request(
    name: str = "www.example.com.",
    qtype: int = RRType.A,
    *,
    client: Client | None = None,
    **fields: object,
) -> Request:
    """Return a request; keyword arguments are the query's fields."""
    wire = from_text(name)
    values: dict[str, object] = {"id": 77, "qname": wire, "name": wire, "qtype": qtype, "size": 46} | fields
    query = Query(**values)  # type: ignore[arg-type]  # the fields' types are the caller's to keep
    return Request(
        query=query,
        client=client or Client("127.0.0.1", 60796, Transport.UDP, SERVER),
        zone="example.com.",
        started=time.perf_counter(),
    )


def rrset(owner: str, rrtype: int, *records: str, ttl: int = 5) -> RRset:
    """Return an RRset; records are addresses, or text that stands for RDATA where only its place matters."""
    if rrtype in (RRType.A, RRType.AAAA):
        rdatas = tuple(ipaddress.ip_address(text).packed for text in records)
    else:
        rdatas = tuple(text.encode() for text in records)
    return RRset(from_text(owner), rrtype, ttl, rdatas)


def answering(reply: Reply) -> Handler:
    """Return the rest of a chain that answers with `reply`."""

    async def handle(_request: Request) -> Reply:
        return reply

    return handle


def failing(plugin: str, message: str) -> Handler:
    """Return the rest of a chain that cannot answer."""

    async def handle(_request: Request) -> Reply:
        raise PluginError(plugin, message)

    return handle


async def until(condition: Callable[[], object]) -> None:
    """Wait for something that nothing announces."""
    while not condition():  # noqa: ASYNC110  # the condition is a log line or a counter: there is no event to wait for
        await asyncio.sleep(0.001)


DNSSEC = Edns(4096, dnssec_ok=True)
NXDOMAIN = Reply(rcode=Rcode.NXDOMAIN, authority=(rrset("example.com", RRType.SOA, "soa"),))


@dataclass
class World:
    """A runtime and what a test changes about it."""

    runtime: Runtime
    blocks: list[tuple[str, tuple[Plugin, ...]]]
    failures: list[str]

    def block(self, *plugins: Plugin, server: str = SERVER) -> None:
        """Add a server block."""
        self.blocks.append((server, plugins))


async def _nobody(request: Request, query: Query) -> Reply:
    """Stand for a server that has no other block."""
    raise PluginError("", f"nobody answers {query!r} for {request!r}")


@pytest.fixture
async def world() -> World:
    """Return an empty runtime; a coroutine, since the listeners belong to the test's event loop."""
    blocks: list[tuple[str, tuple[Plugin, ...]]] = []
    failures: list[str] = []

    def find(plugin: Plugin) -> tuple[str, tuple[Plugin, ...]]:
        return next((one for one in blocks if plugin in one[1]), ("", ()))

    runtime = Runtime(
        metrics=Metrics("0.1.0", "abc"),
        http=AdminServers(),
        fail=failures.append,
        plugins=lambda: [plugin for _, plugins in blocks for plugin in plugins],
        block=lambda plugin: find(plugin)[1],
        server=lambda plugin: find(plugin)[0],
        ask=_nobody,
    )
    return World(runtime, blocks, failures)
