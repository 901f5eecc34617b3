"""The VMI rule: is a VMI published under a Service, by what name, with which addresses? No I/O.

KubeVirt's user guide: `spec.hostname` and `spec.subdomain` name a VMI wherever a headless Service with the subdomain's
name selects it. What a refusal says is the rule that refused, with what was wanted and what was there.
"""

from collections.abc import Callable, Container
from enum import Enum
from hashlib import sha1
from ipaddress import ip_address

import msgspec

from dnsserver.derive.endpoint import Endpoint, dashed
from dnsserver.derive.observation import Observation
from dnsserver.names import is_dns1123_label
from dnsserver.objects import Port, Service, VirtualMachineInstance
from dnsserver.objects.service import HEADLESS

RUNNING = "Running"

_LABEL_LIMIT = 63  # characters of a Kubernetes label value, and octets of a DNS label
_HASHED_PREFIX = 54  # what is left of a long VMI name before "-" and 8 digits (pkg/apimachinery/labels.go)

_CREATED_BY = "kubevirt.io/created-by"
_HOST_LABEL = "vm.kubevirt.io/name"
_LAUNCHER = "kubevirt.io"
_VMI_ID = "vmi.kubevirt.io/id"
_INJECT = "sidecar.istio.io/inject"


class Rule(Enum):
    """The rules that can refuse a VMI a name, in the order in which they are asked."""

    HEADLESS = "the Service is headless"
    SELECTOR = "the Service's selector matches the labels of the VMI's pod"
    HOST_LABEL = "the VMI's host name is a DNS label"
    PHASE = "the VMI is Running"
    DELETING = "the VMI is not being deleted"
    READY = "the VMI is Ready"
    PRIMARY_NETWORK = "the VMI has an interface on its primary network"
    ADDRESS = "the VMI has a usable address of a family that the Service serves"


class Fact(msgspec.Struct, frozen=True, gc=False):
    """One thing that a rule looks at."""

    what: str  # by the API's name where it has one: "spec.clusterIP of Service ns1/db", "label app"
    wanted: str
    found: str | None  # None: there is none

    @property
    def text(self) -> str:
        """Both sides, for people."""
        return f"{self.what}: {self.wanted} wanted, {self.found or 'none'} found"


class Refused(msgspec.Struct, frozen=True, gc=False):
    """Why a VMI has no records under a Service: the rule, and of what it looks at that which is not as it should be."""

    rule: Rule
    facts: tuple[Fact, ...]

    @property
    def detail(self) -> str:
        """The facts, for people."""
        return "; ".join(fact.text for fact in self.facts)


class Published(msgspec.Struct, frozen=True, gc=False):
    """What a VMI contributes to a Service, and what had to be mended to get there."""

    endpoints: tuple[Endpoint, ...]
    notes: tuple[str, ...] = ()


class PodAddresses(msgspec.Struct, frozen=True, gc=False):
    """What EndpointSlices say of a VMI's pods, joined by pod UID."""

    current: frozenset[bytes] = frozenset()  # of the pod on status.nodeName
    other: frozenset[bytes] = frozenset()  # of its other active pods: a migration's source or target
    served: frozenset[bytes] = frozenset()  # those of `current` that the Service's own slices list
    zone: str = ""  # the current pod's topology zone, as those slices say it


NO_PODS = PodAddresses()


def host_label(vmi: VirtualMachineInstance) -> str:
    """Return spec.hostname, or the name up to its first dot and then up to 63 octets (sanitize.go SanitizeHostname).

    The result may still be no DNS label; then KubeVirt could not create the pod either.
    """
    return vmi.hostname or vmi.name.partition(".")[0][:_LABEL_LIMIT]


def pod_label(vmi: VirtualMachineInstance, key: str) -> str | None:
    """Return one label of the VMI's virt-launcher pod (template.go, podLabels): KubeVirt's own win over the VMI's."""
    if key == _VMI_ID:
        return _vmi_id(vmi.name)
    if key == _HOST_LABEL:
        return host_label(vmi)
    if key == _LAUNCHER:
        return "virt-launcher"
    if key == _CREATED_BY:
        return vmi.uid
    if key == _INJECT and vmi.inject is not None:
        return vmi.inject
    return vmi.label(key)


def pod_labels(vmi: VirtualMachineInstance) -> dict[str, str]:
    """Return all labels of the VMI's virt-launcher pod."""
    labels = vmi.labels
    for key in (_VMI_ID, _HOST_LABEL, _LAUNCHER, _CREATED_BY, _INJECT):
        if (value := pod_label(vmi, key)) is not None:
            labels[key] = value
    return labels


def _vmi_id(name: str) -> str:
    """Return the label vmi.kubevirt.io/id (pkg/apimachinery/labels.go)."""
    if len(name) <= _LABEL_LIMIT:
        return name
    digest = sha1(name.encode(), usedforsecurity=False).hexdigest()[:8]
    return f"{name[:_HASHED_PREFIX]}-{digest}"


