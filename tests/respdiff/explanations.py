"""Why two correct servers may answer differently; every explanation says when it holds, and for which fields."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from dnsserver.message import OWN_UDP_SIZE, PLAIN_UDP_SIZE
from dnsserver.names import Name, fold, is_at_or_below
from dnsserver.records import Rcode, RRType
from dnsserver.zone import find_origin
from tests.respdiff.compare import Answer, Difference, Line, lines

_ADDRESSES = (RRType.A, RRType.AAAA)
_FIXED = 10  # octets of a record besides its owner and RDATA (RFC 1035, section 3.2.1)
_SIGNED_TYPES = (RRType.RRSIG, RRType.NSEC)  # may stand beside a CNAME (RFC 4035, section 2.5)
_SECTIONS = frozenset({"answer", "authority", "additional"})


@dataclass(frozen=True, slots=True)
class Explanation:
    """One reason for a difference."""

    key: str
    fields: frozenset[str]  # the fields that it explains
    reason: str  # why both are right, or why this server does not follow
    holds: Callable[[Difference], bool]
    only: str = ""  # the one server that it is about; empty: any


def explain(difference: Difference) -> tuple[list[Explanation], frozenset[str]]:
    """Return the explanations that hold, and the fields that none of them explains."""
    found = []
    left = difference.fields
    for one in EXPLANATIONS:
        if left & one.fields and one.only in ("", difference.reference) and one.holds(difference):
            found.append(one)
            left -= one.fields
    return found, left


# -- what an answer is -------------------------------------------------------------------------------------------------


def _name(difference: Difference) -> Name:
    return fold(difference.question.qname)


def _origin(difference: Difference) -> Name | None:
    return find_origin(difference.world.origins, _name(difference))


def _is_negative(answer: Answer, rcode: Rcode) -> bool:
    """Say whether an answer says no, with the SOA and nothing else (RFC 2308, section 2)."""
    message = answer.message
    soa = [record.rrtype for record in message.authority] == [RRType.SOA]
    return message.rcode == rcode and not message.answer and soa and not message.additional


def _records(difference: Difference, name: Name, *rrtypes: int) -> frozenset[Line]:
    """Return what the zone has at a name, of all types where none is given."""
    sets = difference.world.records.get(name, {})
    return frozenset(line for rrtype in rrtypes or tuple(sets) for line in lines(tuple(sets.get(rrtype, ()))))


def _servers(difference: Difference) -> tuple[frozenset[Line], frozenset[Line]]:
    """Return the NS RRset of the question's zone, and the addresses that it leads to."""
    origin = _origin(difference)
    if origin is None:
        return frozenset(), frozenset()
    found = _records(difference, origin, RRType.NS)
    return found, frozenset(one for line in found for one in _records(difference, Name(line[4]), *_ADDRESSES))


# -- explanations ------------------------------------------------------------------------------------------------------


def _copies_cd(difference: Difference) -> bool:
    ours, theirs = difference.ours.message, difference.theirs.message
    return difference.question.checking_disabled and ours.checking_disabled and not theirs.checking_disabled


def _any_is_nodata(difference: Difference) -> bool:
    theirs = difference.theirs
    known = _records(difference, _name(difference))
    return (
        difference.question.qtype == RRType.ANY
        and _is_negative(difference.ours, Rcode.NOERROR)
        and theirs.message.rcode == Rcode.NOERROR
        and (bool(theirs.answer) or theirs.message.truncated)
        and theirs.answer <= known
    )


def _apex_ns(difference: Difference) -> bool:
    ours, theirs = difference.ours, difference.theirs
    return bool(ours.answer) and not ours.authority and theirs.authority == _servers(difference)[0]


def _apex_ns_addresses(difference: Difference) -> bool:
    ours, theirs = difference.ours, difference.theirs
    servers, addresses = _servers(difference)
    return theirs.authority == servers and ours.additional <= theirs.additional <= ours.additional | addresses


