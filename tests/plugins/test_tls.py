"""`tls`: which files and policies are taken, and what a context is made of; handshakes are `transports/test_tls`'s."""

import ssl
import stat
from pathlib import Path

import pytest

from dnsserver import corefile
from dnsserver.names import ROOT
from dnsserver.plugins import tls
from dnsserver.plugins.plugin import Context
from dnsserver.plugins.tls import Tls
from tests.plugins.conftest import parse, refusal

CERTIFICATES = Path(__file__).parent.parent / "certificates"


def tls_of(text: str, folder: Path = CERTIFICATES) -> Tls:
    """Parse one `tls`."""
    (plugin,) = parse("tls", text, folder=folder)
    assert isinstance(plugin, Tls)
    return plugin


POLICIES = [  # the plugin, the verification of client certificates
    ("tls server.pem server.key", ssl.CERT_NONE),
    ("tls server.pem server.key ca.pem", ssl.CERT_NONE),
    ("tls server.pem server.key {\n}", ssl.CERT_NONE),
    ("tls server.pem server.key {\n client_auth nocert\n}", ssl.CERT_NONE),
    ("tls server.pem server.key ca.pem {\n client_auth verify_if_given\n}", ssl.CERT_OPTIONAL),
    ("tls server.pem server.key ca.pem {\n client_auth require_and_verify\n}", ssl.CERT_REQUIRED),
    ("tls server.pem server.key {\n client_auth require_and_verify\n}", ssl.CERT_REQUIRED),
]


@pytest.mark.parametrize(("text", "verify"), POLICIES)
def test_policies(text: str, verify: ssl.VerifyMode) -> None:
    """The default asks no client for a certificate; nothing older than TLS 1.2 is spoken."""
    context = tls_of(text).context
    assert context.verify_mode is verify
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_the_authority_is_the_one_that_is_named() -> None:
    """With a CA the system's are not trusted."""
    context = tls_of("tls server.pem server.key ca.pem {\n client_auth require_and_verify\n}").context
    assert [dict(entry[0] for entry in one["subject"]) for one in context.get_ca_certs()] == [  # type: ignore[misc]  # the stub's union
        {"commonName": "test authority"}
    ]


def test_settings_tell_two_apart() -> None:
    """What is written decides, not what the files hold."""
    first = tls_of("tls server.pem server.key")
    assert first.settings == tls_of("tls server.pem server.key").settings
    for text in ("tls server2.pem server2.key", "tls server.pem server.key ca.pem"):
        assert first.settings != tls_of(text).settings
    assert first.settings != tls_of("tls server.pem server.key {\n client_auth verify_if_given\n}").settings


EXPECTING = "expecting nocert or verify_if_given or require_and_verify"
REFUSED = [  # the lines, the error behind "Corefile:"
    ("tls", "2 - Error during parsing: Wrong argument count or unexpected line ending after 'tls', expecting tls CERT"),
    ("tls server.pem", "2 - Error during parsing: Wrong argument count or unexpected line ending after 'server.pem'"),
    ("tls a b c d", "2 - Error during parsing: Wrong argument count or unexpected line ending after 'd'"),
    ("tls none.pem server.key", "2 - Error during parsing: could not load TLS cert: {0}/none.pem: No such file"),
    ("tls server.pem none.key", "2 - Error during parsing: could not load TLS key: {0}/none.key: No such file"),
    ("tls server.pem server.key none", "2 - Error during parsing: could not load TLS CA: {0}/none: No such file"),
    ("tls . server.key", "2 - Error during parsing: could not load TLS cert: {0}: Is a directory"),
    (
        "tls server.pem client.key",
        "2 - Error during parsing: could not load TLS cert: {0}/server.pem with key {0}/client.key: key values mism",
    ),
    ("tls server.pem locked.key", "2 - Error during parsing: could not load TLS cert: {0}/server.pem with key {0}/lo"),
    ("tls make.sh server.key", "2 - Error during parsing: could not load TLS cert: {0}/make.sh with key {0}/server.k"),
    ("tls server.pem server.key make.sh", "2 - Error during parsing: could not read root certs from {0}/make.sh: "),
    ("tls server.pem server.key server.key", "2 - Error during parsing: could not read root certs from {0}/server.k"),
    (
        "tls server.pem server.key\ntls server2.pem server2.key",
        "3 - Error during parsing: TLS already configured for this server instance, expecting one tls a Server Block",
    ),
    ("tls server.pem server.key {\n ciphers x\n}", "3 - Error during parsing: unknown property 'ciphers', expecting"),
    ("tls server.pem server.key {\n client_auth\n}", "3 - Error during parsing: Wrong argument count"),
    ("tls server.pem server.key {\n client_auth nocert x\n}", "3 - Error during parsing: Wrong argument count"),
    (
        "tls server.pem server.key {\n client_auth sometimes\n}",
        f"3 - Error during parsing: unknown authentication type 'sometimes', {EXPECTING}",
    ),
    (
        "tls server.pem server.key {\n client_auth require\n}",
        "3 - Error during parsing: client_auth 'require' takes certificates without verifying them, which is not "
        f"supported, {EXPECTING}",
    ),
    ("tls server.pem server.key {\n client_auth request\n}", "3 - Error during parsing: client_auth 'request' takes"),
    ("tls server.pem server.key {\n keylog\n}", "3 - Error during parsing: Wrong argument count"),
    ("tls server.pem server.key {\n keylog no/such\n}", "3 - Error during parsing: cannot write {0}/no/such: No such"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_refused(text: str, message: str) -> None:
    """What cannot be done is refused with file and line, and the file that is to blame."""
    with pytest.raises(corefile.CorefileError) as caught:
        tls_of(text)
    assert str(caught.value).startswith("plugin/tls: Corefile:" + message.format(CERTIFICATES))


def test_relative_paths_start_at_the_corefile(tmp_path: Path) -> None:
    """And absolute ones stay."""
    assert "No such file" in refusal("tls", "tls server.pem server.key")
    tls_of(f"tls {CERTIFICATES}/server.pem {CERTIFICATES}/server.key", folder=tmp_path)


def test_keylog(tmp_path: Path) -> None:
    """Secrets are for the owner's eyes, and the operator is told."""
    (block,) = corefile.parse(f". {{\n tls server.pem server.key {{\n  keylog {tmp_path}/keys\n }}\n}}\n").blocks
    told: list[str] = []
    context = Context(zones=(ROOT,), folder=CERTIFICATES, port=853, warn=told.append)
    (plugin,) = tls.parse(tuple(block.find("tls")), context)
    assert isinstance(plugin, Tls)
    assert plugin.context.keylog_filename == str(tmp_path / "keys")
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o600
    assert told == [f"Corefile:3 - plugin/tls: the secrets of all connections are written to {tmp_path}/keys"]
