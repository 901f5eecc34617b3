"""One question explained: the answer as the server gives it, and the chain that leads there; no I/O."""

from collections.abc import Sequence
from dataclasses import dataclass

from dnsserver.answer import answer
from dnsserver.derive.vmi import Fact
from dnsserver.explain.draft import Draft
from dnsserver.explain.hosts import explain_host
from dnsserver.explain.looking import Looking
from dnsserver.explain.machines import explain_machine, note_own_zone
from dnsserver.explain.others import (
    explain_fixed,
    explain_namespace_name,
    explain_pod,
    explain_too_deep,
    explain_unknown,
    explain_zonal,
    note_search_path,
)
from dnsserver.explain.question import Question
from dnsserver.explain.reverse import explain_reverse
from dnsserver.explain.services import explain_port, explain_service_name
from dnsserver.explain.subject import Place, Served, find_place
from dnsserver.explain.types import explain_type
from dnsserver.explain.values import Check, Explanation, Step, rule_id
from dnsserver.explain.verdict import verdict
from dnsserver.message import Query, Reply
from dnsserver.names import to_text
from dnsserver.records import Rcode, RRClass, RRset, RRType
from dnsserver.wire import Record, rcode_to_text, record_to_text, type_to_text

_LONGEST = 200  # records that are told of an answer


@dataclass(frozen=True, slots=True)
class Answered:
    """What a question's answer is."""

    place: Place
    reply: Reply
    types: tuple[int, ...]  # of the records at the name, where it has none of the type that was asked for


def ask(all_served: Sequence[Served], question: Question) -> Answered | None:
    """Return the answer to a question; None for a name that is in no zone.

    It is made of a zone, which never changes, so that a thread may do this: the records of a Service with 100,000
    endpoints take 0.2 s.
    """
    place = find_place(all_served, question.name)
    if place is None:
        return None
    query = Query(id=0, qname=question.name, name=question.name, qtype=question.qtype, qclass=RRClass.IN)
    reply = answer(place.zone, query, synced=place.served.synced)
    nodata = reply.rcode == Rcode.NOERROR and not reply.answer
    return Answered(place, reply, tuple(one.rrtype for one in place.zone.rrsets(place.name) or ()) if nodata else ())


def explaining(
    all_served: Sequence[Served],
    question: Question,
    now: float,
    others: Sequence[str] = (),
    *,
    answered: Answered | None = None,
) -> Looking[Explanation]:
    """Explain one question in small steps. What changes meanwhile may show in part of it.

    `now` is in seconds of the stores' clock; `others` are the plugins, of any server block, that may answer names
    outside of these zones. The answer may be given, as `ask` says it.
    """
    found = answered or ask(all_served, question)
    if found is None:
        return _outside(all_served, question, others)
    place, reply = found.place, found.reply
    draft = Draft(place, question.qtype, now)
    _explain_zone(draft)
    if place.served.synced:
        yield from _explain_name(draft)
    else:
        _explain_unsynced(draft, there=reply.rcode == Rcode.NOERROR)
    if reply.rcode == Rcode.NOERROR and not reply.answer:
        explain_type(draft, found.types)
    elif reply.rcode == Rcode.NXDOMAIN and not place.reverse:
        note_own_zone(draft)
        note_search_path(draft)
    _explain_alias(draft, reply)
    passed_on = place.served.after if reply.rcode != Rcode.NOERROR and place.served.falls_through(place.name) else None
    if passed_on is not None:
        after = ", ".join(passed_on) or None
        draft.passed(Check.FALLTHROUGH, facts=(Fact("plugins after kubernetes", "any", after),))
    return _explanation(question, draft, reply, passed_on)


def _explain_zone(draft: Draft) -> None:
    """Say which zone has the name, and whether all that it is made of has been read."""
    place = draft.place
    before = ", ".join(place.served.before)
    notes = (f"plugins that may answer first, or change the question: {before}",) if before else ()
    draft.passed(Check.ZONE, facts=(Fact("zone", to_text(place.zone.origin), to_text(place.zone.origin)),), notes=notes)


def _explain_unsynced(draft: Draft, *, there: bool) -> None:
    """Say what has not been read yet; a name that is `there` all the same needs none of it."""
    missing = sorted({kind.value for store in draft.place.served.stores for kind in store.missing})
    fact = Fact("lists still to come", "none", ", ".join(missing) or "their zones are not ready yet")
    if there:
        draft.passed(Check.SYNCED, "the name needs nothing that is still to be read", facts=(fact,))
        explain_fixed(draft)
        return
    text = f"not everything has been read yet: no list of {fact.found}" if missing else "the zones are not ready yet"
    advice = "wait; if that lasts, the log says what the API server answers"
    draft.refused(Check.SYNCED, text, facts=(fact,), advice=advice)


