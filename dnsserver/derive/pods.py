"""Names of pods: `<address with dashes>.<namespace>.pod.<zone>` (CoreDNS plugin/kubernetes, option `pods`); no I/O."""

from ipaddress import ip_address

from dnsserver.derive.endpoint import Endpoint, Host, host
from dnsserver.names import Name, from_labels, labels
from dnsserver.objects.views import packed
from dnsserver.records import RRset
from dnsserver.zone import Zone

_POD = b"pod"


def pod_owner(namespace: str, address: bytes, origin: Name) -> Name:
    """Return the owner of a pod's address records. Raises `InvalidNameError`."""
    return from_labels((_pod_label(address), namespace.encode(), _POD), origin)


def pod_records(address: bytes, ttl: int) -> Host:
    """Return the records of a pod's name."""
    return host(Endpoint(_pod_label(address), (address,), ()), ttl)


def _pod_label(address: bytes) -> bytes:
    """Return an address with dashes for its dots or colons."""
    return str(ip_address(address)).replace(".", "-").replace(":", "-").encode()


def insecure_pod(zone: Zone, name: Name, ttl: int) -> tuple[RRset, ...] | None:
    """Return the records that any address has by its name alone (`pods insecure`), below a published namespace.

    None for every other name. A label with three dashes, none of them together, is an IPv4 address, any other IPv6.
    """
    parts = labels(name[: len(name) - len(zone.origin)] + b"\0")
    if len(parts) != 3 or parts[2] != _POD or zone.nodes.get(Name(name[1 + len(parts[0]) :])) is None:
        return None
    text = parts[0].decode("latin-1")
    address = packed(text.replace("-", "." if text.count("-") == 3 and "--" not in text else ":"))
    if address is None or "." in text:  # dots inside a label are no dashes
        return None
    return pod_records(address, ttl).rrsets(name)
