"""The VMI rule as tables: what publishes a VMI, and which rule refuses it with what words."""

from hashlib import sha1

import pytest

from dnsserver.derive.endpoint import Endpoint
from dnsserver.derive.observation import Held, Observation
from dnsserver.derive.vmi import (
    NO_PODS,
    Fact,
    PodAddresses,
    Published,
    Refused,
    Rule,
    host_label,
    pod_label,
    pod_labels,
    same_labels,
    selects,
)
from dnsserver.objects import Kind, Port, Service, VirtualMachineInstance
from tests.build import Json, address_texts, decoded, outcome_of, packed, port_json, service, vmi, vmi_json

HOST_LABELS = [
    ("spec.hostname", {"hostname": "web"}, "web"),
    ("spec.hostname as it is, not cut", {"hostname": "w" * 63}, "w" * 63),
    ("the name", {"name": "vm1"}, "vm1"),
    ("cut at the first dot", {"name": "web01.corp.example.com"}, "web01"),
    ("cut at 63", {"name": "a" * 64}, "a" * 63),
    ("first the dot, then 63", {"name": "a" * 70 + ".corp"}, "a" * 63),
    ("a dot behind 63 does not matter", {"name": "a" * 63 + ".corp"}, "a" * 63),
    ("the name's dash at octet 63 stays", {"name": "a" * 62 + "-b"}, "a" * 62 + "-"),
]


@pytest.mark.parametrize(("options", "label"), [row[1:] for row in HOST_LABELS], ids=[row[0] for row in HOST_LABELS])
def test_host_label(options: Json, label: str) -> None:
    """The host label is spec.hostname, else the name up to its first dot and 63 octets."""
    assert host_label(vmi(**options)) == label


LONG = "v" * 54 + "-" + "w" * 20
POD_LABELS = [
    ("the VMI's own", {"labels": {"a": "b"}}, "a", "b"),
    ("nothing", {}, "nothing", None),
    ("launcher", {}, "kubevirt.io", "virt-launcher"),
    ("launcher wins", {"labels": {"kubevirt.io": "mine"}}, "kubevirt.io", "virt-launcher"),
    ("created-by", {"uid": "u7"}, "kubevirt.io/created-by", "u7"),
    ("created-by wins", {"uid": "u7", "labels": {"kubevirt.io/created-by": "x"}}, "kubevirt.io/created-by", "u7"),
    ("name is the host label", {"hostname": "web"}, "vm.kubevirt.io/name", "web"),
    ("name wins", {"labels": {"vm.kubevirt.io/name": "x"}}, "vm.kubevirt.io/name", "vm1"),
    ("id", {"hostname": "web"}, "vmi.kubevirt.io/id", "vm1"),
    ("id wins", {"labels": {"vmi.kubevirt.io/id": "x"}}, "vmi.kubevirt.io/id", "vm1"),
    ("id of a dotted name", {"name": "a.b"}, "vmi.kubevirt.io/id", "a.b"),
    ("id of 63", {"name": "v" * 63}, "vmi.kubevirt.io/id", "v" * 63),
    ("id of 64 and more", {"name": LONG}, "vmi.kubevirt.io/id", f"{'v' * 54}-{sha1(LONG.encode()).hexdigest()[:8]}"),
    ("inject", {"annotations": {"sidecar.istio.io/inject": "true"}}, "sidecar.istio.io/inject", "true"),
    (
        "inject wins",
        {"annotations": {"sidecar.istio.io/inject": "false"}, "labels": {"sidecar.istio.io/inject": "true"}},
        "sidecar.istio.io/inject",
        "false",
    ),
    ("inject label alone", {"labels": {"sidecar.istio.io/inject": "true"}}, "sidecar.istio.io/inject", "true"),
    ("other annotations are no labels", {"annotations": {"a": "b"}}, "a", None),
]


@pytest.mark.parametrize(
    ("options", "key", "value"), [row[1:] for row in POD_LABELS], ids=[row[0] for row in POD_LABELS]
)
def test_pod_label(options: Json, key: str, value: str | None) -> None:
    """The pod has the VMI's labels, and KubeVirt's own over them."""
    assert pod_label(vmi(**options), key) == value
    assert pod_labels(vmi(**options)).get(key) == value


