"""The test suite's share of fuzzing: every saved input, and mutations that are the same ones at every run.

`make fuzz` looks further. A failure says how to repeat it; an input that failed once stays in the corpus.
"""

import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
from msgspec import structs

from dnsserver.corefile import CorefileError, parse
from dnsserver.events import Changed
from dnsserver.message import Transport
from dnsserver.wire import Record, record_to_text
from tests.fuzz import check_corefile, check_objects, check_packet, zones
from tests.fuzz.check_packet import opt, query
from tests.fuzz.engine import Failure, HangError, alarm, child, failure_of, minimised, replay_hint, save
from tests.fuzz.targets import TARGETS, corpus
from tests.fuzz.work import lines_of, tracing

SEED = 20_260_101
MUTATIONS = {"packet": 700, "corefile": 1500, "manifests": 300, "objects": 300, "response": 2500, "zonefile": 4000}


def told(name: str, data: bytes, failure: Failure, folder: Path) -> str:
    """Save an input that fails; return what went wrong and how to repeat it."""
    path = save(name, data, folder)
    return f"{failure.text}\n{replay_hint(name, path)}\ncopy it to tests/fuzz/corpus/{name} to keep it"


@pytest.mark.parametrize("name", TARGETS)
def test_row78_fuzz_saved_inputs(name: str) -> None:
    """What the saved inputs say still holds: seeds of every sort, and whatever has failed once."""
    inputs = corpus(name)
    assert len(inputs) >= 7
    for path, data in inputs.items():
        failure = failure_of(TARGETS[name].check, data)
        assert failure is None, f"{failure.text}\n{replay_hint(name, path)}"


@pytest.mark.parametrize("name", TARGETS)
def test_row78_fuzz_mutations(name: str, tmp_path: Path) -> None:
    """Inputs that nobody thought of keep the invariants."""
    target, chance = TARGETS[name], Random(SEED)
    parents = list(corpus(name).values())
    for _ in range(MUTATIONS[name]):
        data = child(target, parents, chance)
        failure = failure_of(target.check, data)
        assert failure is None, told(name, data, failure, tmp_path)


@pytest.mark.parametrize("name", TARGETS)
def test_mutations_are_the_same_again(name: str) -> None:
    """A seed says which inputs are tried, so a failure on one machine is one on every other."""
    target, parents = TARGETS[name], list(corpus(name).values())
    first, second = ([child(target, parents, chance) for _ in range(20)] for chance in (Random(7), Random(7)))
    assert first == second
    assert len(set(first)) > 10


def spoilt(change: Callable[[bytes], bytes | None]) -> Callable[[bytes, Transport], list[bytes] | None]:
    """Return a way to ask the world whose responses are changed."""
    there = check_packet.world()
    ask = check_packet.World.ask

    def asking(wire: bytes, transport: Transport) -> list[bytes] | None:
        messages = ask(there, wire, transport)
        changed = [change(message) for message in messages or ()]
        return [message for message in changed if message is not None] or None

    return asking


SPOILT: dict[str, Callable[[bytes], bytes | None]] = {
    "another ID": lambda message: b"\xff\xff" + message[2:],
    "silence": lambda message: None,
    "RA": lambda message: message[:3] + bytes((message[3] | 0x80,)) + message[4:],
    "SERVFAIL": lambda message: message[:3] + bytes((message[3] & 0xF0 | 2,)) + message[4:],
    "TC": lambda message: message[:2] + bytes((message[2] | 2,)) + message[3:],
    "octets behind": lambda message: message + b"\0",
    "no OPT": lambda message: message[:10] + b"\0\0" + message[12:-11],
    "one record less": lambda message: message[:-12] if message[11:12] == b"\0" else message,
    "question": lambda message: message[:13] + b"X" + message[14:],
    "too long": lambda message: message + bytes(1300),
}


@pytest.mark.parametrize("change", SPOILT.values(), ids=SPOILT)
def test_packet_check_sees(change: Callable[[bytes], bytes | None], monkeypatch: pytest.MonkeyPatch) -> None:
    """The invariants of packets fail where a response is wrong."""
    there = check_packet.world()
    plain, extended = query("vm1.db.ns1.svc.cluster.local", 1), query("vm1.db.ns1.svc.cluster.local", 1, edns=opt())
    monkeypatch.setattr(there, "ask", spoilt(change))
    assert any(failure_of(check_packet.check, data) for data in (plain, extended))


