"""The Corefile: CoreDNS's configuration language, to frozen values; it knows no plugin.

Imports point down: `parse` here, `parser` (the grammar), `imports` (the token stream), `tokens`, `files` (the only
I/O), `model` (the values), `zones`.
"""

import os
from collections.abc import Mapping

from dnsserver.corefile.checks import check_directives, check_duplicates
from dnsserver.corefile.files import Glob, Read, decode, glob_files, read_file, reason
from dnsserver.corefile.fingerprint import fingerprint
from dnsserver.corefile.imports import TokenStream
from dnsserver.corefile.model import Corefile, CorefileError, Directive, Key, Position, Property, ServerBlock
from dnsserver.corefile.parser import parse_blocks
from dnsserver.corefile.tokens import tokenize
from dnsserver.corefile.zones import DEFAULT_PORTS, InvalidZoneError, default_port, plugin_zones, zones_from_text

__all__ = [
    "parse",
    "load",
    "Corefile",
    "ServerBlock",
    "Key",
    "Directive",
    "Property",
    "Position",
    "CorefileError",
    "check_directives",
    "check_duplicates",
    "fingerprint",
    "plugin_zones",
    "zones_from_text",
    "InvalidZoneError",
    "DEFAULT_PORTS",
    "default_port",
    "Read",
    "Glob",
    "read_file",
    "glob_files",
]


def parse(
    text: str,
    *,
    file: str = "Corefile",
    read: Read = read_file,
    glob: Glob = glob_files,
    environment: Mapping[str, str] = os.environ,
) -> Corefile:
    """Parse a Corefile's text; `file` is its name in errors and where relative imports start.

    Raises `CorefileError` and nothing else, whatever the text. An empty text has no blocks: the default Corefile is
    the caller's.
    """
    # a lone surrogate is no character: say so here, before it meets a system call or an environment's encoding
    text = decode(text.encode("utf-8", "surrogatepass"), file)
    tokens = tuple(tokenize(text, file))
    return parse_blocks(TokenStream(tokens, file, read=read, glob=glob, environment=environment))


def load(
    path: str | os.PathLike[str],
    *,
    read: Read = read_file,
    glob: Glob = glob_files,
    environment: Mapping[str, str] = os.environ,
) -> Corefile:
    """Read and parse a Corefile; raises `CorefileError` also where it cannot be read or is not UTF-8."""
    file = os.fspath(path)
    try:
        data = read(file)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise CorefileError(f"cannot be read: {reason(error)}", file) from error
    return parse(decode(data, file), file=file, read=read, glob=glob, environment=environment)
