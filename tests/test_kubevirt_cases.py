"""Every case of `tests/cases/kubevirt`, asked over a real UDP socket: objects in, answers out."""

import json
from pathlib import Path
from typing import Any

import pytest

from dnsserver.records import Rcode, RRType
from tests.harness import Serving, rdata_text, serving

CASES = Path(__file__).parent / "cases" / "kubevirt"
NAMES = sorted(path.name.removesuffix(".expect.json") for path in CASES.glob("*.expect.json"))

COREFILE = """
cluster.local in-addr.arpa ip6.arpa {{
    bind 127.0.0.1
    errors
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        manifests {manifests}
    }}
}}
"""


def test_cases_are_there() -> None:
    """An empty folder would make every test below pass."""
    assert len(NAMES) >= 27


@pytest.mark.parametrize("name", NAMES)
async def test_case(name: str) -> None:
    """Each query of a case is answered as expected, whatever its tier."""
    case = json.loads((CASES / f"{name}.expect.json").read_text())
    async with serving(COREFILE.format(manifests=CASES / f"{name}.yaml"), CASES) as server:
        wrong = [problem for query in case["queries"] if (problem := await mistake(server, query))]
    assert not wrong


async def mistake(server: Serving, query: dict[str, Any]) -> str:
    """Return what is wrong with an answer; empty where nothing is."""
    response = await server.ask(query["qname"], query["qtype"])
    got = Rcode(response.rcode).name, sorted(map(rdata_text, response.answer))
    allowed = [(one["rcode"], sorted(one["answer"])) for one in (query, *_unconditional(query))]
    everything = {rdata_text(one) for one in (*response.answer, *response.additional) if one.rrtype != RRType.SOA}
    if got not in allowed:
        return f"{query['qname']} {query['qtype']}: {got}, expected one of {allowed}"
    if forbidden := everything & set(query.get("never", ())):
        return f"{query['qname']} {query['qtype']}: {forbidden} must not appear"
    if not got[1] and [one.rrtype for one in response.authority] != [RRType.SOA]:
        return f"{query['qname']} {query['qtype']}: a negative answer has exactly the SOA in its authority section"
    return ""


def _unconditional(query: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the alternatives that need no option turned on."""
    return [one for one in query.get("also_ok", ()) if "if" not in one]
