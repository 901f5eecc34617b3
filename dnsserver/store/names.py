"""The names in the zones that are no Service's: apexes, namespaces, pods, and those that cannot be listed; no I/O."""

from collections.abc import Iterator
from functools import partial

from dnsserver.derive.aliases import port_alias, zonal
from dnsserver.derive.apex import apex_records, delegated_apex_records
from dnsserver.derive.pods import insecure_pod, pod_owner, pod_records
from dnsserver.names import InvalidNameError, Name, from_labels, is_dns1123_label, labels
from dnsserver.store.config import StoreConfig
from dnsserver.store.known import Known
from dnsserver.store.marks import Pending
from dnsserver.store.publication import Publication
from dnsserver.zone import EMPTY, Fallback


def publish_apexes(
    publication: Publication, config: StoreConfig, servers: tuple[Name, ...], addresses: tuple[bytes, ...]
) -> None:
    """Set the names that every zone has; its NS records lead to `servers`, and those to `addresses`."""
    for origin in (*config.zones, *config.reverse_zones):
        reverse = origin in config.reverse_zones
        publication.fix(origin, apex_records(origin, servers, addresses, config.ttl, reverse=reverse))


def publish_delegated(publication: Publication, config: StoreConfig) -> None:
    """Set the names that every zone of `interfaces` has."""
    interfaces = config.interfaces
    if interfaces is None:
        return
    for origin in interfaces.zones:
        records = delegated_apex_records(origin, interfaces.servers, config.addresses, interfaces.ttl)
        publication.fix(origin, records)


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


class OtherNames:
    """Keeps those that are listed in line with what is known: each method does what `pending` names of its kind."""

    def __init__(self, config: StoreConfig, known: Known, pending: Pending, publication: Publication) -> None:
        self._config = config
        self._known = known
        self._pending = pending
        self._publication = publication
        self._servers: tuple[tuple[Name, ...], tuple[bytes, ...]] = (), config.addresses
        publish_apexes(publication, config, *self._servers)
        publish_delegated(publication, config)

    def namespaces(self) -> Iterator[None]:
        """Set the names of namespaces, and note all that is in them."""
        while self._pending.namespaces:
            namespace = self._pending.namespaces.pop()
            exists = self._known.named(namespace)
            publish_namespace(self._publication, self._config, namespace, exists=exists)
            self._pending.whole.setdefault(namespace, set()).update(self._known.services.in_namespace(namespace))
            for pod in self._known.pods.in_namespace(namespace).values():
                if pod.address:
                    self._pending.pods.add((namespace, pod.address))
                yield

    def pods(self) -> Iterator[None]:
        """Set the names of the pods whose addresses have changed."""
        while self._pending.pods:
            namespace, address = self._pending.pods.pop()
            exists = self._known.exposed(namespace) and self._known.pod_addresses.has(namespace, address)
            publish_pod(self._publication, self._config, namespace, address, exists=exists)
            yield

    def apexes(self) -> None:
        """Set the names that every zone has, and where its NS records lead: to ourselves."""
        if (servers := self._name_servers()) != self._servers:
            self._servers = servers
            publish_apexes(self._publication, self._config, *servers)

    def _name_servers(self) -> tuple[tuple[Name, ...], tuple[bytes, ...]]:
        """Return the names that this server has in the first zone, and where they lead.

        They are those of the Services that one of its addresses is behind: a Service with a cluster IP is reached by
        its own name, a headless one by the endpoint's (CoreDNS ns.go). Without any: no name, and the server's own
        addresses.
        """
        names: dict[Name, None] = {}
        addresses: dict[bytes, None] = {}
        above = len(labels(self._config.zones[0])) + 1  # the zone's labels, and `svc`
        for address in self._config.addresses:
            for endpoint in self._publication.endpoint_names(address):
                service, namespace = labels(endpoint)[-above - 2 : -above]
                one = self._known.services.get((namespace.decode(), service.decode()))
                if one is not None and one.headless:
                    names[endpoint] = addresses[address] = None
                elif one is not None and one.cluster_ips:
                    names[from_labels((service, namespace, b"svc"), self._config.zones[0])] = None
                    addresses |= dict.fromkeys(one.cluster_ips)
        return tuple(names), tuple(addresses) or self._config.addresses
