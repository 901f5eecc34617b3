"""`bufsize [SIZE]`: a limit to what a client's EDNS says it takes, for replies over UDP and for upstreams.

Fragments of larger datagrams get lost, and can be forged (RFC 9715).
"""

import dataclasses
from collections.abc import Sequence

import msgspec

from dnsserver.corefile import Directive
from dnsserver.message import OWN_UDP_SIZE, Reply, Transport
from dnsserver.plugins.options import arguments, once, properties
from dnsserver.plugins.plugin import Context, Handler, Plugin, Request

_DEFAULT = 1232  # octets (DNS flag day 2020)
_SMALLEST, _LARGEST = 512, 4096  # octets (RFC 6891, section 6.2.3)


class Bufsize(Plugin):
    """Passes on a query that takes no more than `size`, and limits its reply likewise."""

    name = "bufsize"

    def __init__(self, size: int = _DEFAULT) -> None:
        self.size = size  # octets

    async def handle(self, request: Request, call_next: Handler) -> Reply:
        edns = request.query.edns
        if edns is None or edns.udp_size <= self.size:
            return await call_next(request)
        query = msgspec.structs.replace(request.query, edns=msgspec.structs.replace(edns, udp_size=self.size))
        reply = await call_next(dataclasses.replace(request, query=query))
        # The server reads the limit from the query as it came; above its own limit there is nothing to say.
        if request.client.transport is not Transport.UDP or self.size >= (reply.max_udp_size or OWN_UDP_SIZE):
            return reply
        return msgspec.structs.replace(reply, max_udp_size=self.size)

    def lets_pass(self, ttl: int) -> bool:
        """Pass where the server's own limit is as small: nothing but an upstream is told of a larger one."""
        del ttl
        return self.size >= OWN_UDP_SIZE


def parse(directives: Sequence[Directive], context: Context) -> tuple[Plugin, ...]:
    """Return the block's only `bufsize`."""
    directive = once(directives)
    args = arguments(directive, "bufsize [SIZE]", 0, 1)
    tuple(properties(directive))  # refuses whatever there is
    if not args:
        return (Bufsize(),)
    digits = args[0]
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 4 and _SMALLEST <= int(digits) <= _LARGEST):
        raise directive.error(f"size '{digits}', expecting {_SMALLEST} to {_LARGEST} octets", 0)
    if int(digits) > OWN_UDP_SIZE:
        context.warn(
            f"{directive.file}:{directive.line} - plugin/bufsize: replies over UDP stay at {OWN_UDP_SIZE} octets; "
            f"{digits} is for upstreams only"
        )
    return (Bufsize(int(digits)),)
