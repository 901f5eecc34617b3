"""VMIs at the door: every field, which network is the primary one, and every address rule."""

from typing import Any

import pytest

from dnsserver.objects import InvalidObjectError, Kind, Port, PrimaryInterface, Ready, VirtualMachineInstance
from tests.build import Json, address_texts, decoded, vmi_json

META = {"name": "vm1", "namespace": "ns1", "uid": "u1"}


def vmi_of(meta: Json | None = None, spec: Json | None = None, status: Json | None = None) -> VirtualMachineInstance:
    """Return the VMI with these fields."""
    value = decoded(Kind.VMI, {"metadata": META | (meta or {}), "spec": spec or {}, "status": status or {}})
    assert isinstance(value, VirtualMachineInstance)
    return value


NOT_READY = Ready(False, "", "")
HANDED_OVER = {"targetNode": "node2", "endTimestamp": "2026-01-01T00:00:00Z"}

FIELDS: list[tuple[str, Json, str, Any]] = [
    ("labels", {"meta": {"labels": {"a": "b"}}}, "labels", {"a": "b"}),
    ("no labels", {}, "labels", {}),
    ("null labels", {"meta": {"labels": None}}, "labels", {}),
    ("inject", {"meta": {"annotations": {"sidecar.istio.io/inject": "true", "x": "y"}}}, "inject", "true"),
    ("empty inject", {"meta": {"annotations": {"sidecar.istio.io/inject": ""}}}, "inject", ""),
    ("no inject", {"meta": {"annotations": {"x": "y"}}}, "inject", None),
    ("null annotations", {"meta": {"annotations": None}}, "inject", None),
    ("deleting", {"meta": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}, "deleting", True),
    ("not deleting", {}, "deleting", False),
    ("null deletionTimestamp", {"meta": {"deletionTimestamp": None}}, "deleting", False),
    ("hostname", {"spec": {"hostname": "web"}}, "hostname", "web"),
    ("null hostname", {"spec": {"hostname": None}}, "hostname", ""),
    ("subdomain", {"spec": {"subdomain": "db"}}, "subdomain", "db"),
    ("no subdomain", {}, "subdomain", ""),
    ("phase", {"status": {"phase": "Running"}}, "phase", "Running"),
    ("no phase", {}, "phase", ""),
    ("node", {"status": {"nodeName": "n1"}}, "node", "n1"),
    ("null node", {"status": {"nodeName": None}}, "node", ""),
    ("active pods", {"status": {"activePods": {"p1": "n1"}}}, "active_pods", {"p1": "n1"}),
    ("null active pods", {"status": {"activePods": None}}, "active_pods", {}),
    ("ready", {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}, "ready", Ready(True, "", "")),
    (
        "not ready, among others",
        {
            "status": {
                "conditions": [
                    {"type": "LiveMigratable", "status": "True"},
                    {"type": "Ready", "status": "False", "reason": "GuestNotRunning", "lastTransitionTime": "t1"},
                ]
            }
        },
        "ready",
        Ready(False, "GuestNotRunning", "t1"),
    ),
    ("Unknown is not ready", {"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}, "ready", NOT_READY),
    ("Ready without a status", {"status": {"conditions": [{"type": "Ready"}]}}, "ready", NOT_READY),
    ("nulls", {"status": {"conditions": [{"type": "Ready", "status": None, "reason": None}]}}, "ready", NOT_READY),
    ("no conditions", {}, "ready", NOT_READY),
    ("null conditions", {"status": {"conditions": None}}, "ready", NOT_READY),
    ("handing over", {"status": {"nodeName": "node2", "migrationState": HANDED_OVER}}, "handing_over", True),
    (
        "explicitly not completed, not failed",
        {"status": {"nodeName": "node2", "migrationState": HANDED_OVER | {"completed": False, "failed": False}}},
        "handing_over",
        True,
    ),
    (
        "completed",
        {"status": {"nodeName": "node2", "migrationState": HANDED_OVER | {"completed": True}}},
        "handing_over",
        False,
    ),
    (
        "failed",
        {"status": {"nodeName": "node2", "migrationState": HANDED_OVER | {"failed": True}}},
        "handing_over",
        False,
    ),
    (
        "still on the source",
        {"status": {"nodeName": "node1", "migrationState": HANDED_OVER}},
        "handing_over",
        False,
    ),
    (
        "not ended",
        {"status": {"nodeName": "node2", "migrationState": {"targetNode": "node2"}}},
        "handing_over",
        False,
    ),
    (
        "ended, no node at all",
        {"status": {"migrationState": {"endTimestamp": "t", "targetNode": ""}}},
        "handing_over",
        False,
    ),
    ("null migration", {"status": {"nodeName": "node2", "migrationState": None}}, "handing_over", False),
]


@pytest.mark.parametrize(("parts", "field", "value"), [row[1:] for row in FIELDS], ids=[row[0] for row in FIELDS])
def test_field(parts: dict[str, Json], field: str, value: object) -> None:
    """A field of the API becomes this field of the slim object."""
    assert getattr(vmi_of(**parts), field) == value


POD = {"name": "pods", "pod": {}}
DEFAULT_MULTUS = {"name": "udn", "multus": {"networkName": "n", "default": True}}
SECONDARY = {"name": "lan", "multus": {"networkName": "n"}}
ABSENT: Json = {}

NETWORKS: list[tuple[str, Json, str | None]] = [
    ("pod network", {"networks": [POD]}, "pods"),
    ("pod network last", {"networks": [SECONDARY, POD]}, "pods"),
    ("default Multus network", {"networks": [SECONDARY, DEFAULT_MULTUS]}, "udn"),
    ("only secondary networks", {"networks": [SECONDARY]}, None),
    ("Multus default false", {"networks": [{"name": "lan", "multus": {"default": False}}]}, None),
    ("nulls", {"networks": [{"name": "lan", "pod": None, "multus": None}]}, None),
    ("not defaulted", ABSENT, "default"),
    ("not defaulted, nulls", {"networks": None, "domain": None}, "default"),
    ("not defaulted, null devices", {"domain": {"devices": None}}, "default"),
    ("not defaulted, attach", {"domain": {"devices": {"autoattachPodInterface": True}}}, "default"),
    ("not defaulted, attach null", {"domain": {"devices": {"autoattachPodInterface": None}}}, "default"),
    ("opted out", {"domain": {"devices": {"autoattachPodInterface": False}}}, None),
    ("interfaces without networks", {"domain": {"devices": {"interfaces": [{"name": "x"}]}}}, None),
    (
        "opting out says nothing where networks are given",
        {"networks": [POD], "domain": {"devices": {"autoattachPodInterface": False}}},
        "pods",
    ),
]


@pytest.mark.parametrize(("spec", "network"), [row[1:] for row in NETWORKS], ids=[row[0] for row in NETWORKS])
def test_primary_network(spec: Json, network: str | None) -> None:
    """The primary network is the pod network or the Multus network marked default, wherever it stands."""
    primary = vmi_of(spec=spec).primary
    assert (primary.network if primary else None) == network


def primary_of(value: Json) -> PrimaryInterface:
    """Return the primary interface of a VMI that has one."""
    vmi = decoded(Kind.VMI, value)
    assert isinstance(vmi, VirtualMachineInstance)
    assert vmi.primary is not None
    return vmi.primary


def reported(*interfaces: Json, networks: list[Json] | None = None) -> PrimaryInterface:
    """Return the primary interface of a VMI without binding that reports these interfaces."""
    return primary_of({"metadata": META, "spec": {"networks": networks or [POD]}, "status": {"interfaces": interfaces}})


STATUS: list[tuple[str, tuple[Json, ...], list[str]]] = [
    (
        "both fields",
        ({"name": "pods", "ipAddress": "10.1.0.1", "ipAddresses": ["10.1.0.1", "fd00::1"]},),
        ["10.1.0.1", "fd00::1"],
    ),
    ("old: ipAddress alone", ({"name": "pods", "ipAddress": "10.1.0.1"},), ["10.1.0.1"]),
    ("null ipAddresses", ({"name": "pods", "ipAddress": "10.1.0.1", "ipAddresses": None},), ["10.1.0.1"]),
    ("empty ipAddresses", ({"name": "pods", "ipAddress": "10.1.0.1", "ipAddresses": []},), ["10.1.0.1"]),
    ("order kept", ({"name": "pods", "ipAddresses": ["10.1.0.9", "10.1.0.1"]},), ["10.1.0.9", "10.1.0.1"]),
    ("duplicates", ({"name": "pods", "ipAddresses": ["fd00::1", "fd00:0::1"]},), ["fd00::1"]),
    ("no address", ({"name": "pods"},), []),
    ("empty address", ({"name": "pods", "ipAddress": ""},), []),
    ("nothing reported", (), []),
    (
        "never the first entry as such",
        ({"name": "lan", "ipAddress": "10.9.0.1"}, {"name": "pods", "ipAddress": "10.1.0.1"}),
        ["10.1.0.1"],
    ),
    ("guest-only devices", ({"ipAddress": "172.17.0.1"}, {"name": None, "ipAddress": "172.18.0.1"}), []),
    ("secondary alone", ({"name": "lan", "ipAddress": "10.9.0.1", "infoSource": "multus-status"},), []),
    ("link state does not matter", ({"name": "pods", "ipAddress": "10.1.0.1", "linkState": "down"},), ["10.1.0.1"]),
]


@pytest.mark.parametrize(("interfaces", "wanted"), [row[1:] for row in STATUS], ids=[row[0] for row in STATUS])
def test_reported(interfaces: tuple[Json, ...], wanted: list[str]) -> None:
    """The addresses are those of the status entry with the primary network's name."""
    assert list(address_texts(reported(*interfaces).addresses)) == wanted


def test_default_multus_addresses() -> None:
    """A default Multus network's entry counts, although a pod network would stand first."""
    entries: tuple[Json, ...] = ({"name": "lan", "ipAddress": "10.9.0.1"}, {"name": "udn", "ipAddress": "10.2.0.1"})
    primary = reported(*entries, networks=[SECONDARY, DEFAULT_MULTUS])
    assert (primary.network, address_texts(primary.addresses), primary.masquerade) == ("udn", ("10.2.0.1",), False)


INNER = "inside the guest's masquerade network"
BRIDGED = "the pod's IPv6 does not reach a bridged guest"

DROPPED: list[tuple[str, Json, str, str]] = [
    ("IPv4 link-local", {}, "169.254.1.1", "link-local"),
    ("IPv6 link-local", {}, "fe80::1", "link-local"),
    ("end of fe80::/10", {}, "febf::1", "link-local"),
    ("IPv4 loopback", {}, "127.8.0.1", "loopback"),
    ("IPv6 loopback", {}, "::1", "loopback"),
    ("IPv4 multicast", {}, "224.0.0.1", "multicast"),
    ("IPv6 multicast", {}, "ff02::1", "multicast"),
    ("IPv4 unspecified", {}, "0.0.0.0", "unspecified"),
    ("IPv6 unspecified", {}, "::", "unspecified"),
    ("None", {}, "None", "not an IP address"),
    ("with a mask", {}, "10.244.0.8/24", "not an IP address"),
    ("leading zeros", {}, "010.244.0.8", "not an IP address"),
    ("masquerade's own", {}, "10.0.2.2", INNER),
    ("masquerade's own IPv6", {}, "fd10:0:2::2", INNER),
    ("own range", {"pod_network": {"vmNetworkCIDR": "192.168.7.0/24"}}, "192.168.7.9", INNER),
    ("own range with host bits", {"pod_network": {"vmNetworkCIDR": "192.168.7.1/24"}}, "192.168.7.9", INNER),
    ("own IPv6 range", {"pod_network": {"vmIPv6NetworkCIDR": "fd99::/64"}}, "fd99::2", INNER),
    ("the other family keeps its default", {"pod_network": {"vmNetworkCIDR": "192.168.7.0/24"}}, "fd10:0:2::2", INNER),
    ("bridge, IPv6 of the pod", {"binding": "bridge"}, "fd00::1", BRIDGED),
    ("bridge, no source said", {"binding": "bridge", "info_source": ""}, "fd00::1", BRIDGED),
    (
        "bridge, agent's link-local",
        {"binding": "bridge", "info_source": "domain, guest-agent"},
        "fe80::1",
        "link-local",
    ),
]


@pytest.mark.parametrize(("options", "text", "reason"), [row[1:] for row in DROPPED], ids=[row[0] for row in DROPPED])
def test_dropped(options: Json, text: str, reason: str) -> None:
    """An address that can never be published is dropped with its reason, and touches no other."""
    primary = primary_of(vmi_json(addresses=[text, "10.244.0.7"], **options))
    assert primary.dropped == ((text, reason),)
    assert address_texts(primary.addresses) == ("10.244.0.7",)


KEPT: list[tuple[str, Json, str]] = [
    ("bridge, masquerade's range", {"binding": "bridge"}, "10.0.2.2"),
    ("bridge, IPv6 that the agent sees", {"binding": "bridge", "info_source": "domain, guest-agent"}, "fd00::1"),
    ("masquerade, IPv6 of the pod", {}, "fd00::1"),
    ("outside of the own range", {"pod_network": {"vmNetworkCIDR": "192.168.7.0/24"}}, "10.0.2.2"),
    ("other binding, masquerade's range", {"binding": "passt"}, "10.0.2.2"),
    ("other binding, IPv6", {"binding": "l2bridge"}, "fd00::1"),
    ("next to masquerade's range", {}, "10.0.3.1"),
    ("next to link-local", {}, "fec0::1"),
]


@pytest.mark.parametrize(("options", "text"), [row[1:] for row in KEPT], ids=[row[0] for row in KEPT])
def test_kept(options: Json, text: str) -> None:
    """An address that the binding does not rule out stays."""
    primary = primary_of(vmi_json(addresses=[text], **options))
    assert (address_texts(primary.addresses), primary.dropped) == ((text,), ())


def test_key() -> None:
    """The key is namespace and name; a VMI with nothing else has the defaults."""
    value = decoded(Kind.VMI, {"metadata": {"name": "vm1", "namespace": "ns1"}})
    assert isinstance(value, VirtualMachineInstance)
    assert (value.key, value.uid, value.phase) == (("ns1", "vm1"), "", "")


def test_masquerade() -> None:
    """Only an interface that says so is a masquerade interface."""
    assert [primary_of(vmi_json(binding=binding)).masquerade for binding in ("masquerade", "bridge", "passt")] == [
        True,
        False,
        False,
    ]


def test_no_rules_without_the_interface() -> None:
    """Where networks were not defaulted the binding is not known, and rules nothing out."""
    status = {"interfaces": [{"name": "default", "ipAddresses": ["10.0.2.2", "fd00::1"]}]}
    primary = primary_of({"metadata": META, "status": status})
    assert address_texts(primary.addresses) == ("10.0.2.2", "fd00::1")


PORTS: list[tuple[str, list[Json] | None, tuple[Port, ...]]] = [
    ("none", None, ()),
    ("named", [{"name": "ssh", "port": 22}], (Port("ssh", "TCP", 22),)),
    ("protocol", [{"name": "dns", "port": 53, "protocol": "UDP"}], (Port("dns", "UDP", 53),)),
    ("nulls", [{"name": None, "port": 22, "protocol": None}], (Port("", "TCP", 22),)),
    ("impossible", [{"port": -1}, {"port": 65536}, {"port": None}, {"name": "x"}], ()),
]


@pytest.mark.parametrize(("ports", "wanted"), [row[1:] for row in PORTS], ids=[row[0] for row in PORTS])
def test_ports(ports: list[Json] | None, wanted: tuple[Port, ...]) -> None:
    """The interface's ports are kept as far as they make sense."""
    assert primary_of(vmi_json(interface_ports=ports)).ports == wanted


REFUSED: list[tuple[str, dict[str, Json], str]] = [
    ("labels", {"meta": {"labels": ["a"]}}, "$.metadata.labels"),
    ("label value", {"meta": {"labels": {"a": 1}}}, "$.metadata.labels[...]"),
    ("uid", {"meta": {"uid": 1}}, "$.metadata.uid"),
    ("inject", {"meta": {"annotations": {"sidecar.istio.io/inject": True}}}, "$.metadata.annotations"),
    ("deletionTimestamp", {"meta": {"deletionTimestamp": 1}}, "$.metadata.deletionTimestamp"),
    ("hostname", {"spec": {"hostname": 1}}, "$.spec.hostname"),
    ("subdomain", {"spec": {"subdomain": []}}, "$.spec.subdomain"),
    ("networks", {"spec": {"networks": {}}}, "$.spec.networks"),
    ("network without a name", {"spec": {"networks": [{}]}}, "$.spec.networks[0]"),
    ("pod", {"spec": {"networks": [{"name": "a", "pod": 1}]}}, "$.spec.networks[0].pod"),
    ("multus", {"spec": {"networks": [{"name": "a", "multus": {"default": 1}}]}}, "$.spec.networks[0].multus.default"),
    ("domain", {"spec": {"domain": []}}, "$.spec.domain"),
    ("interfaces", {"spec": {"domain": {"devices": {"interfaces": 1}}}}, "$.spec.domain.devices.interfaces"),
    ("masquerade", {"spec": {"domain": {"devices": {"interfaces": [{"name": "a", "masquerade": 1}]}}}}, "masquerade"),
    ("autoattach", {"spec": {"domain": {"devices": {"autoattachPodInterface": 0}}}}, "autoattachPodInterface"),
    ("phase", {"status": {"phase": 1}}, "$.status.phase"),
    ("nodeName", {"status": {"nodeName": {}}}, "$.status.nodeName"),
    ("activePods", {"status": {"activePods": []}}, "$.status.activePods"),
    ("active pod", {"status": {"activePods": {"p": None}}}, "$.status.activePods[...]"),
    ("conditions", {"status": {"conditions": {}}}, "$.status.conditions"),
    ("condition without a type", {"status": {"conditions": [{}]}}, "$.status.conditions[0]"),
    (
        "condition status",
        {"status": {"conditions": [{"type": "Ready", "status": True}]}},
        "$.status.conditions[0].status",
    ),
    ("status interfaces", {"status": {"interfaces": [None]}}, "$.status.interfaces[0]"),
    ("ipAddress", {"status": {"interfaces": [{"ipAddress": 1}]}}, "$.status.interfaces[0].ipAddress"),
    ("ipAddresses", {"status": {"interfaces": [{"ipAddresses": [1]}]}}, "$.status.interfaces[0].ipAddresses[0]"),
    ("completed", {"status": {"migrationState": {"completed": "true"}}}, "$.status.migrationState.completed"),
    ("targetNode", {"status": {"migrationState": {"targetNode": 1}}}, "$.status.migrationState.targetNode"),
]


@pytest.mark.parametrize(("parts", "place"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_wrong_type(parts: dict[str, Json], place: str) -> None:
    """A field of the wrong type refuses the VMI by its key, and says where."""
    with pytest.raises(InvalidObjectError) as caught:
        vmi_of(**parts)
    assert caught.value.key == ("ns1", "vm1")
    assert place in caught.value.reason


@pytest.mark.parametrize("field", ["vmNetworkCIDR", "vmIPv6NetworkCIDR"])
@pytest.mark.parametrize("text", ["x", "10.0.2.0/33", "fd00::/129", "10.0.2.0/"])
def test_impossible_range(field: str, text: str) -> None:
    """A masquerade range that is none decides the answer and makes no sense: the VMI is refused."""
    with pytest.raises(InvalidObjectError, match=r"VirtualMachineInstance ns1/vm1: .*network"):
        decoded(Kind.VMI, vmi_json(pod_network={field: text}))
