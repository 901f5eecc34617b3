"""A whole server on objects that change: manifests edited while it runs, and an API server with its troubles."""

import asyncio
import copy
import json
import logging
import random
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from dnsserver.records import Rcode
from dnsserver.sources import watch
from dnsserver.wire import HEADER_SIZE, encode_query
from tests import build
from tests.fakes.api_faults import event_line, gone, refuse, status_body
from tests.fakes.api_server import VMIS, FakeApiServer
from tests.harness import Serving, ask_tcp, ask_udp, get, question, serving

EXAMPLES = Path(__file__).parent.parent / "examples" / "manifests"
NAME = "myvmi.mysubdomain.default.svc.cluster.local"
SERVICE = "mysubdomain.default.svc.cluster.local"
VM1 = "vm1.db.ns1.svc.cluster.local"
FOLLOWS = 1.0  # seconds, from an edit to its answer

MANIFESTS = """
cluster.local in-addr.arpa ip6.arpa {
    bind 127.0.0.1
    errors
    kubernetes {
        manifests manifests
    }
}
"""

API = """
cluster.local in-addr.arpa ip6.arpa {{
    bind 127.0.0.1
    errors
    ready 127.0.0.1:0
    kubernetes {{
        endpoint {url}
        {options}
    }}
}}
"""


# Manifests that are edited


class Edited:
    """A server on a copy of the example, and the example's text."""

    def __init__(self, server: Serving, path: Path) -> None:
        self.server = server
        self.path = path

    def replace(self, old: str, new: str) -> None:
        """Save the file with one thing changed."""
        text = self.path.read_text()
        assert text.count(old) == 1
        self.path.write_text(text.replace(old, new))


@pytest.fixture
async def edited(tmp_path: Path) -> AsyncIterator[Edited]:
    """A server on a copy of the example."""
    shutil.copytree(EXAMPLES, tmp_path / "manifests")
    async with serving(MANIFESTS, tmp_path) as server:
        assert await server.texts(NAME) == ["10.244.0.57"]
        yield Edited(server, tmp_path / "manifests" / "user-guide.yaml")


EDITS = [  # what, old text, new text, then (name, type, answer)
    (
        "another address",
        "ipAddress: 10.244.0.57\n      ipAddresses:\n        - 10.244.0.57\n",
        "ipAddress: 10.244.0.99\n      ipAddresses:\n        - 10.244.0.99\n",
        [(NAME, "A", ["10.244.0.99"]), ("99.0.244.10.in-addr.arpa", "PTR", [f"{NAME}."])],
    ),
    (
        "another host name",
        "hostname: myvmi  #",
        "hostname: other  #",
        [(NAME, "A", []), (f"other.{SERVICE}", "A", ["10.244.0.57"])],
    ),
    (
        "no host name",
        "  hostname: myvmi  #",
        "  # none  #",
        [(NAME, "A", []), (f"vmi-fedora.{SERVICE}", "A", ["10.244.0.57"])],
    ),
    ("another label", "    expose: me  # what", "    expose: you  # what", [(NAME, "A", []), (SERVICE, "A", [])]),
    ("another subdomain", "subdomain: mysubdomain  #", "subdomain: other  #", [(NAME, "A", [])]),
    ("not ready", 'status: "True"', 'status: "False"', [(NAME, "A", []), (SERVICE, "A", [])]),
    ("no headless Service", "clusterIP: None  #", "clusterIP: 10.96.0.5  #", [(NAME, "A", [])]),
    ("nothing that counts", "guest: 1Gi", "guest: 2Gi", [(NAME, "A", ["10.244.0.57"])]),
]


@pytest.mark.parametrize(("old", "new", "answers"), [edit[1:] for edit in EDITS], ids=[edit[0] for edit in EDITS])
async def test_edit_and_back(edited: Edited, old: str, new: str, answers: list[tuple[str, str, list[str]]]) -> None:
    """Every answer follows an edit within a second, and follows it back."""
    edited.replace(old, new)
    for name, rrtype, expected in answers:
        await edited.server.until(name, rrtype, expected, seconds=FOLLOWS)
    edited.replace(new, old)
    await edited.server.until(NAME, "A", ["10.244.0.57"], seconds=FOLLOWS)
    await edited.server.until(SERVICE, "A", ["10.244.0.57"], seconds=FOLLOWS)


