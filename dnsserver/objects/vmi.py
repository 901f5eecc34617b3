"""VirtualMachineInstances as the DNS sees them (kubevirt.io/v1 and v1alpha3, one schema); no I/O.

The addresses have been through the rules of `vmi_primary`: what is left in `addresses` is publishable as far as the
VMI can tell, and `dropped` says what was left out and why.
"""

from sys import intern

import msgspec

from dnsserver.objects.kinds import Key
from dnsserver.objects.ports import Port
from dnsserver.objects.shared import share
from dnsserver.objects.uids import Uid, created_at, dated, pack_uid, uid_text
from dnsserver.objects.vmi_further import Further, further_interfaces, is_chosen
from dnsserver.objects.vmi_primary import Reported, declared_ports, primary, primary_network
from dnsserver.objects.vmi_view import ConditionView, SpecView, StatusView, VMIView

_NAME, _NODE = 1, 2
_Own = int  # stands for the VMI's own name (_NAME) or its node (_NODE), which KubeVirt repeats as labels of every VMI


class Ready(msgspec.Struct, frozen=True, gc=False):
    """The Ready condition; absent counts as not ready. Why and since when is kept only of one that is not."""

    status: bool
    reason: str
    since: str  # lastTransitionTime as the API spells it, "" where unset


class PrimaryInterface(msgspec.Struct, frozen=True, gc=False):
    """The interface on the VMI's primary network: the pod network, or the Multus network marked default."""

    network: str  # its name in spec.networks
    masquerade: bool
    addresses: tuple[bytes, ...]  # packed, distinct, in KubeVirt's order
    dropped: tuple[tuple[str, str], ...]  # (address as reported, why it is never published)
    ports: tuple[Port, ...]  # what the interface declares: resolves a Service's named targetPort


class FurtherInterface(msgspec.Struct, frozen=True, gc=False):
    """An interface on another network than the primary one."""

    network: str  # its name, and its network's, in the spec
    addresses: tuple[bytes, ...]  # packed, distinct, in KubeVirt's order
    dropped: tuple[tuple[str, str], ...]  # (address as reported, why it is never published)


class Shape(msgspec.Struct, frozen=True, gc=False):
    """What many VMIs have in common, such as those of one group: one object for all of them."""

    namespace: str
    label_keys: tuple[str, ...]
    label_values: tuple[str | _Own, ...]
    inject: str | None  # annotation sidecar.istio.io/inject, which the pod carries as a label
    subdomain: str  # spec.subdomain, "" where unset
    deleting: bool
    phase: str
    handing_over: bool  # migrated, but KubeVirt has not finished the hand-over (migrationState)
    network: str | None  # the primary one's name; None: it has no interface on a primary network
    masquerade: bool
    ports: tuple[Port, ...]


class VirtualMachineInstance(msgspec.Struct, frozen=True, gc=False):
    """A VMI.

    There may be 100,000: what others have too is in `shape`, and the rest is in the smallest form that it has. Equal
    VMIs have equal fields.
    """

    name: str
    packed_uid: Uid  # dated
    hostname: str  # spec.hostname, "" where unset
    node: str
    pods: Uid | tuple[tuple[Uid, str], ...]  # status.activePods; a UID alone is that of the only pod, on `node`
    ready: Ready
    reported: Reported
    shape: Shape

    @property
    def key(self) -> Key:
        """Where the store keeps it."""
        return self.shape.namespace, self.name

    @property
    def namespace(self) -> str:
        """metadata.namespace."""
        return self.shape.namespace

    @property
    def uid(self) -> str:
        """metadata.uid, "" where it has none."""
        return uid_text(self.packed_uid)

    @property
    def created(self) -> int:
        """metadata.creationTimestamp in Unix time, 0 where not told."""
        return created_at(self.packed_uid)

    @property
    def labels(self) -> dict[str, str]:
        """metadata.labels."""
        return {
            key: self._label(value) for key, value in zip(self.shape.label_keys, self.shape.label_values, strict=True)
        }

    def label(self, key: str) -> str | None:
        """Return one label's value."""
        keys = self.shape.label_keys
        return self._label(self.shape.label_values[keys.index(key)]) if key in keys else None

    def _label(self, value: "str | _Own") -> str:
        """Return the text of a label's value."""
        return value if isinstance(value, str) else self.name if value == _NAME else self.node

    @property
    def inject(self) -> str | None:
        """The annotation sidecar.istio.io/inject, which the pod carries as a label."""
        return self.shape.inject

    @property
    def subdomain(self) -> str:
        """spec.subdomain, "" where unset."""
        return self.shape.subdomain

    @property
    def deleting(self) -> bool:
        """Whether it has a deletionTimestamp."""
        return self.shape.deleting

    @property
    def phase(self) -> str:
        """status.phase."""
        return self.shape.phase

    @property
    def handing_over(self) -> bool:
        """Whether it has migrated, but KubeVirt has not finished the hand-over (migrationState)."""
        return self.shape.handing_over

    @property
    def pod_nodes(self) -> tuple[tuple[Uid, str], ...]:
        """The active pods, each with its node."""
        return self.pods if isinstance(self.pods, tuple) else ((self.pods, self.node),)

    @property
    def active_pods(self) -> dict[str, str]:
        """status.activePods: pod UID -> node."""
        return {uid_text(uid): node for uid, node in self.pod_nodes}

    @property
    def primary(self) -> PrimaryInterface | None:
        """The interface on its primary network; None where it has none."""
        if self.shape.network is None:
            return None
        addresses, dropped = _taken_apart(self.reported)
        return PrimaryInterface(self.shape.network, self.shape.masquerade, addresses, dropped, self.shape.ports)

    @property
    def further(self) -> tuple[FurtherInterface, ...]:
        """Its other interfaces, as far as they are kept: of this class none."""
        return ()

    @property
    def names_primary(self) -> bool:
        """Whether its primary interface is among those with names of their own: of this class it is not."""
        return False


