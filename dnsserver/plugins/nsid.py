"""`nsid [DATA]`: says which server answered, to whom asks for it (RFC 5001)."""

import socket
from collections.abc import Sequence

import msgspec

from dnsserver.corefile import Directive
from dnsserver.message import Query, Reply
from dnsserver.plugins.options import once, properties
from dnsserver.plugins.plugin import Context, Handler, Plugin, PluginError, Request

_OPTION = 3  # EDNS option code (RFC 5001, section 4)
_MAX_DATA = 226  # octets: 512 without header (12), the longest question (259), OPT (11) and the option's head (4)


class Nsid(Plugin):
    """Adds the identifier to every reply from below, also to the SERVFAIL of a plugin that failed."""

    name = "nsid"

    def __init__(self, data: bytes) -> None:
        self.data = data

    def lets_pass(self, ttl: int) -> bool:
        """Its option is asked for by an option."""
        del ttl
        return True

    async def handle(self, request: Request, call_next: Handler) -> Reply:
        if not _asked(request.query):
            return await call_next(request)
        try:
            reply = await call_next(request)
        except PluginError as error:  # `errors` and `log` come later in the chain and have seen it
            reply = error.reply
        kept = tuple(option for option in reply.options if option[0] != _OPTION)  # an upstream's is not ours
        return msgspec.structs.replace(reply, options=(*kept, (_OPTION, self.data)))


def _asked(query: Query) -> bool:
    """Say whether a query carries the option; what it holds does not matter (RFC 5001, section 2.1)."""
    return query.edns is not None and any(code == _OPTION for code, _ in query.edns.options)


def parse(directives: Sequence[Directive], _context: Context) -> tuple[Plugin, ...]:
    """Return the block's only `nsid`; the identifier is the host's name unless the Corefile gives one."""
    directive = once(directives)
    tuple(properties(directive))  # refuses whatever there is
    data = " ".join(directive.args).encode() if directive.args else socket.gethostname().encode()
    if len(data) > _MAX_DATA:
        message = f"an identifier of {len(data)} octets, expecting at most {_MAX_DATA}, which fit into every response"
        raise directive.error(message, 0)
    return (Nsid(data),)
