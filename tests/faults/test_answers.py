"""Answers of the API server that refuse, or are not what was asked for: rows F13 to F15."""

import json
from pathlib import Path
from typing import Any

import pytest

from dnsserver.records import Rcode
from tests import build
from tests.fakes.api_faults import Fault, Lines, Reply, event_line, gone, refuse, status_body
from tests.fakes.api_server import VMIS, FakeApiServer
from tests.faults.bed import DB, VM1, VMI, WEB, Bed, faulted, vmi

VM2 = f"vm2.{DB}"


def a_list(version: str, items: list[Any] | None) -> Reply:
    """Return a list of VMIs."""
    metadata = {"resourceVersion": version} if version else {}
    body = {"kind": f"{VMI}List", "apiVersion": "kubevirt.io/v1", "metadata": metadata, "items": items}
    return Reply(body=json.dumps(body).encode())


async def list_again(bed: Bed, *faults: Fault) -> None:
    """Have the VMIs listed again, with these faults."""
    await bed.calm()
    bed.api.fault(VMIS, "list", *faults)
    bed.api.fault(VMIS, "watch", gone())
    bed.api.end_watches(VMIS)
    bed.api.put(vmi("vm2", "10.244.0.8"))


@pytest.mark.parametrize("chance", [0.0, 0.5, 0.999])
async def test_f13_busy_list(api: FakeApiServer, tmp_path: Path, chance: float) -> None:
    """A list that has to wait does so, for 5 minutes at most, and not together with all the others."""
    async with faulted(api, tmp_path) as bed:
        bed.clock.luck = chance
        busy = [refuse(429, "TooManyRequests", retry_after=seconds) for seconds in (40, 86_400)]
        await list_again(bed, *busy)
        await bed.until(VM2, ["10.244.0.8"])
        *_, first, second, third = (one.time for one in bed.attempted(VMIS) if not one.watch)
        assert second - first == pytest.approx(40 * (1 + 0.1 * chance))
        assert third - second == pytest.approx(300 * (1 + 0.1 * chance))
        assert len(bed.lines("status 429")) == 1


@pytest.mark.parametrize("told_in", ["header", "status", "event"])
async def test_f13_busy_watch(api: FakeApiServer, tmp_path: Path, told_in: str) -> None:
    """A watch that has to wait goes on from where it was, without a list."""
    faults: dict[str, Fault] = {
        "header": refuse(429, "TooManyRequests", retry_after=40),
        "status": refuse(429, "TooManyRequests", retryAfterSeconds=40),
        "event": Lines((event_line("ERROR", status_body(429, "TooManyRequests", retryAfterSeconds=40)),)),
    }
    async with faulted(api, tmp_path) as bed:
        await bed.calm()
        known, lists, watches = str(api.version), len(api.asked(VMIS, "list")), len(api.asked(VMIS, "watch"))
        began = bed.clock.now()
        api.fault(VMIS, "watch", faults[told_in])
        api.end_watches(VMIS)
        if told_in == "event":  # else the event before it would count
            await api.seen(VMIS, "watch", watches + 1)
        api.put(vmi("vm2", "10.244.0.8"), told=told_in != "event")
        if told_in == "event":
            await bed.reach(lambda: bed.clock.now() > began)
            api.put(vmi("vm2", "10.244.0.8"))
        await bed.until(VM2, ["10.244.0.8"])
        assert bed.clock.now() - began == pytest.approx(40 * 1.05)
        assert len(api.asked(VMIS, "list")) == lists
        assert api.asked(VMIS, "watch")[-1].query["resourceVersion"] == known


PAGE = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
NO_LISTS: dict[str, Fault] = {
    "500": refuse(500, "InternalError"),
    "502 HTML": Reply(502, PAGE, content_type="text/html"),
    "503": refuse(503, "ServiceUnavailable"),
    "503 empty": Reply(503),
    "504": refuse(504, "Timeout"),
    "200 empty": Reply(),
    "200 HTML": Reply(200, PAGE, content_type="text/html"),
    "200 {}": Reply(body=b"{}"),
    "200 null": Reply(body=b"null"),
    "200 cut": Reply(body=b'{"kind":"VirtualMachineInstanceList","metadata":{"resourceVersion":"7"},"items":['),
    "200 Status": Reply(body=status_body(200, "Success")),
    "200 Table": Reply(body=b'{"kind":"Table","metadata":{"resourceVersion":"7"},"rows":[]}'),
}