def _sent_twice(difference: Difference) -> bool:
    ours, theirs = difference.ours, difference.theirs
    once = len(ours.message.additional) == len(ours.additional)
    return once and ours.additional == theirs.additional and len(theirs.message.additional) > len(theirs.additional)


def _no_room(difference: Difference) -> bool:
    ours, theirs = difference.ours, difference.theirs
    if difference.question.tcp:
        return False
    targets = [Name(line[4][6:]) for line in ours.answer if line[1] == RRType.SRV]
    wanted = frozenset(one for target in targets for one in _records(difference, target, *_ADDRESSES))
    servers, addresses = _servers(difference)
    if theirs.authority == servers:
        return _is_full(difference, ours, wanted) and _is_full(difference, theirs, wanted | addresses)
    return _is_full(difference, ours, wanted) and _is_full(difference, theirs, wanted)


def _is_full(difference: Difference, answer: Answer, wanted: frozenset[Line]) -> bool:
    """Say whether an answer has all the additional data that there is, or no room for the largest that it lacks."""
    missing = wanted - answer.additional
    largest = max((len(line[0]) + _FIXED + len(line[4]) for line in missing), default=0)
    limit = max(PLAIN_UDP_SIZE, min(difference.question.edns or 0, OWN_UDP_SIZE))
    return answer.additional <= wanted and (not missing or limit - len(answer.wire) < largest)


def _both_truncated(difference: Difference) -> bool:
    ours, theirs = difference.ours, difference.theirs
    chain, end = _chain(difference)
    known = _records(difference, end, difference.question.qtype) | set(chain)
    chosen = ours.answer | theirs.answer
    return ours.message.truncated and theirs.message.truncated and chosen <= known and not difference.question.tcp


def _bare_name(difference: Difference) -> bool:
    name = _name(difference)
    return (
        difference.world.is_bare(name)
        and name not in difference.world.records
        and _is_negative(difference.ours, Rcode.NOERROR)
        and _is_negative(difference.theirs, Rcode.NXDOMAIN)
    )


def _spelled_out(name: Name) -> Iterator[Name]:
    """Yield a name with an underscore in front of its first label, of its second, and of both, where there is none."""
    first, rest = name[: 1 + name[0]], name[1 + name[0] :]
    second, above = rest[: 1 + rest[0]], rest[1 + rest[0] :]
    plain = [label for label in (first, second) if len(label) > 1 and label[1:2] != b"_"]
    if first in plain:
        yield Name(_underscored(first) + rest)
    if plain and len(second) > 1:
        both = (_underscored(label) if label in plain else label for label in (first, second))
        yield Name(b"".join(both) + above)


def _underscored(label: bytes) -> bytes:
    return bytes((label[0] + 1,)) + b"_" + label[1:]


def _port_without_underscores(difference: Difference) -> bool:
    name, ours = _name(difference), difference.ours
    if difference.theirs.message.rcode != Rcode.NXDOMAIN or ours.message.rcode != Rcode.NOERROR:
        return False
    origin = _origin(difference)
    inner = difference.world.inner(origin) if origin is not None else set()
    for spelled in _spelled_out(name):
        known = {line[1:] for line in _records(difference, spelled, difference.question.qtype)}
        if spelled in difference.world.records or spelled in inner:
            given = {line[1:] for line in ours.answer}
            return given == known if given else _is_negative(ours, Rcode.NOERROR)
    return False


def _chain(difference: Difference) -> tuple[list[Line], Name]:
    """Return the aliases that a name leads through, in whatever zone, and the name behind them."""
    name, found = _name(difference), list[Line]()
    while (aliases := _records(difference, name, RRType.CNAME)) and not aliases & set(found):
        found += aliases
        name = Name(found[-1][4])
    return found, name


