"""The life of VMs, step by step: what an API server says on the way, and what is answered at every step."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from dnsserver.records import Rcode
from tests.build import Json, endpoint_json, endpoint_slice_json, namespace_json, port_json, service_json, vmi_json
from tests.fakes.api_server import VMIS, FakeApiServer
from tests.harness import Serving, serving

CASES = Path(__file__).parent / "cases" / "kubevirt"

COREFILE = """
cluster.local in-addr.arpa ip6.arpa {{
    bind 127.0.0.1
    errors
    kubernetes {{
        {source}
        {options}
    }}
}}
"""

SVC = "svc.cluster.local"
SERVICE = f"db.ns1.{SVC}"
HOST = f"vm1.{SERVICE}"
SQL = f"_sql._tcp.{SERVICE}"
PORTS = [port_json(5432, "sql", "TCP")]
WATCHED = ("namespaces", "services", "endpointslices", VMIS)
NXDOMAIN = None  # instead of addresses

SOURCE, TARGET = "10.244.0.7", "10.244.1.9"
BOTH: Json = {"pod-vm1": "node1", "pod-target": "node2"}
TWO_PODS: Json = {"pods": BOTH}
MIGRATING: Json = {"sourceNode": "node1", "targetNode": "node2", "startTimestamp": "2026-01-01T00:00:00Z"}
ENDED: Json = MIGRATING | {"endTimestamp": "2026-01-01T00:00:09Z"}
GATE: Json = {"ready": False, "reason": "ReadinessGatesNotReady"}


def reverse(address: str) -> str:
    """Return the reverse name of an IPv4 address."""
    return ".".join(reversed(address.split("."))) + ".in-addr.arpa"


class Cluster:
    """An API server, and a server that follows it."""

    def __init__(self, api: FakeApiServer, server: Serving) -> None:
        self.api = api
        self.server = server
        self._settled = 0

    async def settle(self) -> None:
        """Wait until everything that the API server has said is answered: watches keep their order."""
        self._settled += 1
        last = f"0.{self._settled}"
        self.api.put(service_json("count", namespace="marks", cluster_ip=f"10.97.{last}"))
        self.api.put(vmi_json("vm", namespace="marks", subdomain="marks", addresses=(f"10.98.{last}",)))
        slices = endpoint_slice_json(endpoint_json(f"10.99.{last}"), namespace="marks", service="pods")
        self.api.put(slices)
        for name, expected in (("count", f"10.97.{last}"), ("vm.marks", f"10.98.{last}"), ("pods", f"10.99.{last}")):
            await self.server.until(f"{name}.marks.{SVC}", "A", [expected])

    async def say(self, *objects: Json) -> None:
        """Put objects, one after the other, and wait until they count."""
        for value in objects:
            self.api.put(value)
        await self.settle()

    async def addresses(self, name: str = HOST, qtype: str = "A") -> list[str] | None:
        """Return the RDATA of a name; None where it does not exist."""
        response = await self.server.ask(name, qtype)
        if response.rcode == Rcode.NXDOMAIN:
            return NXDOMAIN
        assert response.rcode == Rcode.NOERROR
        return await self.server.texts(name, qtype)

    async def check(self, step: str, address: str | None, *others: str) -> None:
        """Check that a VMI's name, its Service, SRV and PTR agree on one address, or on none; `others` have no name."""
        expected = [address] if address else NXDOMAIN
        assert await self.addresses(HOST) == expected, step
        assert await self.addresses(SERVICE) == expected, step
        assert await self.addresses(SQL, "SRV") == ([f"* * 5432 {HOST}."] if address else NXDOMAIN), step
        if address:
            assert await self.addresses(HOST, "AAAA") == [], step
            assert await self.addresses(reverse(address), "PTR") == [f"{HOST}."], step
        for other in others:
            assert await self.addresses(reverse(other), "PTR") is NXDOMAIN, step


