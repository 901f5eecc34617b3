"""What the fake API server can be told to do wrong, and the bodies that a real one sends when it refuses."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

After = Literal["serve", "end", "drop", "hang"]


@dataclass(frozen=True, slots=True)
class Reply:
    """This answer, and nothing of the real one."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Drop:
    """The real answer, cut off after so many octets of its body; -1: not even a status line."""

    after: int = -1


@dataclass(frozen=True, slots=True)
class Hang:
    """The real answer, stuck for ever after so many octets of its body; -1: before its status line."""

    after: int = -1


@dataclass(frozen=True, slots=True)
class Chunks:
    """The real answer, in HTTP chunks of this size."""

    size: int


@dataclass(frozen=True, slots=True)
class Lines:
    """A watch that begins with these lines, taken as they are; then the real one, or its end."""

    lines: tuple[bytes, ...]
    then: After = "serve"


@dataclass(frozen=True, slots=True)
class Serve:
    """No fault: leaves a request alone in a row of others."""


Fault = Reply | Drop | Hang | Chunks | Lines | Serve


def status_body(code: int, reason: str, message: str = "", **details: Any) -> bytes:
    """Return the body of a Status, as the API server refuses with."""
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason}
    return json.dumps(body | {"message": message or reason, "details": details}).encode()


def refuse(code: int, reason: str, message: str = "", *, retry_after: int | None = None, **details: Any) -> Reply:
    """Return the answer that refuses with a Status."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return Reply(code, status_body(code, reason, message, **details), headers)


def gone() -> Reply:
    """Return what the API server says of a version that it no longer has."""
    return refuse(410, "Expired", "too old resource version")


def too_large(version: str) -> Reply:
    """Return what an API server says of a version that it does not have yet."""
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    message = f"Timeout: Too large resource version: {version}"
    return refuse(504, "Timeout", message, retry_after=1, causes=[cause], retryAfterSeconds=1)


def event_line(kind: str, value: bytes) -> bytes:
    """Return one line of a watch, its object as JSON already."""
    return b'{"type":"%s","object":%s}\n' % (kind.encode(), value)
