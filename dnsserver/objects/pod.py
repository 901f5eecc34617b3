"""Pods: their address, for `pods verified` and `autopath`; no I/O."""

import msgspec

from dnsserver.objects.kinds import Key
from dnsserver.objects.views import Meta, View, packed

_FINAL = frozenset({"Succeeded", "Failed", "Unknown"})  # phases that CoreDNS's field selector leaves out


class Pod(msgspec.Struct, frozen=True, gc=False):
    """A Pod."""

    namespace: str
    name: str
    uid: str
    address: bytes  # status.podIP, packed; empty where it has none or the pod has ended
    deleting: bool  # it goes, but has not ended yet

    @property
    def key(self) -> Key:
        """Where the store keeps it."""
        return self.namespace, self.name


class PodMeta(Meta):
    """What the API sends."""

    deletion_timestamp: str | None = None


class StatusView(View):
    """What the API sends."""

    phase: str | None = None
    pod_ip: str | None = msgspec.field(default=None, name="podIP")


class PodView(View):
    """What the API sends."""

    metadata: PodMeta
    status: StatusView | None = None


def pod(view: PodView) -> Pod:
    """Return the slim object."""
    status = view.status or StatusView()
    ended = status.phase in _FINAL
    return Pod(
        namespace=view.metadata.namespace or "",
        name=view.metadata.name,
        uid=view.metadata.uid or "",
        address=(packed(status.pod_ip or "") or b"") if not ended else b"",
        deleting=view.metadata.deletion_timestamp is not None and not ended,
    )
