"""A whole server whose watches skip, repeat, overtake or outlive events (F20, F22, F23, F24, F28)."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests import build
from tests.fakes.api_faults import event_line, gone, refuse, status_body
from tests.fakes.api_server import VMIS, FakeApiServer
from tests.faults.bed import DB, VM1, VMI, WEB, Bed, faulted, vmi

VM2, VM3 = f"vm2.{DB}", f"vm3.{DB}"
SECOND, THIRD = vmi("vm2", "10.244.0.9"), vmi("vm3", "10.244.0.10")


async def an_hour_later(bed: Bed) -> None:
    """Let an hour go by in which the watches have nothing but bookmarks to tell."""
    bed.clock.time += 3600
    asked = len(bed.attempted(VMIS))
    for resource in ("namespaces", "services", "endpointslices", VMIS):
        bed.api.bookmark(resource)
    await bed.reach(lambda: len(bed.attempted(VMIS)) > asked and not bed.busy)
    for resource in ("namespaces", "services", "endpointslices", VMIS):
        bed.api.bookmark(resource)


async def test_f20_skipped_events(tmp_path: Path) -> None:
    """What the API server never told is in the answers within half an hour, counted, and the watches go on."""
    async with FakeApiServer() as api, faulted(api, tmp_path) as bed:
        await bed.calm()
        for value in (SECOND, THIRD):
            api.put(value)
        await bed.until(VM3, ["10.244.0.10"])
        api.put(vmi("vm4", "10.244.0.11"), told=False)  # ADDED,
        api.put(vmi("vm2", "10.244.0.99"), told=False)  # MODIFIED
        api.delete(VMI, "ns1", "vm3", told=False)  # and DELETED
        api.put(build.service_json("late", cluster_ip="10.96.0.8", selector={"app": "web"}), told=False)
        lists, watches = len(api.asked(VMIS, "list")), len(api.asked(VMIS, "watch"))
        await an_hour_later(bed)
        await bed.until(f"vm4.{DB}", ["10.244.0.11"])
        await bed.until(VM2, ["10.244.0.99"])
        await bed.until(VM3, [])
        await bed.until("late.ns1.svc.cluster.local", ["10.96.0.8"])
        assert len(api.asked(VMIS, "list")) - lists == 1
        assert len(api.asked(VMIS, "watch")) == watches
        assert await bed.metric("dnsserver_relist_differences_total", kind=VMI) == 3
        assert await bed.metric("dnsserver_relist_differences_total", kind="Service") == 1
        await an_hour_later(bed)
        await bed.reach(lambda: not bed.busy)
        assert await bed.metric("dnsserver_relist_differences_total") == 4  # nothing is repaired twice


# Delete and recreate


def again(address: str) -> dict[str, Any]:
    """Return another VMI of the name vm2."""
    return build.vmi_json("vm2", uid="uid-another", addresses=(address,))


async def test_f22_recreated_in_a_gap(tmp_path: Path) -> None:
    """Deleted and created again while nobody listened: the new one's data, by a relist or by what the watch replays."""
    async with FakeApiServer() as api, faulted(api, tmp_path) as bed:
        await bed.calm()
        api.put(SECOND)
        await bed.until(VM2, ["10.244.0.9"])
        api.fault(VMIS, "watch", refuse(503, "ServiceUnavailable"))  # hence a list
        api.end_watches(VMIS)
        api.delete(VMI, "ns1", "vm2")
        api.put(again("10.244.0.20"))
        await bed.until(VM2, ["10.244.0.20"])
        await bed.calm()
        api.end_watches(VMIS, "drop")  # hence what the watch has missed
        api.delete(VMI, "ns1", "vm2")
        api.put(SECOND)
        await bed.until(VM2, ["10.244.0.9"])


@pytest.mark.parametrize("told", ["ADDED", "MODIFIED"])
async def test_f22_late_deletion_of_the_old_one(tmp_path: Path, told: str) -> None:
    """The old one's DELETED after the new one's event, and without a version to judge by: the new one stays."""
    async with FakeApiServer() as api, faulted(api, tmp_path) as bed:
        await bed.calm()
        api.put(SECOND)
        await bed.until(VM2, ["10.244.0.9"])
        old = json.dumps(api.objects(VMI)["ns1", "vm2"]).encode()
        api.delete(VMI, "ns1", "vm2", told=False)
        new = json.dumps(api.put(again("10.244.0.20"), told=False)).encode()
        api.send(VMIS, event_line(told, new))
        await bed.until(VM2, ["10.244.0.20"])
        bed.keep[VM2] = ["10.244.0.20"]
        unversioned = json.loads(old)
        del unversioned["metadata"]["resourceVersion"]
        for tombstone in (old, json.dumps(unversioned).encode()):
            api.send(VMIS, event_line("DELETED", tombstone))
            api.put(THIRD)
            await bed.until(VM3, ["10.244.0.10"])
            assert await bed.texts(VM2) == ["10.244.0.20"]
            api.delete(VMI, "ns1", "vm3")
            await bed.until(VM3, [])


