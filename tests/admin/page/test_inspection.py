"""The page's files and the answers that it is made from, over real HTTP: what they say, and what they never do."""

import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import aiohttp
import msgspec
import pytest

from dnsserver.admin.guard import guarded
from dnsserver.admin.http import AdminServers
from dnsserver.admin.inspected import Inspected, InspectedCluster
from dnsserver.admin.inspection import routes
from dnsserver.admin.looking import OBJECTS, SHOWN
from dnsserver.admin.metrics import Metrics
from dnsserver.cluster import Cluster
from dnsserver.events import NotServed
from dnsserver.message import Client, Transport
from dnsserver.names import Name, from_labels, from_text
from dnsserver.objects import Kind, Object
from dnsserver.records import Rcode, RRset, RRType
from dnsserver.sources.source import SourceStatus
from dnsserver.store import Store, StoreConfig
from dnsserver.store.config import InterfacesConfig
from dnsserver.zone import EMPTY, Fixed, ZoneEditor
from tests import build
from tests.harness import question

PAGE = files("dnsserver.admin").joinpath("page")
CLIENT = Client("127.0.0.1", 53, Transport.UDP, "dns://:53")
UID = "5b0c6f0e-3a51-4c1e-9d0a-0d7c5f6a1e01"
MADE = "2026-01-15T09:30:00Z"
MADE_AT = 1768469400  # the same
UNRESTRICTED = StoreConfig(zones=build.CONFIG.zones, reverse_zones=build.CONFIG.reverse_zones, pods="verified")


@dataclass(slots=True)
class Told:
    """A source that says nothing more, and what it has counted."""

    kinds: frozenset[Kind]
    status: SourceStatus

    async def events(self) -> AsyncIterator[Any]:
        """Yield nothing."""
        return
        yield


@dataclass(frozen=True, slots=True)
class Asking:
    """Asks the routes of one `inspect`."""

    base: str
    session: aiohttp.ClientSession

    async def json(self, path: str, status: int = 200, **parameters: str) -> Any:
        """Return what is answered."""
        async with self.session.get(f"{self.base}{path}", params=parameters) as response:
            assert response.status == status
            assert response.content_type == "application/json"
            return await response.json()


@asynccontextmanager
async def asking(*clusters: Cluster, metrics: Metrics | None = None) -> AsyncIterator[Asking]:
    """Serve the routes for some clusters."""
    shown = tuple(InspectedCluster(f"dns://:{53 + at}", one, (), (), ()) for at, one in enumerate(clusters))
    inspected = Inspected(lambda: shown, metrics or Metrics("1.2.3"))
    http = AdminServers()
    async with AsyncExitStack() as stack:
        for path, handler in routes(inspected):
            bound = await stack.enter_async_context(http.route("127.0.0.1:0", path, guarded(handler)))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield Asking(f"http://{bound}", session)


def cluster(*objects: Object, config: StoreConfig = UNRESTRICTED, synced: bool = True, trouble: str = "") -> Cluster:
    """Return a cluster that has listed some objects; with a `trouble` its VMIs fail since."""
    store = build.store_of(objects, config) if synced else Store(config)
    status = SourceStatus(lists=dict.fromkeys(config.kinds, 2))  # type: ignore[arg-type]  # reads as a Counter does
    for kind in Kind:
        status.contact(kind)
    if trouble:
        status.troubles[Kind.VMI] = trouble, "status 403\n(no)"
    one = Cluster(store, [Told(frozenset(Kind), status)])
    one._synced = synced
    return one


def dated(build_one: Callable[..., build.Json], kind: Kind, *args: str, **fields: Any) -> Object:
    """Return an object that says when it was made."""
    value = build_one(*args, **fields)
    value["metadata"]["creationTimestamp"] = MADE
    return build.decoded(kind, value)


