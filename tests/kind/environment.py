"""A cluster made by kind, with the image and the chart of this repository in it.

`DNSSERVER_KUBECONFIG` names a kubeconfig instead: that cluster is used, and is to have the chart and the CRDs already.
`DNSSERVER_IMAGE` names the image to load (`dnsserver:test`); `DNSSERVER_KUBEVIRT` a version of KubeVirt to install, in
emulation, in place of its bare CRDs.
"""

import asyncio
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dnsserver.wire import ParsedResponse, encode_query, parse_response
from tests.build import Json
from tests.cluster.test_fake import becomes
from tests.harness import ask_tcp, question

HERE = Path(__file__).parent
CHART = HERE.parent.parent / "charts" / "dnsserver"
KUBECONFIG = os.environ.get("DNSSERVER_KUBECONFIG", "")
IMAGE = os.environ.get("DNSSERVER_IMAGE", "dnsserver:test")
KUBEVIRT = os.environ.get("DNSSERVER_KUBEVIRT", "")
NAMESPACE = "dnsserver"
RELEASE = "dnsserver"
CLUSTER = "dnsserver-test"
_KUBEVIRT_FILES = "https://github.com/kubevirt/kubevirt/releases/download/{version}/{name}.yaml"
_EMULATION = {"spec": {"configuration": {"developerConfiguration": {"useEmulation": True}}}}
_TOOLS = ("kubectl", "helm") if KUBECONFIG else ("kubectl", "helm", "kind", "docker")


def missing() -> str:
    """Return why there can be no cluster here; empty where there can."""
    if lacking := [tool for tool in _TOOLS if shutil.which(tool) is None]:
        return f"needs {', '.join(lacking)}"
    if not KUBECONFIG and subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        return "needs a Docker engine that runs"
    return ""


@dataclass(frozen=True, slots=True)
class Kind:
    """A cluster with the server in it; `address` leads to its port 53 over TCP."""

    kubeconfig: str
    address: tuple[str, int]

    def kubectl(self, *arguments: str, given: Json | None = None) -> str:
        """Run kubectl; return what it prints. Raises `CalledProcessError`."""
        command = ["kubectl", "--kubeconfig", self.kubeconfig, *arguments]
        text = None if given is None else json.dumps(given)
        return subprocess.run(command, check=True, input=text, stdout=subprocess.PIPE, text=True).stdout

    def found(self, *arguments: str) -> Any:
        """Return what `kubectl get ... -o json` prints."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    async def put(self, value: Json) -> None:
        """Create an object, or replace it; the API server gives identities."""
        meta = {key: field for key, field in value["metadata"].items() if key != "uid"}
        given = value | {"metadata": meta}
        await asyncio.to_thread(self.kubectl, "apply", "--server-side", "--force-conflicts", "-f", "-", given=given)

    async def delete(self, value: Json) -> None:
        """Delete an object."""
        meta = value["metadata"]
        where = ("-n", meta["namespace"])
        await asyncio.to_thread(self.kubectl, "delete", value["kind"], meta["name"], *where, "--wait=true")

    async def ask(self, qname: str, qtype: str = "A", *, tcp: bool = True) -> ParsedResponse:
        """Ask one question, which goes over TCP: the way into the cluster is a forwarded port."""
        assert tcp
        return parse_response(await ask_tcp(self.address, encode_query(question(qname, qtype))))

    async def becomes(self, qname: str, qtype: str, expected: list[str] | None) -> None:
        """Ask until the answer is as expected."""
        await becomes(self, qname, qtype, expected)


@contextmanager
def cluster(folder: Path) -> Iterator[Kind]:
    """Make a cluster, install the server, and forward a port to it, within the block."""
    kubeconfig = KUBECONFIG or str(folder / "kubeconfig")
    try:
        if not KUBECONFIG:
            _create(kubeconfig)
        with _forwarded(kubeconfig) as address:
            yield Kind(kubeconfig, address)
    finally:
        if not KUBECONFIG:
            _run("kind", "delete", "cluster", "--name", CLUSTER)


def _create(kubeconfig: str) -> None:
    """Make the cluster, with KubeVirt or its CRD, the image, and the chart."""
    kubectl = ("kubectl", "--kubeconfig", kubeconfig)
    _run("kind", "create", "cluster", "--name", CLUSTER, "--kubeconfig", kubeconfig, "--wait", "180s",
         "--config", str(HERE / "cluster.yaml"))  # fmt: skip
    _run("kind", "load", "docker-image", "--name", CLUSTER, IMAGE)
    if KUBEVIRT:
        for name in ("kubevirt-operator", "kubevirt-cr"):
            _run(*kubectl, "apply", "-f", _KUBEVIRT_FILES.format(version=KUBEVIRT, name=name))
        _run(*kubectl, "-n", "kubevirt", "patch", "kubevirt", "kubevirt", "--type=merge", "-p", json.dumps(_EMULATION))
        _run(*kubectl, "-n", "kubevirt", "wait", "kubevirt/kubevirt", "--for=condition=Available", "--timeout=600s")
    else:
        _run(*kubectl, "apply", "-f", str(HERE / "kubevirt-crds.yaml"))
        _run(*kubectl, "wait", "--for=condition=Established", "-f", str(HERE / "kubevirt-crds.yaml"), "--timeout=60s")
    repository, _, tag = IMAGE.rpartition(":")
    _run("helm", "--kubeconfig", kubeconfig, "install", RELEASE, str(CHART), "--namespace", NAMESPACE,
         "--create-namespace", "--values", str(HERE / "values.yaml"), "--set", f"image.repository={repository}",
         "--set", f"image.tag={tag}", "--wait", "--timeout", "180s")  # fmt: skip


@contextmanager
def _forwarded(kubeconfig: str) -> Iterator[tuple[str, int]]:
    """Forward a port of 127.0.0.1 to the server's Service within the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    command = ["kubectl", "--kubeconfig", kubeconfig, "-n", NAMESPACE, "port-forward", f"svc/{RELEASE}", f"{port}:53"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("Forwarding from"), line
            yield "127.0.0.1", port
        finally:
            process.terminate()


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