@asynccontextmanager
async def cluster(folder: Path, *objects: Json, options: str = "") -> AsyncIterator[Cluster]:
    """Run a server on an API server with these objects."""
    async with FakeApiServer() as api:
        marks = [
            service_json(name, namespace="marks", selector={"app": app})
            for name, app in (("marks", "db"), ("pods", ""))
        ]
        for value in (namespace_json("ns1"), namespace_json("marks"), *marks, *objects):
            api.put(value)
        corefile = COREFILE.format(source=f"endpoint {api.url}", options=options)
        async with serving(corefile, folder) as server:
            for resource in WATCHED:
                await api.seen(resource, "watch")
            yield Cluster(api, server)


def db(**options: Any) -> Json:
    """Return the Service."""
    return service_json(ports=[port_json(5432, "sql", "TCP", 5432)], **options)


def slice_of(*endpoints: Json) -> Json:
    """Return its EndpointSlice."""
    return endpoint_slice_json(*endpoints, ports=PORTS)


def endpoint(address: str, pod: str = "pod-vm1", *, ready: bool = True) -> Json:
    """Return the endpoint of one of the VMI's pods."""
    return endpoint_json(address, ready=ready, hostname="vm1", pod=pod, pod_name="virt-launcher-vm1-x")


STARTING: Json = {"ready": False, "reason": "GuestNotRunning", "addresses": ()}
PAUSED: Json = GATE

LIFE: list[tuple[str, Json, list[Json] | None, bool]] = [  # step, VMI, its endpoints, whether it is published
    ("created", STARTING | {"phase": "", "node": "", "pods": {}}, None, False),
    ("Pending", STARTING | {"phase": "Pending", "node": "", "pods": {}}, None, False),
    ("Scheduling", STARTING | {"phase": "Scheduling", "node": ""}, [], False),
    ("the pod has an address", STARTING | {"phase": "Scheduling"}, [endpoint(SOURCE, ready=False)], False),
    ("Scheduled", STARTING | {"phase": "Scheduled"}, [endpoint(SOURCE, ready=False)], False),
    ("the pod is ready before the guest runs", STARTING | {"phase": "Scheduled"}, [endpoint(SOURCE)], False),
    ("Running, not Ready", {"ready": False}, [endpoint(SOURCE)], False),
    ("Ready", {}, [endpoint(SOURCE)], True),
    ("the agent is connected", {"info_source": "domain, guest-agent"}, [endpoint(SOURCE)], True),
    ("it reports no address", {"addresses": ()}, [endpoint(SOURCE)], True),
    ("and the inner one", {"addresses": ("10.0.2.2",)}, [endpoint(SOURCE)], True),
    ("and again the right one", {}, [endpoint(SOURCE)], True),
    ("paused", PAUSED, [endpoint(SOURCE, ready=False)], False),
    ("paused, the slice is late", PAUSED, [endpoint(SOURCE)], False),
    ("unpaused, the slice is late", {}, [endpoint(SOURCE, ready=False)], True),
    ("deleting, still Ready", {"deleting": True}, [endpoint(SOURCE)], False),
    ("deleting", {"deleting": True, "ready": False}, [endpoint(SOURCE, ready=False)], False),
    ("Succeeded", {"deleting": True, "ready": False, "phase": "Succeeded"}, [], False),
]


@pytest.mark.parametrize("slices", [True, False], ids=["slices", "no slices"])
async def test_one_life(tmp_path: Path, slices: bool) -> None:
    """From its creation to its end a VMI is published exactly while it is Running and Ready."""
    async with cluster(tmp_path, db()) as one:
        for step, options, endpoints, published in LIFE:
            if slices and endpoints is not None:
                one.api.put(slice_of(*endpoints))
            await one.say(vmi_json(**options))
            await one.check(step, SOURCE if published else NXDOMAIN, *([] if published else [SOURCE]))
        one.api.delete("VirtualMachineInstance", "ns1", "vm1")
        await one.settle()
        await one.check("gone", NXDOMAIN, SOURCE)


