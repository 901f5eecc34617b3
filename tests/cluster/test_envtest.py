"""The scenarios in a real API server: etcd and kube-apiserver of `KUBEBUILDER_ASSETS`, without nodes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.build import Json
from tests.cluster.control_plane import CRD, CRDS, NEEDS_ASSETS, TOKEN, Admin, Cluster, administration, control_plane
from tests.cluster.scenarios import SCENARIOS, Scenario, namespace_of
from tests.cluster.test_fake import COREFILE, becomes
from tests.harness import Serving, serving

pytestmark = list(NEEDS_ASSETS)

_CREATED, _NOT_FOUND, _CONFLICT = 201, 404, 409
_PATHS = {
    "Namespace": "/api/v1/namespaces",
    "Service": "/api/v1/namespaces/{}/services",
    "VirtualMachineInstance": "/apis/kubevirt.io/v1/namespaces/{}/virtualmachineinstances",
}
_KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: envtest
contexts: [{{name: envtest, context: {{cluster: envtest, user: admin}}}}]
clusters: [{{name: envtest, cluster: {{server: "{url}", certificate-authority: "{folder}/apiserver.crt"}}}}]
users: [{{name: admin, user: {{token: {token}}}}}]
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A control plane for all scenarios: each has a namespace of its own."""
    with control_plane(tmp_path_factory.mktemp("envtest")) as started:
        yield started


class RealCluster:
    """kube-apiserver, and a server that watches it."""

    def __init__(self, admin: Admin, server: Serving) -> None:
        self._admin = admin
        self._server = server

    async def put(self, value: Json) -> None:
        """Create an object, or replace it: the identity that the API server has given it stays."""
        meta = {key: field for key, field in value["metadata"].items() if key != "uid"}
        value = value | {"metadata": meta}
        collection = _PATHS[value["kind"]].format(meta.get("namespace"))
        if await self._admin.call("GET", f"{collection}/{meta['name']}") == _NOT_FOUND:
            await self._admin.create(collection, value)
            return
        before = await self._admin.read(f"{collection}/{meta['name']}")
        version = {"resourceVersion": before["metadata"]["resourceVersion"]}
        replaced = value | {"metadata": meta | version}
        assert await self._admin.call("PUT", f"{collection}/{meta['name']}", replaced) == 200

    async def delete(self, value: Json) -> None:
        """Delete an object."""
        meta = value["metadata"]
        path = f"{_PATHS[value['kind']].format(meta['namespace'])}/{meta['name']}"
        assert await self._admin.call("DELETE", path) == 200

    async def becomes(self, qname: str, qtype: str, expected: list[str] | None) -> None:
        """Ask until the answer is as expected."""
        await becomes(self._server, qname, qtype, expected)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=namespace_of)
async def test_scenario(scenario: Scenario, cluster: Cluster, tmp_path: Path) -> None:
    async with administration(cluster) as admin:
        assert await admin.call("POST", CRDS, CRD) in (_CREATED, _CONFLICT)
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(_KUBECONFIG.format(url=cluster.url, folder=cluster.folder, token=TOKEN))
        async with serving(COREFILE.format(source=f"kubeconfig {kubeconfig}"), tmp_path) as server:
            await scenario(RealCluster(admin, server), namespace_of(scenario))
