"""Typed views of what the API sends, shared by every kind; no I/O.

A view names the fields that matter and nothing else: msgspec skips the rest without building it. Every field may be
absent or null, as it may be in the API.
"""

import ipaddress
from datetime import datetime

import msgspec


class View(msgspec.Struct, rename="camel", gc=False):
    """Base of every view: field names are the API's, spelled in snake_case."""


class Meta(View):
    """The part of `metadata` that every kind needs."""

    name: str
    namespace: str | None = None
    uid: str | None = None
    creation_timestamp: object = None  # of whatever type: it decides no answer

    @property
    def created(self) -> int:
        """When the object was made, in Unix time; 0 where not told."""
        told = self.creation_timestamp
        return int(unix_time(told)) if isinstance(told, str) else 0


class PortView(View):
    """A port of an EndpointSlice."""

    name: str | None = None
    port: int | None = None
    protocol: str | None = None


def unix_time(text: str | None) -> float:
    """Return an RFC 3339 time as Unix time; 0 for one that is absent or nonsense, as none decides an answer."""
    try:
        return max(0.0, datetime.fromisoformat(text).timestamp()) if text else 0.0  # Go's zero time is the year 1
    except (ValueError, OverflowError, OSError):
        return 0.0


def parsed(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return the address that `text` spells, an IPv4-mapped one as the IPv4 address that it is (Go's net.ParseIP).

    Raises `ValueError` where it is none; one with a scope means nothing outside of its host.
    """
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.scope_id is not None:
        raise ValueError(f"an address with a scope: {text}")
    return address.ipv4_mapped or address


def packed(text: str) -> bytes | None:
    """Return the packed address that `text` spells; None where it is not an IP address."""
    try:
        return parsed(text).packed
    except ValueError:
        return None
