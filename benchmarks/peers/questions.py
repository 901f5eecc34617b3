"""What the servers are asked, as the files that dnsperf reads: a name and a type a line."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import objects

TWENTIES = 100  # Services with 20 VMIs each
_LINES = 200_000  # at least; as many as there are names otherwise
_ZONE = "bench.svc.cluster.local"
# how a resolver's search list lengthens the names of other places; none of them exists
_OUTSIDE = ("www.example.com", "api.example.org", "registry.example.net", "kubernetes.default.svc.cluster.local")


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of question."""

    name: str
    rcode: str
    path: Path
    edns: bool = False
    tcp: bool = False  # 50 queries a write, otherwise one a datagram


def cases(vmis: int, folder: Path) -> list[Case]:
    """Write the questions about so many VMIs; return the cases in the table's order."""
    chance = random.Random(1)
    hosts = [".".join((*objects.names(chance.randrange(vmis)), _ZONE)) for _ in range(max(_LINES, vmis))]
    hit = _write(folder / "hit", (f"{host} A" for host in hosts))
    nodata = _write(folder / "nodata", (f"{host} AAAA" for host in hosts))
    search = _write(folder / "search", _search(hosts, chance))
    twenty = _write(folder / "twenty", (f"{objects.twenty(chance.randrange(TWENTIES))}.{_ZONE} A" for _ in hosts))
    return [
        Case("hit", "NOERROR", hit),
        Case("NODATA", "NOERROR", nodata),
        Case("NXDOMAIN", "NXDOMAIN", search),
        Case("20 addresses", "NOERROR", twenty),
        Case("hit, EDNS", "NOERROR", hit, edns=True),
        Case("hit, TCP", "NOERROR", hit, tcp=True),
    ]


def _search(hosts: list[str], chance: random.Random) -> Iterator[str]:
    """Yield names outside the cluster, each with the domain of a Service or of the namespace behind it."""
    for host in hosts:
        suffix = host.partition(".")[2] if chance.random() < 0.5 else _ZONE
        yield f"{chance.choice(_OUTSIDE)}.{suffix} A"


def _write(path: Path, lines: Iterator[str]) -> Path:
    with path.open("w") as file:
        file.writelines(f"{line}\n" for line in lines)
    return path
