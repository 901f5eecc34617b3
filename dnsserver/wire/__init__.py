"""DNS messages between octets and values; no I/O.

Invariant: octets from the network are read by this package alone, in time proportional to their number, and nothing
but its own errors comes out of it.
"""

from dnsserver.wire.encode import (
    DO_OPT,
    PLAIN_OPT,
    append_record,
    encode_error,
    encode_notify,
    encode_query,
    encode_question_free,
    encode_reply,
    encode_stream,
)
from dnsserver.wire.format import (
    AA,
    AD,
    BADKEY,
    CD,
    DO,
    EDE_OPTION,
    HEADER_SIZE,
    MAX_MESSAGE,
    PADDING_OPTION,
    QR,
    RA,
    RD,
    TC,
    MalformedMessageError,
    MalformedQueryError,
)
from dnsserver.wire.query import parse_query, parse_question_free, split_tsig
from dnsserver.wire.response import ParsedResponse, Question, Record, parse_message, parse_response
from dnsserver.wire.signature import Tsig, digest_input, encode_tsig
from dnsserver.wire.text import (
    class_to_text,
    message_to_text,
    rcode_to_text,
    rdata_to_text,
    record_to_text,
    text_to_type,
    type_to_text,
)

__all__ = [
    "AA",
    "AD",
    "BADKEY",
    "CD",
    "DO",
    "EDE_OPTION",
    "HEADER_SIZE",
    "DO_OPT",
    "MAX_MESSAGE",
    "PLAIN_OPT",
    "PADDING_OPTION",
    "QR",
    "RA",
    "RD",
    "TC",
    "MalformedMessageError",
    "MalformedQueryError",
    "ParsedResponse",
    "Question",
    "Record",
    "Tsig",
    "append_record",
    "class_to_text",
    "digest_input",
    "encode_error",
    "encode_notify",
    "encode_query",
    "encode_question_free",
    "encode_reply",
    "encode_stream",
    "encode_tsig",
    "message_to_text",
    "parse_message",
    "parse_query",
    "parse_question_free",
    "parse_response",
    "rcode_to_text",
    "rdata_to_text",
    "record_to_text",
    "split_tsig",
    "text_to_type",
    "type_to_text",
]
