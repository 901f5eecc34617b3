"""The scenarios in the cluster that every machine has: the fake API server."""

import asyncio
from pathlib import Path
from typing import Protocol

import pytest

from dnsserver.records import Rcode
from dnsserver.wire import ParsedResponse
from tests.build import Json
from tests.cluster.scenarios import SCENARIOS, Scenario, namespace_of
from tests.fakes.api_server import FakeApiServer
from tests.harness import Serving, rdata_text, serving

COREFILE = """
cluster.local in-addr.arpa ip6.arpa {{
    bind 127.0.0.1
    errors
    kubernetes {{
        {source}
    }}
}}
"""
TIMEOUT = 20.0  # seconds until a change is answered, on a machine that does other things


class Asks(Protocol):
    """What can be asked over TCP."""

    async def ask(self, qname: str, qtype: str = "A", *, tcp: bool = False) -> ParsedResponse:
        """Ask one question."""
        ...


async def becomes(server: Asks, qname: str, qtype: str, expected: list[str] | None) -> None:
    """Ask until the answer has these RDATA, or is NXDOMAIN. Raises `TimeoutError`."""
    async with asyncio.timeout(TIMEOUT):
        while True:
            response = await server.ask(qname, qtype, tcp=True)  # an answer of fifty addresses is long
            found = sorted(map(rdata_text, response.answer)) if response.rcode == Rcode.NOERROR else None
            if found == expected and response.rcode in (Rcode.NOERROR, Rcode.NXDOMAIN):
                return
            await asyncio.sleep(0.02)


class FakeCluster:
    """The fake API server, and a server that watches it."""

    def __init__(self, api: FakeApiServer, server: Serving) -> None:
        self._api = api
        self._server = server

    async def put(self, value: Json) -> None:
        """Create or replace an object."""
        self._api.put(value)

    async def delete(self, value: Json) -> None:
        """Delete an object."""
        meta = value["metadata"]
        self._api.delete(value["kind"], meta["namespace"], meta["name"])

    async def becomes(self, qname: str, qtype: str, expected: list[str] | None) -> None:
        """Ask until the answer is as expected."""
        await becomes(self._server, qname, qtype, expected)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=namespace_of)
async def test_scenario(scenario: Scenario, tmp_path: Path) -> None:
    async with (
        FakeApiServer() as api,
        serving(COREFILE.format(source=f"endpoint {api.url}"), tmp_path) as server,
    ):
        await scenario(FakeCluster(api, server), namespace_of(scenario))
