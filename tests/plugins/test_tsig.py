"""`tsig`: its options and files of keys, what has to be signed, and whole signed exchanges."""

import base64
import hmac
import time
from pathlib import Path

import pytest

from dnsserver import corefile
from dnsserver.message import Client, Edns, Reply, Transport
from dnsserver.names import from_text
from dnsserver.plugins.tsig import Tsig
from dnsserver.records import Rcode, RRType
from dnsserver.signatures import DEFAULT_ALGORITHM, Key, Signer
from dnsserver.wire import BADKEY, digest_input, encode_query, parse_response, split_tsig
from dnsserver.wire.format import RECORD
from dnsserver.wire.signature import read_tsig, without_last
from tests.harness import ask_tcp, ask_udp, question, serving
from tests.plugins.conftest import SERVER, answering, parse, refusal, request

SECRET = base64.b64encode(b"a secret of these tests").decode()
NAME = from_text("k.example")
NEXT = Reply(rcode=Rcode.NXDOMAIN)


def tsig(text: str, folder: Path = Path()) -> Tsig:
    """Parse one directive."""
    (plugin,) = parse("tsig", text, folder=folder)
    assert isinstance(plugin, Tsig)
    return plugin


def test_keys(tmp_path: Path) -> None:
    """From the Corefile and from files, of which there may be several; comments are BIND's."""
    (tmp_path / "keys").write_text(
        f"""# made by tsig-keygen
        key "k.example." {{ algorithm hmac-SHA512; secret "{SECRET}"; }};
        // another
        key Other {{ /* no
           algorithm */ secret {SECRET}; }};
        """
    )
    plugin = tsig(f"tsig {{\nsecret Mine. {SECRET}\nsecrets keys\n}}", tmp_path)
    secret = base64.b64decode(SECRET)
    assert plugin.keys == {
        from_text("mine"): Key(from_text("mine"), secret),
        NAME: Key(NAME, secret, from_text("hmac-sha512")),
        from_text("other"): Key(from_text("other"), secret),
    }


REFUSALS = [
    ("tsig {\nkey x\n}", "unknown property 'key', expecting secret or secrets or require"),
    ("tsig {\nsecret HIDDEN=\n}", "Corefile:3 - Error during parsing: 'secret' with 1 arguments, expecting secret"),
    ("tsig {\nsecret k HIDDEN= HIDDEN=\n}", "'secret' with 3 arguments, expecting secret NAME KEY"),
    ("tsig {\nsecret k HIDDEN!\n}", "Corefile:3 - Error during parsing: a secret is not base64, expecting"),
    ('tsig {\nsecret k ""\n}', "a secret is not base64, expecting"),
    ("tsig {\nsecret k..x HIDDENHI\n}", "the name of a key is no domain name, expecting"),
    ("tsig {\nsecret k HIDDENHI\nsecret K. HIDDENHI\n}", "Corefile:4 - Error during parsing: key k. redefined"),
    ("tsig {\nsecrets missing\n}", "cannot read keys from missing: No such file or directory, expecting a file"),
    ("tsig {\nsecrets\n}", "Wrong argument count or unexpected line ending after 'secrets', expecting secrets FILE"),
    ("tsig {\nrequire\n}", "expecting require QTYPE...|all|none"),
    ("tsig {\nrequire all A\n}", "expecting require all"),
    ("tsig {\nrequire AXFR NONSENSE\n}", "unknown query type 'NONSENSE', expecting types such as AXFR"),
    ("tsig\ntsig", "this plugin can only be used once per Server Block"),
]


@pytest.mark.parametrize(("text", "message"), REFUSALS)
def test_refusals(text: str, message: str) -> None:
    """Each says where, and what was expected, and no secret."""
    found = refusal("tsig", text)
    assert message in found
    assert "HIDDEN" not in found


FILES = [
    ('key k { secret "HIDDEN!"; };', 1, "a secret is not base64"),
    ('\nkey k { algorithm hmac-md5; secret "HIDDENHI"; };', 2, "unknown algorithm 'hmac-md5', expecting one of hmac-"),
    ("key k {\n algorithm hmac-sha256;\n};\n", 3, "key k. has no secret"),
    ("key k { secret HIDDENHI }", 1, "';' is missing"),
    ("key k secret HIDDENHI;", 1, "'{' is missing"),
    ("key k {\n\n secret HIDDENHI;\n", 4, "'algorithm' or 'secret' or '}' is missing"),
    ("HIDDENHI", 1, "a statement that is not 'key'"),
    ('key k {\n secret "HIDDENHI\n', 2, "a quoted word or a comment has no end"),
    ("key k { secret HIDDENHI; };\nkey K. { secret HIDDENHI; };", 2, "key k. redefined"),
    ("key k..x { secret HIDDENHI; };", 1, "the name of a key is no domain name"),
    ("key k { algorithm a..b; secret HIDDENHI; };", 1, "unknown algorithm"),
    ("key", 1, "a word is missing"),
]


