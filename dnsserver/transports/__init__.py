"""Listeners: octets in, octets out. Nothing here knows a zone, and no task outlives the listener it belongs to."""

from dnsserver.transports.dispatch import Dispatch, ListenerLostError, TransportStats
from dnsserver.transports.tcp import TcpLimits, serve_tcp
from dnsserver.transports.udp import serve_udp

__all__ = ["Dispatch", "ListenerLostError", "TcpLimits", "TransportStats", "serve_tcp", "serve_udp"]
