"""A whole server, and histories of events in no order that an API server would send them in (F21)."""

import asyncio
import copy
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import build
from tests.fakes.api_faults import event_line, status_body
from tests.fakes.api_server import VMIS, FakeApiServer
from tests.faults.bed import DB, VMI, Bed, faulted, vmi

Step = tuple[str, int | None]  # the VMI's name; the last octet of its address, None for its deletion

_STEPS = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c"]), st.one_of(st.none(), st.integers(1, 9))), min_size=1, max_size=25
)


def happened(api: FakeApiServer, steps: Sequence[Step]) -> list[bytes]:
    """Let these things happen without a word; return the lines in which a watch would have told them."""
    lines = []
    for name, octet in steps:
        known = api.objects(VMI).get(("ns1", name))
        if octet is not None:
            uid = known["metadata"]["uid"] if known else f"uid-{name}-{api.version}"  # none ever comes back
            value = build.vmi_json(name, uid=uid, addresses=(f"10.244.1.{octet}",))
            lines.append(line("MODIFIED" if known else "ADDED", api.put(value, told=False)))
        elif known:
            last = copy.deepcopy(known)
            api.delete(VMI, "ns1", name, told=False)
            last["metadata"]["resourceVersion"] = str(api.version)
            lines.append(line("DELETED", last))
    return lines


def line(change: str, value: dict[str, Any]) -> bytes:
    """Return one line of a watch."""
    return event_line(change, json.dumps(value).encode())


def stirred(lines: list[bytes], chance: random.Random) -> list[bytes]:
    """Return every line at least once, in any order, and some of them again."""
    stirred = lines + chance.choices(lines, k=chance.randrange(len(lines) + 1)) if lines else []
    chance.shuffle(stirred)
    return stirred


async def settled(bed: Bed, number: int) -> None:
    """Wait until everything that was sent has been taken in: a VMI that is told last of all is answered."""
    bed.api.put(vmi("last", f"10.244.2.{number}"))
    await bed.until(f"last.{DB}", [f"10.244.2.{number}"])


async def expect_the_apis_state(bed: Bed) -> None:
    """Assert that each name is answered as the API server has it."""
    objects = bed.api.objects(VMI)
    for name in "abc":
        value = objects.get(("ns1", name))
        expected = [value["status"]["interfaces"][0]["ipAddress"]] if value else []
        assert await bed.texts(f"{name}.{DB}") == expected, name


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))  # each is a server's whole life
@given(steps=_STEPS, more=_STEPS, relist=st.booleans(), chance=st.randoms(use_true_random=False))
def test_f21_any_order_of_events(steps: list[Step], more: list[Step], relist: bool, chance: random.Random) -> None:
    """Of each object the newest state counts within a stream, and a list replaces all: the end is the API's state."""
    asyncio.run(_replay(steps, more, chance, relist=relist))


async def _replay(steps: list[Step], more: list[Step], chance: random.Random, *, relist: bool) -> None:
    async with FakeApiServer() as api, faulted(api, Path()) as bed:
        await bed.calm()
        told = happened(api, steps)
        for one in stirred(told, chance)[: None if not relist else len(told) // 2]:
            api.send(VMIS, one)
        if relist:
            lists = len(api.asked(VMIS, "list"))
            api.send(VMIS, event_line("ERROR", status_body(410, "Expired")))
            await bed.reach(lambda: len(api.asked(VMIS, "list")) > lists)
            await bed.calm()
            for one in stirred(told, chance):  # replays of what the list has settled
                api.send(VMIS, one)
        await settled(bed, 1)
        await expect_the_apis_state(bed)
        for one in stirred(happened(api, more), chance):
            api.send(VMIS, one)
        await settled(bed, 2)
        await expect_the_apis_state(bed)
        # what the watch believes to know is the same as what is answered: a list beside it finds nothing to repair
        lists, bed.clock.time = len(api.asked(VMIS, "list")), bed.clock.time + 3600
        api.bookmark(VMIS)
        await bed.reach(lambda: len(api.asked(VMIS, "list")) > lists and not bed.busy)
        await settled(bed, 3)
        await expect_the_apis_state(bed)
        assert await bed.metric("dnsserver_relist_differences_total", kind=VMI) == 0


async def test_f21_deleted_unknown_and_added_known(tmp_path: Path) -> None:
    """The plain cases: DELETED of what was never there, ADDED of what is known, MODIFIED of what is not."""
    async with FakeApiServer() as api, faulted(api, tmp_path) as bed:
        await bed.calm()
        ghost = build.vmi_json("ghost") | {"status": {}}
        ghost["metadata"]["resourceVersion"] = str(api.version + 1)
        api.send(VMIS, line("DELETED", ghost))
        known = api.put(vmi("vm1", "10.244.0.7"), told=False)
        for change in ("ADDED", "ADDED", "MODIFIED", "ADDED"):
            api.send(VMIS, line(change, known))
        api.send(VMIS, line("MODIFIED", api.put(vmi("a", "10.244.1.1"), told=False)))
        await settled(bed, 1)
        await expect_the_apis_state(bed)
        assert await bed.texts(f"ghost.{DB}") == []
