"""The same loop against a real kube-apiserver and etcd, where `KUBEBUILDER_ASSETS` names a folder that has them."""

import asyncio
import json
import time
from collections.abc import Iterator

import pytest

from dnsserver.events import NotServed
from dnsserver.objects import Kind
from dnsserver.sources.eventwriter import Telling, Written, event_name, write_event
from dnsserver.sources.kubernetes import connect
from dnsserver.sources.timing import Timing
from dnsserver.sources.watch import ResourceWatch
from tests.cluster.control_plane import CRD, CRDS, NEEDS_ASSETS, Cluster, administration, control_plane
from tests.fakes.api_mirror import Mirror, mirrored

pytestmark = list(NEEDS_ASSETS)

VMIS = "/apis/kubevirt.io/v1/namespaces/default/virtualmachineinstances"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A control plane of etcd and kube-apiserver on 127.0.0.1."""
    with control_plane(tmp_path_factory.mktemp("envtest")) as started:
        yield started


def names(mirror: Mirror) -> set[str]:
    """Return the names of what is there."""
    return {name for _, name in mirror.current}


async def test_services(cluster: Cluster) -> None:
    """List, watch, change, delete; and a watch that is cut goes on."""
    path = "/api/v1/namespaces/default/services"
    spec = {"clusterIP": "None", "ports": [{"port": 80}]}
    async with administration(cluster) as admin, connect(cluster.config) as connection:
        watch = ResourceWatch(connection, Kind.SERVICE, timing=Timing(watch_min=1, watch_max=2, page_size=1))
        async with mirrored(watch) as mirror:
            await mirror.until(lambda: "kubernetes" in names(mirror))
            for name in ("one", "two"):
                await admin.create(path, {"metadata": {"name": name}, "spec": spec})
            await mirror.until(lambda: {"one", "two"} <= names(mirror))
            await asyncio.sleep(3)  # past the end of a watch: the server's own time, which no condition tells of
            await admin.call("DELETE", f"{path}/one")
            await mirror.until(lambda: "one" not in names(mirror))
    assert watch.status.lists[Kind.SERVICE] == 1
    assert not watch.status.refused


async def test_kubevirt_comes_and_goes(cluster: Cluster) -> None:
    """No CRD, then one, then VMIs, then none again."""
    value = {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": {"name": "vm1"},
        "spec": {"hostname": "vm1", "subdomain": "db"},
        "status": {"phase": "Running"},
    }
    async with administration(cluster) as admin, connect(cluster.config) as connection:
        timing = Timing(absent_retry=0.3, backoff_cap=1.0)
        async with mirrored(ResourceWatch(connection, Kind.VMI, timing=timing)) as mirror:
            await mirror.until(lambda: mirror.count(NotServed) == 1)
            await admin.create(CRDS, CRD)
            await admin.create(VMIS, value)
            await mirror.until_names("vm1")
            assert await admin.call("DELETE", f"{CRDS}/virtualmachineinstances.kubevirt.io") == 200
            await mirror.until(lambda: mirror.count(NotServed) == 2)
            assert mirror.current == {}


async def test_events(cluster: Cluster) -> None:
    """The API server takes an Event as it is, says that it is there, and counts one more; nothing is read for that."""
    telling = Telling(
        "default", "vm1", "0b9c1a4e-6d3f-4a55-8d0e-2f6f6c1b7a10", "SubdomainWithoutService", "No DNS name"
    )
    now = time.time()
    async with connect(cluster.config) as connection:
        for later, expected in ((0, Written.CREATED), (1, Written.KNOWN), (1800, Written.REPEATED)):
            assert await write_event(connection, telling, now=now + later, quiet=600.0) is expected
        path = f"/api/v1/namespaces/default/events/{event_name(telling)}"
        async with connection.request(path, {}) as response:
            event = json.loads(await response.read())
    assert (event["count"], event["reason"], event["involvedObject"]["uid"]) == (2, telling.reason, telling.uid)
