"""What an answer costs this server by how many names there are, and a chart of it."""

import importlib
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.cpu import cores, on_core
from benchmarks.peers.questions import TWENTIES, cases
from benchmarks.peers.run import OURS, Plan, Row, last_name, measure, median, settle, write_manifest
from benchmarks.peers.servers import Server, ours
from benchmarks.peers.table import cost, limit

_TWENTY = 20  # VMIs of the smallest Services


@dataclass(frozen=True, slots=True)
class Size:
    """One number of names."""

    vmis: int
    ready: float  # seconds from the start to the first answer
    resident: float  # MiB then
    hit: Row


def scale(plan: Plan) -> Size:
    """Measure one number of names; the server has one core, the client another."""
    server_core, client_core = cores()
    with tempfile.TemporaryDirectory() as name, on_core(client_core), ExitStack() as stack:
        folder = Path(name)
        manifest = write_manifest(folder / "objects.json", plan.vmis, min(TWENTIES, plan.vmis // _TWENTY))
        hit = cases(plan.vmis, folder)[0]
        started = time.monotonic()
        with on_core(server_core):
            server = stack.enter_context(ours(OURS, f"manifests {manifest}", folder, last_name(plan.vmis)))
        ready = time.monotonic() - started
        settle(server)
        return Size(plan.vmis, ready, _resident(server), measure(hit, [server], plan)[0])


def _resident(server: Server) -> float:
    """Return resident memory, in MiB."""
    status = Path(f"/proc/{server.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def head() -> str:
    """Return the head of the table."""
    left = f"{'names':>9} {'ready s':>8} {'MiB':>7} {'q/s':>8} {'limit':>7}"
    return f"{left} {'at q/s':>7} {'us/query':>9} {'min':>7} {'max':>7}"


def line(size: Size) -> str:
    """Return one number of names' line."""
    row = size.hit
    costs = [one.cost for one in row.paced]
    return (
        f"{size.vmis:>9} {size.ready:>8.1f} {size.resident:>7.0f} {median(row.full, lambda one: one.qps):>8.0f} "
        f"{limit(row):>7} {row.rate:>7.0f} {cost(row):>9.2f} {min(costs):>7.2f} {max(costs):>7.2f}"
    )


def draw(sizes: Sequence[Size], path: Path) -> None:
    """Write a chart of cost against names. Raises `ImportError` where there is no matplotlib (the extra `bench`)."""
    importlib.import_module("matplotlib").use("Agg")
    plot = importlib.import_module("matplotlib.pyplot")
    names = [size.vmis for size in sizes]
    costs = [cost(size.hit) for size in sizes]
    low = [middle - min(one.cost for one in size.hit.paced) for size, middle in zip(sizes, costs, strict=True)]
    high = [max(one.cost for one in size.hit.paced) - middle for size, middle in zip(sizes, costs, strict=True)]
    figure, axes = plot.subplots(figsize=(6.4, 3.6), layout="constrained")
    axes.errorbar(names, costs, yerr=[low, high], marker="o", capsize=4)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("names")
    axes.set_ylabel("CPU an answer, µs")
    axes.set_title("A query for a VMI's address over UDP")
    axes.grid(visible=True, alpha=0.3)
    figure.savefig(path, dpi=150)
    plot.close(figure)
