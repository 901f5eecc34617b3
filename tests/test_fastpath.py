"""Which questions go around the chain, and that they get what the chain would say."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from dnsserver import fastpath
from dnsserver.fast.best import COMPILED
from dnsserver.fast.table import Table, Way
from dnsserver.message import Client, Edns, Transport
from dnsserver.records import Rcode
from dnsserver.wire import encode_query, parse_response
from tests.build import namespace_json, service_json, vmi_json
from tests.harness import Serving, get, question, serving

NAME = "vm1.db.ns1.svc.cluster.local"
KUBERNETES = "kubernetes cluster.local in-addr.arpa {\n manifests objects.json\n }"


@pytest.fixture(autouse=True, params=["python", "compiled"])
def _tables(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the whole server with either table."""
    if request.param == "python":
        monkeypatch.setattr(fastpath, "new_table", Table)
    elif not COMPILED:
        pytest.skip("nothing was compiled: no compiler was there at installation")


def objects(address: str = "10.244.0.7") -> str:
    """Return a manifest with one VMI."""
    items = [
        namespace_json(),
        service_json(selector={"app": "db"}),
        vmi_json("vm1", subdomain="db", labels={"app": "db"}, addresses=[address]),
    ]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def ready(server: Serving, qname: str, qtype: str = "A") -> bool:
    """Say whether a question is answered without the chain."""
    (answers,) = server.app._ready.values()
    return answers.table.respond(encode_query(question(qname, qtype)), Way.UDP4) is not None


@pytest.mark.parametrize(
    ("plugins", "expected"),
    [
        ("", True),
        (
            "errors\n prometheus 127.0.0.1:0\n loadbalance\n cache 30\n nsid\n minimal\n any\n chaos\n loop",
            True,
        ),
        ("cookie {\n secret 000102030405060708090a0b0c0d0e0f\n }", True),
        ("reload\n transfer {\n to *\n }\n forward . 127.0.0.1:9", True),
        ("log", False),
        ("acl {\n allow\n }", False),
        ("rewrite name a.example b.example", False),
        ('template IN A example.org {\n answer "{{ .Name }} 60 IN A 192.0.2.1"\n }', False),
        ("hosts {\n 192.0.2.1 a.example\n fallthrough\n }", True),
        ("hosts {\n 192.0.2.1 a.example\n fallthrough local\n }", True),
        ("hosts {\n 192.0.2.1 a.example\n fallthrough svc.cluster.local\n }", False),
        ("hosts none example.org {\n 192.0.2.1 a.example.org\n }", True),
        ("hosts {\n 192.0.2.1 cluster.local\n fallthrough\n }", False),
        ("hosts {\n 192.0.2.1 *.local\n fallthrough\n }", False),
        ("hosts {\n 192.0.2.1 *.cluster.local\n fallthrough\n }", False),
        ("hosts {\n 192.0.2.1 x.cluster.local\n fallthrough\n }", True),
        ("k8s_external example.org", True),
        ("k8s_external ns2.svc.cluster.local 2.0.192.in-addr.arpa", True),
        ("local", False),
        ("bufsize 1000", False),
        ("bufsize 1231", False),
        ("bufsize 1232", True),
        ("bufsize", True),
        ("bufsize 4096", True),
        ("ratelimit 100", False),
        ("autopath @kubernetes", False),
        ("loadbalance {\n prefer 10.0.0.0/8\n }", False),
        ("cache 3", False),  # shortens the TTLs of answers
        ("cache {\n denial 100 3\n }", False),
    ],
)
async def test_plugins_in_front(tmp_path: Path, plugins: str, expected: bool) -> None:
    """A plugin that may change plain questions or answers, or that is to see them all, sees them all."""
    (tmp_path / "objects.json").write_text(objects())
    async with serving(f". {{\n bind 127.0.0.1\n {plugins}\n {KUBERNETES}\n }}", tmp_path) as server:
        response = await server.ask(NAME)
        assert [one.rdata for one in response.answer] == [b"\x0a\xf4\x00\x07"]
        assert ready(server, NAME) is expected
        assert ready(server, "nowhere.cluster.local") is expected
        assert not ready(server, "example.org")


@pytest.mark.parametrize(
    "plugin", ["hosts {\n 192.0.2.1 a.example\n }", "k8s_external cluster.local", "k8s_external local"]
)
async def test_a_plugin_in_front_that_answers_for_the_zone(tmp_path: Path, plugin: str) -> None:
    """Nothing passes it."""
    (tmp_path / "objects.json").write_text(objects())
    async with serving(f". {{\n bind 127.0.0.1\n {plugin}\n {KUBERNETES}\n }}", tmp_path) as server:
        assert not (await server.ask(NAME)).answer
        assert not ready(server, NAME)
        assert not ready(server, "nowhere.cluster.local")