async def test_life_of_a_name_that_is_published_early(tmp_path: Path) -> None:
    """With publishNotReadyAddresses what counts is Running, until the phase is final."""
    early = {"Running, not Ready", "Ready", "the agent is connected", "it reports no address", "and the inner one"}
    early |= {"and again the right one", "paused", "paused, the slice is late", "unpaused, the slice is late"}
    early |= {"deleting, still Ready", "deleting"}
    async with cluster(tmp_path, db(publish_not_ready=True)) as one:
        for step, options, endpoints, _ in LIFE:
            marked = [value | {"conditions": {"ready": True}} for value in endpoints or ()]
            await one.say(slice_of(*marked), vmi_json(**options))
            await one.check(step, SOURCE if step in early else NXDOMAIN)


@pytest.mark.parametrize("told", [True, False], ids=["DELETED and ADDED", "told only of the new one"])
async def test_restart(tmp_path: Path, told: bool) -> None:
    """A VM that is restarted is another VMI: nothing of the old one outlives it, neither held nor in grace."""
    new: Json = {"uid": "uid-new", "pods": {"pod-new": "node1"}}
    handing_over = vmi_json(addresses=(SOURCE,), node="node2", pods=BOTH, migration=ENDED, **GATE)
    async with cluster(tmp_path, db(), vmi_json(), slice_of(endpoint(SOURCE)), options="address_hold 1h") as one:
        await one.check("before", SOURCE)
        await one.say(slice_of(endpoint(SOURCE, ready=False)), handing_over)
        await one.say(slice_of(endpoint(SOURCE, ready=False)))
        if told:
            one.api.delete("VirtualMachineInstance", "ns1", "vm1")
            await one.settle()
            await one.check("between", NXDOMAIN, SOURCE)
        await one.say(vmi_json(**STARTING | new | {"phase": "Scheduling", "node": ""}))
        await one.check("starting", NXDOMAIN, SOURCE)
        await one.say(vmi_json(**new, addresses=()))
        await one.check("Ready without an address", NXDOMAIN, SOURCE)
        await one.say(
            slice_of(endpoint(SOURCE, ready=False), endpoint(TARGET, "pod-new")), vmi_json(**new, addresses=())
        )
        await one.check("the slice knows it", TARGET, SOURCE)
        await one.say(vmi_json(**new, addresses=(TARGET,)))
        await one.check("Ready", TARGET, SOURCE)


MIGRATION: list[tuple[str, Json, list[Json], str]] = [  # step, VMI, its endpoints, the address
    ("at rest", {}, [endpoint(SOURCE)], SOURCE),
    ("target pod", {"pods": BOTH}, [endpoint(SOURCE), endpoint(TARGET, "pod-target", ready=False)], SOURCE),
    (
        "under way",
        {"pods": BOTH, "migration": MIGRATING},
        [endpoint(SOURCE), endpoint(TARGET, "pod-target", ready=False)],
        SOURCE,
    ),
    (
        "hand-over",
        {"pods": BOTH, "migration": ENDED, "node": "node2"},
        [endpoint(SOURCE), endpoint(TARGET, "pod-target", ready=False)],
        TARGET,
    ),
    (
        "the gate is not patched yet",
        {"pods": BOTH, "migration": ENDED, "node": "node2"} | GATE,
        [endpoint(SOURCE, ready=False), endpoint(TARGET, "pod-target", ready=False)],
        TARGET,
    ),
    (
        "the source's pod has ended",
        {"pods": BOTH, "migration": ENDED, "node": "node2"} | GATE,
        [endpoint(TARGET, "pod-target", ready=False)],
        TARGET,
    ),
    (
        "the status has the new address",
        {"pods": BOTH, "migration": ENDED, "node": "node2", "addresses": (TARGET,)} | GATE,
        [endpoint(TARGET, "pod-target", ready=False)],
        TARGET,
    ),
    (
        "completed",
        {"pods": BOTH, "migration": ENDED | {"completed": True}, "node": "node2", "addresses": (TARGET,)},
        [endpoint(TARGET, "pod-target")],
        TARGET,
    ),
    (
        "the source's pod is deleted",
        {
            "pods": {"pod-target": "node2"},
            "migration": ENDED | {"completed": True},
            "node": "node2",
            "addresses": (TARGET,),
        },
        [endpoint(TARGET, "pod-target")],
        TARGET,
    ),
]


