"""Namespaces: only that they exist matters; no I/O."""

import msgspec

from dnsserver.objects.kinds import Key
from dnsserver.objects.views import Meta, View


class Namespace(msgspec.Struct, frozen=True, gc=False):
    """A Namespace."""

    name: str
    uid: str
    created: int = 0  # metadata.creationTimestamp in Unix time, 0 where not told

    @property
    def key(self) -> Key:
        """Where the store keeps it."""
        return "", self.name


class NamespaceView(View):
    """What the API sends."""

    metadata: Meta


def namespace(view: NamespaceView) -> Namespace:
    """Return the slim object."""
    return Namespace(view.metadata.name, view.metadata.uid or "", view.metadata.created)