VM1 = dated(build.vmi_json, Kind.VMI, "vm1", uid=UID, addresses=("10.244.0.7",))
DB = dated(build.service_json, Kind.SERVICE, "db", ports=[build.port_json(80, "http", "TCP")])
NS1 = dated(build.namespace_json, Kind.NAMESPACE, "ns1")
WEB = build.service("web", cluster_ip="10.96.0.1", ports=[build.port_json(443, "https", "TCP")])
ELSEWHERE = build.service("alias", external_name="www.example.org")
SLICE = build.endpoint_slice(build.endpoint_json("10.244.0.9", hostname="plain"))
POD = build.pod("web-1", "10.244.0.30")
ALL = (NS1, DB, WEB, ELSEWHERE, VM1, SLICE, POD)


def owner(kind: str, namespace: str, name: str, created: int | None = None) -> dict[str, object]:
    """Return what is said of an object."""
    return {"kind": kind, "namespace": namespace, "name": name, "created": created}


OF_NS1 = owner("Namespace", "", "ns1", MADE_AT)
OF_DB = owner("Service", "ns1", "db", MADE_AT)
OF_VM1 = owner("VirtualMachineInstance", "ns1", "vm1", MADE_AT)
OF_SLICE = owner("EndpointSlice", "ns1", "db-1")
OF_WEB = owner("Service", "ns1", "web")

RECORDS = [  # name, sort, {type: data}, objects
    ("vm1.db.ns1.svc.cluster.local.", "endpoint", {"A": ["10.244.0.7"]}, [OF_DB, OF_VM1]),
    ("VM1.db.ns1.svc.cluster.LOCAL", "endpoint", {"A": ["10.244.0.7"]}, [OF_DB, OF_VM1]),
    ("plain.db.ns1.svc.cluster.local.", "endpoint", {"A": ["10.244.0.9"]}, [OF_DB, OF_SLICE]),
    ("db.ns1.svc.cluster.local.", "service", {"A": ["10.244.0.7", "10.244.0.9"]}, [OF_DB, OF_VM1, OF_SLICE]),
    ("web.ns1.svc.cluster.local.", "service", {"A": ["10.96.0.1"]}, [OF_WEB]),
    ("web.ns1.svc.cluster.local.", "service", {"SRV": ["0 100 443 web.ns1.svc.cluster.local."]}, [OF_WEB]),
    ("_https._tcp.web.ns1.svc.cluster.local.", "port", None, [OF_WEB]),
    ("alias.ns1.svc.cluster.local.", "service", {"CNAME": ["www.example.org."]}, [owner("Service", "ns1", "alias")]),
    ("ns1.svc.cluster.local.", "name", {}, [OF_NS1]),
    ("ns1.pod.cluster.local.", "name", {}, [OF_NS1]),
    ("svc.cluster.local.", "name", {}, []),
    ("cluster.local.", "zone", None, []),
    ("ns.dns.cluster.local.", "name", {}, []),
    ("10-244-0-30.ns1.pod.cluster.local.", "pod", {"A": ["10.244.0.30"]}, [owner("Pod", "ns1", "web-1")]),
    ("7.0.244.10.in-addr.arpa.", "reverse", {"PTR": ["vm1.db.ns1.svc.cluster.local."]}, [OF_DB, OF_VM1]),
    ("1.0.96.10.in-addr.arpa.", "reverse", {"PTR": ["web.ns1.svc.cluster.local."]}, [OF_WEB]),
]  # fmt: skip  # a row each


@pytest.mark.parametrize(("name", "sort", "sets", "objects"), RECORDS, ids=[row[0] for row in RECORDS])
async def test_records(name: str, sort: str, sets: dict[str, list[str]] | None, objects: list[object]) -> None:
    """Each name is told with its records, and with the objects that they come from and when those were made."""
    async with asking(cluster(*ALL)) as ask:
        told = await ask.json("/api/records", name=name)
    assert told["name"] == f"{name.lower().rstrip('.')}."
    assert (told["exists"], told["listed"], told["synced"], told["more"]) == (True, True, True, False)
    assert told["sort"] == sort
    if sets is not None:
        assert {one["type"]: one["data"] for one in told["sets"] if one["type"] in sets or not sets} == sets
    assert all(one["ttl"] == 5 and one["count"] == len(one["data"]) for one in told["sets"])
    assert told["objects"] == objects


