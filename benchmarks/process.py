"""A server of its own process to measure: started, asked over UDP, watched through /proc, and ended."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from dnsserver.message import Query
from dnsserver.names import from_text
from dnsserver.records import RRType
from dnsserver.wire import ParsedResponse, encode_query, parse_response

_TICKS = os.sysconf("SC_CLK_TCK")
_START_LIMIT = 300.0  # seconds


def free_port() -> int:
    """Return a UDP port that is free now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Client:
    """Asks one server over one UDP socket."""

    def __init__(self, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(("127.0.0.1", port))
        self._socket.settimeout(0.5)

    def ask(self, qname: str, rrtype: RRType = RRType.A) -> ParsedResponse | None:
        """Return the answer; None where none comes, or nobody listens yet."""
        name = from_text(qname)
        try:
            self._socket.send(encode_query(Query(id=1, qname=name, name=name, qtype=rrtype)))
            return parse_response(self._socket.recv(4096))
        except OSError:
            return None

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


@dataclass(frozen=True, slots=True)
class Measured:
    """A server under measurement."""

    process: "subprocess.Popen[bytes]"
    client: Client
    started: float  # time.monotonic()
    port: int
    corefile: Path

    def resident(self, field: str = "VmRSS") -> float:
        """Return resident memory now (VmRSS) or at its highest (VmHWM), in MiB."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) / 1024
        raise ValueError(f"no {field}")

    def forget_highest(self) -> None:
        """Have VmHWM start again at what is resident now (proc(5), `clear_refs`)."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def cpu(self) -> float:
        """Return the CPU seconds used so far, user and system."""
        user, system = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / _TICKS

    def wait_until_answered(self, qname: str) -> float:
        """Return the seconds from the start to the first positive answer."""
        while time.monotonic() - self.started < _START_LIMIT:
            response = self.client.ask(qname)
            if response is not None and response.answer:
                return time.monotonic() - self.started
            time.sleep(0.01)
        raise TimeoutError(f"no answer for {qname}")


@contextmanager
def server(corefile: str, log: IO[bytes] | None = None) -> Iterator[Measured]:
    """Run a server on a Corefile in which `@PORT@` stands for its port; what it logs goes to ours, or to `log`."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "Corefile")
        path.write_text(corefile.replace("@PORT@", str(port)))
        started = time.monotonic()
        command = [sys.executable, "-m", "dnsserver", "-quiet", "-conf", str(path)]
        process = subprocess.Popen(command, stdout=log, stderr=log)
        client = Client(port)
        try:
            yield Measured(process, client, started, port, path)
        finally:
            client.close()
            process.terminate()
            process.wait(timeout=30)
