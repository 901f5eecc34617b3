"""Stores made of the cases' manifests, and explanations of what they answer."""

import json
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from dnsserver.explain import Explanation, Served, VMIExplanation, at_once, explaining, explaining_vmi, parse_question
from dnsserver.objects import Object
from dnsserver.sources.documents import Found, read_items
from dnsserver.store import Store, StoreConfig
from tests.build import CONFIG, store_of

CASES = Path(__file__).parent.parent / "cases" / "kubevirt"
NAMES = sorted(path.name.removesuffix(".expect.json") for path in CASES.glob("*.expect.json"))


def objects_of(text: bytes) -> list[Object]:
    """Return the objects of a manifest."""
    return [item.value for item in read_items(text) if isinstance(item, Found)]


@cache
def case_store(name: str) -> Store:
    """Return a store that holds what a case's manifest does; it is not to be changed."""
    return store_of(objects_of((CASES / f"{name}.yaml").read_bytes()))


def case_queries(name: str) -> list[dict[str, Any]]:
    """Return a case's queries."""
    queries: list[dict[str, Any]] = json.loads((CASES / f"{name}.expect.json").read_text())["queries"]
    return queries


def served_of(store: Store, **around: Any) -> Served:
    """Return one synced plugin with that store."""
    return replace(Served((store,), synced=True), **around)


def explained(store: Store, name: str, rrtype: str = "", *, now: float = 0.0, **around: Any) -> Explanation:
    """Explain a name of a store."""
    served = served_of(store, **around)
    return at_once(explaining((served,), parse_question(name, rrtype, served.origins), now))


def explained_vmi(store: Store, name: str, namespace: str = "ns1") -> VMIExplanation:
    """Explain a VMI of a store."""
    return at_once(explaining_vmi((served_of(store),), namespace, name, 0.0))


def explained_objects(
    objects: Iterable[Object], name: str, rrtype: str = "", *, config: StoreConfig = CONFIG, now: float = 0.0
) -> Explanation:
    """Explain a name of some objects."""
    return explained(store_of(objects, config), name, rrtype, now=now)
