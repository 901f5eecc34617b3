"""`whoami`: tells a client its address, port and protocol in the additional section (CoreDNS, plugin/whoami)."""

import ipaddress
from collections.abc import Sequence

from dnsserver.corefile import Directive
from dnsserver.message import Client, Query, Reply, Transport
from dnsserver.names import MAX_NAME, ROOT, Name
from dnsserver.plugins.options import arguments, once, properties
from dnsserver.plugins.plugin import Context, Handler, Plugin, Request
from dnsserver.records import RRset, RRType, address_type, srv


class Whoami(Plugin):
    """Answers whatever is asked, with no answer but two additional records of TTL 0."""

    name = "whoami"

    async def handle(self, request: Request, call_next: Handler) -> Reply:
        del call_next
        query, client = request.query, request.client
        return Reply(additional=(_address(query, client), *_service(query, client)))


def _address(query: Query, client: Client) -> RRset:
    """Return the client's address as A or AAAA of the name that was asked."""
    address = ipaddress.ip_address(client.address)
    if address.version == 6 and address.ipv4_mapped is not None:
        address = address.ipv4_mapped  # IPv4 on a socket of both
    return RRset(query.name, address_type(address.packed), 0, (address.packed,))


def _service(query: Query, client: Client) -> tuple[RRset, ...]:
    """Return the client's port as SRV of `_udp` or `_tcp` below the name; nothing where that would be too long."""
    label = b"\x04_udp" if client.transport is Transport.UDP else b"\x04_tcp"
    owner = Name(label + query.qname)
    if len(owner) > MAX_NAME:
        return ()
    return (RRset(owner, RRType.SRV, 0, (srv(0, 0, client.port, ROOT),)),)


def parse(directives: Sequence[Directive], _context: Context) -> tuple[Plugin, ...]:
    """Return the block's only `whoami`."""
    directive = once(directives)
    arguments(directive, "whoami", 0, 0)
    tuple(properties(directive))  # there are none
    return (Whoami(),)