@pytest.mark.parametrize(("text", "line", "message"), FILES)
def test_files_that_are_wrong(tmp_path: Path, text: str, line: int, message: str) -> None:
    """Each says its file and line, and no secret."""
    path = tmp_path / "keys"
    path.write_text(text)
    with pytest.raises(corefile.CorefileError) as caught:
        tsig("tsig {\nsecrets keys\n}", tmp_path)
    assert f"plugin/tsig: {path}:{line} - Error during parsing: {message}" in str(caught.value)
    assert "HIDDEN" not in str(caught.value)


def test_no_text(tmp_path: Path) -> None:
    """A file of other octets is refused where it is named."""
    (tmp_path / "keys").write_bytes(b"key \xff")
    with pytest.raises(corefile.CorefileError, match=r"Corefile:3 .* cannot read keys from .*: not UTF-8"):
        tsig("tsig {\nsecrets keys\n}", tmp_path)


REQUIRED = [
    ("", "example.com.", RRType.AXFR, True, True),
    ("require none", "example.com.", RRType.A, True, True),
    ("require AXFR ixfr", "example.com.", RRType.A, True, True),
    ("require AXFR ixfr", "example.com.", RRType.IXFR, False, True),
    ("require A", "www.example.com.", RRType.A, False, False),
    ("require A\nrequire AAAA", "www.example.com.", RRType.A, False, False),
    ("require all", "www.example.com.", RRType.TXT, False, False),
    ("require all", "www.example.org.", RRType.TXT, True, False),
]


@pytest.mark.parametrize(("options", "qname", "qtype", "passes", "plain"), REQUIRED)
async def test_require(options: str, qname: str, qtype: int, passes: bool, plain: bool) -> None:
    """Only what is signed passes, of the types and in the zones that say so; plain questions may have to ask for it."""
    plugin = tsig(f"tsig {{\n{options}\n}}")
    assert plugin.lets_pass(5) == plain
    reply = await plugin.handle(request(qname, qtype), answering(NEXT))
    assert (reply is NEXT) == passes
    if not passes:
        assert (reply.rcode, reply.authoritative, reply.extended_error) == (Rcode.REFUSED, False, (18, ""))
    client = Client("192.0.2.1", 4242, Transport.UDP, SERVER, key=NAME)
    assert await plugin.handle(request(qname, qtype, client=client), answering(NEXT)) is NEXT


COREFILE = f"""
example.org {{
    bind 127.0.0.1
    tsig {{
        secret k.example {SECRET}
        require TXT
    }}
    template IN ANY example.org {{
        match many
        fallthrough
        answer "{{{{ .Name }}}} 5 IN A 192.0.2.1"
        answer "{{{{ .Name }}}} 5 IN TXT {"x" * 200}"
        answer "{{{{ .Name }}}} 5 IN TXT {"y" * 200}"
    }}
    template IN ANY example.org {{
        answer "{{{{ .Name }}}} 5 IN A 192.0.2.1"
    }}
}}
"""


def checked(answer: bytes, signer: Signer) -> bytes:
    """Return a response without its signature, which is right; it may have any number of records."""
    start = len(answer) - signer.size
    message = without_last(answer, start)
    tsig = read_tsig(answer, start, start + len(NAME) + RECORD.size, len(answer))
    assert hmac.digest(signer.key.secret, digest_input(message, tsig, signer.before), "sha256") == tsig.mac
    return message


async def test_exchange(tmp_path: Path) -> None:
    """Signed queries get signed answers, that fit with their signature; a type that is to be signed needs one."""
    key = Key(NAME, base64.b64decode(SECRET))
    async with serving(COREFILE, tmp_path) as server:
        now = time.time()
        for ask in (ask_udp, ask_tcp):
            for qname, qtype, edns in (
                ("a.example.org", "A", None),
                ("a.example.org", "TXT", Edns(1232)),
                ("many.example.org", "A", None),
                ("a.example.org", "OPT", None),
                ("a.elsewhere", "A", Edns(512, version=7)),
            ):
                wire, mac = Signer(key, DEFAULT_ALGORITHM).sign(encode_query(question(qname, qtype, edns=edns)), now)
                answer = await ask(server.address, wire)
                parsed = parse_response(checked(answer, Signer(key, DEFAULT_ALGORITHM, mac)))
                assert ask is ask_tcp or len(answer) <= max(512, edns.udp_size if edns else 0)
                assert parsed.truncated == (qname[0] == "m" and ask is ask_udp)
            unsigned = await ask(server.address, encode_query(question("a.example.org", "TXT")))
            assert (parse_response(unsigned).rcode, split_tsig(unsigned)) == (Rcode.REFUSED, None)
            unsigned = await ask(server.address, encode_query(question("a.example.org", "A")))
            assert (parse_response(unsigned).rcode, split_tsig(unsigned)) == (Rcode.NOERROR, None)
            other = Signer(Key(from_text("other"), b"x"), DEFAULT_ALGORITHM)
            split = split_tsig(await ask(server.address, other.sign(encode_query(question("a.example.org")), now)[0]))
            assert split is not None
            assert (parse_response(split[0]).rcode, split[1].error) == (Rcode.NOTAUTH, BADKEY)
