"""A small data centre to look at: an API server with VMIs, and a server whose `inspect` shows them."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from tests import build
from tests.fakes.api_server import FakeApiServer
from tests.harness import Serving, serving

COREFILE = """
cluster.local in-addr.arpa ip6.arpa {{
    bind 127.0.0.1
    errors
    prometheus 127.0.0.1:0
    inspect {inspect}
    kubernetes {{
        endpoint {url}
        startup_timeout {timeout}
    }}
}}
"""
MACHINES = (  # namespace, Service, VMIs
    ("shop", "web", 120),
    ("shop", "db", 6),
    ("ci", "runners", 40),
    ("lab", "desktops", 75),
)
STOPPED = "runners-03"  # a VMI that is not ready


@dataclass(frozen=True, slots=True)
class World:
    """A server, and the API server that it follows."""

    api: FakeApiServer
    server: Serving
    inspect: str  # where the Corefile says

    @property
    def url(self) -> str:
        """Where the page is."""
        return self.server.http(self.inspect, "/")

    async def traffic(self) -> None:
        """Ask questions of many kinds, for ever: a few dozen a second, as clients of a small cluster do."""
        chance = random.Random(7)
        while True:
            namespace, service, number = chance.choice(MACHINES)
            name = f"{service}-{chance.randrange(number):02}.{service}.{namespace}.svc.cluster.local"
            sort = chance.choice(("A", "A", "A", "A", "AAAA", "AAAA", "SRV", "TXT"))
            await self.server.ask(name if chance.random() < 0.8 else f"{name}.{namespace}.svc.cluster.local", sort)
            await asyncio.sleep(chance.uniform(0, 0.04))


def machine(namespace: str, service: str, number: int, **fields: object) -> build.Json:
    """Return one VMI of a Service, some weeks old."""
    name = f"{service}-{number:02}"
    net = [one[:2] for one in MACHINES].index((namespace, service))
    fields = {"addresses": (f"10.244.{net}.{number + 10}",), "ready": name != STOPPED} | fields
    value = build.vmi_json(
        name,
        namespace=namespace,
        uid=str(UUID(int=(net << 64) | number + 1)),
        subdomain=service,
        labels={"app": service},
        reason=None if fields["ready"] else "GuestNotRunning",
        **fields,  # type: ignore[arg-type]  # as the caller names them
    )
    value["metadata"]["creationTimestamp"] = ago(hours=31 * number + 5)
    return value


def ago(**span: float) -> str:
    """Return a time as the API spells it."""
    return f"{datetime.now(UTC) - timedelta(**span):%Y-%m-%dT%H:%M:%SZ}"


def populate(api: FakeApiServer) -> None:
    """Put everything in."""
    for namespace in dict.fromkeys(one[0] for one in MACHINES):
        api.put(build.namespace_json(namespace))
    for namespace, service, number in MACHINES:
        port = build.port_json(5432 if service == "db" else 8080, "main", "TCP")
        one = build.service_json(service, namespace=namespace, selector={"app": service}, ports=[port])
        one["metadata"]["creationTimestamp"] = ago(days=212)
        api.put(one)
        for index in range(number):
            api.put(machine(namespace, service, index, interface_ports=[port]))
    ports = [build.port_json(443, "https", "TCP")]
    front = build.service_json("storefront", namespace="shop", cluster_ip="10.96.14.2", ports=ports)
    front["metadata"]["creationTimestamp"] = ago(days=40)
    api.put(front)


@asynccontextmanager
async def world(
    folder: Path, api: FakeApiServer | None = None, *, startup: str = "5s", inspect: str = "127.0.0.1:0"
) -> AsyncIterator[World]:
    """Run a server with an API server that runs, or with one that has everything in it."""
    async with AsyncExitStack() as stack:
        if api is None:
            api = await stack.enter_async_context(FakeApiServer())
            populate(api)
        corefile = COREFILE.format(url=api.url, timeout=startup, inspect=inspect)
        yield World(api, await stack.enter_async_context(serving(corefile, folder)), inspect)
