"""A whole server on objects that the API server should never have taken (F32)."""

import asyncio
import json
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dnsserver.names import MAX_LABEL, MAX_NAME, labels
from dnsserver.objects import InvalidObjectError, Kind, decode_object
from dnsserver.plugins.kubernetes import Kubernetes
from dnsserver.records import RRType
from tests import build
from tests.fakes.api_server import FakeApiServer
from tests.faults.bed import DB, VM1, VMI, WEB, WORLD, Bed, faulted, vmi

_TEXTS = st.sampled_from(["", "a.b", "-a", "a b", "A", "_a", "x" * 63, "x" * 64, "x." * 126 + "x", "ä", "\0", "*", "@"])
_TYPES = st.sampled_from([None, 5, True, "x", [], {}, [None], [5], {"a": None}])
_ADDRESSES = st.lists(
    st.sampled_from(
        [
            "10.244.6.1",
            "10.244.6.1",
            "10.244.6.2",
            "fd00::6",
            "FD00::6",
            "fd00:0::6",
            "None",
            "10.0.0.256",
            "::g",
            "0.0.0.0",
            "127.0.0.1",
            "169.254.0.1",
            "fe80::1",
            "::ffff:10.244.6.1",
            "10.0.2.2",
            "10.244.6.1/24",
            "010.1.1.1",
            "",
        ]
    ),
    max_size=4,
)
_PORT = st.fixed_dictionaries(
    {},
    optional={
        "name": _TEXTS,
        "port": st.sampled_from([0, 80, 65535, 65536, -1, 2**70]),
        "protocol": st.sampled_from(["TCP", "udp", "", "x" * 70, "a.b"]),
        "targetPort": st.sampled_from([80, "http", "", -5]),
    },
)
_PORTS = st.one_of(st.none(), st.lists(_PORT, max_size=3), _TYPES)


