"""The table of what was measured."""

from collections.abc import Callable, Iterator

from benchmarks.peers.load import Sample
from benchmarks.peers.run import CHANGING, WATCHING, Compared, Row, median

_FULL = 0.95  # of a core, and there is no more of it
_REFERENCES = ("NSD", "Knot")
_LEGEND = """\
Every name has been asked for before. Medians of the runs, lowest and highest behind them.
server, client: how much of its core each used at full speed; limit: which had no more of it.
q/core-s: answers for a second of the server's CPU at full speed: so also where the client was the limit.
us/query: the server's CPU an answer at a moderate rate, the same for all servers of a case.
user, system: its parts; they are sampled, and coarse.
x NSD, x Knot: parts of theirs, of q/core-s on the left side (more is better), of us/query on the right (less is)."""


def lines(compared: Compared) -> Iterator[str]:
    """Yield the legend, the table, and what is to be known besides."""
    yield _LEGEND
    if compared.one_core:
        yield "THERE IS ONE CORE: server and client shared it, so that no number of queries a second means anything."
    yield ""
    yield _head()
    case = ""
    for row in compared.rows:
        if case and row.case != case:
            yield ""
        case = row.case
        yield _line(row, _references(row, compared.rows))
    yield ""
    yield (
        f"{WATCHING}: an API server has the objects; {CHANGING}: {compared.changed:.0f} of them change a second. "
        f"A change costs {compared.change_cost:.0f} us of CPU where nobody asks."
    )


def _references(row: Row, rows: list[Row]) -> dict[str, Row]:
    """Return the other servers' rows of the same case."""
    return {one.server: one for one in rows if one.case == row.case and one.server in _REFERENCES}


def _head() -> str:
    left = f"{'q/s':>7} {'':<15} {'server':>6} {'client':>6} {'limit':>7} {'lost':>6} {'q/core-s':>8}"
    ratios = " ".join(f"{f'x {name}':>6}" for name in _REFERENCES)
    return (
        f"{'case':<13} {'server':<23} {left} {ratios} | {'at q/s':>6} {'us/query':>8} {'':<13} "
        f"{'user':>6} {'system':>6} {ratios}"
    )


def _line(row: Row, references: dict[str, Row]) -> str:
    """Return one server's line of a case."""
    full = _spread(row.full, lambda one: one.qps, 7, 0)
    shares = " ".join(f"{median(row.full, value):>6.0%}" for value in (lambda one: one.server, lambda one: one.client))
    lost = median(row.full, lambda one: one.lost)
    paced = _spread(row.paced, lambda one: one.cost, 8, 2)
    parts = median(row.paced, lambda one: one.user), median(row.paced, lambda one: one.cost - one.user)
    return (
        f"{row.case:<13} {row.server:<23} {full:<23} {shares} {limit(row):>7} {lost:>6.2%} {per_core(row):>8.0f} "
        f"{_ratios(row, references, per_core)} | {row.rate:>6.0f} {paced:<22} "
        f"{parts[0]:>6.2f} {parts[1]:>6.2f} {_ratios(row, references, cost)}"
    )


def _spread(samples: list[Sample], value: Callable[[Sample], float], width: int, digits: int) -> str:
    """Return the median with the extremes behind it."""
    values = [value(one) for one in samples]
    return f"{median(samples, value):>{width}.{digits}f} ({min(values):.{digits}f}..{max(values):.{digits}f})"


def _ratios(row: Row, references: dict[str, Row], value: Callable[[Row], float]) -> str:
    """Return how a row's value stands to each reference's; nothing where there is none, or it is one itself."""
    told = []
    for name in _REFERENCES:
        other = references.get(name)
        told.append(f"{value(row) / value(other):>6.2f}" if other and other is not row else f"{'':>6}")
    return " ".join(told)


def per_core(row: Row) -> float:
    """Return the answers for a second of the server's CPU, at full speed."""
    return 1e6 / median(row.full, lambda one: one.cost)


def cost(row: Row) -> float:
    """Return the microseconds of the server's CPU an answer, at the moderate rate."""
    return median(row.paced, lambda one: one.cost)


def limit(row: Row) -> str:
    """Say what was used up at full speed: the server's core, the client's, or neither."""
    if median(row.full, lambda one: one.server) >= _FULL:
        return "server"
    return "client" if median(row.full, lambda one: one.client) >= _FULL else "neither"
