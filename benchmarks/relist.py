"""A whole relist while serving: how long queries wait meanwhile, and how much memory it takes at its highest.

Server, API server and client are three processes; the client asks one question after the other all the time.
"""

import socket
import time
from dataclasses import dataclass, field

from benchmarks import objects
from benchmarks.api import Api, Lists, api
from benchmarks.process import Measured, server
from dnsserver.message import Query
from dnsserver.names import from_text
from dnsserver.wire import encode_query

_COREFILE = """
cluster.local:@PORT@ in-addr.arpa:@PORT@ {{
    bind 127.0.0.1
    errors
    kubernetes {{
        endpoint {url}
    }}
}}
"""
_PAGE = 500  # objects that the server asks for at once
_LIMIT = 120.0  # seconds that a relist may take before the benchmark fails
_AT_REST = 5.0  # seconds of asking before the relist
_AFTERWARDS = 10.0  # seconds of asking once the last answer of the API server has begun


@dataclass(slots=True)
class Latencies:
    """What a client saw: milliseconds of each answer, and how many never came within a second."""

    times: list[float] = field(default_factory=list)
    lost: int = 0

    def percentile(self, share: float) -> float:
        """Return the time that this share of the answers stayed below."""
        return sorted(self.times)[min(int(len(self.times) * share), len(self.times) - 1)]


@dataclass(frozen=True, slots=True)
class Relisted:
    """The figures of one run."""

    at_rest: Latencies
    meanwhile: Latencies
    seconds: float  # from the watches' end to the end of asking
    steady: float  # MiB resident before
    highest: float  # MiB resident at the highest, from the end of the first list on


def run(vmis: int, lists: Lists) -> Relisted:
    """Measure one relist of VMIs, Services and Namespaces."""
    with api(vmis, lists) as source, server(_COREFILE.format(url=source.url)) as measured:
        host, group = objects.names(vmis - 1)
        measured.wait_until_answered(f"{host}.{group}.bench.svc.cluster.local")
        asker = _Asker(measured, f"{host}.{group}.bench.svc.cluster.local")
        asker.ask_for(_AT_REST)
        at_rest, asker.seen = asker.seen, Latencies()
        steady = measured.resident()
        measured.forget_highest()
        started = time.perf_counter()
        wanted = source.lists() + (-(-vmis // _PAGE) if lists is Lists.PAGED else 1)
        source.expire()
        _ask_until_listed(asker, source, wanted, started)
        seconds = time.perf_counter() - started
        return Relisted(at_rest, asker.seen, seconds, steady, measured.resident("VmHWM"))


def _ask_until_listed(asker: "_Asker", source: Api, wanted: int, started: float) -> None:
    """Ask until the last page has been asked for, and some seconds more for what the server does with it."""
    while source.lists() < wanted:
        asker.ask_for(0.25)
        if time.perf_counter() - started > _LIMIT:
            raise TimeoutError("no relist")
    asker.ask_for(_AFTERWARDS)


class _Asker:
    """Asks one question as often as it is answered."""

    def __init__(self, measured: Measured, qname: str) -> None:
        name = from_text(qname)
        self._wire = encode_query(Query(id=1, qname=name, name=name, qtype=1))
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(("127.0.0.1", measured.port))
        self._socket.settimeout(1.0)
        self.seen = Latencies()

    def ask_for(self, seconds: float) -> None:
        """Ask for some time, half a millisecond after each answer."""
        end = time.perf_counter() + seconds
        while (sent := time.perf_counter()) < end:
            self._socket.send(self._wire)
            try:
                self._socket.recv(4096)
            except TimeoutError:
                self.seen.lost += 1
            else:
                self.seen.times.append((time.perf_counter() - sent) * 1000)
            time.sleep(0.0005)
