"""The names in the zones that are no Service's: apexes, namespaces, pods, and those that cannot be listed; no I/O."""

from functools import partial

from dnsserver.derive.aliases import port_alias, zonal
from dnsserver.derive.apex import apex_records
from dnsserver.derive.pods import insecure_pod, pod_owner, pod_records
from dnsserver.names import InvalidNameError, Name, from_labels, is_dns1123_label
from dnsserver.store.config import StoreConfig
from dnsserver.store.publication import Publication
from dnsserver.zone import EMPTY, Fallback


def publish_apexes(
    publication: Publication, config: StoreConfig, servers: tuple[Name, ...], addresses: tuple[bytes, ...]
) -> None:
    """Set the names that every zone has; its NS records lead to `servers`, and those to `addresses`."""
    for origin in (*config.zones, *config.reverse_zones):
        reverse = origin in config.reverse_zones
        publication.fix(origin, apex_records(origin, servers, addresses, config.ttl, reverse=reverse))


def publish_namespace(publication: Publication, config: StoreConfig, namespace: str, *, exists: bool) -> None:
    """Make `<namespace>.svc.<zone>`, and where pods have names `<namespace>.pod.<zone>`, exist or cease to.

    One that Kubernetes would not name so has none: `NS1` is `ns1` to the DNS, and would take its name along.
    """
    if not is_dns1123_label(namespace):
        return
    below = (b"svc",) if config.pods == "disabled" or config.imported else (b"svc", b"pod")
    for origin in config.zones:
        for label in below:
            try:
                name = from_labels((namespace.encode(), label), origin)
            except InvalidNameError:
                continue
            publication.set(origin, name, EMPTY if exists else None)


def publish_pod(publication: Publication, config: StoreConfig, namespace: str, address: bytes, *, exists: bool) -> None:
    """Give an address the name of a pod, or take it away; a namespace without a name has none for its pods."""
    if not is_dns1123_label(namespace):
        return
    for origin in config.zones:
        try:
            name = pod_owner(namespace, address, origin)
        except InvalidNameError:
            continue
        publication.set(origin, name, pod_records(address, config.ttl) if exists else None)


def fallbacks(config: StoreConfig) -> tuple[Fallback, ...]:
    """Return the rules for names that cannot be listed."""
    rules: list[Fallback] = [partial(port_alias, multicluster=config.imported)]
    if config.pods == "insecure":
        rules.append(partial(insecure_pod, ttl=config.ttl))
    if config.zonal:
        rules.append(zonal)
    return tuple(rules)
