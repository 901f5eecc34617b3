"""Names of VMIs and of their interfaces that need no Service (option `interfaces`), and their addresses; no I/O.

`<vmi>.<namespace>.<zone>` has the addresses of the VMI's primary interface, and `<interface>.<vmi>.<namespace>.<zone>`
those of each interface: KubeSecondaryDNS's names, with the primary interface among them.
"""

import re
from collections.abc import Iterable
from enum import Enum
from hashlib import sha256
from ipaddress import ip_address

import msgspec

from dnsserver.derive.observation import Observation
from dnsserver.derive.vmi import Fact, PodAddresses, Rule, broken_state_rule, primary_addresses, state_facts
from dnsserver.names import MAX_LABEL, is_dns1123_label
from dnsserver.objects import FurtherInterface, VirtualMachineInstance

_FAMILIES = (4, 6)
_DIGITS = 16  # of a hash in a label
_MARK = "__"  # no name of a VMI has it once its dots are underscores: dots do not follow each other

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_INTERFACE = re.compile(r"[A-Za-z0-9_-]+")  # KubeVirt's validateInterfaceNameFormat


class InterfaceRule(Enum):
    """The rules beside `Rule` that can refuse a VMI or one of its interfaces a name."""

    NAMES = "the VMI's name and namespace are DNS names"
    LABEL = "the interface's name is a DNS label that no other interface of the VMI goes by"
    ADDRESS = "the interface has a usable address"


class Unnamed(msgspec.Struct, frozen=True, gc=False):
    """Why a VMI has no names, or one of its interfaces has none."""

    rule: Rule | InterfaceRule
    facts: tuple[Fact, ...]

    @property
    def detail(self) -> str:
        """The facts, for people."""
        return "; ".join(fact.text for fact in self.facts)


class Machine(msgspec.Struct, frozen=True, gc=False):
    """The names of a VMI below a zone."""

    label: bytes
    addresses: tuple[bytes, ...]  # its own, the primary interface's; empty where that is not among those with names
    interfaces: tuple[tuple[bytes, tuple[bytes, ...]], ...]  # (label, addresses) of each that has any
    unnamed: tuple[tuple[str, Unnamed], ...] = ()  # interfaces by their network, and why they have no name
    notes: tuple[str, ...] = ()  # how the addresses differ from the status


def vmi_label(name: str) -> bytes:
    """Return the one label that a VMI's name becomes; no two names, which are DNS-1123 subdomains, share one.

    A dot, which would make two labels of one, becomes an underscore, which no name has. What then is longer than a
    label may be keeps its beginning, and has two underscores and a hash of the name behind it.
    """
    return _shortened(name.replace(".", "_"), name)


def interface_label(network: str) -> bytes | None:
    """Return the label of an interface by its network's name, in lower case; None where that is no name of KubeVirt's.

    A long one becomes like that of a VMI, and may be another one's own name then: see `_labels`.
    """
    folded = network.lower()
    return _shortened(folded, folded) if _INTERFACE.fullmatch(network) else None


def _shortened(text: str, name: str) -> bytes:
    """Return a label: the text, or if that is too long its beginning and a hash of the name."""
    if len(text) > MAX_LABEL:
        digest = sha256(name.encode()).hexdigest()[:_DIGITS]
        text = text[: MAX_LABEL - len(_MARK) - _DIGITS] + _MARK + digest
    return text.encode()


def machine(vmi: VirtualMachineInstance, observation: Observation, pods: PodAddresses, now: float) -> Machine | Unnamed:
    """Return the names of a VMI and of those of its interfaces that may have one, or the rule that refuses them all.

    Interfaces whose names differ in case alone are one name to the DNS, which has the addresses of both.
    """
    if not (_SUBDOMAIN.fullmatch(vmi.name) and is_dns1123_label(vmi.namespace)):
        name = f"{vmi.namespace}/{vmi.name}"
        return Unnamed(InterfaceRule.NAMES, (Fact("namespace and name of the VMI", "DNS names in lower case", name),))
    if (rule := broken_state_rule(vmi, observation, now)) is not None:
        return Unnamed(rule, tuple(fact for fact in state_facts(rule, vmi) if fact.found != fact.wanted))
    own, notes = _own(vmi, observation, pods, now)
    found = [(vmi.primary.network, own)] if vmi.primary is not None and vmi.names_primary else []
    found += [(one.network, _addresses(one, observation, now)) for one in vmi.further]
    labels = _labels(network for network, _ in found)
    addresses: dict[bytes, dict[bytes, None]] = {}
    unnamed: list[tuple[str, Unnamed]] = []
    for network, some in found:
        label = labels[network]
        if label is None:
            unnamed.append((network, _no_label(network)))
        elif not some:
            unnamed.append((network, _no_address(vmi, network)))
        else:
            addresses.setdefault(label, {}).update(dict.fromkeys(some))
    interfaces = tuple((label, tuple(some)) for label, some in addresses.items())
    return Machine(vmi_label(vmi.name), own, interfaces, tuple(unnamed), notes)


def _own(
    vmi: VirtualMachineInstance, observation: Observation, pods: PodAddresses, now: float
) -> tuple[tuple[bytes, ...], tuple[str, ...]]:
    """Return the primary interface's addresses, none where it is not to have a name, and notes as of other names."""
    return primary_addresses(vmi, _FAMILIES, observation, pods, now) if vmi.names_primary else ((), ())


def _addresses(one: FurtherInterface, observation: Observation, now: float) -> tuple[bytes, ...]:
    """Return what an interface reports, and of a family that it reports none of what it reported last."""
    has = {len(address) for address in one.addresses}
    held = observation.held_addresses(now, one.network)
    return one.addresses + tuple(address for address in held if len(address) not in has)


def _labels(networks: Iterable[str]) -> dict[str, bytes | None]:
    """Return the label of each interface; None for one that has none.

    A name that is a label goes before one that was shortened to the same.
    """
    labels: dict[str, bytes | None] = {network: interface_label(network) for network in networks}
    plain = {label for network, label in labels.items() if label is not None and len(network) <= MAX_LABEL}
    return {
        network: None if len(network) > MAX_LABEL and label in plain else label for network, label in labels.items()
    }


def _no_label(network: str) -> Unnamed:
    """Return the refusal of an interface by its name."""
    return Unnamed(InterfaceRule.LABEL, (Fact("name of the interface", "a label of its own", network),))


def _no_address(vmi: VirtualMachineInstance, network: str) -> Unnamed:
    """Return the refusal of an interface without addresses, with what was reported of it."""
    reported = next((one for one in (vmi.primary, *vmi.further) if one is not None and one.network == network), None)
    usable = [str(ip_address(one)) for one in (reported.addresses if reported else ())]
    dropped = [f"{text} ({why})" for text, why in (reported.dropped if reported else ())]
    wanted = "IPv4 or IPv6"
    return Unnamed(
        InterfaceRule.ADDRESS, (Fact(f"address on network {network}", wanted, ", ".join(usable + dropped) or None),)
    )
