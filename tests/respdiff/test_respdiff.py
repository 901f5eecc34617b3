"""A small comparison with each server that is installed, and proof that a difference does not pass unseen."""

from dataclasses import replace
from pathlib import Path

import pytest

from dnsserver.message import Query, Reply, Transport
from dnsserver.names import Name, fold, from_text, spelled_from_text
from dnsserver.records import Rcode, RRset, RRType
from dnsserver.responder import finish, receive
from dnsserver.zone import soa_rrset
from tests.respdiff.compare import Difference, differing, read
from tests.respdiff.exchange import Question
from tests.respdiff.explanations import EXPLANATIONS, explain
from tests.respdiff.questions import WAYS, questions
from tests.respdiff.run import REFERENCES, Extent, Result, compare, installed, table
from tests.respdiff.zones import World, read_world

SMALL = Extent(vmis=40, count=1_500, cases=14)
PAGE = Path(__file__).parent.parent.parent / "docs" / "respdiff.md"


@pytest.fixture(params=REFERENCES)
def reference(request: pytest.FixtureRequest) -> str:
    """Each server to compare with, where it is installed."""
    name = str(request.param)
    if name not in installed():
        pytest.skip(f"{REFERENCES[name][0]} is not installed")
    return name


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """One comparison with all the servers that there are."""
    return compare(tmp_path_factory.mktemp("respdiff"), installed(), SMALL)


def test_the_same_answers(reference: str, compared: Result) -> None:
    """Every difference is explained, and most answers do not differ at all."""
    assert not compared.problems, "\n".join(compared.problems[:3])
    assert compared.asked == SMALL.count == compared.same[reference] + compared.differ[reference]
    assert compared.same[reference] > SMALL.count / 2


@pytest.mark.skipif(not installed(), reason="neither knotd nor nsd is installed")
def test_a_wrong_record_is_found(tmp_path: Path) -> None:
    """One TTL of one RRset, changed in what the other servers read."""

    def change(zones: Path) -> None:
        path = zones / "cluster.local.zone"
        text = path.read_text()
        assert "\ncluster.local. 5 IN NS " in text
        path.write_text(text.replace("\ncluster.local. 5 IN NS ", "\ncluster.local. 6 IN NS "))

    result = compare(tmp_path, installed(), replace(SMALL, cases=0), change=change)
    assert {problem.partition(" over ")[0] for problem in result.problems} == set(installed())
    assert all(" 6 IN NS " in problem for problem in result.problems)


# -- without any other server ------------------------------------------------------------------------------------------

ZONE = """$ORIGIN a.test.
a.test. 5 IN SOA ns.dns.a.test. hostmaster.a.test. 1 7200 1800 86400 5
a.test. 5 IN NS ns.dns.a.test.
ns.dns.a.test. 5 IN A 192.0.2.1
host.svc.a.test. 5 IN A 192.0.2.2
_http._tcp.svc.a.test. 5 IN SRV 0 100 80 host.svc.a.test.
alias.svc.a.test. 5 IN CNAME nothing.svc.a.test.
; pod.a.test. exists without records
"""
ORIGIN = from_text("a.test")
SOA = soa_rrset(ORIGIN, 1, 5)
HOST = from_text("host.svc.a.test")
NODATA = Reply(authority=(SOA,))
NXDOMAIN = Reply(rcode=Rcode.NXDOMAIN, authority=(SOA,))


@pytest.fixture
def world(tmp_path: Path) -> World:
    """One zone, read from its file."""
    (tmp_path / "a.test.zone").write_text(ZONE)
    return read_world(tmp_path)


def address(last: int, ttl: int = 5, owner: Name = HOST) -> RRset:
    """Return an A RRset."""
    return RRset(owner, RRType.A, ttl, (bytes((192, 0, 2, last)),))


def judge(world: World, qname: str, qtype: int, ours: Reply, theirs: Reply, **way: bool) -> tuple[list[str], set[str]]:
    """Return the explanations of two replies to a question, and the fields that none explains."""
    question = Question(spelled_from_text(qname), qtype, **way)
    query = receive(question.encode(1), Transport.UDP)
    assert isinstance(query, Query)
    answers = [read(finish(query, reply, Transport.UDP)) for reply in (ours, theirs)]
    fields = differing(*answers)
    found, left = explain(Difference(question, "Knot DNS", answers[0], answers[1], fields, world))
    return [one.key for one in found], set(left)