# Bookmarks


async def test_f23_bookmarks_only(tmp_path: Path) -> None:
    """After an hour of bookmarks a watch goes on from the last: all older history may have been forgotten."""
    async with FakeApiServer() as api, faulted(api, tmp_path) as bed:
        await bed.calm()
        for minute in range(60):
            bed.clock.time += 60
            api.put(build.service_json("busy", cluster_ip=f"10.96.1.{minute}", selector={"app": "web"}))
            api.bookmark(VMIS)
        await bed.until("busy.ns1.svc.cluster.local", ["10.96.1.59"])
        await bed.reach(lambda: not bed.busy)
        last, lists = api.version, len(api.asked(VMIS, "list"))
        api.expire()
        api.end_watches(VMIS)
        watches = len(api.asked(VMIS, "watch"))
        assert (await api.seen(VMIS, "watch", watches + 1)).query["resourceVersion"] == str(last)
        api.put(SECOND)
        await bed.until(VM2, ["10.244.0.9"])
        assert len(api.asked(VMIS, "list")) == lists


async def test_f24_no_bookmarks_and_unknown_fields(tmp_path: Path) -> None:
    """A server that sends no bookmarks, and says more than we know: fields, annotations, an initial-events-end."""
    async with FakeApiServer() as api, faulted(api, tmp_path) as bed:
        await bed.calm()
        value = api.put(SECOND, told=False)
        value["metadata"] |= {"annotations": {"example.org/x": "y" * 5000}, "managedFields": [{"manager": "x"}]}
        value["status"] |= {"fromTheFuture": {"deep": [1, None, {"er": True}]}}
        line = {"type": "ADDED", "object": value | {"extra": []}, "alsoNew": {"a": 1}}
        api.send(VMIS, json.dumps(line).encode() + b"\n")
        await bed.until(VM2, ["10.244.0.9"])
        metadata = {"resourceVersion": str(api.version), "annotations": {"k8s.io/initial-events-end": "true", "x": ""}}
        bookmark = {"kind": VMI, "metadata": metadata, "spec": None, "status": 5}
        api.send(VMIS, event_line("BOOKMARK", json.dumps(bookmark).encode()))
        lists = len(api.asked(VMIS, "list"))
        for address in ("10.244.0.21", "10.244.0.22"):  # the watch goes on where it ended, bookmarks or not
            await bed.calm()
            api.end_watches(VMIS, "drop")
            api.put(vmi("vm2", address))
            await bed.until(VM2, [address])
        assert len(api.asked(VMIS, "list")) == lists


# Lists that lose nearly everything


@pytest.mark.parametrize("left", [0, 1])
async def test_f28_list_shrinks(tmp_path: Path, left: int) -> None:
    """A list with 200 OK and hardly anything in it is believed at once, said in one line and counted."""
    async with FakeApiServer() as api, faulted(api, tmp_path) as bed:
        for number in range(11):
            api.put(vmi(f"many{number}", f"10.244.1.{number}"))
        await bed.until(f"many10.{DB}", ["10.244.1.10"])
        await bed.calm()
        bed.keep = {WEB: ["10.96.0.9"]}
        for number in range(11):
            api.delete(VMI, "ns1", f"many{number}", told=False)
        if not left:
            api.delete(VMI, "ns1", "vm1", told=False)
        api.send(VMIS, event_line("ERROR", status_body(410, "Expired")))
        await bed.until(f"many10.{DB}", [])
        assert await bed.texts(VM1) == ["10.244.0.7"] * left
        assert await bed.metric("dnsserver_list_shrinks_total", kind=VMI) == 1
        assert await bed.metric("dnsserver_list_shrinks_total") == 1
        assert bed.lines("no longer 12") == [
            f"the API server lists {left} virtualmachineinstances.kubevirt.io and no longer 12; believing it"
        ]


async def test_f28_smaller_lists_are_ordinary(tmp_path: Path) -> None:
    """Half of the objects gone is no news, nor is a first list that is empty."""
    async with FakeApiServer() as api, faulted(api, tmp_path) as bed:
        await bed.calm()
        api.put(SECOND)
        await bed.until(VM2, ["10.244.0.9"])
        api.delete(VMI, "ns1", "vm2", told=False)
        api.fault(VMIS, "watch", gone())
        api.end_watches(VMIS)
        await bed.until(VM2, [])
        assert await bed.metric("dnsserver_list_shrinks_total") == 0