async def until_logged(caplog: pytest.LogCaptureFixture, text: str) -> str:
    """Wait for a log line that holds a text; return it."""
    async with asyncio.timeout(5):
        while True:
            for record in caplog.records:
                if text in record.getMessage():
                    return record.getMessage()
            await asyncio.sleep(0.01)


async def test_broken_edit_keeps_the_answer(edited: Edited, caplog: pytest.LogCaptureFixture) -> None:
    """A mistake is reported with file and line, what was there stays, and the repair counts at once."""
    good = edited.path.read_text()
    lines = good.splitlines()
    number = lines.index("  hostname: myvmi  # the first label of the name")
    lines[number] = "  hostname: [myvmi  # the first label of the name"
    edited.path.write_text("\n".join(lines))
    report = await until_logged(caplog, f"{edited.path}:")
    line = int(report.removeprefix(f"{edited.path}:").partition(":")[0])
    assert number + 1 <= line <= number + 3  # where the bracket is, or where it should have ended
    assert "its last good objects stay" in report
    assert await edited.server.texts(NAME) == ["10.244.0.57"]
    edited.path.write_text(good.replace("10.244.0.57", "10.244.0.58"))
    await edited.server.until(NAME, "A", ["10.244.0.58"], seconds=FOLLOWS)


async def test_file_comes_and_goes(edited: Edited, tmp_path: Path) -> None:
    """A new file in the folder counts within a second, and so does its removal."""
    another = tmp_path / "manifests" / "another.json"
    vmi = build.vmi_json("vm9", namespace="default", labels={"expose": "me"}, subdomain="mysubdomain")
    another.write_text(json.dumps(vmi))
    await edited.server.until(f"vm9.{SERVICE}", "A", ["10.244.0.7"], seconds=FOLLOWS)
    assert await edited.server.texts(SERVICE) == ["10.244.0.57", "10.244.0.7"]
    another.unlink()
    await edited.server.until(f"vm9.{SERVICE}", "A", [], seconds=FOLLOWS)
    assert await edited.server.texts(NAME) == ["10.244.0.57"]


