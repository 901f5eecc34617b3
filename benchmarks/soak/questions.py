"""The questions of a soak, and what is right to answer: one thing, but for VMIs that change; no I/O."""

import ipaddress
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from benchmarks import objects
from benchmarks.churn import STATES, changes
from dnsserver.cookies import OPTION as COOKIE
from dnsserver.message import Edns, Query
from dnsserver.names import Name, from_text, reverse_name
from dnsserver.records import Rcode, RRType
from dnsserver.wire import ParsedResponse

ZONE_FILE = """$ORIGIN example.org.
@ 300 IN SOA ns hostmaster 1 7200 1800 86400 30
@ 300 IN NS ns
ns 300 IN A 192.0.2.1
*.wild 300 IN A 192.0.2.7
"""
_WILD = ipaddress.IPv4Address("192.0.2.7").packed
_ZONE = "bench.svc.cluster.local"
_SEARCH = ("bench.svc.cluster.local", "svc.cluster.local", "cluster.local")


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and what is right to answer."""

    kind: str
    query: Query
    rcode: int = Rcode.NOERROR
    rdatas: frozenset[bytes] = frozenset()  # all of the answer, names folded
    loose: bool = False  # the answer is some of `rdatas`, or that there is no such name


class Questions:
    """Makes questions about a cluster of so many VMIs."""

    def __init__(self, vmis: int, seed: int = 1) -> None:
        self._random = random.Random(seed)
        self._steady = [index for index in range(vmis) if not changes(index)]
        self._changing = [index for index in range(vmis) if changes(index)]
        self._vmis = vmis
        self._kinds: tuple[Callable[[], Question], ...] = (self.hit, self.nodata, self.absent, self.searched)
        self._kinds += (self.reverse, self.changing, self.cached, self.refused, self.apex)
        self._weights = (30, 12, 10, 12, 8, 15, 10, 2, 1)

    @property
    def steady(self) -> int:
        """The number of VMIs that never change."""
        return len(self._steady)

    def any(self) -> Question:
        """Return one of any kind; half of them with EDNS, a quarter in random case."""
        question = self._random.choices(self._kinds, self._weights)[0]()
        query = question.query
        if self._random.random() < 0.25:
            query = replace_query(query, qname=self._in_random_case(query.qname))
        if self._random.random() < 0.5:
            query = replace_query(query, edns=Edns(udp_size=1232))
        return replace(question, query=query)

    def hit(self) -> Question:
        """Ask for an address that is there."""
        index = self._random.choice(self._steady)
        return Question("hit", _query(_host(index)), rdatas=frozenset([_packed(index)]))

    def nodata(self) -> Question:
        """Ask for a type that a name does not have."""
        return Question("nodata", _query(_host(self._random.choice(self._steady)), RRType.AAAA))

    def absent(self) -> Question:
        """Ask for a name that was never there, and another one each time."""
        name = f"no-{self._random.getrandbits(48):x}.{objects.names(self._random.choice(self._steady))[1]}.{_ZONE}"
        return Question("nxdomain", _query(name), Rcode.NXDOMAIN)

    def searched(self) -> Question:
        """Ask for what a resolver library makes of a name with a search path."""
        host = _host(self._random.choice(self._steady))
        name = f"{self._random.choice(('www.example.com', host))}.{self._random.choice(_SEARCH)}"
        return Question("search", _query(name, self._random.choice((RRType.A, RRType.AAAA))), Rcode.NXDOMAIN)

    def reverse(self) -> Question:
        """Ask for the name of an address."""
        index = self._random.choice(self._steady)
        return Question("ptr", _ask(reverse_name(_packed(index)), RRType.PTR), rdatas=frozenset([_name(_host(index))]))

    def changing(self) -> Question:
        """Ask for a VMI that may be gone for the moment: only another one's address is wrong."""
        if not self._changing:
            return self.hit()
        index = self._random.choice(self._changing)
        states = frozenset(_packed(index, state) for state in range(STATES))
        return Question("changing", _query(_host(index)), rdatas=states, loose=True)

    def cached(self) -> Question:
        """Ask for a name that a wildcard makes, and that the cache has to drop others for."""
        name = f"h{self._random.getrandbits(self._random.choice((6, 32))):x}.wild.example.org"
        return Question("cached", _query(name), rdatas=frozenset([_WILD]))

    def refused(self) -> Question:
        """Ask for what nobody here serves."""
        return Question("refused", _query("www.example.com"), Rcode.REFUSED)

    def apex(self) -> Question:
        """Ask the zone's own name for a type that it does not have."""
        return Question("apex", _query("cluster.local", RRType.MX))

    def group(self) -> Question:
        """Ask for every address of a Service; too large for UDP."""
        group = self._random.choice(self._steady) // objects.PER_SERVICE
        first = group * objects.PER_SERVICE
        members = range(first, min(first + objects.PER_SERVICE, self._vmis))
        name = f"{objects.names(first)[1]}.{_ZONE}"
        return Question("service", _query(name), rdatas=frozenset(_packed(index) for index in members))

    def _in_random_case(self, qname: bytes) -> bytes:
        """Spell a name as a client does that hardens itself against forgery; length octets are no letters."""
        return bytes(octet ^ 0x20 if 97 <= octet <= 122 and self._random.getrandbits(1) else octet for octet in qname)


