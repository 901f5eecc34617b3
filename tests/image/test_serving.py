"""The image's content at work: as a user that is not root, with nothing to write to, on CoreDNS's own arguments.

As root, in a mount namespace of its own: everything is mounted read-only, the image's `/opt` is at `/opt`, the Corefile
at `/etc/coredns`, and the process has user 65532 and no capability. Where a namespace is not allowed, the same with the
test's own user, on files that nobody may write.
"""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.build import namespace_json, service_json, vmi_json
from tests.fakes.api_server import FakeApiServer
from tests.image.dockerfile import ROOT
from tests.test_cli import Process

pytestmark = pytest.mark.timeout(300)  # the fixture installs packages and compiles, if no test before has done so
NAME = "myvmi.mysubdomain.default.svc.cluster.local"
COREFILE = """cluster.local:0 {{
    bind 127.0.0.1
    errors
    health 127.0.0.1:0
    kubernetes {{
        {source}
    }}
}}
"""
# $1 the image's files, $2 the configuration, $3 the interpreter's folder; the rest is the command
PREPARE = """
set -e
mount -t tmpfs -o mode=755 none /mnt
mkdir /mnt/image /mnt/config /mnt/python
mount --bind "$1" /mnt/image
mount --bind "$2" /mnt/config
mount --bind "$3" /mnt/python
mount --bind /mnt/image /opt
mount -t tmpfs -o mode=755 none /etc
mkdir /etc/coredns
mount --bind /mnt/config /etc/coredns
case "$3" in /root/*) mount -t tmpfs -o mode=755 none /root; mkdir -p "$3"; mount --bind /mnt/python "$3";; esac
for place in / /opt /etc /etc/coredns /root /mnt; do
    mount -o remount,ro,bind "$place" 2>/dev/null || true
done
cd /
as_nobody="setpriv --reuid 65532 --regid 65532 --clear-groups --no-new-privs --bounding-set -all --inh-caps -all --"
command="/opt/dnsserver/bin/python /opt/dnsserver/bin/dnsserver"
shift 3
"""
NAMESPACE = f"""{PREPARE}
exec $as_nobody "$@"
"""
# in a network of its own: $1 is what the pod's sysctl says, $2 the name to ask for
PORT_53 = f"""{PREPARE}
ip link set lo up
echo "$1" > /proc/sys/net/ipv4/ip_unprivileged_port_start
$as_nobody $command -conf /etc/coredns/Corefile &
server=$!
tries=0
until $as_nobody $command query @127.0.0.1 "$2" +short 2>/dev/null; do
    tries=$((tries + 1))
    if [ $tries = 50 ] || ! kill -0 $server 2>/dev/null; then wait $server; exit; fi
done
kill $server
wait $server
"""


def namespaces() -> bool:
    """Say whether this user may make a mount namespace and mount in it."""
    if os.geteuid() != 0 or not shutil.which("setpriv") or not shutil.which("unshare"):
        return False
    probe = ("unshare", "--mount", "sh", "-c", "mount -t tmpfs none /mnt && mount -o remount,ro,bind /")
    return subprocess.run(probe, check=False, capture_output=True).returncode == 0


def _chmod(mode: str, image: Path) -> None:
    subprocess.run(("chmod", "-R", mode, str(image / "opt" / "dnsserver")), check=True)


@asynccontextmanager
async def started(image: Path, config: Path) -> AsyncIterator[Process]:
    """Run the image's entry point with `-conf /etc/coredns/Corefile` within the block."""
    if namespaces():
        command: tuple[str, ...] = (
            *("unshare", "--mount", "sh", "-c", NAMESPACE, "sh", str(image / "opt"), str(config), sys.base_prefix),
            *("/opt/dnsserver/bin/python", "/opt/dnsserver/bin/dnsserver", "-conf", "/etc/coredns/Corefile"),
        )
    else:
        _chmod("a-w", image)
        command = (str(image / "opt" / "dnsserver" / "bin" / "dnsserver"), "-conf", str(config / "Corefile"))
    process = await asyncio.create_subprocess_exec(
        *command,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Process(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
        if not namespaces():
            _chmod("u+w", image)


def configure(folder: Path, source: str) -> Path:
    """Write a Corefile that anybody may read; return its folder."""
    (folder / "Corefile").write_text(COREFILE.format(source=source))
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


async def test_e1_user_guide_without_privileges(image: Path, tmp_path: Path) -> None:
    """The user guide's name, over UDP and TCP; no privileges, nothing to write to, and an end without complaint."""
    shutil.copytree(ROOT / "examples" / "manifests", tmp_path / "manifests")
    async with started(image, configure(tmp_path, "manifests manifests")) as server:
        await server.line(r", compiled")
        for tcp in (False, True):
            assert await server.answer(NAME, tcp=tcp) == [bytes([10, 244, 0, 57])]
        if namespaces():
            proc = Path("/proc", str(server.process.pid))
            status = dict(line.split(":\t", 1) for line in (proc / "status").read_text().splitlines() if ":\t" in line)
            assert status["Uid"].split() == ["65532"] * 4
            assert status["Gid"].split() == ["65532"] * 4
            assert {int(status[one], 16) for one in ("CapEff", "CapPrm", "CapInh", "CapBnd")} == {0}
            assert status["NoNewPrivs"] == "1"
            mounts = [line.split() for line in (proc / "mountinfo").read_text().splitlines()]
            places = {fields[4]: fields[5].split(",")[0] for fields in mounts}
            assert {places[place] for place in ("/", "/opt", "/etc", "/etc/coredns")} == {"ro"}
        server.process.terminate()
        assert await server.end() == (0, "")


async def test_an_api_server(image: Path, tmp_path: Path) -> None:
    """The slim client lists and watches: what is there at the start is answered, and what changes then."""
    async with FakeApiServer() as api:
        for one in (namespace_json("ns1"), service_json(), vmi_json()):
            api.put(one)
        async with started(image, configure(tmp_path, f"endpoint {api.url}")) as server:
            await server.line(r", compiled")
            assert await server.answer("vm1.db.ns1.svc.cluster.local") == [bytes([10, 244, 0, 7])]
            await api.seen("virtualmachineinstances", "watch")
            api.delete("VirtualMachineInstance", "ns1", "vm1")
            async with asyncio.timeout(10):
                while await server.answer("vm1.db.ns1.svc.cluster.local"):  # noqa: ASYNC110 -- another process's view
                    await asyncio.sleep(0.01)


@pytest.mark.parametrize("sysctl", [53, 1024])
def test_e1_port_53_without_a_capability(sysctl: int, image: Path, tmp_path: Path) -> None:
    """The chart's sysctl is what lets the image's user have it; the image's own `query` gets the answer there."""
    if not namespaces() or not shutil.which("ip"):
        pytest.skip("a network of its own needs root, and ip")
    shutil.copytree(ROOT / "examples" / "manifests", tmp_path / "manifests")
    config = configure(tmp_path, "manifests manifests")
    (config / "Corefile").write_text((config / "Corefile").read_text().replace("cluster.local:0", "cluster.local:53"))
    ended = subprocess.run(
        (
            "unshare",
            "--mount",
            "--net",
            "sh",
            "-c",
            PORT_53,
            "sh",
            image / "opt",
            config,
            sys.base_prefix,
            str(sysctl),
            NAME,
        ),
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
    )
    if sysctl == 53:
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert "10.244.0.57\n" in ended.stdout
    else:
        assert ended.returncode == 1
        assert "cannot listen on 127.0.0.1 port 53: Permission denied" in ended.stderr
