"""The servers as children of this process, each on the core it was started on, until a block ends."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.cpu import Cpu, used
from benchmarks.process import Client
from tests.respdiff.servers import find, free_port

_START_LIMIT = 900.0  # seconds: a million names

_OURS = """
cluster.local:{port} in-addr.arpa:{port} {{
    bind 127.0.0.1
    errors
    kubernetes {{
        {source}
        startup_timeout 15m
    }}
}}
"""
_COREDNS = """
{zone}:{port} {{
    bind 127.0.0.1
    errors
    file {path}
}}
"""
_KNOT = """server:
    listen: 127.0.0.1@{port}
    rundir: {folder}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: {folder}
log:
  - target: stderr
    any: warning
template:
  - id: default
    storage: {zones}
    file: "%s.zone"
    zonefile-sync: -1
    journal-content: none
zone:
"""
_NSD = """server:
    ip-address: 127.0.0.1@{port}
    server-count: 1
    minimal-responses: yes
    username: ""
    chroot: ""
    pidfile: "{folder}/nsd.pid"
    zonesdir: "{zones}"
    database: ""
    zonelistfile: "{folder}/zone.list"
    xfrdfile: "{folder}/xfrd.state"
    xfrdir: "{folder}"
    cookie-secret-file: "{folder}/cookies"
    rrl-ratelimit: 0
remote-control:
    control-enable: no
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers."""

    name: str
    pid: int
    port: int  # on 127.0.0.1, UDP and TCP

    def cpu(self) -> Cpu:
        """Return what it has used until now."""
        return used(self.pid)


@contextmanager
def ours(name: str, source: str, folder: Path, qname: str) -> Iterator[Server]:
    """Run this server on a source of objects (`manifests PATH`, `endpoint URL`) until it has this name's address."""
    port = free_port()
    corefile = folder / f"Corefile.{port}"
    corefile.write_text(_OURS.format(port=port, source=source))
    command = (sys.executable, "-m", "dnsserver", "-quiet", "-conf", str(corefile))
    with _running(name, command, folder, port, qname) as server:
        yield server


def nsd(folder: Path, zones: Path, qname: str) -> AbstractContextManager[Server]:
    """Run NSD with one process for queries."""
    port = free_port()
    names = "".join(f'zone:\n    name: "{path.stem}"\n    zonefile: "{path.name}"\n' for path in _files(zones))
    path = folder / "nsd.conf"
    path.write_text(_NSD.format(port=port, folder=folder, zones=zones) + names)
    return _running("NSD", (find("nsd") or "nsd", "-d", "-c", str(path)), folder, port, qname)


def knot(folder: Path, zones: Path, qname: str) -> AbstractContextManager[Server]:
    """Run Knot DNS with one thread for UDP and one for TCP."""
    port = free_port()
    names = "".join(f'  - domain: "{path.stem}"\n' for path in _files(zones))
    path = folder / "knot.conf"
    path.write_text(_KNOT.format(port=port, folder=folder, zones=zones) + names)
    return _running("Knot", (find("knotd") or "knotd", "-c", str(path)), folder, port, qname)


def coredns(folder: Path, zones: Path, qname: str) -> AbstractContextManager[Server]:
    """Run CoreDNS with its plugin `file`: its `kubernetes` knows no VMIs."""
    port = free_port()
    path = folder / "Corefile.coredns"
    path.write_text("".join(_COREDNS.format(zone=one.stem, port=port, path=one) for one in _files(zones)))
    return _running("CoreDNS", (find("coredns") or "coredns", "-quiet", "-conf", str(path)), folder, port, qname)


# the commands, and what runs them; whoever is not installed is left out
PEERS: dict[str, Callable[[Path, Path, str], AbstractContextManager[Server]]] = {
    "nsd": nsd,
    "knotd": knot,
    "coredns": coredns,
}


def dump(manifest: Path, zones: Path) -> None:
    """Write this server's zones of a manifest to files. Raises `subprocess.CalledProcessError`."""
    options = ("--manifests", str(manifest), "-o", str(zones), "--timeout", str(round(_START_LIMIT)))
    subprocess.run((sys.executable, "-m", "dnsserver", "dump", *options), check=True)


def _files(zones: Path) -> Sequence[Path]:
    return sorted(zones.glob("*.zone"))


@contextmanager
def _running(name: str, command: Sequence[str], folder: Path, port: int, qname: str) -> Iterator[Server]:
    """Run a server until the block ends; it starts once there is an answer. Raises `RuntimeError` with its log."""
    log = folder / f"{name}.{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            _wait(process, port, qname, log)
            yield Server(name, process.pid, port)
        finally:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: "subprocess.Popen[bytes]", port: int, qname: str, log: Path) -> None:
    """Ask for a name until its address is there."""
    client = Client(port)
    deadline = time.monotonic() + _START_LIMIT
    try:
        while (response := client.ask(qname)) is None or not response.answer:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{process.args!r} does not answer:\n{log.read_text(errors='replace')}")
            time.sleep(0.05)
    finally:
        client.close()
