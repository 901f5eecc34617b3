"""Where there is no helm these tests are skipped."""

import pytest

from tests.chart.helm import HELM


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what renders the chart."""
    if HELM.exists():
        return
    skip = pytest.mark.skip(reason="no helm: `make tools` fetches it, as `.ci/run` does")
    for item in items:
        if item.path.parent.name == "chart" and item.path.name != "test_readme.py":
            item.add_marker(skip)
