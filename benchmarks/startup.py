"""Memory and time to ready from one JSON manifest."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import objects
from benchmarks.process import server

_COREFILE = """
cluster.local:@PORT@ in-addr.arpa:@PORT@ {{
    bind 127.0.0.1
    errors
    kubernetes {{
        manifests {path}
        startup_timeout 5m
    }}
}}
"""


def run(sizes: Sequence[int]) -> list[tuple[int, float, float, float, float]]:
    """Return, a size each: VMIs, manifest MiB, seconds to the first answer, resident MiB, highest resident MiB."""
    rows = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "objects.json")
            with path.open("wb") as file:
                file.writelines(objects.manifest(size))
            with server(_COREFILE.format(path=path)) as measured:
                host, group = objects.names(size - 1)
                seconds = measured.wait_until_answered(f"{host}.{group}.bench.svc.cluster.local")
                megabytes = path.stat().st_size / 2**20
                rows.append((size, megabytes, seconds, measured.resident(), measured.resident("VmHWM")))
    return rows