# An API server and its troubles


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let failures be tried again at once, more or less: what is waited for is tested with the watch itself."""

    class Timing(watch.Timing):
        def __init__(self) -> None:
            super().__init__(backoff_first=0.02, backoff_cap=0.05, absent_retry=0.05, watch_short=0.0)

    monkeypatch.setattr(watch, "Timing", Timing)


@pytest.fixture
async def api(impatient: None) -> AsyncIterator[FakeApiServer]:
    """An API server with one published VMI."""
    async with FakeApiServer() as server:
        for value in (build.namespace_json(), build.service_json(), build.vmi_json()):
            server.put(value)
        yield server


@asynccontextmanager
async def following(api: FakeApiServer, folder: Path, options: str = "") -> AsyncIterator[Serving]:
    """Run a server on an API server."""
    async with serving(API.format(url=api.url, options=options), folder) as server:
        yield server


async def test_follows_the_api(api: FakeApiServer, tmp_path: Path) -> None:
    """Each event of a watch changes the answers."""
    async with following(api, tmp_path) as server:
        assert await server.texts(VM1) == ["10.244.0.7"]
        await api.seen(VMIS, "watch")
        await api.seen("services", "watch")
        api.put(build.vmi_json(addresses=("10.244.0.8",)))
        await server.until(VM1, "A", ["10.244.0.8"], seconds=FOLLOWS)
        api.put(build.vmi_json(addresses=("10.244.0.8",), ready=False))
        await server.until(VM1, "A", [], seconds=FOLLOWS)
        api.put(build.vmi_json("vm2", addresses=("10.244.0.9",)))
        await server.until("vm2.db.ns1.svc.cluster.local", "A", ["10.244.0.9"], seconds=FOLLOWS)
        api.put(build.service_json(selector={"app": "other"}))
        await server.until("db.ns1.svc.cluster.local", "A", [], seconds=FOLLOWS)
        api.put(build.service_json())
        await server.until("db.ns1.svc.cluster.local", "A", ["10.244.0.9"], seconds=FOLLOWS)
        api.delete("VirtualMachineInstance", "ns1", "vm2")
        await server.until("vm2.db.ns1.svc.cluster.local", "A", [], seconds=FOLLOWS)
        assert (await server.ask("vm2.db.ns1.svc.cluster.local")).rcode == Rcode.NXDOMAIN


async def test_ten_thousand(api: FakeApiServer, tmp_path: Path) -> None:
    """A list of 10,000 VMIs comes in pages; nothing is answered by half, and queries are answered meanwhile."""
    count = 10_000

    def address(number: int) -> str:
        return f"172.16.{number >> 8 & 255}.{number & 255}"

    for number in range(1, count):
        api.put(build.vmi_json(f"many{number}", addresses=(address(number),)))
    codes = set()
    async with following(api, tmp_path, "startup_timeout 0s") as server, asyncio.timeout(30):
        while (response := await server.ask("many7.db.ns1.svc.cluster.local")).rcode != Rcode.NOERROR:
            codes.add(response.rcode)
        assert codes <= {Rcode.SERVFAIL}  # NXDOMAIN would be kept by resolvers
        for number in random.Random(7).sample(range(1, count), 50):
            name = f"many{number}.db.ns1.svc.cluster.local"
            assert await server.texts(name) == [address(number)]
            reverse = ".".join(reversed(address(number).split("."))) + ".in-addr.arpa"
            assert await server.texts(reverse, "PTR") == [f"{name}."]
        assert len((await server.ask("db.ns1.svc.cluster.local", tcp=True)).answer) > 3000
    lists = api.asked(VMIS, "list")
    assert len(lists) == count // 500
    assert all(request.query["limit"] == "500" for request in lists)


async def test_version_expires_in_mid_watch(api: FakeApiServer, tmp_path: Path) -> None:
    """410 in a watch: listed again, and what happened meanwhile shows in one step."""
    async with following(api, tmp_path) as server:
        await api.seen(VMIS, "watch")
        lists = len(api.asked(VMIS, "list"))
        api.end_watches(VMIS, "hang")  # what follows is not told
        api.put(build.vmi_json("vm2", addresses=("10.244.0.9",)))
        api.delete("VirtualMachineInstance", "ns1", "vm1")
        api.fault(VMIS, "watch", gone())
        api.expire()
        for task in tuple(api._connections):
            task.cancel()
        await server.until("vm2.db.ns1.svc.cluster.local", "A", ["10.244.0.9"])
        assert await server.texts(VM1) == []
        assert len(api.asked(VMIS, "list")) > lists


async def test_error_event_410(api: FakeApiServer, tmp_path: Path) -> None:
    """The same, told by an event of the open watch."""
    async with following(api, tmp_path) as server:
        await api.seen(VMIS, "watch")
        lists = len(api.asked(VMIS, "list"))
        api.expire(tell=True)
        await api.seen(VMIS, "list", lists + 1)
        api.put(build.vmi_json(addresses=("10.244.0.9",)))
        await server.until(VM1, "A", ["10.244.0.9"])


async def test_dropped_connection(api: FakeApiServer, tmp_path: Path) -> None:
    """A VMI deleted while the watch was down is gone once it is up again; the others never leave."""
    api.put(build.vmi_json("vm2", addresses=("10.244.0.9",)))
    async with following(api, tmp_path) as server:
        await api.seen(VMIS, "watch")
        await api.stop()
        api.delete("VirtualMachineInstance", "ns1", "vm2")
        assert await server.texts("vm2.db.ns1.svc.cluster.local") == ["10.244.0.9"]
        await api.start()
        while await server.texts("vm2.db.ns1.svc.cluster.local"):
            assert await server.texts(VM1) == ["10.244.0.7"]
        assert await server.texts(VM1) == ["10.244.0.7"]


async def test_kubevirt_comes_later(impatient: None, tmp_path: Path) -> None:
    """Without the CRD Services are served; once it is installed its VMIs are, without a restart."""
    async with FakeApiServer(kubevirt=()) as api:
        for value in (
            build.namespace_json(),
            build.service_json(),
            build.service_json("web", cluster_ip="10.96.0.9", selector={"app": "web"}),
        ):
            api.put(value)
        async with following(api, tmp_path) as server:
            assert await server.texts("web.ns1.svc.cluster.local") == ["10.96.0.9"]
            assert (await server.ask(VM1)).rcode == Rcode.NXDOMAIN
            assert await get(server.http("127.0.0.1:0", "/ready")) == (200, "OK")
            api.install_kubevirt()
            api.put(build.vmi_json())
            await server.until(VM1, "A", ["10.244.0.7"])
            api.remove_kubevirt()
            await server.until(VM1, "A", [])
            assert await server.texts("web.ns1.svc.cluster.local") == ["10.96.0.9"]


async def test_v1alpha3_only(impatient: None, tmp_path: Path) -> None:
    """An old KubeVirt serves the same objects under another version."""
    async with FakeApiServer(kubevirt=("v1alpha3",)) as api:
        for value in (build.namespace_json(), build.service_json(), build.vmi_json()):
            api.put(value)
        async with following(api, tmp_path) as server:
            assert await server.texts(VM1) == ["10.244.0.7"]
        assert "/v1alpha3/" in api.asked(VMIS, "list")[0].path


async def test_api_down_at_start(impatient: None, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """After the startup timeout SERVFAIL is answered, never NXDOMAIN; answers come as soon as the API server does."""
    api = FakeApiServer()
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        api.port = reserved.getsockname()[1]
    for value in (build.namespace_json(), build.service_json(), build.vmi_json()):
        api.put(value)
    try:
        async with following(api, tmp_path, "startup_timeout 100ms") as server:
            ready = server.http("127.0.0.1:0", "/ready")
            assert await get(ready) == (503, "kubernetes")
            assert (await server.ask(VM1)).rcode == Rcode.SERVFAIL
            assert (await server.ask("7.0.244.10.in-addr.arpa", "PTR")).rcode == Rcode.SERVFAIL
            assert (await server.ask("example.org")).rcode == Rcode.REFUSED
            await api.start()
            await server.until(VM1, "A", ["10.244.0.7"])
            assert await get(ready) == (200, "OK")
            assert (await server.ask("nobody.db.ns1.svc.cluster.local")).rcode == Rcode.NXDOMAIN
    finally:
        await api.stop()
    assert "starting server with unsynced Kubernetes API" in caplog.text


async def test_api_dies_after_the_sync(api: FakeApiServer, tmp_path: Path) -> None:
    """What was last known is answered, and the server stays ready."""
    async with following(api, tmp_path) as server:
        await api.seen(VMIS, "watch")
        await api.stop()
        for _ in range(50):
            assert await server.texts(VM1) == ["10.244.0.7"]
            await asyncio.sleep(0.005)
        assert (await server.ask("nobody.db.ns1.svc.cluster.local")).rcode == Rcode.NXDOMAIN
        assert await get(server.http("127.0.0.1:0", "/ready")) == (200, "OK")
        await api.start()
        api.put(build.vmi_json(addresses=("10.244.0.8",)))
        await server.until(VM1, "A", ["10.244.0.8"])


async def test_api_that_refuses_one_resource(api: FakeApiServer, tmp_path: Path) -> None:
    """No right to read VMIs is as no KubeVirt: Services are served."""
    api.forbidden = {VMIS}
    api.put(build.service_json("web", cluster_ip="10.96.0.9", selector={"app": "web"}))
    async with following(api, tmp_path) as server:
        assert await server.texts("web.ns1.svc.cluster.local") == ["10.96.0.9"]
        assert await get(server.http("127.0.0.1:0", "/ready")) == (200, "OK")


async def test_broken_watch_lines(api: FakeApiServer, tmp_path: Path) -> None:
    """Nonsense in a watch changes nothing, and what comes after it counts."""
    async with following(api, tmp_path) as server:
        for line in (
            b"{\n",
            b"null\n",
            event_line("NONSENSE", b"{}"),
            event_line("MODIFIED", b'{"metadata": 5}'),
            event_line("ERROR", status_body(500, "InternalError")),
        ):
            watches = len(api.asked(VMIS, "watch"))
            await api.seen(VMIS, "watch", max(watches, 1))
            api.send(VMIS, line)
            assert await server.texts(VM1) == ["10.244.0.7"]
        api.put(build.vmi_json(addresses=("10.244.0.8",)))
        await server.until(VM1, "A", ["10.244.0.8"])


async def test_list_that_fails_for_a_while(api: FakeApiServer, tmp_path: Path) -> None:
    """503 and HTML from a load balancer are no empty list."""
    api.fault(VMIS, "list", refuse(503, "ServiceUnavailable"), times=3)
    async with following(api, tmp_path, "startup_timeout 10s") as server:
        assert await server.texts(VM1) == ["10.244.0.7"]


# Objects that make no sense


def without(path: str, value: object) -> Callable[[dict[str, Any]], None]:
    """Return what puts a value at a place of an object."""

    def change(target: dict[str, Any]) -> None:
        *folders, last = path.split(".")
        where: Any = target
        for folder in folders:
            where = where[int(folder)] if folder.isdigit() else where[folder]
        where[int(last) if last.isdigit() else last] = value

    return change


NONSENSE = [  # field, value, whether the whole object is refused (or the VMI is only not published)
    ("metadata.labels", "x", True),
    ("metadata.labels", {"app": 5}, True),
    ("metadata.uid", 5, True),
    ("metadata.annotations", [], True),
    ("spec", 5, True),
    ("spec.hostname", 5, True),
    ("spec.hostname", ["a"], True),
    ("spec.hostname", "a.b", False),
    ("spec.hostname", "x" * 64, False),
    ("spec.hostname", "a b", False),
    ("spec.hostname", "-", False),
    ("spec.subdomain", {}, True),
    ("spec.subdomain", "a.b", False),
    ("spec.networks", {}, True),
    ("spec.networks.0", None, True),
    ("spec.networks.0.name", 5, True),
    ("spec.networks.0.pod", {"vmNetworkCIDR": "nonsense"}, True),
    ("spec.domain", [], True),
    ("spec.domain.devices", 5, True),
    ("spec.domain.devices.interfaces", "x", True),
    ("spec.domain.devices.interfaces.0.ports", 5, True),
    ("status", [], True),
    ("status.phase", 5, True),
    ("status.phase", "Dreaming", False),
    ("status.nodeName", {}, True),
    ("status.activePods", [], True),
    ("status.conditions", "Ready", True),
    ("status.conditions.0.status", True, True),
    ("status.conditions.0.status", "Perhaps", False),
    ("status.interfaces", 5, True),
    ("status.interfaces.0.ipAddress", 5, True),
    ("status.interfaces.0.ipAddresses", "10.0.0.1", True),
    ("status.interfaces.0.ipAddresses", [None], True),
    ("status.interfaces.0.ipAddresses", ["10.0.0.256", "", "None", "::g", "10.0.0.1/24", "1"], False),
    ("status.interfaces.0.ipAddresses", ["127.0.0.1", "::1", "fe80::1", "224.0.0.1", "0.0.0.0", "10.0.2.2"], False),
    ("status.migrationState", 5, True),
]


@pytest.mark.parametrize("how", ["listed", "watched"])
async def test_nonsense_touches_nobody_else(
    how: str, api: FakeApiServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A VMI with nonsense in a field is refused with the reason, or just not published; all others are."""
    bad = []
    for number, (path, value, refused) in enumerate(NONSENSE):
        vmi = copy.deepcopy(build.vmi_json(f"bad{number}", addresses=("10.244.9.9",)))
        without(path, value)(vmi)
        bad.append((vmi, refused))
    if how == "listed":
        for vmi, _ in bad:
            api.put(vmi)
    async with following(api, tmp_path) as server:
        await api.seen(VMIS, "watch")
        for vmi, _ in bad if how == "watched" else ():
            api.put(vmi)
        api.put(build.vmi_json("vm2", addresses=("10.244.0.9",)))
        await server.until("vm2.db.ns1.svc.cluster.local", "A", ["10.244.0.9"])
        assert await server.texts(VM1) == ["10.244.0.7"]
        # the VMI of another subdomain is an endpoint of the Service, as any pod that it selects
        assert await server.texts("9.9.244.10.in-addr.arpa", "PTR") == ["10-244-9-9.db.ns1.svc.cluster.local."]
        for number, (path, value, refused) in enumerate(NONSENSE):
            logged = [text for record in caplog.records if f"bad{number}:" in (text := record.getMessage())]
            assert len(logged) == refused, (path, value, logged)
            assert all(text.startswith("refused VirtualMachineInstance ns1/bad") for text in logged)
            assert await server.texts(f"bad{number}.db.ns1.svc.cluster.local") == [], (path, value)


