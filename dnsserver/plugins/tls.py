"""`tls CERT KEY [CA] { client_auth POLICY; keylog FILE }`: what the block's `tls://` listeners show (RFC 7858)."""

import os
import ssl
from pathlib import Path

from dnsserver.corefile import CorefileError, Directive
from dnsserver.corefile.files import reason
from dnsserver.plugins.options import arguments, properties
from dnsserver.plugins.plugin import Context, Directives, Plugin

_USAGE = "tls CERT KEY [CA]"
_CLIENT_AUTH = {  # crypto/tls's ClientAuthType, as far as OpenSSL's verification has it
    "nocert": ssl.CERT_NONE,
    "verify_if_given": ssl.CERT_OPTIONAL,
    "require_and_verify": ssl.CERT_REQUIRED,
}
_UNVERIFIED = ("request", "require")  # certificates that nobody looks at
_ALPN = "dot"  # RFC 7858 asks for none, zone transfer over TLS for this one (RFC 9103, section 7.1)
_OWNER_ONLY = 0o600


class Tls(Plugin):
    """Takes no part in answering; the files are read when the Corefile is, and again at each reload."""

    name = "tls"

    def __init__(self, context: ssl.SSLContext, settings: tuple[str, ...]) -> None:
        self.context = context
        self.settings = settings  # equal for two plugins that are written alike


def parse(directives: Directives, context: Context) -> tuple[Plugin, ...]:
    """Return the block's only `tls`."""
    if len(directives) > 1:
        raise directives[1].error("TLS already configured for this server instance, expecting one tls a Server Block")
    (directive,) = directives
    paths = [context.folder / text for text in arguments(directive, _USAGE, 2, 3)]
    policy, keylog = "nocert", ""
    for prop in properties(directive, "client_auth", "keylog"):
        if prop.name == "client_auth":
            (policy,) = arguments(prop, f"client_auth {'|'.join(_CLIENT_AUTH)}", 1, 1)
            if policy in _UNVERIFIED:
                message = f"client_auth '{policy}' takes certificates without verifying them, which is not supported"
                raise prop.error(f"{message}, expecting {' or '.join(_CLIENT_AUTH)}", 0)
            if policy not in _CLIENT_AUTH:
                expected = " or ".join(_CLIENT_AUTH)
                raise prop.error(f"unknown authentication type '{policy}', expecting {expected}", 0)
        else:
            (keylog,) = arguments(prop, "keylog FILE", 1, 1)
            keylog = str(context.folder / keylog)
            context.warn(
                f"{prop.file}:{prop.line} - plugin/tls: the secrets of all connections are written to {keylog}"
            )
    made = _server_context(directive, paths, _CLIENT_AUTH[policy])
    if keylog:
        _log_keys(directive, made, keylog)
    return (Tls(made, (*map(str, paths), policy, keylog)),)


def _server_context(directive: Directive, paths: list[Path], verify: ssl.VerifyMode) -> ssl.SSLContext:
    """Return a TLS context of the files. Raises `CorefileError`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols([_ALPN])
    for index, path in enumerate(paths):
        try:
            path.open("rb").close()  # OpenSSL's error does not say which file it is about
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            raise directive.error(f"could not load TLS {_WHAT[index]}: {path}: {reason(error)}", index) from error
    try:
        context.load_cert_chain(paths[0], paths[1], password="")  # no password, rather than one asked at a terminal
    except (ssl.SSLError, OSError) as error:
        message = f"could not load TLS cert: {paths[0]} with key {paths[1]}: {_ssl_reason(error)}"
        raise directive.error(f"{message}, expecting PEM files that belong together, the key unencrypted") from error
    if len(paths) > 2:
        _load_roots(directive, context, paths[2])
    elif verify is not ssl.CERT_NONE:
        context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
    context.verify_mode = verify
    return context


_WHAT = ("cert", "key", "CA")


def _load_roots(directive: Directive, context: ssl.SSLContext, path: Path) -> None:
    """Trust the certificates of a file. Raises `CorefileError`."""
    try:
        context.load_verify_locations(path)
    except (ssl.SSLError, OSError) as error:
        message = f"could not read root certs from {path}: {_ssl_reason(error)}"
        raise directive.error(f"{message}, expecting certificates as PEM", 2) from error


def _log_keys(directive: Directive, context: ssl.SSLContext, path: str) -> None:
    """Write each connection's secrets to a file that only its owner may read. Raises `CorefileError`."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, _OWNER_ONLY))
        context.keylog_filename = path
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise _keylog_error(directive, path, error) from error


def _keylog_error(directive: Directive, path: str, error: Exception) -> CorefileError:
    """Return the error at the `keylog` that names the file."""
    prop = next(prop for prop in directive.properties if prop.name == "keylog")
    return prop.error(f"cannot write {path}: {reason(error)}", 0)


def _ssl_reason(error: OSError) -> str:
    """Return OpenSSL's words for what is wrong, without its codes."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    return "no PEM in it" if isinstance(error, ssl.SSLError) else reason(error)