EXPLAINED = [  # question, type, our reply, the other, the explanation
    ("host.svc.a.test", RRType.ANY, NODATA, Reply(answer=(address(2),)), "ANY is NODATA"),
    ("pod.a.test", RRType.A, NODATA, NXDOMAIN, "names without records"),
    ("tcp.svc.a.test", RRType.A, NODATA, NXDOMAIN, "ports without underscores"),
    (
        "alias.svc.a.test",
        RRType.A,
        NODATA,
        Reply(
            rcode=Rcode.NXDOMAIN,
            answer=(RRset(from_text("alias.svc.a.test"), RRType.CNAME, 5, (from_text("nothing.svc.a.test"),)),),
            authority=(SOA,),
        ),
        "aliases that lead nowhere",
    ),
]


@pytest.mark.parametrize(("qname", "qtype", "ours", "theirs", "key"), EXPLAINED, ids=[row[4] for row in EXPLAINED])
def test_explained(qname: str, qtype: int, ours: Reply, theirs: Reply, key: str, world: World) -> None:
    """What an explanation is for; the other way round it does not hold."""
    assert judge(world, qname, qtype, ours, theirs) == ([key], set())
    assert judge(world, qname, qtype, theirs, ours)[1]


NOT_EXPLAINED = [  # question, type, our reply, the other, the fields
    ("a TTL", "host.svc.a.test", RRType.A, Reply(answer=(address(2, 6),)), Reply(answer=(address(2),)), {"answer"}),
    ("an address", "host.svc.a.test", RRType.A, Reply(answer=(address(3),)), Reply(answer=(address(2),)), {"answer"}),
    (
        "ANY with what is not there",
        "host.svc.a.test",
        RRType.ANY,
        NODATA,
        Reply(answer=(address(3),)),
        {"answer", "authority"},
    ),
    ("NXDOMAIN of an empty non-terminal", "svc.a.test", RRType.A, NXDOMAIN, NODATA, {"rcode"}),
    ("NODATA of what is not there", "x.svc.a.test", RRType.A, NODATA, NXDOMAIN, {"rcode"}),
    (
        "no AA",
        "x.svc.a.test",
        RRType.A,
        Reply(rcode=Rcode.NXDOMAIN, authority=(SOA,), authoritative=False),
        NXDOMAIN,
        {"aa"},
    ),
    ("no SOA", "x.svc.a.test", RRType.A, Reply(rcode=Rcode.NXDOMAIN), NXDOMAIN, {"authority"}),
    (
        "additional data left out without need",
        "_http._tcp.svc.a.test",
        RRType.SRV,
        Reply(answer=(RRset(from_text("_http._tcp.svc.a.test"), RRType.SRV, 5, (b"\0\0\0\x64\0\x50" + HOST,)),)),
        Reply(
            answer=(RRset(from_text("_http._tcp.svc.a.test"), RRType.SRV, 5, (b"\0\0\0\x64\0\x50" + HOST,)),),
            additional=(address(2),),
        ),
        {"additional"},
    ),
]


@pytest.mark.parametrize(
    ("qname", "qtype", "ours", "theirs", "fields"),
    [row[1:] for row in NOT_EXPLAINED],
    ids=[row[0] for row in NOT_EXPLAINED],
)
def test_not_explained(qname: str, qtype: int, ours: Reply, theirs: Reply, fields: set[str], world: World) -> None:
    """What would be a mistake has no explanation."""
    assert judge(world, qname, qtype, ours, theirs) == ([], fields)


def test_questions(world: World) -> None:
    """The same every time; every way, every sort of name, and all of them valid."""
    asked = questions(world, 10**6, 1)
    assert asked == questions(world, 10**6, 1) != questions(world, 10**6, 2)
    assert (
        len({(one.tcp, one.edns, one.dnssec_ok, one.checking_disabled, one.authentic) for one in asked}) > len(WAYS) / 2
    )
    names = {fold(one.qname) for one in asked}
    wanted = (
        "a.test",
        "svc.a.test",
        "dns.a.test",
        "pod.a.test",
        "nothing.host.svc.a.test",
        "*.svc.a.test",
        "example.org",
    )
    assert names >= set(map(from_text, wanted))
    assert any(one.qname != fold(one.qname) for one in asked)


def test_the_page() -> None:
    """The documentation has a row for every explanation, with its reason."""
    text = PAGE.read_text()
    for line in list(table(Result(), list(REFERENCES)))[2:]:
        first, *_, reason = line.strip("| ").split(" | ")
        assert any(row.startswith(f"| {first} |") and row.endswith(f"| {reason} |") for row in text.splitlines()), first
    assert text.count("\n| ") == len(EXPLANATIONS) + 2