async def test_nonsense_keeps_the_last_good_state(api: FakeApiServer, tmp_path: Path) -> None:
    """A VMI that becomes nonsense is answered as it was, until it is repaired or deleted."""
    async with following(api, tmp_path) as server:
        await api.seen(VMIS, "watch")
        broken = build.vmi_json()
        broken["status"]["interfaces"] = "nonsense"
        api.put(broken)
        api.put(build.vmi_json("vm2", addresses=("10.244.0.9",)))
        await server.until("vm2.db.ns1.svc.cluster.local", "A", ["10.244.0.9"])
        assert await server.texts(VM1) == ["10.244.0.7"]
        api.put(build.vmi_json(addresses=("10.244.0.8",)))
        await server.until(VM1, "A", ["10.244.0.8"])


# Packets that are no DNS


def packets() -> list[bytes]:
    """Return octets that are no query, or hardly one."""
    chance = random.Random(53)
    good = encode_query(question(NAME))
    found = [b"", b"\x00", b"GET / HTTP/1.1\r\n\r\n", bytes(12), b"\xff" * 512, bytes(1400)]
    found += [good[:size] for size in range(0, len(good), 3)]
    found += [chance.randbytes(chance.randrange(600)) for _ in range(300)]
    for _ in range(300):
        broken = bytearray(good)
        for _ in range(chance.randrange(1, 6)):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        found.append(bytes(broken))
    found.append(good[:HEADER_SIZE] + b"\xc0\x0c" * 40)  # a name that points to itself
    return found


