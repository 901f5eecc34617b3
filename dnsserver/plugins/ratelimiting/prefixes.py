"""The network that a client's address stands for; no I/O."""

from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

from dnsserver.plugins.acl import Networks

_CACHED = 4096  # addresses
_BITS = {4: 32, 16: 128}  # by octets


class Prefixes:
    """Clients' addresses to networks of two lengths; some networks are exempt."""

    def __init__(self, v4: int, v6: int, exempt: Networks) -> None:
        self._masks = {bits: (1 << bits) - (1 << bits - length) for bits, length in ((32, v4), (128, v6))}
        self._lengths = {32: v4, 128: v6}
        self._exempt = exempt
        self.of = lru_cache(maxsize=_CACHED)(self._of)

    def _of(self, address: str) -> bytes | None:
        """Return the network of an address, packed, without its length; None where it is exempt.

        An IPv4-mapped IPv6 address is the IPv4 one.
        """
        parsed = ip_address(address)
        if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        if parsed in self._exempt:
            return None
        bits = parsed.max_prefixlen
        return (int(parsed) & self._masks[bits]).to_bytes(bits // 8, "big")

    def text(self, prefix: bytes) -> str:
        """Return a network as people write it: `192.0.2.0/24`."""
        return str(ip_network((prefix, self._lengths[_BITS[len(prefix)]])))