@pytest.mark.parametrize("publish_not_ready", [False, True])
@pytest.mark.parametrize("slice_first", [True, False], ids=["slice first", "VMI first"])
async def test_migration(tmp_path: Path, publish_not_ready: bool, slice_first: bool) -> None:
    """One address at every step, however the watches interleave; a migration that follows finds nothing left over."""
    async with cluster(tmp_path, db(publish_not_ready=publish_not_ready), vmi_json()) as one:
        for step, options, endpoints, address in MIGRATION:
            marked = (
                [value | {"conditions": {"ready": True}} for value in endpoints] if publish_not_ready else endpoints
            )
            pair = (slice_of(*marked), vmi_json(**options))
            known_first = step == "target pod"  # KubeVirt lists a pod in activePods before it has an address
            for value in pair if slice_first and not known_first else reversed(pair):
                await one.say(value)
                assert len(await one.addresses() or ()) == 1, step
            await one.check(step, address, *({SOURCE, TARGET} - {address}))
        back: Json = {"sourceNode": "node2", "targetNode": "node1", "endTimestamp": "2026-01-01T01:00:00Z"}
        again: Json = {"pods": {"pod-target": "node2", "pod-third": "node1"}, "migration": back, "node": "node1"} | GATE
        endpoints = [endpoint(TARGET, "pod-target"), endpoint(SOURCE, "pod-third", ready=False)]
        await one.say(slice_of(*endpoints), vmi_json(**again, addresses=(TARGET,)))
        await one.check("back again", SOURCE, TARGET)


@pytest.mark.parametrize(
    ("options", "published"),
    [
        ({"migration": MIGRATING | {"endTimestamp": "x", "failed": True, "completed": True}}, True),
        ({"migration": MIGRATING | {"endTimestamp": "x", "failed": True}, "ready": False}, False),
        ({"migration": ENDED | {"failed": True}, "node": "node2", "phase": "Failed", "ready": False}, False),
        ({"migration": ENDED, "node": "node2", "deleting": True} | GATE, False),
        ({"migration": ENDED, "node": "node2", "phase": "Succeeded"} | GATE, False),
    ],
    ids=["failed", "failed and not Ready", "failed after post-copy", "deleted at the hand-over", "ended at it"],
)
async def test_migration_that_goes_wrong(tmp_path: Path, options: Json, published: bool) -> None:
    """What ends a migration badly decides as it would without one."""
    async with cluster(tmp_path, db(), vmi_json(pods=BOTH, migration=MIGRATING)) as one:
        await one.check("under way", SOURCE)
        await one.say(vmi_json(**TWO_PODS | options))
        await one.check("then", SOURCE if published else NXDOMAIN)


async def test_hand_over_that_never_ends(tmp_path: Path) -> None:
    """Grace ends by itself, and no news of the same hand-over renews it."""
    handing_over: Json = {"pods": BOTH, "migration": ENDED, "node": "node2"} | GATE
    async with cluster(tmp_path, db(), vmi_json(), options="migration_grace 1s") as one:
        one.api.put(vmi_json(**handing_over))
        await one.settle()
        await one.check("in grace", SOURCE)
        assert await one.server.until(HOST, "A", []) < 2
        await one.check("over", NXDOMAIN, SOURCE)
        await one.say(
            vmi_json(**handing_over, annotations={"touched": "yes"}), vmi_json(**handing_over | {"reason": "x"})
        )
        await one.check("not renewed", NXDOMAIN, SOURCE)


