"""What can go wrong with a list or a watch, and what the API server's answer says about it; no I/O."""

from collections.abc import Mapping
from enum import Enum, IntEnum

import msgspec

from dnsserver.sources.envelopes import Status, decode_status

_MESSAGE_LENGTH = 300  # characters of the server's own words that a log line repeats


class Stage(IntEnum):
    """How far it came; success at a stage proves those before it."""

    DISCOVER = 0
    LIST = 1
    OPEN = 2  # of the watch
    STREAM = 3  # within the watch


class Trouble(Enum):
    """Sorts of failure; a log line marks the step from one to another, never a repetition."""

    UNREACHABLE = "unreachable"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not found"
    ABSENT = "absent"  # discovery confirms that there is no such resource
    EXPIRED = "expired"  # the resourceVersion or the continue token is too old
    TOO_NEW = "too new"  # the resourceVersion is ahead of this API server
    BUSY = "busy"
    REFUSED = "refused"  # any other status
    NONSENSE = "nonsense"  # an answer that is not what was asked for
    SHORT = "short"  # a watch that ended as soon as it began
    UNMARKED = "unmarked"  # a streamed list whose end is not told
    BUG = "bug"  # ours


class FaultError(Exception):
    """A step that failed; the text is meant for the operator and holds no secret."""

    def __init__(
        self, trouble: Trouble, stage: Stage, reason: str, *, retry_after: float = 0.0, rewatch: bool = False
    ) -> None:
        super().__init__(reason)
        self.trouble = trouble
        self.stage = stage
        self.reason = reason
        self.retry_after = retry_after  # seconds the server asked us to wait
        self.rewatch = rewatch  # go on from the same resourceVersion; else list again


_BY_CODE = {
    401: Trouble.UNAUTHORIZED,
    403: Trouble.FORBIDDEN,
    404: Trouble.NOT_FOUND,
    410: Trouble.EXPIRED,
    429: Trouble.BUSY,
}
_CODE_BY_REASON = {
    "Unauthorized": 401,
    "Forbidden": 403,
    "NotFound": 404,
    "Expired": 410,
    "Gone": 410,
    "TooManyRequests": 429,
}


def fault_of_response(code: int, headers: Mapping[str, str], body: bytes, stage: Stage) -> FaultError:
    """Return the fault that an answer with an error status is; the body may be anything."""
    status = decode_status(body)
    asked = headers.get("Retry-After", "")
    seconds = float(asked) if asked.isascii() and asked.isdecimal() else _retry_after(status)
    return _fault(code, status, stage, seconds)


def fault_of_event(raw: msgspec.Raw) -> FaultError:
    """Return the fault that an ERROR event of a watch is."""
    status = decode_status(raw)
    code = status.code or _CODE_BY_REASON.get(status.reason or "", 0)
    return _fault(code, status, Stage.STREAM, _retry_after(status))


def nonsense(stage: Stage, reason: str) -> FaultError:
    """Return the fault that an answer is which is not what was asked for."""
    return FaultError(Trouble.NONSENSE, stage, " ".join(reason.split())[:_MESSAGE_LENGTH])


def _fault(code: int, status: Status, stage: Stage, retry_after: float) -> FaultError:
    """Return the fault of a status code and what the server said with it."""
    trouble = Trouble.TOO_NEW if _is_too_new(status) else _BY_CODE.get(code, Trouble.REFUSED)
    said = " ".join((status.message or status.reason or "").split())[:_MESSAGE_LENGTH]
    reason = " ".join(filter(None, (f"status {code}" if code else "an error without a code", said and f"({said})")))
    # A server that is only busy still has our place in the stream (client-go does the same).
    rewatch = trouble is Trouble.BUSY and stage >= Stage.OPEN
    return FaultError(trouble, stage, reason, retry_after=retry_after, rewatch=rewatch)


def _is_too_new(status: Status) -> bool:
    """Recognise "Too large resource version"; older API servers say it in the message only."""
    causes = (status.details.causes if status.details else None) or []
    return any(cause.reason == "ResourceVersionTooLarge" for cause in causes) or "Too large resource version" in (
        status.message or ""
    )


def _retry_after(status: Status) -> float:
    """Return the pause that a Status asks for, 0 where it asks for none."""
    return float(max(0, (status.details.retry_after_seconds if status.details else None) or 0))
