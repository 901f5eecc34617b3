"""What kind gets, as far as it can be checked without a cluster."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from dnsserver.corefile import parse
from tests.chart.helm import HELM, corefile, find, render
from tests.cluster.control_plane import CRD
from tests.harness import serving
from tests.kind.environment import HERE
from tests.kind.test_kind import REAL


def documents(name: str) -> list[dict[str, Any]]:
    """Return the documents of a file."""
    return list(yaml.safe_load_all((HERE / name).read_text()))


@pytest.mark.parametrize("name", ["cluster.yaml", "kubevirt-crds.yaml", "vm.yaml", "migration.yaml"])
def test_every_document_is_an_object(name: str) -> None:
    assert all(document["kind"] and document["apiVersion"] for document in documents(name))


def test_crd_is_that_of_the_control_plane() -> None:
    """VMIs behave the same in kind and against the bare API server: no status subresource in either."""
    (crd,) = documents("kubevirt-crds.yaml")
    mine, other = crd["spec"], CRD["spec"]
    assert (mine["group"], mine["scope"], mine["names"]["plural"]) == (
        other["group"],
        other["scope"],
        other["names"]["plural"],
    )
    assert all("subresources" not in version for version in (*mine["versions"], *other["versions"]))


@pytest.mark.skipif(not HELM.exists(), reason="no helm: `make tools` fetches it, as `.ci/run` does")
def test_values_serve_the_scenarios() -> None:
    """The chart with these values answers for the zones that the scenarios ask for, and may list VMs."""
    rendered = render(HERE / "values.yaml")
    (block,) = parse(corefile(rendered)).blocks
    (plugin,) = (one for one in block.directives if one.name == "kubernetes")
    assert plugin.args == ("cluster.local", "in-addr.arpa", "ip6.arpa")
    rules = find(rendered, "ClusterRole")["rules"]
    assert any("virtualmachineinstances" in rule["resources"] and "list" in rule["verbs"] for rule in rules)


async def test_the_real_vm_would_have_its_name(tmp_path: Path) -> None:
    """What KubeVirt makes of the VM, with an address, is published under the name that the test in kind asks for."""
    namespace, service, machine = documents("vm.yaml")
    template = machine["spec"]["template"]
    vmi = {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": {"name": "vm1", "namespace": "dns-real-vm", "labels": template["metadata"]["labels"]},
        "spec": template["spec"],
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
            "interfaces": [{"name": "default", "ipAddress": "10.244.0.9", "infoSource": "domain"}],
        },
    }
    service["spec"]["ipFamilies"] = ["IPv4"]  # the API server adds them
    manifest = tmp_path / "objects.json"
    manifest.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": [namespace, service, vmi]}))
    text = f"cluster.local {{\n bind 127.0.0.1\n kubernetes {{\n  manifests {manifest}\n }}\n}}\n"
    async with serving(text, tmp_path) as server:
        assert await server.texts(REAL) == ["10.244.0.9"]