def test_pod_labels() -> None:
    """All labels of a pod at once."""
    assert pod_labels(vmi(labels={"a": "b"})) == {
        "a": "b",
        "kubevirt.io": "virt-launcher",
        "kubevirt.io/created-by": "uid-vm1",
        "vm.kubevirt.io/name": "vm1",
        "vmi.kubevirt.io/id": "vm1",
    }


SELECTORS: list[tuple[str, dict[str, str], bool]] = [
    ("own label", {"app": "db"}, True),
    ("every pair must match", {"app": "db", "x": "y"}, False),
    ("other value", {"app": "web"}, False),
    ("nothing selects nothing", {}, False),
    ("virtctl expose since 1.7", {"vmi.kubevirt.io/id": "vm1"}, True),
    ("virtctl expose before 1.7, by host label", {"vm.kubevirt.io/name": "web"}, True),
    ("and not by name", {"vm.kubevirt.io/name": "vm1"}, False),
    ("every launcher", {"kubevirt.io": "virt-launcher"}, True),
    ("overridden label", {"kubevirt.io": "mine"}, False),
    ("mixed", {"app": "db", "vmi.kubevirt.io/id": "vm1"}, True),
]


@pytest.mark.parametrize(("selector", "match"), [row[1:] for row in SELECTORS], ids=[row[0] for row in SELECTORS])
def test_selects(selector: dict[str, str], match: bool) -> None:
    """A selector is compared with the pod's labels."""
    one = vmi(hostname="web", labels={"app": "db", "kubevirt.io": "mine"})
    assert selects(service(selector=selector), one) is match
    assert isinstance(outcome_of(one, service(selector=selector)), Published) is match


def test_null_selector() -> None:
    """A Service without a selector selects nothing."""
    meta = {"name": "db", "namespace": "ns1"}
    under = decoded(Kind.SERVICE, {"metadata": meta, "spec": {"clusterIP": "None", "selector": None}})
    assert isinstance(under, Service)
    assert not selects(under, vmi())


GRACE = Observation(grace_until=60.0)
UNREADY: Json = {"ready": False, "reason": "ContainersNotReady"}

# label, VMI, Service, remembered, the rule that refuses or None
PUBLISHING: list[tuple[str, Json, Json, Observation, Rule | None]] = [
    ("Running and Ready", {}, {}, Observation(), None),
    *(
        (f"phase {phase or 'unset'}", {"phase": phase}, options, Observation(), Rule.PHASE)
        for phase in ("", "Pending", "Scheduling", "Scheduled", "Succeeded", "Failed", "WaitingForSync", "Unknown", "X")
        for options in ({}, {"publish_not_ready": True})
    ),
    ("phase before grace", {"phase": "Failed", "ready": False}, {}, GRACE, Rule.PHASE),
    ("not Ready", UNREADY, {}, Observation(), Rule.READY),
    ("no Ready condition", {"ready": None}, {}, Observation(), Rule.READY),
    ("not Ready, published all the same", UNREADY, {"publish_not_ready": True}, Observation(), None),
    ("no Ready condition, published all the same", {"ready": None}, {"publish_not_ready": True}, Observation(), None),
    ("not Ready, in grace", UNREADY, {}, GRACE, None),
    ("deleting", {"deleting": True}, {}, Observation(), Rule.DELETING),
    ("deleting, in grace", {"deleting": True, "ready": False}, {}, GRACE, Rule.DELETING),
    ("deleting, published all the same", {"deleting": True}, {"publish_not_ready": True}, Observation(), None),
    ("deleting and not Ready", {"deleting": True} | UNREADY, {"publish_not_ready": True}, Observation(), None),
    ("without an address", {"addresses": []}, {}, Observation(), Rule.ADDRESS),
    (
        "without an address, published all the same",
        {"addresses": []},
        {"publish_not_ready": True},
        Observation(),
        Rule.ADDRESS,
    ),
    ("ClusterIP", {}, {"cluster_ip": "10.0.0.1"}, Observation(), Rule.HEADLESS),
    ("no cluster IP yet", {}, {"cluster_ip": ""}, Observation(), Rule.HEADLESS),
    ("ExternalName", {}, {"external_name": "a.org"}, Observation(), Rule.HEADLESS),
    ("selects another", {}, {"selector": {"app": "web"}}, Observation(), Rule.SELECTOR),
    ("no selector", {}, {"selector": {}}, Observation(), Rule.SELECTOR),
    ("host label ends in a dash", {"name": "a" * 62 + "-b"}, {}, Observation(), Rule.HOST_LABEL),
    ("host label in upper case", {"hostname": "Web"}, {}, Observation(), Rule.HOST_LABEL),
    ("host label with a dot", {"hostname": "a.b"}, {}, Observation(), Rule.HOST_LABEL),
    ("host label over 63", {"hostname": "a" * 64}, {}, Observation(), Rule.HOST_LABEL),
    ("name begins with a dot", {"name": ".corp"}, {}, Observation(), Rule.HOST_LABEL),
    ("no ports change nothing", {}, {"ports": []}, Observation(), None),
]


