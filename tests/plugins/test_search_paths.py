"""Search paths of guests and pods, and the walk for a guest over real sockets."""

import asyncio
import json
import socket
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from dnsserver.names import Name, from_text, to_text
from dnsserver.objects import Kind
from dnsserver.plugins.autopath import Autopath
from dnsserver.plugins.kubernetes import Kubernetes
from dnsserver.plugins.kubernetes_paths import search_path
from dnsserver.records import Rcode, RRType
from dnsserver.store import Store, StoreConfig
from dnsserver.wire import ParsedResponse, encode_query, parse_response
from tests.build import CONFIG, Json, apply_all, lists, pod, service_json, vmi, vmi_json
from tests.faults.namespaces import inside
from tests.harness import question, rdata_text, serving
from tests.plugins.conftest import World, until
from tests.plugins.test_kubernetes import parsed

ZONE = from_text("cluster.local")
OWN = ["ns1.svc.cluster.local.", "svc.cluster.local.", "cluster.local."]
GUEST = ["db.ns1.svc.cluster.local.", *OWN]
ASKED = "www.example.org.db.ns1.svc.cluster.local"
SPARE = StoreConfig(zones=(ZONE,), pods="verified")


def path(
    *objects: object,
    address: str = "10.244.0.7",
    asked: str = ASKED,
    config: StoreConfig = CONFIG,
    zones: tuple[Name, ...] = (ZONE,),
) -> list[str]:
    """Return the search path of a client of a store that holds these objects."""
    store = Store(config)
    store.want_guests(wanted=True)
    apply_all(store, lists(objects, Kind))  # type: ignore[arg-type]  # objects of any kind
    return [to_text(name) for name in search_path(store, zones, address, from_text(asked))]


PATHS: list[tuple[str, list[object], str, list[str]]] = [  # objects, the client's address, its path
    ("a guest", [vmi()], "10.244.0.7", GUEST),
    ("a guest of an IPv6 socket", [vmi()], "::ffff:10.244.0.7", GUEST),
    ("its other family", [vmi(addresses=("10.244.0.7", "fd00::7"))], "fd00::7", GUEST),
    ("without a subdomain", [vmi(subdomain=None)], "10.244.0.7", OWN),
    ("whose pod cannot be made", [vmi(subdomain="a.b")], "10.244.0.7", OWN),
    ("nobody", [vmi()], "10.244.0.8", []),
    ("no address", [vmi()], "somebody", []),
    ("a namespace that is no label", [vmi(namespace="n" * 64)], "10.244.0.7", []),
    ("a pod", [pod()], "10.244.0.7", OWN),
    ("a guest before its virt-launcher pod", [vmi(), pod("virt-launcher-vm1-abcde")], "10.244.0.7", GUEST),
]


@pytest.mark.parametrize(("objects", "address", "expected"), [row[1:] for row in PATHS], ids=[row[0] for row in PATHS])
def test_paths(objects: list[object], address: str, expected: list[str]) -> None:
    """KubeVirt's DHCP puts the subdomain first; pods have none."""
    assert path(*objects, address=address, config=SPARE) == expected


def test_the_zone_asked_for() -> None:
    """With several zones the client's is the one that it asks for a name of."""
    zones = (from_text("other.test"), ZONE)
    assert path(vmi(), zones=zones) == GUEST
    assert path(vmi(), zones=zones, asked="www.db.ns1.svc.other.test")[0] == "db.ns1.svc.other.test."
    assert path(vmi(), zones=zones, asked="www.example.org") == []


def test_one_address_in_two_networks() -> None:
    """Who asks for a name of his own subdomain is who is meant; else it does not matter."""
    two = vmi(), vmi("vm2", namespace="ns2", subdomain="web")
    assert path(*two)[0] == "db.ns1.svc.cluster.local."
    assert path(*two, asked="www.web.ns2.svc.cluster.local")[0] == "web.ns2.svc.cluster.local."
    assert path(*two, asked="www.cluster.local")[0] == "db.ns1.svc.cluster.local."


WARNED = [
    ("", False),
    ("pods verified\nkubevirt off", False),
    ("kubevirt off", True),
    ("pods insecure\nkubevirt off", True),
]


@pytest.mark.parametrize(("options", "warned"), WARNED)
async def test_a_provider_without_clients(
    world: World, caplog: pytest.LogCaptureFixture, options: str, *, warned: bool
) -> None:
    """It would walk no path, ever: the operator is told; CoreDNS, which wants `pods verified` alone, is silent."""
    autopath = Autopath((ZONE,), provider="kubernetes", resolv_conf=Path("/nowhere"))
    world.block(autopath, Kubernetes(parsed(f"kubernetes {{\n{options}\n}}")))
    async with autopath.running(world.runtime):
        assert ("autopath finds no client here: it needs 'pods verified', or VMIs" in caplog.text) is warned


def test_it_lets_nothing_pass() -> None:
    """Which answer a client gets depends on its address, so no answer that is ready may go around it."""
    assert not Autopath((ZONE,), provider="kubernetes").lets_pass(3600)


MANIFESTS = [
    vmi_json(addresses=("10.244.0.7",)),
    vmi_json("vm2", addresses=("10.244.0.8",)),
    vmi_json("vm3", namespace="ns2", subdomain=None, labels={}, addresses=("10.244.0.9",)),
    service_json(),
]
COREFILE = """. {
    bind 127.0.0.1
    autopath @kubernetes
    kubernetes cluster.local {
        manifests objects.json
    }
    file outside.zone example.org test
}
"""