async def test_names_of_other_server_blocks(tmp_path: Path) -> None:
    """The longest zone owns a name, whichever `kubernetes` could answer it as well."""
    (tmp_path / "objects.json").write_text(objects())
    corefile = f"""
    cluster.local {{
        bind 127.0.0.1
        {KUBERNETES}
    }}
    ns1.svc.cluster.local {{
        bind 127.0.0.1
        hosts {{
            192.0.2.1 {NAME}
        }}
    }}
    """
    async with serving(corefile, tmp_path) as server:
        response = await server.ask(NAME)
        assert [one.rdata for one in response.answer] == [b"\xc0\x00\x02\x01"]
        assert not ready(server, NAME)
        assert ready(server, "svc.cluster.local")


async def test_block_of_a_part_of_the_zone(tmp_path: Path) -> None:
    """A block that owns less than the plugin's zone answers for no more than that."""
    (tmp_path / "objects.json").write_text(objects())
    corefile = f"svc.cluster.local {{\n bind 127.0.0.1\n {KUBERNETES}\n }}"
    async with serving(corefile, tmp_path) as server:
        assert (await server.ask(NAME)).rcode == Rcode.NOERROR
        assert (await server.ask("dns-version.cluster.local", "TXT")).rcode == Rcode.REFUSED
        assert not ready(server, "dns-version.cluster.local", "TXT")


async def test_names_that_fall_through(tmp_path: Path) -> None:
    """What does not exist is the next plugin's; what exists is ready."""
    (tmp_path / "objects.json").write_text(objects())
    plugin = "kubernetes cluster.local in-addr.arpa {\n manifests objects.json\n fallthrough in-addr.arpa\n }"
    async with serving(f". {{\n bind 127.0.0.1\n {plugin}\n }}", tmp_path) as server:
        assert ready(server, "7.0.244.10.in-addr.arpa", "PTR")
        assert not ready(server, "8.0.244.10.in-addr.arpa", "PTR")
        assert ready(server, "nowhere.cluster.local")


@pytest.mark.parametrize("tcp", [False, True])
async def test_changes(tmp_path: Path, tcp: bool) -> None:
    """An answer that was ready is another as soon as its object is."""
    manifest = tmp_path / "objects.json"
    manifest.write_text(objects())
    async with serving(f"cluster.local {{\n bind 127.0.0.1\n {KUBERNETES}\n }}", tmp_path) as server:
        for address in ("10.244.0.7", "10.244.0.8", "10.244.0.9"):
            manifest.write_text(objects(address))
            await server.until(NAME, "A", [address])
            response = await server.ask(NAME, tcp=tcp)
            assert response.answer[0].rdata[-1] == int(address.rpartition(".")[2])
            soa = parse_response(server_answer(server, "nowhere.cluster.local")).authority[0].rdata
            assert soa == (await server.ask("cluster.local", "SOA")).answer[0].rdata


def server_answer(server: Serving, qname: str) -> bytes:
    """Return a ready answer."""
    (answers,) = server.app._ready.values()
    response = answers.table.respond(encode_query(question(qname)), Way.UDP4)
    assert response is not None
    return response


async def test_not_before_the_first_sync(tmp_path: Path) -> None:
    """Nothing is missing for certain before everything is known: SERVFAIL is the chain's to say."""
    plugin = "kubernetes cluster.local {\n endpoint http://127.0.0.1:9\n startup_timeout 10ms\n }"
    async with serving(f"cluster.local {{\n bind 127.0.0.1\n {plugin}\n }}", tmp_path) as server:
        assert (await server.ask(NAME)).rcode == Rcode.SERVFAIL
        assert not ready(server, NAME)


async def test_counted_once(tmp_path: Path) -> None:
    """Every query is in the metrics, by whichever way it was answered."""
    (tmp_path / "objects.json").write_text(objects())
    corefile = f"cluster.local {{\n bind 127.0.0.1\n prometheus 127.0.0.1:0\n {KUBERNETES}\n }}"
    async with serving(corefile, tmp_path) as server:
        for _ in range(5):
            await server.ask(NAME)
            await server.ask("cluster.local", "SOA")
            await server.ask("nowhere.cluster.local", tcp=True)
        _, text = await get(server.http("127.0.0.1:0", "/metrics"))
    counted = [line for line in text.splitlines() if line.startswith("coredns_dns_responses_total")]
    assert sorted(float(line.rpartition(" ")[2]) for line in counted) == [5, 10]
    (durations,) = (line for line in text.splitlines() if "request_duration_seconds_count{" in line)
    assert float(durations.rpartition(" ")[2]) == 15


