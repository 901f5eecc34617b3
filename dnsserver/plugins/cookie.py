"""`cookie { secret FILE|HEX }`: a secret that replicas share, so that each knows the others' DNS cookies (RFC 9018).

A directive of this server alone. Without it cookies are answered just the same, by a secret of the process.
"""

from pathlib import Path

from dnsserver.cookies import SECRET_SIZE
from dnsserver.corefile import Property
from dnsserver.corefile.files import reason
from dnsserver.plugins.options import arguments, once, properties
from dnsserver.plugins.plugin import Context, Directives, Plugin

_DIGITS = 2 * SECRET_SIZE
_HEX = frozenset("0123456789abcdefABCDEF")
_MAX_FILE = 1000  # characters: what is longer is no secret


class Cookie(Plugin):
    """Takes no part in answering; the server makes cookies with its secret."""

    name = "cookie"

    def __init__(self, secret: bytes) -> None:
        self.secret = secret


def parse(directives: Directives, context: Context) -> tuple[Plugin, ...]:
    """Return the block's only `cookie`; a file is read when the Corefile is, and again at each reload."""
    directive = once(directives)
    arguments(directive, "cookie { secret FILE|HEX }", 0, 0)
    found = list(properties(directive, "secret"))
    if len(found) != 1:
        raise directive.error(f"{len(found)} secrets, expecting one: cookie {{ secret FILE|HEX }}")
    (prop,) = found
    (text,) = arguments(prop, "secret FILE|HEX", 1, 1)
    secret = _secret(text)
    return (Cookie(_read(prop, context.folder / text) if secret is None else secret),)


def _secret(text: str) -> bytes | None:
    """Return the secret that digits stand for, None for any other text."""
    return bytes.fromhex(text) if len(text) == _DIGITS and _HEX.issuperset(text) else None


def _read(prop: Property, path: Path) -> bytes:
    """Return the secret in a file. Raises `CorefileError`, which does not repeat what the file holds."""
    try:
        with path.open(encoding="ascii") as file:
            secret = _secret(file.read(_MAX_FILE).strip())
    except (OSError, ValueError) as error:  # ValueError: no ASCII, or a NUL in the path
        what = reason(error) if isinstance(error, OSError) else "no hexadecimal digits"
        raise prop.error(
            f"cannot read a secret from {path}: {what}, expecting a file or {_DIGITS} digits", 0
        ) from error
    if secret is None:
        raise prop.error(f"no secret in {path}, expecting {_DIGITS} hexadecimal digits", 0)
    return secret
