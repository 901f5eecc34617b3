"""A whole server while its API servers are restarted one by one, none of them quite up to date (F30)."""

from collections import Counter
from pathlib import Path

import pytest

from tests.fakes.api_faults import gone
from tests.fakes.api_replicas import Replicas
from tests.fakes.api_server import VMIS, Request
from tests.faults.bed import DB, VMI, WEB, WORLD, faulted, vmi

LAGS = 0.0, 0.03, 0.1  # seconds, of each server
PACE = 10  # requests for a resource that one fault may cause at once, as everywhere in these tests


@pytest.mark.parametrize("streams", [False, True], ids=["lists", "streams"])
@pytest.mark.parametrize("reset", [True, False], ids=["reset", "closed"])
async def test_f30_rolling_restart(tmp_path: Path, *, streams: bool, reset: bool) -> None:
    """No answer is wrong at any time, nothing is lost, nothing that is gone comes back; a relist a restart at most."""
    async with Replicas(*LAGS, streams=streams) as api:
        for value in WORLD:
            api.put(value)
        for one in api.replicas:
            one.catch_up()
        async with faulted(api, tmp_path, paced=False) as bed:  # that pace is one fault's; the bound for all is below
            await bed.calm()
            lists = {resource: len(listed(api, resource)) for resource in (VMIS, "services")}
            for number in range(len(LAGS)):
                old, new = f"old{number}", f"new{number}"
                api.put(vmi(old, f"10.244.1.{number}"))
                await bed.until(f"{old}.{DB}", [f"10.244.1.{number}"])
                await api.kill(number, reset=reset)
                # what happens now is told by servers that may know less than we do
                api.delete(VMI, "ns1", old)
                api.put(vmi(new, f"10.244.2.{number}"))
                await bed.until(f"{old}.{DB}", [])
                bed.keep[f"{old}.{DB}"] = []  # for good: nothing is resurrected
                await bed.until(f"{new}.{DB}", [f"10.244.2.{number}"])
                bed.keep[f"{new}.{DB}"] = [f"10.244.2.{number}"]
                api.revive(number)
                await bed.calm()
            asked = Counter(one.resource for one in bed.attempts if "continue" not in one.query)
            assert max(asked.values()) <= PACE * (1 + len(LAGS))  # the start, and each restart
            for resource, before in lists.items():
                assert len(listed(api, resource)) - before <= len(LAGS)
            assert await bed.texts(DB) == ["10.244.0.7", *(f"10.244.2.{number}" for number in range(len(LAGS)))]
            assert await bed.texts(WEB) == ["10.96.0.9"]
            assert await bed.metric("dnsserver_relist_differences_total") == 0


async def test_f30_relist_from_one_that_lags(tmp_path: Path) -> None:
    """A list from a server that is behind is refused by it, and asked for as of now: nothing steps back in time."""
    async with Replicas(0.0, 60.0) as api:
        for value in WORLD:
            api.put(value)
        for one in api.replicas:
            one.catch_up()
        api.replicas[1].alive = False
        async with faulted(api, tmp_path) as bed:
            await bed.calm()
            api.put(vmi("old", "10.244.1.1"))
            await bed.until(f"old.{DB}", ["10.244.1.1"])
            api.delete(VMI, "ns1", "old")
            await bed.until(f"old.{DB}", [])
            bed.keep[f"old.{DB}"] = []
            api.put(vmi("new", "10.244.1.2"))
            await bed.until(f"new.{DB}", ["10.244.1.2"])
            bed.keep[f"new.{DB}"] = ["10.244.1.2"]
            lagging = api.replicas[1]
            lagging.alive = True
            lagging.fault(VMIS, "watch", gone())  # hence a list
            await api.kill(0)
            await bed.reach(lambda: "resourceVersion" not in listed(api, VMIS)[-1].query)
            await bed.calm()
            assert listed(api, VMIS)[-2].query["resourceVersion"] == "1007"
            api.put(vmi("later", "10.244.1.3"))
            lagging.catch_up()
            await bed.until(f"later.{DB}", ["10.244.1.3"])
            assert not bed.lines("back in time")


def listed(api: Replicas, resource: str) -> list[Request]:
    """Return the requests for lists of a resource, further pages left out."""
    asked = [one for one in api.requests if one.resource == resource and one.verb in ("list", "stream")]
    return [one for one in asked if "continue" not in one.query]