def _explain_alias(draft: Draft, reply: Reply) -> None:
    """Say where an alias leads that ends outside of the zone."""
    if reply.answer and reply.answer[-1].rrtype == RRType.CNAME != draft.qtype:
        target = to_text(reply.answer[-1].rdatas[0])
        note = "the whole server is asked for the target as well, and what it has is added to the answer"
        draft.passed(Check.ALIAS, facts=(Fact("target", "a name", target),), notes=(note,))


def _explain_name(draft: Draft) -> Looking[None]:
    """Explain a name by its shape."""
    if draft.place.reverse and not explain_fixed(draft):
        yield from explain_reverse(draft)
    elif draft.place.of_machines and not explain_fixed(draft):
        yield from explain_machine(draft)
    elif not draft.place.reverse and not draft.place.of_machines:
        yield from _explain_forward(draft)


def _explain_forward(draft: Draft) -> Looking[None]:
    """Explain a name of a forward zone."""
    parts = [label.decode("latin-1") for label in draft.place.labels]
    if explain_fixed(draft):
        return
    match parts:
        case [*_, "_zone", _, _, "svc"]:
            yield from explain_zonal(draft)
        case [namespace, "svc" | "pod" as kind]:
            yield from explain_namespace_name(draft, namespace, kind)
        case [service, namespace, "svc"]:
            yield from explain_service_name(draft, service, namespace)
        case [protocol, service, namespace, "svc"] if protocol.startswith("_"):
            yield from explain_port(draft, "", protocol, service, namespace)
        case [host, service, namespace, "svc"]:
            yield from explain_host(draft, host, service, namespace)
        case [port, protocol, service, namespace, "svc"] if port[:1] == "_" or draft.exists(draft.place.name):
            yield from explain_port(draft, port, protocol, service, namespace)
        case [*above, service, namespace, "svc"]:
            yield from explain_too_deep(draft, above, service, namespace)
        case [label, namespace, "pod"]:
            yield from explain_pod(draft, label, namespace)
        case _:
            yield from explain_unknown(draft)


def _explanation(question: Question, draft: Draft, reply: Reply, passed_on: tuple[str, ...] | None) -> Explanation:
    """Return the finished explanation."""
    resolves = reply.rcode == Rcode.NOERROR and bool(reply.answer)
    rcode = rcode_to_text(reply.rcode) if not passed_on else ""
    return Explanation(
        asked=question.asked,
        name=to_text(question.name),
        type=type_to_text(question.qtype),
        resolves=resolves,
        rcode=rcode,
        verdict=verdict(question, reply, draft.refusal, passed_on or ()),
        zone=to_text(draft.place.zone.origin),
        serial=draft.place.zone.serial,
        answer=_texts(reply.answer),
        passed_on=passed_on or (),
        chain=tuple(draft.steps),
        near_misses=() if resolves and not draft.near_misses else tuple(draft.near_misses),
        advice=tuple(draft.advice),
    )


def _texts(rrsets: Sequence[RRset]) -> tuple[str, ...]:
    """Return records as a zone file has them."""
    records = (Record(one.owner, one.rrtype, RRClass.IN, one.ttl, rdata) for one in rrsets for rdata in one.rdatas)
    return tuple(record_to_text(record) for record, _ in zip(records, range(_LONGEST), strict=False))


def _outside(all_served: Sequence[Served], question: Question, others: Sequence[str]) -> Explanation:
    """Explain a name that is in no zone."""
    name, rrtype = to_text(question.name), type_to_text(question.qtype)
    zones = ", ".join(to_text(origin) for served in all_served for origin in served.origins) or None
    about = "is in no zone of the plugin kubernetes"
    fact = Fact("zones", f"one that {name} is in", zones)
    step = Step(rule_id(Check.ZONE), False, Check.ZONE.value, facts=(fact,))
    left = f"{', '.join(others)} may answer it" if others else "the server refuses it"
    return Explanation(
        asked=question.asked,
        name=name,
        type=rrtype,
        resolves=False,
        rcode="" if others else rcode_to_text(Rcode.REFUSED),
        verdict=f"{name} {rrtype} {about}: {left}",
        zone="",
        serial=0,
        passed_on=tuple(others),
        chain=(step,),
        advice=(f"ask for a name that ends in one of {zones}",) if zones and not others else (),
    )
