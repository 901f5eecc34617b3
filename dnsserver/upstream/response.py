"""What another server sent, to a reply of our own; no I/O."""

from collections.abc import Iterable, Iterator
from itertools import groupby

from dnsserver.message import Query, Reply
from dnsserver.names import Name, fold
from dnsserver.records import RRClass, RRset
from dnsserver.upstream.errors import UpstreamError
from dnsserver.wire import EDE_OPTION, HEADER_SIZE, QR, TC, MalformedMessageError, ParsedResponse, Record, parse_message
from dnsserver.wire.format import NAMES_IN_RDATA

_IN, _ANY = int(RRClass.IN), int(RRClass.ANY)
_MAX_TTL = 2**31  # from here on a TTL counts as 0 (RFC 2181, section 8)


def read_response(wire: bytes, *, datagram: bool) -> ParsedResponse:
    """Parse a message; raises `UpstreamError` for what is none.

    Servers are known to send datagrams that end early, with TC and without: such a one counts as truncated and
    empty, so that the client asks again over TCP.
    """
    try:
        return parse_message(wire)
    except MalformedMessageError as error:
        if not datagram:
            raise UpstreamError(f"dns: {error}") from error
    try:
        return parse_message(_without_records(wire))
    except MalformedMessageError as error:
        raise UpstreamError(f"dns: {error}") from error


def _without_records(wire: bytes) -> bytes:
    """Return header and question of a message, TC set."""
    flags = int.from_bytes(wire[2:4], "big") | TC
    return wire[:2] + flags.to_bytes(2, "big") + wire[4:6] + bytes(6) + wire[HEADER_SIZE:]


def is_answer(query: Query, response: ParsedResponse) -> bool:
    """Say whether a message is a response to this very question; letters may differ in case."""
    if not response.flags & QR or len(response.question) != 1:
        return False
    (asked,) = response.question
    return asked.qtype == query.qtype and fold(asked.qname) == query.name


def to_reply(query: Query, response: ParsedResponse) -> Reply:
    """Return the reply that passes a response on: its sections in order, its flags, its EDNS options.

    Names keep the case they came in, but the question's own name is spelled as the client spells it.
    """
    options = response.edns.options if response.edns is not None else ()
    error = response.extended_error
    if error is not None:
        at = next(index for index, (code, data) in enumerate(options) if code == EDE_OPTION and len(data) >= 2)
        options = (*options[:at], *options[at + 1 :])
    return Reply(
        rcode=response.rcode,
        authoritative=response.authoritative,
        answer=tuple(_rrsets(query, response.answer)),
        authority=tuple(_rrsets(query, response.authority)),
        additional=tuple(_rrsets(query, response.additional)),
        recursion_available=response.recursion_available,
        authenticated=response.authenticated,
        truncated=response.truncated,
        extended_error=error,
        options=options,
    )


def _rrsets(query: Query, records: Iterable[Record]) -> Iterator[RRset]:
    """Yield neighbours of one owner, type and TTL as an RRset.

    A reply has no place for records of another class, nor for RDATA that lacks the name it has to hold.
    """
    rrclass = _IN if query.qclass == _ANY else query.qclass
    ours = (one for one in records if one.rrclass == rrclass and (one.rdata or one.rrtype not in NAMES_IN_RDATA))
    for (owner, rrtype, ttl), group in groupby(ours, lambda one: (one.owner, one.rrtype, one.ttl)):
        name = query.name if fold(owner) == query.name else Name(owner)
        yield RRset(name, rrtype, ttl if ttl < _MAX_TTL else 0, tuple(dict.fromkeys(record.rdata for record in group)))
