"""Manifests: objects, or errors that say where; what they publish is a zone that any server would load."""

import json
from collections.abc import Iterable

from dnsserver.events import ListedPage, ListEnded, ListStarted
from dnsserver.objects import Kind
from dnsserver.sources.contents import NOTHING, Contents, Draft, unite
from dnsserver.sources.documents import BrokenDocumentError, Found, Item, Refused, read_items
from dnsserver.sources.files import Content, Signature
from dnsserver.store import Store
from tests.build import CONFIG
from tests.fuzz.zones import check_zone, require

SIGNATURE = Signature(0, 0, 0, 0, 0)


def check(data: bytes) -> None:
    """Check one file, as what its name may say it is."""
    guessed = _read(data, is_json=False)
    as_json = _read(data, is_json=True)
    if guessed is not None:
        _check_published(_contents(data, guessed))
    if as_json is not None and guessed is not None and _is_plain_json(data):
        assert as_json == guessed, "JSON means something else where its name does not say so"


def _read(data: bytes, *, is_json: bool) -> list[Item] | None:
    """Return the items of a file, None where it is broken; asserts that whatever is wrong has a line."""
    lines = data.count(b"\n") + 1
    try:
        items = list(read_items(data, json=is_json))
    except BrokenDocumentError as error:
        require(bool(error.reason), "an error that says nothing")
        require(1 <= error.line <= lines, f"line {error.line} of {lines}")
        return None
    for item in items:
        assert 1 <= item.line <= lines, f"line {item.line} of {lines}"
        if isinstance(item, Refused):
            assert item.reason, "an error that says nothing"
            assert "\n" not in item.reason, "an error of several lines"
        if isinstance(item, Found):
            assert item.value.name, "an object without a name"
    return items


def _contents(data: bytes, items: Iterable[Item]) -> Contents:
    """Return what the file says."""
    draft = Draft("file", NOTHING)
    draft.add(items)
    return draft.finish(Content(SIGNATURE, young=False, digest=b"", body=data))


def _check_published(contents: Contents) -> None:
    """Assert that the objects make zones that are whole."""
    whole = unite({"file": contents})
    store = Store(CONFIG)
    for kind in Kind:
        values = tuple(whole.objects[kind].values())
        for event in (ListStarted(kind), ListedPage(kind, values, whole.kept[kind]), ListEnded(kind)):
            store.apply(event, 0.0)
    assert store.refresh(0.0, serial=1)
    assert store.synced
    for zone in store.zones:
        check_zone(zone)


def _is_plain_json(data: bytes) -> bool:
    """Say whether the file is one JSON value to a strict parser as well: then there is one way to read it."""
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return data.lstrip().startswith(b"{")
