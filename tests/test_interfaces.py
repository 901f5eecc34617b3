"""Names without Services (`interfaces`) over real sockets: cases, KubeSecondaryDNS's names, transfers, a VMI's life."""

import ipaddress
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from dnsserver import fastpath
from dnsserver.corefile import parse
from dnsserver.fast.best import COMPILED
from dnsserver.fast.table import Table, Way
from dnsserver.names import to_text
from dnsserver.plugins.kubernetes import Kubernetes
from dnsserver.plugins.kubernetes_interfaces import _USAGE
from dnsserver.records import Rcode, RRType
from dnsserver.setup import set_up
from dnsserver.wire import encode_query
from tests.build import Json, namespace_json, service_json, vmi_json, with_interface
from tests.fakes.api_server import VMIS, FakeApiServer
from tests.harness import Serving, question, serving
from tests.test_kubevirt_cases import mistake

CASES = Path(__file__).parent / "cases"
NAMES = sorted(path.name.removesuffix(".expect.json") for path in (CASES / "interfaces").glob("*.expect.json"))

COREFILE = """
cluster.local vm example.org in-addr.arpa ip6.arpa {{
    bind 127.0.0.1
    errors
    transfer {{
        to *
    }}
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        manifests {manifests}
        interfaces {interfaces}
    }}
}}
"""


def test_cases_are_there() -> None:
    """An empty folder would make the next test pass."""
    assert len(NAMES) >= 12


@pytest.mark.parametrize("name", NAMES)
async def test_case(name: str) -> None:
    """Each query of a case is answered as expected."""
    case = json.loads((CASES / "interfaces" / f"{name}.expect.json").read_text())
    manifests = CASES / case.get("objects", f"interfaces/{name}.yaml")
    corefile = COREFILE.format(manifests=manifests, interfaces=case["interfaces"])
    async with serving(corefile, CASES) as server:
        wrong = [found for query in case["queries"] if (found := await mistake(server, query))]
    assert not wrong


# -- KubeSecondaryDNS --------------------------------------------------------------------------------------------------

# VMIs, as `name: network -> (kind of network, addresses as the status has them)`, and the zone file that
# KubeSecondaryDNS makes of them with DOMAIN and NAME_SERVER_IP
_Nics = dict[str, tuple[str, list[str]]]
THEIRS: list[tuple[str, str, str, dict[str, _Nics], dict[str, str]]] = [
    ("the README's example", "", "", {"vmi-sec": {"nic1": ("multus", ["10.10.0.5"])}}, {"nic1.vmi-sec": "10.10.0.5"}),
    (
        "a domain and a name server",
        "example.org",
        "192.0.2.53",
        {"vmi-sec": {"nic1": ("multus", ["10.10.0.5"])}},
        {"nic1.vmi-sec": "10.10.0.5", "ns": "192.0.2.53"},
    ),
    (
        "the pod network is left out",
        "example.org",
        "",
        {"vm1": {"default": ("pod", ["10.244.0.7"]), "nic1": ("multus", ["10.10.0.5"])}},
        {"nic1.vm1": "10.10.0.5"},
    ),
    (
        "and a Multus network that is the default",
        "",
        "",
        {"vm1": {"main": ("default", ["10.244.0.7"]), "nic1": ("multus", ["10.10.0.5"])}},
        {"nic1.vm1": "10.10.0.5"},
    ),
    (
        "the first IPv4 address of each",
        "",
        "",
        {"vm1": {"nic1": ("multus", ["fd00::5", "10.10.0.5", "10.10.0.6"]), "nic2": ("multus", ["fd00::7"])}},
        {"nic1.vm1": "10.10.0.5"},
    ),
    (
        "several VMIs",
        "a.example.org",
        "192.0.2.53",
        {"vm1": {"nic_1": ("multus", ["10.10.0.5"])}, "vm2": {"NIC": ("multus", ["10.10.0.6"])}},
        {"nic_1.vm1": "10.10.0.5", "NIC.vm2": "10.10.0.6", "ns": "192.0.2.53"},
    ),
]
NETWORKS: dict[str, Json] = {
    "pod": {"pod": {}},
    "multus": {"multus": {"networkName": "ptp-conf"}},
    "default": {"multus": {"networkName": "ptp-conf", "default": True}},
}


def machine_json(name: str, nics: _Nics) -> Json:
    """Return a VMI."""
    value = vmi_json(name, subdomain=None)
    value["spec"]["networks"] = [{"name": nic, **NETWORKS[kind]} for nic, (kind, _) in nics.items()]
    value["spec"]["domain"]["devices"]["interfaces"] = [{"name": nic, "bridge": {}} for nic in nics]
    value["status"]["interfaces"] = [
        {"name": nic, "ipAddress": addresses[0], "ipAddresses": addresses, "infoSource": "domain, guest-agent"}
        for nic, (_, addresses) in nics.items()
    ]
    return value


