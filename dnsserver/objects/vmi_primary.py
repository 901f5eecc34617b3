"""The interface on a VMI's primary network: its binding, its ports, and the addresses that may be published; no I/O.

Every address rule that needs nothing but the VMI itself is applied here, at the door: what was left out stands beside
what is publishable, with the reason.
"""

import ipaddress
from collections.abc import Callable
from functools import lru_cache
from sys import intern

from dnsserver.objects.ports import Port, valid_number
from dnsserver.objects.views import parsed
from dnsserver.objects.vmi_view import (
    DevicesView,
    InterfaceView,
    NetworkView,
    PodNetworkView,
    SpecView,
    StatusInterfaceView,
    StatusView,
)

# pkg/network/link: what a masquerade guest sees unless spec.networks[].pod says otherwise
DEFAULT_VM_CIDR = "10.0.2.0/24"
DEFAULT_VM_IPV6_CIDR = "fd10:0:2::/120"

# What the status says of the primary interface: usable addresses, packed, in its order, then those that were left out,
# with the reason. One address alone, as nearly always, is no tuple.
Reported = bytes | tuple[bytes | tuple[str, str], ...]


def primary(spec: SpecView, status: StatusView) -> tuple[str | None, bool, Reported]:
    """Return the primary network's name (vmispec LookUpDefaultNetwork), how it is bound, and what is reported of it.

    The name is None, and nothing reported, where the VMI has no interface on such a network.
    """
    network = primary_network(spec)
    if network is None:
        return None, False, ()
    interface = _interface(spec, network)
    masquerade = interface is not None and interface.masquerade is not None
    return intern(network.name), masquerade, reported_addresses(network, spec, status)


def reported_addresses(network: NetworkView, spec: SpecView, status: StatusView) -> Reported:
    """Return what the status says of the interface on a network, by that network's name."""
    reported = next((one for one in status.interfaces or () if one.name == network.name), None)
    return _addresses(network, _interface(spec, network), reported) if reported else ()


def _devices(spec: SpecView) -> DevicesView:
    """Return the VMI's devices."""
    return (spec.domain.devices if spec.domain else None) or DevicesView()


def _interface(spec: SpecView, network: NetworkView) -> InterfaceView | None:
    """Return the interface that is on a network."""
    return next((one for one in _devices(spec).interfaces or () if one.name == network.name), None)


def primary_network(spec: SpecView) -> NetworkView | None:
    """Return the entry of spec.networks that is the pod's own network.

    A VMI without networks and interfaces gets a pod network named "default", unless it opted out: the mutating webhook
    normally writes that, and a foreign API server may not have.
    """
    devices = _devices(spec)
    if not spec.networks and not devices.interfaces and devices.autoattach_pod_interface is not False:
        return NetworkView("default", pod=PodNetworkView())
    for network in spec.networks or ():
        if network.pod is not None or (network.multus is not None and network.multus.default):
            return network
    return None


def declared_ports(spec: SpecView) -> tuple[Port, ...]:
    """Return the ports that a VMI declares, whichever interface is theirs."""
    return tuple(port for one in _devices(spec).interfaces or () for port in _ports(one))


def _ports(interface: InterfaceView) -> tuple[Port, ...]:
    """Return the ports that an interface declares; KubeVirt makes those of all of them container ports of the pod."""
    return tuple(
        Port(port.name or "", port.protocol or "TCP", port.port or 0)
        for port in interface.ports or ()
        if valid_number(port.port)
    )


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Rule = Callable[[_Address], bool]

# what no interface's address may be, whatever the binding
_NEVER: tuple[tuple[_Rule, str], ...] = (
    (lambda address: address.is_link_local, "link-local"),
    (lambda address: address.is_loopback, "loopback"),
    (lambda address: address.is_multicast, "multicast"),
    (lambda address: address.is_unspecified, "unspecified"),
)


def _addresses(network: NetworkView, interface: InterfaceView | None, reported: StatusInterfaceView) -> Reported:
    """Return the usable addresses of the primary network's status entry, then those dropped with the reason.

    Entries without a name are devices inside the guest (docker0, cni0): the match by name has left them out.
    """
    rules = (*_NEVER, *_binding_rules(network, interface, reported))
    usable: dict[bytes, None] = {}
    dropped = []
    for text in reported.ip_addresses or ([reported.ip_address] if reported.ip_address else []):
        try:
            address = parsed(text)
        except ValueError:
            dropped.append((text, "not an IP address"))
            continue
        if reason := next((why for rule, why in rules if rule(address)), ""):
            dropped.append((text, reason))
        else:
            usable[address.packed] = None
    if len(usable) == 1 and not dropped:
        return next(iter(usable))
    return (*usable, *dropped)


def _binding_rules(
    network: NetworkView, interface: InterfaceView | None, reported: StatusInterfaceView
) -> tuple[tuple[_Rule, str], ...]:
    """Return what the interface's binding adds to the rules.

    Masquerade gives every guest the same inner addresses, and kubevirt#18760 lets them leak into the status. Bridge
    hands the pod's IPv4 to the guest and never its IPv6, which KubeVirt before 1.9 listed all the same; only the guest
    agent can tell that the guest has one.
    """
    pod = network.pod
    if pod is None or interface is None:
        return ()
    if interface.masquerade is not None:
        return _masquerade(pod.vm_network_cidr or DEFAULT_VM_CIDR, pod.vm_ipv6_network_cidr or DEFAULT_VM_IPV6_CIDR)
    if interface.bridge is not None and "guest-agent" not in (reported.info_source or ""):
        return ((lambda address: address.version == 6, "the pod's IPv6 does not reach a bridged guest"),)
    return ()


@lru_cache(maxsize=64)  # nearly every VMI has the same two, and parsing them is a tenth of decoding it
def _masquerade(*networks: str) -> tuple[tuple[_Rule, str], ...]:
    """Return the rule that leaves out what is in a guest's own networks. Raises `ValueError` for text that is none."""
    inner = [ipaddress.ip_network(one, strict=False) for one in networks]
    return ((lambda address: any(address in one for one in inner), "inside the guest's masquerade network"),)
