"""`minimal`: positive answers without authority and additional records, so that replies are small.

Denials, referrals and errors stay whole, since they say nothing without those sections; so does EDNS.
"""

import time
from collections.abc import Callable, Sequence

import msgspec

from dnsserver.corefile import Directive
from dnsserver.message import Query, Reply
from dnsserver.plugins.caching.verdict import Kind, judge
from dnsserver.plugins.options import arguments, once, properties
from dnsserver.plugins.plugin import Context, Handler, Plugin, Request


class Minimal(Plugin):
    """Strips on the way back."""

    name = "minimal"

    def __init__(self, wall_clock: Callable[[], float] = time.time) -> None:
        self._wall_clock = wall_clock

    def lets_pass(self, ttl: int) -> bool:
        """Ready answers have no more than it leaves."""
        del ttl
        return True

    async def handle(self, request: Request, call_next: Handler) -> Reply:
        return self.strip(request.query, await call_next(request))

    def strip(self, query: Query, reply: Reply) -> Reply:
        """Return the reply with its answer section alone if that is what the question is about."""
        if not (reply.authority or reply.additional) or judge(query, reply, self._wall_clock()).kind is not Kind.DATA:
            return reply
        return msgspec.structs.replace(reply, authority=(), additional=())


def parse(directives: Sequence[Directive], _context: Context) -> tuple[Plugin, ...]:
    """Return the block's only `minimal`."""
    directive = once(directives)
    arguments(directive, "minimal", 0, 0)
    tuple(properties(directive))  # refuses whatever there is
    return (Minimal(),)
