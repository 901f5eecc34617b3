"""Names inside the cluster that look like names outside of it (F33; CVE-2022-2835, CVE-2022-2837)."""

from pathlib import Path

import pytest

from dnsserver.records import Rcode
from tests import build
from tests.fakes.api_server import FakeApiServer
from tests.faults.bed import DB, WEB, WORLD, faulted, vmi


def pretenders() -> list[build.Json]:
    """Return namespaces and Services that somebody might create to be found in place of others."""
    return [
        build.namespace_json("com"),
        build.service_json("google", namespace="com", cluster_ip="10.96.6.6", selector={"app": "x"}),
        build.service_json(
            "com", cluster_ip="10.96.6.7", selector={"app": "x"}
        ),  # google.com.ns1.svc would be below it
        build.namespace_json("svc"),
        build.service_json("ns1", namespace="svc", selector={"app": "db"}),  # db.ns1.svc of a search path
        build.vmi_json("db", namespace="svc", subdomain="ns1", addresses=("10.244.6.6",)),
        build.namespace_json("cluster"),
        build.service_json("local", namespace="cluster", cluster_ip="10.96.6.8", selector={"app": "x"}),
    ]


@pytest.mark.parametrize("when", ["listed", "watched"])
async def test_f33_names_like_outside(tmp_path: Path, when: str) -> None:
    """They have the names that the specification gives them, all below `svc`; nobody else's name changes by them."""
    async with FakeApiServer() as api:
        for value in (*WORLD, *(pretenders() if when == "listed" else ())):
            api.put(value)
        async with faulted(api, tmp_path) as bed:
            await bed.calm()
            for value in pretenders() if when == "watched" else ():
                api.put(value)
            await bed.until("google.com.svc.cluster.local", ["10.96.6.6"])
            await bed.until("com.ns1.svc.cluster.local", ["10.96.6.7"])
            await bed.until("db.ns1.svc.svc.cluster.local", ["10.244.6.6"])
            await bed.until("local.cluster.svc.cluster.local", ["10.96.6.8"])
            for outside in ("google.com", "com", "db.ns1.svc", "google.com.svc"):
                assert (await bed.ask(outside)).rcode == Rcode.REFUSED
            for inside in ("google.com.ns1.svc.cluster.local", "google.com.cluster.local", f"google.com.{DB}"):
                assert (await bed.ask(inside)).rcode == Rcode.NXDOMAIN
            assert await bed.texts(DB) == ["10.244.0.7"]


async def test_f33_only_some_namespaces(tmp_path: Path) -> None:
    """`namespaces` keeps the names of all others out, whatever they are called."""
    async with FakeApiServer() as api:
        for value in (*WORLD, *pretenders()):
            api.put(value)
        async with faulted(api, tmp_path, options="namespaces ns1") as bed:
            assert await bed.texts(WEB) == ["10.96.0.9"]
            for name in ("google.com.svc", "com.svc", "db.ns1.svc.svc", "svc.svc", "local.cluster.svc"):
                assert (await bed.ask(f"{name}.cluster.local")).rcode == Rcode.NXDOMAIN


async def test_f33_names_of_the_specification(tmp_path: Path) -> None:
    """Services and VMIs called like the zone's own labels take nothing from the names that are always there."""
    names = ("svc", "pod", "dns-version", "ns", "dns", "cluster", "local")
    async with FakeApiServer() as api, faulted(api, tmp_path) as bed:
        await bed.calm()
        fixed = {name: (await bed.ask(f"{name}.cluster.local")).rcode for name in names}
        version = (await bed.ask("dns-version.cluster.local", "TXT")).answer
        for number, name in enumerate(names):
            api.put(build.namespace_json(name))
            api.put(build.service_json(name, namespace=name, cluster_ip=f"10.96.7.{number}", selector={"app": "x"}))
            api.put(vmi(name, f"10.244.7.{number}"))
        for number, name in enumerate(names):
            await bed.until(f"{name}.{name}.svc.cluster.local", [f"10.96.7.{number}"])
            await bed.until(f"{name}.{DB}", [f"10.244.7.{number}"])
        assert {name: (await bed.ask(f"{name}.cluster.local")).rcode for name in names} == fixed
        assert (await bed.ask("dns-version.cluster.local", "TXT")).answer == version
