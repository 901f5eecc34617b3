"""`dnsserver explain`: from manifests, from a server, through an API server; what it prints, and its exit code."""

import asyncio
import errno
import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from dnsserver.cli import called_by_kubectl, main
from dnsserver.explain.text import Style
from dnsserver.explaining import _kubeconfig, style_of
from tests import build
from tests.fakes.api_server import FakeApiServer
from tests.harness import serving
from tests.sources.test_kubernetes import kubeconfig
from tests.test_cli import COMMAND, write_corefile, write_objects

LISTEN = "127.0.0.1:0"
NAME = "vm1.db.ns1"
WHOLE = "vm1.db.ns1.svc.cluster.local."
OBJECTS = "objects"
KUBECTL = "import sys\nfrom dnsserver.cli import main\nsys.exit(main())\n"  # what an installed script does


async def explain(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Run the command in a thread, beside what this event loop serves; return its code and what it printed."""
    code = await asyncio.to_thread(main, ["explain", *arguments])
    return code, *capsys.readouterr()


def process(*arguments: str, cwd: Path, program: tuple[str, ...] = COMMAND, **env: str) -> tuple[int, str, str]:
    """Run the command as a process of its own; return its code and what it printed."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)} | env
    done = subprocess.run(
        (*program, *arguments), check=False, cwd=cwd, capture_output=True, timeout=30, env=environment
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@asynccontextmanager
async def inspected(folder: Path, options: str = "") -> AsyncIterator[str]:
    """Serve one VMI with `inspect`; yields the URL."""
    corefile = write_corefile(folder, f"inspect {LISTEN} {options}").read_text()
    async with serving(corefile, folder) as server:
        yield server.http(LISTEN, "")


# -- from manifests ----------------------------------------------------------------------------------------------------


@pytest.fixture
def objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write one VMI into a folder, and go there."""
    monkeypatch.chdir(tmp_path)
    return write_objects(tmp_path / OBJECTS)


CODES = [  # arguments, the exit code, a part of the first line
    ((NAME, "--manifests", OBJECTS), 0, f"✓ {WHOLE} A resolves: 1 record"),
    ((NAME, "A", "--manifests", OBJECTS), 0, "resolves"),
    (("--manifests", OBJECTS, "--", NAME), 0, "resolves"),
    ((NAME, "AAAA", "--manifests", OBJECTS), 1, f"✗ {WHOLE} AAAA does not resolve, NODATA"),
    (("vm2.db.ns1", "--manifests", OBJECTS), 1, "NXDOMAIN: no VirtualMachineInstance in namespace ns1 has the host"),
    (("vmi/vm1", "-n", "ns1", "--manifests", OBJECTS), 0, "VirtualMachineInstance ns1/vm1 has 1 name"),
    (("vm/vm1/ns1", "--manifests", OBJECTS), 0, "VirtualMachineInstance ns1/vm1 has 1 name"),
    (("vmi/vm1", "--manifests", OBJECTS), 1, "there is no VirtualMachineInstance default/vm1"),
    (("10.244.0.7", "--manifests", OBJECTS), 0, "7.0.244.10.in-addr.arpa. PTR resolves"),
    ((NAME, "--zone", "other.test", "--manifests", OBJECTS), 0, "vm1.db.ns1.svc.other.test. A resolves"),
]


@pytest.mark.parametrize(("arguments", "code", "part"), CODES, ids=[" ".join(row[0]) for row in CODES])
def test_manifests(
    arguments: tuple[str, ...], code: int, part: str, objects: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code says whether the name resolves, and the first line why."""
    assert main(["explain", *arguments]) == code
    out, err = capsys.readouterr()
    assert part in out.splitlines()[0]
    assert err == ""
    assert "\x1b" not in out


def test_corefile(objects: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A Corefile is explained without being served, what stands around the plugin included."""
    text = write_corefile(objects.parent, "forward . 127.0.0.1:9").read_text()
    Path("Corefile").write_text(text.replace("manifests objects", "manifests objects\nfallthrough"))
    assert main(["explain", "vm2.db.ns1", "--conf", "Corefile"]) == 1
    assert "is passed on to forward (fallthrough)" in capsys.readouterr().out
    assert main(["explain", "example.com.", "--conf", "Corefile", "-o", "json"]) == 1
    assert json.loads(capsys.readouterr().out)["passed_on"] == ["forward"]


def test_text(objects: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The text has the verdict, the answer, the chain and what to change, in this order."""
    assert main(["explain", NAME, "--manifests", OBJECTS]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == f"  {NAME} was completed to {WHOLE}"
    assert lines[2].startswith("  zone cluster.local., serial ")
    assert lines[3:6] == ["answer", f"  {WHOLE} 5 IN A 10.244.0.7", "why"]
    assert all(line.startswith(("  ✓ ", "      ")) for line in lines[6:])
    assert main(["explain", "vm2.db.ns1", "AAAA", "--manifests", OBJECTS]) == 1
    text = capsys.readouterr().out
    places = [text.index(part) for part in ("\nwhy\n", "\n  ✗ no Virtual", " wanted, none found\n", "\nnear misses\n")]
    assert places == sorted(places)
    assert f"VMI ns1/vm1 has the host name vm1: {WHOLE}\n" in text


USAGE = [  # arguments, a part of the error
    ((), "the following arguments are required: NAME"),
    ((NAME, "A", "B"), "unrecognized arguments: B"),
    ((NAME, "--server", "http://a", "--manifests", OBJECTS), "--server does not go with --manifests"),
    ((NAME, "--service", "a", "--manifests", OBJECTS), "--service is for asking through the API server"),
    ((NAME, "--context", "a", "--server", "http://a"), "--context is for asking through the API server"),
    (("vmi/vm1", "A", "--manifests", OBJECTS), "vmi/NAME takes no type"),
    ((NAME, "-o", "yaml"), "invalid choice"),
    (("", "--manifests", OBJECTS), "NAME is empty"),
    ((NAME, "-n", "ns1", "--manifests", OBJECTS), "-n goes with vmi/NAME alone"),
    (("vmi/vm1/ns1", "-n", "ns2", "--manifests", OBJECTS), "vmi/vm1/ns1 and -n ns2 are two namespaces"),
    (("vmi/", "--manifests", OBJECTS), "NAME or vmi/NAME/NAMESPACE, not vmi/"),
    (("vmi/vm1/", "--manifests", OBJECTS), "NAMESPACE, not vmi/vm1/"),
    (("vmi/a/b/c", "--manifests", OBJECTS), "NAMESPACE, not vmi/a/b/c"),
    (("pod/vm1", "--manifests", OBJECTS), "NAMESPACE, not pod/vm1"),
    ((NAME, "--service", "a/b/c"), "NAME or NAMESPACE/NAME, not a/b/c"),
    ((NAME, "--service", "a?b"), "NAME or NAMESPACE/NAME, not a?b"),
    ((NAME, "--port", "80/x"), "a port's number or name, not 80/x"),
]


@pytest.mark.parametrize(("arguments", "error"), USAGE, ids=[row[1][:30] for row in USAGE])
def test_usage(arguments: tuple[str, ...], error: str, objects: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be understood is refused in one line."""
    with pytest.raises(SystemExit) as caught:
        main(["explain", *arguments])
    assert caught.value.code == 2
    assert error in capsys.readouterr().err


FAILING = [  # arguments, a part of the error
    ((NAME, "--manifests", "missing"), "missing"),
    ((NAME, "--conf", "missing"), "missing"),
    (("a..b", "--manifests", OBJECTS), "not a name"),
    ((NAME, "BOGUS", "--manifests", OBJECTS), "not a resource record type: 'BOGUS'"),
    ((NAME, "--zone", "a.test"), "--zone goes with --manifests"),
    ((NAME, "--manifests", OBJECTS, "--conf", "Corefile"), "cannot go together"),
    ((NAME, "--server", "ftp://a"), "--server is a URL such as http://localhost:9154, not ftp://a"),
    ((NAME, "--server", "http://127.0.0.1:1"), "cannot be asked"),
    ((NAME, "--kubeconfig", "missing"), "kubeconfig missing: No such file or directory"),
]


@pytest.mark.parametrize(("arguments", "error"), FAILING, ids=[row[1][:30] for row in FAILING])
def test_failures(arguments: tuple[str, ...], error: str, objects: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be had ends with 2 and one line that says why."""
    assert main(["explain", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("dnsserver: ")
    assert error in err
    assert err.count("\n") == 1


def test_the_flags_come_after(capsys: pytest.CaptureFixture[str]) -> None:
    """As with the other commands, the command is the first word."""
    with pytest.raises(SystemExit):
        main(["--conf", "Corefile", "explain"])
    assert "explain comes before its flags" in capsys.readouterr().err


# -- what is printed ---------------------------------------------------------------------------------------------------


async def on_terminal(*arguments: str, cwd: Path, env: Mapping[str, str]) -> bytes:
    """Run the command on a terminal; return what it printed there."""
    master, slave = pty.openpty()
    environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"} | dict(env)
    environment["PYTHONPATH"] = str(Path(__file__).parent.parent)
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "explain", *arguments, cwd=cwd, env=environment, stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    chunks = []
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(30):
            while chunk := await loop.run_in_executor(None, _read, master):
                chunks.append(chunk)
            await process.wait()
    finally:
        os.close(master)
    return b"".join(chunks)


def _read(master: int) -> bytes:
    """Read from a terminal; nothing once everybody has left it."""
    try:
        return os.read(master, 65536)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return b""


async def test_colour(tmp_path: Path) -> None:
    """Colour is for terminals, unless NO_COLOR is set."""
    write_objects(tmp_path / OBJECTS)
    arguments = (NAME, "--manifests", OBJECTS)
    coloured, plain = await asyncio.gather(
        on_terminal(*arguments, cwd=tmp_path, env={"TERM": "xterm"}),
        on_terminal(*arguments, cwd=tmp_path, env={"TERM": "xterm", "NO_COLOR": "1"}),
    )
    assert coloured.startswith(b"\x1b[32m\xe2\x9c\x93\x1b[0m ")  # a green tick
    assert plain.startswith(b"\xe2\x9c\x93 ")
    assert b"\x1b" not in plain


class Terminal(io.TextIOWrapper):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


STYLES = [  # whether it is a terminal, --color, environment, encoding, whether there is colour, and Unicode
    (True, "auto", {"TERM": "xterm"}, "utf-8", True, True),
    (True, "auto", {"TERM": "dumb"}, "utf-8", False, True),
    (True, "auto", {"NO_COLOR": "1"}, "utf-8", False, True),
    (True, "auto", {"NO_COLOR": ""}, "utf-8", True, True),  # empty counts as unset (no-color.org)
    (True, "always", {"NO_COLOR": "1"}, "utf-8", True, True),
    (True, "never", {}, "latin-1", False, False),
    (False, "auto", {"TERM": "xterm"}, "utf-8", False, True),
    (False, "always", {}, "ascii", True, False),
]


@pytest.mark.parametrize(("terminal", "color", "environ", "encoding", "colour", "unicode"), STYLES)
def test_style(
    *, terminal: bool, color: str, environ: dict[str, str], encoding: str, colour: bool, unicode: bool
) -> None:
    """What a stream cannot say is not said."""
    stream = (Terminal if terminal else io.TextIOWrapper)(io.BytesIO(), encoding=encoding)
    assert style_of(stream, color, environ) == Style(colour=colour, unicode=unicode)


def test_without_unicode(objects: Path) -> None:
    """Where the output has no ticks there are words."""
    arguments = ("explain", NAME, "--manifests", OBJECTS)
    code, out, _ = process(*arguments, cwd=objects.parent, PYTHONIOENCODING="ascii")
    assert code == 0
    assert out.startswith(f"ok {WHOLE} A resolves")
    assert out.isascii()


def test_hostile_names(objects: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing that is explained commands a terminal: neither the question nor the objects."""
    evil = build.vmi_json("evil\x1b[2J\x07", hostname="Bad\x1b]0;x\x07", labels={"app": "db"})
    (objects / "evil.json").write_text(json.dumps(evil))
    for name in ("\\027[2J\\007.db.ns1.svc.cluster.local.", "bad\\027]0;x\\007.db.ns1", "vmi/evil\x1b[2J\x07/ns1"):
        assert main(["explain", name, "--manifests", OBJECTS, "--color", "never"]) in (0, 1)
        out = capsys.readouterr().out
        assert all(line.isprintable() for line in out.splitlines())
        assert "\\027" in out or "\\x1b" in out


def test_json(objects: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON is what the server says."""
    assert main(["explain", "vm2.db.ns1", "--manifests", OBJECTS, "-o", "json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["resolves"], found["rcode"], found["version"]) == (False, "NXDOMAIN", 1)
    assert found["chain"][-1]["rule"] == "vmi"


def test_full_disk(objects: Path) -> None:
    """An explanation that cannot be written is an error in one line."""
    with open("/dev/full", "wb") as full:
        process = run_into(full, objects.parent)
    assert process == (2, b"dnsserver: cannot write the explanation: No space left on device\n")


def run_into(stream: Any, cwd: Path) -> tuple[int, bytes]:
    """Run the command with its output to a stream."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    arguments = (*COMMAND, "explain", NAME, "--manifests", OBJECTS)
    done = subprocess.run(
        arguments, check=False, cwd=cwd, stdout=stream, stderr=subprocess.PIPE, timeout=30, env=environment
    )
    return done.returncode, done.stderr


# -- from a server -----------------------------------------------------------------------------------------------------


async def test_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A running server is asked by URL, with what it has in its memory."""
    async with inspected(tmp_path) as url:
        found = await explain(NAME, "--server", url, capsys=capsys)
        missing = await explain("vm2.db.ns1", "A", "--server", f"{url}/", "-o", "json", capsys=capsys)
        vmi = await explain("vmi/vm1", "-n", "ns1", "--server", url, capsys=capsys)
        wrong = await explain(NAME, "BOGUS", "--server", url, capsys=capsys)
    assert (found[0], found[2]) == (0, "")
    assert found[1].startswith(f"✓ {WHOLE} A resolves")
    assert missing[0] == 1
    assert json.loads(missing[1])["rcode"] == "NXDOMAIN"
    assert vmi[1].startswith("✓ VirtualMachineInstance ns1/vm1 has 1 name\n\n✓ ")
    assert (wrong[0], wrong[1]) == (2, "")
    assert "answers 400: not a resource record type: 'BOGUS'" in wrong[2]


ANSWERS = [  # status, body, a part of the error
    (404, "404 page not found", "answers 404 (a server answers where its Corefile has `inspect`)"),
    (500, '{"error": "no"}', "answers 500: no"),
    (403, '{"message": "forbidden"}', "answers 403: forbidden"),
    (200, "<html>", "answers what is no explanation"),
    (200, "{}", "answers what is no explanation"),
    (200, '{"names": 1}', "answers what is no explanation"),
    (302, "", "answers 302"),
]


async def test_servers_that_are_none_of_ours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever answers there, there is one line about it."""
    for status, body, error in ANSWERS:

        async def answer(_: web.Request, status: int = status, body: str = body) -> web.Response:
            return web.Response(status=status, text=body, headers={"Location": "http://127.0.0.1:1/"})

        application = web.Application()
        application.router.add_get("/api/explain", answer)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            assert await asyncio.to_thread(main, ["explain", NAME, "--server", runner_url(runner)]) == 2
        finally:
            await runner.cleanup()
        assert error in capsys.readouterr().err


def runner_url(runner: web.AppRunner) -> str:
    """Return where an application listens."""
    host, port = runner.addresses[0][:2]
    return f"http://{host}:{port}"


# -- through the API server --------------------------------------------------------------------------------------------


async def test_kubectl(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """`kubectl dnsserver explain NAME` finds the Service by the API server, as whom the kubeconfig says."""
    (tmp_path / "kubectl-dnsserver").write_text(KUBECTL)
    program = (sys.executable, str(tmp_path / "kubectl-dnsserver"))
    async with inspected(tmp_path) as url, FakeApiServer(tokens={"s3cr3t"}) as api:
        api.services = {"kube-system/dnsserver:9154": url, "dns/vm:inspect": url}
        config = kubeconfig(tmp_path / "config", api.url, {"token": "s3cr3t"})
        monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'none'}:{config}")
        usual = await asyncio.to_thread(process, "explain", NAME, cwd=tmp_path, program=program)
        monkeypatch.setattr(sys, "argv", ["kubectl-dnsserver"])
        other = await explain("vm2.db.ns1", "--service", "dns/vm", "--port", "inspect", capsys=capsys)
        vmi = await explain("vmi/vm1", "-n", "ns1", capsys=capsys)
        missing = await explain(NAME, "--service", "none", capsys=capsys)
        monkeypatch.setattr(sys, "argv", ["dnsserver"])
        plain = await explain(NAME, "--kubeconfig", str(config), "--context", "test", capsys=capsys)
        paths = {one.path for one in api.requests}
    assert (usual[0], usual[2]) == (0, "")
    assert usual[1].startswith(f"✓ {WHOLE} A resolves")
    assert other[0] == 1
    assert vmi[1].startswith("✓ VirtualMachineInstance ns1/vm1 has 1 name")
    assert (missing[0], missing[1]) == (2, "")
    assert "Service kube-system/none:9154 answers 404: services none not found" in missing[2]
    assert plain[0] == 0
    assert "/api/v1/namespaces/kube-system/services/dnsserver:9154/proxy/api/explain" in paths
    assert all("s3cr3t" not in text for done in (usual, other, vmi, missing, plain) for text in done[1:])


async def test_kubectl_without_the_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who may not use the proxy is told so, and so is who reaches no API server."""
    async with FakeApiServer(tokens={"s3cr3t"}) as api:
        config = str(kubeconfig(tmp_path / "config", api.url, {"token": "wrong"}))
        assert await asyncio.to_thread(main, ["explain", NAME, "--kubeconfig", config]) == 2
        assert "answers 401: Unauthorized" in capsys.readouterr().err
    assert await asyncio.to_thread(main, ["explain", NAME, "--kubeconfig", config]) == 2
    assert "cannot connect" in capsys.readouterr().err


async def test_the_api_servers_own_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The proxy hands on the name that the API server is asked by, which `inspect` may have to be told."""
    for options, code in (("", 2), ("{\nhost api.test\n}", 0)):
        async with inspected(tmp_path, options) as url, FakeApiServer() as api:
            api.services = {"kube-system/dnsserver:9154": url}
            config = str(kubeconfig(tmp_path / "config", api.url, {}))
            api.asked_as = "api.test"
            assert await asyncio.to_thread(main, ["explain", NAME, "--kubeconfig", config]) == code
        said = capsys.readouterr()
        assert ("'api.test' is no name of this server; `inspect` can be given it" in said.err) is bool(code)


async def test_namespace_of_the_context(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A VMI is looked for in the context's namespace, as kubectl does."""
    async with inspected(tmp_path) as url, FakeApiServer() as api:
        api.services = {"kube-system/dnsserver:9154": url}
        path = kubeconfig(tmp_path / "config", api.url, {})
        path.write_text(path.read_text().replace("user: u\n", "user: u\n    namespace: ns1\n", 1))
        assert await asyncio.to_thread(main, ["explain", "vmi/vm1", "--kubeconfig", str(path)]) == 0
        assert await asyncio.to_thread(main, ["explain", "vmi/vm1", "-n", "x", "--kubeconfig", str(path)]) == 1
    assert "there is no VirtualMachineInstance x/vm1" in capsys.readouterr().out


def test_which_kubeconfig(tmp_path: Path) -> None:
    """$KUBECONFIG's first that is there, else the one at home, else the pod's own account."""
    first, second = tmp_path / "a", tmp_path / "b"
    second.touch()
    assert _kubeconfig({"KUBECONFIG": f"{first}:{second}"}) == str(second)
    assert _kubeconfig({"HOME": str(tmp_path)}) == str(tmp_path / ".kube" / "config")
    assert _kubeconfig({"HOME": str(tmp_path), "KUBERNETES_SERVICE_HOST": "10.0.0.1"}) == ""


def test_called_by_kubectl() -> None:
    """kubectl runs a program of this name for `kubectl dnsserver`."""
    assert called_by_kubectl(("/usr/bin/kubectl-dnsserver", "explain"))
    assert called_by_kubectl(("kubectl-dnsserver.exe",))
    assert not called_by_kubectl(("/usr/bin/dnsserver",))


def test_kubectl_help(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The usage is what the user typed."""
    for program, usage in (("kubectl-dnsserver", "kubectl dnsserver"), ("dnsserver", "dnsserver")):
        monkeypatch.setattr(sys, "argv", [program])
        with pytest.raises(SystemExit):
            main(["explain", "--help"])
        assert capsys.readouterr().out.startswith(f"usage: {usage} explain ")


def test_kubectl_without_a_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not become a server."""
    monkeypatch.setattr(sys, "argv", ["kubectl-dnsserver"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert "kubectl dnsserver needs a command, such as explain NAME" in capsys.readouterr().err
