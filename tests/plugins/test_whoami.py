"""`whoami`: the client's address, port and protocol."""

from pathlib import Path

import pytest

from dnsserver.message import Client, Reply, Transport
from dnsserver.names import ROOT, Name, from_text, spelled_from_text
from dnsserver.plugins.whoami import Whoami
from dnsserver.records import RRset, RRType, srv
from tests.harness import serving
from tests.plugins.conftest import SERVER, answering, parse, refusal, request


@pytest.mark.parametrize(
    ("address", "transport", "qname", "first", "owner"),
    [
        ("10.0.0.1", Transport.UDP, "example.com.", RRset(from_text("example.com"), 1, 0, (b"\x0a\0\0\1",)), "_udp."),
        ("10.0.0.1", Transport.TCP, "example.com.", RRset(from_text("example.com"), 1, 0, (b"\x0a\0\0\1",)), "_tcp."),
        ("::1", Transport.TLS, ".", RRset(ROOT, RRType.AAAA, 0, (b"\0" * 15 + b"\1",)), "_tcp"),
        ("::ffff:10.0.0.1", Transport.UDP, ".", RRset(ROOT, RRType.A, 0, (b"\x0a\0\0\1",)), "_udp"),
    ],
)
async def test_answer(address: str, transport: Transport, qname: str, first: RRset, owner: str) -> None:
    """No answer, two additional records, authoritative."""
    asked = request(qname, RRType.MX, client=Client(address, 4321, transport, SERVER))
    reply = await Whoami().handle(asked, answering(Reply(rcode=5)))
    service = RRset(from_text(f"{owner}{qname}"), RRType.SRV, 0, (srv(0, 0, 4321, ROOT),))
    assert reply == Reply(additional=(first, service))


async def test_long_name() -> None:
    """A name with no room for another label gets the address alone."""
    labels = b"\x3f" + b"a" * 63
    name = Name(labels * 3 + b"\x3b" + b"b" * 59 + b"\0")
    assert len(name) == 253
    asked = request(qname=name)
    reply = await Whoami().handle(request(qname=name), answering(Reply()))
    assert [one.rrtype for one in reply.additional] == [RRType.A]
    assert asked.query.qname == name


async def test_spelling(tmp_path: Path) -> None:
    """Names follow the question's spelling."""
    async with serving(". {\nbind 127.0.0.1\nwhoami\n}", tmp_path) as running:
        response = await running.ask("eXample.ORG")
    assert [record.owner for record in response.additional] == [
        spelled_from_text("eXample.ORG"),
        spelled_from_text("_udp.eXample.ORG"),
    ]
    assert response.additional[0].rdata == b"\x7f\0\0\1"
    assert (response.answer, response.authoritative) == ((), True)


def test_options() -> None:
    """There are none."""
    (plugin,) = parse("whoami", "whoami")
    assert isinstance(plugin, Whoami)
    assert "expecting whoami" in refusal("whoami", "whoami me")
    assert "unknown property 'x', expecting no block" in refusal("whoami", "whoami {\nx\n}")
    assert "only be used once" in refusal("whoami", "whoami\nwhoami")