@pytest.mark.parametrize("what", NO_LISTS)
async def test_f14_answer_that_is_no_list(api: FakeApiServer, tmp_path: Path, what: str) -> None:
    """It is no empty list: the old answers stay, and the list is asked for again after pauses that grow."""
    async with faulted(api, tmp_path) as bed:
        await list_again(bed, *[NO_LISTS[what]] * 4)
        await bed.until(VM2, ["10.244.0.8"])
        await bed.calm()
        *_, first, second, third, fourth, good = (one.time for one in bed.attempted(VMIS) if not one.watch)
        # after the pause that the watch cost; each is lengthened by half
        assert [second - first, third - second] == pytest.approx([2.4, 4.8])
        assert [fourth - third, good - fourth] == pytest.approx([9.6, 19.2])
        assert len(bed.lines("cannot list")) == 1
        assert "html" not in bed.lines("cannot list")[0]


async def test_f14_load_balancer_alone(api: FakeApiServer, tmp_path: Path) -> None:
    """Nothing but a load balancer's page from the start: not ready, SERVFAIL; and then all is well."""
    page = Reply(502, PAGE, content_type="text/html")
    resources = ("", "get"), *((one, verb) for one in api._resources for verb in ("list", "watch", "stream"))
    for resource, verb in resources:
        api.fault(resource, verb, page, times=None)
    async with faulted(api, tmp_path, options="startup_timeout 0s") as bed:
        await bed.pass_time(60)
        assert not await bed.ready()
        assert (await bed.ask(f"nobody.{DB}")).rcode == Rcode.SERVFAIL
        for resource, verb in resources:
            api.heal(resource, verb)
        await bed.until(VM1, ["10.244.0.7"])
        assert await bed.ready()


async def test_f14_watch_that_is_none(api: FakeApiServer, tmp_path: Path) -> None:
    """A watch refused or answered by a page leads to a list, after a pause."""
    async with faulted(api, tmp_path) as bed:
        await bed.calm()
        lists = len(api.asked(VMIS, "list"))
        pages = Reply(502, PAGE, content_type="text/html"), Reply(200, PAGE, content_type="text/html"), Reply()
        api.fault(VMIS, "watch", refuse(500, "InternalError"), *pages)
        api.end_watches(VMIS)
        api.put(vmi("vm2", "10.244.0.8"))
        await bed.until(VM2, ["10.244.0.8"])
        await bed.calm()
        api.put(vmi("vm3", "10.244.0.9"))
        await bed.until(f"vm3.{DB}", ["10.244.0.9"])
        assert len(api.asked(VMIS, "list")) > lists


async def test_f15_items_null(api: FakeApiServer, tmp_path: Path) -> None:
    """That is how Go writes an empty list: it is believed."""
    async with faulted(api, tmp_path) as bed:
        bed.keep = {WEB: ["10.96.0.9"]}
        await bed.calm()
        api.delete(VMI, "ns1", "vm1", told=False)
        api.fault(VMIS, "list", a_list(str(api.version), None))
        api.fault(VMIS, "watch", gone())
        api.end_watches(VMIS)
        await bed.until(VM1, [])
        assert (await bed.ask(VM1)).rcode == Rcode.NXDOMAIN
        api.put(build.vmi_json())
        await bed.until(VM1, ["10.244.0.7"])


async def test_f15_list_without_version(api: FakeApiServer, tmp_path: Path) -> None:
    """A list that nothing can be watched from is an error, its items or their lack count for nothing."""
    async with faulted(api, tmp_path) as bed:
        stray = build.vmi_json("stray", addresses=("10.244.66.6",))
        empty = json.dumps({"kind": f"{VMI}List", "metadata": {"resourceVersion": ""}, "items": []}).encode()
        await list_again(bed, a_list("", []), a_list("", [stray]), Reply(body=empty))
        while await bed.texts(VM2) != ["10.244.0.8"]:
            assert await bed.texts(f"stray.{DB}") == []
        assert "a list without resourceVersion" in bed.lines("cannot list")[0]
