"""Asking another server: one exchange over UDP, TCP, TLS or HTTPS, idle connections, health. It knows no plugin.

Imports point down: `upstream` (one server), `health`, `pool`, `stream`, `udp`, `https`, `lookup`, `policy`, `response`
and `endpoint` (no I/O), `errors`.
"""

from dnsserver.upstream.endpoint import (
    MAX_PORT,
    Endpoint,
    HostName,
    InvalidTargetError,
    parse_address,
    parse_target,
)
from dnsserver.upstream.errors import UpstreamError
from dnsserver.upstream.lookup import resolve, system_addresses
from dnsserver.upstream.policy import RoundRobin, at_random, sequential
from dnsserver.upstream.response import is_answer, to_reply
from dnsserver.upstream.tls import client_context
from dnsserver.upstream.upstream import Observer, Settings, Upstream

__all__ = [
    "MAX_PORT",
    "Endpoint",
    "HostName",
    "InvalidTargetError",
    "Observer",
    "RoundRobin",
    "Settings",
    "Upstream",
    "UpstreamError",
    "at_random",
    "client_context",
    "is_answer",
    "parse_address",
    "parse_target",
    "resolve",
    "sequential",
    "system_addresses",
    "to_reply",
]