MACHINES = InterfacesConfig((from_text("vm.example.org"),))
VM_ORG = [  # names of the option `interfaces`, and the objects behind them
    ("vm1.ns1.vm.example.org.", [OF_VM1]),
    ("default.vm1.ns1.vm.example.org.", [OF_VM1]),
    ("dotted_name.ns1.vm.example.org.", [owner("VirtualMachineInstance", "ns1", "dotted.name")]),
    ("ns1.vm.example.org.", [OF_NS1]),
    ("vm.example.org.", []),
]


@pytest.mark.parametrize(("name", "objects"), VM_ORG)
async def test_machines(name: str, objects: list[object]) -> None:
    """A name that needs no Service comes from its VMI."""
    config = msgspec.structs.replace(UNRESTRICTED, interfaces=MACHINES)
    one, other = build.vmi_json(uid=UID), build.vmi_json("dotted.name", addresses=("10.244.0.8",))
    one["metadata"]["creationTimestamp"] = MADE
    async with asking(cluster(NS1, build.wired(one), build.wired(other), config=config)) as ask:
        told = await ask.json("/api/records", name=name)
    assert told["exists"]
    assert told["objects"] == objects


async def test_no_records() -> None:
    """A name that does not exist has the Service it would be below; one elsewhere no zone; what is no name is 400."""
    async with asking(cluster(*ALL)) as ask:
        told = await ask.json("/api/records", name="vm2.db.ns1.svc.cluster.local")
        assert (told["exists"], told["sets"], told["objects"]) == (False, [], [OF_DB])
        assert await ask.json("/api/records", name="example.org") == {"name": "example.org.", "zone": None}
        for wrong in ("a..b", "x" * 64, "\\9", "a." * 200):
            assert "error" in await ask.json("/api/records", 400, name=wrong)


async def test_made_on_demand() -> None:
    """A name that only exists when it is asked for is told as such."""
    async with asking(cluster(*ALL)) as ask:
        told = await ask.json("/api/records", name="https.tcp.web.ns1.svc.cluster.local")
    assert (told["exists"], told["listed"]) == (True, False)


async def test_not_synced() -> None:
    """Before the first sync names are missing, and the answer says that this need not mean anything."""
    async with asking(cluster(*ALL, synced=False)) as ask:
        told = await ask.json("/api/records", name="vm1.db.ns1.svc.cluster.local")
    assert (told["exists"], told["synced"]) == (False, False)


async def test_several_clusters() -> None:
    """Every kubernetes plugin is searched and told of; of zones of the same name the first plugin's is shown."""
    other = StoreConfig(zones=(from_text("other.test"),))
    first, second = cluster(*ALL), cluster(NS1, WEB, config=other)
    async with asking(first, second, first) as ask:
        status = await ask.json("/api/status")
        assert [one["server"] for one in status["clusters"]] == ["dns://:53", "dns://:54", "dns://:55"]
        found = await ask.json("/api/search", q="web.ns1")
        assert {one["zone"] for one in found["names"]} == {"cluster.local.", "other.test."}
        told = await ask.json("/api/records", name="web.ns1.svc.other.test")
        assert (told["server"], told["objects"]) == ("dns://:54", [OF_WEB])
        assert (await ask.json("/api/records", name="web.ns1.svc.cluster.local"))["server"] == "dns://:53"


async def test_no_cluster() -> None:
    """Without a kubernetes plugin there is nothing to find, and that is no error."""
    async with asking() as ask:
        assert await ask.json("/api/search", q="web") == {"names": [], "more": False, "limit": 50, "total": 0}
        assert (await ask.json("/api/records", name="web"))["zone"] is None
        assert (await ask.json("/api/status"))["clusters"] == []


GLANCES = [  # name, its sort, the first of its data, and of how many
    ("vm1.db.ns1.svc.cluster.local.", "endpoint", ["10.244.0.7"], 1),
    ("db.ns1.svc.cluster.local.", "service", ["10.244.0.7", "10.244.0.9"], 2),
    ("alias.ns1.svc.cluster.local.", "service", ["www.example.org."], 1),
    ("7.0.244.10.in-addr.arpa.", "reverse", ["vm1.db.ns1.svc.cluster.local."], 1),
    ("ns1.svc.cluster.local.", "name", [], 0),
    ("10-244-0-30.ns1.pod.cluster.local.", "pod", ["10.244.0.30"], 1),
]


