"""A port as an SRV record needs it; no I/O."""

import msgspec


class Port(msgspec.Struct, frozen=True, gc=False, order=True):
    """A port number with the name and protocol that make `_name._protocol`; an unnamed port has the name ""."""

    name: str  # as the object spells it; names compare without case
    protocol: str  # "TCP", "UDP" or "SCTP"
    number: int  # 0 to 65535

    @property
    def labels(self) -> tuple[bytes, bytes]:
        """The two labels of the port's own name (Kubernetes DNS-Based Service Discovery, section 2.4.2)."""
        return f"_{self.name}".lower().encode(), f"_{self.protocol}".lower().encode()


def valid_number(number: int | None) -> bool:
    """Say whether an object's port number can stand in an SRV record."""
    return number is not None and 0 <= number <= 0xFFFF