async def test_flapping_addresses(tmp_path: Path) -> None:
    """Without slices a VMI that stays Ready keeps its last good address, for a bounded time."""
    async with cluster(tmp_path, db(), vmi_json(binding="bridge"), options="address_hold 1s") as one:
        for addresses in [(), (SOURCE,), ("fe80::7",), (SOURCE,), ("not an address",)]:
            await one.say(vmi_json(binding="bridge", addresses=addresses))
            await one.check(str(addresses), SOURCE)
        assert await one.server.until(HOST, "A", []) < 2
        await one.check("for too long", NXDOMAIN, SOURCE)
        await one.say(vmi_json(binding="bridge", addresses=(TARGET,)))
        await one.check("back", TARGET, SOURCE)


@pytest.mark.parametrize(
    "options",
    [{"ready": False}, {"node": "node2"}, {"deleting": True}, {"uid": "another"}, {"phase": "Failed"}],
    ids=["not Ready", "on another node", "deleted", "another VMI", "ended"],
)
async def test_no_hold_with_a_better_reason(tmp_path: Path, options: Json) -> None:
    """An address that goes for a reason is gone."""
    async with cluster(tmp_path, db(), vmi_json(binding="bridge"), options="address_hold 1h") as one:
        await one.say(vmi_json(binding="bridge", addresses=(), **options))
        await one.check("gone", NXDOMAIN, SOURCE)


async def test_service_comes_later(tmp_path: Path) -> None:
    """A Service gives and takes names without any word from the VMI."""
    async with cluster(tmp_path, vmi_json()) as one:
        await one.check("no Service", NXDOMAIN, SOURCE)
        steps: list[tuple[str, Json, bool]] = [
            ("created", db(), True),
            ("another selector", db(selector={"app": "web"}), False),
            ("KubeVirt's label", db(selector={"vm.kubevirt.io/name": "vm1"}), True),
            ("no selector", db(selector={}), False),
            ("one of KubeVirt's and one of the VMI's", db(selector={"vmi.kubevirt.io/id": "vm1", "app": "db"}), True),
            ("with a selector that wants more", db(selector={"app": "db", "tier": "x"}), False),
            ("of IPv4", db(families=["IPv4", "IPv6"]), True),
        ]
        for step, service, published in steps:
            await one.say(service)
            await one.check(step, SOURCE if published else NXDOMAIN)
        await one.say(db(families=["IPv6"]))
        assert await one.addresses() is NXDOMAIN
        await one.say(db(cluster_ip="10.96.0.5"))
        assert (await one.addresses(), await one.addresses(SERVICE)) == (NXDOMAIN, ["10.96.0.5"])
        await one.say(service_json(external_name="example.org"))
        assert (await one.addresses(), await one.addresses(SERVICE, "CNAME")) == (NXDOMAIN, ["example.org."])
        await one.say(db())
        await one.check("headless again", SOURCE)
        one.api.delete("Service", "ns1", "db")
        await one.settle()
        await one.check("deleted", NXDOMAIN, SOURCE)


async def test_slices_come_and_go(tmp_path: Path) -> None:
    """What a slice mends is unmended without it, and mended again with the next."""
    inner = vmi_json(addresses=("10.0.2.2",))
    async with cluster(tmp_path, db(), inner) as one:
        await one.check("no slice", NXDOMAIN, SOURCE)
        await one.say(slice_of(endpoint(SOURCE)))
        await one.check("mended", SOURCE)
        await one.say(slice_of(endpoint(SOURCE, "pod-of-another")))
        await one.check("a launcher of no VMI's is nobody's endpoint", NXDOMAIN, SOURCE)
        await one.say(slice_of(endpoint(TARGET)))
        await one.check("another address", TARGET, SOURCE)
        one.api.delete("EndpointSlice", "ns1", "db-1")
        await one.settle()
        await one.check("deleted", NXDOMAIN, SOURCE, TARGET)


async def test_labels_that_change(tmp_path: Path) -> None:
    """By the user guide's words it is the VMI's labels that a Service selects."""
    async with cluster(tmp_path, db(), vmi_json(labels={}), slice_of()) as one:
        await one.check("no label", NXDOMAIN)
        await one.say(vmi_json(labels={"app": "db"}))
        await one.check("labelled", SOURCE)
        await one.say(slice_of(endpoint(SOURCE)), vmi_json(labels={"app": "web"}))
        await one.check("labelled otherwise, though the slice says it is there", NXDOMAIN, SOURCE)