@pytest.mark.parametrize(("name", "sort", "data", "count"), GLANCES)
async def test_search(name: str, sort: str, data: list[str], count: int) -> None:
    """A search returns names with what they are and their first data."""
    async with asking(cluster(*ALL)) as ask:
        found = await ask.json("/api/search", q=name)
    zone = "in-addr.arpa." if name.endswith("arpa.") else "cluster.local."
    assert found["names"][0] == {"name": name, "zone": zone, "sort": sort, "data": data, "count": count}


async def test_many_endpoints() -> None:
    """A Service of very many endpoints is told by the first of them, and of its objects some."""
    port = build.port_json(80, "http", "TCP", target="http")
    service = build.service("db", ports=[port])
    machines = [
        build.vmi(
            f"vm{at}",
            addresses=(f"10.1.{at // 250}.{at % 250}",),
            interface_ports=[build.port_json(80, "http", "TCP")] if at % 2 else None,
        )
        for at in range(SHOWN + 150)
    ]
    async with asking(cluster(NS1, service, *machines)) as ask:
        told = await ask.json("/api/records", name="db.ns1.svc.cluster.local")
        assert told["endpoints"] == SHOWN + 150
        assert [(one["type"], one["count"]) for one in told["sets"]] == [("A", SHOWN)]
        assert told["more"]
        assert [one["kind"] for one in told["objects"]] == ["Service"] + ["VirtualMachineInstance"] * (OBJECTS - 1)
        (glance,) = [one for one in (await ask.json("/api/search", q="db.ns1"))["names"] if one["sort"] == "service"]
        assert (glance["count"], len(glance["data"])) == (SHOWN + 150, 2)
        port_records = await ask.json("/api/records", name="_http._tcp.db.ns1.svc.cluster.local")
        assert port_records["endpoints"] == SHOWN + 150
        assert 0 < port_records["sets"][0]["count"] < SHOWN  # of the first, those that have the port
        last = await ask.json("/api/records", name=f"vm{SHOWN + 149}.db.ns1.svc.cluster.local")
        assert [one["name"] for one in last["objects"]] == ["db", f"vm{SHOWN + 149}"]


async def test_shared_label() -> None:
    """A name that several VMIs have is told with all of them, also where none is called like it."""
    twins = [build.vmi(f"vm{at}", hostname="twin", addresses=(f"10.1.0.{at}",)) for at in range(3)]
    async with asking(cluster(NS1, DB, *twins, build.vmi("other", addresses=("10.1.0.9",)))) as ask:
        told = await ask.json("/api/records", name="twin.db.ns1.svc.cluster.local")
    assert sorted(one["name"] for one in told["objects"]) == ["db", "vm0", "vm1", "vm2"]


HOSTILE = [
    b"<script>alert(1)</script>",
    b'"><img src=x>',
    b"'",
    b"\x00\x1b[31m",
    b"a.b",
    "\u202ename".encode(),
    b"\xff",
]


@pytest.mark.parametrize("label", HOSTILE, ids=ascii)
async def test_hostile_names(label: bytes) -> None:
    """Labels of any octets come as presentation format in ASCII, as JSON that no browser takes for anything else."""
    name = from_labels((label, b"svc"), build.ZONE)
    editor = ZoneEditor(build.ZONE, 5)
    editor.set(name, Fixed((RRset(name, RRType.TXT, 5, (bytes((len(label),)) + label,)),)))
    one = cluster(NS1)
    one._zones = (editor.publish(1),)
    async with asking(one) as ask:
        (found,) = (await ask.json("/api/search", q=".svc"))["names"]
        assert re.fullmatch(r"[\x21-\x7e]+\.svc\.cluster\.local\.", found["name"])
        told = await ask.json("/api/records", name=found["name"])
        assert told["name"] == found["name"]
        assert re.fullmatch(r"[\x20-\x7e]+", told["sets"][0]["data"][0])


