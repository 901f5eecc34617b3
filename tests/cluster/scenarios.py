"""What a cluster does to names, step by step, and what is answered then; in which cluster is the caller's matter.

Objects are written through the API and nothing else runs in the cluster that would write VMIs, so a scenario says
itself what KubeVirt would say of a VM's life. Each has a namespace of its own, and asks for nothing of any other.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

from tests.build import Json, namespace_json, service_json, vmi_json

ZONE = "cluster.local"
NXDOMAIN = None  # instead of addresses


class ClusterUnderTest(Protocol):
    """A cluster with a server that follows it."""

    async def put(self, value: Json) -> None:
        """Create an object, or replace the one of its name, status included."""
        ...

    async def delete(self, value: Json) -> None:
        """Delete an object."""
        ...

    async def becomes(self, qname: str, qtype: str, expected: list[str] | None) -> None:
        """Ask until the answer has these RDATA, sorted, or is NXDOMAIN. Raises `TimeoutError`, or `AssertionError`."""
        ...


Scenario = Callable[[ClusterUnderTest, str], Awaitable[None]]


def host(namespace: str, label: str = "vm1", service: str = "db") -> str:
    """Return the name of a VMI."""
    return f"{label}.{service}.{namespace}.svc.{ZONE}"


def reverse(address: str) -> str:
    """Return the reverse name of an IPv4 address."""
    return ".".join(reversed(address.split("."))) + ".in-addr.arpa"


async def _prepare(cluster: ClusterUnderTest, namespace: str) -> None:
    await cluster.put(namespace_json(namespace))
    await cluster.put(service_json(namespace=namespace))


async def user_guide(cluster: ClusterUnderTest, namespace: str) -> None:
    """KubeVirt's user guide: host name, subdomain, headless Service; forward and reverse."""
    await _prepare(cluster, namespace)
    await cluster.put(vmi_json(namespace=namespace, addresses=("10.250.0.7",)))
    await cluster.becomes(host(namespace), "A", ["10.250.0.7"])
    await cluster.becomes(f"db.{namespace}.svc.{ZONE}", "A", ["10.250.0.7"])
    await cluster.becomes(host(namespace), "AAAA", [])
    await cluster.becomes(reverse("10.250.0.7"), "PTR", [f"{host(namespace)}."])


async def addresses_change(cluster: ClusterUnderTest, namespace: str) -> None:
    """Another address, then no VMI any more."""
    await _prepare(cluster, namespace)
    vmi = vmi_json(namespace=namespace, addresses=("10.250.1.7",))
    await cluster.put(vmi)
    await cluster.becomes(host(namespace), "A", ["10.250.1.7"])
    await cluster.put(vmi_json(namespace=namespace, addresses=("10.250.1.8",)))
    await cluster.becomes(host(namespace), "A", ["10.250.1.8"])
    await cluster.becomes(reverse("10.250.1.7"), "PTR", NXDOMAIN)
    await cluster.delete(vmi)
    await cluster.becomes(host(namespace), "A", NXDOMAIN)


async def service_comes_and_goes(cluster: ClusterUnderTest, namespace: str) -> None:
    """There is no name without the headless Service, and none once it is deleted."""
    await cluster.put(namespace_json(namespace))
    await cluster.put(vmi_json(namespace=namespace, addresses=("10.250.2.7",)))
    await cluster.becomes(host(namespace), "A", NXDOMAIN)
    await cluster.put(service_json(namespace=namespace))
    await cluster.becomes(host(namespace), "A", ["10.250.2.7"])
    await cluster.delete(service_json(namespace=namespace))
    await cluster.becomes(host(namespace), "A", NXDOMAIN)


async def readiness_gates_the_name(cluster: ClusterUnderTest, namespace: str) -> None:
    """A VMI that is not Ready has no name, and gets it back."""
    await _prepare(cluster, namespace)
    for ready in (False, True, False):
        await cluster.put(vmi_json(namespace=namespace, addresses=("10.250.3.7",), ready=ready))
        await cluster.becomes(host(namespace), "A", ["10.250.3.7"] if ready else NXDOMAIN)


async def live_migration(cluster: ClusterUnderTest, namespace: str) -> None:
    """The source until the hand-over, then the target; the name never goes."""
    source, target = "10.250.4.7", "10.250.4.9"
    pods = {"pod-source": "node1", "pod-target": "node2"}
    migration: Json = {"sourceNode": "node1", "targetNode": "node2", "startTimestamp": "2026-01-01T00:00:00Z"}
    ended: Json = migration | {"endTimestamp": "2026-01-01T00:00:09Z"}
    await _prepare(cluster, namespace)
    steps: tuple[tuple[str, str, Json, bool], ...] = (
        (source, "node1", migration, True),
        (target, "node2", ended, False),
        (target, "node2", ended | {"completed": True}, True),
    )
    for address, node, state, ready in steps:
        vmi = vmi_json(namespace=namespace, addresses=(address,), pods=pods, node=node, migration=state, ready=ready)
        await cluster.put(vmi)
        await cluster.becomes(host(namespace), "A", [address])


async def many(cluster: ClusterUnderTest, namespace: str) -> None:
    """Fifty VMIs of one Service at once; the Service's name has them all."""
    await _prepare(cluster, namespace)
    addresses = [f"10.250.5.{number}" for number in range(1, 51)]
    for number, address in enumerate(addresses):
        await cluster.put(vmi_json(f"vm{number}", namespace=namespace, addresses=(address,)))
    await cluster.becomes(f"db.{namespace}.svc.{ZONE}", "A", sorted(addresses))
    await cluster.becomes(host(namespace, "vm49"), "A", [addresses[49]])


SCENARIOS: tuple[Scenario, ...] = (
    user_guide,
    addresses_change,
    service_comes_and_goes,
    readiness_gates_the_name,
    live_migration,
    many,
)


def namespace_of(scenario: Scenario) -> str:
    """Return the namespace of a scenario."""
    name: str = getattr(scenario, "__name__")  # noqa: B009 -- a callable need not have one, these do
    return f"dns-{name.replace('_', '-')}"
