"""`loadbalance [round_robin | weighted FILE { reload DURATION }] { prefer CIDR... }`: the order of addresses.

A record moves inside its RRset, and an RRset inside its section: no RRset is torn apart.
"""

import asyncio
import hashlib
import ipaddress
import logging
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from dnsserver.corefile import Directive, Property
from dnsserver.message import Query, Reply
from dnsserver.names import InvalidNameError, Name, from_text
from dnsserver.plugins.options import arguments, duration, format_duration, once, properties
from dnsserver.plugins.plugin import Context, Handler, Plugin, PluginError, Request, Runtime
from dnsserver.records import Rcode, RRset, RRType

_RELOAD = 30.0  # seconds, unless the file says otherwise
_ADDRESSES = (RRType.A, RRType.AAAA)
_MIXED = (*_ADDRESSES, RRType.MX)
_TRANSFERS = (RRType.AXFR, RRType.IXFR)
_WEIGHED = (*_ADDRESSES, RRType.SRV)  # question types
_MAX_WEIGHT = 255

_log = logging.getLogger("plugin/loadbalance")

Section = tuple[RRset, ...]
Weights = Mapping[Name, Mapping[bytes, int]]  # of packed addresses; one that is not there weighs 1


class LoadBalance(Plugin):
    """Reorders every NOERROR reply but transfers; `weighted` decides only which address comes first."""

    name = "loadbalance"

    def __init__(
        self,
        *,
        weights: "WeightFile | None" = None,
        prefer: tuple["Subnet", ...] = (),
        source: random.Random | None = None,
    ) -> None:
        self.weights = weights  # None: round_robin
        self.prefer = prefer
        self._random = source or random.Random()  # noqa: S311  # spreads load; nothing depends on its secrecy

    def lets_pass(self, ttl: int) -> bool:
        """Addresses of a ready answer take turns at being the first; that is all that `round_robin` is for."""
        del ttl
        return self.weights is None and not self.prefer

    async def handle(self, request: Request, call_next: Handler) -> Reply:
        return self.balance(request.query, await call_next(request))

    def balance(self, query: Query, reply: Reply) -> Reply:
        """Return the reply in another order."""
        if reply.rcode != Rcode.NOERROR or query.qtype in _TRANSFERS:
            return reply
        answer, authority, additional = reply.answer, reply.authority, reply.additional
        if self.weights is None:
            answer, authority, additional = (self._shuffled(section) for section in (answer, authority, additional))
        elif query.qtype in _WEIGHED:
            answer, additional = (self._weighted(section, self.weights.weights) for section in (answer, additional))
        if self.prefer:
            answer, additional = (self._preferred(section) for section in (answer, additional))
        return msgspec.structs.replace(reply, answer=answer, authority=authority, additional=additional)

    def _shuffled(self, section: Section) -> Section:
        """Return CNAMEs first, then others, addresses, and MX, the last two in random order."""
        if len(section) < 2:  # most sections
            return tuple(self._mixed(rrset) if rrset.rrtype in _MIXED else rrset for rrset in section)
        groups = _Groups.of(section)
        self._random.shuffle(groups.address)
        self._random.shuffle(groups.mx)
        address = [self._mixed(rrset) for rrset in groups.address]
        mx = [self._mixed(rrset) for rrset in groups.mx]
        return (*groups.cname, *groups.rest, *address, *mx)

    def _mixed(self, rrset: RRset) -> RRset:
        """Return an RRset with its records in random order."""
        if len(rrset.rdatas) < 2:
            return rrset
        return _with_rdatas(rrset, self._random.sample(rrset.rdatas, len(rrset.rdatas)))

    def _weighted(self, section: Section, weights: Weights) -> Section:
        """Return a section whose first address was drawn by weight; it changes places with the first one."""
        groups = _Groups.of(section)
        if not groups.address:
            return section
        places = [(i, j) for i, rrset in enumerate(groups.address) for j in range(len(rrset.rdatas))]
        given = [weights.get(rrset.owner, {}).get(rdata, 1) for rrset in groups.address for rdata in rrset.rdatas]
        ((which, record),) = self._random.choices(places, given)
        address = groups.address
        rdatas = list(address[which].rdatas)
        rdatas[0], rdatas[record] = rdatas[record], rdatas[0]
        address[which] = _with_rdatas(address[which], rdatas)
        address[0], address[which] = address[which], address[0]
        return (*groups.cname, *groups.rest, *address, *groups.mx)

    def _preferred(self, section: Section) -> Section:
        """Return CNAMEs first, then addresses by the first subnet that they are in, MX, and others."""
        groups = _Groups.of(section)
        address = [_with_rdatas(rrset, sorted(rrset.rdatas, key=self._rank)) for rrset in groups.address]
        address.sort(key=lambda rrset: self._rank(rrset.rdatas[0]))
        return (*groups.cname, *address, *groups.mx, *groups.rest)

    def _rank(self, address: bytes) -> int:
        """Return the place of the first subnet that has the address; after all of them where none has."""
        return next((index for index, subnet in enumerate(self.prefer) if subnet.has(address)), len(self.prefer))

    @asynccontextmanager
    async def running(self, runtime: Runtime) -> AsyncIterator[None]:
        """Keep the weights up to date. Raises `PluginError` where the file is bad, or missing and never reloaded."""
        del runtime
        if self.weights is None:
            yield
            return
        await self.weights.start()
        watching = asyncio.create_task(self.weights.watch())
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)


