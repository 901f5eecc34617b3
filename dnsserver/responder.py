"""The rules that hold for every query before and after a zone is asked: header, EDNS, class, type, size; no I/O.

Invariant: nothing here raises, whatever the octets, and what comes out is a whole message or silence.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from ipaddress import ip_address
from typing import TypeAlias

import msgspec

from dnsserver import cookies
from dnsserver.message import OWN_UDP_SIZE, PLAIN_UDP_SIZE, Client, Query, Reply, Transport
from dnsserver.names import ROOT
from dnsserver.records import Opcode, Rcode, RRType
from dnsserver.wire import (
    HEADER_SIZE,
    MAX_MESSAGE,
    PADDING_OPTION,
    MalformedMessageError,
    MalformedQueryError,
    append_record,
    encode_error,
    encode_question_free,
    encode_reply,
    encode_stream,
    parse_message,
    parse_query,
    parse_question_free,
)

Options: TypeAlias = tuple[tuple[int, bytes], ...]  # of EDNS: (code, data)
OwnOptions: TypeAlias = Callable[[Query], Options]  # what we answer to a query's options, whatever the reply is

STREAM_MESSAGE = 63_000  # octets of a message of many (CoreDNS plugin/transfer)
PADDED_TO = 468  # octets: responses have a multiple of this (RFC 8467, section 4.1)
KEEPALIVE_OPTION = 11  # RFC 7828, section 3.1

# between two hosts: the client's are not for upstreams, nor theirs for the client
_HOP_BY_HOP = (cookies.OPTION, KEEPALIVE_OPTION, PADDING_OPTION)

_SOA_NUMBERS = 20  # octets behind the two names of SOA RDATA; the serial is the first four (RFC 1035, section 3.3.13)
_INVALID_QUERY_TYPE = 30  # INFO-CODE of an extended error (RFC 9824)

_BAD_VERSION = Reply(rcode=Rcode.BADVERS, authoritative=False)
_NOT_IMPLEMENTED = Reply(rcode=Rcode.NOTIMP, authoritative=False)
_REFUSED = Reply(rcode=Rcode.REFUSED, authoritative=False)
_MALFORMED_COOKIE = Reply(rcode=Rcode.FORMERR, authoritative=False)
_INVALID_TYPE = Reply(rcode=Rcode.FORMERR, authoritative=False, extended_error=(_INVALID_QUERY_TYPE, ""))

DECIDED_TYPES: dict[int, Reply] = {
    0: _INVALID_TYPE,  # stands for "no type" (RFC 6895, section 3.1)
    RRType.OPT: _INVALID_TYPE,  # belongs to a message, not to a name
    128: _INVALID_TYPE,  # NXNAME (RFC 9824)
    249: _NOT_IMPLEMENTED,  # TKEY (RFC 2930)
    RRType.TSIG: _INVALID_TYPE,
    253: _NOT_IMPLEMENTED,  # MAILB, MAILA: obsolete (RFC 6895, section 3.1)
    254: _NOT_IMPLEMENTED,
}


class IncrementalQuery(Query, frozen=True, gc=False):
    """A query of type IXFR that says which version of the zone its sender has (RFC 1995, section 3)."""

    serial: int = 0


def no_options(query: Query) -> Options:
    """Return no option, whatever is asked."""
    del query
    return ()


def receive(wire: bytes, transport: Transport, own: OwnOptions = no_options) -> Query | bytes | None:
    """Return the question for the zones, or the response where the rules already decide it, or None for silence.

    Silence is for messages too short to have a header and for responses (QR=1), so two servers cannot loop. A query
    for class ANY goes on: its answer is what class IN has, without AA (RFC 1035, section 6.2).
    """
    if len(wire) < HEADER_SIZE or wire[2] & 0x80:
        return None
    if wire[2] & 0x78:
        return _other_opcode(wire, transport, own)
    try:
        query = parse_query(wire)
    except MalformedQueryError as error:
        return _for_a_cookie(wire, own) or _malformed(wire, error, transport, own)
    if (reply := _decide(query)) is not None:
        return finish(query, reply, transport, own)
    return _with_serial(query, wire) if query.qtype == RRType.IXFR else query


def _for_a_cookie(wire: bytes, own: OwnOptions) -> bytes | None:
    """Return the response to a query without a question, which only asks for a cookie (RFC 7873, section 5.4)."""
    edns = parse_question_free(wire)
    if edns is None or edns.version:
        return None
    query = Query(int.from_bytes(wire[:2], "big"), ROOT, ROOT, 0, edns=edns)
    cookie = _option(query, cookies.OPTION)
    if cookie is None or cookies.is_malformed(cookie):
        return None
    return encode_question_free(wire, edns, Reply(options=own(query)))


def _with_serial(query: Query, wire: bytes) -> Query:
    """Return an IXFR query with the serial of the SOA in its authority section, where it has one."""
    try:
        (soa,) = parse_message(wire).authority
    except (MalformedMessageError, ValueError):  # ValueError: not exactly one record
        return query
    if soa.rrtype != RRType.SOA or len(soa.rdata) < _SOA_NUMBERS + 2:
        return query
    serial = int.from_bytes(soa.rdata[-_SOA_NUMBERS:][:4], "big")
    return IncrementalQuery(**msgspec.structs.asdict(query), serial=serial)


def _decide(query: Query) -> Reply | None:
    """Return the reply to a query that no zone has to see, None for all others."""
    if query.edns is not None and query.edns.version:
        return _BAD_VERSION  # first: what the rest of the query means is not known (RFC 6891, section 6.1.3)
    if query.edns is not None and query.edns.options:
        cookie = _option(query, cookies.OPTION)
        if cookie is not None and cookies.is_malformed(cookie):
            return _MALFORMED_COOKIE
    return DECIDED_TYPES.get(query.qtype)


def without_hop_by_hop(query: Query) -> Query:
    """Return the query without the options that only its sender and we have to do with (RFC 7873, section 3)."""
    edns = query.edns
    if edns is None or not edns.options:
        return query
    options = _without_hop_by_hop(edns.options)
    return msgspec.structs.replace(query, edns=msgspec.structs.replace(edns, options=options))


def _without_hop_by_hop(options: Options) -> Options:
    return tuple(option for option in options if option[0] not in _HOP_BY_HOP)


def _option(query: Query, code: int) -> bytes | None:
    """Return the data of the first option of a code, None without one; further ones count for nothing."""
    options = query.edns.options if query.edns is not None else ()
    return next((data for one, data in options if one == code), None)


def own_options(query: Query, client: Client, secret: bytes, now: float, idle: float) -> Options:
    """Return our answer to a query's COOKIE and its edns-tcp-keepalive.

    `secret` is that of cookies, `now` the Unix time, `idle` how long a connection may be without a query; in seconds.
    """
    found = []
    cookie = _option(query, cookies.OPTION)
    if cookie is not None and not cookies.is_malformed(cookie):
        found.append((cookies.OPTION, cookies.reply_cookie(cookie, _packed(client.address), secret, int(now))))
    if client.transport is not Transport.UDP and _option(query, KEEPALIVE_OPTION) is not None:
        tenths = min(int(idle * 10), 0xFFFF)  # units of 100 ms (RFC 7828, section 3.1)
        found.append((KEEPALIVE_OPTION, tenths.to_bytes(2, "big")))
    return tuple(found)


def proves_address(query: Query, client: Client, secret: bytes, now: float) -> bool:
    """Say whether a query brings a cookie that only this client can have; the arguments are those of `own_options`."""
    if query.edns is None or not query.edns.options:
        return False
    cookie = _option(query, cookies.OPTION)
    return cookie is not None and cookies.proves_address(cookie, _packed(client.address), secret, int(now))


@lru_cache(maxsize=4096)  # asked for twice a query
def _packed(address: str) -> bytes:
    """Return a client's address as cookies are made for it."""
    return ip_address(address).packed


