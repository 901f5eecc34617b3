"""What the benchmark against other servers counts by: CPU of a family of processes, dnsperf's report, a TCP stream."""

import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks import objects
from benchmarks.peers import scale, table
from benchmarks.peers.cpu import cores, on_core, used
from benchmarks.peers.load import Answers, Sample, parse_dnsperf
from benchmarks.peers.pipelining import BATCH, ask
from benchmarks.peers.questions import cases
from benchmarks.peers.run import CHANGING, OURS, Compared, Row
from benchmarks.peers.servers import command
from dnsserver.fast.best import COMPILED

_REPORT = """
Statistics:

  Queries sent:         145602
  Queries completed:    145600 (100.00%)
  Queries lost:         2 (0.00%)

  Response codes:       NOERROR 145000 (99.59%), NXDOMAIN 600 (0.41%)
  Average packet size:  request 67, response 83
  Run time (s):         1.008645
  Queries per second:   144352.076300
"""
# A parent whose child works for 0.2 s of CPU, says so, and waits; so does the parent then
_FAMILY = """
import os, time
def work():
    while time.process_time() < 0.2: pass
reader, writer = os.pipe()
if os.fork():
    os.read(reader, 1); work(); print(flush=True); os.read(0, 1)
else:
    work(); os.write(writer, b"x"); os.read(0, 1)
"""


def test_cpu_counts_children() -> None:
    """NSD answers in a child: what a child used is counted with its parent's, while both run."""
    with subprocess.Popen([sys.executable, "-c", _FAMILY], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        both = used(process.pid)
        process.communicate(b"xx")
    assert 0.4 <= both.seconds < 2.0  # starting Python takes some
    assert both.user + both.system >= 30  # ticks of 10 ms
    assert (both - both).seconds == 0


def test_not_compiled() -> None:
    """The server that is measured without the compiled table has none, and says so."""
    told = subprocess.check_output([*command(compiled=False), "-version"], text=True)
    assert "not compiled" in told
    assert ("not compiled" in subprocess.check_output([*command(), "-version"], text=True)) is not COMPILED


def test_on_core() -> None:
    """What is started in the block stays on the core, and the block leaves no trace."""
    before = os.sched_getaffinity(0)
    with on_core(cores()[1]):
        there = subprocess.check_output([sys.executable, "-c", "import os; print(*os.sched_getaffinity(0))"])
    assert there.split() == [str(max(before)).encode()]
    assert os.sched_getaffinity(0) == before


def test_dnsperf_report() -> None:
    """The counts are dnsperf's; a report without them is no report."""
    assert parse_dnsperf(_REPORT) == Answers(145602, 145600, 1.008645, {"NOERROR": 145000, "NXDOMAIN": 600})
    with pytest.raises(KeyError):
        parse_dnsperf("Error: unable to open the file")


@contextmanager
def _echoing(pieces: int) -> Iterator[int]:
    """Answer every query on every connection with itself as NXDOMAIN, in pieces of so many octets; give the port."""

    def serve(connection: socket.socket) -> None:
        rest = b""
        with connection:
            while octets := connection.recv(4096):
                rest += octets
                while len(rest) > 2 and len(rest) >= 2 + (size := struct.unpack_from("!H", rest)[0]):
                    answer = bytearray(rest[: 2 + size])
                    answer[5] = 0x83
                    for start in range(0, len(answer), pieces):
                        connection.sendall(answer[start : start + pieces])
                    rest = rest[2 + size :]

    def accept() -> None:
        for _ in range(4):
            thread = threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True)
            thread.start()
            threads.append(thread)

    threads: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threads.append(threading.Thread(target=accept, daemon=True))
        threads[0].start()
        yield listener.getsockname()[1]
        for thread in threads:
            thread.join(10)


@pytest.mark.parametrize("pieces", [1000, 7])
def test_pipelining_counts_answers(tmp_path: Path, pieces: int) -> None:
    """Every answer is counted once with its code, however the stream is cut."""
    path = tmp_path / "questions"
    path.write_text("a.example.org A\nbb.example.org AAAA\n" * BATCH)
    with _echoing(pieces) as port:
        answers = Answers(**ask(port, path, seconds=0.05, rate=0))
    assert answers.sent == answers.completed > 0
    assert answers.sent % BATCH == 0
    assert answers.rcodes == {"NXDOMAIN": answers.completed}


def test_questions(tmp_path: Path) -> None:
    """Hits are VMIs', Services of 20 exist, and no name of a search path does."""
    values = list(objects.everything(2000, 100))
    vmis = [one for one in values if one["kind"] == "VirtualMachineInstance"]
    names = {f"{one['metadata']['name']}.{one['spec']['subdomain']}.bench.svc.cluster.local A" for one in vmis}
    services = {one["metadata"]["name"]: one["spec"]["selector"] for one in values if one["kind"] == "Service"}
    lines = {case.name: set(case.path.read_text().splitlines()) for case in cases(2000, tmp_path)}
    assert lines["hit"] == names  # 200,000 draws leave none of 2,000 out
    assert {line.replace("AAAA", "A") for line in lines["NODATA"]} == names
    assert not lines["NXDOMAIN"] & names
    for line in lines["20 addresses"]:
        ((label, group),) = services[line.partition(".")[0]].items()
        assert sum(one["metadata"]["labels"].get(label) == group for one in vmis) == 20


def _row(server: str, qps: float, cost: float, *, share: float, client: float) -> Row:
    sample = Sample(qps, cost, cost / 4, share, client, 0.0)
    return Row("hit", server, [sample] * 3, [sample] * 3, 5000.0)


def test_table() -> None:
    """Ratios are to the reference of the same case, and the limit is who used up its core."""
    rows = [
        _row(OURS, 50_000, 20.0, share=1.0, client=0.5),
        _row("NSD", 180_000, 5.0, share=0.9, client=1.0),
        _row(CHANGING, 25_000, 40.0, share=0.5, client=0.5),
    ]
    one, nsd, changing = (line.split() for line in table.lines(Compared(rows)) if line.startswith("hit"))
    assert [table.limit(row) for row in rows] == ["server", "client", "neither"]
    assert one[one.index("|") - 1] == "0.25"  # of NSD's answers for a second of CPU
    assert one[-1] == "4.00"  # times its CPU an answer
    assert nsd[nsd.index("|") - 1] == "200000"  # itself has no ratio
    assert changing[-1] == "8.00"


def test_table_says_that_a_core_is_shared() -> None:
    """Figures of a machine with one core say so."""
    assert any("ONE CORE" in line for line in table.lines(Compared([], one_core=True)))


def test_chart(tmp_path: Path) -> None:
    """The chart is written where matplotlib is installed."""
    pytest.importorskip("matplotlib", reason="the extra `bench` is not part of the development environment")
    sizes = [scale.Size(vmis, 1.0, 50.0, _row(OURS, 50_000, 20.0, share=1.0, client=0.5)) for vmis in (1000, 100_000)]
    scale.draw(sizes, tmp_path / "cost.png")
    assert (tmp_path / "cost.png").read_bytes().startswith(b"\x89PNG")