class _Groups(NamedTuple):
    """The RRsets of a section by what is done with them, each group in its former order."""

    cname: list[RRset]
    address: list[RRset]
    mx: list[RRset]
    rest: list[RRset]

    @classmethod
    def of(cls, section: Section) -> "_Groups":
        groups = cls([], [], [], [])
        for rrset in section:
            if rrset.rrtype in _ADDRESSES:
                groups.address.append(rrset)
            elif rrset.rrtype == RRType.CNAME:
                groups.cname.append(rrset)
            elif rrset.rrtype == RRType.MX:
                groups.mx.append(rrset)
            else:
                groups.rest.append(rrset)
        return groups


def _with_rdatas(rrset: RRset, rdatas: Sequence[bytes]) -> RRset:
    return RRset(rrset.owner, rrset.rrtype, rrset.ttl, tuple(rdatas))


class Subnet(NamedTuple):
    """A network as numbers, for packed addresses."""

    octets: int  # of an address: 4 or 16
    network: int
    mask: int

    def has(self, address: bytes) -> bool:
        """Say whether a packed address is in the network."""
        return len(address) == self.octets and int.from_bytes(address) & self.mask == self.network


class WeightFile:
    """The weights of addresses, read again every `reload` seconds (0: never); a bad file leaves the last good ones."""

    def __init__(self, path: Path, reload: float = _RELOAD) -> None:
        self.path = path
        self.reload = reload  # seconds
        self.weights: Weights = {}
        self._digest = b""

    async def start(self) -> None:
        """Read the file; a missing one is waited for. Raises `PluginError`."""
        try:
            await self._update()
        except OSError as error:
            if not self.reload:
                raise PluginError("loadbalance", f"weight file open error: {error}") from error
            again = format_duration(self.reload)
            _log.warning("Failed to open weight file: %s. Will try again in %s", error, again)
        except ValueError as error:
            raise PluginError("loadbalance", str(error)) from error

    async def watch(self) -> None:
        """Read the file again for ever; returns at once where it is never reloaded."""
        while self.reload:
            await asyncio.sleep(self.reload)
            try:
                await self._update()
            except (OSError, ValueError) as error:
                _log.error("%s", error)  # the file is at fault: its reader needs no traceback

    async def _update(self) -> None:
        """Take the file's weights where its content is new; raises `OSError` or `ValueError`."""
        content = await asyncio.to_thread(self.path.read_bytes)
        digest = hashlib.sha256(content).digest()
        if digest == self._digest:
            return
        self._digest = digest  # also of a bad file, which is complained about once
        self.weights = parse_weights(content.decode(), str(self.path))
        _log.info("Successfully reloaded weight file %s", self.path)


