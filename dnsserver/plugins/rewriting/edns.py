"""`rewrite edns0 local|nsid|subnet set|append|replace|unset ... [revert]`: options of the query; no I/O."""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from dnsserver.message import Client, Edns, Query, Reply, Transport
from dnsserver.names import to_text
from dnsserver.plugins.plugin import Request
from dnsserver.plugins.rewriting.rule import Ask, Change, Reversal, Rule, Words

_NSID = 3  # RFC 5001
_SUBNET = 8  # RFC 7871
_NEW_SIZE = 4096  # octets: what CoreDNS puts into the OPT of a query that had none
_MAX_DATA = 4096  # octets of an option that a Corefile gives
_ACTIONS = ("set", "append", "replace", "unset")
_REVERT = "revert"
_USAGE = {
    "local": "edns0 local set|append|replace CODE DATA [revert] or edns0 local unset CODE [revert]",
    "nsid": "edns0 nsid set|append|replace|unset [revert]",
    "subnet": "edns0 subnet set|append|replace IPV4-BITS IPV6-BITS [revert] or edns0 subnet unset [revert]",
}

Data = Callable[[Request], bytes | None]  # what to put into the option; None: the rule does not match


@dataclass(frozen=True, slots=True)
class _Restore:
    """Takes back in the reply what a rule did to an option of the query; `original` is None for one it added."""

    code: int
    original: bytes | None

    async def apply(self, reply: Reply, request: Request, ask: Ask) -> Reply:
        del request, ask
        kept = tuple(
            (code, data if code != self.code or self.original is None else self.original)
            for code, data in reply.options
            if code != self.code or self.original is not None
        )
        return msgspec.structs.replace(reply, options=kept)


def parse_edns_rule(words: Words) -> Rule:
    """Return the rule for the words behind `edns0`; raises `CorefileError`."""
    kind = words[0].lower() if words else ""
    if kind not in _USAGE:
        raise words.error(f"invalid EDNS0 rule type '{kind}', expecting {', '.join(_USAGE)}", 0)
    action = words[1].lower() if len(words) > 1 else ""
    if action not in _ACTIONS:
        raise words.error(f"invalid action '{action}', expecting {_USAGE[kind]}", min(1, len(words) - 1))
    count = len(words) - 2
    revert = count > 0 and words[-1].lower() == _REVERT and count != _arity(kind, action)
    if count - revert != _arity(kind, action):
        raise words.error(f"{count} arguments for an EDNS0 {kind} rule, expecting {_USAGE[kind]}", -1)
    code = {"nsid": _NSID, "subnet": _SUBNET}.get(kind) or _number(words, 2, 0xFFFF)
    if action == "unset":
        return _unset_rule(code, revert=revert)
    return _rule(action, code, _parse_data(words, kind), revert=revert)


def _arity(kind: str, action: str) -> int:
    """Return how many arguments follow the action."""
    if action == "unset":
        return int(kind == "local")
    return 0 if kind == "nsid" else 2


def _parse_data(words: Words, kind: str) -> Data:
    if kind == "nsid":
        return _constant(b"")
    if kind == "subnet":
        return _subnet(_number(words, 2, 32), _number(words, 3, 128))
    text = words[3]
    if text.startswith("{") and text.endswith("}"):
        return _variable(words, 3)
    return _constant(_literal(words, 3))


def _constant(data: bytes) -> Data:
    def constant(request: Request) -> bytes:
        del request
        return data

    return constant


def _number(words: Words, index: int, maximum: int) -> int:
    """Return a number as Go writes one: decimal, or with a prefix such as 0x."""
    text = words[index].lower()
    if text[:1] == "0" and text[1:].isdigit():
        text = f"0o{text[1:]}"
    try:
        number = int(text, 0) if text[:1].isdigit() and len(text) <= 40 else -1
    except ValueError:
        number = -1
    if not 0 <= number <= maximum:
        raise words.error(f"'{words[index][:100]}' is not a number from 0 to {maximum}", index)
    return number


