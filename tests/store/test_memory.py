"""What a VMI costs in memory, by Python's own count: 100,000 of them have to fit in 150 MiB with all else."""

import gc
import json
import tracemalloc

from benchmarks import objects
from dnsserver.events import Changed
from dnsserver.objects import Kind, Object, decode_object
from dnsserver.store import Store
from tests import build

COUNT = 3000
LIMIT = 800  # octets a VMI, in the store and in the zones; 606 were measured


def decoded(value: build.Json) -> Object:
    """Return an object as a source decodes it, nothing of it shared with others."""
    return decode_object(Kind(value["kind"]), json.dumps(value).encode())


def test_octets_per_vmi() -> None:
    """The object, its indexes, its host name and its reverse name, as the benchmark's VMIs have them."""
    store = Store(build.CONFIG)
    tracemalloc.start()
    try:
        build.apply_all(store, build.lists([decoded(one) for one in objects.everything(COUNT)]), 0.0)
        assert store.refresh(0.0, serial=1)
        # zones remember, up to a number of them, the names that the last change has changed: of one VMI now
        build.apply_all(store, [Changed(Kind.VMI, decoded(objects.vmi(0, change=1)))], 0.0)
        assert store.refresh(0.0, serial=2)
        gc.collect()
        size = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(store.zones[0].nodes) > COUNT
    assert size / COUNT < LIMIT
