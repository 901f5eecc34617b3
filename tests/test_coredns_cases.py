"""Every case of `tests/cases/coredns` over real sockets: its Corefile, its objects from an API server, its answers.

Answers were seen on a running CoreDNS. Where CoreDNS departs from the DNS standards this server does not, and `QUIRKS`
says what it answers instead; `docs/compatibility.md` lists the same departures.
"""

import ipaddress
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from dnsserver import app
from dnsserver.records import Rcode, RRType
from dnsserver.wire import ParsedResponse, Record, record_to_text
from tests.fakes.api_server import FakeApiServer
from tests.harness import Serving, serving

CASES = Path(__file__).parent / "cases" / "coredns"
# zone transfers are several messages, and not compared word for word: tests/plugins/test_transfer.py has that case
NAMES = sorted(path.stem for path in CASES.glob("*.json") if path.stem != "axfr")

NODATA, NXDOMAIN = "NOERROR", "NXDOMAIN"

# (case, name, type) -> the code of the answer that the standards ask for: without data, with the SOA
QUIRKS: dict[tuple[str, str, str], str] = {
    ("apex", "dns.cluster.local.", "A"): NODATA,  # an empty non-terminal exists (RFC 8020, section 2)
    ("apex", "ns.dns.cluster.local.", "TXT"): NODATA,  # the name exists, whatever the type (RFC 2308, section 2.2)
    ("apex", "ns.dns.cluster.local.", "PTR"): NODATA,
    ("apex", "dns-version.cluster.local.", "A"): NODATA,
    ("apex", "cluster.local.", "TXT"): NODATA,
    ("reverse", "0.0.10.in-addr.arpa.", "PTR"): NODATA,  # an empty non-terminal
    ("reverse", "100.0.0.10.in-addr.arpa.", "A"): NODATA,
    ("reverse", "100.0.0.10.in-addr.arpa.", "TXT"): NODATA,
    ("pods-insecure", "x.10-240-0-1.podns.pod.cluster.local.", "A"): NXDOMAIN,  # nothing is below a pod's name
}
# (case, name, type) -> the answer section that the standards ask for where CoreDNS has none
FULLER = {
    ("apex", "CLUSTER.local.", "NS"): ["CLUSTER.local. 5 IN NS ns.dns.CLUSTER.local."],  # names have no case
}


def test_cases_are_there() -> None:
    """An empty folder would make every test below pass."""
    assert len(NAMES) >= 11


@pytest.mark.parametrize("name", NAMES)
async def test_case(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each query of a case is answered as expected."""
    case = json.loads((CASES / f"{name}.json").read_text())
    for file, text in case.get("files", {}).items():
        (tmp_path / file).write_text(text)
    addresses = [ipaddress.ip_interface(text).ip.packed for text in case.get("local_ips", ())]
    monkeypatch.setattr(app, "host_addresses", lambda: tuple(addresses))
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(FakeApiServer())
        for value in case["objects"]:
            api.put(value)
        if case.get("api") == "down":
            await api.stop()
        corefile = case["corefile"].replace("@API@", api.url).replace("@PORT@", "0")
        if case.get("api") == "down":
            corefile = corefile.replace("endpoint", "startup_timeout 100ms\n        endpoint")
        server = await stack.enter_async_context(serving(corefile, tmp_path))
        wrong = [problem for query in case["queries"] if (problem := await _problem(server, name, query))]
    assert not wrong, "\n".join(wrong)


async def _problem(server: Serving, case: str, query: dict[str, Any]) -> str:
    """Return what is wrong with an answer; empty where nothing is."""
    response = await server.ask(query["qname"], query["qtype"], tcp=query.get("transport") == "tcp")
    expected = _expected(query)
    fuller = FULLER.get((case, query["qname"], query["qtype"]))
    if fuller is not None:
        return "" if _got(response)["answer"] == fuller != expected["answer"] else f"{query['qname']}: {_got(response)}"
    quirk = QUIRKS.get((case, query["qname"], query["qtype"]))
    if quirk is not None:
        assert expected != _got(response), f"{query['qname']} {query['qtype']} is no departure any more"
        got = Rcode(response.rcode).name, response.answer, [record.rrtype for record in response.authority]
        return "" if got == (quirk, (), [RRType.SOA]) else f"{query['qname']} {query['qtype']}: {got}, expected {quirk}"
    return "" if _got(response) == expected else f"{query['qname']} {query['qtype']}: {_got(response)} not {expected}"


def _expected(query: dict[str, Any]) -> dict[str, Any]:
    """Return what a case says of an answer."""
    usual = query["rcode"] in ("NOERROR", "NXDOMAIN")
    return {
        "rcode": query["rcode"],
        "aa": query.get("flags", {}).get("aa", usual),
        "ra": query.get("flags", {}).get("ra", False),
        **{section: sorted(query[section]) for section in ("answer", "authority", "additional")},
    }


def _got(response: ParsedResponse) -> dict[str, Any]:
    """Return an answer as a case spells it."""
    return {
        "rcode": Rcode(response.rcode).name,
        "aa": response.authoritative,
        "ra": response.recursion_available,
        "answer": sorted(map(_text, response.answer)),
        "authority": sorted(map(_text, response.authority)),
        "additional": sorted(map(_text, response.additional)),
    }


def _text(record: Record) -> str:
    """Return a record as a case spells it: without the SOA's serial, and TXT without quotes."""
    words = record_to_text(record).split()
    if record.rrtype == RRType.SOA:
        words[6] = "*"
    return " ".join(words).replace('"', "")
