"""Small Kubernetes objects for tests, as API JSON and as slim objects, and stores that hold them.

The defaults make one VMI that is published: `vm1` on `ns1`, subdomain `db`, which a headless Service `db` selects.
"""

import copy
import ipaddress
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

from dnsserver.derive.observation import NOTHING, Observation
from dnsserver.derive.vmi import NO_PODS, PodAddresses, Published, Refused, vmi_endpoints
from dnsserver.events import Event, ListedPage, ListEnded, ListStarted
from dnsserver.names import Name, from_text, to_text
from dnsserver.objects import (
    EndpointSlice,
    Further,
    Kind,
    Namespace,
    Object,
    Pod,
    Service,
    VirtualMachineInstance,
    decode_object,
)
from dnsserver.records import RRset, RRType
from dnsserver.store import Store, StoreConfig
from dnsserver.zone import Zone

Json = dict[str, Any]  # what an API server sends

ZONE = from_text("cluster.local")
IN_ADDR = from_text("in-addr.arpa")
IP6 = from_text("ip6.arpa")
CONFIG = StoreConfig(zones=(ZONE,), reverse_zones=(IN_ADDR, IP6))

KINDS = (Kind.NAMESPACE, Kind.SERVICE, Kind.ENDPOINT_SLICE, Kind.VMI)  # what every configuration but `off` watches

_P = ParamSpec("_P")
_T = TypeVar("_T", bound=Object)


def without_none(values: Mapping[str, Any]) -> Json:
    """Return a JSON object without the fields that are None, as the API leaves them out."""
    return {key: value for key, value in values.items() if value is not None}


