"""Kubernetes Events about VMIs (core/v1), so that `kubectl describe` shows them; written once by all replicas together.

An Event's name is made of what it says of whom, so replicas that see the same write the same one: who comes second is
told that it exists already. Told again it counts one more, as client-go's recorder does, and lives on: API servers
forget Events an hour after their last change.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from hashlib import sha256
from typing import Any, Literal
from urllib.parse import quote

import msgspec

from dnsserver.sources.api import UnreachableError, WritableApi
from dnsserver.sources.envelopes import Status, decode_status

COMPONENT = "dnsserver"
RULE = 'apiGroups [""], resources ["events"], verbs ["create", "patch"]'  # what a role has to say

_API_VERSION = "kubevirt.io/v1"  # of VMIs; v1alpha3 is the same object
_MESSAGE = 1024  # characters that the API server takes (pkg/apis/core/validation/events.go)
_NAME = 200  # characters of the VMI's name in that of the Event, of the 253 that there may be
_SILENCE = 15.0  # seconds that an answer may take
_RACES = 3  # attempts while the Event comes and goes under our hands


@dataclass(frozen=True, slots=True)
class Telling:
    """What is to be said of a VMI."""

    namespace: str
    name: str
    uid: str
    reason: str  # one word, CamelCase
    message: str


class Written(Enum):
    """What became of an Event."""

    CREATED = "created"
    REPEATED = "repeated"  # it was there, and counts one more
    KNOWN = "known"  # it was there, and was told too recently to be told again: by another replica, or before a restart
    DROPPED = "dropped"  # its namespace is gone or going
    REFUSED = "refused"  # the API server does not want it, and will not want it the next time


class WriteError(Exception):
    """An Event that may be written later; the text is meant for the operator and holds no secret."""

    def __init__(self, reason: str, *, forbidden: bool = False, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.forbidden = forbidden
        self.retry_after = retry_after  # seconds the server asked us to wait


class _Meta(msgspec.Struct, rename="camel"):
    resource_version: str = ""


class _Event(msgspec.Struct, rename="camel"):
    """What an Event that is there says."""

    metadata: _Meta = msgspec.field(default_factory=_Meta)
    count: int | None = None
    last_timestamp: str | None = None


def event_name(telling: Telling) -> str:
    """Return the name of an Event: equal for the same reason and the same VMI, which a UID tells from its successor."""
    digest = sha256(f"{telling.uid}/{telling.reason}".encode()).hexdigest()[:16]
    return f"{telling.name[:_NAME].rstrip('.-')}.{digest}"


def event_object(telling: Telling, now: float) -> dict[str, Any]:
    """Return a new Event as client-go's recorder makes one; `now` is Unix time."""
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": event_name(telling), "namespace": telling.namespace},
        "involvedObject": {
            "apiVersion": _API_VERSION,
            "kind": "VirtualMachineInstance",
            "namespace": telling.namespace,
            "name": telling.name,
            "uid": telling.uid,
        },
        "type": "Warning",
        "reason": telling.reason,
        "message": telling.message[:_MESSAGE],
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": "",
        "firstTimestamp": _timestamp(now),
        "lastTimestamp": _timestamp(now),
        "count": 1,
    }


async def write_event(api: WritableApi, telling: Telling, *, now: float, quiet: float) -> Written:
    """Write an Event, or count one more where it is there and was told more than `quiet` seconds ago.

    `now` is Unix time. It needs no right to read Events: a patch that changes nothing says what is there. Raises
    `WriteError`.
    """
    created = event_object(telling, now)
    events = f"/api/v1/namespaces/{quote(telling.namespace, safe='')}/events"
    for _ in range(_RACES):
        code, body = await _write(api, "POST", events, created)
        if code != 409:
            return Written.CREATED if code < 300 else _refused(code, body)
        path = f"{events}/{quote(created['metadata']['name'], safe='')}"
        code, body = await _write(api, "PATCH", path, {})
        if code == 404:
            continue  # its hour has just come
        if code >= 300:
            return _refused(code, body)
        there = _decoded(body)
        if now - _unix_time(there.last_timestamp) < quiet:
            return Written.KNOWN
        code, body = await _write(api, "PATCH", path, _again(there, created))
        if code == 404:
            continue
        if code == 409:
            return Written.KNOWN  # another replica was faster
        return Written.REPEATED if code < 300 else _refused(code, body)
    raise WriteError("the Event comes and goes")


def _again(there: _Event, created: Mapping[str, Any]) -> dict[str, Any]:
    """Return the patch that tells an Event again; it fails where somebody else has changed it meanwhile."""
    return {
        "metadata": {"resourceVersion": there.metadata.resource_version},
        "message": created["message"],
        "lastTimestamp": created["lastTimestamp"],
        "count": (there.count or 1) + 1,
    }


async def _write(
    api: WritableApi, method: Literal["POST", "PATCH"], path: str, body: Mapping[str, object]
) -> tuple[int, bytes]:
    """Return the status and the body of an answer. Raises `WriteError` for those that may be others later."""
    try:
        async with api.write(method, path, body, read_timeout=_SILENCE) as response:
            code, answer, asked = response.status, await response.read(), response.headers.get("Retry-After", "")
    except UnreachableError as error:
        raise WriteError(str(error)) from None
    if code == 403 and not _terminating(decode_status(answer)):
        raise WriteError(f"not allowed to {'create' if method == 'POST' else 'patch'} events", forbidden=True)
    if code in (401, 408, 429) or code >= 500:
        seconds = float(asked) if asked.isascii() and asked.isdecimal() else 0.0
        raise WriteError(f"status {code}", retry_after=seconds)
    return code, answer


def _refused(code: int, body: bytes) -> Written:
    """Return what an answer means that stays the same however often it is asked for."""
    return Written.DROPPED if code == 404 or _terminating(decode_status(body)) else Written.REFUSED


def _terminating(status: Status) -> bool:
    """Say whether nothing can be created because the namespace is on its way out."""
    causes = (status.details.causes if status.details else None) or []
    return any(cause.reason == "NamespaceTerminating" for cause in causes)


def _decoded(body: bytes) -> _Event:
    """Return what is there. Raises `WriteError`."""
    try:
        return msgspec.json.decode(body, type=_Event)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise WriteError("the answer is no Event") from None


def _timestamp(now: float) -> str:
    """Return Unix time as the API spells it (metav1.Time): whole seconds."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _unix_time(text: str | None) -> float:
    """Return the Unix time of a timestamp; long ago where it is none."""
    try:
        return datetime.fromisoformat(text or "").timestamp()
    except ValueError:
        return 0.0