def same_labels(one: VirtualMachineInstance, other: VirtualMachineInstance) -> bool:
    """Say whether the pods of two VMIs surely have the same labels; a label may repeat its VMI's name or node."""
    mine, its = one.shape, other.shape
    return (
        (one.name, one.packed_uid, one.hostname, one.node) == (other.name, other.packed_uid, other.hostname, other.node)
        and mine.label_keys == its.label_keys
        and mine.label_values == its.label_values
        and mine.inject == its.inject
    )


def selects(service: Service, vmi: VirtualMachineInstance) -> bool:
    """Say whether the Service's selector matches the VMI's pod; no selector matches nothing (getServicesForPod)."""
    return bool(service.selector) and all(pod_label(vmi, key) == value for key, value in service.selector.items())


def vmi_endpoints(
    vmi: VirtualMachineInstance, service: Service, observation: Observation, pods: PodAddresses, now: float
) -> Published | Refused:
    """Return what `vmi` contributes to `service`, which is in its namespace, or the first rule that refuses it.

    A VMI whose subdomain is not the Service's name still belongs to the Service's RRset, under an address label.
    """
    if refused := _refusal(vmi, service, observation, now):
        return refused
    addresses, notes = primary_addresses(vmi, service.families, observation, pods, now)
    if not addresses:
        return _no_address(vmi, service)
    ports = _ports(vmi, service)
    if vmi.subdomain == service.name:
        return Published((Endpoint(host_label(vmi).encode(), addresses, ports, zone=pods.zone),), notes)
    return Published(tuple(Endpoint(dashed(one), (one,), ports, zone=pods.zone) for one in addresses), notes)


def _refusal(vmi: VirtualMachineInstance, service: Service, observation: Observation, now: float) -> Refused | None:
    """Return the first rule but the address rule that refuses the VMI."""
    if refused := unselected(vmi, service):
        return refused
    if not is_dns1123_label(host_label(vmi)):
        return _refused(Rule.HOST_LABEL, vmi, service)
    rule = broken_state_rule(vmi, observation, now, publish_not_ready=service.publish_not_ready)
    return None if rule is None else _refused(rule, vmi, service)


def broken_state_rule(
    vmi: VirtualMachineInstance, observation: Observation, now: float, *, publish_not_ready: bool = False
) -> Rule | None:
    """Return the first rule about the VMI's own state that keeps it from having any name."""
    if vmi.phase != RUNNING:  # final VMIs keep the address that the network may have given to another
        return Rule.PHASE
    if publish_not_ready:
        return None
    if vmi.deleting:
        return Rule.DELETING
    return Rule.READY if not vmi.ready.status and not observation.in_grace(now) else None


def unselected(vmi: VirtualMachineInstance, service: Service) -> Refused | None:
    """Return why a VMI is none of the Service's; None where it is. Nobody remembers this of VMIs that are not."""
    if not service.headless:
        return _refused(Rule.HEADLESS, vmi, service)
    return None if selects(service, vmi) else _refused(Rule.SELECTOR, vmi, service)


def _refused(rule: Rule, vmi: VirtualMachineInstance, service: Service) -> Refused:
    """Return a refusal with the facts that speak against the VMI."""
    return Refused(rule, tuple(fact for fact in facts(rule, vmi, service) if fact.found != fact.wanted))


def facts(rule: Rule, vmi: VirtualMachineInstance, service: Service) -> tuple[Fact, ...]:
    """Return what a rule looks at, whether it passes or refuses."""
    return _FACTS[rule](vmi, service)


def state_facts(rule: Rule, vmi: VirtualMachineInstance) -> tuple[Fact, ...]:
    """Return what a rule about the VMI's own state looks at (`broken_state_rule`)."""
    return _STATE_FACTS[rule](vmi)


def _headless_facts(_vmi: VirtualMachineInstance, service: Service) -> tuple[Fact, ...]:
    """Return how the Service is reached."""
    what = f"spec.clusterIP of Service {service.namespace}/{service.name}"
    if service.headless:
        return (Fact(what, HEADLESS, HEADLESS),)
    addresses = ", ".join(str(ip_address(one)) for one in service.cluster_ips)
    external = f"an external name, {service.external_name}" if service.external_name else None
    return (Fact(what, HEADLESS, addresses or external),)


def _selector_facts(vmi: VirtualMachineInstance, service: Service) -> tuple[Fact, ...]:
    """Return each pair of the selector, and what the pod has."""
    if not service.selector:  # and so it selects nothing
        return (Fact(f"spec.selector of Service {service.namespace}/{service.name}", "labels of the VMI's pod", None),)
    return tuple(Fact(f"label {key}", value, pod_label(vmi, key)) for key, value in sorted(service.selector.items()))


def _host_label_facts(vmi: VirtualMachineInstance, _service: Service) -> tuple[Fact, ...]:
    """Return the VMI's host label, and where it comes from."""
    label = host_label(vmi)
    wanted = label if is_dns1123_label(label) else "a DNS label"
    return (Fact("spec.hostname" if vmi.hostname else "host name made of metadata.name", wanted, label),)


def _ready_facts(vmi: VirtualMachineInstance) -> tuple[Fact, ...]:
    """Return what the Ready condition says."""
    ready = vmi.ready
    since = f" since {ready.since}" if ready.since else ""
    found = "True" if ready.status else f"False ({ready.reason or 'no reason given'}){since}"
    return (Fact("condition Ready", "True", found),)


