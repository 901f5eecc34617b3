"""The JSON of explanations: fields may come, and none may go or change its meaning."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dnsserver.explain import Explanation, VMIExplanation
from tests.explain.support import NAMES, case_queries, case_store, explained

SCHEMA = Path(__file__).parent / "explanation.schema.json"
DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "explain.md"


def schema() -> dict[str, Any]:
    """Return the JSON Schema of both values."""
    _, components = msgspec.json.schema_components([Explanation, VMIExplanation])
    return json.loads(json.dumps(components))  # type: ignore[no-any-return]  # a dict, as above


def test_schema() -> None:
    """The schema is the one that was published; whoever adds a field adds it there, and to docs/explain.md."""
    assert schema() == json.loads(SCHEMA.read_text())


def test_documented() -> None:
    """Every field is in the documentation."""
    fields = {field for one in schema().values() for field in one["properties"]}
    text = DOCUMENT.read_text()
    assert sorted(field for field in fields if f"`{field}`" not in text) == []


@pytest.mark.parametrize("name", NAMES[:6])
def test_there_and_back(name: str) -> None:
    """What is sent is what is read."""
    for query in case_queries(name):
        found = explained(case_store(name), query["qname"], query["qtype"])
        assert msgspec.json.decode(msgspec.json.encode(found), type=Explanation) == found
