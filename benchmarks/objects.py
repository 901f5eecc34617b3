"""Objects as a KubeVirt cluster would hold them, in any number; a VMI is about 2.5 kB of JSON, as in a real list."""

import ipaddress
import json
from collections.abc import Iterator
from typing import Any

PER_SERVICE = 100  # VMIs under one headless Service
_FIRST = ipaddress.IPv4Address("10.128.0.1")


def address(index: int, change: int = 0) -> str:
    """Return the address of a VMI; each change gives it another one."""
    return str(_FIRST + index + change * 2**20)


def names(index: int) -> tuple[str, str]:
    """Return a VMI's host name and its Service."""
    return f"vm-{index:07d}", f"group-{index // PER_SERVICE:05d}"


def vmi(index: int, change: int = 0) -> dict[str, Any]:
    """Return a Running and Ready VMI."""
    host, group = names(index)
    node = f"node-{index % 500:03d}"
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": {
            "name": host,
            "namespace": "bench",
            "uid": f"00000000-0000-4000-8000-{index:012d}",
            "labels": {"group": group, "app": "bench", "kubevirt.io/nodeName": node},
            "annotations": {"kubevirt.io/latest-observed-api-version": "v1", "note": "x" * 200},
            "finalizers": ["kubevirt.io/foregroundDeleteVirtualMachine"],
            "creationTimestamp": "2026-09-01T08:00:05Z",
        },
        "spec": {
            "subdomain": group,
            "evictionStrategy": "LiveMigrate",
            "domain": {
                "cpu": {"cores": 1, "model": "host-model", "sockets": 1, "threads": 1},
                "devices": {
                    "disks": [{"disk": {"bus": "virtio"}, "name": "containerdisk"}],
                    "interfaces": [{"masquerade": {}, "model": "virtio", "name": "default"}],
                    "rng": {},
                },
                "firmware": {"uuid": f"11111111-0000-4000-8000-{index:012d}"},
                "machine": {"type": "q35"},
                "memory": {"guest": "1Gi", "maxGuest": "4Gi"},
            },
            "networks": [{"name": "default", "pod": {}}],
            "volumes": [{"containerDisk": {"image": "registry.example/fedora:42"}, "name": "containerdisk"}],
        },
        "status": {
            "activePods": {f"22222222-0000-4000-8000-{index:012d}": node},
            "conditions": [
                {"lastTransitionTime": "2026-09-01T08:00:41Z", "status": "True", "type": "Ready"},
                {"lastTransitionTime": None, "status": "True", "type": "LiveMigratable"},
                {"lastProbeTime": "2026-09-01T08:00:58Z", "status": "True", "type": "AgentConnected"},
            ],
            "guestOSInfo": {"id": "fedora", "kernelRelease": "6.15.4-200.fc42.x86_64", "name": "Fedora Linux"},
            "interfaces": [
                {
                    "infoSource": "domain, guest-agent",
                    "interfaceName": "eth0",
                    "ipAddress": address(index, change),
                    "ipAddresses": [address(index, change)],
                    "mac": "02:a9:17:af:8d:1c",
                    "name": "default",
                }
            ],
            "nodeName": node,
            "phase": "Running",
            "phaseTransitionTimestamps": [
                {"phase": phase, "phaseTransitionTimestamp": "2026-09-01T08:00:05Z"}
                for phase in ("Pending", "Scheduling", "Scheduled", "Running")
            ],
            "qosClass": "Burstable",
        },
    }


def service(group: str) -> dict[str, Any]:
    """Return the headless Service of a group of VMIs."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": group, "namespace": "bench", "uid": f"uid-{group}"},
        "spec": {
            "clusterIP": "None",
            "clusterIPs": ["None"],
            "ipFamilies": ["IPv4"],
            "selector": {"group": group},
            "ports": [{"name": "ssh", "port": 22, "protocol": "TCP", "targetPort": 22}],
        },
    }


def twenty(group: int) -> str:
    """Return the name of a second Service, of 20 VMIs."""
    return f"twenty-{group:05d}"


def everything(vmis: int, twenties: int = 0) -> Iterator[dict[str, Any]]:
    """Yield the Namespace, the Services and the VMIs; the first VMIs are also in so many Services of 20."""
    yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "bench", "uid": "uid-bench"}}
    for group in range(-(-vmis // PER_SERVICE)):
        yield service(f"group-{group:05d}")
    for group in range(twenties):
        value = service(twenty(group))
        value["spec"]["selector"] = {"twenty": twenty(group)}
        yield value
    for index in range(vmis):
        value = vmi(index)
        if index < twenties * 20:
            value["metadata"]["labels"]["twenty"] = twenty(index // 20)
        yield value


def manifest(vmis: int, twenties: int = 0) -> Iterator[bytes]:
    """Yield the octets of one JSON List, an object at a time."""
    yield b'{"apiVersion":"v1","kind":"List","items":[\n'
    for position, value in enumerate(everything(vmis, twenties)):
        yield (b",\n" if position else b"") + json.dumps(value, separators=(",", ":")).encode()
    yield b"\n]}\n"