async def test_hostile_objects() -> None:
    """Names of objects that could not be seen for what they are have that escaped."""
    value = build.vmi_json("a\n\u202eb<i>", hostname="vm1", uid="x")
    async with asking(cluster(NS1, DB, build.decoded(Kind.VMI, value))) as ask:
        told = await ask.json("/api/records", name="vm1.db.ns1.svc.cluster.local")
    assert told["objects"][1]["name"] == "a\\n\\u202eb<i>"


STATES = [  # what fails, whether it was listed, then the state
    ("", True, "synced"),
    ("", False, "waiting"),
    ("unreachable", True, "failing"),
    ("unreachable", False, "waiting"),
    ("forbidden", True, "forbidden"),
    ("forbidden", False, "forbidden"),
    ("absent", False, "not served"),
]


@pytest.mark.parametrize(("trouble", "listed", "state"), STATES)
async def test_states(trouble: str, listed: bool, state: str) -> None:
    """Each resource is told with its state, and with what fails in one line."""
    async with asking(cluster(*ALL, synced=listed, trouble=trouble)) as ask:
        (one,) = (await ask.json("/api/status"))["clusters"]
    (vmi,) = [each for each in one["resources"] if each["kind"] == "VirtualMachineInstance"]
    assert vmi["state"] == state
    assert vmi["reason"] == (f"{trouble}: status 403\\n(no)" if trouble else "")
    assert vmi["resource"] == "virtualmachineinstances.kubevirt.io"
    assert vmi["objects"] == (1 if listed else 0)
    assert vmi["missing"] == (not listed)
    assert vmi["lists"] == 2
    assert 0 <= vmi["heard"] < 30  # seconds: it was heard of when the test began


async def test_status() -> None:
    """Versions, uptime, zones with their serials, and what is watched."""
    began = time.time()
    known = cluster(*ALL)
    async with asking(known) as ask:
        status = await ask.json("/api/status")
    assert status["version"] == "1.2.3"
    assert 0 <= status["uptime"] < 30
    assert began <= status["now"] <= time.time()
    assert status["queries"] is None
    (one,) = status["clusters"]
    assert one["synced"]
    assert one["version"] == [known.store.version]
    assert [(zone["zone"], zone["serial"]) for zone in one["zones"]] == [
        ("cluster.local.", 1), ("in-addr.arpa.", 1), ("ip6.arpa.", 1),
    ]  # fmt: skip  # as the configuration has them
    assert {each["kind"]: each["objects"] for each in one["resources"]}["Service"] == 3


async def test_absent_kind() -> None:
    """A kind that the source does not have is not waited for."""
    one = cluster(*ALL)
    build.apply_all(one.store, [NotServed(Kind.VMI, "no such resource")])
    async with asking(one) as ask:
        assert (await ask.json("/api/status"))["clusters"][0]["synced"]


async def test_queries() -> None:
    """Queries are told by type and by response code, where they are counted at all."""
    metrics = Metrics("1.2.3")
    for qtype, rcode in (("A", Rcode.NOERROR), ("A", Rcode.NXDOMAIN), ("AAAA", Rcode.NOERROR)):
        metrics.count(question("x.test", qtype), CLIENT, ".", rcode, 40, 0.001)
    async with asking(metrics=metrics) as ask:
        assert (await ask.json("/api/status"))["queries"] is None
        with metrics.enabled("dns://:53", ["."], ["prometheus"]):
            told = (await ask.json("/api/status"))["queries"]
    assert told == {"types": {"A": 2, "AAAA": 1}, "rcodes": {"NOERROR": 2, "NXDOMAIN": 1}}


FILES = [("/", "text/html"), ("/page/page.css", "text/css"), ("/page/icon.svg", "image/svg+xml"), *(
    (f"/page/{one.name}", "text/javascript") for one in PAGE.iterdir() if one.name.endswith(".js")
)]  # fmt: skip  # a list, and then those that are there