async def test_address_of_an_ended_vmi(tmp_path: Path) -> None:
    """An address goes to its live owner, from VMI to VMI and to a plain pod, and no name of the dead has it."""
    heir = f"vm2.{SERVICE}"
    ended = vmi_json(phase="Succeeded", ready=False)
    async with cluster(tmp_path, db(), vmi_json()) as one:
        await one.say(ended)
        await one.check("ended", NXDOMAIN, SOURCE)
        await one.say(vmi_json("vm2"))
        assert (await one.addresses(HOST), await one.addresses(heir)) == (NXDOMAIN, [SOURCE])
        assert await one.addresses(reverse(SOURCE), "PTR") == [f"{heir}."]
        one.api.delete("VirtualMachineInstance", "ns1", "vm2")
        await one.say(slice_of(endpoint_json(SOURCE, hostname="web-0", pod="pod-web", pod_name="web-0")))
        assert await one.addresses(reverse(SOURCE), "PTR") == [f"web-0.{SERVICE}."]
        one.api.delete("VirtualMachineInstance", "ns1", "vm1")
        await one.settle()
        assert await one.addresses(reverse(SOURCE), "PTR") == [f"web-0.{SERVICE}."]


async def test_two_vmis_of_one_label(tmp_path: Path) -> None:
    """They share the name as they come, and each leaves with its own address only."""
    pair = [vmi_json(f"web{number}", hostname="vm1", addresses=(f"10.244.0.{number}",)) for number in (1, 2)]
    async with cluster(tmp_path, db(), *pair) as one:
        assert await one.addresses() == ["10.244.0.1", "10.244.0.2"]
        assert await one.addresses(SQL, "SRV") == [f"* * 5432 {HOST}."]
        await one.say(vmi_json("web1", hostname="vm1", addresses=("10.244.0.1",), ready=False))
        await one.check("one is not ready", "10.244.0.2", "10.244.0.1")
        one.api.delete("VirtualMachineInstance", "ns1", "web2")
        await one.settle()
        await one.check("the other is gone", NXDOMAIN, "10.244.0.1", "10.244.0.2")


async def test_decentralized_migration(tmp_path: Path) -> None:
    """Between namespaces the name moves with the VMI: each namespace answers for its own."""
    names = [f"vm1.db.{place}.{SVC}" for place in ("ns1", "ns2")]
    waiting = vmi_json(namespace="ns2", uid="u2", phase="WaitingForSync", node="", pods={}, ready=False, addresses=())
    async with cluster(tmp_path, namespace_json("ns2"), db(), db(namespace="ns2", publish_not_ready=True)) as one:
        await one.say(vmi_json(), waiting)
        assert [await one.addresses(name) for name in names] == [[SOURCE], NXDOMAIN]
        running: Json = {
            "namespace": "ns2",
            "uid": "u2",
            "pods": {"pod-2": "node2"},
            "node": "node2",
            "addresses": (TARGET,),
        }
        await one.say(vmi_json(**running, migration=ENDED | {"completed": True}))
        await one.say(vmi_json(phase="Succeeded", ready=False, migration=ENDED | {"completed": True}))
        assert [await one.addresses(name) for name in names] == [NXDOMAIN, [TARGET]]
        assert await one.addresses(reverse(SOURCE), "PTR") is NXDOMAIN


async def test_namespace_goes_and_comes(tmp_path: Path) -> None:
    """Without its namespace a VMI has no name, whatever is left of it; with it, it has again."""
    async with cluster(tmp_path, db(), vmi_json()) as one:
        one.api.delete("Namespace", "", "ns1")
        await one.server.until(HOST, "A", [])
        await one.check("no namespace", NXDOMAIN, SOURCE)
        one.api.put(namespace_json("ns1"))
        await one.server.until(HOST, "A", [SOURCE])
        await one.check("back", SOURCE)