def test_history_check_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    """The invariant of stores fails where events are lost."""
    data = next(data for path, data in corpus("objects").items() if path.name == "seed-all")
    assert failure_of(check_objects.check, data) is None
    monkeypatch.setattr(
        check_objects, "_interleaved", lambda events, chance: [one for one in events if not isinstance(one, Changed)]
    )
    failure = failure_of(check_objects.check, data)
    assert failure is not None
    assert "AssertionError" in failure.text


def test_corefile_check_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error at a line that is not there is seen, and so is any other exception."""
    for error in (CorefileError("x", "Corefile", 99), CorefileError("x", "Corefile"), KeyError("x")):

        def load(path: str, *, raised: Exception = error, **_: object) -> None:
            raise raised

        monkeypatch.setattr(check_corefile, "load", load)
        assert failure_of(check_corefile.check, b". {\n}\n") is not None


@pytest.mark.parametrize("name", ["manifests", "objects", "zonefile"])
def test_zone_text_check_sees(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record's text that says something else is seen wherever zones come out."""

    def wrong(record: Record) -> str:
        return record_to_text(structs.replace(record, ttl=record.ttl + 1))

    monkeypatch.setattr(zones, "record_to_text", wrong)
    assert any(failure_of(TARGETS[name].check, data) for data in corpus(name).values())


def test_most_corefiles_are_set_up() -> None:
    """Fuzzing is not all about the first line: a good part of the mutations get past the grammar."""
    target, chance = TARGETS["corefile"], Random(SEED)
    parents = list(corpus("corefile").values())
    parsed = 0
    for _ in range(200):
        with suppress(CorefileError):
            parse(child(target, parents, chance).decode("utf-8", "replace"), environment={})
            parsed += 1
    assert parsed > 60


def test_failures_are_shrunk_and_saved(tmp_path: Path) -> None:
    """A failing input loses what is not needed to fail, and gets a name that its octets give it."""

    def check(data: bytes) -> None:
        assert b"x" not in data or b"y" not in data

    data = b"a" * 500 + b"x" + b"b" * 500 + b"y" + b"c" * 500
    failure = failure_of(check, data)
    assert failure is not None
    smaller = minimised(check, data, failure.signature)
    assert smaller == b"xy"
    path = save("packet", smaller, tmp_path)
    assert path.read_bytes() == b"xy"
    assert save("packet", smaller, tmp_path) == path


def test_hang_is_a_failure() -> None:
    """An input that takes too long is found, whatever the code under test catches."""

    def stuck() -> None:
        while True:
            try:
                time.sleep(10)
            except Exception:  # what must not keep the alarm from ringing
                continue

    with pytest.raises(HangError), alarm(0.05):
        stuck()


def test_alarms_of_others_go_on() -> None:
    """The test's own time limit outlives the inputs that it checks."""
    before = signal.getitimer(signal.ITIMER_REAL)[0]
    signal.setitimer(signal.ITIMER_REAL, 50)
    try:
        with alarm(5):
            assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 5
        assert 5 < signal.getitimer(signal.ITIMER_REAL)[0] <= 50
    finally:
        signal.setitimer(signal.ITIMER_REAL, before)


def test_work_is_counted_in_lines() -> None:
    """The measure of work is the same at every run, and grows with the work."""
    there = check_packet.world()
    short, long = (query(name, 1) for name in ("vm1.db.ns1.svc.cluster.local", "many.ns1.svc.cluster.local"))
    there.begin()
    first = lines_of(lambda: there.ask(short, Transport.TCP))
    there.begin()
    assert lines_of(lambda: there.ask(short, Transport.TCP)) == first
    assert lines_of(lambda: there.ask(long, Transport.TCP)) > 2 * first
    with tracing() as tracer:
        there.ask(short, Transport.TCP)
    assert tracer.features()
    assert not tracer.features()