@pytest.mark.parametrize(("path", "kind"), FILES)
async def test_files(path: str, kind: str) -> None:
    """Each file comes with its type and a policy that lets nothing in from elsewhere, nor anything inline."""
    async with asking() as ask, ask.session.get(ask.base + path) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == f"{kind}; charset=utf-8"
        policy = dict(part.strip().split(" ", 1) for part in response.headers["Content-Security-Policy"].split(";"))
        assert policy == {
            "default-src": "'none'",
            "script-src": "'self'",
            "style-src": "'self'",
            "connect-src": "'self'",
            "img-src": "'self' data:",
            "base-uri": "'none'",
            "form-action": "'none'",
            "frame-ancestors": "'none'",
        }
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["/", "/page/main.js", "/api/search", "/api/records", "/api/status"])
async def test_read_only(path: str) -> None:
    """Nothing takes anything but GET and HEAD, nor a request by a name that is not the server's."""
    async with asking(cluster()) as ask:
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            async with ask.session.request(method, ask.base + path) as response:
                assert response.status == 405
        async with ask.session.get(ask.base + path, headers={"Host": "rebound.example"}) as response:
            assert response.status == 403


def sources() -> Sequence[tuple[str, str]]:
    """Return the text of every file of the page by its name."""
    return [(one.name, one.read_text()) for one in PAGE.iterdir()]


def test_nothing_from_elsewhere() -> None:
    """No file of the page names another host, writes markup, has anything inline or keeps anything in the browser."""
    for name, text in sources():
        without = text.replace("http://www.w3.org/2000/svg", "")  # a name, and nothing that is fetched
        for wrong in ("http:", "https:", "//cdn", "@import", "innerHTML", "outerHTML", "insertAdjacent", "eval(",
                      "document.write", "Storage", "cookie", "style=", "onclick=\"", "javascript:"):  # fmt: skip
            assert wrong not in without, (name, wrong)


COLOURS = re.compile(r"--([\w-]+): (#[0-9a-f]{3,6})")
ON = {  # colours of text, and the grounds that they stand on
    "text": ("ground", "surface", "raised", "tint", "changed", "mark"),
    "quiet": ("ground", "surface", "raised", "tint"),
    "accent": ("surface", "ground", "changed"),
    "ok": ("ok-tint", "surface"),
    "wait": ("wait-tint", "surface"),
    "warn": ("warn-tint", "surface"),
    "bad": ("bad-tint", "surface"),
    "none": ("raised", "surface"),
}


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour (WCAG 2.2)."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    shares = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_contrast(dark: bool) -> None:
    """Every colour of text can be read on every ground that it stands on (WCAG 2.2, 1.4.3: 4.5 to 1)."""
    sheet = PAGE.joinpath("page.css").read_text()
    blocks = sheet.split(":root")[1:3]
    colours = dict(COLOURS.findall(blocks[0])) | (dict(COLOURS.findall(blocks[1])) if dark else {})
    for ink, grounds in ON.items():
        for ground in grounds:
            darker, lighter = sorted((luminance(colours[ink]), luminance(colours[ground])))
            assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (ink, ground)


async def test_search_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop gets its turn in every step of a search, and one whose client has gone ends at the next."""
    editor = ZoneEditor(build.ZONE, 5)
    for at in range(20_000):
        editor.set(from_labels((b"vm-%d" % at, b"svc"), build.ZONE), EMPTY)
    one = cluster(NS1)
    one._zones = (editor.publish(1),)
    steps = 0

    class Counted:
        """A search that counts its steps."""

        def __init__(self, *_: object) -> None:
            self.names: list[Name] = []
            self.more = False

        def steps(self) -> Any:
            """Go on for ever."""
            nonlocal steps
            while True:
                steps += 1
                yield

    monkeypatch.setattr("dnsserver.admin.inspection.Search", Counted)
    async with asking(one) as ask:
        with pytest.raises(TimeoutError):
            await ask.session.get(f"{ask.base}/api/search?q=x", timeout=aiohttp.ClientTimeout(total=0.1))
        assert steps > 1  # the client could end, so the loop had its turn
        assert await ask.json("/api/status")
    # leaving the block waits for requests under way: that it is left shows that the search has ended
