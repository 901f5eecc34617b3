"""A real kube-apiserver and etcd on 127.0.0.1, where `KUBEBUILDER_ASSETS` names a folder that has them."""

import asyncio
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from dnsserver.sources.kubernetes import ApiConfig

ASSETS = Path(os.environ.get("KUBEBUILDER_ASSETS", "/nonexistent"))
TOKEN = "envtest-token"  # no token of anything but the server started here
START = 50.0  # seconds

NEEDS_ASSETS = (
    pytest.mark.envtest,
    pytest.mark.timeout(120),
    pytest.mark.skipif(
        not all((ASSETS / name).is_file() for name in ("kube-apiserver", "etcd")) or shutil.which("openssl") is None,
        reason="needs KUBEBUILDER_ASSETS with kube-apiserver and etcd, and openssl",
    ),
)

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
CRD: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "virtualmachineinstances.kubevirt.io"},
    "spec": {
        "group": "kubevirt.io",
        "scope": "Namespaced",
        "names": {
            "kind": "VirtualMachineInstance",
            "plural": "virtualmachineinstances",
            "singular": "virtualmachineinstance",
        },
        "versions": [
            {
                "name": version,
                "served": True,
                "storage": version == "v1",
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
            for version in ("v1", "v1alpha3")
        ],
    },
}


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where the API server is; anybody with the token may do anything."""

    url: str
    folder: Path

    @property
    def config(self) -> ApiConfig:
        """How to reach it."""
        return ApiConfig(
            endpoint=self.url, ca_file=str(self.folder / "apiserver.crt"), token_file=str(self.folder / "token")
        )


class Admin:
    """Changes objects."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def call(self, method: str, path: str, value: dict[str, Any] | None = None) -> int:
        """Send a request; return its status."""
        async with self._session.request(method, path, json=value) as response:
            await response.read()
            return response.status

    async def read(self, path: str) -> dict[str, Any]:
        """Return an object."""
        async with self._session.get(path) as response:
            response.raise_for_status()
            found: dict[str, Any] = await response.json()
            return found

    async def create(self, path: str, value: dict[str, Any]) -> None:
        """Create an object, as soon as its resource is served."""
        while (status := await self.call("POST", path, value)) in (404, 503):  # noqa: ASYNC110 -- a CRD takes a moment, and nothing tells when
            await asyncio.sleep(0.1)
        assert status == 201


@contextmanager
def running(folder: Path, name: str, *arguments: str) -> Iterator[None]:
    """Run a program of the assets within the block."""
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen([ASSETS / name, *arguments], stdout=log, stderr=subprocess.STDOUT)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def free_port() -> int:
    """Return a port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def control_plane(folder: Path) -> Iterator[Cluster]:
    """Run etcd and kube-apiserver on 127.0.0.1 within the block."""
    (folder / "token").write_text(TOKEN)
    (folder / "tokens.csv").write_text(f'{TOKEN},admin,admin,"system:masters"\n')
    key = folder / "accounts.key"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    etcd, peer, port = free_port(), free_port(), free_port()
    with ExitStack() as stack:
        stack.enter_context(
            running(
                folder,
                "etcd",
                f"--data-dir={folder / 'etcd'}",
                f"--listen-client-urls=http://127.0.0.1:{etcd}",
                f"--advertise-client-urls=http://127.0.0.1:{etcd}",
                f"--listen-peer-urls=http://127.0.0.1:{peer}",
                "--unsafe-no-fsync",
            )
        )
        stack.enter_context(
            running(
                folder,
                "kube-apiserver",
                f"--etcd-servers=http://127.0.0.1:{etcd}",
                f"--cert-dir={folder}",
                "--bind-address=127.0.0.1",
                f"--secure-port={port}",
                f"--token-auth-file={folder / 'tokens.csv'}",
                f"--service-account-key-file={key}",
                f"--service-account-signing-key-file={key}",
                "--service-account-issuer=https://127.0.0.1",
                "--service-cluster-ip-range=10.0.0.0/24",
                "--disable-admission-plugins=ServiceAccount",
                "--authorization-mode=RBAC",
            )
        )
        yield Cluster(f"https://127.0.0.1:{port}", folder)


@asynccontextmanager
async def administration(cluster: Cluster) -> AsyncIterator[Admin]:
    """Open a session as soon as the API server is ready."""
    async with asyncio.timeout(START):
        while not (cluster.folder / "apiserver.crt").exists():  # noqa: ASYNC110 -- another process writes it
            await asyncio.sleep(0.1)
    context = ssl.create_default_context(cafile=cluster.folder / "apiserver.crt")
    headers = {"Authorization": f"Bearer {TOKEN}"}
    connector = aiohttp.TCPConnector(ssl=context)
    async with aiohttp.ClientSession(cluster.url, headers=headers, connector=connector) as session:
        admin = Admin(session)
        async with asyncio.timeout(START):
            while not await _is_ready(admin):  # noqa: ASYNC110 -- another process's state
                await asyncio.sleep(0.1)
        yield admin


async def _is_ready(admin: Admin) -> bool:
    """Say whether the API server is ready."""
    try:
        return await admin.call("GET", "/readyz") == 200
    except aiohttp.ClientError:
        return False
