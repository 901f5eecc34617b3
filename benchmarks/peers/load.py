"""One client asking one server for some seconds: dnsperf over UDP, over TCP one of our own that fills its writes."""

import json
import re
import resource
import subprocess
import sys
from dataclasses import dataclass

from benchmarks.peers.questions import Case
from benchmarks.peers.servers import Server
from tests.respdiff.servers import find

_OUTSTANDING = 128  # queries over UDP at a time: they fit in any socket's buffer, so none is lost
_CLIENTS = 4  # sockets
_RIGHT = 0.9  # share of the answers with the case's code: while objects change, some names are gone for seconds
_WARM = 60.0  # seconds that all the questions may take
_WARM_TCP = 1.0  # seconds: the names have been asked for over UDP by then
_TOLD = re.compile(r"^\s*(Queries sent|Queries completed|Run time \(s\)):\s+([0-9.]+)", re.MULTILINE)
_RCODE = re.compile(r"\b([A-Z]+) ([0-9]+) \(")


@dataclass(frozen=True, slots=True)
class Answers:
    """What a client counted."""

    sent: int
    completed: int
    seconds: float
    rcodes: dict[str, int]


@dataclass(frozen=True, slots=True)
class Sample:
    """One run."""

    qps: float  # answers a second
    cost: float  # microseconds of the server's CPU an answer
    user: float  # the part of these that was not the kernel's
    server: float  # share of its core that the server used
    client: float  # and the client of its own
    lost: float  # share of the queries


def run(server: Server, case: Case, seconds: float, rate: float | None) -> Sample:
    """Ask for some seconds, as fast as answers come or at a rate. Raises `RuntimeError` where answers are wrong."""
    command = (_pipelined if case.tcp else _dnsperf)(server, case, seconds, rate)
    before, client_before = server.cpu(), _children()
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    cpu, client = server.cpu() - before, _children() - client_before
    answers = Answers(**json.loads(output)) if case.tcp else parse_dnsperf(output)
    if answers.rcodes.get(case.rcode, 0) < _RIGHT * answers.completed or not answers.completed:
        raise RuntimeError(f"{server.name}, {case.name}: {answers}")
    cost = cpu.seconds / answers.completed * 1e6
    return Sample(
        qps=answers.completed / answers.seconds,
        cost=cost,
        user=cost * cpu.user_share,
        server=cpu.seconds / answers.seconds,
        client=client / answers.seconds,
        lost=1 - answers.completed / answers.sent,
    )


def warm(server: Server, case: Case) -> None:
    """Ask every question once where that takes no longer than a minute: servers keep answers that they have made."""
    command = (
        _pipelined(server, case, _WARM_TCP, None) if case.tcp else [*_dnsperf(server, case, _WARM, None), "-n", "1"]
    )
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def parse_dnsperf(output: str) -> Answers:
    """Return what dnsperf counted. Raises `KeyError` where it says something else."""
    told = dict(_TOLD.findall(output))
    rcodes = {name: int(count) for name, count in _RCODE.findall(output.partition("Response codes:")[2])}
    return Answers(int(told["Queries sent"]), int(told["Queries completed"]), float(told["Run time (s)"]), rcodes)


def _dnsperf(server: Server, case: Case, seconds: float, rate: float | None) -> list[str]:
    """Return the command; a thread of dnsperf's is one that sends and one that receives."""
    options = ["-s", "127.0.0.1", "-p", str(server.port), "-d", str(case.path), "-l", str(seconds), "-t", "1"]
    options += ["-T", "1", "-c", str(_CLIENTS), "-q", str(_OUTSTANDING)]
    options += ["-e"] if case.edns else []
    options += ["-Q", str(round(rate))] if rate else []
    return [find("dnsperf") or "dnsperf", *options]


def _pipelined(server: Server, case: Case, seconds: float, rate: float | None) -> list[str]:
    """Return the command: dnsperf gives every query over TCP a write of its own, so that itself is what is measured."""
    told = (str(server.port), str(case.path), str(seconds), str(rate or 0))
    return [sys.executable, "-m", "benchmarks.peers.pipelining", *told]


def _children() -> float:
    """Return the CPU seconds of this process's children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