# What `kubevirt` chooses

MIXED = [f"* * 5432 {host}.mix.default.{SVC}." for host in ("10-244-2-95", "db-0", "vm1")]

MODES: list[tuple[str, str, str, Sequence[str] | None, Sequence[str] | None, Sequence[str] | None]] = [
    # case, name, type, answer with auto and on, with only, with off (None: NXDOMAIN)
    ("01-user-guide", f"myvmi.mysubdomain.default.{SVC}", "A", ["10.244.0.57"], ["10.244.0.57"], ["10.244.0.57"]),
    ("68-pods-and-vmis", f"vm1.mix.default.{SVC}", "A", ["10.244.1.94"], ["10.244.1.94"], ["10.244.1.94"]),
    ("68-pods-and-vmis", f"db-0.mix.default.{SVC}", "A", ["10.244.2.94"], NXDOMAIN, ["10.244.2.94"]),
    (
        "68-pods-and-vmis",
        f"mix.default.{SVC}",
        "A",
        ["10.244.1.94", "10.244.2.94", "10.244.2.95"],
        [],
        ["10.244.1.94", "10.244.2.94", "10.244.2.95"],
    ),
    ("68-pods-and-vmis", f"_sql._tcp.mix.default.{SVC}", "SRV", MIXED, NXDOMAIN, MIXED),
    (
        "68-pods-and-vmis",
        reverse("10.244.2.94"),
        "PTR",
        [f"db-0.mix.default.{SVC}."],
        NXDOMAIN,
        [f"db-0.mix.default.{SVC}."],
    ),
    ("53-hand-over", f"mig.lm.default.{SVC}", "A", ["10.244.3.59"], ["10.244.3.59"], ["10.244.1.59"]),
    ("65-no-primary-network", f"nonic.nn.default.{SVC}", "A", NXDOMAIN, NXDOMAIN, ["10.244.1.89"]),
    (
        "71-primary-user-defined-network",
        f"udn1.udn.default.{SVC}",
        "A",
        ["192.168.100.17"],
        ["192.168.100.17"],
        ["10.244.1.102"],
    ),
    ("79-no-slices", f"vm1.ns.default.{SVC}", "A", ["10.244.1.131"], ["10.244.1.131"], NXDOMAIN),
    (
        "79-no-slices",
        f"ns.default.{SVC}",
        "A",
        ["10.244.1.131", "10.244.1.132"],
        ["10.244.1.131", "10.244.1.132"],
        NXDOMAIN,
    ),
    ("63-external-name", f"ext.default.{SVC}", "CNAME", ["db.example.net."], NXDOMAIN, ["db.example.net."]),
    ("82-service-with-cluster-ip", f"node.default.{SVC}", "A", ["10.96.4.1"], NXDOMAIN, ["10.96.4.1"]),
    ("82-service-with-cluster-ip", f"vm1.node.default.{SVC}", "A", NXDOMAIN, NXDOMAIN, ["10.244.1.138"]),
    (
        "82-service-with-cluster-ip",
        reverse("10.96.4.1"),
        "PTR",
        [f"node.default.{SVC}."],
        NXDOMAIN,
        [f"node.default.{SVC}."],
    ),
]


@pytest.mark.parametrize("mode", ["auto", "on", "only", "off"])
async def test_modes(tmp_path: Path, mode: str) -> None:
    """`auto` and `on` answer for all, `only` for VMIs and nothing else, `off` is CoreDNS's answer."""
    for case in sorted({row[0] for row in MODES}):
        corefile = COREFILE.format(source=f"manifests {CASES / case}.yaml", options=f"kubevirt {mode}")
        async with serving(corefile, tmp_path) as server:
            one = Cluster(FakeApiServer(), server)
            for _, name, qtype, both, only, off in [row for row in MODES if row[0] == case]:
                expected = {"only": only, "off": off}.get(mode, both)
                assert await one.addresses(name, qtype) == expected, f"{case} {name}"