def _network_facts(vmi: VirtualMachineInstance, _service: Service) -> tuple[Fact, ...]:
    """Return which of the VMI's networks is the primary one."""
    network = vmi.primary.network if vmi.primary else None
    return (Fact("primary network", network or "the pod network or a default Multus network", network),)


def _address_facts(vmi: VirtualMachineInstance, service: Service) -> tuple[Fact, ...]:
    """Return what the VMI reports on its primary network: what can be used, and what was dropped with the reason."""
    if vmi.primary is None:
        return ()
    families = " or ".join(f"IPv{family}" for family in sorted(service.families))
    usable = [str(ip_address(one)) for one in vmi.primary.addresses]
    dropped = [f"{text} ({why})" for text, why in vmi.primary.dropped]
    return (Fact(f"address on network {vmi.primary.network}", families, ", ".join(usable + dropped) or None),)


_STATE_FACTS: dict[Rule, Callable[[VirtualMachineInstance], tuple[Fact, ...]]] = {
    Rule.PHASE: lambda vmi: (Fact("status.phase", RUNNING, vmi.phase or None),),
    Rule.DELETING: lambda vmi: (Fact("metadata.deletionTimestamp", "none", "set" if vmi.deleting else "none"),),
    Rule.READY: _ready_facts,
}

_FACTS: dict[Rule, Callable[[VirtualMachineInstance, Service], tuple[Fact, ...]]] = {
    Rule.HEADLESS: _headless_facts,
    Rule.SELECTOR: _selector_facts,
    Rule.HOST_LABEL: _host_label_facts,
    Rule.PHASE: lambda vmi, _: state_facts(Rule.PHASE, vmi),
    Rule.DELETING: lambda vmi, _: state_facts(Rule.DELETING, vmi),
    Rule.READY: lambda vmi, _: state_facts(Rule.READY, vmi),
    Rule.PRIMARY_NETWORK: _network_facts,
    Rule.ADDRESS: _address_facts,
}


def primary_addresses(
    vmi: VirtualMachineInstance, families: Container[int], observation: Observation, pods: PodAddresses, now: float
) -> tuple[tuple[bytes, ...], tuple[str, ...]]:
    """Return the usable addresses of the families that are asked for, and how they differ from the status."""
    if vmi.primary is None:
        return (), ()
    found: list[bytes] = []
    notes: list[str] = []
    for size, family in ((4, 4), (16, 6)):
        if family not in families:
            continue
        addresses, note = _family_addresses(vmi, observation, pods, now, size)
        found += addresses
        if note:
            notes.append(f"IPv{family}: {note}")
    return tuple(found), tuple(notes)


def _family_addresses(
    vmi: VirtualMachineInstance, observation: Observation, pods: PodAddresses, now: float, size: int
) -> tuple[tuple[bytes, ...], str]:
    """Return the addresses of one family (by packed size) and a note where they are not simply the status's.

    Masquerade hides the guest behind the pod's address, so EndpointSlices, joined by pod UID, know it even where the
    status does not (kubevirt#18760, #12698). For every other binding the status alone is right.
    """
    primary = vmi.primary
    reported = tuple(one for one in (primary.addresses if primary else ()) if len(one) == size)
    if primary is not None and primary.masquerade:
        of_pod = tuple(sorted(one for one in pods.current if len(one) == size))
        mine = tuple(one for one in reported if one in pods.current)
        # an IPv6 address that the pod lacks is the guest's own; at the hand-over the status may still be the source's
        if not mine and not (of_pod and (size == 16 or vmi.handing_over)):
            mine = tuple(one for one in reported if one not in pods.other)
        if not mine and of_pod:
            return of_pod, "taken from the EndpointSlice of its pod"
        if pods.served and not of_pod:
            return (), "left out: its pod has no address of this family" if reported else ""
        if mine or reported:
            return mine or reported, ""
    if reported:
        return reported, ""
    held = tuple(one for one in observation.held_addresses(now) if len(one) == size and one not in pods.other)
    return held, "held: the guest agent reports none for the moment" if held else ""


def _ports(vmi: VirtualMachineInstance, service: Service) -> tuple[Port, ...]:
    """Return the ports that the VMI's pod listens on for the Service, as the endpoint slice controller finds them.

    A named targetPort is one of the ports that the VMI's interface declares; a name nobody declares gives no port.
    """
    declared = {(port.name, port.protocol): port.number for port in (vmi.primary.ports if vmi.primary else ())}
    ports = []
    for port in service.ports:
        number = port.target if isinstance(port.target, int) else declared.get((port.target, port.protocol))
        if number is not None and 0 < number <= 0xFFFF:
            ports.append(Port(port.name, port.protocol, number))
    return tuple(ports)


def _no_address(vmi: VirtualMachineInstance, service: Service) -> Refused:
    """Return the refusal of a VMI without a usable address, with what there is instead."""
    return _refused(Rule.PRIMARY_NETWORK if vmi.primary is None else Rule.ADDRESS, vmi, service)
