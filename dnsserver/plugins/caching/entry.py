"""One reply that is kept, and what is known about it; no I/O, time is an argument."""

from asyncio import Task
from typing import NamedTuple

import msgspec

from dnsserver.message import Reply
from dnsserver.names import Name
from dnsserver.records import Rcode, RRset

# INFO-CODEs of extended errors (RFC 8914, sections 4.4, 4.14 and 4.20)
_STALE_ANSWER = (3, "")
_CACHED_ERROR = (13, "")
_STALE_NXDOMAIN = (19, "")

Key = tuple[Name, int, int, bool, bool]  # QNAME, QTYPE, QCLASS, DO, CD: what may make two answers differ


class Popularity(NamedTuple):
    """How often an entry was asked for without a long pause."""

    hits: int
    last: float  # monotonic time


class Entry:
    """A reply that was taken at one moment and holds for `ttl` seconds.

    The reply is kept without what belongs to one exchange of messages (RFC 6891, section 6.1.1). Like CoreDNS 1.14.7
    a hit is authoritative whoever answered first: there are clients that take nothing else.
    """

    __slots__ = (
        "_rendered",
        "_rendered_ttl",
        "answers",
        "denies",
        "expires",
        "last_good",
        "popularity",
        "refresh",
        "reply",
        "retry_after",
        "slot",
        "stored",
        "ttl",
    )

    def __init__(self, reply: Reply, ttl: int, now: float, *, denies: bool, answers: bool) -> None:
        error = _CACHED_ERROR if reply.rcode == Rcode.SERVFAIL else None
        self.reply = msgspec.structs.replace(
            reply, authoritative=True, extended_error=error, options=(), max_udp_size=0
        )
        self.ttl = ttl  # seconds
        self.stored = now  # monotonic time, as all times here
        self.expires = now + ttl
        self.denies = denies  # is in the store of denials and failures
        self.answers = answers  # has the data that was asked for
        self.last_good: Entry | None = None  # the last one that did, where this one does not (`prefer_positive`)
        self.popularity = Popularity(0, 0.0)
        self.refresh: Task[Reply | None] | None = None  # the attempt under way to replace it
        self.retry_after = now  # when another attempt may start
        self.slot = 0  # its place in its store
        self._rendered = self.reply
        self._rendered_ttl = -1

    @property
    def failed(self) -> bool:
        """Whether it is an upstream's SERVFAIL or NOTIMP, which must not hide an answer."""
        return self.reply.rcode not in (Rcode.NOERROR, Rcode.NXDOMAIN)

    @property
    def answering(self) -> "Entry | None":
        """This entry if it answers the question, or else the last one that did."""
        return self if self.answers else self.last_good

    def remaining(self, now: float) -> int:
        """Return the seconds left, as clients see them; 0 or less from its expiry on."""
        return self.ttl - int(now - self.stored)

    def count_hit(self, now: float, longest_pause: float) -> int:
        """Count a hit and return how many there were with no pause longer than that, in seconds."""
        hits, last = self.popularity
        self.popularity = Popularity(hits + 1 if hits and now - last <= longest_pause else 1, now)
        return self.popularity.hits

    def render(self, ttl: int) -> Reply:
        """Return the reply with that TTL on every record; made once a second, however many ask."""
        if ttl != self._rendered_ttl:
            self._rendered = with_ttl(self.reply, ttl)
            self._rendered_ttl = ttl
        return self._rendered

    def render_stale(self, ttl: int) -> Reply:
        """Return the reply with that TTL, and with the word that it has expired (RFC 8767, section 6)."""
        error = _STALE_NXDOMAIN if self.reply.rcode == Rcode.NXDOMAIN else _STALE_ANSWER
        return msgspec.structs.replace(self.render(ttl), extended_error=error)


def with_ttl(reply: Reply, ttl: int) -> Reply:
    """Return a reply with one TTL on every record."""
    return msgspec.structs.replace(
        reply,
        answer=_section(reply.answer, ttl),
        authority=_section(reply.authority, ttl),
        additional=_section(reply.additional, ttl),
    )


def _section(rrsets: tuple[RRset, ...], ttl: int) -> tuple[RRset, ...]:
    return tuple([RRset(rrset.owner, rrset.rrtype, ttl, rrset.rdatas) for rrset in rrsets])