@pytest.mark.parametrize(
    ("one", "under", "remembered", "rule"), [row[1:] for row in PUBLISHING], ids=[row[0] for row in PUBLISHING]
)
def test_publishing(one: Json, under: Json, remembered: Observation, rule: Rule | None) -> None:
    """Each rule by itself decides whether a VMI is published."""
    outcome = outcome_of(vmi(**one), service(**under), observation=remembered, now=59.9)
    assert (outcome.rule if isinstance(outcome, Refused) else None) is rule


def test_grace_ends() -> None:
    """Grace excuses Ready=False only before its end."""
    assert isinstance(outcome_of(vmi(ready=False), service(), observation=GRACE, now=59.9), Published)
    assert isinstance(outcome_of(vmi(ready=False), service(), observation=GRACE, now=60.0), Refused)


ONLY_SECONDARY = vmi_json()
ONLY_SECONDARY["spec"]["networks"] = [{"name": "lan", "multus": {"networkName": "n"}}]


def vmi_of(value: Json) -> VirtualMachineInstance:
    """Return the slim VMI of API JSON."""
    one = decoded(Kind.VMI, value)
    assert isinstance(one, VirtualMachineInstance)
    return one


DETAILS: list[tuple[str, Json, Json, str]] = [
    (
        "headless",
        vmi_json(),
        {"cluster_ip": "10.0.0.1"},
        "spec.clusterIP of Service ns1/db: None wanted, 10.0.0.1 found",
    ),
    (
        "no selector",
        vmi_json(),
        {"selector": {}},
        "spec.selector of Service ns1/db: labels of the VMI's pod wanted, none found",
    ),
    (
        "selector",
        vmi_json(labels={"app": "web"}),
        {"selector": {"tier": "x", "app": "db", "kubevirt.io": "virt-launcher"}},
        "label app: db wanted, web found; label tier: x wanted, none found",
    ),
    ("host label", vmi_json(hostname="Web"), {}, "spec.hostname: a DNS label wanted, Web found"),
    ("phase", vmi_json(phase="Scheduled"), {}, "status.phase: Running wanted, Scheduled found"),
    ("no phase", vmi_json(phase=""), {}, "status.phase: Running wanted, none found"),
    ("deleting", vmi_json(deleting=True), {}, "metadata.deletionTimestamp: none wanted, set found"),
    (
        "not ready",
        vmi_json(ready=False, reason="GuestNotRunning"),
        {},
        "condition Ready: True wanted, False (GuestNotRunning) found",
    ),
    ("no reason", vmi_json(ready=None), {}, "condition Ready: True wanted, False (no reason given) found"),
    (
        "no primary",
        ONLY_SECONDARY,
        {},
        "primary network: the pod network or a default Multus network wanted, none found",
    ),
    ("no address", vmi_json(addresses=[]), {}, "address on network default: IPv4 wanted, none found"),
    (
        "no address at all",
        vmi_json(addresses=[]),
        {"families": None},
        "address on network default: IPv4 or IPv6 wanted, none found",
    ),
    ("other family", vmi_json(), {"families": ["IPv6"]}, "address on network default: IPv6 wanted, 10.244.0.7 found"),
    (
        "dropped",
        vmi_json(addresses=["fe80::1", "10.0.2.2"]),
        {},
        "address on network default: IPv4 wanted, "
        "fe80::1 (link-local), 10.0.2.2 (inside the guest's masquerade network) found",
    ),
]


