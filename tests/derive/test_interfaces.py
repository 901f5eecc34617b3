"""Names of VMIs and interfaces that need no Service, as tables: labels, addresses, and what refuses them."""

import re
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsserver.derive.interfaces import InterfaceRule, Machine, Unnamed, interface_label, machine, vmi_label
from dnsserver.derive.observation import NOTHING, Held, Observation, Timing, observe
from dnsserver.derive.vmi import NO_PODS, PodAddresses, Rule
from dnsserver.objects import Further, VirtualMachineInstance
from tests.build import Json, address_texts, packed, vmi_json, wired, with_interface


def digest(name: str) -> str:
    """Return what stands for a long name."""
    return sha256(name.encode()).hexdigest()[:16]


# -- labels ------------------------------------------------------------------------------------------------------------

LONG = "v" * 70
DOTTED = "web." + "v" * 60
VMI_LABELS = [
    ("as it is", "vmi-sec", "vmi-sec"),
    ("dots become underscores", "web01.corp.example.com", "web01_corp_example_com"),
    ("a dash is none", "web01-corp", "web01-corp"),
    ("63 octets fit", "v" * 63, "v" * 63),
    ("64 do not", "v" * 64, "v" * 45 + "__" + digest("v" * 64)),
    ("longer", LONG, "v" * 45 + "__" + digest(LONG)),
    ("dotted and longer", DOTTED, ("web_" + "v" * 41) + "__" + digest(DOTTED)),
]


@pytest.mark.parametrize(("name", "label"), [row[1:] for row in VMI_LABELS], ids=[row[0] for row in VMI_LABELS])
def test_vmi_label(name: str, label: str) -> None:
    """One label, whatever the name."""
    assert vmi_label(name) == label.encode()
    assert len(vmi_label(name)) <= 63


_PART = st.text("ab0-", min_size=1, max_size=40).filter(lambda one: one[0] != "-" != one[-1])
_NAME = st.lists(_PART, min_size=1, max_size=8).map(".".join).filter(lambda one: len(one) <= 253)


@given(st.lists(_NAME, min_size=2, max_size=20, unique=True))
def test_no_two_vmis_share_a_label(names: list[str]) -> None:
    """Whatever the names of VMIs are, which are DNS-1123 subdomains."""
    labels = [vmi_label(name) for name in names]
    assert len(set(labels)) == len(names)
    assert all(re.fullmatch(rb"[a-z0-9][a-z0-9_-]{0,62}", label) for label in labels)


@given(_NAME)
def test_no_label_passes_for_another_name(name: str) -> None:
    """A label with a mark is no VMI's plain name, nor one whose dots became underscores."""
    label = vmi_label(name).decode()
    if len(name) <= 63:
        assert label.replace("_", ".") == name
        assert "__" not in label
    else:
        assert "__" in label


INTERFACE_LABELS = [
    ("as it is", "nic1", "nic1"),
    ("in lower case", "Blue-Net_1", "blue-net_1"),
    ("dashes anywhere", "-a-", "-a-"),
    ("63", "n" * 63, "n" * 63),
    ("64", "N" * 64, "n" * 45 + "__" + digest("n" * 64)),
    ("a dot, which KubeVirt refuses", "sec.net", None),
    ("nothing", "", None),
    ("a space", "a b", None),
    ("another alphabet", "n\u00e9t", None),
    ("a letter that folds to ASCII", "\u212a", None),
]


@pytest.mark.parametrize(
    ("name", "label"), [row[1:] for row in INTERFACE_LABELS], ids=[row[0] for row in INTERFACE_LABELS]
)
def test_interface_label(name: str, label: str | None) -> None:
    """KubeVirt's names, compared as the DNS compares them."""
    assert interface_label(name) == (None if label is None else label.encode())


# -- what a VMI has ----------------------------------------------------------------------------------------------------


def outcome(
    value: Json,
    wanted: Further | None = None,
    *,
    observation: Observation = NOTHING,
    pods: PodAddresses = NO_PODS,
    now: float = 0.0,
) -> Machine | Unnamed:
    """Return the names of a VMI."""
    return machine(wired(value, wanted), observation, pods, now)


def shown(found: Machine | Unnamed) -> dict[str, tuple[str, ...]]:
    """Return addresses by label, the VMI's own as that of ""."""
    assert isinstance(found, Machine), found
    own = {"": address_texts(found.addresses)} if found.addresses else {}
    return own | {label.decode(): address_texts(addresses) for label, addresses in found.interfaces}


