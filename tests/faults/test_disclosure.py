"""What clients and whoever reads metrics are not told: the inside of a failure, the version, who asked for what."""

import random
from pathlib import Path

import pytest

from dnsserver import __version__
from dnsserver.message import Edns, Reply
from dnsserver.plugins.plugin import Handler, Plugin, PluginError, Request
from dnsserver.records import Rcode, RRClass
from dnsserver.server import Dispatcher
from dnsserver.wire import encode_query, parse_response
from tests import build
from tests.fakes.api_server import FakeApiServer
from tests.faults.bed import VM1, faulted, vmi
from tests.harness import ask_udp, get, question, serving
from tests.test_server import Counted, block, respond

SECRET = "/var/run/secrets/token of 10.96.0.1"


class Failing(Plugin):
    """Fails with words that are for the log."""

    name = "failing"

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def handle(self, request: Request, call_next: Handler) -> Reply:
        """Fail."""
        raise self._error


@pytest.mark.parametrize("error", [PluginError("failing", SECRET, 22), RuntimeError(SECRET), OSError(2, "no", SECRET)])
async def test_errors_carry_no_internals(error: Exception) -> None:
    """A client gets a code, and at most the number of a reason: no words, no path, no name of a plugin."""
    dispatcher = Dispatcher([block(".", Failing(error))], Counted())
    response = await respond(dispatcher, question("a.b", edns=Edns(1232)))
    assert (response.rcode, response.answer, response.additional) == (Rcode.SERVFAIL, (), ())
    assert response.edns is not None
    assert response.edns.options in ((), ((15, b"\0\x16"),))


async def test_version_is_hidden(tmp_path: Path) -> None:
    """Nobody is told the version who cannot read the logs: not for `version.bind`, not for NSID, not by `/health`."""
    text = ". {\nbind 127.0.0.1\nhealth 127.0.0.1:0\nready 127.0.0.1:0\nhosts {\n10.0.0.1 a\n}\n}"
    async with serving(text, tmp_path) as server:
        for name in ("version.bind", "version.server", "id.server", "hostname.bind"):
            wire = encode_query(question(name, "TXT", qclass=RRClass.CH))
            response = parse_response(await ask_udp(server.address, wire))
            assert (response.rcode, response.answer) == (Rcode.REFUSED, ())
        response = await server.ask("a", edns=Edns(1232, options=((3, b""),)))
        assert response.edns is not None
        assert response.edns.options == ()
        for path in ("/health", "/ready"):
            _, body = await get(server.http("127.0.0.1:0", path))
            assert __version__ not in body


async def test_metrics_name_nobody(tmp_path: Path) -> None:
    """However many names are asked for and published, `/metrics` has the same series, and none of the names."""
    chance = random.Random(1)
    names = [f"{chance.getrandbits(64):x}" for _ in range(60)]
    async with FakeApiServer() as api, faulted(api, tmp_path) as bed:
        await bed.calm()

        async def scraped() -> str:
            for name in ("vm1.db.ns1", "nobody.db.ns1"):
                for kind in ("A", "AAAA"):
                    await bed.ask(f"{name}.svc.cluster.local", kind)
            _, text = await get(bed.server.http("127.0.0.1:0", "/metrics"))
            return text

        before = await scraped()
        for name in names[:20]:
            api.put(vmi(name, "10.244.0.9"))
            api.put(build.service_json(f"s{name}", cluster_ip="10.96.0.8", selector={"app": name}))
        await bed.until(f"s{names[19]}.ns1.svc.cluster.local", ["10.96.0.8"])
        await bed.until(f"{names[19]}.db.ns1.svc.cluster.local", ["10.244.0.9"])
        for name in names[20:]:
            await bed.ask(f"{name}.db.ns1.svc.cluster.local")
        after = await scraped()
    series = [{line.rpartition(" ")[0] for line in text.splitlines() if line[0] != "#"} for text in (before, after)]
    assert series[0] == series[1]
    assert not any(name in after for name in (*names, VM1))
