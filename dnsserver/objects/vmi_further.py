"""The interfaces of a VMI beside the primary one: which are kept, and what is reported of them; no I/O.

Nothing of this is kept unless these interfaces have names (option `interfaces`): a VMI is then as small as it can be.
"""

from collections.abc import Iterator
from sys import intern

import msgspec

from dnsserver.objects.vmi_primary import Reported, primary_network, reported_addresses
from dnsserver.objects.vmi_view import NetworkView, SpecView, StatusView

_AGENT = "guest-agent"
_FROM_GUEST = "reported by the guest agent"


class Further(msgspec.Struct, frozen=True):
    """Which interfaces have names of their own."""

    networks: frozenset[str] = frozenset()  # a network's name in the spec, or its `NAMESPACE/NAME`; empty: all of them
    guest_agent: bool = True  # False: further interfaces have no address that the guest itself may have made up


def further_interfaces(
    spec: SpecView, status: StatusView, namespace: str, wanted: Further
) -> tuple[tuple[str, Reported], ...]:
    """Return the name of each chosen network but the primary one, and what the status says of the interface on it."""
    main = primary_network(spec)
    networks = {one.name: one for one in spec.networks or () if main is None or one.name != main.name}
    return tuple(
        (intern(one.name), _trusted(one, spec, status, wanted))
        for one in networks.values()
        if is_chosen(one, namespace, wanted)
    )


def is_chosen(network: NetworkView, namespace: str, wanted: Further) -> bool:
    """Say whether the interface on a network, of a VMI in `namespace`, is to have names."""
    return not wanted.networks or any(name in wanted.networks for name in _names(network, namespace))


def _names(network: NetworkView, namespace: str) -> Iterator[str]:
    """Yield what a network can be called by: its name in the spec, and its NetworkAttachmentDefinition."""
    yield network.name
    definition = network.multus.network_name if network.multus else None
    if definition:
        yield definition if "/" in definition else f"{namespace}/{definition}"


def _trusted(network: NetworkView, spec: SpecView, status: StatusView, wanted: Further) -> Reported:
    """Return what the status says of an interface, without what only the guest says where that is not wanted.

    Once the agent reports an interface its addresses take the place of all others (netstat.go,
    updateVMIIfaceStatusWithGuestAgentData), so that they cannot be told apart.
    """
    found = reported_addresses(network, spec, status)
    if wanted.guest_agent:
        return found
    reported = next((one for one in status.interfaces or () if one.name == network.name), None)
    if reported is None or _AGENT not in (reported.info_source or ""):
        return found
    texts = reported.ip_addresses or ([reported.ip_address] if reported.ip_address else [])
    return tuple((text, _FROM_GUEST) for text in texts)
