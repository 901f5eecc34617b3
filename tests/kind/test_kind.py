"""The scenarios in kind; where a real KubeVirt is there, a real VM and its migration instead.

Nothing of this ran where no Docker engine is; the same scenarios run against the fake API server in tests/cluster, and
the chart's manifests are checked in tests/chart.
"""

import asyncio
import ipaddress
from collections.abc import Iterator

import pytest

from tests.cluster.scenarios import SCENARIOS, Scenario, host, namespace_of
from tests.kind.environment import HERE, KUBEVIRT, NAMESPACE, RELEASE, Kind, cluster, missing

pytestmark = [
    pytest.mark.kind,
    pytest.mark.timeout(1800),  # a cluster with KubeVirt in emulation takes its time
    pytest.mark.skipif(bool(missing()), reason=missing() or "there is a cluster"),
]

REAL = host("dns-real-vm", "myvmi", "mysubdomain")


@pytest.fixture(scope="module")
def kind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kind]:
    """A cluster for all tests."""
    with cluster(tmp_path_factory.mktemp("kind")) as made:
        yield made


@pytest.mark.skipif(bool(KUBEVIRT), reason="KubeVirt itself writes VMIs here")
@pytest.mark.parametrize("scenario", SCENARIOS, ids=namespace_of)
async def test_scenario(scenario: Scenario, kind: Kind) -> None:
    await scenario(kind, namespace_of(scenario))


async def test_chart_tests(kind: Kind) -> None:
    """`helm test` asks the Service over UDP and TCP from a pod."""
    process = await asyncio.create_subprocess_exec(
        "helm", "--kubeconfig", kind.kubeconfig, "test", RELEASE, "--namespace", NAMESPACE
    )
    assert await process.wait() == 0


async def test_replicas_are_on_different_nodes(kind: Kind) -> None:
    pods = kind.found("pods", "-n", NAMESPACE, "-l", f"app.kubernetes.io/instance={RELEASE}")["items"]
    running = [pod for pod in pods if pod["status"]["phase"] == "Running"]
    assert len({pod["spec"]["nodeName"] for pod in running}) == len(running) == 2


@pytest.mark.skipif(not KUBEVIRT, reason="needs KubeVirt itself: DNSSERVER_KUBEVIRT names its version")
async def test_real_vm_migrates(kind: Kind) -> None:
    """The name is the VM's address before and after a live migration, and never goes in between."""
    kind.kubectl("apply", "-f", str(HERE / "vm.yaml"))
    kind.kubectl("-n", "dns-real-vm", "wait", "vm/vm1", "--for=condition=Ready", "--timeout=600s")
    before = _address(kind)
    async with asyncio.timeout(60):
        await kind.becomes(REAL, "A", [before])
    kind.kubectl("apply", "-f", str(HERE / "migration.yaml"))
    async with asyncio.timeout(600):
        while kind.found("vmim/vm1-moves", "-n", "dns-real-vm").get("status", {}).get("phase") != "Succeeded":
            response = await kind.ask(REAL)
            assert [len(record.rdata) for record in response.answer] == [4]
            await asyncio.sleep(0.5)
    await kind.becomes(REAL, "A", [_address(kind)])


def _address(kind: Kind) -> str:
    """Return the IPv4 address that the VMI's status has."""
    interface = kind.found("vmi/vm1", "-n", "dns-real-vm")["status"]["interfaces"][0]
    addresses: list[str] = interface["ipAddresses"]
    return next(one for one in addresses if ipaddress.ip_address(one).version == 4)
