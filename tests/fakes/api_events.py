"""What the fake API server does with Events: creates and patches them as the real one does, checks included."""

import json
from collections.abc import Mapping
from typing import Any

from tests.fakes.api_faults import Reply, refuse

Events = dict[tuple[str, str], dict[str, Any]]


def write_event(events: Events, verb: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
    """Create or patch one, and answer with it."""
    _, api, version, _, namespace, plural, *name = path.split("/")
    assert (api, version, plural) == ("api", "v1", "events")
    if verb == "create":
        assert headers["content-type"] == "application/json"
        return _create(events, namespace, json.loads(body))
    assert headers["content-type"] == "application/merge-patch+json"
    return _patch(events, (namespace, name[0]), json.loads(body))


def _create(events: Events, namespace: str, event: dict[str, Any]) -> Reply:
    """Create one (ValidateEventCreate: it must be where its object is)."""
    meta = event["metadata"]
    if not namespace == meta["namespace"] == event["involvedObject"]["namespace"]:
        return refuse(422, "Invalid", "involvedObject.namespace: does not match event.namespace")
    key = namespace, meta["name"]
    if key in events:
        return refuse(409, "AlreadyExists", f'events "{meta["name"]}" already exists')
    events[key] = event | {"metadata": meta | {"resourceVersion": "1"}}
    return Reply(201, json.dumps(events[key]).encode())


def _patch(events: Events, key: tuple[str, str], patch: dict[str, Any]) -> Reply:
    """Apply a merge patch; one that changes nothing gives it no new version."""
    if key not in events:
        return refuse(404, "NotFound", f'events "{key[1]}" not found')
    before = events[key]
    version = before["metadata"]["resourceVersion"]
    if patch.get("metadata", {}).get("resourceVersion", version) != version:
        return refuse(409, "Conflict", "the object has been modified")
    after = before | {field: value for field, value in patch.items() if field != "metadata"}
    if after != before:
        after["metadata"] = before["metadata"] | {"resourceVersion": str(int(version) + 1)}
    events[key] = after
    return Reply(200, json.dumps(after).encode())
