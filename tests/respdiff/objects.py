"""What the compared servers serve: every case as a zone of its own, all of them together, and generated objects."""

import json
from collections.abc import Iterator
from pathlib import Path

from benchmarks import objects

CASES = Path(__file__).parent.parent / "cases"
WHOLE = "cluster.local in-addr.arpa ip6.arpa"  # the zones of all objects together

# the times are longer than a comparison takes: nothing may change between the dump and the last query
_BLOCK = """{zones} {{
    bind 127.0.0.1
    errors
    kubernetes {{
        manifests {manifests}
        migration_grace 1h
        address_hold 1h
        startup_timeout 5m
    }}
}}
"""
_KINDS = frozenset({"Namespace", "Service", "EndpointSlice", "VirtualMachineInstance", "Pod", "ServiceImport"})


def write_corefile(folder: Path, vmis: int, cases: int | None = None) -> Path:
    """Write a Corefile and the manifests that it names; return it. `cases` is how many of them are served."""
    manifests = list(_case_manifests(folder))[:cases]
    generated = folder / "generated.json"
    generated.write_bytes(b"".join(objects.manifest(vmis)))
    aliases = folder / "aliases.json"
    aliases.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(_aliases())}))
    everything = " ".join(f'"{path}"' for path in (*manifests, generated, aliases))
    blocks = [_BLOCK.format(zones=WHOLE, manifests=everything)]
    blocks += [_BLOCK.format(zones=f"{_label(path)}.test", manifests=f'"{path}"') for path in manifests]
    corefile = folder / "Corefile"
    corefile.write_text("\n".join(blocks))
    return corefile


_TARGETS = {  # Service -> its externalName
    "outside": "www.example.org",
    "to-service": "group-00000.bench.svc.cluster.local",
    "to-host": "vm-0000001.group-00000.bench.svc.cluster.local",
    "to-alias": "to-host.bench.svc.cluster.local",
    "to-nothing": "nothing.bench.svc.cluster.local",
    "to-nothing-later": "to-nothing.bench.svc.cluster.local",
    "to-namespace": "bench.svc.cluster.local",
    "to-itself": "to-itself.bench.svc.cluster.local",
    "to-other-zone": "1.0.128.10.in-addr.arpa",
}


def _aliases() -> Iterator[dict[str, object]]:
    """Yield Services that are aliases, of every sort."""
    for name, target in _TARGETS.items():
        metadata = {"name": name, "namespace": "bench", "uid": f"uid-{name}"}
        spec = {"type": "ExternalName", "externalName": target}
        yield {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def _case_manifests(folder: Path) -> Iterator[Path]:
    """Yield a manifest of each case; those of CoreDNS's are written first."""
    for path in sorted((CASES / "coredns").glob("*.json")):
        values = [value for value in json.loads(path.read_text())["objects"] if value["kind"] in _KINDS]
        manifest = folder / f"coredns-{path.name}"
        manifest.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": values}))
        yield manifest
    yield from sorted((CASES / "kubevirt").glob("*.yaml"))


def _label(path: Path) -> str:
    """Return the label of a case's own zone."""
    return path.stem.removesuffix(".expect").lower()
