"""The options of `k8s_external`: from Corefile to a frozen value (CoreDNS plugin/k8s_external, setup.go); no I/O."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from dnsserver.corefile import Directive, Property, plugin_zones
from dnsserver.names import Name, from_labels, from_text, is_at_or_below, is_dns1123_label, to_text
from dnsserver.plugins.options import arguments, once, properties
from dnsserver.plugins.plugin import Context

MAX_TTL = 3600  # seconds
_REVERSE = (from_text("in-addr.arpa"), from_text("ip6.arpa"))


@dataclass(frozen=True, slots=True)
class Config:
    """The plugin's options."""

    zones: tuple[Name, ...]
    apex: bytes = b"dns"  # the label above `ns1`
    ttl: int = 5  # seconds
    headless: bool = False  # publish endpoints too
    fall_through: tuple[Name, ...] | None = None  # None: never; the root: for every zone

    @property
    def primary(self) -> Name:
        """The zone that PTR records lead to: the first one that is not a reverse zone."""
        return next(zone for zone in self.zones if not is_reverse(zone))

    def name_server(self, origin: Name) -> Name:
        """Return the name of this server in a zone."""
        return from_labels((b"ns1", self.apex), origin)


def is_reverse(origin: Name) -> bool:
    """Say whether a zone is for PTR records."""
    return any(is_at_or_below(origin, root) for root in _REVERSE)


def parse_config(directives: Sequence[Directive], context: Context) -> Config:
    """Parse the block's only `k8s_external`. Raises `CorefileError`."""
    directive = once(directives)
    zones = tuple(map(from_text, plugin_zones(directive.args, [to_text(zone) for zone in context.zones])))
    if all(map(is_reverse, zones)):
        raise directive.error("non-reverse zone name must be used: PTR records lead to it")
    config = Config(zones)
    for option in properties(directive, *_OPTIONS):
        config = _OPTIONS[option.name](config, option)
    return config


def _apex(config: Config, option: Property) -> Config:
    (text,) = arguments(option, "apex LABEL", 1, 1)
    if not is_dns1123_label(text.lower()):
        raise option.error(f"apex is one label such as dns, not '{text}'", 0)
    return replace(config, apex=text.lower().encode())


def _ttl(config: Config, option: Property) -> Config:
    (text,) = arguments(option, "ttl SECONDS", 1, 1)
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and int(text) <= MAX_TTL):
        raise option.error(f"ttl must be in range [0, {MAX_TTL}]: {text}", 0)
    return replace(config, ttl=int(text))


def _headless(config: Config, option: Property) -> Config:
    arguments(option, "headless", 0, 0)
    return replace(config, headless=True)


def _fallthrough(config: Config, option: Property) -> Config:
    zones = plugin_zones(option.args, ["."])
    return replace(config, fall_through=tuple(map(from_text, zones)))


_OPTIONS: dict[str, Callable[[Config, Property], Config]] = {
    "apex": _apex,
    "ttl": _ttl,
    "headless": _headless,
    "fallthrough": _fallthrough,
}
