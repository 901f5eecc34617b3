"""UIDs in little room: there are two of them in every VMI, and 36 characters take twice the memory of an integer."""

import re

Uid = int | str  # a UUID as its 128 bits; any other text, "" included, as it is

_BITS = 128  # above them an object's own UID has room for when it was made: an integer takes as much memory with that

# as the API server writes them; another spelling stays text, and so comes out as it came in
_CANONICAL = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def pack_uid(text: str) -> Uid:
    """Return a UID in its short form: equal for equal texts, and for no others."""
    return int(text.replace("-", ""), 16) if _CANONICAL.fullmatch(text) else text


def dated(uid: Uid, created: int) -> Uid:
    """Return a UID with the Unix time at which its object was made; only a UUID can say so."""
    return uid if isinstance(uid, str) else uid | created << _BITS


def created_at(uid: Uid) -> int:
    """Return the Unix time that a UID is dated with, 0 for none."""
    return 0 if isinstance(uid, str) else uid >> _BITS


def uid_text(uid: Uid) -> str:
    """Return a UID, dated or not, as the API spells it."""
    if isinstance(uid, str):
        return uid
    digits = f"{uid & ((1 << _BITS) - 1):032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
