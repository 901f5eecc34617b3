"""The part of dnslib that `dnsserver.wire` uses."""

class Bimap:
    forward: dict[int, str]
    reverse: dict[str, int]

class DNSBuffer:
    def __init__(self, data: bytes = ...) -> None: ...

class RD:
    @classmethod
    def parse(cls, buffer: DNSBuffer, length: int) -> RD: ...

QTYPE: Bimap
RDMAP: dict[str, type[RD]]
