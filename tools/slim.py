"""Take out of an installed tree what the server never reads: the Kubernetes client's typed models and calls.

The server uses the client's configuration, authentication and session, and decodes objects itself. The models are
imported only when somebody names one; `tests/image` runs the server, and the tests of its sources, on a tree without
them.

    python tools/slim.py SITE-PACKAGES
"""

import sys
from pathlib import Path

GENERATED = (
    "kubernetes/client/api",
    "kubernetes/client/models",
    "kubernetes/aio/client/api",
    "kubernetes/aio/client/models",
)


def slim(site: Path) -> int:
    """Remove the generated modules, their packages' `__init__` aside; returns how many octets that were."""
    freed = 0
    for folder in GENERATED:
        modules = [path for path in (site / folder).glob("*.py") if path.name != "__init__.py"]
        if not modules:
            raise SystemExit(f"{site / folder} has no modules: the client is not built as it was")
        for path in modules:
            freed += path.stat().st_size
            path.unlink()
    return freed


if __name__ == "__main__":
    sys.stdout.write(f"{slim(Path(sys.argv[1])) / 1e6:.0f} MB taken out\n")
