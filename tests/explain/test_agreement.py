"""What is explained is what is answered: every query of every case, over real UDP and real HTTP."""

import asyncio
import ipaddress
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from dnsserver import app
from dnsserver.records import Rcode
from dnsserver.wire import record_to_text
from tests import test_coredns_cases as coredns
from tests.explain.support import CASES, NAMES, case_queries
from tests.fakes.api_server import FakeApiServer
from tests.harness import Serving, serving
from tests.test_kubevirt_cases import COREFILE

LISTEN = "127.0.0.1:0"
AT_ONCE = 8  # servers: they wait more than they work
QUIET = "errors\n"


async def explained(server: Serving, session: aiohttp.ClientSession, query: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON of an explanation."""
    parameters = {"name": query["qname"], "type": query["qtype"]}
    async with session.get(server.http(LISTEN, "/api/explain"), params=parameters) as response:
        body = await response.text()
        assert response.status == 200, body
        found: dict[str, Any] = json.loads(body)
        return found


async def differences(server: Serving, queries: list[dict[str, Any]]) -> list[str]:
    """Return the queries whose explanation is not of the answer that is given."""
    async with aiohttp.ClientSession() as session:
        both = [
            (query, await explained(server, session, query), await server.ask(query["qname"], query["qtype"]))
            for query in queries
        ]
    wrong = []
    for query, found, response in both:
        records = sorted(record_to_text(one).lower() for one in response.answer)
        own = sorted(text.lower() for text in found["answer"])
        alias = any(step["rule"] == "alias" for step in found["chain"])  # other plugins may know its target
        same = bool(found["passed_on"]) or (
            found["rcode"] == Rcode(response.rcode).name
            and (own == records or (alias and set(own) < set(records)))
            and found["resolves"] is bool(records)
            and all(step["passed"] for step in found["chain"]) is found["resolves"]
        )
        wrong += [] if same else [f"{query['qname']} {query['qtype']}: {found['rcode']} {own} not {records}"]
    return wrong


@pytest.mark.parametrize("part", range(4))
async def test_kubevirt_cases(part: int) -> None:
    """Code and records are the responder's, and a refusal stands where there are no records, and nowhere else."""
    free = asyncio.Semaphore(AT_ONCE)

    async def check(name: str) -> list[str]:
        listening = COREFILE.format(manifests=CASES / f"{name}.yaml").replace(QUIET, f"{QUIET}    inspect {LISTEN}\n")
        async with free, serving(listening, Path()) as server:
            return [f"{name}: {one}" for one in await differences(server, case_queries(name))]

    found = await asyncio.gather(*map(check, NAMES[part::4]))
    assert not [one for some in found for one in some]


@pytest.mark.parametrize("name", coredns.NAMES)
async def test_coredns_cases(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So it is for ordinary Services, pods and reverse names, where no other plugin answers."""
    case = json.loads((coredns.CASES / f"{name}.json").read_text())
    for file, text in case.get("files", {}).items():
        (tmp_path / file).write_text(text)
    addresses = tuple(ipaddress.ip_interface(text).ip.packed for text in case.get("local_ips", ()))
    monkeypatch.setattr(app, "host_addresses", lambda: addresses)
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(FakeApiServer())
        for value in case["objects"]:
            api.put(value)
        if case.get("api") == "down":
            await api.stop()
        corefile = case["corefile"].replace("@API@", api.url).replace("@PORT@", "0")
        corefile = corefile.replace("endpoint", "startup_timeout 100ms\n        endpoint")
        corefile = corefile.replace("{\n", f"{{\n    inspect {LISTEN}\n", 1)
        server = await stack.enter_async_context(serving(corefile, tmp_path))
        wrong = await differences(server, case["queries"])
    assert not wrong
