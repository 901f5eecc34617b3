"""`inspect`: who may ask, how, what is refused, and what a reload does to it."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from dnsserver.corefile import parse as parse_corefile
from dnsserver.plugins.inspect import DEFAULT, Inspect, others
from dnsserver.setup import Source
from tests.build import namespace_json, service_json, vmi_json
from tests.harness import Serving, serving
from tests.plugins.conftest import parse, refusal

LISTEN = "127.0.0.1:0"
PATH = "/api/explain"
NAME = "vm1.db.ns1.svc.cluster.local."


def corefile(folder: Path, inspect: str = f"inspect {LISTEN}", more: str = "") -> str:
    """Write one VMI, and return a Corefile that serves it."""
    items = [namespace_json(), service_json(), vmi_json()]
    (folder / "objects.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    return f"cluster.local {{\nbind 127.0.0.1\n{inspect}\nkubernetes {{\nmanifests objects.json\n}}\n{more}\n}}\n"


async def ask(
    server: Serving, query: str = f"name={NAME}", *, method: str = "GET", host: str | None = None, listen: str = LISTEN
) -> tuple[int, Any, dict[str, str]]:
    """Return the status, JSON and headers of one request."""
    url = server.http(listen, f"{PATH}?{query}")
    headers = {} if host is None else {"Host": host}
    async with aiohttp.ClientSession() as session, session.request(method, url, headers=headers) as response:
        body = await response.text()
        return response.status, json.loads(body) if body else None, dict(response.headers)


async def test_explanation(tmp_path: Path) -> None:
    """An explanation is JSON that nobody keeps, and that no browser takes for anything else."""
    async with serving(corefile(tmp_path), tmp_path) as server:
        status, found, headers = await ask(server)
        assert (status, found["resolves"], found["name"], found["version"]) == (200, True, NAME, 1)
        assert headers["Content-Type"].startswith("application/json")
        assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("no-store", "nosniff")
        status, found, _ = await ask(server, "vmi=vm1&namespace=ns1")
        assert (status, [one["name"] for one in found["names"]]) == (200, [NAME])
        assert (await ask(server, "name=VM1.db.ns1&type=aaaa"))[1]["verdict"].startswith(f"{NAME} AAAA does not")
        assert (await ask(server, method="HEAD"))[:2] == (200, None)


WRONG = [  # the query, what is wrong with it
    ("", "either name or vmi has to be given"),
    ("name=a&vmi=b", "either name or vmi has to be given"),
    ("name=a&name=b", "a parameter can be given only once"),
    ("name=a&colour=red", "unknown parameter 'colour'"),
    ("name=a&namespace=b", "namespace does not go with name"),
    ("vmi=a&type=A", "type does not go with vmi"),
    ("name=a..b", "not a name: "),
    ("name=a&type=NONE", "not a resource record type: 'NONE'"),
    ("name=a&type=AXFR", "a zone transfer is no question about a name"),
    (f"name={'a' * 300}", "not a name: "),
]


async def test_wrong_requests(tmp_path: Path) -> None:
    """What cannot be asked is said to be so."""
    async with serving(corefile(tmp_path), tmp_path) as server:
        for query, error in WRONG:
            status, found, headers = await ask(server, query)
            assert (status, headers["Cache-Control"]) == (400, "no-store"), query
            assert error in found["error"]


async def test_methods(tmp_path: Path) -> None:
    """Nothing can be changed here, and nobody may try."""
    async with serving(corefile(tmp_path), tmp_path) as server:
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
            status, found, headers = await ask(server, method=method)
            assert (status, headers["Allow"]) == (405, "GET, HEAD")
            assert found == {"error": "only GET and HEAD are answered here"}


HOSTS = [  # Host header, whether it is answered
    ("127.0.0.1:9154", True),
    ("[::1]:9154", True),
    ("10.96.0.53", True),
    ("localhost:1", True),
    ("LOCALHOST.", True),
    ("dns.example.org:9154", True),
    ("DNS.Example.org.", True),
    ("evil.example.org", False),
    ("dns.example.org.evil.test", False),
    ("127.0.0.1.evil.test", False),
    ("", False),
    ("[::1", True),
]


async def test_hosts(tmp_path: Path) -> None:
    """Who asks for another name than ours has been led here by somebody else's (DNS rebinding)."""
    text = corefile(tmp_path, f"inspect {LISTEN} {{\nhost dns.example.org other\n}}")
    async with serving(text, tmp_path) as server:
        for host, answered in HOSTS:
            status, found, _ = await ask(server, host=host)
            assert (status == 200) is answered, host
            assert answered or (status, found["error"].startswith(repr(host))) == (403, True)


async def test_off_by_default(tmp_path: Path) -> None:
    """Without the directive nothing listens."""
    async with serving(corefile(tmp_path, ""), tmp_path) as server:
        assert not server.app._http._listeners


async def test_two_blocks(tmp_path: Path) -> None:
    """Each `inspect` tells of every server block, whichever it stands in."""
    text = corefile(tmp_path) + f"example.org {{\nbind 127.0.0.1\ninspect {LISTEN}\nwhoami\n}}\n"
    async with serving(text, tmp_path) as server:
        assert (await ask(server))[1]["resolves"]
        outside = (await ask(server, "name=example.org."))[1]
        assert (outside["rcode"], outside["passed_on"]) == ("", ["whoami"])


async def test_reload(tmp_path: Path) -> None:
    """A reload takes the listener over, and what is explained is what runs then."""
    async with serving(corefile(tmp_path), tmp_path) as server:
        before = server.http(LISTEN, PATH)
        more = corefile(tmp_path, more="forward . 127.0.0.1:9").replace("objects.json", "objects.json\nfallthrough")
        server.app._source = Source(lambda: parse_corefile(more), tmp_path, 0)
        await server.app.reload(parse_corefile(more))
        assert server.http(LISTEN, PATH) == before
        found = (await ask(server, "name=vm9.db.ns1"))[1]
        assert (found["rcode"], found["passed_on"]) == ("", ["forward"])


async def test_many_at_once(tmp_path: Path) -> None:
    """Explanations do not wait for each other."""
    async with serving(corefile(tmp_path), tmp_path) as server:
        answers = await asyncio.gather(*(ask(server, f"name=vm{number}.db.ns1") for number in range(20)))
    assert [found["resolves"] for _, found, _ in answers] == [number == 1 for number in range(20)]


def test_parse() -> None:
    """The address and the names are optional."""
    (plain,) = parse("inspect", "inspect")
    assert isinstance(plain, Inspect)
    assert (plain.address, plain.hosts) == (DEFAULT, ()) == ("localhost:9154", ())
    (full,) = parse("inspect", "inspect :9154 {\nhost a.test b.test\nhost c.test\n}")
    assert isinstance(full, Inspect)
    assert (full.address, full.hosts) == (":9154", ("a.test", "b.test", "c.test"))
    assert others((plain,)) == ()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("inspect a b", "inspect [ADDRESS]"),
        ("inspect\ninspect", "this plugin can only be used once per Server Block"),
        ("inspect {\nhost\n}", "host NAME..."),
        ("inspect {\nport 1\n}", "unknown property 'port', expecting host"),
        ("inspect localhost:99999", "99999"),
    ],
)
def test_refused(text: str, error: str) -> None:
    """What is not understood is refused with what was expected."""
    assert error in refusal("inspect", text)
