"""`acl [ZONES...] { allow|block|filter|drop [type QTYPE...] [net SOURCE...] }`: who may ask for what."""

import ipaddress
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from weakref import WeakKeyDictionary

from prometheus_client.core import CounterMetricFamily, Metric

from dnsserver.admin.metrics import Metrics
from dnsserver.corefile import Directive, Property, plugin_zones
from dnsserver.message import Client, Query, Reply
from dnsserver.names import Name, from_text, to_text
from dnsserver.plugins.plugin import Context, Handler, Plugin, Request, Runtime
from dnsserver.records import Rcode
from dnsserver.wire import text_to_type
from dnsserver.zone import find_origin

_USAGE = "allow|block|filter|drop [type QTYPE...] [net SOURCE...]"
_SECTIONS = ("type", "net")
_EVERYTHING = "*"
_VIEW = ""  # the label of a server block without a view, and there are no views here

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Action(Enum):
    """What happens to a query; the value is the Corefile's word."""

    ALLOW = "allow"
    BLOCK = "block"
    FILTER = "filter"
    DROP = "drop"


_REPLIES = {
    Action.BLOCK: Reply(rcode=Rcode.REFUSED, authoritative=False, extended_error=(15, "")),  # RFC 8914, section 4.16
    Action.FILTER: Reply(authoritative=False, extended_error=(17, "")),  # RFC 8914, section 4.18
    Action.DROP: Reply(authoritative=False, silent=True),
}


class Networks:
    """A set of networks; asking takes as long for ten thousand of one length as for one."""

    def __init__(self, networks: Iterable[Network]) -> None:
        tables: dict[int, dict[int, set[int]]] = {4: {}, 6: {}}
        for network in map(_unmapped_network, networks):
            mask = int(network.netmask)
            tables[network.version].setdefault(mask, set()).add(int(network.network_address))
        self._tables = {version: tuple(table.items()) for version, table in tables.items()}

    def __contains__(self, address: Address) -> bool:
        number = int(address)
        return any(number & mask in networks for mask, networks in self._tables[address.version])


def _unmapped_network(network: Network) -> Network:
    """Return the IPv4 network that an IPv4-mapped one stands for (RFC 4291, section 2.5.5.2), others as they are."""
    address = network.network_address
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None and network.prefixlen >= 96:
        return ipaddress.ip_network((address.ipv4_mapped, network.prefixlen - 96))
    return network


@lru_cache(maxsize=4096)
def _client_address(text: str) -> Address | None:
    """Return a client's address, the IPv4 one where it is mapped; None for what is no address."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


@dataclass(frozen=True, slots=True)
class Policy:
    """One line of a block."""

    action: Action
    types: frozenset[int] | None = None  # None: every type
    networks: Networks | None = None  # None: every address

    def matches(self, query: Query, address: Address) -> bool:
        """Say whether this line is about a query."""
        return (self.types is None or query.qtype in self.types) and (self.networks is None or address in self.networks)


@dataclass(frozen=True, slots=True)
class Rule:
    """One `acl`: the first policy that matches decides."""

    zones: tuple[Name, ...]
    policies: tuple[Policy, ...]

    def action(self, query: Query, client: Client) -> Action | None:
        """Return what to do with a query in the zones, None where no policy says; nobody without an address gets in."""
        address = _client_address(client.address)
        if address is None:
            return Action.BLOCK
        return next((policy.action for policy in self.policies if policy.matches(query, address)), None)


class Counts:
    """What became of queries, by server and zone; an allowed one by server alone, for maybe no zone matched."""

    def __init__(self) -> None:
        self.allowed: Counter[str] = Counter()
        self.others: dict[Action, Counter[tuple[str, str]]] = {action: Counter() for action in _REPLIES}

    def families(self) -> Iterator[Metric]:
        """Yield CoreDNS's counters."""
        words = {Action.BLOCK: "blocked", Action.FILTER: "filtered", Action.DROP: "dropped"}
        for action, word in words.items():
            family = CounterMetricFamily(
                f"coredns_acl_{word}_requests",
                f"Counter of DNS requests being {word}.",
                labels=("server", "zone", "view"),
            )
            for (server, zone), count in self.others[action].items():
                family.add_metric((server, zone, _VIEW), count)
            yield family
        allowed = CounterMetricFamily(
            "coredns_acl_allowed_requests", "Counter of DNS requests being allowed.", labels=("server", "view")
        )
        for server, count in self.allowed.items():
            allowed.add_metric((server, _VIEW), count)
        yield allowed


