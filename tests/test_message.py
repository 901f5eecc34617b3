"""The size of a reply before compression and truncation."""

import pytest

from dnsserver.message import Edns, Query, Reply, uncompressed_size
from dnsserver.names import from_text
from dnsserver.records import RRset, RRType

NAME = from_text("a.b")  # 5 octets
ADDRESSES = RRset(NAME, RRType.A, 5, (bytes(4), bytes([10, 0, 0, 1])))  # 2 * (5 + 10 + 4)
GLUE = RRset(NAME, RRType.AAAA, 5, (bytes(16),))  # 5 + 10 + 16

SIZES = [
    ("header and question", None, Reply(), 12 + 5 + 4),
    ("with EDNS", Edns(1232), Reply(), 12 + 5 + 4 + 11),
    ("answer", None, Reply(answer=(ADDRESSES,)), 21 + 38),
    ("authority", None, Reply(authority=(ADDRESSES,)), 21 + 38),
    ("additional", None, Reply(additional=(GLUE,)), 21 + 31),
    ("everything", Edns(512), Reply(answer=(ADDRESSES, GLUE), authority=(GLUE,), additional=(GLUE,)), 32 + 38 + 93),
]


@pytest.mark.parametrize(("edns", "reply", "size"), [row[1:] for row in SIZES], ids=[row[0] for row in SIZES])
def test_uncompressed_size(edns: Edns | None, reply: Reply, size: int) -> None:
    """Every record counts with its whole owner, 10 octets and its RDATA (RFC 1035, section 3.2.1)."""
    assert uncompressed_size(Query(1, NAME, NAME, RRType.A, edns=edns), reply) == size