BLUE = with_interface(vmi_json(), "blue", "192.0.2.7", "2001:db8::7")
POD = PodAddresses(current=frozenset({packed("10.244.0.9")}))
CASES: list[tuple[str, Json, Further | None, PodAddresses, dict[str, tuple[str, ...]]]] = [
    ("one interface", vmi_json(), None, NO_PODS, {"": ("10.244.0.7",), "default": ("10.244.0.7",)}),
    (
        "two",
        BLUE,
        None,
        NO_PODS,
        {"": ("10.244.0.7",), "default": ("10.244.0.7",), "blue": ("192.0.2.7", "2001:db8::7")},
    ),
    ("the primary one alone", BLUE, Further(frozenset({"default"})), NO_PODS, shown(outcome(vmi_json()))),
    ("the further one alone", BLUE, Further(frozenset({"blue"})), NO_PODS, {"blue": ("192.0.2.7", "2001:db8::7")}),
    ("none", BLUE, Further(frozenset({"red"})), NO_PODS, {}),
    (
        "the pod's address where the guest's leaks",
        vmi_json(addresses=["10.0.2.2"]),
        None,
        POD,
        {"": ("10.244.0.9",), "default": ("10.244.0.9",)},
    ),
    ("without an address", with_interface(vmi_json(addresses=[]), "blue"), None, NO_PODS, {}),
    (
        "names that differ in case alone are one",
        with_interface(with_interface(vmi_json(addresses=[]), "Blue", "192.0.2.1"), "blue", "192.0.2.2"),
        None,
        NO_PODS,
        {"blue": ("192.0.2.1", "192.0.2.2")},
    ),
    (
        "also where one is the primary one",
        with_interface(vmi_json(), "Default", "192.0.2.1"),
        None,
        NO_PODS,
        {"": ("10.244.0.7",), "default": ("10.244.0.7", "192.0.2.1")},
    ),
    (
        "a plain name goes before one that was shortened to the same",
        with_interface(
            with_interface(vmi_json(addresses=[]), "n" * 64, "192.0.2.1"),
            "n" * 45 + "__" + digest("n" * 64),
            "192.0.2.2",
        ),
        None,
        NO_PODS,
        {"n" * 45 + "__" + digest("n" * 64): ("192.0.2.2",)},
    ),
    ("publishNotReady is a Service's", BLUE, None, NO_PODS, shown(outcome(BLUE))),
]


@pytest.mark.parametrize(
    ("value", "wanted", "pods", "expected"), [row[1:] for row in CASES], ids=[row[0] for row in CASES]
)
def test_names(value: Json, wanted: Further | None, pods: PodAddresses, expected: dict[str, tuple[str, ...]]) -> None:
    """Which names a VMI has, and their addresses."""
    assert shown(outcome(value, wanted, pods=pods)) == expected


REFUSALS: list[tuple[str, Json, Rule | InterfaceRule, str]] = [
    ("phase", vmi_json(phase="Succeeded"), Rule.PHASE, "status.phase: Running wanted, Succeeded found"),
    ("deleting", vmi_json(deleting=True), Rule.DELETING, "metadata.deletionTimestamp: none wanted, set found"),
    (
        "not ready",
        vmi_json(ready=False, reason="GuestNotRunning"),
        Rule.READY,
        "condition Ready: True wanted, False (GuestNotRunning) found",
    ),
    (
        "a name of a foreign API server",
        vmi_json("VM_1"),
        InterfaceRule.NAMES,
        "namespace and name of the VMI: DNS names in lower case wanted, ns1/VM_1 found",
    ),
    (
        "a namespace of one",
        vmi_json(namespace="NS1"),
        InterfaceRule.NAMES,
        "namespace and name of the VMI: DNS names in lower case wanted, NS1/vm1 found",
    ),
]


@pytest.mark.parametrize(("value", "rule", "detail"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS])
def test_refusals(value: Json, rule: Rule | InterfaceRule, detail: str) -> None:
    """The rule that keeps a VMI from any name, with what was wanted and what was there."""
    found = outcome(value)
    assert isinstance(found, Unnamed)
    assert (found.rule, found.detail) == (rule, detail)


