"""What is remembered of a VMI: grace at a hand-over and held addresses, step by step through its life."""

from collections.abc import Sequence

import pytest

from dnsserver.derive.observation import NOTHING, Held, Observation, Timing, observe
from dnsserver.objects import VirtualMachineInstance
from tests.build import Json, address_texts, packed, vmi

TIMING = Timing(migration_grace=60.0, address_hold=30.0)

MIGRATING: Json = {"sourceNode": "node1", "targetNode": "node2"}
ENDED: Json = MIGRATING | {"endTimestamp": "2026-01-01T00:00:00Z"}
BEFORE: Json = {"migration": MIGRATING}
AT: Json = {"migration": ENDED, "node": "node2"}
FLIPPED: Json = AT | {"ready": False, "reason": "ReadinessGatesNotReady"}
DONE: Json = {"migration": ENDED | {"completed": True}, "node": "node2"}
FAILED: Json = {"migration": ENDED | {"completed": True, "failed": True}}
UNREADY: Json = {"ready": False}


def remember(steps: Sequence[tuple[float, Json]]) -> Observation:
    """Return what is remembered after a VMI has been these, one after the other."""
    previous: VirtualMachineInstance | None = None
    remembered = NOTHING
    for now, options in steps:
        current = vmi(**options)
        remembered = observe(previous, remembered, current, timing=TIMING, now=now)
        previous = current
    return remembered


GRACES: list[tuple[str, list[tuple[float, Json]], float | None]] = [
    ("no migration", [(0, {})], None),
    ("before hand-over", [(0, {}), (10, BEFORE)], None),
    ("hand-over", [(0, {}), (10, BEFORE), (20, AT)], 80),
    ("then not Ready: the clock does not start again", [(0, BEFORE), (20, AT), (30, FLIPPED), (40, FLIPPED)], 80),
    ("hand-over and not Ready at once", [(0, BEFORE), (20, FLIPPED)], 80),
    ("Ready again", [(0, BEFORE), (20, AT), (30, FLIPPED), (40, AT)], 80),
    ("completed", [(0, BEFORE), (20, AT), (30, DONE)], None),
    ("completed, not Ready", [(0, BEFORE), (20, FLIPPED), (30, DONE | UNREADY)], None),
    ("failed", [(0, BEFORE), (20, FAILED)], None),
    ("aborted in mid-way", [(0, BEFORE), (20, BEFORE | {"migration": MIGRATING | {"abortStatus": "Succeeded"}})], None),
    ("never Ready", [(0, BEFORE | UNREADY), (20, FLIPPED)], None),
    ("not Ready, then Ready at the hand-over", [(0, BEFORE | UNREADY), (20, AT)], 80),
    ("first seen in a hand-over", [(20, FLIPPED)], 80),
    ("a successor of the same name", [(0, BEFORE), (20, AT | {"uid": "other"})], 80),
    ("a second migration", [(0, BEFORE), (20, AT), (30, DONE), (500, AT)], 560),
]


@pytest.mark.parametrize(("steps", "until"), [row[1:] for row in GRACES], ids=[row[0] for row in GRACES])
def test_grace(steps: list[tuple[float, Json]], until: float | None) -> None:
    """Grace runs from the first sight of the hand-over, for a VMI that had something to lose."""
    assert remember(steps).grace_until == until


V4, V6 = "10.244.0.7", "fd00::7"
DUAL: Json = {"addresses": [V4, V6]}
GONE: Json = {"addresses": []}
ONLY_V4: Json = {"addresses": [V4]}
ONLY_V6: Json = {"addresses": [V6]}

HOLDS: list[tuple[str, list[tuple[float, Json]], dict[str, float]]] = [
    ("first seen without", [(0, GONE)], {}),
    ("reported", [(0, DUAL)], {}),
    ("vanished", [(0, DUAL), (10, GONE)], {V4: 40, V6: 40}),
    (
        "still away: the clock does not start again",
        [(0, DUAL), (10, GONE), (20, GONE | {"reason": "x"})],
        {V4: 40, V6: 40},
    ),
    ("returned", [(0, DUAL), (10, GONE), (20, DUAL)], {}),
    ("returned as another", [(0, ONLY_V4), (10, GONE), (20, {"addresses": ["10.244.0.8"]})], {}),
    ("one family", [(0, DUAL), (10, ONLY_V4)], {V6: 40}),
    ("one family after the other", [(0, DUAL), (10, ONLY_V4), (20, GONE)], {V6: 40, V4: 50}),
    ("one of them returned", [(0, DUAL), (10, GONE), (20, ONLY_V6)], {V4: 40}),
    ("one of two of a family", [(0, {"addresses": [V4, "10.244.0.8"]}), (10, ONLY_V4)], {}),
    ("both of a family", [(0, {"addresses": [V4, "10.244.0.8"]}), (10, GONE)], {V4: 40, "10.244.0.8": 40}),
    ("expired and still away", [(0, ONLY_V4), (10, GONE), (50, GONE | {"reason": "x"})], {}),
    ("vanished, returned, vanished", [(0, ONLY_V4), (10, GONE), (20, ONLY_V4), (30, GONE)], {V4: 60}),
    ("only guest-internal left", [(0, ONLY_V4), (10, {"addresses": ["10.0.2.2"]})], {V4: 40}),
    ("on another node", [(0, ONLY_V4), (10, GONE | {"node": "node2"})], {}),
    ("held, then another node", [(0, ONLY_V4), (10, GONE), (20, GONE | {"node": "node2"})], {}),
    ("not Ready", [(0, ONLY_V4), (10, GONE | UNREADY)], {}),
    ("held, then not Ready", [(0, ONLY_V4), (10, GONE), (20, GONE | UNREADY)], {}),
    ("was not Ready", [(0, ONLY_V4 | UNREADY), (10, GONE)], {}),
    ("a successor of the same name", [(0, ONLY_V4), (10, GONE | {"uid": "other"})], {}),
]


@pytest.mark.parametrize(("steps", "held"), [row[1:] for row in HOLDS], ids=[row[0] for row in HOLDS])
def test_hold(steps: list[tuple[float, Json]], held: dict[str, float]) -> None:
    """A family that vanishes from a Ready VMI on its node is held for a bounded time."""
    remembered = remember(steps)
    assert {text: one.until for one in remembered.held for text in address_texts(one.addresses)} == held
    assert set(remembered.deadlines()) == set(held.values())


def test_times() -> None:
    """What is remembered counts until its time, and says when that is."""
    one = Observation(60.0, (Held((packed(V4),), 30.0), Held((packed(V6),), 40.0)))
    assert one.deadlines() == (60.0, 30.0, 40.0)
    assert [one.in_grace(now) for now in (0.0, 59.9, 60.0)] == [True, True, False]
    assert [address_texts(one.held_addresses(now)) for now in (29.9, 30.0, 40.0)] == [(V4, V6), (V6,), ()]
    assert NOTHING.deadlines() == ()
    assert not NOTHING.in_grace(0.0)
