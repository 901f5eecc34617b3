"""Every snippet of docs/wiring.md: read by what it is for, and run where that is here."""

import asyncio
import configparser
import json
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from dnsserver.corefile import parse
from dnsserver.records import Rcode
from dnsserver.setup import set_up
from dnsserver.wire import encode_query, parse_response
from tests.build import namespace_json, service_json, vmi_json
from tests.harness import Serving, ask_tcp, ask_udp, question, rdata_text, serving
from tests.respdiff.servers import find

ROOT = Path(__file__).parent.parent
SNIPPET = re.compile(r"<!-- check: ([^\n]+?) -->\n+```(?:\w*)\n(.*?)```", re.DOTALL)
SNIPPETS = SNIPPET.findall((ROOT / "docs" / "wiring.md").read_text())
SERVER = "10.96.0.53"
NAME = "vm1.db.ns1.svc.vm.example"
MISSING = "vm2.db.ns1.svc.vm.example"
RESOLVERS = {"bind": "named", "unbound": "unbound", "dnsmasq": "dnsmasq"}


def snippets(kind: str) -> list[str]:
    """Return the snippets of a kind."""
    return [text for check, text in SNIPPETS if check.split()[0] == kind]


def test_every_snippet_is_of_a_kind_that_is_tested() -> None:
    kinds = {check.split()[0] for check, _ in SNIPPETS}
    assert kinds == {"corefile", "manifest", "yaml", "ini", *RESOLVERS}
    assert all(SERVER in text for _, text in SNIPPETS)


def forwards(text: str, folder: Path) -> None:
    """Check that our parser, which reads what CoreDNS reads, takes a Corefile and finds the address to forward to."""
    corefile = parse(text, file="snippet")
    setup = set_up(corefile, folder=folder, port=53)
    assert [block for block in corefile.blocks if not any(one.name == "forward" for one in block.directives)] == []
    assert not setup.warnings


@pytest.mark.parametrize("text", snippets("corefile"))
def test_corefile(text: str, tmp_path: Path) -> None:
    forwards(re.sub(r"^\s*bind .*\n", "", text, flags=re.MULTILINE), tmp_path)  # that address is a node's


@pytest.mark.parametrize(("check", "text"), [one for one in SNIPPETS if one[0].startswith("manifest")])
def test_manifest(check: str, text: str, tmp_path: Path) -> None:
    """A ConfigMap whose data are strings, and what is in them is itself right."""
    value: dict[str, Any] = yaml.safe_load(text)
    assert (value["apiVersion"], value["kind"]) == ("v1", "ConfigMap")
    language, _, key = check.split()[1].partition(":")
    if language == "corefile":
        forwards(value["data"][key], tmp_path)
    else:
        assert json.loads(value["data"][key]) == {"vm.example": [SERVER]}


def test_other_manifests() -> None:
    rke2, openshift = map(yaml.safe_load, snippets("yaml"))
    blocks = yaml.safe_load(rke2["spec"]["valuesContent"])["servers"]
    assert [block["zones"][0]["zone"] for block in blocks] == [".", "vm.example"]
    assert {plugin["name"]: plugin.get("parameters") for plugin in blocks[1]["plugins"]}["forward"] == f". {SERVER}"
    assert openshift["spec"]["servers"][0]["forwardPlugin"]["upstreams"] == [SERVER]


def test_resolved() -> None:
    (text,) = snippets("ini")
    parser = configparser.ConfigParser()
    parser.read_string(text)
    assert dict(parser["Resolve"]) == {"dns": SERVER, "domains": "~vm.example"}


# -- resolvers that run ------------------------------------------------------------------------------------------------


def configuration(kind: str, text: str, folder: Path, port: int, server: int) -> tuple[str, ...]:
    """Write the snippet with what any test needs around it; return the command that runs in the foreground."""
    path = folder / f"{kind}.conf"
    command: tuple[str, ...]
    if kind == "bind":
        text = text.replace(SERVER, f"127.0.0.1 port {server}").replace(
            "options {",
            f'options {{\n directory "{folder}"; pid-file none; session-keyfile "{folder}/key"; '
            f"listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion yes;",
        )
        command = ("named", "-g", "-c", str(path))
        text = f"controls {{ }};\n{text}"
    elif kind == "unbound":
        text = text.replace(SERVER, f"127.0.0.1@{server}")
        text += (
            f'server:\n interface: 127.0.0.1@{port}\n do-not-query-localhost: no\n chroot: ""\n username: ""\n'
            f' directory: "{folder}"\n pidfile: ""\n use-syslog: no\n do-ip6: no\n'
            "remote-control:\n control-enable: no\n"
        )
        command = ("unbound", "-d", "-c", str(path))
    else:
        text = text.replace(SERVER, f"127.0.0.1#{server}")
        text += f"port={port}\nlisten-address=127.0.0.1\nbind-interfaces\nno-resolv\nno-hosts\nno-daemon\nuser=\n"
        command = ("dnsmasq", "-C", str(path))
    path.write_text(text)
    return command


@asynccontextmanager
async def resolving(command: tuple[str, ...], folder: Path) -> AsyncIterator[None]:
    """Run a resolver within the block."""
    with (folder / "log").open("wb") as log:
        program = find(command[0]) or command[0]
        process = await asyncio.create_subprocess_exec(program, *command[1:], stdout=log, stderr=log)
        try:
            yield
            assert process.returncode is None, (folder / "log").read_text()
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def ask(port: int, name: str, *, tcp: bool = False) -> tuple[int, list[str]]:
    """Ask the resolver, which may still be starting."""
    wire = encode_query(question(name))
    async with asyncio.timeout(20):
        while True:
            try:
                answer = parse_response(await (ask_tcp if tcp else ask_udp)(("127.0.0.1", port), wire))
            except OSError:
                await asyncio.sleep(0.05)
                continue
            if answer.rcode != Rcode.SERVFAIL:
                return answer.rcode, sorted(map(rdata_text, answer.answer))
            await asyncio.sleep(0.05)


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[Serving]:
    """Serve one VMI below the zone of the snippets."""
    manifest = folder / "objects.json"
    items = [namespace_json(), service_json(), vmi_json()]
    manifest.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    corefile = f"vm.example {{\n bind 127.0.0.1\n kubernetes {{\n  manifests {manifest}\n }}\n}}\n"
    async with serving(corefile, folder) as server:
        yield server


@pytest.mark.parametrize("kind", [
    pytest.param(kind, marks=pytest.mark.skipif(find(program) is None, reason=f"{program} is not installed"))
    for kind, program in RESOLVERS.items()
])  # fmt: skip
async def test_resolver(kind: str, tmp_path: Path) -> None:
    """Through the resolver come the address, and NXDOMAIN for what is not there."""
    (text,) = snippets(kind)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    async with served(tmp_path) as server:
        command = configuration(kind, text, tmp_path, port, server.address[1])
        async with resolving(command, tmp_path):
            assert await ask(port, NAME, tcp=True) == (Rcode.NOERROR, ["10.244.0.7"])  # refused until it listens
            assert await ask(port, NAME) == (Rcode.NOERROR, ["10.244.0.7"])
            assert await ask(port, MISSING) == (Rcode.NXDOMAIN, [])