def _alias_to_nothing(difference: Difference) -> bool:
    chain, end = _chain(difference)
    origin = _origin(difference)
    theirs = difference.theirs
    return (
        bool(chain)
        and origin is not None
        and is_at_or_below(end, origin)
        and not _records(difference, end, difference.question.qtype)
        and _is_negative(difference.ours, Rcode.NOERROR)
        and theirs.message.rcode in (Rcode.NOERROR, Rcode.NXDOMAIN)
        and bool(theirs.answer)
        and theirs.answer <= set(chain)
    )


def _alias_to_another_zone(difference: Difference) -> bool:
    chain, _ = _chain(difference)
    origin = _origin(difference)
    leaves = any(find_origin(difference.world.origins, Name(line[4])) != origin for line in chain)
    ours, theirs = difference.ours, difference.theirs
    alike = ours.answer <= theirs.answer or theirs.answer <= ours.answer
    return leaves and alike and set(chain[:1]) <= ours.answer & theirs.answer


def _signature_beside_alias(difference: Difference) -> bool:
    chain, _ = _chain(difference)
    return (
        difference.question.qtype in _SIGNED_TYPES
        and bool(chain)
        and set(chain[:1]) <= difference.ours.answer <= set(chain)
        and _is_negative(difference.theirs, Rcode.NOERROR)
    )


EXPLANATIONS = (
    Explanation(
        "CD is copied",
        frozenset({"cd"}),
        "RFC 4035, section 3.1.6, has a server copy CD from the query; the others clear it",
        _copies_cd,
    ),
    Explanation(
        "ANY is NODATA",
        _SECTIONS | {"tc"},
        "as CoreDNS's kubernetes plugin answers ANY; RFC 8482, section 4, leaves the choice to the responder",
        _any_is_nodata,
    ),
    Explanation(
        "NS of the zone in the authority section",
        frozenset({"authority"}),
        "NSD adds the zone's NS records to an answer; RFC 1034, section 4.3.2, does not ask for them",
        _apex_ns,
        only="NSD",
    ),
    Explanation(
        "addresses of those NS",
        frozenset({"additional"}),
        "NSD adds them as well",
        _apex_ns_addresses,
        only="NSD",
    ),
    Explanation(
        "additional records twice",
        frozenset({"additional"}),
        "Knot DNS repeats an address for every SRV record that leads to it; here it stands once (RFC 2181, section 5)",
        _sent_twice,
        only="Knot DNS",
    ),
    Explanation(
        "no room for additional records",
        frozenset({"additional"}),
        "what does not fit is left out without TC (RFC 2181, section 9); Knot DNS fits in more, for it compresses "
        "owners against the targets of SRV, and NSD less, for it adds NS",
        _no_room,
    ),
    Explanation(
        "what a truncated answer holds",
        _SECTIONS,
        "part of the RRset, or nothing: with TC set nobody uses it (RFC 2181, section 9)",
        _both_truncated,
    ),
    Explanation(
        "names without records",
        frozenset({"rcode"}),
        "an empty namespace exists: NODATA (RFC 8020, section 2; CoreDNS); a master file cannot say so",
        _bare_name,
    ),
    Explanation(
        "ports without underscores",
        _SECTIONS | {"rcode"},
        "CoreDNS takes http.tcp.<service> for _http._tcp.<service>; such names are in no dump",
        _port_without_underscores,
    ),
    Explanation(
        "aliases that lead nowhere",
        _SECTIONS | {"rcode"},
        "NODATA without the alias, as CoreDNS answers (its issue 6088); RFC 2308, section 2.1, has the alias as well",
        _alias_to_nothing,
    ),
    Explanation(
        "aliases to another zone",
        _SECTIONS | {"rcode"},
        "how far an alias is followed beyond its own zone is the server's choice (RFC 1034, section 4.3.2, step 3a)",
        _alias_to_another_zone,
    ),
    Explanation(
        "RRSIG and NSEC of an alias",
        _SECTIONS,
        "Knot DNS looks for them beside the CNAME (RFC 4035, section 2.5); no zone here is signed, so nothing is there",
        _signature_beside_alias,
        only="Knot DNS",
    ),
)
