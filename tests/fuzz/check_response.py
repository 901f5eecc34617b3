"""Octets from other servers: a typed message or `MalformedMessageError`, and a reply that can be passed on."""

from dnsserver.message import Query, Transport
from dnsserver.names import fold
from dnsserver.records import Opcode, RRClass, RRset
from dnsserver.responder import finish, reply_limit
from dnsserver.upstream.errors import UpstreamError
from dnsserver.upstream.response import is_answer, read_response, to_reply
from dnsserver.wire import MalformedMessageError, ParsedResponse, message_to_text, parse_message, parse_response
from tests.fuzz.work import lines_of
from tests.fuzz.zones import check_name, require

ORDINARY = 60  # lines that a response of one record takes
PER_OCTET = 6  # lines; a label of one letter takes some ten


def check(data: bytes) -> None:
    """Check one message."""
    assert message_to_text(data).endswith("\n")
    parsed: list[ParsedResponse] = []

    def parse() -> None:
        try:
            parsed.append(parse_message(data))
        except MalformedMessageError as error:
            require(bool(str(error)), "an error that says nothing")

    lines = lines_of(parse)
    limit = 20 * ORDINARY + PER_OCTET * len(data)
    assert lines <= limit, f"{lines} lines for {len(data)} octets, expecting at most {limit}"
    try:
        response = parse_response(data)
    except MalformedMessageError:
        _check_truncated(data)
        return
    assert [response] == parsed
    assert response.size <= len(data)
    for record in (*response.answer, *response.authority, *response.additional):
        check_name(record.owner)
    for question in response.question:
        check_name(question.qname)
    if response.question:
        _check_passed_on(response)


def _check_truncated(data: bytes) -> None:
    """Assert that a datagram which ends early counts as truncated, or is no answer."""
    try:
        read = read_response(data, datagram=True)
    except UpstreamError:
        return
    assert read.truncated or parse_message(data) == read


def _check_passed_on(response: ParsedResponse) -> None:
    """Assert that what is passed on to a client says the same, within the client's limits."""
    asked = response.question[0]
    query = Query(response.id, asked.qname, fold(asked.qname), asked.qtype, asked.qclass, edns=response.edns)
    if is_answer(query, response):
        reply = to_reply(query, response)
        for rrset in (*reply.answer, *reply.authority, *reply.additional):
            assert rrset.ttl < 2**31
        over_tcp = parse_response(finish(query, reply, Transport.TCP))
        wire = finish(query, reply, Transport.UDP)
        assert len(wire) <= reply_limit(query, Transport.UDP)
        over_udp = parse_response(wire)
        assert over_udp.size == len(wire)
        assert (over_tcp.id, over_tcp.opcode) == (query.id, Opcode.QUERY)
        _check_records(query, reply.answer, over_tcp, over_udp)


def _check_records(query: Query, answer: tuple[RRset, ...], over_tcp: ParsedResponse, over_udp: ParsedResponse) -> None:
    """Assert that records come through as they are, but for those that TC says are missing."""
    rrclass = RRClass.IN if query.qclass == RRClass.ANY else query.qclass
    sent = [
        (bytes(fold(one.owner)), one.rrtype, rrclass, one.ttl, rdata.lower()) for one in answer for rdata in one.rdatas
    ]
    got = [(bytes(fold(one.owner)), one.rrtype, one.rrclass, one.ttl, one.rdata.lower()) for one in over_tcp.answer]
    assert got == sent or (over_tcp.truncated and got == sent[: len(got)]), "other records are passed on"
    assert over_udp.truncated or [*over_udp.answer, *over_udp.authority] == [*over_tcp.answer, *over_tcp.authority]
