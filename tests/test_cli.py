"""The command as users run it: a process, its flags, its signals, what it prints and its exit code."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from dnsserver import __version__
from dnsserver.plugins.order import available
from dnsserver.wire import encode_query, parse_response
from tests import build
from tests.harness import ask_tcp, ask_udp, question

COMMAND = (sys.executable, "-m", "dnsserver")
NAME = "vm1.db.ns1.svc.cluster.local"
ANSWER = [bytes([10, 244, 0, 7])]


def write_objects(folder: Path) -> Path:
    """Write one published VMI into a folder; return the folder."""
    folder.mkdir(exist_ok=True)
    items = [build.namespace_json(), build.service_json(), build.vmi_json()]
    (folder / "vm1.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    return folder


def write_corefile(folder: Path, extra: str = "") -> Path:
    """Write a Corefile for the objects of `write_objects`; return it."""
    write_objects(folder / "objects")
    path = folder / "Corefile"
    path.write_text(
        f"cluster.local {{\n bind 127.0.0.1\n errors\n{extra}\n kubernetes {{\n  manifests objects\n }}\n}}\n"
    )
    return path


def run(*arguments: str, cwd: Path, stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    """Run the command to its end."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    return subprocess.run(
        (*COMMAND, *arguments), check=False, cwd=cwd, input=stdin, capture_output=True, timeout=30, env=environment
    )


