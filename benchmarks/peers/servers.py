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
from tests.respdiff.servers import child, find, free_port, knot_command, nsd_command

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
# As where no compiler was there at installation: the import system takes None for a module that cannot be found
_NOT_COMPILED = """
import sys
sys.modules["dnsserver.fast.compiled"] = None
from dnsserver.cli import main
sys.exit(main())
"""
_COREDNS = """
{zone}:{port} {{
    bind 127.0.0.1
    errors
    file {path}
}}
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
def ours(name: str, source: str, folder: Path, qname: str, *, compiled: bool = True) -> Iterator[Server]:
    """Run this server on a source of objects (`manifests PATH`, `endpoint URL`) until it has this name's address."""
    port = free_port()
    corefile = folder / f"Corefile.{port}"
    corefile.write_text(_OURS.format(port=port, source=source))
    options = (*command(compiled=compiled), "-quiet", "-conf", str(corefile))
    with _running(name, options, folder, port, qname) as server:
        yield server


def command(*, compiled: bool = True) -> tuple[str, ...]:
    """Return this server's command, with its table in Python where it is not to be the compiled one."""
    return (sys.executable, *(("-m", "dnsserver") if compiled else ("-c", _NOT_COMPILED)))


def nsd(folder: Path, zones: Path, qname: str) -> AbstractContextManager[Server]:
    """Run NSD with one process for queries."""
    port = free_port()
    command = nsd_command(folder, zones, _names(zones), port, "minimal-responses: yes")
    return _running("NSD", command, folder, port, qname)


def knot(folder: Path, zones: Path, qname: str) -> AbstractContextManager[Server]:
    """Run Knot DNS with one thread for UDP and one for TCP."""
    port = free_port()
    return _running("Knot", knot_command(folder, zones, _names(zones), port), folder, port, qname)


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


def _names(zones: Path) -> Sequence[str]:
    return [path.stem for path in _files(zones)]


@contextmanager
def _running(name: str, command: Sequence[str], folder: Path, port: int, qname: str) -> Iterator[Server]:
    """Run a server until the block ends; it starts once there is an answer. Raises `RuntimeError` with its log."""
    log = folder / f"{name}.{port}.log"
    with child(command, log) as process:
        _wait(process, port, qname, log)
        yield Server(name, process.pid, port)


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
