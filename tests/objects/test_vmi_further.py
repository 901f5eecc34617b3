"""Further interfaces at the door: which are kept, by what name, and with which addresses."""

import msgspec
import pytest

from dnsserver.objects import Further, InvalidObjectError, Kind, VirtualMachineInstance, decode_object, read_object
from dnsserver.objects.vmi import WiredInstance
from tests.build import Json, address_texts, vmi, vmi_json, wired, with_interface

ALL = Further()
Shown = dict[str, tuple[str, ...]]


def shown(one: VirtualMachineInstance) -> Shown:
    """Return the further interfaces with their addresses."""
    return {interface.network: address_texts(interface.addresses) for interface in one.further}


BLUE = with_interface(vmi_json(), "blue", "192.0.2.7", "2001:db8::7")
BOTH = with_interface(BLUE, "red", "198.51.100.7", definition="other/red-net")

CHOICES: list[tuple[str, Further, bool, set[str]]] = [
    ("all", ALL, True, {"blue", "red"}),
    ("by name", Further(frozenset({"red"})), False, {"red"}),
    ("the primary one by name", Further(frozenset({"default"})), True, set()),
    ("two", Further(frozenset({"default", "blue"})), True, {"blue"}),
    ("a definition of the VMI's namespace", Further(frozenset({"ns1/vlan"})), False, {"blue"}),
    ("a definition elsewhere", Further(frozenset({"other/red-net"})), False, {"red"}),
    ("of the same name elsewhere", Further(frozenset({"other/vlan"})), False, set()),
    ("a definition's name alone says nothing", Further(frozenset({"vlan", "red-net"})), False, set()),
    ("names are compared as they are", Further(frozenset({"Blue"})), False, set()),
]


@pytest.mark.parametrize(
    ("wanted", "primary", "networks"), [row[1:] for row in CHOICES], ids=[row[0] for row in CHOICES]
)
def test_choice(wanted: Further, primary: bool, networks: set[str]) -> None:
    """Networks go by their name in the spec, or by that of their definition with its namespace."""
    one = wired(BOTH, wanted)
    assert (one.names_primary, set(shown(one))) == (primary, networks)


ADDRESSES: list[tuple[str, Json, Further, Shown]] = [
    ("both families", BLUE, ALL, {"blue": ("192.0.2.7", "2001:db8::7")}),
    ("none yet", with_interface(vmi_json(), "blue"), ALL, {"blue": ()}),
    (
        "rules that hold for every interface",
        with_interface(vmi_json(), "blue", "fe80::1", "169.254.0.1", "127.0.0.1", "x", "192.0.2.7", "192.0.2.7"),
        ALL,
        {"blue": ("192.0.2.7",)},
    ),
    (
        "what masquerade guests have inside is an address like any other here",
        with_interface(vmi_json(), "blue", "10.0.2.2"),
        ALL,
        {"blue": ("10.0.2.2",)},
    ),
    ("IPv6 of a bridged interface", with_interface(vmi_json(), "blue", "fd00::1"), ALL, {"blue": ("fd00::1",)}),
    (
        "from the agent",
        with_interface(vmi_json(), "blue", "192.0.2.7", info_source="domain, guest-agent"),
        ALL,
        {"blue": ("192.0.2.7",)},
    ),
    (
        "from the agent, which is not believed",
        with_interface(vmi_json(), "blue", "192.0.2.7", info_source="domain, guest-agent"),
        Further(guest_agent=False),
        {"blue": ()},
    ),
    (
        "not from the agent, which is not believed",
        BLUE,
        Further(guest_agent=False),
        {"blue": ("192.0.2.7", "2001:db8::7")},
    ),
]


@pytest.mark.parametrize(
    ("value", "wanted", "expected"), [row[1:] for row in ADDRESSES], ids=[row[0] for row in ADDRESSES]
)
def test_addresses(value: Json, wanted: Further, expected: Shown) -> None:
    """What the status says of an interface, by its network's name, as far as it can be published."""
    assert shown(wired(value, wanted)) == expected


def test_what_is_dropped() -> None:
    """It stands beside what is usable, with the reason."""
    one = wired(with_interface(vmi_json(), "blue", "fe80::1", info_source="guest-agent"))
    assert one.further[0].dropped == (("fe80::1", "link-local"),)
    one = wired(with_interface(vmi_json(), "blue", "192.0.2.7", info_source="guest-agent"), Further(guest_agent=False))
    assert one.further[0].dropped == (("192.0.2.7", "reported by the guest agent"),)


def test_the_primary_interface_is_not_further() -> None:
    """Nor what the agent found inside the guest, nor what the status has of no network of the spec."""
    value = with_interface(vmi_json(), "blue", "192.0.2.7")
    value["status"]["interfaces"] += [{"ipAddress": "172.17.0.1"}, {"name": "gone", "ipAddress": "192.0.2.9"}]
    assert shown(wired(value)) == {"blue": ("192.0.2.7",)}


def test_without_any_primary_network() -> None:
    """All of them are further ones; and the implied pod network is the primary one where there is none."""
    value = with_interface(vmi_json(), "blue", "192.0.2.7")
    del value["spec"]["networks"][0]
    assert (wired(value).primary, shown(wired(value))) == (None, {"blue": ("192.0.2.7",)})
    bare = {"metadata": {"name": "vm1", "namespace": "ns1"}, "spec": {}, "status": {}}
    one = wired(bare)
    assert (one.names_primary, one.further) == (True, ())


def test_only_who_asks_pays() -> None:
    """A VMI without its further interfaces is the slim object that it was, and changes of theirs are none of it."""
    plain = decode_object(Kind.VMI, msgspec.json.encode(BLUE))
    other = decode_object(Kind.VMI, msgspec.json.encode(with_interface(vmi_json(), "blue", "192.0.2.8")))
    assert type(plain) is VirtualMachineInstance
    assert plain == other == vmi()
    assert (plain.further, plain.names_primary) == ((), False)
    assert not set(VirtualMachineInstance.__struct_fields__) & {"wiring", "reports"}
    assert wired(BLUE) != wired(with_interface(vmi_json(), "blue", "192.0.2.8"))


def test_what_others_have_too_is_shared() -> None:
    """Names of networks are held once."""
    one, two = (decode_object(Kind.VMI, msgspec.json.encode(BOTH), ALL) for _ in range(2))
    assert isinstance(one, WiredInstance)
    assert isinstance(two, WiredInstance)
    assert one.wiring is two.wiring
    assert one == two


def test_yaml_is_read_alike() -> None:
    """A parsed document gives the same object, and what is wrong is refused with or without."""
    assert read_object(Kind.VMI, BOTH, ALL) == wired(BOTH)
    for wanted in (ALL, None):
        with pytest.raises(InvalidObjectError, match=r"metadata\.name is empty"):
            read_object(Kind.VMI, {"metadata": {"name": "", "namespace": "x"}}, wanted)
