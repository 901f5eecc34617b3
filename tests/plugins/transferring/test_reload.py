"""What a reload leaves of what is known for secondaries."""

import asyncio
import struct
from pathlib import Path

from dnsserver.corefile import parse
from dnsserver.names import from_text
from dnsserver.records import RRType
from dnsserver.wire import parse_response
from tests import build
from tests.fakes.api_server import FakeApiServer
from tests.harness import ask_tcp, serving
from tests.plugins.transferring.test_versions import ixfr

COREFILE = """
cluster.local {{
    bind 127.0.0.1
    {further}
    transfer {{
        to 127.0.0.1:9
    }}
    kubernetes {{
        endpoint {url}
    }}
}}
"""


async def test_a_reload_keeps_the_journal(tmp_path: Path) -> None:
    """With another Corefile, but the same `kubernetes`, an IXFR from before it has the differences."""
    async with FakeApiServer() as api:
        api.put(build.namespace_json())
        api.put(build.service_json("db"))
        for number in range(20):
            api.put(build.vmi_json(f"vm{number}", addresses=[f"10.244.0.{number + 1}"]))
        async with serving(COREFILE.format(further="", url=api.url), tmp_path) as server:
            soa = (await server.ask("cluster.local", "SOA")).answer[0]
            before = int.from_bytes(soa.rdata[-20:-16], "big")
            await asyncio.sleep(1)  # the next change is in another second
            await server.app.reload(parse(COREFILE.format(further="nsid x", url=api.url)))
            api.put(build.vmi_json("vm0", addresses=["10.244.1.1"]))
            await server.until("vm0.db.ns1.svc.cluster.local", "A", ["10.244.1.1"])
            found = parse_response(await ask_tcp(server.address, ixfr("cluster.local", before)))
            owners = [one.owner for one in found.answer if one.rrtype == RRType.A]
            assert owners.count(from_text("vm0.db.ns1.svc.cluster.local")) == 2
            assert struct.unpack("!I", found.answer[1].rdata[-20:-16]) == (before,)