def wrong(question: Question, response: ParsedResponse) -> str:
    """Say what is wrong with a response, "" where nothing is."""
    query = question.query
    asked = [(one.qname, one.qtype) for one in response.question]
    if asked != [(query.qname, query.qtype)]:
        return f"another question: {asked}"
    rdatas = {_folded(one.rrtype, one.rdata) for one in response.answer}
    if question.loose:
        if response.rcode in (Rcode.NOERROR, Rcode.NXDOMAIN) and rdatas <= question.rdatas:
            return ""
        return f"rcode {response.rcode}, {sorted(rdatas)} for {query.name!r}"
    if response.rcode != question.rcode or rdatas != question.rdatas:
        return f"rcode {response.rcode}, {sorted(rdatas)[:3]} for {query.name!r}"
    negative = not question.rdatas and question.rcode != Rcode.REFUSED
    if negative and [one.rrtype for one in response.authority] != [RRType.SOA]:
        return f"no SOA for {query.name!r}"
    return "" if (response.edns is None) == (query.edns is None) else "EDNS on one side alone"


def cookie_of(edns: Edns | None) -> bytes:
    """Return the COOKIE option's data, b"" without one."""
    return next((data for code, data in edns.options if code == COOKIE), b"") if edns else b""


def with_cookie(question: Question, cookie: bytes) -> Question:
    """Return a question with EDNS and a cookie."""
    edns = Edns(udp_size=1232, options=((COOKIE, cookie),))
    return replace(question, query=replace_query(question.query, edns=edns))


def replace_query(
    query: Query, *, ident: int | None = None, qname: bytes | None = None, edns: Edns | None = None
) -> Query:
    """Return a query with another ID, spelling or EDNS."""
    return Query(
        id=query.id if ident is None else ident,
        qname=query.qname if qname is None else qname,
        name=query.name,
        qtype=query.qtype,
        edns=edns or query.edns,
    )


def _ask(name: Name, rrtype: RRType) -> Query:
    return Query(id=0, qname=name, name=name, qtype=rrtype)


def _query(name: str, rrtype: RRType = RRType.A) -> Query:
    return _ask(_name(name), rrtype)


def _name(text: str) -> Name:
    return from_text(text)


def _host(index: int) -> str:
    return f"{'.'.join(objects.names(index))}.{_ZONE}"


def _packed(index: int, state: int = 0) -> bytes:
    return ipaddress.IPv4Address(objects.address(index, state)).packed


def _folded(rrtype: int, rdata: bytes) -> bytes:
    return rdata.lower() if rrtype == RRType.PTR else rdata