_counts: WeakKeyDictionary[Metrics, Counts] = WeakKeyDictionary()


def _counts_of(metrics: Metrics) -> Counts:
    """Return the counts that the metrics report, of every `acl` of the process; they outlive a reload."""
    counts = _counts.get(metrics)
    if counts is None:
        counts = _counts[metrics] = Counts()
        metrics.register(counts.families)
    return counts


class Acl(Plugin):
    """Asks its rules in the order written; without a decision a query is allowed."""

    name = "acl"

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self.rules = rules
        self._counts = Counts()

    async def handle(self, request: Request, call_next: Handler) -> Reply:
        server = request.client.server
        for rule in self.rules:
            zone = find_origin(rule.zones, request.query.name)
            action = None if zone is None else rule.action(request.query, request.client)
            if action is Action.ALLOW:
                break
            if zone is not None and action is not None:
                self._counts.others[action][server, to_text(zone)] += 1
                return _REPLIES[action]
        self._counts.allowed[server] += 1
        return await call_next(request)

    @asynccontextmanager
    async def running(self, runtime: Runtime) -> AsyncIterator[None]:
        self._counts = _counts_of(runtime.metrics)
        yield


def parse(directives: Sequence[Directive], context: Context) -> tuple[Plugin, ...]:
    """Return one plugin with a rule for each `acl` of the block."""
    return (Acl(tuple(_rule(directive, context) for directive in directives)),)


def _rule(directive: Directive, context: Context) -> Rule:
    zones: list[Name] = list(context.zones) if not directive.args else []
    for index, text in enumerate(directive.args):
        named = plugin_zones((text,), ())
        if not named:  # CoreDNS skips it, and then whoever the rule is against gets in
            raise directive.error(f"'{text}' is not a zone, expecting a name or a network such as 10.0.0.0/8", index)
        zones.extend(from_text(zone) for zone in named)
    return Rule(tuple(zones), tuple(_policy(prop) for prop in directive.properties))


def _policy(prop: Property) -> Policy:
    """Parse one line of a block."""
    if prop.properties:
        raise prop.error(f"'{prop.name}' has no block of its own")
    words = {action.value: action for action in Action}
    action = words.get(prop.name.lower())
    if action is None:
        raise prop.error(f"unexpected token '{prop.name}'; expecting {_USAGE}")
    sections = _sections(prop)
    types = [_type(prop, index) for index in sections.get("type", ())]
    networks = [_network(prop, index) for index in sections.get("net", ())]
    return Policy(
        action,
        None if not types or None in types else frozenset(one for one in types if one is not None),
        None if not networks or None in networks else Networks(one for one in networks if one is not None),
    )


def _sections(prop: Property) -> dict[str, list[int]]:
    """Return the indexes of the arguments of each section."""
    sections: dict[str, list[int]] = {}
    current = ""
    for index, word in enumerate(prop.args):
        if word.lower() in _SECTIONS:
            _refuse_empty(prop, sections, current, index)
            current = word.lower()
        elif not current:
            raise prop.error(f"unexpected token '{word}'; expecting {_USAGE}", index)
        else:
            sections.setdefault(current, []).append(index)
    _refuse_empty(prop, sections, current, len(prop.args))
    return sections


def _refuse_empty(prop: Property, sections: dict[str, list[int]], current: str, end: int) -> None:
    """Raise `CorefileError` where the section that ends before an argument has none itself."""
    if current and end - 1 not in sections.get(current, ()):
        raise prop.error(f"no token specified in '{current}' section, expecting {_USAGE}", end - 1)


def _type(prop: Property, index: int) -> int | None:
    """Return a type, None for all of them."""
    word = prop.args[index]
    if word == _EVERYTHING:
        return None
    try:
        return text_to_type(word)
    except ValueError:
        raise prop.error(f"unexpected token '{word}'; expecting a type such as A, or {_EVERYTHING}", index) from None


def _network(prop: Property, index: int) -> Network | None:
    """Return an address or a network, whose host bits may be set as in Go's `net.ParseCIDR`; None for `*`."""
    word = prop.args[index]
    if word == _EVERYTHING:
        return None
    _, slash, length = word.partition("/")
    try:
        if slash and not (length.isascii() and length.isdigit()):
            raise ValueError("no prefix length")  # noqa: TRY301  # one message for every way to be wrong
        return ipaddress.ip_network(word, strict=False)
    except ValueError as error:
        raise prop.error(
            f"illegal CIDR notation '{word}': {error}, expecting an address, a network such as 10.0.0.0/8, or *", index
        ) from error
