"""The minimal answer to queries for every type."""

import pytest

from dnsserver.message import Reply
from dnsserver.names import from_text
from dnsserver.plugins.any import Any
from dnsserver.records import Rcode, RRset, RRType
from tests.plugins.conftest import answering, parse, refusal, request

NEXT = Reply(rcode=Rcode.NXDOMAIN)


async def test_any() -> None:
    """One HINFO record with the RFC's number as TTL, without AA; other types are not ours."""
    (plugin,) = parse("any", "any")
    assert isinstance(plugin, Any)
    hinfo = RRset(from_text("www.example.com"), RRType.HINFO, 8482, (b"\x0dANY obsoleted\x0cSee RFC 8482",))
    reply = await plugin.handle(request(qtype=RRType.ANY), answering(NEXT))
    assert reply == Reply(authoritative=False, answer=(hinfo,))
    assert await plugin.handle(request(), answering(NEXT)) is NEXT


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("any thing", "expecting any"),
        ("any {\nthing\n}", "unknown property 'thing', expecting no block"),
        ("any\nany", "this plugin can only be used once per Server Block"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    """There is nothing to configure."""
    assert reason in refusal("any", text)
