"""Every case asked of every server: five short runs each, the servers in turn, at full speed and then at one rate."""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import objects
from benchmarks.api import Api, api
from benchmarks.peers import load
from benchmarks.peers.cpu import cores, on_core
from benchmarks.peers.load import Sample
from benchmarks.peers.questions import TWENTIES, Case, cases
from benchmarks.peers.servers import PEERS, Server, dump, ours
from dnsserver.fast.best import COMPILED
from tests.respdiff.servers import find

OURS = "dnsserver"
NOT_COMPILED = "dnsserver, not compiled"  # with the table in Python
WATCHING = "dnsserver, watching"  # the same objects from an API server in which nothing changes
CHANGING = "dnsserver, changing"
_NEVER = 1e9  # seconds: no watch ends
_HIGHEST_RATE = 20_000.0  # queries a second that are called moderate
_QUIET = 0.05  # of a core: a server that does no more than this has settled
_SETTLED = 60.0  # seconds it may take to


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    vmis: int = 100_000
    runs: int = 5
    seconds: float = 3.0  # a run
    changes: float = 1000.0  # objects a second


@dataclass(slots=True)
class Row:
    """One server's runs of one case."""

    case: str
    server: str
    full: list[Sample] = field(default_factory=list)
    paced: list[Sample] = field(default_factory=list)
    rate: float = 0.0  # queries a second that it was paced to


@dataclass(slots=True)
class Compared:
    """What was measured."""

    rows: list[Row] = field(default_factory=list)
    one_core: bool = False  # servers and client had to share it
    changed: float = 0.0  # objects that really changed a second
    change_cost: float = 0.0  # microseconds of CPU a changed object, while nobody asks


def median(samples: Iterable[Sample], value: Callable[[Sample], float]) -> float:
    """Return the median of what `value` makes of the samples."""
    return statistics.median(map(value, samples))


def compare(plan: Plan) -> Compared:
    """Measure all servers that are installed; it takes about ten minutes."""
    server_core, client_core = cores()
    compared = Compared(one_core=server_core == client_core)
    with tempfile.TemporaryDirectory() as name, on_core(client_core):
        folder = Path(name)
        questions = cases(plan.vmis, folder)
        with _still(plan, folder, server_core) as servers:
            for case in questions:
                compared.rows += measure(case, servers, plan)
        _compare_changing(plan, questions[0], folder, compared, server_core)
    return compared


def measure(case: Case, servers: Sequence[Server], plan: Plan) -> list[Row]:
    """Return a row a server; the rate is a half of what the slowest of them can."""
    rows = [Row(case.name, server.name) for server in servers]
    for server in servers:
        load.warm(server, case)
    for row, server in _turns(rows, servers, plan.runs):
        row.full.append(load.run(server, case, plan.seconds, None))
    rate = min(_HIGHEST_RATE, min(median(row.full, lambda one: one.qps) for row in rows) / 2)
    for row, server in _turns(rows, servers, plan.runs):
        row.rate = float(f"{rate:.2g}")
        row.paced.append(load.run(server, case, plan.seconds, row.rate))
    return rows


def _turns(rows: Sequence[Row], servers: Sequence[Server], runs: int) -> Iterator[tuple[Row, Server]]:
    """Yield every server so many times, another one first each time: the machine may get slower, or warmer."""
    pairs = list(zip(rows, servers, strict=True))
    for run in range(runs):
        first = run % len(pairs)
        yield from pairs[first:] + pairs[:first]


def last_name(vmis: int) -> str:
    """Return the name of the last VMI."""
    host, group = objects.names(vmis - 1)
    return f"{host}.{group}.bench.svc.cluster.local"


def write_manifest(path: Path, vmis: int, twenties: int) -> Path:
    """Write the objects to a file; return its path."""
    with path.open("wb") as file:
        file.writelines(objects.manifest(vmis, twenties))
    return path


# -- servers whose zones never change ----------------------------------------------------------------------------------


@contextmanager
def _still(plan: Plan, folder: Path, core: int) -> Iterator[list[Server]]:
    """Run every server on the same objects; those that are not asked do nothing, and so take nothing of their core."""
    manifest = write_manifest(folder / "objects.json", plan.vmis, TWENTIES)
    dump(manifest, folder / "zones")
    name = last_name(plan.vmis)
    with ExitStack() as stack:
        with on_core(core):
            servers = [
                stack.enter_context(ours(label, f"manifests {manifest}", folder, name, compiled=label == OURS))
                for label in ((OURS, NOT_COMPILED) if COMPILED else (NOT_COMPILED,))
            ]
            for command, start in PEERS.items():
                if find(command) is not None:
                    servers.append(stack.enter_context(start(folder, folder / "zones", name)))
        for server in servers:
            settle(server)
        yield servers


def settle(server: Server) -> None:
    """Wait until a server does nothing by itself. Raises `TimeoutError`."""
    limit = time.monotonic() + _SETTLED
    while _busy(server, 0.5) > _QUIET:
        if time.monotonic() > limit:
            raise TimeoutError(f"{server.name} does not settle")


def _busy(server: Server, seconds: float) -> float:
    """Return how much of a core a server uses now."""
    before, started = server.cpu(), time.monotonic()
    time.sleep(seconds)
    return (server.cpu() - before).seconds / (time.monotonic() - started)


# -- ours while objects change -----------------------------------------------------------------------------------------


def _compare_changing(plan: Plan, case: Case, folder: Path, compared: Compared, core: int) -> None:
    """Ask a server that watches an API server, with and without changes in turn, at the rate of the other servers."""
    rate = next(row.rate for row in compared.rows if row.case == case.name)
    calm, changing = (Row(case.name, name, rate=rate) for name in (WATCHING, CHANGING))
    costs: list[float] = []
    with ExitStack() as stack:
        source = stack.enter_context(api(plan.vmis))
        with on_core(core):
            server = stack.enter_context(ours(WATCHING, f"endpoint {source.url}", folder, last_name(plan.vmis)))
        changes = _Changes(source, plan.changes)
        load.warm(server, case)
        for _ in range(plan.runs):
            settle(server)
            _ask_both(server, case, calm, plan)
            with changes.going_on():
                costs.append(_busy(server, plan.seconds))
                _ask_both(server, case, changing, plan)
    compared.rows += [calm, changing]
    compared.changed = statistics.median(changes.rates)
    compared.change_cost = statistics.median(costs) / compared.changed * 1e6


def _ask_both(server: Server, case: Case, row: Row, plan: Plan) -> None:
    row.full.append(load.run(server, case, plan.seconds, None))
    row.paced.append(load.run(server, case, plan.seconds, row.rate))


class _Changes:
    """What has the objects change, and counts how many did: the API server shares the client's core."""

    def __init__(self, source: Api, rate: float) -> None:
        self._source = source
        self._rate = rate
        self._done = 0
        self.rates: list[float] = []  # changed a second, each time

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Have objects change in the block; migrations and deletions then take a second event each, not counted."""
        self._source.churn(self._rate, _NEVER)
        started = time.monotonic()
        yield
        seconds = time.monotonic() - started
        done = self._source.calm()
        self.rates.append((done - self._done) / seconds)
        self._done = done
