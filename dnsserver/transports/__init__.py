"""Listeners: octets in, octets out. Nothing here knows a zone, and no task outlives the listener it belongs to."""

from dnsserver.transports.descriptors import raise_limit
from dnsserver.transports.dispatch import Dispatch, ListenerLostError, TransportStats
from dnsserver.transports.roster import Roster, RosterLimits
from dnsserver.transports.serveudp import serve_udp
from dnsserver.transports.tcp import TcpLimits, serve_tcp

__all__ = [
    "Dispatch",
    "ListenerLostError",
    "Roster",
    "RosterLimits",
    "TcpLimits",
    "TransportStats",
    "raise_limit",
    "serve_tcp",
    "serve_udp",
]