WITHOUT: list[tuple[str, Json, str, InterfaceRule, str]] = [
    (
        "no address",
        with_interface(vmi_json(), "blue"),
        "blue",
        InterfaceRule.ADDRESS,
        "address on network blue: IPv4 or IPv6 wanted, none found",
    ),
    (
        "none that is usable",
        with_interface(vmi_json(), "blue", "fe80::1"),
        "blue",
        InterfaceRule.ADDRESS,
        "address on network blue: IPv4 or IPv6 wanted, fe80::1 (link-local) found",
    ),
    (
        "of the primary one",
        vmi_json(addresses=["10.0.2.2"]),
        "default",
        InterfaceRule.ADDRESS,
        "address on network default: IPv4 or IPv6 wanted, 10.0.2.2 (inside the guest's masquerade network) found",
    ),
    (
        "no label",
        with_interface(vmi_json(), "sec.net", "192.0.2.1"),
        "sec.net",
        InterfaceRule.LABEL,
        "name of the interface: a label of its own wanted, sec.net found",
    ),
]


@pytest.mark.parametrize(
    ("value", "network", "rule", "detail"), [row[1:] for row in WITHOUT], ids=[row[0] for row in WITHOUT]
)
def test_interfaces_without_names(value: Json, network: str, rule: InterfaceRule, detail: str) -> None:
    """The others have theirs all the same."""
    found = outcome(value)
    assert isinstance(found, Machine)
    ((name, unnamed),) = found.unnamed
    assert (name, unnamed.rule, unnamed.detail) == (network, rule, detail)


def test_grace_at_a_hand_over() -> None:
    """A VMI keeps its names while a migration hands over, as it keeps those below Services."""
    value = with_interface(vmi_json(ready=False), "blue", "192.0.2.7")
    assert isinstance(outcome(value, observation=Observation(10.0), now=9.0), Machine)
    assert isinstance(outcome(value, observation=Observation(10.0), now=10.0), Unnamed)


# -- addresses that are held -------------------------------------------------------------------------------------------


def seen(*values: Json) -> tuple[VirtualMachineInstance, Observation]:
    """Return the last of several states of a VMI, one second apart, and what is remembered of it."""
    previous: VirtualMachineInstance | None = None
    remembered = NOTHING
    for second, value in enumerate(values):
        one = wired(value)
        remembered = observe(previous, remembered, one, timing=Timing(), now=float(second))
        previous = one
    assert previous is not None
    return previous, remembered


def test_hold() -> None:
    """Each interface's last good addresses of a family outlive a report without any, for a bounded time."""
    gone = with_interface(vmi_json(), "blue", "192.0.2.8")
    last, remembered = seen(BLUE, gone)
    assert remembered.held == (Held((packed("2001:db8::7"),), 61.0, "blue"),)
    during, after = (machine(last, remembered, NO_PODS, now) for now in (60.9, 61.0))
    assert shown(during)["blue"] == ("192.0.2.8", "2001:db8::7")
    assert shown(after)["blue"] == ("192.0.2.8",)
    assert (remembered.holds(60.9), remembered.holds(61.0), remembered.held_of()) == (True, False, ())
    assert shown(during)[""] == ("10.244.0.7",)  # what one interface lost is no other's


HOLDS: list[tuple[str, list[Json], list[str]]] = [
    ("still away", [BLUE, with_interface(vmi_json(), "blue"), with_interface(vmi_json(), "blue")], ["blue", "blue"]),
    ("back", [BLUE, with_interface(vmi_json(), "blue"), BLUE], []),
    ("unplugged", [BLUE, vmi_json()], []),
    ("not ready", [BLUE, with_interface(vmi_json(ready=False), "blue")], []),
    ("on another node", [BLUE, with_interface(vmi_json(node="node2"), "blue")], []),
    ("another VMI of the name", [BLUE, with_interface(vmi_json(uid="other"), "blue")], []),
    ("all of them", [BLUE, with_interface(vmi_json(addresses=[]), "blue")], ["", "blue", "blue"]),
    ("new, without any", [vmi_json(), with_interface(vmi_json(), "blue")], []),
]


@pytest.mark.parametrize(("values", "interfaces"), [row[1:] for row in HOLDS], ids=[row[0] for row in HOLDS])
def test_what_is_held(values: list[Json], interfaces: list[str]) -> None:
    """By the same rules as the primary interface's addresses."""
    assert [one.interface for one in seen(*values)[1].held] == interfaces