def _other_opcode(wire: bytes, transport: Transport, own: OwnOptions) -> bytes:
    """Return REFUSED to NOTIFY, for nobody is our primary, and NOTIMP to the rest (RFC 8906, section 3.1.4).

    The question is repeated where there is one; opcodes that have other bodies get a bare header.
    """
    notify = wire[2] >> 3 & 15 == Opcode.NOTIFY
    reply = _REFUSED if notify else _NOT_IMPLEMENTED
    try:
        query = parse_query(wire)
    except MalformedQueryError as error:
        if notify:
            return _malformed(wire, error, transport, own)
        if error.query is None:
            return encode_error(wire, reply.rcode)
        query = error.query
    return finish(query, reply, transport, own)


def refusal(wire: bytes, transport: Transport, rcode: int) -> bytes:
    """Return a response without data, with as much of the question as can be read."""
    try:
        query = parse_query(wire)
    except MalformedQueryError as error:
        if error.query is None:
            return encode_error(wire, rcode)
        query = error.query
    return finish(query, Reply(rcode=rcode, authoritative=False), transport)


def _malformed(wire: bytes, error: MalformedQueryError, transport: Transport, own: OwnOptions) -> bytes:
    """Return the error response: with the question if it could be read, with OPT if the query had one."""
    if error.query is None:
        return encode_error(wire, error.rcode)
    response = finish(error.query, Reply(rcode=error.rcode, authoritative=False), transport, own)
    if error.tsig and len(response) + len(error.tsig) <= reply_limit(error.query, transport):
        return append_record(response, error.tsig)
    return response


def reply_limit(query: Query, transport: Transport) -> int:
    """Return how many octets the response may have (RFC 6891, section 6.2.3; RFC 9715, section 3)."""
    if transport is not Transport.UDP:
        return MAX_MESSAGE
    if query.edns is None:
        return PLAIN_UDP_SIZE
    return min(max(PLAIN_UDP_SIZE, query.edns.udp_size), OWN_UDP_SIZE)


def finish(
    query: Query, reply: Reply, transport: Transport, own: OwnOptions = no_options, *, reserved: int = 0
) -> bytes:
    """Return the one message that carries a reply over a transport; a stream takes more, and gets REFUSED here.

    Of what it may have, `reserved` octets are left: for a signature.
    """
    if reply.stream is not None:
        reply = _REFUSED
    limit = reply_limit(query, transport)
    if reply.max_udp_size and transport is Transport.UDP:
        limit = max(PLAIN_UDP_SIZE, min(limit, reply.max_udp_size))
    padded = transport is Transport.TLS and _option(query, PADDING_OPTION) is not None
    whole = _with_options(query, reply, own)
    return encode_reply(query, whole, limit=limit - reserved, padded_to=PADDED_TO if padded else 0)


def finish_stream(query: Query, reply: Reply, own: OwnOptions = no_options) -> Iterator[bytes]:
    """Return the messages that carry a reply with a stream over TCP or TLS; empty octets among them are a pause.

    They are encoded one at a time, when they are asked for. Raises what the stream raises, and ValueError where a
    record is longer than a message.
    """
    return encode_stream(query, _with_options(query, reply, own), reply.stream or (), limit=STREAM_MESSAGE)


def _with_options(query: Query, reply: Reply, own: OwnOptions) -> Reply:
    """Return the reply with our own options before those of plugins and upstreams, as far as these are to be sent."""
    ours = own(query) if query.edns is not None and query.edns.options else ()
    if not ours and not reply.options:
        return reply
    return msgspec.structs.replace(reply, options=ours + _without_hop_by_hop(reply.options))