def namespace_json(name: str = "ns1", uid: str | None = None) -> Json:
    """Return a Namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "uid": uid or f"uid-ns-{name}"}}


def service_json(
    name: str = "db",
    *,
    namespace: str = "ns1",
    uid: str | None = None,
    cluster_ip: str | None = "None",
    cluster_ips: Sequence[str] | None = None,
    selector: Mapping[str, str] | None = None,
    families: Sequence[str] | None = ("IPv4",),
    publish_not_ready: bool | None = None,
    ports: Sequence[Json] | None = None,
    external_name: str | None = None,
    external_ips: Sequence[str] | None = None,
) -> Json:
    """Return a headless Service that selects `app: db`; `external_name` makes it an ExternalName Service."""
    spec = without_none(
        {
            "type": "ExternalName" if external_name is not None else "ClusterIP",
            "externalName": external_name,
            "clusterIP": None if external_name is not None else cluster_ip,
            "clusterIPs": cluster_ips,
            "selector": {"app": "db"} if selector is None else selector,
            "ipFamilies": families,
            "publishNotReadyAddresses": publish_not_ready,
            "ports": ports,
            "externalIPs": external_ips,
        }
    )
    meta = {"name": name, "namespace": namespace, "uid": uid or f"uid-svc-{name}"}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}


def port_json(
    number: int, name: str | None = None, protocol: str | None = None, target: int | str | None = None
) -> Json:
    """Return a port of a Service, an EndpointSlice or an interface."""
    return without_none({"name": name, "port": number, "protocol": protocol, "targetPort": target})


def endpoint_json(
    *addresses: str,
    ready: bool | None = True,
    hostname: str | None = None,
    pod: str | None = None,
    pod_name: str | None = None,
    zone: str | None = None,
) -> Json:
    """Return an endpoint; `pod` is the UID of its targetRef, `zone` a topology zone."""
    target = without_none({"kind": "Pod", "name": pod_name, "uid": pod}) if pod or pod_name else None
    conditions = {} if ready is None else {"ready": ready}
    return without_none(
        {
            "addresses": list(addresses),
            "conditions": conditions,
            "hostname": hostname,
            "targetRef": target,
            "zone": zone,
        }
    )


def endpoint_slice_json(
    *endpoints: Json,
    name: str = "db-1",
    namespace: str = "ns1",
    uid: str | None = None,
    service: str | None = "db",
    ports: Sequence[Json] | None = None,
    imported: str | None = None,
    cluster: str | None = None,
    triggered: str | None = None,
) -> Json:
    """Return an EndpointSlice of the Service `db`; `imported` from `cluster` it is of that ServiceImport as well."""
    labels = without_none(
        {
            "kubernetes.io/service-name": service,
            "multicluster.kubernetes.io/service-name": imported,
            "multicluster.kubernetes.io/source-cluster": cluster,
        }
    )
    annotations = None if triggered is None else {"endpoints.kubernetes.io/last-change-trigger-time": triggered}
    meta = without_none(
        {
            "name": name,
            "namespace": namespace,
            "uid": uid or f"uid-slice-{name}",
            "labels": labels or None,
            "annotations": annotations,
        }
    )
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": meta,
        "endpoints": list(endpoints),
        "ports": ports,
    }


def service_import_json(
    name: str = "db",
    *,
    namespace: str = "ns1",
    uid: str | None = None,
    ips: Sequence[str] | None = None,
    ports: Sequence[Json] | None = None,
) -> Json:
    """Return a headless ServiceImport; with `ips` it has those instead."""
    spec = without_none({"type": "Headless" if ips is None else "ClusterSetIP", "ips": ips, "ports": ports})
    meta = {"name": name, "namespace": namespace, "uid": uid or f"uid-import-{name}"}
    return {"apiVersion": "multicluster.x-k8s.io/v1alpha1", "kind": "ServiceImport", "metadata": meta, "spec": spec}


def pod_json(
    name: str = "web-1",
    address: str | None = "10.244.0.7",
    *,
    namespace: str = "ns1",
    uid: str | None = None,
    phase: str = "Running",
    deleting: bool = False,
) -> Json:
    """Return a Running Pod."""
    meta = without_none(
        {
            "name": name,
            "namespace": namespace,
            "uid": uid or f"uid-pod-{name}",
            "deletionTimestamp": "2026-01-01T00:00:00Z" if deleting else None,
        }
    )
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta,
        "status": without_none({"phase": phase, "podIP": address}),
    }


def vmi_json(
    name: str = "vm1",
    *,
    namespace: str = "ns1",
    uid: str | None = None,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    deleting: bool = False,
    hostname: str | None = None,
    subdomain: str | None = "db",
    binding: str = "masquerade",
    pod_network: Mapping[str, str] | None = None,
    interface_ports: Sequence[Json] | None = None,
    phase: str = "Running",
    ready: bool | None = True,
    reason: str | None = None,
    node: str = "node1",
    pods: Mapping[str, str] | None = None,
    addresses: Sequence[str] = ("10.244.0.7",),
    info_source: str = "domain",
    migration: Mapping[str, Any] | None = None,
) -> Json:
    """Return a Running, Ready VMI with one interface on the pod network; `pods` are status.activePods."""
    uid = uid or f"uid-{name}"
    interface = without_none({"name": "default", binding: {}, "ports": interface_ports})
    condition = without_none({"type": "Ready", "status": "True" if ready else "False", "reason": reason})
    reported = {"name": "default", "ipAddresses": list(addresses), "infoSource": info_source}
    meta = {"name": name, "namespace": namespace, "uid": uid, "labels": {"app": "db"} if labels is None else labels}
    status = {
        "phase": phase,
        "nodeName": node,
        "activePods": {f"pod-{name}": node} if pods is None else pods,
        "conditions": [] if ready is None else [condition],
        "interfaces": [reported | ({"ipAddress": addresses[0]} if addresses else {})],
        "migrationState": migration,
    }
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": without_none(
            meta | {"annotations": annotations, "deletionTimestamp": "2026-01-01T00:00:00Z" if deleting else None}
        ),
        "spec": without_none(
            {
                "hostname": hostname,
                "subdomain": subdomain,
                "networks": [{"name": "default", "pod": dict(pod_network or {})}],
                "domain": {"devices": {"interfaces": [interface]}},
            }
        ),
        "status": without_none(status),
    }


def with_interface(
    value: Json, network: str, *addresses: str, definition: str | None = "vlan", info_source: str = "domain"
) -> Json:
    """Return a VMI with one more interface, on the Multus network of a NetworkAttachmentDefinition."""
    one: Json = copy.deepcopy(value)
    multus = {} if definition is None else {"networkName": definition}
    one["spec"]["networks"].append({"name": network, "multus": multus})
    one["spec"]["domain"]["devices"]["interfaces"].append({"name": network, "bridge": {}})
    one["status"]["interfaces"].append(
        {"name": network, "ipAddresses": list(addresses), "infoSource": f"{info_source}, multus-status"}
    )
    return one


def wired(value: Json, wanted: Further | None = None) -> VirtualMachineInstance:
    """Return the slim object of a VMI with its further interfaces."""
    one = decode_object(Kind.VMI, json.dumps(value).encode(), wanted or Further())
    assert isinstance(one, VirtualMachineInstance)
    return one


def decoded(kind: Kind, value: object) -> Object:
    """Return the slim object of API JSON."""
    return decode_object(kind, json.dumps(value).encode())


def _slim(of: type[_T], kind: Kind, build: Callable[_P, Json]) -> Callable[_P, _T]:
    """Return a builder of the slim object that `build` describes."""

    def make(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        value = decoded(kind, build(*args, **kwargs))
        assert isinstance(value, of)
        return value

    return make


namespace = _slim(Namespace, Kind.NAMESPACE, namespace_json)
service = _slim(Service, Kind.SERVICE, service_json)
endpoint_slice = _slim(EndpointSlice, Kind.ENDPOINT_SLICE, endpoint_slice_json)
service_import = _slim(Service, Kind.SERVICE_IMPORT, service_import_json)
pod = _slim(Pod, Kind.POD, pod_json)
vmi = _slim(VirtualMachineInstance, Kind.VMI, vmi_json)

_KINDS: dict[type[Object], Kind] = {
    Namespace: Kind.NAMESPACE,
    Service: Kind.SERVICE,
    EndpointSlice: Kind.ENDPOINT_SLICE,
    Pod: Kind.POD,
}


def kind_of_object(value: Object) -> Kind:
    """Return the kind of a slim object."""
    if isinstance(value, Service) and value.imported:
        return Kind.SERVICE_IMPORT
    return Kind.VMI if isinstance(value, VirtualMachineInstance) else _KINDS[type(value)]


def packed(text: str) -> bytes:
    """Return the packed form of an IP address."""
    return ipaddress.ip_address(text).packed


def address_texts(addresses: Iterable[bytes]) -> tuple[str, ...]:
    """Return packed addresses as text, in their order."""
    return tuple(str(ipaddress.ip_address(address)) for address in addresses)


def outcome_of(
    one: VirtualMachineInstance,
    under: Service,
    *,
    observation: Observation = NOTHING,
    pods: PodAddresses = NO_PODS,
    now: float = 0.0,
) -> Published | Refused:
    """Return what a VMI contributes to a Service, with nothing remembered and no EndpointSlices unless given."""
    return vmi_endpoints(one, under, observation, pods, now)


def listing(kind: Kind, objects: Iterable[Object], page: int = 2) -> list[Event]:
    """Return the events of one list, in pages of a few objects."""
    objects = tuple(objects)
    pages = [ListedPage(kind, objects[start : start + page]) for start in range(0, len(objects), page)]
    return [ListStarted(kind), *pages, ListEnded(kind)]


def lists(objects: Iterable[Object], kinds: Iterable[Kind] = KINDS) -> list[Event]:
    """Return the events that list these objects and nothing else, kind by kind."""
    objects = tuple(objects)
    return [event for kind in kinds for event in listing(kind, (one for one in objects if kind_of_object(one) is kind))]


def apply_all(store: Store, events: Iterable[Event], now: float = 0.0) -> None:
    """Give a store events, and publish."""
    for event in events:
        store.apply(event, now)
    store.refresh(now, serial=1)


def store_of(objects: Iterable[Object] = (), config: StoreConfig = CONFIG, now: float = 0.0) -> Store:
    """Return a store that has listed these objects and nothing else, and has published them."""
    store = Store(config)
    apply_all(store, lists(objects, Kind), now)
    return store


def absolute(text: str) -> Name:
    """Return a name: relative text is below the forward zone, text with a final dot is absolute."""
    return from_text(text) if text.endswith(".") else from_text(text, ZONE)


def zone_of(zones: Iterable[Zone], name: Name) -> Zone:
    """Return the zone with the longest origin that a name ends in."""
    return max((zone for zone in zones if name.endswith(zone.origin)), key=lambda zone: len(zone.origin))


def look(store: Store, text: str, rrtype: RRType = RRType.A) -> set[str] | None:
    """Return the RDATA of a name as texts; the empty set is NODATA, None is a name that does not exist."""
    name = absolute(text)
    sets = zone_of(store.zones, name).rrsets(name)
    if sets is None:
        return None
    return {rdata for one in sets if one.rrtype == rrtype for rdata in rdata_texts(one)}


def rdata_texts(rrset: RRset) -> list[str]:
    """Return RDATA as texts."""
    if rrset.rrtype in (RRType.A, RRType.AAAA):
        return list(address_texts(rrset.rdatas))
    if rrset.rrtype == RRType.SRV:
        return [
            f"{rdata[0] << 8 | rdata[1]} {rdata[2] << 8 | rdata[3]} {rdata[4] << 8 | rdata[5]} {to_text(rdata[6:])}"
            for rdata in rrset.rdatas
        ]
    if rrset.rrtype == RRType.TXT:
        return [rdata[1:].decode() for rdata in rrset.rdatas]  # ours are one string
    return [to_text(rdata) for rdata in rrset.rdatas]


def image(store: Store) -> list[tuple[frozenset[RRset], frozenset[Name]]]:
    """Return all that a store publishes, apart from serials: each zone's RRsets and its names, ENTs included."""
    return [
        (
            frozenset(one for one in zone.all_rrsets() if one.rrtype != RRType.SOA),
            frozenset(zone.nodes) | frozenset(zone.below),
        )
        for zone in store.zones
    ]