class Process:
    """The command as a server, and what it has printed so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []

    async def line(self, pattern: str) -> str:
        """Return the next line that holds a pattern; keep those before it. Raises `EOFError`."""
        assert self.process.stdout is not None
        async with asyncio.timeout(20):
            while text := (await self.process.stdout.readline()).decode():
                self.lines.append(text.rstrip("\n"))
                if re.search(pattern, text):
                    return self.lines[-1]
        assert self.process.stderr is not None
        raise EOFError((*self.lines, (await self.process.stderr.read()).decode()))

    async def end(self, seconds: float = 10.0) -> tuple[int, str]:
        """Return the exit code and what stood on stderr, once the process has ended by itself."""
        async with asyncio.timeout(seconds):
            out, err = await self.process.communicate()
        self.lines += out.decode().splitlines()
        assert self.process.returncode is not None
        return self.process.returncode, err.decode()

    def port(self) -> int:
        """Return the UDP port that the process has bound on IPv4, as the kernel lists its sockets."""
        pid = self.process.pid
        inodes = set()
        for number in os.listdir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                inodes.add(os.readlink(f"/proc/{pid}/fd/{number}"))
        for line in Path(f"/proc/{pid}/net/udp").read_text().splitlines()[1:]:
            fields = line.split()
            if f"socket:[{fields[9]}]" in inodes:
                return int(fields[1].rpartition(":")[2], 16)
        raise AssertionError("the process has no UDP socket")

    async def answer(self, qname: str = NAME, *, tcp: bool = False) -> list[bytes]:
        """Ask it."""
        ask = ask_tcp if tcp else ask_udp
        response = await ask(("127.0.0.1", self.port()), encode_query(question(qname)))
        return [record.rdata for record in parse_response(response).answer]


@asynccontextmanager
async def started(*arguments: str, cwd: Path, stdin: bytes | None = None) -> AsyncIterator[Process]:
    """Run the command within the block, and kill it at the end where it still runs."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *arguments,
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)},
        stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        if stdin is not None:
            assert process.stdin is not None
            process.stdin.write(stdin)
            process.stdin.close()
        yield Process(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


# Runs that end by themselves

MISTAKES = [  # arguments, exit code, what stands on stderr
    (["-bogus"], 2, "dnsserver: unrecognized arguments: -bogus (see dnsserver --help)\n"),
    (["frobnicate"], 2, "invalid choice: 'frobnicate'"),
    (["-p", "65536"], 2, "'65536' is not a port number"),
    (["-p", "-1"], 2, "(see dnsserver --help)\n"),
    (["-p", "0000001000000000"], 2, "'0000001000000000' is not a port number"),
    (["-dns.port=x"], 2, "'x' is not a port number"),
    (["-conf"], 2, "expected one argument"),
    (["-conf", "nowhere"], 1, "dnsserver: nowhere - Error during parsing: cannot be read: No such file or directory\n"),
    (["-conf=nowhere"], 1, "dnsserver: nowhere - Error during parsing: cannot be read: No such file or directory\n"),
    (["--conf", "."], 1, "dnsserver: . - Error during parsing: cannot be read: Is a directory\n"),
    (["-conf", "bad"], 1, "dnsserver: bad:2 - Error during parsing: Unknown directive 'nonsense'\n"),
    (["check", "-conf", "bad"], 1, "dnsserver: bad:2 - Error during parsing: Unknown directive 'nonsense'\n"),
    (["-conf", "bad-option"], 1, "dnsserver: plugin/kubernetes: bad-option:3 - Error during parsing: ttl must be in"),
    (
        ["-conf", "tls"],
        1,
        "dnsserver: tls:1 - Error during parsing: tls://. has no certificate, expecting tls CERT KEY [CA] in its serv",
    ),
    (["-conf", "open"], 1, "dnsserver: open:"),
    (["-conf", "empty"], 1, "dnsserver: empty - Error during parsing: no server block, expecting at least one"),
    (
        ["check", "-conf", "empty"],
        1,
        "dnsserver: empty - Error during parsing: no server block, expecting at least one",
    ),
    (["-conf", "binary"], 1, "dnsserver: binary:1 - Error during parsing: octet 0xff is not UTF-8"),
    (["--zone", "a.test"], 1, "dnsserver: command line - Error during parsing: --zone goes with --manifests"),
    (["-conf", "bad", "--manifests", "."], 1, "--manifests and -conf cannot go together\n"),
    (["--manifests", "nowhere"], 1, "manifests: no such file or folder: nowhere\n"),
    (["--manifests", ".", "--zone", "a..b"], 1, "'a..b' is not a valid domain name"),
    (["--manifests", ".", "--zone", "10.0.0.0/8"], 1, "non-reverse zone name must be used\n"),
    (["--manifests", 'a"b\\'], 1, "Error during parsing"),
    (["--manifests", ".", "-pidfile", "no/such/folder"], 1, "dnsserver: cannot write no/such/folder: No such file or"),
]


@pytest.fixture(scope="module")
def mistakes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with Corefiles that are wrong."""
    folder = tmp_path_factory.mktemp("mistakes")
    texts = {
        "bad": ". {\n nonsense\n}\n",
        "bad-option": "a.test {\n kubernetes {\n  ttl x\n }\n}\n",
        "tls": "tls://. {\n}\n",
        "open": ". {\n errors\n",
        "empty": "# nothing\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    (folder / "binary").write_bytes(b"\xff\xfe\n")
    return folder


@pytest.mark.parametrize(("arguments", "code", "message"), MISTAKES)
def test_mistakes(arguments: list[str], code: int, message: str, mistakes: Path) -> None:
    """One line on stderr that says what to mend; never a traceback, and nothing on stdout."""
    ended = run(*arguments, cwd=mistakes)
    error = ended.stderr.decode()
    assert message in error
    assert error.startswith("dnsserver: ")
    assert (ended.returncode, ended.stdout, error.count("\n")) == (code, b"", 1)


@pytest.mark.parametrize("dash", ["-", "--"])
def test_version(dash: str, tmp_path: Path) -> None:
    """The version, and what it runs on; no Corefile is needed."""
    ended = run(f"{dash}version", cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, b"")
    first, second = ended.stdout.decode().splitlines()
    assert first == f"dnsserver-{__version__}"
    assert "Python" in second


@pytest.mark.parametrize("dash", ["-", "--"])
def test_plugins(dash: str, tmp_path: Path) -> None:
    """As CoreDNS lists them."""
    ended = run(f"{dash}plugins", cwd=tmp_path)
    assert ended.returncode == 0
    loaders = ["Server types:", "  dns", "", "Caddyfile loaders:", "  flag", "  default", "", "Other plugins:"]
    assert ended.stdout.decode().splitlines() == loaders + sorted(f"  dns.{name}" for name in available())


def test_help(tmp_path: Path) -> None:
    """Every flag is explained."""
    text = run("--help", cwd=tmp_path).stdout.decode()
    for flag in ("-conf", "-dns.port", "-p", "-pidfile", "-plugins", "-quiet", "-version", "--manifests", "--zone"):
        assert flag in text


CHECKS = [  # arguments, what is said
    (["check"], "Corefile is valid\n"),
    (["check", "-conf", "Corefile"], "Corefile is valid\n"),
    (["check", "--conf=Corefile"], "Corefile is valid\n"),
    (["-conf", "Corefile", "check"], "Corefile is valid\n"),
    (["check", "-conf", "stdin"], "stdin is valid\n"),
    (["check", "--manifests", "objects"], "command line is valid\n"),
]


@pytest.mark.parametrize(("arguments", "message"), CHECKS)
def test_check(arguments: list[str], message: str, tmp_path: Path) -> None:
    """A valid Corefile is said to be, and nothing is served; its relative paths start where it is."""
    text = write_corefile(tmp_path).read_bytes()
    ended = run(*arguments, cwd=tmp_path, stdin=text)
    assert (ended.returncode, ended.stdout.decode(), ended.stderr) == (0, message, b"")


def test_check_warns(tmp_path: Path) -> None:
    """What has no effect, or less than it seems, is said of a valid Corefile as well."""
    (tmp_path / "Corefile").write_text(". {\n errors\n import *.none\n}\n")
    ended = run("check", cwd=tmp_path)
    warning = "[WARNING] No files matching import glob pattern: *.none"
    assert (ended.returncode, ended.stdout.decode()) == (0, f"{warning}\nCorefile is valid\n")


def test_check_without_a_corefile(tmp_path: Path) -> None:
    """The default is one as well."""
    assert run("check", cwd=tmp_path).stdout == b"Corefile is valid\n"


def test_a_corefile_that_is_a_dead_link(tmp_path: Path) -> None:
    """The default is for where there is no Corefile, not for one that is broken."""
    (tmp_path / "Corefile").symlink_to("nowhere")
    ended = run("check", cwd=tmp_path)
    assert ended.returncode == 1
    assert ended.stderr == b"dnsserver: Corefile - Error during parsing: cannot be read: No such file or directory\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [(b"\xff", "stdin:1 - Error during parsing: octet 0xff"), (b"", "stdin - "), (b". {\nx\n}", "stdin:2")],
)
def test_bad_stdin(text: bytes, message: str, tmp_path: Path) -> None:
    """A Corefile from stdin is refused like any other."""
    ended = run("-conf", "stdin", cwd=tmp_path, stdin=text)
    assert ended.returncode == 1
    assert ended.stderr.decode().startswith(f"dnsserver: {message}")


def test_address_in_use(tmp_path: Path) -> None:
    """A taken port is an error that names it."""
    write_corefile(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run("-p", str(port), cwd=tmp_path)
    assert ended.returncode == 1
    assert ended.stderr.decode() == f"dnsserver: cannot listen on 127.0.0.1 port {port}: Address already in use\n"


# Runs that serve


async def test_manifests(tmp_path: Path) -> None:
    """`--manifests` and `--zone` serve without a Corefile; the banner is the last that is printed at start."""
    write_objects(tmp_path / "my objects")
    arguments = ("--manifests", "my objects", "--zone", "vms.test", "-p", "0")
    async with started(*arguments, cwd=tmp_path) as server:
        await server.line(r"^dnsserver-")
        assert [line for line in server.lines if line.endswith(":0")] == [
            "vms.test.:0",
            "in-addr.arpa.:0",
            "ip6.arpa.:0",
        ]
        for tcp in (False, True):
            assert await server.answer("vm1.db.ns1.svc.vms.test", tcp=tcp) == ANSWER
        assert await server.answer(NAME) == []
        server.process.send_signal(signal.SIGTERM)
        assert await server.end() == (0, "")
    assert not [line for line in server.lines if "ERROR" in line or "Traceback" in line]


async def test_output_that_fails(tmp_path: Path) -> None:
    """On a full disk the banner and the log are lost; the server is not."""
    write_corefile(tmp_path)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    full = os.open("/dev/full", os.O_WRONLY)
    process = await asyncio.create_subprocess_exec(*COMMAND, "-p", "0", cwd=tmp_path, stdout=full, env=environment)
    os.close(full)
    try:
        server = Process(process)
        await until_serving(server)
        assert await server.answer() == ANSWER
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()


async def test_corefile_elsewhere(tmp_path: Path) -> None:
    """`-conf` with its relative paths starting at the Corefile; `-quiet` prints no banner, and `-pidfile` is held."""
    (tmp_path / "etc").mkdir()
    write_corefile(tmp_path / "etc")
    arguments = ("-conf", "etc/Corefile", "-quiet", "-p=0", "-pidfile", "server.pid")
    pid_file = tmp_path / "server.pid"
    async with started(*arguments, cwd=tmp_path) as server:
        await until_serving(server)
        assert pid_file.read_text() == f"{server.process.pid}\n"
        assert await server.answer() == ANSWER
        server.process.send_signal(signal.SIGINT)
        assert await server.end() == (0, "")
    assert not pid_file.exists()
    assert not [line for line in server.lines if line.startswith(("dnsserver-", "cluster.local"))]


async def until_serving(server: Process) -> None:
    """Wait until a process without a banner has bound its port."""
    async with asyncio.timeout(20):
        while True:
            with suppress(AssertionError):
                server.port()
                return
            assert server.process.returncode is None
            await asyncio.sleep(0.01)


async def test_corefile_from_stdin(tmp_path: Path) -> None:
    """Relative paths start at the working directory then."""
    text = write_corefile(tmp_path).read_bytes()
    async with started("-conf", "stdin", "-dns.port", "0", cwd=tmp_path, stdin=text) as server:
        await server.line(r"^dnsserver-")
        assert await server.answer() == ANSWER


async def test_manifest_with_a_mistake_is_reported(tmp_path: Path) -> None:
    """File and line on stdout, in CoreDNS's form of a log line; the rest is served."""
    folder = write_objects(tmp_path / "objects")
    (folder / "bad.yaml").write_text("kind: Service\nmetadata:\n  name: [\n")
    async with started("--manifests", "objects", "-p", "0", cwd=tmp_path) as server:
        line = await server.line(r"bad\.yaml")
        assert re.match(r"\[ERROR\] plugin/kubernetes: objects/bad\.yaml:\d+: ", line)
        await server.line(r"^dnsserver-")
        assert await server.answer() == ANSWER


async def test_without_a_corefile(tmp_path: Path) -> None:
    """CoreDNS's default: `whoami` for every name, and a line for each query."""
    async with started("-p", "0", cwd=tmp_path) as server:
        await server.line(r"^dnsserver-")
        response = parse_response(await ask_udp(("127.0.0.1", server.port()), encode_query(question("a.test"))))
        assert (response.rcode, len(response.answer), len(response.additional)) == (0, 0, 2)
        assert await server.line(r'"A IN a\.test\. udp .* NOERROR')
        assert ".:0" in server.lines


async def test_reload(tmp_path: Path) -> None:
    """SIGUSR1 reads the Corefile again; a mistake in it is reported, and the old configuration serves on."""
    corefile = write_corefile(tmp_path)
    good = corefile.read_text()
    async with started("-p", "0", cwd=tmp_path) as server:
        await server.line(r"^dnsserver-")
        port = server.port()
        corefile.write_text(good.replace("manifests objects", "manifests objects\n  ttl x"))
        server.process.send_signal(signal.SIGUSR1)
        error = (
            "[ERROR] SIGUSR1: plugin/kubernetes: Corefile:7 - Error during parsing: ttl must be in range [0, 3600]: x"
        )
        assert await server.line("ERROR") == error
        assert await server.answer() == ANSWER
        corefile.write_text(good.replace("cluster.local {", "other.test {"))
        server.process.send_signal(signal.SIGUSR1)
        assert await server.line("Reloading complete") == "[INFO] Reloading complete"
        assert server.port() == port
        assert await server.answer("vm1.db.ns1.svc.other.test") == ANSWER
        assert await server.answer() == []
        server.process.send_signal(signal.SIGTERM)
        assert await server.end() == (0, "")


async def test_reload_from_stdin(tmp_path: Path) -> None:
    """What was there once stays; files that it imports are read again."""
    block = write_corefile(tmp_path).rename(tmp_path / "block")
    async with started("-conf", "stdin", "-p", "0", cwd=tmp_path, stdin=b"import block\n") as server:
        await server.line(r"^dnsserver-")
        block.write_text(block.read_text().replace("cluster.local", "other.test"))
        server.process.send_signal(signal.SIGUSR1)
        await server.line("Reloading complete")
        assert await server.answer("vm1.db.ns1.svc.other.test") == ANSWER


async def test_sighup_is_ignored(tmp_path: Path) -> None:
    """As CoreDNS does."""
    write_corefile(tmp_path)
    async with started("-p", "0", cwd=tmp_path) as server:
        await server.line(r"^dnsserver-")
        for _ in range(3):
            server.process.send_signal(signal.SIGHUP)
            assert await server.answer() == ANSWER
        server.process.send_signal(signal.SIGTERM)
        assert await server.end() == (0, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_second_signal_ends_at_once(number: signal.Signals, tmp_path: Path) -> None:
    """During the lame duck time it still answers; a second signal does not wait for its end."""
    write_corefile(tmp_path, " health 127.0.0.1:0 {\n  lameduck 60s\n }")
    async with started("-p", "0", cwd=tmp_path) as server:
        await server.line(r"^dnsserver-")
        server.process.send_signal(signal.SIGTERM)
        assert await server.line("lameduck") == "[INFO] Going into lameduck mode for 60s"
        assert await server.answer() == ANSWER
        server.process.send_signal(number)
        assert await server.end(5) == (2, "")


async def test_signal_while_waiting_for_the_api(tmp_path: Path) -> None:
    """An API server that is not there does not hold up the end either."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        options = f"endpoint http://127.0.0.1:{nobody.getsockname()[1]}\n startup_timeout 10m"
        (tmp_path / "Corefile").write_text(f"cluster.local {{\n bind 127.0.0.1\n kubernetes {{\n {options}\n }}\n}}\n")
        async with started("-p", "0", cwd=tmp_path) as server:
            await server.line(r"cannot (look for|list)")
            server.process.send_signal(signal.SIGTERM)
            assert await server.end(5) == (0, "")
