"""Names that stand for others: a lookup that finds nothing tries these; no I/O."""

from dnsserver.derive.service import PortRecords, ServiceView
from dnsserver.names import Name, parent
from dnsserver.records import RRset
from dnsserver.zone import Zone

_ZONE = b"\x05_zone"  # a label, in wire form
_MODES = {b"\x03pin": False, b"\x06prefer": True}  # whether endpoints elsewhere stand in


def port_alias(zone: Zone, name: Name, *, multicluster: bool) -> tuple[RRset, ...] | None:
    """Return the records of a port's name that lacks an underscore or both: CoreDNS takes `http.tcp.<service>` too.

    In a multicluster zone two labels without any are an endpoint and its cluster. The name above, `tcp.<service>`,
    exists without records (RFC 8020). None for every other name.
    """
    first = _first(name)
    if not first.startswith(b"_") and Name(_underscored(first) + name[1 + len(first) :]) in zone.below:
        return ()
    port, protocol = first, _first(parent(name))
    if not port or not protocol:
        return None
    plain = [label for label in (port, protocol) if not label.startswith(b"_")]
    if not plain or (multicluster and len(plain) == 2):
        return None
    spelled = b"".join(_underscored(label) for label in (port, protocol))
    records = zone.nodes.get(Name(spelled + name[2 + len(port) + len(protocol) :]))
    return records.rrsets(name) if isinstance(records, PortRecords) else None


def zonal(zone: Zone, name: Name) -> tuple[RRset, ...] | None:
    """Return the records of `<topology zone>.pin|prefer._zone.<headless Service>` (CoreDNS option `zonal`).

    The names above it exist without records (RFC 8020). None for every other name.
    """
    rest = bytes(name)
    prefix: list[bytes] = []
    while len(prefix) < 3 and rest[0]:
        if rest.startswith(_ZONE):
            return _zonal(zone, name, prefix, Name(rest[len(_ZONE) :]))
        prefix.append(rest[: 1 + rest[0]])
        rest = rest[1 + rest[0] :]
    return None


def _zonal(zone: Zone, name: Name, prefix: list[bytes], service: Name) -> tuple[RRset, ...] | None:
    """Return the records of a zonal name, of which `prefix` are the labels before `_zone`."""
    view = zone.nodes.get(service)
    mode = prefix[-1] if prefix else b"\x03pin"
    if not isinstance(view, ServiceView) or not view.headless or mode not in _MODES:
        return None
    if len(prefix) < 2:
        return ()
    return view.zonal_rrsets(name, prefix[0][1:].decode("latin-1"), elsewhere=_MODES[mode])


def _first(name: Name) -> bytes:
    """Return the first label, empty for the root."""
    return name[1 : 1 + name[0]]


def _underscored(label: bytes) -> bytes:
    """Return a label in wire form, with an underscore in front."""
    label = label if label.startswith(b"_") else b"_" + label
    return bytes((len(label),)) + label
