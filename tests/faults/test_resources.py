"""A whole server without one of its resources: forbidden, not installed, removed, of another version (F18, F19)."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from dnsserver.records import Rcode
from tests import build
from tests.fakes.api_faults import Reply, refuse
from tests.fakes.api_server import VMIS, FakeApiServer
from tests.faults.bed import DB, VM1, WEB, WORLD, faulted, vmi


async def test_f18_forbidden_from_the_start(tmp_path: Path) -> None:
    """Without the right to VMIs Services are served and the server is ready; granted, it is used within two minutes."""
    async with FakeApiServer() as api:
        api.forbidden = {VMIS}
        async with faulted(api, tmp_path) as bed:
            bed.keep = {WEB: ["10.96.0.9"]}
            assert await bed.texts(WEB) == ["10.96.0.9"]
            assert await bed.ready()
            await bed.pass_time(600)
            assert (await bed.ask(VM1)).rcode == Rcode.NXDOMAIN
            gaps = spans([one.time for one in bed.attempted(VMIS)][1:])  # before that the list was to be streamed
            assert len(gaps) >= 5
            assert min(gaps) >= 60
            (line,) = bed.lines("virtualmachineinstances")
            assert line.startswith("cannot list virtualmachineinstances.kubevirt.io: status 403")
            assert line.endswith("the account needs the verbs list and watch on virtualmachineinstances.kubevirt.io")
            granted = bed.clock.time
            api.forbidden.clear()
            await bed.until(VM1, ["10.244.0.7"])
            assert bed.clock.time - granted <= 120
            assert bed.lines("virtualmachineinstances")[1:] == ["listed 1 virtualmachineinstances.kubevirt.io"]


async def test_f18_taken_away_and_given_back(tmp_path: Path) -> None:
    """A right that is lost later takes nothing away: the last answers stay, the other resources are followed."""
    async with FakeApiServer() as api, faulted(api, tmp_path) as bed:
        await bed.calm()
        before = len(bed.attempted(VMIS))
        api.forbidden = {VMIS}
        api.end_watches(VMIS)
        await bed.pass_time(600)
        assert min(spans([one.time for one in bed.attempted(VMIS)[before:]])) >= 60
        told = bed.lines("status 403")
        assert [line.partition(":")[0] for line in told] == [
            "cannot watch virtualmachineinstances.kubevirt.io",
            "cannot list virtualmachineinstances.kubevirt.io",
        ]
        assert all("keeping what was last known" in line for line in told)
        api.put(build.service_json("new", cluster_ip="10.96.0.8", selector={"app": "web"}))
        await bed.until("new.ns1.svc.cluster.local", ["10.96.0.8"])
        assert await bed.ready()
        api.put(vmi("vm2", "10.244.0.9"))
        api.forbidden.clear()
        await bed.until(f"vm2.{DB}", ["10.244.0.9"])


@pytest.mark.parametrize(("resource", "options"), [("services", ""), (VMIS, "kubevirt only"), (VMIS, "kubevirt on")])
async def test_f18_required_resource(tmp_path: Path, resource: str, options: str) -> None:
    """Without a resource that answers cannot do without it is not ready, and says SERVFAIL rather than NXDOMAIN."""
    async with FakeApiServer() as api:
        api.forbidden = {resource}
        async with faulted(api, tmp_path, options=f"startup_timeout 100ms\n{options}") as bed:
            bed.keep = {VM1: ["10.244.0.7"]}
            await bed.pass_time(200)
            assert not await bed.ready()
            for name in (WEB, VM1, f"nobody.{DB}"):
                assert (await bed.ask(name)).rcode == Rcode.SERVFAIL
            assert len([one for one in bed.lines("status 403") if f"list and watch on {resource}" in one]) == 1
            api.forbidden.clear()
            await bed.until(VM1, ["10.244.0.7"])
            assert await bed.ready()


@pytest.mark.parametrize("resource", ["namespaces", "endpointslices"])
async def test_f18_optional_resource(tmp_path: Path, resource: str) -> None:
    """Without the others it is ready, and serves what the rest says: without Namespaces every one is there."""
    async with FakeApiServer() as api:
        api.forbidden = {resource}
        async with faulted(api, tmp_path) as bed:
            await bed.until(WEB, ["10.96.0.9"])
            assert await bed.ready()
            await bed.pass_time(200)
            assert len([one for one in bed.lines("status 403") if f"list and watch on {resource}" in one]) == 1
            api.forbidden.clear()
            api.put(build.endpoint_slice_json(build.endpoint_json("10.244.0.8", hostname="pod")))
            await bed.until(f"pod.{DB}", ["10.244.0.8"])


async def test_f19_installed_and_removed(tmp_path: Path) -> None:
    """KubeVirt is found within a minute of its installation; removed, its VMIs go and nothing else."""
    async with FakeApiServer(kubevirt=()) as api:
        for value in WORLD[:-1]:
            api.put(value)
        async with faulted(api, tmp_path) as bed:
            bed.keep = {WEB: ["10.96.0.9"]}
            await bed.until(WEB, ["10.96.0.9"])
            assert await bed.ready()
            await bed.pass_time(1800)
            assert len(bed.lines("virtualmachineinstances")) == 1  # there are none until it has
            installed = bed.clock.time
            api.install_kubevirt()
            api.put(WORLD[-1])
            await bed.until(VM1, ["10.244.0.7"])
            assert bed.clock.time - installed <= 60
            bed.keep[VM1] = ["10.244.0.7"]
            await bed.calm()
            del bed.keep[VM1]
            api.remove_kubevirt()
            await bed.until(VM1, [])
            await bed.pass_time(600)
            installed = bed.clock.time
            api.install_kubevirt("v1alpha3")
            api.put(WORLD[-1])
            await bed.until(VM1, ["10.244.0.7"])
            assert bed.clock.time - installed <= 60
            assert len(bed.lines("virtualmachineinstances")) == 4  # absent, listed, absent, listed


_PAGE = Reply(404, b"<html>no such page</html>", content_type="text/html")
_HALF = Reply(body=json.dumps({"kind": "Status", "code": 500}).encode())


@pytest.mark.parametrize("discovery", [_PAGE, refuse(503, "ServiceUnavailable"), _HALF], ids=["page", "503", "none"])
async def test_f19_one_404_proves_nothing(tmp_path: Path, discovery: Reply) -> None:
    """A 404 that discovery does not confirm takes nothing away, however often it comes; `bed.keep` has the VMI."""
    async with FakeApiServer() as api, faulted(api, tmp_path) as bed:
        await bed.calm()
        for verb in ("list", "watch"):
            api.fault(VMIS, verb, Reply(404, b"404 page not found\n", content_type="text/plain"), times=None)
        api.fault("", "get", discovery, times=20)
        api.end_watches(VMIS)
        await bed.pass_time(300)
        for verb in ("list", "watch"):
            api.heal(VMIS, verb)
        api.heal("", "get")
        api.put(vmi("vm2", "10.244.0.9"))
        await bed.until(f"vm2.{DB}", ["10.244.0.9"])


@pytest.mark.parametrize(("versions", "path"), [(("v1alpha3",), "v1alpha3"), (("v2", "v1"), "v1")])
async def test_f19_another_version(tmp_path: Path, versions: tuple[str, ...], path: str) -> None:
    """The version that we know is used where it is not the preferred one, or is an older one."""
    async with FakeApiServer(kubevirt=versions) as api, faulted(api, tmp_path) as bed:
        await bed.until(VM1, ["10.244.0.7"])
        assert {one.path.split("/")[3] for one in api.asked(VMIS, "list")} == {path}


async def test_f19_version_changes_under_way(tmp_path: Path) -> None:
    """An upgrade that stops serving the old version: the new one is found, and no name is missing in between."""
    async with FakeApiServer(kubevirt=("v1alpha3",)) as api, faulted(api, tmp_path) as bed:
        await bed.calm()
        api.fault(VMIS, "watch", refuse(503, "ServiceUnavailable"), times=2)
        api.end_watches(VMIS)
        api.install_kubevirt("v1")
        for value in (WORLD[-1], vmi("vm2", "10.244.0.9")):
            api.put(value)
        await bed.until(f"vm2.{DB}", ["10.244.0.9"])


def spans(times: list[float]) -> list[float]:
    """Return the time between each two."""
    return [after - before for before, after in pairwise(times)]