def write(folder: Path, *more: Json) -> None:
    """Write the objects, all at once; later ones replace those of their name."""
    items = {(one["kind"], one["metadata"]["name"]): one for one in (*MANIFESTS, *more)}
    (folder / "outside.zone").write_text(
        "@ 60 SOA ns admin 1 60 60 60 60\n@ 60 NS ns\nns 60 A 192.0.2.53\nwww 60 A 192.0.2.80\n"
    )
    new = folder / "new"
    new.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(items.values())}))
    new.replace(folder / "objects.json")


def ask_from(source: str, server: tuple[str, int], qname: str, qtype: str = "A") -> ParsedResponse:
    """Ask from an address of this host. Blocks."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(10)  # seconds: a loaded machine, in a test that waits for nothing else
        client.bind((source, 0))
        client.sendto(encode_query(question(qname, qtype)), server)
        return parse_response(client.recv(4096))


def answer(response: ParsedResponse) -> list[str]:
    """Return the answer's records."""
    return [f"{to_text(one.owner)} {RRType(one.rrtype).name} {rdata_text(one)}" for one in response.answer]


async def guests_ask() -> None:
    """Ask from the addresses of guests, in a namespace that has them."""
    defaults = Autopath.__init__.__kwdefaults__
    assert defaults is not None
    defaults["resolv_conf"] = Path("/nowhere")  # nobody answers here for what this host's own search path makes
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        async with serving(COREFILE, Path(folder)) as server:

            async def ask(source: str, qname: str, qtype: str = "A") -> ParsedResponse:
                return await asyncio.to_thread(ask_from, source, server.address, qname, qtype)

            outside = "www.example.org.db.ns1.svc.cluster.local."
            for _ in range(3):  # the second time the answer to others, NXDOMAIN, might be ready
                assert answer(await ask("10.244.0.7", outside)) == [
                    f"{outside} CNAME www.example.org.",
                    "www.example.org. A 192.0.2.80",
                ]
            assert (await ask("127.0.0.1", outside)).rcode == Rcode.NXDOMAIN  # nobody's address
            assert (await ask("10.244.0.9", outside)).rcode == Rcode.NXDOMAIN  # another's search path
            assert answer(await ask("10.244.0.9", "www.example.org.ns2.svc.cluster.local.")) == [
                "www.example.org.ns2.svc.cluster.local. CNAME www.example.org.",
                "www.example.org. A 192.0.2.80",
            ]
            # a neighbour is found at the first name, and one of another Service at the second
            near, far = "vm2.db.ns1.svc.cluster.local.", "vm2.db.db.ns1.svc.cluster.local."
            assert answer(await ask("10.244.0.7", near)) == [f"{near} A 10.244.0.8"]
            assert answer(await ask("10.244.0.7", far)) == [f"{far} CNAME {near}", f"{near} A 10.244.0.8"]
            nowhere = await ask("10.244.0.7", "nowhere.test.db.ns1.svc.cluster.local.")
            assert (nowhere.rcode, answer(nowhere)) == (Rcode.NXDOMAIN, [])
            assert answer(await ask("10.244.0.7", outside, "AAAA")) == []


def test_guests_ask() -> None:
    """The first question of a guest's search path gets the answer of the last, from the guest's own address alone."""
    inside(guests_ask, *(f"ip address add 10.244.0.{number}/32 dev lo" for number in (7, 8, 9)))


async def test_only_where_autopath_asks(world: World, tmp_path: Path) -> None:
    """No index is kept but while somebody wants paths: a reload may bring `autopath`, and another take it away.

    A new `autopath` starts before the old one ends, and both ask the one `kubernetes` that runs on.
    """
    write(tmp_path)
    plugin = Kubernetes(parsed("kubernetes {\nmanifests objects.json\n}", folder=tmp_path))
    autopath, following = (Autopath((ZONE,), provider="kubernetes", resolv_conf=Path("/nowhere")) for _ in range(2))
    world.block(autopath, following, plugin)
    asked = from_text(ASKED)
    async with plugin.running(world.runtime):
        assert plugin.search_path("10.244.0.7", asked) == ()
        async with AsyncExitStack() as old, AsyncExitStack() as new:
            await old.enter_async_context(autopath.running(world.runtime))
            await until(lambda: plugin.search_path("10.244.0.7", asked))
            await new.enter_async_context(following.running(world.runtime))
            await old.aclose()
            write(tmp_path, vmi_json(addresses=("10.244.0.77",)))
            await until(lambda: plugin.search_path("10.244.0.77", asked))
        await until(lambda: not plugin.search_path("10.244.0.77", asked))


async def test_wanted_before_the_cluster_is_read(world: World, tmp_path: Path) -> None:
    """`autopath` comes before `kubernetes` in every chain, and may start first."""
    write(tmp_path)
    plugin = Kubernetes(parsed("kubernetes {\nmanifests objects.json\n}", folder=tmp_path))
    autopath = Autopath((ZONE,), provider="kubernetes", resolv_conf=Path("/nowhere"))
    world.block(autopath, plugin)
    async with autopath.running(world.runtime), plugin.running(world.runtime):
        assert to_text(plugin.search_path("10.244.0.7", from_text(ASKED))[0]) == GUEST[0]