def parse_weights(text: str, file: str) -> Weights:
    """Parse a weight file: a line with a domain name, then a line with an address and its weight (1 to 255) each.

    Raises `ValueError` with the file and line.
    """
    weights: dict[Name, dict[bytes, int]] = {}
    current: dict[bytes, int] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        place = f"in weight file {file}:{number}"
        if len(words) == 1:
            current = weights.setdefault(_domain(words[0], place), {})
        elif len(words) > 2:
            raise ValueError(f'could not parse weight line "{line.strip()}" {place}, expecting a name or IP WEIGHT')
        elif current is None:
            raise ValueError(f"missing domain name {place}, expecting one before the first address")
        else:
            current.setdefault(_packed(words[0], place), _weight(words[1], place))
    return weights


def _domain(word: str, place: str) -> Name:
    if _packed_or_none(word) is not None:
        raise ValueError(f'wrong domain name "{word}" {place}, maybe a missing weight value')
    try:
        return from_text(word)
    except InvalidNameError as error:
        raise ValueError(f'wrong domain name "{word}" {place}: {error}') from error


def _packed(word: str, place: str) -> bytes:
    packed = _packed_or_none(word)
    if packed is None:
        raise ValueError(f'wrong IP address "{word}" {place}')
    return packed


def _packed_or_none(word: str) -> bytes | None:
    try:
        return ipaddress.ip_address(word).packed
    except ValueError:
        return None


def _weight(word: str, place: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) <= 3 and 1 <= int(word) <= _MAX_WEIGHT):
        raise ValueError(f'wrong weight value "{word}" {place}, expecting 1 to {_MAX_WEIGHT}')
    return int(word)


def parse(directives: Sequence[Directive], context: Context) -> tuple[Plugin, ...]:
    """Return the block's only `loadbalance`."""
    directive = once(directives)
    policy = directive.args[0] if directive.args else "round_robin"
    if policy == "round_robin":
        arguments(directive, "loadbalance round_robin", 0, 1)
        allowed: tuple[str, ...] = ("prefer",)
    elif policy == "weighted":
        arguments(directive, "loadbalance weighted WEIGHTFILE", 2, 2)
        allowed = ("reload", "prefer")
    else:
        raise directive.error(f"unknown policy: {policy}, expecting round_robin or weighted", 0)
    reload = _RELOAD
    prefer: list[Subnet] = []
    for prop in properties(directive, *allowed):
        if prop.name == "reload":
            arguments(prop, "reload DURATION", 1, 1)
            reload = duration(prop)
        else:
            prefer.extend(_subnets(prop))
    weights = WeightFile(context.folder / directive.args[1], reload) if policy == "weighted" else None
    return (LoadBalance(weights=weights, prefer=tuple(prefer)),)


def _subnets(prop: Property) -> list[Subnet]:
    """Return the networks of one `prefer`; host bits may be set, as in Go's `net.ParseCIDR`."""
    subnets = []
    for index, text in enumerate(arguments(prop, "prefer CIDR...", 1)):
        try:
            if not text.rpartition("/")[2].isdigit() or "/" not in text:
                raise ValueError("no prefix length")  # noqa: TRY301  # one message for every way to be wrong
            network = ipaddress.ip_network(text, strict=False)
        except ValueError as error:
            raise prop.error(f'invalid CIDR "{text}": {error}, expecting one such as 10.0.0.0/8', index) from error
        octets = network.max_prefixlen // 8
        subnets.append(Subnet(octets, int(network.network_address), int(network.netmask)))
    return subnets
