"""The metrics of requests to the API server: every count of every label set, after requests to a fake one."""

import contextlib
from collections.abc import AsyncIterator

import pytest
from prometheus_client.core import Metric

from dnsserver.admin.rest_metrics import rest_families
from dnsserver.sources.api import UnreachableError
from dnsserver.sources.kubernetes import ApiConfig, ApiConnection, connect
from dnsserver.sources.requests import RequestLimits, RequestStats
from tests.fakes.api_clock import FakeClock
from tests.fakes.api_faults import Drop, refuse
from tests.fakes.api_server import FakeApiServer

PREFIX = "coredns_kubernetes_rest_client"
BOUNDS = ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"]
SERVICES = "/api/v1/services"


def samples(stats: RequestStats) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return each sample by its name and labels, in the order of the labels."""
    return {
        (sample.name.removeprefix(f"{PREFIX}_"), tuple(sample.labels.items())): sample.value
        for family in rest_families(stats)
        for sample in family.samples
    }


@contextlib.asynccontextmanager
async def connected(
    limits: RequestLimits, clock: FakeClock | None = None
) -> AsyncIterator[tuple[FakeApiServer, ApiConnection]]:
    """Run an API server and a connection to it."""
    async with (
        FakeApiServer() as api,
        connect(ApiConfig(endpoint=api.url, limits=limits), clock=clock or FakeClock()) as connection,
    ):
        yield api, connection


async def get(connection: ApiConnection, path: str = SERVICES) -> None:
    """Request a path, and read the answer if one comes."""
    with contextlib.suppress(UnreachableError):
        async with connection.request(path, {}, read_timeout=5) as response:
            await response.read()


def test_families() -> None:
    """CoreDNS's names, types and labels; before the first request there are no codes, and nothing observed."""
    families: dict[str, Metric] = {family.name: family for family in rest_families(RequestStats())}
    assert {name: family.type for name, family in families.items()} == {
        f"{PREFIX}_request_duration_seconds": "histogram",
        f"{PREFIX}_rate_limiter_duration_seconds": "histogram",
        f"{PREFIX}_requests": "counter",
    }
    assert all(family.documentation for family in families.values())
    assert families[f"{PREFIX}_requests"].samples == []
    assert {sample.value for family in families.values() for sample in family.samples} == {0.0}


async def test_counts() -> None:
    """One by code and host; an answer that never came has a code of its own, and no latency."""
    async with connected(RequestLimits()) as (api, connection):
        api.fault("services", "list", refuse(503, "ServiceUnavailable"), times=2)
        for _ in range(5):
            await get(connection)
        api.fault("services", "list", Drop(), times=2)  # a connection that was in use before is tried again
        await get(connection)
        for _ in range(2):
            await get(connection, "/apis/none")
        host = f"127.0.0.1:{api.port}"
        found = samples(connection.stats)
    by_verb = (("verb", "GET"), ("host", host))
    zeros = dict.fromkeys(BOUNDS, 7.0)
    assert {labels: value for (name, labels), value in found.items() if name == "requests_total"} == {
        (("code", "200"), ("method", "GET"), ("host", host)): 3.0,
        (("code", "503"), ("method", "GET"), ("host", host)): 2.0,
        (("code", "404"), ("method", "GET"), ("host", host)): 2.0,
        (("code", "<error>"), ("method", "GET"), ("host", host)): 1.0,
    }
    assert found["request_duration_seconds_count", by_verb] == 7.0
    assert found["request_duration_seconds_sum", by_verb] == 0.0
    assert found["rate_limiter_duration_seconds_count", by_verb] == 8.0
    assert {
        dict(labels)["le"]: value
        for (name, labels), value in found.items()
        if name == "request_duration_seconds_bucket"
    } == zeros


async def test_held_back() -> None:
    """What the limits cost is counted apart from what the API server takes."""
    clock = FakeClock()
    async with connected(RequestLimits(qps=2.0, burst=2), clock) as (_, connection):
        for _ in range(5):
            await get(connection)
        found = samples(connection.stats)
        by_verb = (("verb", "GET"), ("host", connection.stats.host))
    assert clock.sleeps == [0.5, 0.5, 0.5]
    assert found["rate_limiter_duration_seconds_sum", by_verb] == 1.5
    assert found["request_duration_seconds_sum", by_verb] == 0.0
    buckets = [found["rate_limiter_duration_seconds_bucket", (*by_verb, ("le", bound))] for bound in BOUNDS]
    assert buckets == [2.0] * 6 + [5.0] * 6


@pytest.mark.parametrize(("seconds", "first"), [(0.0, 0), (0.3, 6), (1.0, 7), (2.0, 8), (60.0, 11)])
def test_buckets(seconds: float, first: int) -> None:
    """Buckets are cumulative, and named as Go names their bounds."""
    stats = RequestStats(host="a:1")
    stats.latency.observe(seconds)
    found = samples(stats)
    by_verb = (("verb", "GET"), ("host", "a:1"))
    buckets = [found["request_duration_seconds_bucket", (*by_verb, ("le", bound))] for bound in BOUNDS]
    assert buckets == [0.0] * first + [1.0] * (len(BOUNDS) - first)
    assert found["request_duration_seconds_sum", by_verb] == seconds