FRONTS = {
    "nothing": "",
    "bufsize": "bufsize",
    "k3s": "hosts nodes {\n ttl 60\n reload 100ms\n fallthrough\n }",
    "names of the cluster": """hosts {
        192.0.2.1 vm1.db.ns1.svc.cluster.local one.ns1.svc.cluster.local
        192.0.2.2 *.ns2.svc.cluster.local
        10.244.0.7 elsewhere.example
        fallthrough
    }""",
    "without a part": "hosts none ns1.svc.cluster.local example.org {\n 192.0.2.1 one.ns2.svc.cluster.local\n }",
    "part falls through": """hosts none cluster.local in-addr.arpa {
        10.244.0.8 a.cluster.local
        fallthrough cluster.local
    }""",
    "without PTR": "hosts {\n 10.244.0.7 a.example\n no_reverse\n fallthrough . \n fallthrough_unsupported\n }",
    "external": """k8s_external example.org ns1.svc.cluster.local 10.in-addr.arpa {
        fallthrough ns1.svc.cluster.local
    }""",
    "all": "bufsize 1232\n hosts nodes {\n fallthrough\n }\n k8s_external example.org\n minimal\n cache 30",
}
NAMES = (
    *(NAME, "db.ns1.svc.cluster.local", "one.ns1.svc.cluster.local", "ns1.svc.cluster.local", "svc.cluster.local"),
    *("cluster.local", "x.cluster.local", "x.y.cluster.local", "dns.cluster.local", "ns.dns.cluster.local"),
    *("ns2.svc.cluster.local", "one.ns2.svc.cluster.local", "a.one.ns2.svc.cluster.local", "a.cluster.local"),
    *("www.example.org.ns1.svc.cluster.local", "www.example.org.db.ns1.svc.cluster.local", "node1.cluster.local"),
    *("7.0.244.10.in-addr.arpa", "8.0.244.10.in-addr.arpa", "9.0.244.10.in-addr.arpa", "1.2.0.192.in-addr.arpa"),
    *("0.244.10.in-addr.arpa", "in-addr.arpa", "VM1.DB.ns1.Svc.cluster.LOCAL", "_tcp.db.ns1.svc.cluster.local"),
    *("tcp.db.ns1.svc.cluster.local", "tcp.ns1.svc.cluster.local", "a.tcp.db.ns1.svc.cluster.local"),
)
NODES = "192.0.2.9 node1 node1.cluster.local\n10.244.0.9 node2\n"


def wires() -> Iterator[bytes]:
    """Yield every name with some types and forms of EDNS."""
    for name in NAMES:
        for qtype in ("A", "AAAA", "PTR", "TXT", "SRV", "HTTPS"):
            for edns in (None, Edns(512), Edns(1232), Edns(4096, dnssec_ok=True)):
                yield encode_query(question(name, qtype, edns=edns))


@pytest.mark.parametrize("front", FRONTS)
async def test_what_the_chain_would_say(tmp_path: Path, front: str) -> None:
    """Whatever is in front: an answer that is ready is the chain's, octet for octet, also when it is asked again."""
    (tmp_path / "objects.json").write_text(objects())
    (tmp_path / "nodes").write_text(NODES)
    async with serving(f". {{\n bind 127.0.0.1\n {FRONTS[front]}\n {KUBERNETES}\n }}", tmp_path) as server:
        (service,) = server.app._current.services.values()
        table = service.ready.table
        while not table.prepare(1000):
            pass
        found = 0
        for way, transport in ((Way.UDP4, Transport.UDP), (Way.TCP4, Transport.TCP)):
            client = Client("127.0.0.1", 53, transport, "dns://:53")
            for wire in (*wires(), *wires()):
                ready = table.respond(wire, way)
                if ready is not None:
                    found += 1
                    assert ready == service.dispatcher(wire, client), wire
    assert found > 300


@pytest.mark.parametrize("content", ["192.0.2.1 {}\n", "192.0.2.1 *.{}\n"])
async def test_names_of_a_hosts_file_that_changes(tmp_path: Path, content: str) -> None:
    """What it has is the plugin's, as long as it has it; of too many names, all of the zone."""
    (tmp_path / "objects.json").write_text(objects())
    nodes = tmp_path / "nodes"
    plugin = "hosts nodes {\n reload 10ms\n fallthrough\n }"
    many = "".join(f"192.0.2.1 n{number}.cluster.local\n" for number in range(65))
    async with serving(f". {{\n bind 127.0.0.1\n {plugin}\n {KUBERNETES}\n }}", tmp_path) as server:
        for written, expected in (
            ("", (True, True)),
            (content.format(NAME if "*" not in content else NAME.partition(".")[2]), (False, True)),
            ("192.0.2.22 cluster.local\n", (False, False)),
            ("192.0.2.2 other.example\n", (True, True)),
            (many, (False, False)),
        ):
            nodes.write_text(written)
            async with asyncio.timeout(5):
                while (ready(server, NAME), ready(server, "svc.cluster.local")) != expected:  # noqa: ASYNC110 -- a file
                    await asyncio.sleep(0.005)
            hosts = written.startswith("192.0.2.1 ") and written is not many and "*" not in content
            assert await server.texts(NAME) == ["192.0.2.1" if hosts or "*" in written else "10.244.0.7"]
