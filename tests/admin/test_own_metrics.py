"""The metrics of clusters and sockets, as families and in the text of a scrape."""

import time
from collections.abc import Iterable

from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from dnsserver.admin.metrics import Metrics
from dnsserver.admin.own_metrics import cluster_families, transport_families
from dnsserver.cluster import Cluster
from dnsserver.derive.observation import Timing
from dnsserver.events import Changed, Event
from dnsserver.names import from_text
from dnsserver.objects import Kind, Object
from dnsserver.store import Store, StoreConfig
from dnsserver.transports import TransportStats
from tests import build
from tests.test_cluster import Scripted, following

Samples = dict[str, dict[tuple[str, ...], float]]


def samples(families: Iterable[Metric]) -> Samples:
    """Return each family's samples by their label values."""
    return {
        family.name: {tuple(sample.labels.values()): sample.value for sample in family.samples} for family in families
    }


def migrating() -> list[Event]:
    """Return what makes vm1 hand over, and vm2 lose its address."""
    migration = {"targetNode": "node2", "endTimestamp": "2026-01-01T00:00:00Z", "completed": False}
    return [
        Changed(Kind.VMI, build.vmi("vm1", ready=False, node="node2", migration=migration)),
        Changed(Kind.VMI, build.vmi("vm2", addresses=())),
    ]


async def test_cluster_before_the_first_sync() -> None:
    """Everything is there with the value 0, so that an alert has something to look at."""
    source = Scripted([])
    found = samples(cluster_families(Cluster(Store(build.CONFIG), [source])))
    assert found["dnsserver_synced"] == {("cluster.local.",): 0}
    assert set(found["dnsserver_objects"].values()) == {0}
    assert found["dnsserver_source_age_seconds"] == {}
    assert found["dnsserver_lists"] == {("cluster.local.", kind.value): 0 for kind in Kind}


async def test_cluster() -> None:
    """Objects by kind, zones, what is remembered of VMIs, and what the source has counted."""
    objects: list[Object] = [
        build.namespace(),
        build.service(),
        build.vmi("vm1"),
        build.vmi("vm2", addresses=("10.244.0.8",)),
        build.vmi("vm3", phase="Succeeded"),
        build.vmi("vm4", hostname="a.b"),
        build.vmi("vm5", labels={"app": "another"}, phase="Failed"),
    ]
    source = Scripted([*build.lists(objects), *migrating()])
    source.status.contact(Kind.VMI)
    source.status.refused[Kind.SERVICE] += 2
    source.status.lists[Kind.VMI] += 1
    source.status.watch_errors[Kind.NAMESPACE] += 3
    source.status.relist_differences[Kind.VMI] += 5
    for known, count in ((10, 0), (10, 1), (0, 0), (1, 0)):
        source.status.listed(Kind.SERVICE, known, count)
    source.status.ignored = 4
    cluster = Cluster(Store(build.CONFIG), [source])
    async with following(cluster):
        await cluster.wait_synced()
        await source.taken.wait()
        found = samples(cluster_families(cluster))
    name = "cluster.local."
    assert found["dnsserver_synced"] == {(name,): 1}
    assert found["dnsserver_objects"] == {
        (name, "Namespace"): 1,
        (name, "Service"): 1,
        (name, "EndpointSlice"): 0,
        (name, "VirtualMachineInstance"): 5,
    }
    assert set(found["dnsserver_zone_names"]) == {(name,), ("in-addr.arpa.",), ("ip6.arpa.",)}
    assert found["dnsserver_zone_names"][(name,)] >= 3
    assert found["dnsserver_zone_serial"][(name,)] > 0
    assert found["dnsserver_migration_graces"] == {(name,): 1}
    assert found["dnsserver_address_holds"] == {(name,): 1}
    rules = {"host_label": 1, "phase": 1, "deleting": 0, "ready": 0, "primary_network": 0, "address": 0}
    assert found["dnsserver_unpublished_vmis"] == {(name, rule): count for rule, count in rules.items()}
    age = found["dnsserver_source_age_seconds"]
    assert list(age) == [(name, "VirtualMachineInstance")]
    assert 0 <= age[name, "VirtualMachineInstance"] < 60
    assert found["dnsserver_refused_objects"][name, "Service"] == 2
    assert found["dnsserver_lists"][name, "VirtualMachineInstance"] == 1
    assert found["dnsserver_watch_errors"][name, "Namespace"] == 3
    assert found["dnsserver_relist_differences"][name, "VirtualMachineInstance"] == 5
    assert found["dnsserver_lists"][name, "Service"] == 4
    assert found["dnsserver_list_shrinks"][name, "Service"] == 2
    assert found["dnsserver_relist_differences"][name, "Namespace"] == 0
    assert found["dnsserver_ignored_objects"] == {(name,): 4}


async def test_what_is_over_does_not_count() -> None:
    """A grace and a hold that have run out are none, even where nothing has looked at them since."""
    store = Store(StoreConfig(zones=(build.ZONE,), reverse_zones=(), timing=Timing(0.5, 0.5)))
    objects: list[Object] = [build.service(), build.vmi("vm1"), build.vmi("vm2", addresses=("10.244.0.8",))]
    past = time.monotonic() - 1
    build.apply_all(store, build.lists(objects), past)
    build.apply_all(store, migrating(), past)
    found = samples(cluster_families(Cluster(store, [])))
    assert found["dnsserver_migration_graces"] == found["dnsserver_address_holds"] == {("cluster.local.",): 0}


async def test_several_clusters_are_one_family_each() -> None:
    """Two `kubernetes` plugins are told apart by their first zones, in a text that parses."""
    metrics = Metrics("1")
    for zone in ("a.test", "b.test"):
        config = StoreConfig(zones=(from_text(zone),), reverse_zones=())
        cluster = Cluster(Store(config), [Scripted([])])
        metrics.register(lambda cluster=cluster: cluster_families(cluster))  # type: ignore[misc]  # the default binds it
    text = (await metrics.render()).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert sorted(sample.labels["cluster"] for sample in families["dnsserver_synced"].samples) == ["a.test.", "b.test."]
    assert text.count("# TYPE dnsserver_synced ") == 1
    assert text.count("# TYPE dnsserver_lists_total ") == 1


def test_transports() -> None:
    """Every counter of a listener is exported, whatever is added to them."""
    (family,) = transport_families(
        {"dns://:53": TransportStats(messages=7, send_errors=1), "dns://:54": TransportStats()}
    )
    values = {(sample.labels["server"], sample.labels["event"]): sample.value for sample in family.samples}
    assert values["dns://:53", "messages"] == 7
    assert values["dns://:53", "send_errors"] == 1
    assert values["dns://:54", "messages"] == 0
    assert len(values) == 2 * len(TransportStats.__dataclass_fields__)
