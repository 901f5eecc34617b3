"""Other people's servers as secondaries of this one, and their tools as its clients."""

import asyncio
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest

from dnsserver.wire import encode_query, parse_response
from tests import build
from tests.fakes.api_server import FakeApiServer
from tests.harness import ask_udp, question, serving
from tests.plugins.transferring.secondaries import KEY, SECRET, ZONE, content, kdig, knot, nsd
from tests.respdiff.servers import child, find, free_port

VMS = 700  # so that what changes in one run of the server is less than half of the zone
CHANGES = 1000
RUNS = 3
SIGNED = ("-y", f"hmac-sha256:{KEY}:{SECRET}")

COREFILE = """
cluster.local {{
    bind 127.0.0.1
    errors
    tsig {{
        secrets keys
    }}
    transfer {{
        to {to}
        key {key}
    }}
    kubernetes {{
        endpoint {url}
    }}
}}
"""


def write(folder: Path, url: str, to: str) -> str:
    """Write the key; return the Corefile, which is in the same folder."""
    (folder / "keys").write_text(f'key {KEY} {{ algorithm hmac-sha256; secret "{SECRET}"; }};\n')
    text = COREFILE.format(to=to, key=KEY, url=url)
    (folder / "Corefile").write_text(text)
    return text


def fill(api: FakeApiServer) -> None:
    """Put a Service of VMIs and one with a cluster IP."""
    api.put(build.namespace_json())
    api.put(build.service_json("db", ports=[build.port_json(80, "http")]))
    api.put(build.service_json("web", cluster_ip="10.96.0.1", ports=[build.port_json(80, "http")]))
    for number in range(VMS):
        change(api, number, 0)


def change(api: FakeApiServer, number: int, step: int) -> None:
    """Give a VMI another address."""
    api.put(build.vmi_json(f"vm{number}", addresses=[f"10.{100 + step // VMS}.{number // 250}.{number % 250}"]))


async def serial(port: int) -> int:
    """Return the SOA's serial; 0 while there is none."""
    try:
        async with asyncio.timeout(0.5):  # a port that nobody has opened yet is silent
            response = parse_response(await ask_udp(("127.0.0.1", port), encode_query(question(ZONE, "SOA"))))
    except (TimeoutError, OSError):
        return 0
    return int.from_bytes(response.answer[0].rdata[-20:-16], "big") if response.answer else 0


async def reaches(port: int, wanted: int) -> None:
    """Wait until a server has a serial, or a greater one."""
    async with asyncio.timeout(30):  # a loaded machine with two cores, and the secondaries' own intervals
        while await serial(port) < wanted:  # noqa: ASYNC110 -- another process's view: nothing announces it
            await asyncio.sleep(0.05)


@asynccontextmanager
async def primary(folder: Path, port: int, log: str) -> AsyncIterator[None]:
    """Run this server as a process of its own, until the block ends."""
    command = (sys.executable, "-m", "dnsserver", "-conf", str(folder / "Corefile"), "-p", str(port))
    stack = ExitStack()
    stack.enter_context(child(command, folder / log))
    try:
        await reaches(port, 1)
        yield
    finally:
        await asyncio.to_thread(stack.close)


needs_secondaries = pytest.mark.skipif(
    not all(map(find, ("knotd", "nsd", "kdig"))), reason="needs Knot DNS, NSD and kdig"
)


