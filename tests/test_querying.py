"""`dnsserver query`: what is asked, what is printed, and the exit code."""

import asyncio
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from dnsserver import cli, querying
from dnsserver.names import from_text
from dnsserver.wire import parse_query
from tests.harness import Serving, serving

ROOT = Path(__file__).parents[1]
NAME = "myvmi.mysubdomain.default.svc.cluster.local"
COREFILE = f"""
cluster.local {{
    bind 127.0.0.1
    template IN TXT many.cluster.local {{
        {"answer " + "".join(f'"many.cluster.local. 60 IN TXT {number:0100}" ' for number in range(20))}
    }}
    kubernetes {{
        manifests {ROOT / "examples" / "manifests"}
    }}
}}
"""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("@127.0.0.1 a.test", querying.Request("127.0.0.1", from_text("a.test"))),
        ("a.test AAAA @::1 +tcp", querying.Request("::1", from_text("a.test"), 28, tcp=True)),
        ("a.test", querying.Request("", from_text("a.test"))),
        ("+short @dns.example a.test TYPE65", querying.Request("dns.example", from_text("a.test"), 65, short=True)),
    ],
)
def test_words(words: str, expected: querying.Request) -> None:
    """Server, name, type and flags, in any order."""
    assert querying.parse_words(words.split()) == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("@ a.test", "expecting one @SERVER"),
        ("@a @b a.test", "expecting one @SERVER"),
        ("@127.0.0.1", "expecting NAME and perhaps TYPE"),
        ("@127.0.0.1 a.test A IN", "expecting NAME and perhaps TYPE"),
        ("@127.0.0.1 a..test", "'a..test' is not a name"),
        ("@127.0.0.1 a.test NOPE", "NOPE"),
        ("@127.0.0.1 a.test +dnssec", "unknown flag +dnssec, expecting +tcp or +short"),
    ],
)
def test_wrong_words(words: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line that says what was expected, and exit code 2."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["query", *words.split()])
    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert message in error
    assert error.startswith("dnsserver query: ")
    assert error.count("\n") == 1


async def ask(server: Serving, *words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Run the command beside the server; return its exit code and what it prints."""
    arguments = ["query", "@127.0.0.1", "-p", str(server.address[1]), *words]
    code = await asyncio.to_thread(cli.main, arguments)
    return code, capsys.readouterr().out


async def test_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As dig prints them: over UDP and TCP, short, no such name, another zone's, and one too large for UDP."""
    async with serving(COREFILE, tmp_path) as server:
        for flags, transport in ((), "UDP"), (("+tcp",), "TCP"):
            code, text = await ask(server, NAME, *flags, capsys=capsys)
            assert code == 0
            assert f"{NAME}. 5 IN A 10.244.0.57\n" in text
            assert "status: NOERROR" in text
            assert f"octets from 127.0.0.1#{server.address[1]} over {transport} in " in text.splitlines()[-1]
        assert await ask(server, NAME, "+short", capsys=capsys) == (0, "10.244.0.57\n")
        code, text = await ask(server, "nope.cluster.local", "AAAA", capsys=capsys)
        assert (code, "status: NXDOMAIN" in text) == (0, True)
        code, text = await ask(server, "www.example.org", capsys=capsys)
        assert (code, "status: REFUSED" in text) == (1, True)
        code, text = await ask(server, "many.cluster.local", "TXT", capsys=capsys)
        assert (code, text.count("IN TXT"), "over TCP" in text) == (0, 21, True)


@contextmanager
def answering(reply: Callable[[bytes], list[bytes]]) -> Iterator[int]:
    """Answer each datagram within the block with what `reply` makes of it; yields the port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                data, sender = sock.recvfrom(4096)
                if not data:
                    return
                for answer in reply(data):
                    sock.sendto(answer, sender)

        thread = Thread(target=serve)
        thread.start()
        try:
            yield sock.getsockname()[1]
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
                last.sendto(b"", sock.getsockname())
            thread.join()


def answer(query: bytes, *, ident: int | None = None, rcode: int = 0) -> bytes:
    """Return a response that repeats the question and holds nothing else."""
    return (
        struct.pack("!6H", parse_query(query).id if ident is None else ident, 0x8400 | rcode, 1, 0, 0, 0)
        + query[12 : query.index(b"\0", 12) + 5]
    )


def test_the_machine_s_own_resolver(tmp_path: Path) -> None:
    """Asked where no server is named: the first of resolv.conf."""
    conf = tmp_path / "resolv.conf"
    conf.write_text("# nameserver 192.0.2.1\nsearch a.test\nnameserver 10.96.0.10\nnameserver 10.96.0.11\n")
    assert querying.resolver(conf) == "10.96.0.10"
    conf.write_text("search a.test\n")
    with pytest.raises(querying.NoAnswerError, match="no nameservers found"):
        querying.resolver(conf)
    with pytest.raises(querying.NoAnswerError):
        querying.resolver(tmp_path / "none")


REQUEST = querying.Request("127.0.0.1", from_text("a.test"))


def test_what_answers_something_else_is_ignored() -> None:
    """Another ID, another question, a query and rubbish are no answer; the one that comes after them is."""

    def reply(query: bytes) -> list[bytes]:
        other = query[:12] + query[12:].replace(b"\4test", b"\4nope")
        wrong = parse_query(query).id ^ 1
        return [b"x", query, answer(query, ident=wrong), answer(other), answer(query, rcode=3)]

    with answering(reply) as port:
        code, text = querying.ask(REQUEST, port, 5.0)
    assert (code, "NXDOMAIN" in text) == (0, True)


def test_a_lost_datagram_is_sent_again() -> None:
    """Up to three times."""
    queries: list[bytes] = []

    def reply(query: bytes) -> list[bytes]:
        queries.append(query)
        return [answer(query)] if len(queries) == 3 else []

    with answering(reply) as port:
        assert querying.ask(REQUEST, port, 0.2)[0] == 0
    assert len(queries) == 3


def test_nobody_answers() -> None:
    """Silence, a port that is closed, over UDP and TCP, and a name that leads nowhere: each says who was asked."""
    with answering(lambda _query: []) as port, pytest.raises(querying.NoAnswerError, match="over UDP: timed out"):
        querying.ask(REQUEST, port, 0.05)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        for tcp, transport in (False, "UDP"), (True, "TCP"):
            request = querying.Request("127.0.0.1", from_text("a.test"), tcp=tcp)
            with pytest.raises(querying.NoAnswerError, match=f"port {port} over {transport}: Connection refused"):
                querying.ask(request, port, 5.0)
    with pytest.raises(querying.NoAnswerError, match=r"a\.b\.\.c: ."):
        querying.ask(querying.Request("a.b..c", from_text("a.test")), 53, 0.1)


def test_tcp_that_breaks() -> None:
    """A connection that ends in an answer, and one whose answer is of another question."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        request = querying.Request("127.0.0.1", from_text("a.test"), tcp=True)

        def serve() -> None:
            for size in (4, 12):
                connection = server.accept()[0]
                with connection:
                    connection.recv(4096)
                    connection.sendall(struct.pack("!H", 12) + bytes(size))

        thread = Thread(target=serve)
        thread.start()
        for message in ("the connection was closed", "it answers another question"):
            with pytest.raises(querying.NoAnswerError, match=message):
                querying.ask(request, server.getsockname()[1], 5.0)
        thread.join()


def test_as_a_command(tmp_path: Path) -> None:
    """No answer is exit code 1 and one line on stderr."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        port = str(silent.getsockname()[1])
        command = (sys.executable, "-m", "dnsserver", "query", "@127.0.0.1", "a.test", "-p", port, "--timeout", "0.05")
        ended = subprocess.run(command, check=False, capture_output=True, env=environment, cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (1, b"")
    assert ended.stderr == f"dnsserver: no answer from 127.0.0.1 port {port} over UDP: timed out\n".encode()
