"""The search path of a client of `kubernetes`: of a VMI's guest, or of a pod (`autopath`)."""

from functools import lru_cache

from dnsserver.names import InvalidNameError, Name, from_labels, is_at_or_below, is_dns1123_label
from dnsserver.objects.views import packed
from dnsserver.store import Store
from dnsserver.zone import find_origin

_PATHS = 4096  # that are remembered; made anew, one takes some microseconds


def search_path(store: Store, zones: tuple[Name, ...], client_address: str, asked: Name) -> tuple[Name, ...]:
    """Return what the client at an address appends to the names it looks up, first to last; none where nobody has it.

    `zones` are the plugin's forward zones; the one that `asked` is in is taken for the client's own.
    """
    zone = find_origin(zones, asked)
    address = packed(client_address)  # an IPv4 client of a socket for both families has an IPv6 address
    if zone is None or address is None:
        return ()
    guests = store.guests(address)
    if not guests:
        namespace = store.pod_namespace(address)
        return () if namespace is None else _path(zone, namespace, "")
    paths = [_path(zone, one.namespace, one.subdomain) for one in guests]
    # networks of their own may use the same addresses: who asks for a name of his subdomain is who is meant
    return next((path for path in paths if path and is_at_or_below(asked, path[0])), paths[0])


@lru_cache(_PATHS)
def _path(zone: Name, namespace: str, subdomain: str) -> tuple[Name, ...]:
    """Return the search path of a pod, or of a guest: KubeVirt's DHCP puts the subdomain first (pkg/network/dns).

    A pod is refused whose subdomain is not a label, so no guest has such a path.
    """
    try:
        own = from_labels((namespace.encode(), b"svc"), zone)
        first = (from_labels((subdomain.encode(),), own),) if is_dns1123_label(subdomain) else ()
        return (*first, own, from_labels((b"svc",), zone), zone)
    except InvalidNameError:
        return ()
