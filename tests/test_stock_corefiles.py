"""The Corefiles that clusters come with: all of them load unchanged, and kubeadm's serves as CoreDNS would."""

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from dnsserver.corefile import parse
from dnsserver.message import Reply
from dnsserver.names import from_text
from dnsserver.plugins.order import STATES, Support
from dnsserver.records import Rcode, RRset, RRType
from dnsserver.setup import set_up
from dnsserver.wire import ParsedResponse, encode_query, parse_response
from tests.build import endpoint_json, endpoint_slice_json, namespace_json, service_json, vmi_json
from tests.fakes.api_server import FakeApiServer
from tests.harness import ask_udp, question
from tests.upstream.support import answering
from tests.upstream.support import serving as upstream

STOCK = Path(__file__).parent / "cases" / "stock"
OUTSIDE = from_text("www.example.org")


def free_ports(count: int) -> list[int]:
    """Return ports that are free for UDP and TCP now."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.mark.parametrize("path", sorted(STOCK.glob("*.Corefile")), ids=lambda path: path.stem)
def test_stock_corefile_loads(path: Path, tmp_path: Path) -> None:
    """Not a word of it is refused; only a glob without files is worth a warning, as it is to CoreDNS."""
    resolvers = tmp_path / "resolv.conf"
    resolvers.write_text("nameserver 127.0.0.1\n")
    text = path.read_text().replace("/etc/resolv.conf", str(resolvers))
    setup = set_up(parse(text, file=str(tmp_path / "Corefile")), folder=tmp_path, port=53)
    blocks = parse(path.read_text(), file=str(tmp_path / "Corefile")).blocks
    names = {directive.name for block in blocks for directive in block.directives}
    assert {plugin.name for plugin in setup.plugins} == names
    allowed = ("No files matching import glob pattern", "NodeHosts")
    assert all(any(words in warning for words in allowed) for warning in setup.warnings), setup.warnings
    assert all(STATES[name].support is Support.SERVED for name in names)


class Server:
    """A `dnsserver` process on kubeadm's Corefile, its ports moved."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, corefile: Path, metrics: int) -> None:
        self.process = process
        self.address = ("127.0.0.1", port)
        self.corefile = corefile
        self.metrics_port = metrics

    async def ask(self, qname: str, qtype: str = "A") -> ParsedResponse:
        """Ask over UDP."""
        return parse_response(await ask_udp(self.address, encode_query(question(qname, qtype))))

    async def metrics(self) -> str:
        """Return the text of `/metrics`."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.metrics_port)
        with closing(writer):
            writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
            return (await reader.read()).decode()


@asynccontextmanager
async def kubeadm(api: str, outside: str, folder: Path) -> AsyncIterator[Server]:
    """Run kubeadm's Corefile; `api` and `outside` are where the API server and the upstream are."""
    dns, health, ready, metrics = free_ports(4)
    (folder / "resolv.conf").write_text(f"nameserver {outside}\n")
    text = (STOCK / "kubeadm.Corefile").read_text()
    for old, new in (
        (".:53 {", f".:{dns} {{\n    bind 127.0.0.1"),
        ("health {", f"health 127.0.0.1:{health} {{"),
        ("lameduck 5s", "lameduck 100ms"),
        ("    ready", f"    ready 127.0.0.1:{ready}"),
        ("prometheus :9153", f"prometheus 127.0.0.1:{metrics}"),
        ("pods insecure", f"endpoint {api}\n       pods insecure"),
        ("forward . /etc/resolv.conf", f"forward . {outside}"),
    ):
        assert old in text
        text = text.replace(old, new, 1)
    corefile = folder / "Corefile"
    corefile.write_text(text)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "dnsserver",
        "-conf",
        str(corefile),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    try:
        yield Server(process, dns, corefile, metrics)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), 15)


async def _until_serving(process: asyncio.subprocess.Process) -> None:
    """Read the output up to the last line of the banner."""
    assert process.stdout is not None
    async with asyncio.timeout(20):
        while b"CPython" not in await process.stdout.readline():
            continue


@pytest.fixture
async def api() -> AsyncIterator[FakeApiServer]:
    """Return an API server with a VMI, its headless Service, and a Service with a cluster IP."""
    async with FakeApiServer() as server:
        server.put(namespace_json("default"))
        server.put({"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance"} | vmi_json(namespace="default"))
        server.put(service_json(namespace="default"))
        server.put(service_json("web", namespace="default", cluster_ip="10.96.0.7", selector={}))
        server.put(endpoint_slice_json(endpoint_json("10.244.9.9"), namespace="default", service="web"))
        yield server


async def test_kubeadm(api: FakeApiServer, tmp_path: Path) -> None:
    """Cluster names, pods, PTR, a name from outside twice, a quiet loop, and a reload without a lost query."""
    answer = Reply(answer=(RRset(OUTSIDE, RRType.A, 60, (bytes([192, 0, 2, 1]),)),), recursion_available=True)
    async with (
        upstream(answering(answer)) as outside,
        kubeadm(api.url, f"127.0.0.1:{outside.endpoint.port}", tmp_path) as server,
    ):
        await _until_serving(server.process)
        for qname, qtype, rdata, ttl in (
            ("web.default.svc.cluster.local", "A", bytes([10, 96, 0, 7]), 30),
            ("vm1.db.default.svc.cluster.local", "A", bytes([10, 244, 0, 7]), 30),
            ("10-1-2-3.default.pod.cluster.local", "A", bytes([10, 1, 2, 3]), 30),
            ("7.0.96.10.in-addr.arpa", "PTR", from_text("web.default.svc.cluster.local"), 30),
            ("www.example.org", "A", bytes([192, 0, 2, 1]), 30),
        ):
            response = await server.ask(qname, qtype)
            assert [(one.rdata, one.ttl) for one in response.answer] == [(rdata, ttl)], qname
        assert (await server.ask("nope.default.svc.cluster.local")).rcode == Rcode.NXDOMAIN
        await server.ask("www.example.org")
        asked = [query for query in outside.queries() if query.name == OUTSIDE]
        assert len(asked) == 1
        assert 'coredns_cache_hits_total{server="dns://127.0.0.1' in await server.metrics()
        await _reload_without_loss(server)
        assert server.process.returncode is None


async def _reload_without_loss(server: Server) -> None:
    """Edit the Corefile while queries go on: every one is answered, first with the old TTL, then with the new one."""
    ttls: list[int] = []
    text = server.corefile.read_text()
    server.corefile.write_text(re.sub(r"ttl 30", "ttl 20", text).replace("cache 30", "cache 25"))
    server.process.send_signal(signal.SIGUSR1)
    async with asyncio.timeout(20):
        while not ttls or ttls[-1] > 20:
            response = await server.ask("web.default.svc.cluster.local")
            ttls.append(response.answer[0].ttl)
    assert ttls[0] <= 30
    assert ttls[-1] == 20