class Wiring(msgspec.Struct, frozen=True, gc=False):
    """Which interfaces of a VMI may have names of their own: one object for all VMIs that have the same."""

    primary: bool
    further: tuple[str, ...]  # their networks' names in the spec, in its order


class WiredInstance(VirtualMachineInstance, frozen=True, gc=False):
    """A VMI with its further interfaces: what sources make where those have names (option `interfaces`)."""

    wiring: Wiring
    reports: tuple[Reported, ...]  # of each further interface

    @property
    def further(self) -> tuple[FurtherInterface, ...]:
        """Its other interfaces that may have names."""
        pairs = zip(self.wiring.further, self.reports, strict=True)
        return tuple(FurtherInterface(network, *_taken_apart(reported)) for network, reported in pairs)

    @property
    def names_primary(self) -> bool:
        """Whether its primary interface is among those with names of their own."""
        return self.wiring.primary


def _taken_apart(reported: Reported) -> tuple[tuple[bytes, ...], tuple[tuple[str, str], ...]]:
    """Return the usable addresses, and those that were left out with the reason."""
    if isinstance(reported, bytes):
        return (reported,), ()
    usable = tuple(one for one in reported if isinstance(one, bytes))
    return usable, tuple(one for one in reported if isinstance(one, tuple))


def wired_instance(view: VMIView, wanted: Further) -> WiredInstance:
    """Return the slim object with its further interfaces; raises as `virtual_machine_instance` does."""
    spec, status = view.spec or SpecView(), view.status or StatusView()
    plain = virtual_machine_instance(view)
    namespace = plain.namespace
    network = primary_network(spec)
    found = further_interfaces(spec, status, namespace, wanted)
    named = network is not None and is_chosen(network, namespace, wanted)
    wiring = share(Wiring(named, tuple(name for name, _ in found)))
    values = (*msgspec.structs.astuple(plain), wiring, tuple(reported for _, reported in found))
    return WiredInstance(*values)


def virtual_machine_instance(view: VMIView) -> VirtualMachineInstance:
    """Return the slim object.

    Raises `ValueError` where a field that decides the answer makes no sense: a network range that is not one.
    """
    meta, spec, status = view.metadata, view.spec or SpecView(), view.status or StatusView()
    node = intern(status.node_name or "")
    network, masquerade, reported = primary(spec, status)
    labels = meta.labels or {}
    shape = Shape(
        namespace=intern(meta.namespace or ""),
        label_keys=share(tuple(labels)),
        label_values=tuple(_own(value, meta.name, node) for value in labels.values()),
        inject=meta.annotations.inject if meta.annotations else None,
        subdomain=intern(spec.subdomain or ""),
        deleting=meta.deletion_timestamp is not None,
        phase=intern(status.phase or ""),
        handing_over=_handing_over(status),
        network=network,
        masquerade=masquerade,
        ports=declared_ports(spec) if network is not None else (),
    )
    return VirtualMachineInstance(
        name=meta.name,
        packed_uid=dated(pack_uid(meta.uid or ""), meta.created),
        hostname=spec.hostname or "",
        node=node,
        pods=_pods(status.active_pods or {}, node),
        ready=_ready(status.conditions or []),
        reported=reported,
        shape=share(shape),
    )


def _own(value: str, name: str, node: str) -> str | _Own:
    """Return a label's value; one that repeats the VMI's own name or node by what stands for it, as it is shared."""
    return _NAME if value == name else _NODE if value == node else value


def _pods(pods: dict[str, str], node: str) -> Uid | tuple[tuple[Uid, str], ...]:
    """Return the active pods."""
    if len(pods) == 1 and node in pods.values():
        return pack_uid(next(iter(pods)))
    return tuple((pack_uid(uid), intern(where)) for uid, where in pods.items())


def _ready(conditions: list[ConditionView]) -> Ready:
    """Return the Ready condition."""
    for condition in conditions:
        if condition.type == "Ready":
            if condition.status == "True":
                return _READY
            return share(Ready(False, condition.reason or "", condition.last_transition_time or ""))
    return _ABSENT


_READY, _ABSENT = Ready(True, "", ""), Ready(False, "", "")


def _handing_over(status: StatusView) -> bool:
    """Say whether the guest runs on the target while KubeVirt still completes the migration.

    `migrationState` stays in the status for good, so its presence says nothing (virt-controller,
    ackMigrationCompletion).
    """
    migration = status.migration_state
    return (
        migration is not None
        and bool(migration.end_timestamp)
        and not migration.failed
        and not migration.completed
        and bool(status.node_name)
        and status.node_name == migration.target_node
    )
