"""Pipelined queries whose answers are ready: as many as possible from one read, for one write. No I/O.

RFC 7766, section 6.2.1.1, has clients send queries one behind the other, and section 8 a message and its length in one
write; many messages in one write cost a packet and a call of the kernel together.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

Ready: TypeAlias = Callable[[bytes], bytes | None]  # the response to a message where that is at hand

PREFIX = 2  # octets of a length (RFC 1035, section 4.2.2)
BATCH = 64  # answers in one turn: as many as UDP gets, a tenth of a millisecond


def nothing_ready(message: bytes) -> None:
    """Have no answer."""
    del message


class Answered(NamedTuple):
    """What was answered of a row of messages."""

    octets: bytes  # responses, each behind its length
    end: int  # of the messages that they are for
    messages: int


def answer_ready(octets: bytes, ready: Ready, most: int, room: int) -> Answered:
    """Answer the whole messages at the front, up to the first that is not ready.

    There are at most `most`, and none more once the responses have `room` octets. Raises what `ready` raises.
    """
    responses: list[bytes] = []
    start = count = size = 0
    while count < most and size < room and start + PREFIX <= len(octets):
        end = start + PREFIX + (octets[start] << 8 | octets[start + 1])
        if end > len(octets):
            break
        response = ready(octets[start + PREFIX : end])
        if response is None:
            break
        responses.append(len(response).to_bytes(PREFIX, "big"))
        responses.append(response)
        size += PREFIX + len(response)
        start = end
        count += 1
    return Answered(b"".join(responses), start, count)
