"""What there is to inspect: the one value that the routes of `inspect` are made from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dnsserver.admin.http import Handler
from dnsserver.admin.metrics import Metrics
from dnsserver.cluster import Cluster
from dnsserver.names import Name

Route = tuple[str, Handler]  # a path, and what answers it


@dataclass(frozen=True, slots=True)
class InspectedCluster:
    """One `kubernetes` plugin that runs, and what stands around it in its server block."""

    server: str  # the label of its server block: "dns://:53"
    cluster: Cluster
    fall_through: tuple[Name, ...]  # at and below these, what does not exist is the next plugin's to answer
    before: tuple[str, ...]  # the plugins that may answer or change a query first, in chain order
    after: tuple[str, ...]  # and those that get what is passed on


@dataclass(frozen=True, slots=True)
class Inspected:
    """Everything that the pages and answers of `inspect` may read; what is there now is asked for each time."""

    clusters: Callable[[], Sequence[InspectedCluster]]
    metrics: Metrics
    others: Callable[[], Sequence[str]] = tuple  # the other plugins, of any server block, that have answers