def _literal(words: Words, index: int) -> bytes:
    text = words[index]
    try:
        data = bytes.fromhex(text[2:]) if text.startswith("0x") and " " not in text else text.encode()
    except ValueError as error:
        raise words.error(f"'{text[:100]}' is neither text nor 0x and pairs of hexadecimal digits", index) from error
    if len(data) > _MAX_DATA:
        raise words.error(f"{len(data)} octets of data, expecting at most {_MAX_DATA}", index)
    return data


def _variable(words: Words, index: int) -> Data:
    name = words[index]
    if name in _VARIABLES:
        return _VARIABLES[name]
    if "/" in name:
        raise words.error(f"{name} is metadata, and there is no metadata here", index)
    raise words.error(f"unsupported variable name '{name}', expecting one of {', '.join(_VARIABLES)}", index)


def _rule(action: str, code: int, data: Data, *, revert: bool) -> Rule:
    def rule(request: Request) -> Change | None:
        value = data(request)
        query = request.query
        edns = query.edns or Edns(_NEW_SIZE)
        place = next((index for index, option in enumerate(edns.options) if option[0] == code), None)
        if value is None or (action == "append" and place is not None) or (action == "replace" and place is None):
            return None
        options = list(edns.options)
        if place is None:
            original = None
            options.append((code, value))
        else:
            original = options[place][1]
            options[place] = (code, value)
        return Change(_with_options(query, edns, options), _reversals(code, original, revert=revert))

    return rule


def _unset_rule(code: int, *, revert: bool) -> Rule:
    def rule(request: Request) -> Change | None:
        query = request.query
        edns = query.edns
        if edns is None or all(option[0] != code for option in edns.options):
            return None
        original = next(data for one, data in edns.options if one == code)
        options = [option for option in edns.options if option[0] != code]
        return Change(_with_options(query, edns, options), _reversals(code, original, revert=revert))

    return rule


def _with_options(query: Query, edns: Edns, options: list[tuple[int, bytes]]) -> Query:
    return msgspec.structs.replace(query, edns=msgspec.structs.replace(edns, options=tuple(options)))


def _reversals(code: int, original: bytes | None, *, revert: bool) -> tuple[Reversal, ...]:
    return (_Restore(code, original),) if revert else ()


def _packed(address: str) -> bytes | None:
    """Return an address in 4 or 16 octets; an IPv4 address inside an IPv6 one is what it stands for."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).packed


def _subnet(ipv4_bits: int, ipv6_bits: int) -> Data:
    """Return the function for the client's network (RFC 7871, section 6)."""

    def data(request: Request) -> bytes | None:
        address = _packed(request.client.address)
        if address is None:
            return None
        family, bits = (1, ipv4_bits) if len(address) == 4 else (2, ipv6_bits)
        size = 8 * len(address)
        network = int.from_bytes(address, "big") >> (size - bits) << (size - bits)
        octets = network.to_bytes(len(address), "big")[: (bits + 7) // 8]
        return bytes((0, family, bits, 0)) + octets

    return data


def _server(client: Client) -> tuple[str, int]:
    """Return host and port of a label such as `dns://10.0.0.1:53`; the host of a listener on every address is empty."""
    host, _, port = client.server.rpartition("://")[2].rpartition(":")
    return host.strip("[]"), int(port) if port.isdigit() else 0


def _server_ip(request: Request) -> bytes | None:
    """Return the address that was asked in the client's family; None where the listener has every address."""
    address, client = _packed(_server(request.client)[0]), _packed(request.client.address)
    if address is None or client is None or len(address) == len(client):
        return address
    return None if len(client) == 4 else bytes(10) + b"\xff\xff" + address


def _port(port: int) -> bytes:
    return (port & 0xFFFF).to_bytes(2, "big")


_VARIABLES: dict[str, Data] = {
    "{qname}": lambda request: to_text(request.query.qname).encode(),
    "{qtype}": lambda request: request.query.qtype.to_bytes(2, "big"),
    "{client_ip}": lambda request: _packed(request.client.address),
    "{client_port}": lambda request: _port(request.client.port),
    "{protocol}": lambda request: b"udp" if request.client.transport is Transport.UDP else b"tcp",
    "{server_ip}": _server_ip,
    "{server_port}": lambda request: _port(_server(request.client)[1]),
}
