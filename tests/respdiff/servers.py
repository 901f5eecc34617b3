"""The servers as children of this process, on free ports of 127.0.0.1, until a block ends."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.respdiff.exchange import Asker, soa_serial

_START_LIMIT = 60.0  # seconds: a loaded machine with two cores
_ROOT = Path(__file__).parent.parent.parent

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
    hide-version: yes
    {more}
remote-control:
    control-enable: no
"""


class ServerError(Exception):
    """A server that does not start; the text has its log."""


def find(command: str) -> str | None:
    """Return the path of an installed server."""
    return shutil.which(command, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def free_port() -> int:
    """Return a port that is free now for TCP and UDP."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as stream, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
            port: int = stream.getsockname()[1]
            try:
                datagrams.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def dump(corefile: Path, folder: Path) -> None:
    """Write the zones of a Corefile to files. Raises `ServerError`."""
    command = (sys.executable, "-m", "dnsserver", "dump", "-conf", str(corefile), "-o", str(folder))
    ended = subprocess.run(command, cwd=_ROOT, capture_output=True, check=False)
    if ended.returncode:
        raise ServerError(ended.stderr.decode())


@contextmanager
def ours(corefile: Path, folder: Path, zones: Sequence[str]) -> Iterator[int]:
    """Run this server; give its port."""
    port = free_port()
    command = (sys.executable, "-m", "dnsserver", "-quiet", "-conf", str(corefile), "-p", str(port))
    with _running(command, folder / "dnsserver.log", port, zones):
        yield port


@contextmanager
def knot(folder: Path, zones: Sequence[str]) -> Iterator[int]:
    """Run Knot DNS on zone files; give its port."""
    port = free_port()
    with _running(knot_command(folder, folder / "zones", zones, port), folder / "knot.log", port, zones):
        yield port


@contextmanager
def nsd(folder: Path, zones: Sequence[str]) -> Iterator[int]:
    """Run NSD on zone files; give its port."""
    port = free_port()
    with _running(nsd_command(folder, folder / "zones", zones, port), folder / "nsd.log", port, zones):
        yield port


def knot_command(folder: Path, files: Path, zones: Iterable[str], port: int) -> tuple[str, ...]:
    """Return what runs Knot DNS, with one thread each for UDP and TCP, on the zone files of a folder."""
    config = folder / "knot.conf"
    text = _KNOT.format(port=port, folder=folder, zones=files)
    config.write_text(text + "".join(f'  - domain: "{zone}"\n' for zone in zones))
    return find("knotd") or "knotd", "-c", str(config)


def nsd_command(folder: Path, files: Path, zones: Iterable[str], port: int, more: str = "") -> tuple[str, ...]:
    """Return what runs NSD, with one process for queries, on the zone files of a folder; `more` is for its server."""
    config = folder / "nsd.conf"
    text = _NSD.format(port=port, folder=folder, zones=files, more=more)
    config.write_text(text + "".join(f'zone:\n    name: "{zone}"\n    zonefile: "{zone}.zone"\n' for zone in zones))
    return find("nsd") or "nsd", "-d", "-c", str(config)


@contextmanager
def child(command: Sequence[str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a command until the block ends."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def _running(command: Sequence[str], log: Path, port: int, zones: Iterable[str]) -> Iterator[None]:
    """Run a server until the block ends; it starts once it answers for every zone. Raises `ServerError`."""
    with child(command, log) as process:
        _wait(process, port, zones, log)
        yield


def _wait(process: "subprocess.Popen[bytes]", port: int, zones: Iterable[str], log: Path) -> None:
    """Ask for each zone's SOA until it is there."""
    deadline = time.monotonic() + _START_LIMIT
    with Asker(port, patience=0.2, attempts=1) as asker:
        for zone in zones:
            while soa_serial(asker, zone) is None:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise ServerError(f"no answer for {zone}:\n{log.read_text(errors='replace')}")
                time.sleep(0.02)
