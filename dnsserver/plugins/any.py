"""`any`: the minimal answer to queries for every type (RFC 8482, section 4.2)."""

from collections.abc import Sequence

from dnsserver.corefile import Directive
from dnsserver.message import Reply
from dnsserver.plugins.options import arguments, once, properties
from dnsserver.plugins.plugin import Context, Handler, Plugin, Request
from dnsserver.records import RRset, RRType, txt

_TTL = 8482  # seconds, as in CoreDNS: the RFC's number
_HINFO = txt(b"ANY obsoleted", b"See RFC 8482")  # CPU and OS are two character strings (RFC 1035, section 3.3.2)


class Any(Plugin):
    """Answers ANY with one synthesized HINFO record, whatever the name; AA is clear, for no zone has that record."""

    name = "any"

    def lets_pass(self, ttl: int) -> bool:
        """Type ANY is not plain."""
        del ttl
        return True

    async def handle(self, request: Request, call_next: Handler) -> Reply:
        query = request.query
        if query.qtype != RRType.ANY:
            return await call_next(request)
        return Reply(authoritative=False, answer=(RRset(query.name, RRType.HINFO, _TTL, (_HINFO,)),))


def parse(directives: Sequence[Directive], _context: Context) -> tuple[Plugin, ...]:
    """Return the block's only `any`."""
    directive = once(directives)
    arguments(directive, "any", 0, 0)
    tuple(properties(directive))  # refuses whatever there is
    return (Any(),)