@pytest.mark.parametrize(
    ("domain", "server_ip", "machines", "records"), [row[1:] for row in THEIRS], ids=[row[0] for row in THEIRS]
)
async def test_kubesecondarydns(
    domain: str, server_ip: str, machines: dict[str, _Nics], records: dict[str, str], tmp_path: Path
) -> None:
    """Every name that KubeSecondaryDNS has has that address here, with NS and SOA under its names, and PTR besides."""
    zone = f"vm.{domain}." if domain else "vm."
    items = [namespace_json(), *(machine_json(name, nics) for name, nics in machines.items())]
    (tmp_path / "objects.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    block = f" {{\n nameserver ns.{zone} {server_ip}\n }}" if server_ip else ""
    async with serving(COREFILE.format(manifests="objects.json", interfaces=zone + block), tmp_path) as server:
        for short, address in records.items():
            name = f"{short}.ns1.{zone}" if "." in short else f"{short}.{zone}"
            assert address in await server.texts(name)
            if "." in short:
                pointer = ipaddress.ip_address(address).reverse_pointer
                assert await server.texts(pointer, "PTR") == [name.lower()]
        assert await server.texts(zone, "NS") == [f"ns.{zone}"]
        (soa,) = (await server.ask(zone, "SOA")).answer
        assert to_text(soa.rdata).startswith(f"ns.{zone}")
        assert soa.ttl == 5


# -- the whole server --------------------------------------------------------------------------------------------------

BLUE = with_interface(vmi_json(), "blue", "192.0.2.7", "2001:db8::7")
ZONES = "vm.example.org vm.cluster.local"


def write(folder: Path, *machines: Json) -> None:
    """Write what the cluster has."""
    items = [namespace_json(), service_json(), *machines]
    draft = folder / "draft"
    draft.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    os.replace(draft, folder / "objects.json")


async def transferred(server: Serving, zone: str) -> set[tuple[str, str]]:
    """Return owner and type of every record of a transfer, which fits in one message."""
    response = await server.ask(zone, "AXFR", tcp=True)
    assert [response.answer[index].rrtype for index in (0, -1)] == [RRType.SOA] * 2
    return {(to_text(one.owner), RRType(one.rrtype).name) for one in response.answer}


async def test_life(tmp_path: Path) -> None:
    """A VMI gets an interface, another address, and ends: names and PTR records follow, in every zone."""
    write(tmp_path, vmi_json())
    async with serving(COREFILE.format(manifests="objects.json", interfaces=ZONES), tmp_path) as server:
        assert await server.texts("vm1.ns1.vm.example.org") == ["10.244.0.7"]
        assert (await server.ask("blue.vm1.ns1.vm.example.org")).rcode == Rcode.NXDOMAIN
        write(tmp_path, BLUE)
        await server.until("blue.vm1.ns1.vm.example.org", "AAAA", ["2001:db8::7"])
        assert await server.texts("blue.vm1.ns1.vm.cluster.local") == ["192.0.2.7"]
        assert await server.texts("7.2.0.192.in-addr.arpa", "PTR") == ["blue.vm1.ns1.vm.example.org."]
        write(tmp_path, with_interface(vmi_json(), "blue", "192.0.2.8", "2001:db8::7"))
        await server.until("blue.vm1.ns1.vm.example.org", "A", ["192.0.2.8"])
        assert (await server.ask("7.2.0.192.in-addr.arpa", "PTR")).rcode == Rcode.NXDOMAIN
        write(tmp_path)
        await server.until("8.2.0.192.in-addr.arpa", "PTR", [])
        for name in ("vm1.ns1.vm.example.org", "blue.vm1.ns1.vm.cluster.local", "vm1.db.ns1.svc.cluster.local"):
            assert (await server.ask(name)).rcode == Rcode.NXDOMAIN


async def test_watched(tmp_path: Path) -> None:
    """From an API server: what a list has, what a watch tells, and what neither may hide."""
    async with FakeApiServer() as api:
        for value in (namespace_json(), service_json(), BLUE):
            api.put(value)
        corefile = COREFILE.replace("manifests {manifests}", "endpoint {manifests}")
        async with serving(corefile.format(manifests=api.url, interfaces=ZONES), tmp_path) as server:
            assert await server.texts("blue.vm1.ns1.vm.example.org") == ["192.0.2.7"]
            await api.seen(VMIS, "watch")
            api.put(with_interface(vmi_json(), "blue", "192.0.2.8", "2001:db8::7"))
            await server.until("blue.vm1.ns1.vm.example.org", "A", ["192.0.2.8"])
            api.delete("VirtualMachineInstance", "ns1", "vm1")
            await server.until("blue.vm1.ns1.vm.example.org", "A", [])


async def test_transfers(tmp_path: Path) -> None:
    """Each zone has its own names and no other's, all of them, whatever its namespaces are called."""
    others = [vmi_json("vm2", namespace=namespace, labels={}) for namespace in ("svc", "dns", "pod")]
    write(tmp_path, BLUE, *others, *(namespace_json(name) for name in ("svc", "dns", "pod")))
    machines = {("vm1.ns1", "A"), ("default.vm1.ns1", "A"), ("blue.vm1.ns1", "A"), ("blue.vm1.ns1", "AAAA")}
    machines |= {(f"{below}vm2.{name}", "A") for name in ("svc", "dns", "pod") for below in ("", "default.")}
    async with serving(COREFILE.format(manifests="objects.json", interfaces=ZONES), tmp_path) as server:
        for zone in ("vm.example.org.", "vm.cluster.local."):
            found = {one for one in await transferred(server, zone) if not one[0].startswith("ns.")}
            assert found == {(zone, "SOA"), (zone, "NS"), *((f"{name}.{zone}", rrtype) for name, rrtype in machines)}
        assert not [one for one in await transferred(server, "cluster.local.") if "vm.cluster.local" in one[0]]
        pointers = {("7.2.0.192.in-addr.arpa.", "PTR"), ("7.0.244.10.in-addr.arpa.", "PTR")}
        assert pointers <= await transferred(server, "in-addr.arpa.")


@pytest.mark.parametrize("table", ["python", "compiled"])
async def test_ready_answers(table: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Such zones are answered from the table, octet for octet as the chain would; the longest zone wins there, too."""
    if table == "compiled" and not COMPILED:
        pytest.skip("nothing was compiled: no compiler was there at installation")
    if table == "python":
        monkeypatch.setattr(fastpath, "new_table", Table)
    write(tmp_path, BLUE, vmi_json("vm2", namespace="ns", addresses=["10.244.0.8"]), namespace_json("ns"))
    zones = "vm.example.org vm.cluster.local {\n ttl 9\n }"
    names = [
        *(f"{name}.{zone}" for zone in ("vm.example.org", "vm.cluster.local") for name in ("vm1.ns1", "blue.vm1.ns1")),
        *(f"{name}.{zone}" for zone in ("vm.example.org", "vm.cluster.local") for name in ("ns1", "nx", "nx.vm1.ns1")),
        "nx.cluster.local",
        "vm1.db.ns1.svc.cluster.local",
        "7.2.0.192.in-addr.arpa",
    ]
    doubtful = ["vm2.ns.vm.example.org", "ns.vm.example.org", "nx.ns.vm.cluster.local", "vm.cluster.local"]
    async with serving(COREFILE.format(manifests="objects.json", interfaces=zones), tmp_path) as server:
        (answers,) = server.app._ready.values()
        chain = COREFILE.replace("errors", "errors\n    log").format(manifests="objects.json", interfaces=zones)
        async with serving(chain, tmp_path) as other:
            for name in names + doubtful:
                for qtype in ("A", "AAAA", "PTR", "TXT"):
                    wire = encode_query(question(name, qtype))
                    ready = answers.table.respond(wire, Way.UDP4)
                    assert (ready is not None) or name in doubtful or (name == names[-2] and qtype == "PTR")
                    ours, theirs = await server.ask(name, qtype), await other.ask(name, qtype)
                    assert without_serial(ours) == without_serial(theirs), (name, qtype)
            assert not [one.table for one in other.app._ready.values() if len(one.table)]


def without_serial(response: Any) -> tuple[int, list[Any], list[Any]]:
    """Return what two servers that read the same objects must answer alike; their serials are of their own times."""
    authority = [(one.owner, one.rrtype, one.ttl, one.rdata[:-20]) for one in response.authority]
    return response.rcode, sorted((one.owner, one.rrtype, one.ttl, one.rdata) for one in response.answer), authority


# -- documentation -----------------------------------------------------------------------------------------------------

TEXT = (Path(__file__).parent.parent / "docs" / "interfaces.md").read_text()
BLOCKS = [
    block for block in re.findall(r"^```\w*\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL) if "interfaces vm" in block
]


@pytest.mark.parametrize("block", BLOCKS)
def test_documented_corefiles(block: str, tmp_path: Path) -> None:
    """Those of the documentation load, and have the zones that it says."""
    text = block if block.startswith("vm") else f"cluster.local vm.example.org in-addr.arpa ip6.arpa {{\n{block}}}\n"
    (plugin,) = [one for one in set_up(parse(text), folder=tmp_path, port=0).plugins if isinstance(one, Kubernetes)]
    assert [to_text(zone) for zone in plugin.config.interface_zones] == ["vm.example.org."]


def test_documented_lines() -> None:
    """Each line of the option's block has a row, and there are no others."""
    rows = re.findall(r"^\| `(\w+) ", TEXT, re.MULTILINE)
    assert len(BLOCKS) == 2
    assert rows[: len(_USAGE) + 1] == ["interfaces", *_USAGE]