@pytest.mark.parametrize(("one", "under", "detail"), [row[1:] for row in DETAILS], ids=[row[0] for row in DETAILS])
def test_detail(one: Json, under: Json, detail: str) -> None:
    """A refusal says what was wanted and what was there."""
    outcome = outcome_of(vmi_of(one), service(**under))
    assert isinstance(outcome, Refused)
    assert outcome.detail == detail


def test_unready_since() -> None:
    """A refusal for not being Ready says since when, where the API does."""
    value = vmi_json()
    value["status"]["conditions"] = [
        {"type": "Ready", "status": "False", "reason": "PodTerminating", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    ]
    outcome = outcome_of(vmi_of(value), service())
    assert outcome == Refused(
        Rule.READY, (Fact("condition Ready", "True", "False (PodTerminating) since 2026-01-01T00:00:00Z"),)
    )


DUAL = ["10.244.0.7", "fd00::7"]
FAMILIES: list[tuple[str, list[str], list[str] | None, list[str]]] = [
    ("IPv4 Service, dual-stack VMI", DUAL, ["IPv4"], ["10.244.0.7"]),
    ("IPv6 Service, dual-stack VMI", DUAL, ["IPv6"], ["fd00::7"]),
    ("both", DUAL, ["IPv6", "IPv4"], DUAL),
    ("absent counts as both", DUAL, None, DUAL),
    ("both, IPv6-only VMI", ["fd00::7"], ["IPv4", "IPv6"], ["fd00::7"]),
    ("several of one family", ["10.244.0.9", "10.244.0.7"], ["IPv4"], ["10.244.0.9", "10.244.0.7"]),
]


@pytest.mark.parametrize(
    ("addresses", "families", "wanted"), [row[1:] for row in FAMILIES], ids=[row[0] for row in FAMILIES]
)
def test_families(addresses: list[str], families: list[str] | None, wanted: list[str]) -> None:
    """A VMI has the addresses of the families that the Service serves."""
    outcome = outcome_of(vmi(addresses=addresses), service(families=families))
    assert outcome == Published((Endpoint(b"vm1", tuple(map(packed, wanted)), ()),))


def test_without_the_subdomain() -> None:
    """A VMI of another subdomain, or of none, belongs to the Service under a label for each address."""
    for subdomain in (None, "other"):
        outcome = outcome_of(vmi(addresses=DUAL, subdomain=subdomain), service(families=None))
        assert outcome == Published(
            (Endpoint(b"10-244-0-7", (packed(DUAL[0]),), ()), Endpoint(b"fd00--7", (packed(DUAL[1]),), ()))
        )


# label, what the VMI reports, the pods' addresses (current, other), what is published (v4 then v6), notes
REPAIRS: list[tuple[str, list[str], tuple[list[str], list[str]], list[str], tuple[str, ...]]] = [
    ("no slices", DUAL, ([], []), DUAL, ()),
    ("the same", DUAL, (DUAL, []), DUAL, ()),
    (
        "guest-internal",
        ["10.0.2.2"],
        (["10.244.0.7"], []),
        ["10.244.0.7"],
        ("IPv4: taken from the EndpointSlice of its pod",),
    ),
    ("missing", [], (["10.244.0.7"], []), ["10.244.0.7"], ("IPv4: taken from the EndpointSlice of its pod",)),
    (
        "one family missing",
        ["10.244.0.7"],
        (DUAL, []),
        DUAL,
        ("IPv6: taken from the EndpointSlice of its pod",),
    ),
    ("missing, only the other pod known", [], ([], ["10.244.0.7"]), [], ()),
    (
        "hand-over: the source's address, the target's pod known",
        ["10.244.0.7"],
        (["10.244.1.9"], ["10.244.0.7"]),
        ["10.244.1.9"],
        ("IPv4: taken from the EndpointSlice of its pod",),
    ),
    ("hand-over: the target's pod not known yet", ["10.244.0.7"], ([], ["10.244.0.7"]), ["10.244.0.7"], ()),
    ("hand-over with a persistent address", ["10.244.0.7"], (["10.244.0.7"], []), ["10.244.0.7"], ()),
    ("before hand-over", ["10.244.0.7"], (["10.244.0.7"], ["10.244.1.9"]), ["10.244.0.7"], ()),
    (
        "IPv6 that the pod lacks",
        DUAL,
        (["10.244.0.7"], []),
        ["10.244.0.7"],
        ("IPv6: left out: its pod has no address of this family",),
    ),
    ("an address that no pod has is the status's word", ["10.99.0.1"], (["10.244.0.7"], []), ["10.99.0.1"], ()),
    ("the pod's is among several", ["10.99.0.1", "10.244.0.7"], (["10.244.0.7"], []), ["10.244.0.7"], ()),
    (
        "IPv6 of the guest's own where the pod has another",
        ["10.244.0.7", "2001:db8::7"],
        (DUAL, []),
        DUAL,
        ("IPv6: taken from the EndpointSlice of its pod",),
    ),
    ("IPv6 of the guest's own beside the pod's", [*DUAL, "2001:db8::7"], (DUAL, []), DUAL, ()),
    (
        "several of the pod's, in order",
        [],
        (["10.244.0.9", "10.244.0.7"], []),
        ["10.244.0.7", "10.244.0.9"],
        ("IPv4: taken from the EndpointSlice of its pod",),
    ),
]


@pytest.mark.parametrize(
    ("reported", "pods", "wanted", "notes"), [row[1:] for row in REPAIRS], ids=[row[0] for row in REPAIRS]
)
def test_masquerade_repair(
    reported: list[str], pods: tuple[list[str], list[str]], wanted: list[str], notes: tuple[str, ...]
) -> None:
    """EndpointSlices, joined by pod, mend what a masquerade VMI's status cannot know."""
    current, other = (frozenset(map(packed, some)) for some in pods)
    outcome = outcome_of(vmi(addresses=reported), service(families=None), pods=PodAddresses(current, other, current))
    if not wanted:
        assert isinstance(outcome, Refused)
        return
    assert isinstance(outcome, Published)
    assert address_texts(outcome.endpoints[0].addresses) == tuple(wanted)
    assert outcome.notes == notes


def test_hand_over_after_the_source_has_ended() -> None:
    """While the status may be the source's still, an address that the target's pod lacks is not published."""
    ended = {"targetNode": "node1", "endTimestamp": "2026-01-01T00:00:00Z"}
    target = frozenset([packed("10.244.1.9")])
    for migration, wanted in ((ended, "10.244.1.9"), (ended | {"completed": True}, "10.244.0.7")):
        outcome = outcome_of(vmi(migration=migration), service(), pods=PodAddresses(target, served=target))
        assert isinstance(outcome, Published)
        assert address_texts(outcome.endpoints[0].addresses) == (wanted,)


@pytest.mark.parametrize("binding", ["bridge", "passt"])
def test_no_repair_elsewhere(binding: str) -> None:
    """For every other binding the status alone is right, whatever the slices say."""
    pods = PodAddresses(frozenset([packed("10.1.1.1"), packed("fd00::9")]))
    outcome = outcome_of(vmi(binding=binding), service(families=None), pods=pods)
    assert outcome == Published((Endpoint(b"vm1", (packed("10.244.0.7"),), ()),))
    assert isinstance(outcome_of(vmi(binding=binding, addresses=[]), service(), pods=pods), Refused)


def test_slices_of_another_service_hide_nothing() -> None:
    """That the pod lacks a family is only for the Service's own slices to say: another's may be of one family."""
    pods = PodAddresses(frozenset([packed("10.244.0.7")]))
    outcome = outcome_of(vmi(addresses=DUAL), service(families=None), pods=pods)
    assert isinstance(outcome, Published)
    assert outcome.endpoints[0].addresses == tuple(map(packed, DUAL))


def test_nothing_is_held_for_the_source() -> None:
    """After a hand-over the source pod's address is dead, and is not held either."""
    pods = PodAddresses(other=frozenset([packed("10.244.0.7")]))
    outcome = outcome_of(vmi(addresses=[]), service(), observation=HELD, pods=pods, now=1.0)
    assert isinstance(outcome, Refused)


def test_repair_without_a_primary_network() -> None:
    """Where there is no primary interface the pod's address is not the guest's."""
    outcome = outcome_of(vmi_of(ONLY_SECONDARY), service(), pods=PodAddresses(frozenset([packed("10.1.1.1")])))
    assert isinstance(outcome, Refused)
    assert outcome.rule is Rule.PRIMARY_NETWORK


HELD = Observation(held=(Held((packed("10.244.0.7"),), 60.0),))
HOLD_NOTE = ("IPv4: held: the guest agent reports none for the moment",)


def test_held_addresses() -> None:
    """A held address stands in for one that is not reported, until it expires; a reported one wins."""
    for binding in ("masquerade", "bridge"):
        gone = vmi(addresses=[], binding=binding)
        outcome = outcome_of(gone, service(), observation=HELD, now=59.9)
        assert outcome == Published((Endpoint(b"vm1", (packed("10.244.0.7"),), ()),), HOLD_NOTE)
        assert isinstance(outcome_of(gone, service(), observation=HELD, now=60.0), Refused)
        back = outcome_of(vmi(addresses=["10.244.0.8"], binding=binding), service(), observation=HELD, now=1.0)
        assert back == Published((Endpoint(b"vm1", (packed("10.244.0.8"),), ()),))


def test_held_one_family() -> None:
    """One family is held while the other is reported."""
    outcome = outcome_of(vmi(addresses=["fd00::7"]), service(families=None), observation=HELD, now=1.0)
    assert outcome == Published((Endpoint(b"vm1", tuple(map(packed, DUAL)), ()),), HOLD_NOTE)


def test_slices_before_hold() -> None:
    """What the pod's slice says is newer than what is held."""
    pods = PodAddresses(frozenset([packed("10.244.0.8")]))
    outcome = outcome_of(vmi(addresses=[]), service(), observation=HELD, pods=pods, now=1.0)
    assert isinstance(outcome, Published)
    assert address_texts(outcome.endpoints[0].addresses) == ("10.244.0.8",)


DECLARED = [port_json(22, "ssh"), port_json(53, "dns", "UDP"), port_json(80)]
PORTS: list[tuple[str, list[Json], tuple[Port, ...]]] = [
    ("none", [], ()),
    ("its own number", [port_json(22, "a")], (Port("a", "TCP", 22),)),
    ("unnamed", [port_json(22)], (Port("", "TCP", 22),)),
    ("target number", [port_json(2222, "a", target=22)], (Port("a", "TCP", 22),)),
    ("target name", [port_json(2222, "a", target="ssh")], (Port("a", "TCP", 22),)),
    ("target name, protocol", [port_json(2222, "a", "UDP", "dns")], (Port("a", "UDP", 53),)),
    ("target name of another protocol", [port_json(2222, "a", "TCP", "dns")], ()),
    ("nobody declares it", [port_json(2222, "a", target="x"), port_json(80, "b")], (Port("b", "TCP", 80),)),
    ("impossible target", [port_json(80, "a", target=70000), port_json(80, "b", target=-1)], ()),
]


@pytest.mark.parametrize(("ports", "wanted"), [row[1:] for row in PORTS], ids=[row[0] for row in PORTS])
def test_ports(ports: list[Json], wanted: tuple[Port, ...]) -> None:
    """A Service's ports become those that the pod listens on; one that cannot be found takes away no address."""
    outcome = outcome_of(vmi(interface_ports=DECLARED), service(ports=ports))
    assert outcome == Published((Endpoint(b"vm1", (packed("10.244.0.7"),), wanted),))


def test_nothing_known_of_pods() -> None:
    """No slices at all is the default."""
    assert PodAddresses() == NO_PODS


@pytest.mark.parametrize(
    ("options", "same"),
    [
        ({"addresses": ("10.244.0.8",), "phase": "Failed", "subdomain": "web"}, True),
        ({"labels": {"app": "web"}}, False),
        ({"labels": {"app": "db", "tier": "front"}}, False),
        ({"hostname": "web"}, False),
        ({"uid": "another"}, False),
        ({"name": "vm2"}, False),
        ({"annotations": {"sidecar.istio.io/inject": "false"}}, False),
        ({"node": "node2"}, False),  # which a label may repeat
    ],
)
def test_same_labels(options: Json, same: bool) -> None:
    """Whatever may change a pod's labels counts, and nothing else."""
    before, after = vmi(), vmi(**options)
    assert same_labels(before, after) is same
    assert not same or pod_labels(before) == pod_labels(after)