def _merged(value: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return a JSON object with some places changed, each named by its path."""
    for path, new in changes.items():
        *folders, last = path.split(".")
        where: Any = value
        for folder in folders:
            where = where[int(folder)] if folder.isdigit() else where[folder]
        where[last] = new
    return value


def _services() -> st.SearchStrategy[dict[str, Any]]:
    """Return Services: without ports, of IPv6 alone, with addresses that are none, with names that are none."""
    changes = st.fixed_dictionaries(
        {},
        optional={
            "spec.ports": _PORTS,
            "spec.clusterIP": st.sampled_from(["None", "", "none", "10.96.6.1", "fd00::6", "x"]),
            "spec.clusterIPs": _ADDRESSES,
            "spec.externalName": _TEXTS,
            "spec.type": st.sampled_from(["ExternalName", "NodePort", "", "Dream"]),
            "spec.ipFamilies": st.sampled_from([["IPv6"], ["IPv4", "IPv6"], [], ["IPv5"], "IPv4"]),
            "spec.selector": st.one_of(_TYPES, st.just({"": ""}), st.just({"app": "db"})),
            "metadata.labels": _TYPES,
            "metadata.annotations": _TYPES,
        },
    )
    return st.builds(lambda name, some: _merged(build.service_json(name), some), _names(), changes)


def _slices() -> st.SearchStrategy[dict[str, Any]]:
    """Return EndpointSlices: duplicate addresses, dots in host names, conditions and targets that are none."""
    endpoint = st.fixed_dictionaries(
        {"addresses": st.one_of(_ADDRESSES, _TYPES)},
        optional={
            "hostname": st.one_of(_TEXTS, _TYPES),
            "conditions": st.one_of(_TYPES, st.just({"ready": None}), st.just({"ready": True})),
            "targetRef": st.one_of(_TYPES, st.just({"kind": "Pod", "uid": "pod-vm1"})),
            "zone": _TEXTS,
        },
    )
    changes = st.fixed_dictionaries(
        {"endpoints": st.one_of(st.lists(endpoint, max_size=3), _TYPES)},
        optional={"ports": _PORTS, "addressType": _TEXTS, "metadata.labels": _TYPES},
    )
    return st.builds(lambda name, some: _merged(build.endpoint_slice_json(name=name), some), _names(), changes)


def _vmis() -> st.SearchStrategy[dict[str, Any]]:
    """Return VMIs: without interfaces, with dots in host names, with duplicate and impossible addresses."""
    changes = st.fixed_dictionaries(
        {},
        optional={
            "spec.hostname": st.one_of(_TEXTS, _TYPES),
            "spec.subdomain": st.one_of(_TEXTS, _TYPES),
            "spec.networks": st.one_of(_TYPES, st.just([{"name": "default"}])),
            "spec.domain.devices.interfaces": _TYPES,
            "status.interfaces": _TYPES,
            "status.conditions": _TYPES,
            "status.activePods": _TYPES,
            "status.nodeName": _TYPES,
            "metadata.labels": st.one_of(_TYPES, st.just({"app": "db", "": "x" * 300})),
        },
    )
    return st.builds(
        lambda name, some, addresses: _merged(build.vmi_json(name, addresses=addresses), some),
        _names(),
        changes,
        _ADDRESSES,
    )


def _names() -> st.SearchStrategy[str]:
    """Return names of objects; none is that of an object that must not be touched."""
    return st.one_of(st.sampled_from(["bad", "bad2", "bad3"]), _TEXTS.filter(bool))


_BAD = st.lists(st.one_of(_services(), _slices(), _vmis()), min_size=5, max_size=20)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))  # each is a server's whole life
@given(listed=_BAD, watched=_BAD)
def test_f32_bad_objects(listed: list[dict[str, Any]], watched: list[dict[str, Any]]) -> None:
    """Each is left out as far as it is bad, counted by kind or by rule, and touches no other object."""
    asyncio.run(_serve(listed, watched))


async def _serve(listed: list[dict[str, Any]], watched: list[dict[str, Any]]) -> None:
    async with FakeApiServer() as api:
        for value in (*WORLD, *listed):
            api.put(value)
        async with faulted(api, Path()) as bed:
            await bed.calm()
            in_lists = refused(api)
            for kind, count in in_lists.items():
                assert await bed.metric("dnsserver_refused_objects_total", kind=kind.value) == count
            for value in watched:
                api.put(value)
            api.put(build.service_json("later", cluster_ip="10.96.0.8", selector={"app": "x"}))
            api.put(build.endpoint_slice_json(build.endpoint_json("10.244.5.5"), name="later", service="later"))
            api.put(vmi("later", "10.244.5.6"))
            await bed.until("later.ns1.svc.cluster.local", ["10.96.0.8"])
            await bed.until("10-244-5-5.later.ns1.svc.cluster.local", ["10.244.5.5"])
            await bed.until(f"later.{DB}", ["10.244.5.6"])
            assert await bed.texts(VM1) == ["10.244.0.7"]
            assert await bed.texts(WEB) == ["10.96.0.9"]
            check_names(bed)
            told = bed.lines("refused")
            assert all(line.startswith("refused ") and "\n" not in line for line in told)
            assert len(told) == len(set(told))


def refused(api: FakeApiServer) -> dict[Kind, int]:
    """Return how many objects of each kind cannot be decoded."""
    found = {}
    for kind in (Kind.SERVICE, Kind.ENDPOINT_SLICE, Kind.VMI):
        found[kind] = 0
        for value in api.objects(kind.value).values():
            try:
                decode_object(kind, json.dumps(value).encode())
            except InvalidObjectError:
                found[kind] += 1
    return found


def check_names(bed: Bed) -> None:
    """Assert that every name in the zones is one, and every address too."""
    (plugin,) = (one for one in bed.server.app._current.setup.plugins if isinstance(one, Kubernetes))
    assert plugin.cluster is not None
    for zone in plugin.cluster.zones:
        for rrset in zone.all_rrsets():
            assert len(rrset.owner) <= MAX_NAME
            assert all(0 < len(label) <= MAX_LABEL for label in labels(rrset.owner))
            assert len(set(rrset.rdatas)) == len(rrset.rdatas)
            sizes = {RRType.A: {4}, RRType.AAAA: {16}}.get(RRType(rrset.rrtype))
            assert sizes is None or {len(rdata) for rdata in rrset.rdatas} == sizes


async def test_f32_counted_by_reason(tmp_path: Path) -> None:
    """What is left out is counted: objects that cannot be read by kind, VMIs without a name by the rule."""
    bad = [
        build.vmi_json("dots", hostname="a.b"),
        build.vmi_json("long", hostname="x" * 64),
        build.vmi_json("none", addresses=("None",)),
        build.vmi_json("six", addresses=("fd00::6",)),  # the Service is of IPv4
        build.vmi_json("bare")
        | {"spec": {"subdomain": "db", "domain": {"devices": {"autoattachPodInterface": False}}}},
        build.vmi_json("number") | {"status": 5},
        build.service_json("portless", cluster_ip="10.96.6.1", ports=None),
        build.service_json("numbers") | {"spec": 5},
    ]
    async with FakeApiServer() as api:
        for value in (*WORLD, *bad):
            api.put(value)
        async with faulted(api, tmp_path) as bed:
            await bed.until(VM1, ["10.244.0.7"])
            assert await bed.texts("portless.ns1.svc.cluster.local") == ["10.96.6.1"]
            rules = {"host_label": 2, "address": 2, "primary_network": 1, "phase": 0, "ready": 0, "deleting": 0}
            for rule, count in rules.items():
                assert await bed.metric("dnsserver_unpublished_vmis", rule=rule) == count, rule
            assert await bed.metric("dnsserver_refused_objects_total", kind=VMI) == 1
            assert await bed.metric("dnsserver_refused_objects_total", kind="Service") == 1
            for value in bad[:5]:  # repaired, or gone: counted no longer
                api.delete(VMI, "ns1", value["metadata"]["name"])
            api.put(vmi("later", "10.244.5.6"))
            await bed.until(f"later.{DB}", ["10.244.5.6"])
            assert await bed.metric("dnsserver_unpublished_vmis") == 0
