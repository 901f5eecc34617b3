"""A stable fingerprint of a parsed Corefile, for `reload` to see a change; no I/O."""

import hashlib
import json
from collections.abc import Sequence

from dnsserver.corefile.model import Corefile, Directive, Property, ServerBlock

_JSON = str | int | None | list["_JSON"]


def fingerprint(corefile: Corefile) -> str:
    """Return the SHA-512, in hexadecimal, of what the Corefile says.

    Comments, white space, quoting and the file a line came from do not change it; the content of imported files and
    the environment do. Warnings are not part of it.
    """
    content = [_block(block) for block in corefile.blocks]
    # ASCII escapes: a lone surrogate has no UTF-8
    encoded = json.dumps(content, ensure_ascii=True, separators=(",", ":")).encode()
    return hashlib.sha512(encoded).hexdigest()


def _block(block: ServerBlock) -> _JSON:
    keys: list[_JSON] = [[key.scheme, key.zone, key.port] for key in block.keys]
    return [keys, _statements(block.directives)]


def _statements(statements: Sequence[Directive | Property]) -> _JSON:
    """Return statements and the blocks in them; the grammar bounds the recursion (`parser.MAX_NESTING`)."""
    return [[statement.name, list(statement.args), _statements(statement.properties)] for statement in statements]
