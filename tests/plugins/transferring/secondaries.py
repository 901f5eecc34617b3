"""Knot DNS and NSD as secondaries, as docs/transfers.md sets them up, and `kdig` to ask with."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.respdiff.servers import child, find

KEY = "transfer.example"
SECRET = "d2Ugc2hhcmUgdGhpcyBvbmUsIGFuZCBpdCBpcyBsb25nIQ=="
ZONE = "cluster.local"

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
    any: info
key:
  - id: {key}
    algorithm: hmac-sha256
    secret: {secret}
remote:
  - id: primary
    address: 127.0.0.1@{primary}
    key: {key}
acl:
  - id: notified
    address: 127.0.0.1
    key: {key}
    action: notify
  - id: compared
    address: 127.0.0.1
    action: transfer
zone:
  - domain: {zone}
    storage: {folder}
    master: primary
    acl: [notified, compared]
"""
_NSD = """server:
    ip-address: 127.0.0.1@{port}
    server-count: 1
    username: ""
    chroot: ""
    pidfile: "{folder}/nsd.pid"
    zonesdir: "{folder}"
    database: ""
    zonelistfile: "{folder}/zone.list"
    xfrdfile: "{folder}/xfrd.state"
    xfrdir: "{folder}"
    cookie-secret-file: "{folder}/cookies"
    verbosity: 2
remote-control:
    control-enable: no
key:
    name: {key}
    algorithm: hmac-sha256
    secret: "{secret}"
zone:
    name: {zone}
    zonefile: "{zone}.zone"
    request-xfr: 127.0.0.1@{primary} {key}
    allow-notify: 127.0.0.1 {key}
    provide-xfr: 127.0.0.1 NOKEY
"""


@contextmanager
def knot(folder: Path, port: int, primary: int) -> Iterator[Path]:
    """Run Knot DNS; give its log."""
    config = _written(folder / "knot.conf", _KNOT, port, primary)
    with child((find("knotd") or "knotd", "-c", str(config)), folder / "log"):
        yield folder / "log"


@contextmanager
def nsd(folder: Path, port: int, primary: int) -> Iterator[Path]:
    """Run NSD; give its log."""
    config = _written(folder / "nsd.conf", _NSD, port, primary)
    with child((find("nsd") or "nsd", "-d", "-c", str(config)), folder / "log"):
        yield folder / "log"


def _written(path: Path, text: str, port: int, primary: int) -> Path:
    """Write a configuration."""
    path.parent.mkdir()
    values = {"port": port, "primary": primary, "folder": path.parent, "key": KEY, "secret": SECRET, "zone": ZONE}
    path.write_text(text.format(**values))
    return path


async def kdig(port: int, *words: str, command: str = "kdig") -> str:
    """Ask a server on this machine; return what is printed."""
    process = await asyncio.create_subprocess_exec(
        find(command) or command,
        "@127.0.0.1",
        "-p",
        str(port),
        *words,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return output.decode()


async def content(port: int, *words: str) -> list[str]:
    """Return the records of a whole zone, sorted; its SOA is there once."""
    text = await kdig(port, ZONE, "AXFR", "+noall", "+answer", *words)
    return sorted({" ".join(line.split()) for line in text.splitlines() if line and not line.startswith(";")})
