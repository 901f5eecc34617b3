"""What a zone file answers to a query (RFC 1034, section 4.3.2; RFC 4592; RFC 6672; RFC 4035, section 3.1); no I/O."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto

from dnsserver.message import Query, Reply
from dnsserver.names import MAX_NAME, ROOT, Name, ancestors, fold, from_labels, is_at_or_below, order_key, parent
from dnsserver.plugins.zonefile.content import BESIDE_ALIAS, DNAME, Content, name_of
from dnsserver.records import Rcode, RRset, RRType

MAX_CHAIN = 10  # aliases followed inside a zone, as in CoreDNS

_ADDRESSES = (RRType.A, RRType.AAAA)
_TARGETS: dict[int, int] = {
    RRType.NS: 0,
    RRType.MX: 2,
    RRType.SRV: 6,
    RRType.SVCB: 2,
    RRType.HTTPS: 2,
}  # octets before the name


@dataclass(frozen=True, slots=True)
class Answer:
    """What the zone has, and where that is an alias that leads elsewhere, the name to ask for next."""

    reply: Reply
    target: bytes | None = None  # in the case it is written in


def answer(content: Content, query: Query) -> Answer:
    """Return the answer to a query for a name at or below the zone's origin.

    A target outside the zone is for the caller to ask for, and so is one inside that no record is written for: it may
    be another plugin's.
    """
    return _Lookup(content, query).answer()


class _Kind(Enum):
    """How a name stands to the zone."""

    EXISTS = auto()  # with records, or because something below it exists (RFC 8020)
    WILDCARD = auto()  # made by a wildcard
    MISSING = auto()
    DELEGATED = auto()  # at or below a zone cut
    REDIRECTED = auto()  # below a DNAME


@dataclass(frozen=True, slots=True)
class _Found:
    """A name's place, and who decides that: itself, a wildcard, the closest encloser, the cut or the DNAME's owner."""

    kind: _Kind
    name: Name
    node: Name


class _Lookup:
    """One query's way through a zone."""

    def __init__(self, content: Content, query: Query) -> None:
        self._zone = content.zone
        self._origin = content.zone.origin
        self._proofs = content.proofs
        self._query = query
        self._qtype = query.qtype
        self._dnssec = query.edns is not None and query.edns.dnssec_ok
        self._chain: list[RRset] = []  # aliases, each before the next
        self._expansions: list[Name] = []  # names that a wildcard made
        self._made_of: Name | None = None  # the wildcard or DNAME that QNAME's answer is made of
        self._seen = {query.name}

    # -- the walk ------------------------------------------------------------------------------------------------------

    def answer(self) -> Answer:
        """Follow aliases for as long as the zone itself says where to."""
        found = self._find(self._query.name)
        if found.kind in (_Kind.WILDCARD, _Kind.REDIRECTED):
            self._made_of = found.node
        while (target := self._alias(found)) is not None:
            name = fold(target)
            if name in self._seen or len(self._seen) > MAX_CHAIN:
                return Answer(self._reply(authority=self._servers()))
            if not is_at_or_below(name, self._origin):
                return Answer(self._reply(authority=self._servers()), target)
            self._seen.add(name)
            found = self._find(name)
            if found.kind in (_Kind.MISSING, _Kind.WILDCARD):
                return Answer(self._reply(authority=self._servers()), target)
        return Answer(self._end(found))

    def _find(self, name: Name) -> _Found:
        """Return a name's place: from the origin downwards, the first cut or DNAME decides."""
        for above in self._above(name):
            types = self._types(above)
            if DNAME in types:
                return _Found(_Kind.REDIRECTED, name, above)
            if RRType.NS in types and above != self._origin:
                return _Found(_Kind.DELEGATED, name, above)
        # DS is on the upper side of a cut (RFC 4035, section 3.1.4.1)
        if name != self._origin and self._qtype != RRType.DS and RRType.NS in self._types(name):
            return _Found(_Kind.DELEGATED, name, name)
        if self._zone.rrsets(name) is not None:
            return _Found(_Kind.EXISTS, name, name)
        encloser = parent(name)
        while self._zone.rrsets(encloser) is None:
            encloser = parent(encloser)
        wildcard = from_labels((b"*",), encloser)
        if self._zone.rrsets(wildcard) is not None:
            return _Found(_Kind.WILDCARD, name, wildcard)
        return _Found(_Kind.MISSING, name, encloser)

    def _above(self, name: Name) -> tuple[Name, ...]:
        """Return the names above one, from the origin downwards; none for the origin."""
        if name == self._origin:
            return ()
        return (self._origin, *reversed(tuple(ancestors(name, self._origin))))

    def _types(self, name: Name) -> frozenset[int]:
        return frozenset(one.rrtype for one in self._zone.rrsets(name) or ())

    def _alias(self, found: _Found) -> bytes | None:
        """Return where a name's CNAME or DNAME leads, after putting it into the answer; None where it has none."""
        if found.kind is _Kind.REDIRECTED:
            return self._substitute(found)
        at_apex = found.name == self._origin and self._qtype in (RRType.SOA, RRType.NS)
        if found.kind not in (_Kind.EXISTS, _Kind.WILDCARD) or self._qtype in BESIDE_ALIAS or at_apex:
            return None
        alias = self._take(found.node, RRType.CNAME, found.name)
        if not alias:
            return None
        self._chain += alias
        if found.kind is _Kind.WILDCARD:
            self._expansions.append(found.name)
        return alias[0].rdatas[0]

    def _substitute(self, found: _Found) -> bytes | None:
        """Return a name with the DNAME's target in place of its owner, None where that is too long for a name.

        The CNAME that says so is made here and has no signature (RFC 6672, section 3.1).
        """
        redirection = self._take(found.node, DNAME)
        self._chain += redirection
        target = found.name[: len(found.name) - len(found.node)] + redirection[0].rdatas[0]
        if len(target) > MAX_NAME:
            return None
        self._chain.append(RRset(found.name, RRType.CNAME, redirection[0].ttl, (target,)))
        return None if self._qtype == RRType.CNAME else target

    # -- the ends ------------------------------------------------------------------------------------------------------

    def _end(self, found: _Found) -> Reply:
        """Return the reply that ends with this name."""
        if found.kind is _Kind.REDIRECTED:
            made = self._chain[-1].rrtype == RRType.CNAME
            return self._reply(Rcode.NOERROR if made else Rcode.YXDOMAIN, authority=self._servers())
        if found.kind is _Kind.DELEGATED:
            return self._referral(found.node)
        if found.kind is _Kind.MISSING:
            return self._nxdomain(found)
        data = self._take(found.node, self._qtype, found.name)
        if not data:
            return self._nodata(found)
        if found.kind is _Kind.WILDCARD:
            self._expansions.append(found.name)
        self._chain += data
        own = found.name == self._origin and self._qtype == RRType.NS
        return self._reply(authority=() if own else self._servers(), additional=tuple(self._additional(data)))

    def _reply(
        self, rcode: int = Rcode.NOERROR, *, authority: tuple[RRset, ...] = (), additional: tuple[RRset, ...] = ()
    ) -> Reply:
        """Return a reply of the chain; what a wildcard made needs a proof that the name itself is not there."""
        proofs = [proof for name in self._expansions for proof in self._covering(name)]
        return Reply(
            rcode=rcode,
            answer=tuple(self._chain),
            authority=_distinct((*authority, *proofs)),
            additional=additional,
            origin=self._origin,
            made_of=self._made_of,
        )

    def _referral(self, cut: Name) -> Reply:
        """Return a referral; behind an alias of the zone's own, the answer stays authoritative (RFC 1035, 4.1.1)."""
        servers = tuple(one for one in self._zone.rrsets(cut) or () if one.rrtype == RRType.NS)
        signer = self._take(cut, RRType.DS) if self._dnssec else ()
        proof = () if signer or not self._dnssec else self._take(cut, RRType.NSEC)
        return Reply(
            authoritative=bool(self._chain),
            answer=tuple(self._chain),
            authority=(*servers, *signer, *proof),
            additional=tuple(self._additional(servers, within=cut)),
            origin=self._origin,
            made_of=self._made_of,
        )

    def _nxdomain(self, found: _Found) -> Reply:
        """Return NXDOMAIN: neither the name nor a wildcard for it exists (RFC 4035, section 3.1.3.2)."""
        proofs = (*self._covering(found.name), *self._covering(from_labels((b"*",), found.node)))
        return self._reply(Rcode.NXDOMAIN, authority=(*self._negative_soa(), *_distinct(proofs)))

    def _nodata(self, found: _Found) -> Reply:
        """Return NODATA; a name without records of its own has no NSEC either, so the one before it says so."""
        proofs = (self._take(found.node, RRType.NSEC) if self._dnssec else ()) or self._covering(found.node)
        if found.kind is _Kind.WILDCARD:
            proofs += self._covering(found.name)
        return self._reply(authority=(*self._negative_soa(), *_distinct(proofs)))

    # -- RRsets --------------------------------------------------------------------------------------------------------

    def _take(self, node: Name, rrtype: int, owner: Name | None = None) -> tuple[RRset, ...]:
        """Return a node's RRset of one type, its signatures behind it where DNSSEC is asked for.

        `owner` is who has it in the answer, where a wildcard is the node. Of RRSIG there may be several sets.
        """
        sets = self._zone.rrsets(node) or ()
        found = [one for one in sets if one.rrtype == rrtype]
        if found and self._dnssec:
            covered = rrtype.to_bytes(2, "big")
            found += [one for one in sets if one.rrtype == RRType.RRSIG and one.rdatas[0].startswith(covered)]
        if owner is None or owner == node:
            return tuple(found)
        return tuple(RRset(owner, one.rrtype, one.ttl, one.rdatas) for one in found)

    def _servers(self) -> tuple[RRset, ...]:
        """Return the zone's own NS RRset, which goes with every positive answer."""
        return self._take(self._origin, RRType.NS)

    def _negative_soa(self) -> tuple[RRset, ...]:
        """Return the SOA with the TTL of negative answers (RFC 2308, section 3)."""
        taken = self._take(self._origin, RRType.SOA)
        minimum = int.from_bytes(self._zone.soa.rdatas[0][-4:], "big")
        return tuple(RRset(one.owner, one.rrtype, min(one.ttl, minimum), one.rdatas) for one in taken)

    def _covering(self, name: Name) -> tuple[RRset, ...]:
        """Return the NSEC that says that nothing is at a name: that of the last name before it."""
        if not self._dnssec or not self._proofs:
            return ()
        at = bisect_right(self._proofs, order_key(name)) - 1
        return self._take(name_of(self._proofs[at]), RRType.NSEC)

    def _additional(self, sets: Iterable[RRset], within: Name | None = None) -> Iterator[RRset]:
        """Yield the addresses, of this zone, of the names that RRsets lead to; glue is `within` a zone cut."""
        for target in dict.fromkeys(target for one in sets for target in _targets(one)):
            if target != ROOT and is_at_or_below(target, self._origin if within is None else within):
                for rrtype in _ADDRESSES:
                    yield from self._take(target, rrtype)


def _targets(rrset: RRset) -> Iterator[Name]:
    """Yield the names that an RRset leads to."""
    if rrset.rrtype not in _TARGETS:
        return
    start = _TARGETS[rrset.rrtype]
    for rdata in rrset.rdatas:
        end = start
        while rdata[end]:
            end += 1 + rdata[end]
        yield fold(rdata[start : end + 1])


def _distinct(sets: Iterable[RRset]) -> tuple[RRset, ...]:
    """Return RRsets in their order, each once."""
    return tuple(dict.fromkeys(sets))
