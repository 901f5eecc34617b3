"""`tsig [ZONES...] { secret NAME KEY; secrets FILE; require [QTYPE...] }`: signed messages (CoreDNS plugin/tsig).

The server checks and makes signatures (`dnsserver.signatures`), with the keys of all blocks that listen at an address;
this link of the chain asks for one where there has to be one.
"""

from dataclasses import dataclass, field

from dnsserver.corefile import CorefileError, Property, plugin_zones
from dnsserver.corefile.files import reason
from dnsserver.message import Reply
from dnsserver.names import Name, from_text, to_text
from dnsserver.plugins.options import arguments, once, properties
from dnsserver.plugins.plugin import Context, Directives, Handler, Plugin, Request
from dnsserver.plugins.signing.keyfile import InvalidKeyError, key_name, key_secret, parse_keys
from dnsserver.records import Rcode, RRType
from dnsserver.signatures import Key, Keys
from dnsserver.wire import text_to_type
from dnsserver.zone import find_origin

_TRANSFERS = frozenset((int(RRType.AXFR), int(RRType.IXFR)))
_UNSIGNED = Reply(rcode=Rcode.REFUSED, authoritative=False, extended_error=(18, ""))  # RFC 8914, section 4.19


@dataclass(slots=True)
class _Options:
    """What one directive says, as it is read."""

    keys: dict[Name, Key] = field(default_factory=dict)
    types: set[int] = field(default_factory=set)
    all_types: bool = False


class Tsig(Plugin):
    """Refuses queries without a signature where one is required; has the keys."""

    name = "tsig"

    def __init__(self, zones: tuple[Name, ...], keys: Keys, types: frozenset[int], *, all_types: bool = False) -> None:
        self.keys = keys
        self._zones = zones
        self._types = types
        self._all_types = all_types

    def lets_pass(self, ttl: int) -> bool:
        """Plain questions pass, unless any of them would have to be signed."""
        del ttl
        return not self._all_types and self._types <= _TRANSFERS

    async def handle(self, request: Request, call_next: Handler) -> Reply:
        """Refuse an unsigned query of a type that has to be signed; pass on all others."""
        query = request.query
        required = self._all_types or query.qtype in self._types
        if required and request.client.key is None and find_origin(self._zones, query.name) is not None:
            return _UNSIGNED
        return await call_next(request)


def parse(directives: Directives, context: Context) -> tuple[Plugin, ...]:
    """Return the block's only `tsig`; a file is read when the Corefile is, and again at each reload."""
    directive = once(directives)
    zones = plugin_zones(directive.args, [to_text(zone) for zone in context.zones])
    options = _Options()
    for prop in properties(directive, "secret", "secrets", "require"):
        {"secret": _secret, "secrets": _secrets, "require": _require}[prop.name](options, prop, context)
    names = tuple(from_text(zone) for zone in zones)
    return (Tsig(names, options.keys, frozenset(options.types), all_types=options.all_types),)


def _secret(options: _Options, prop: Property, context: Context) -> None:
    del context
    if len(prop.args) != 2:  # no words of the line are repeated, as one of them is a secret
        raise prop.error(f"'secret' with {len(prop.args)} arguments, expecting secret NAME KEY")
    try:
        key = Key(key_name(prop.args[0]), key_secret(prop.args[1]))
    except InvalidKeyError as error:
        raise prop.error(str(error)) from None
    _add(options, key, prop.error(f"key {to_text(key.name)} redefined, expecting each key once"))


def _secrets(options: _Options, prop: Property, context: Context) -> None:
    (text,) = arguments(prop, "secrets FILE", 1, 1)
    path = context.folder / text
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or a NUL in the path
        what = reason(error) if isinstance(error, OSError) else "not UTF-8"
        raise prop.error(f"cannot read keys from {path}: {what}, expecting a file of keys", 0) from None
    for key, line in parse_keys(content, str(path)):
        message = f"key {to_text(key.name)} redefined, expecting each key once"
        _add(options, key, CorefileError(message, str(path), line, plugin=prop.plugin))


def _add(options: _Options, key: Key, error: CorefileError) -> None:
    """Add a key; raises the error where there is one of that name."""
    if key.name in options.keys:
        raise error
    options.keys[key.name] = key


def _require(options: _Options, prop: Property, context: Context) -> None:
    del context
    words = arguments(prop, "require QTYPE...|all|none", 1)
    if words[0] in ("all", "none"):
        arguments(prop, f"require {words[0]}", 1, 1)
        options.all_types = options.all_types or words[0] == "all"
        return
    for index, word in enumerate(words):
        try:
            options.types.add(text_to_type(word))
        except ValueError as error:
            raise prop.error(
                f"unknown query type '{word}', expecting types such as AXFR, or all or none", index
            ) from error