class _Collect(asyncio.DatagramProtocol):
    """Keeps what comes."""

    def __init__(self) -> None:
        self.received: list[bytes] = []

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Keep it."""
        self.received.append(data)


async def test_packets_that_are_not_dns(edited: Edited, caplog: pytest.LogCaptureFixture) -> None:
    """They get an error or nothing, nothing is logged as a fault of ours, and the server goes on answering."""
    loop = asyncio.get_running_loop()
    transport, collected = await loop.create_datagram_endpoint(_Collect, remote_addr=edited.server.address)
    for number, packet in enumerate(packets()):
        transport.sendto(packet)
        if number % 50 == 0:
            assert await edited.server.texts(NAME) == ["10.244.0.57"]
    assert await edited.server.texts(NAME) == ["10.244.0.57"]
    transport.close()
    assert collected.received
    for response in collected.received:
        assert response[2] & 0x80  # a response
        assert len(response) >= HEADER_SIZE
        assert response[3] & 15 != Rcode.SERVFAIL
    assert "Traceback" not in caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_tcp_that_is_not_dns(edited: Edited) -> None:
    """Neither does a connection that talks HTTP, is cut off, or announces more than it sends."""
    for data in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x00", b"\xff\xffabc", b"\x00\x00", b"\x00\x0c" + bytes(12)):
        _, writer = await asyncio.open_connection(*edited.server.address)
        writer.write(data)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    wire = encode_query(question(NAME))
    assert (await ask_tcp(edited.server.address, wire))[:2] == wire[:2]
    assert (await ask_udp(edited.server.address, wire))[:2] == wire[:2]