@needs_secondaries
async def test_secondaries_follow(tmp_path: Path) -> None:
    """Knot and NSD are told of 1,000 changes, with signatures, by a server that is restarted twice; all end equal."""
    ports = free_port(), free_port(), free_port()
    own, other, third = ports
    async with FakeApiServer() as api:
        fill(api)
        write(tmp_path, api.url, f"127.0.0.1:{other} 127.0.0.1:{third}")
        with ExitStack() as stack:
            logs = [
                stack.enter_context(knot(tmp_path / "knot", other, own)),
                stack.enter_context(nsd(tmp_path / "nsd", third, own)),
            ]
            serials = []
            for run in range(RUNS):
                async with primary(tmp_path, own, f"primary-{run}.log"):
                    began = await serial(own)
                    for port in (other, third):
                        await reaches(port, began)
                    for step in range(run * CHANGES // RUNS, (run + 1) * CHANGES // RUNS):
                        change(api, step % VMS, step + VMS)
                        await asyncio.sleep(0.004)
                    api.put(build.vmi_json(f"last{run}", addresses=["10.245.0.1"]))
                    await _has(own, f"last{run}.db.ns1.svc.{ZONE}")
                    wanted = await serial(own)
                    serials.append(wanted)
                    for port in (other, third):
                        await reaches(port, wanted)
                    truth = await content(own, *SIGNED)
                    assert len(truth) > VMS
                    assert await content(other) == truth
                    assert await content(third) == truth
            assert serials == sorted(set(serials))
            text = [log.read_text(errors="replace") for log in logs]
        assert len(re.findall("IXFR, incoming, .*finished", text[0])) >= 3, text[0]
        assert len(re.findall(f"TSIG verified with key {re.escape(KEY)}", text[1])) >= 6, text[1]
        assert not re.findall("(?i)malformed|bad ?sig|bad ?key|semantic error", "".join(text)), text


async def _has(port: int, qname: str) -> None:
    """Wait until a server has a name."""
    async with asyncio.timeout(10):
        while True:
            response = parse_response(await ask_udp(("127.0.0.1", port), encode_query(question(qname))))
            if response.answer:
                return
            await asyncio.sleep(0.004)


@pytest.mark.skipif(not (find("kdig") and find("dig")), reason="needs kdig and dig")
async def test_tools(tmp_path: Path) -> None:
    """kdig and dig verify signed transfers, whole and incremental, over TCP and UDP; others are refused."""
    async with FakeApiServer() as api:
        fill(api)
        async with serving(write(tmp_path, api.url, "127.0.0.1"), tmp_path) as server:
            port = server.address[1]
            whole = await content(port, *SIGNED)
            before = await serial(port)
            await asyncio.sleep(1)  # the next change is in another second
            change(api, 0, VMS)
            await server.until(f"vm0.db.ns1.svc.{ZONE}", "A", ["10.101.0.0"])
            after = await serial(port)
            assert after > before
            for tool, good in (("kdig", "Received"), ("dig", "XFR size|rcvd")):
                for way in ("+tcp", "+notcp +bufsize=1232"):
                    text = await kdig(port, *SIGNED, *way.split(), ZONE, f"IXFR={before}", command=tool)
                    assert re.search(good, text), text
                    assert not re.search("(?i)warning|fail|couldn't verify", text), text
                    owners = Counter(line.split()[0] for line in text.splitlines() if line and line[0] != ";")
                    assert owners[f"vm0.db.ns1.svc.{ZONE}."] == 2, text
                    assert owners[f"{ZONE}."] == 4, text
                    assert f"vm1.db.ns1.svc.{ZONE}." not in owners
                text = await kdig(port, *SIGNED, ZONE, "AXFR", command=tool)
                assert not re.search("(?i)warning|fail|couldn't verify", text), text
            assert len(set(whole) ^ set(await content(port, *SIGNED))) == 6  # SOA, vm0, and the Service's own
            noop = await kdig(port, *SIGNED, "+tcp", ZONE, f"IXFR={after}")
            assert len(re.findall(rf"{ZONE}\.\s+\d+\s+IN\s+SOA", noop)) == 1
            assert "REFUSED" in await kdig(port, "+tcp", ZONE, "AXFR")
            wrong = SECRET[::-1].lstrip("=") + "=="
            for words, said in (
                (("-y", f"hmac-sha256:{KEY}:{wrong}"), "BADSIG|NOTAUTH"),
                (("-y", f"hmac-sha256:other.example:{SECRET}"), "BADKEY|NOTAUTH"),
                (("-y", f"hmac-sha1:{KEY}:{SECRET}"), "BADKEY|NOTAUTH"),
            ):
                assert re.search(said, await kdig(port, *words, ZONE, "SOA"))
            for algorithm in ("hmac-sha224", "hmac-sha384", "hmac-sha512"):  # the key is for another one
                assert re.search("BADKEY|NOTAUTH", await kdig(port, "-y", f"{algorithm}:{KEY}:{SECRET}", ZONE, "SOA"))
