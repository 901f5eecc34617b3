"""The chart's README, its schema and its values say the same; no helm is needed."""

import json
import re

import pytest
import yaml

from tests.chart.helm import CHART, JSON, ROOT
from tools.chart_readme import renewed, rows

VALUES = (CHART / "values.yaml").read_text()
SCHEMA: JSON = json.loads((CHART / "values.schema.json").read_text())


def test_the_table_is_the_one_of_the_values() -> None:
    """`make chart-docs` changes nothing."""
    page = (CHART / "README.md").read_text()
    assert renewed(page) == page


def test_what_has_no_description() -> None:
    """Is an error that names it."""
    assert list(rows("a:\n  # -- What b is.\n  b: 1\n")) == [("a.b", "1", "What b is.")]
    with pytest.raises(ValueError, match=r"a\.c has no description"):
        list(rows("a:\n  # -- What b is.\n  b: 1\n  c: {}\n"))
    with pytest.raises(ValueError, match="no mapping"):
        list(rows("- 1\n"))


def _compare(schema: JSON, values: JSON, path: str = "") -> None:
    """Check that a closed object of the schema has exactly the keys of the values."""
    if schema.get("additionalProperties", True) is not False:
        return
    known = set(schema["properties"]) - ({"global"} if not path else set())
    optional = {"initialDelaySeconds", "successThreshold"} if path.endswith("Probe.") else set()
    assert known - optional == set(values), path
    for key, value in values.items():
        if isinstance(value, dict):
            _compare(schema["properties"][key], value, f"{path}{key}.")


def test_the_schema_knows_every_value_and_no_other() -> None:
    """Closed at the top and in every section, so that a misspelt key is an error."""
    assert SCHEMA["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert SCHEMA["additionalProperties"] is False
    _compare(SCHEMA, yaml.safe_load(VALUES))
    open_on_purpose = {
        "updateStrategy", "resources", "podSecurityContext", "containerSecurityContext", "affinity", "global",
    }  # fmt: skip
    assert {key for key, one in SCHEMA["properties"].items() if one == {"type": "object"}} == open_on_purpose


def test_the_schema_describes_every_list() -> None:
    """No list takes just anything."""
    lists = re.findall(r'"type": "array"', json.dumps(SCHEMA))
    items = re.findall(r'"items": \{', json.dumps(SCHEMA))
    assert len(lists) == len(items)


def test_versions() -> None:
    """Package, chart and image are of one version."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    (version,) = re.findall(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert (chart["version"], chart["appVersion"]) == (version, version)
