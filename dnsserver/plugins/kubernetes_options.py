"""The options of `kubernetes`: from Corefile to frozen values (CoreDNS plugin/kubernetes setup.go, and our own)."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import get_args
from urllib.parse import urlsplit

from dnsserver.corefile import Directive, Property, plugin_zones
from dnsserver.derive.observation import Timing
from dnsserver.names import Name, from_text, is_at_or_below, to_text
from dnsserver.objects import Kind
from dnsserver.plugins.kubernetes_interfaces import Interfaces, check_interfaces, parse_interfaces, ttl_of
from dnsserver.plugins.options import duration, once
from dnsserver.plugins.plugin import Context
from dnsserver.plugins.selector import check_selector
from dnsserver.sources.kubernetes import ApiConfig
from dnsserver.sources.requests import RequestLimits
from dnsserver.store import StoreConfig
from dnsserver.store.config import Kubevirt, Pods

_API_ONLY = frozenset(  # options that are about an API server, and mean nothing to manifests
    {
        "endpoint",
        "tls",
        "kubeconfig",
        "labels",
        "namespace_labels",
        "apiserver_qps",
        "apiserver_burst",
        "apiserver_max_inflight",
        "events",
    }
)
_USAGE = {  # each option as it should be written
    "endpoint": "endpoint URL",
    "tls": "tls CERT KEY CACERT",
    "kubeconfig": "kubeconfig FILE [CONTEXT]",
    "apiserver_qps": "apiserver_qps NUMBER",
    "apiserver_burst": "apiserver_burst NUMBER",
    "apiserver_max_inflight": "apiserver_max_inflight NUMBER",
    "namespaces": "namespaces NAMESPACE...",
    "labels": "labels EXPRESSION",
    "namespace_labels": "namespace_labels EXPRESSION",
    "pods": f"pods {'|'.join(get_args(Pods))}",
    "endpoint_pod_names": "endpoint_pod_names",
    "ttl": "ttl SECONDS",
    "noendpoints": "noendpoints",
    "ignore": "ignore empty_service",
    "multicluster": "multicluster ZONES...",
    "zonal": "zonal",
    "fallthrough": "fallthrough [ZONES...]",
    "startup_timeout": "startup_timeout DURATION",
    "kubevirt": f"kubevirt {'|'.join(get_args(Kubevirt))}",
    "manifests": "manifests PATH...",
    "migration_grace": "migration_grace DURATION",
    "address_hold": "address_hold DURATION",
    "interfaces": "interfaces ZONE...",
    "events": "events",
}
_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_REVERSE = (from_text("in-addr.arpa"), from_text("ip6.arpa"))


@dataclass(frozen=True, slots=True)
class Config:
    """The plugin's options."""

    zones: tuple[Name, ...]  # forward zones
    reverse_zones: tuple[Name, ...]
    folder: Path = Path()  # where relative paths start
    api: ApiConfig = field(default_factory=ApiConfig)
    manifests: tuple[Path, ...] = ()
    kubevirt: Kubevirt = "auto"
    timing: Timing = field(default_factory=Timing)
    ttl: int = 5  # seconds
    namespaces: frozenset[str] = frozenset()
    labels: str = ""
    namespace_labels: str = ""
    endpoint_pod_names: bool = False
    fall_through: tuple[Name, ...] | None = None  # None: never; the root: for every zone
    startup_timeout: float = 5.0  # seconds to wait for the first sync before anything is answered
    pods: Pods = "disabled"
    noendpoints: bool = False
    ignore_empty: bool = False
    multicluster: tuple[Name, ...] = ()  # zones of ServiceImports
    zonal: bool = False
    interfaces: Interfaces | None = None
    events: bool = False  # Kubernetes Events say why VMIs have no names

    @property
    def origins(self) -> tuple[Name, ...]:
        """Every zone."""
        return (*self.zones, *self.reverse_zones, *self.multicluster, *self.interface_zones)

    @property
    def interface_zones(self) -> tuple[Name, ...]:
        """The zones with names of VMIs that need no Service."""
        return self.interfaces.zones if self.interfaces is not None else ()

    @property
    def longest_ttl(self) -> int:
        """The longest TTL that the zones' own records have, in seconds."""
        own = self.interfaces.ttl if self.interfaces is not None else None
        return max(self.ttl, own or 0)

    def store(self, addresses: tuple[bytes, ...]) -> StoreConfig:
        """Return what the store needs to know."""
        return StoreConfig(
            pods=self.pods,
            endpoints=not self.noendpoints,
            ignore_empty=self.ignore_empty,
            zonal=self.zonal,
            zones=self.zones,
            reverse_zones=self.reverse_zones,
            ttl=self.ttl,
            kubevirt=self.kubevirt,
            timing=self.timing,
            complaints=self.events,
            namespaces=self.namespaces,
            pod_names=self.endpoint_pod_names,
            interfaces=None if self.interfaces is None else self.interfaces.store(self.ttl, self.multicluster),
            addresses=addresses,
        )

    def imported_store(self, addresses: tuple[bytes, ...]) -> StoreConfig | None:
        """Return what the store of the multicluster zones needs to know; None without such zones."""
        if not self.multicluster:
            return None
        return StoreConfig(
            zones=self.multicluster,
            ttl=self.ttl,
            kubevirt="off",
            namespaces=self.namespaces,
            endpoints=not self.noendpoints,
            ignore_empty=self.ignore_empty,
            pod_names=self.endpoint_pod_names,
            imported=True,
            addresses=addresses,
        )

    def selectors(self, kind: Kind) -> tuple[str, str]:
        """Return the label and field selectors that the API server applies to a kind."""
        if kind is Kind.NAMESPACE:
            return self.namespace_labels, ""
        if kind is Kind.POD:
            return self.labels, "status.phase!=Succeeded,status.phase!=Failed,status.phase!=Unknown"
        return (self.labels if kind in (Kind.SERVICE, Kind.ENDPOINT_SLICE) else ""), ""


def parse_config(directives: Sequence[Directive], context: Context) -> Config:
    """Parse the plugin's one directive. Raises `CorefileError`."""
    directive = once(directives)
    config = _zones(directive, context)
    for option in directive.properties:
        known = _OPTIONS.get(option.name)
        if option.name == "interfaces":
            config = _interfaces(config, option, directive, context)
        elif known is None:
            raise option.unknown(" or ".join(_USAGE))
        else:
            config = known(config, option)
    if config.manifests and (foreign := next((one for one in directive.properties if one.name in _API_ONLY), None)):
        raise foreign.error(f"'{foreign.name}' is for objects from an API server, and cannot go with 'manifests'")
    _check_together(directive, config)
    for option in directive.properties:
        if option.name == "interfaces" and config.interfaces is not None:
            check_interfaces(option, config.interfaces, (*config.zones, *config.multicluster))
            if config.kubevirt == "off":
                raise option.error("interfaces are of VMIs, which 'kubevirt off' does not look at")
    return config


def _interfaces(config: Config, option: Property, directive: Directive, context: Context) -> Config:
    """Take the option, which may be there once: all its zones are made in one way.

    Where the plugin names no zones, those of the server block are its own but for these.
    """
    if config.interfaces is not None:
        raise option.error("interfaces can only be used once, with all its zones")
    found = parse_interfaces(option, context.zones)
    zones = config.zones if directive.args else tuple(one for one in config.zones if one not in found.zones)
    if not zones and not config.multicluster:
        raise option.error("interfaces: no zone of Services is left, expecting one as in kubernetes cluster.local")
    return replace(config, zones=zones, interfaces=found)


def _check_together(directive: Directive, config: Config) -> None:
    """Raise `CorefileError` for options that cannot go together."""
    for wrong, message in (
        (bool(config.namespaces and config.namespace_labels), "namespaces and namespace_labels cannot both be set"),
        (config.events and config.kubevirt == "off", "events are about VMIs, and cannot go with kubevirt off"),
        (config.zonal and config.noendpoints, "zonal cannot go with noendpoints"),
        (not config.zones, "at least one zone must be neither reverse nor multicluster"),
        (
            bool(config.multicluster and config.kubevirt == "only"),
            "kubevirt only publishes nothing but VMIs, and cannot go with multicluster",
        ),
    ):
        if wrong:
            raise directive.error(message)


def _zones(directive: Directive, context: Context) -> Config:
    """Return a configuration of the plugin's zones, or the server block's."""
    origins = tuple(from_text(zone) for zone in plugin_zones(directive.args, [to_text(zone) for zone in context.zones]))
    reverse = tuple(zone for zone in origins if any(is_at_or_below(zone, root) for root in _REVERSE))
    forward = tuple(zone for zone in origins if zone not in reverse)
    if not forward:
        raise directive.error("non-reverse zone name must be used")
    return Config(zones=forward, reverse_zones=reverse, folder=context.folder)


def _arguments(option: Property, least: int, most: int | None = None) -> tuple[str, ...]:
    """Return an option's arguments if their number is right."""
    if option.properties:
        raise option.error(f"'{option.name}' takes no block")
    if len(option.args) < least or (most is not None and len(option.args) > most):
        raise option.argument_error(_USAGE[option.name])
    return option.args


def _endpoint(config: Config, option: Property) -> Config:
    (url,) = _arguments(option, 1, 1)
    if not _is_url(url):
        raise option.error(f"endpoint is a URL such as https://10.96.0.1:443, not '{url}'", 0)
    return replace(config, api=replace(config.api, endpoint=url.rstrip("/")))


def _is_url(text: str) -> bool:
    """Say whether a text is an http or https URL with a host, and a port that there can be."""
    try:
        parts = urlsplit(text)
        return text.startswith(("http://", "https://")) and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number or too great, brackets that do not match
        return False


def _tls(config: Config, option: Property) -> Config:
    cert, key, ca = (str(config.folder / argument) for argument in _arguments(option, 3, 3))
    return replace(config, api=replace(config.api, cert_file=cert, key_file=key, ca_file=ca))


def _kubeconfig(config: Config, option: Property) -> Config:
    path, *rest = _arguments(option, 1, 2)
    name = rest[0] if rest else ""
    return replace(config, api=replace(config.api, kubeconfig=str(config.folder / path), context=name))


def _manifests(config: Config, option: Property) -> Config:
    paths = tuple(config.folder / argument for argument in _arguments(option, 1))
    for index, path in enumerate(paths):
        if not path.exists():
            raise option.error(f"manifests: no such file or folder: {path}", index)
    return replace(config, manifests=config.manifests + paths)


def _kubevirt(config: Config, option: Property) -> Config:
    (mode,) = _arguments(option, 1, 1)
    modes: dict[str, Kubevirt] = {one: one for one in get_args(Kubevirt)}
    if mode not in modes:
        raise option.error(f"kubevirt is one of {', '.join(modes)}, not '{mode}'", 0)
    return replace(config, kubevirt=modes[mode])


def _seconds(option: Property) -> float:
    """Return an option's one argument, a duration."""
    _arguments(option, 1, 1)
    return duration(option)


def _migration_grace(config: Config, option: Property) -> Config:
    return replace(config, timing=Timing(_seconds(option), config.timing.address_hold))


def _address_hold(config: Config, option: Property) -> Config:
    return replace(config, timing=Timing(config.timing.migration_grace, _seconds(option)))


def _startup_timeout(config: Config, option: Property) -> Config:
    return replace(config, startup_timeout=_seconds(option))


def _ttl(config: Config, option: Property) -> Config:
    _arguments(option, 1, 1)
    return replace(config, ttl=ttl_of(option))


def _namespaces(config: Config, option: Property) -> Config:
    return replace(config, namespaces=config.namespaces | frozenset(_arguments(option, 1)))


def _selector(option: Property) -> str:
    """Return an option's arguments, a label selector."""
    selector = " ".join(_arguments(option, 1))
    try:
        check_selector(selector)
    except ValueError as error:
        raise option.error(f"{option.name}: {error}", 0) from error
    return selector


def _labels(config: Config, option: Property) -> Config:
    return replace(config, labels=_selector(option))


def _namespace_labels(config: Config, option: Property) -> Config:
    return replace(config, namespace_labels=_selector(option))


def _endpoint_pod_names(config: Config, option: Property) -> Config:
    _arguments(option, 0, 0)
    return replace(config, endpoint_pod_names=True)


def _pods(config: Config, option: Property) -> Config:
    (mode,) = _arguments(option, 1, 1)
    modes: dict[str, Pods] = {one: one for one in get_args(Pods)}
    if mode not in modes:
        raise option.error(f"wrong value for pods: {mode}, expecting one of {', '.join(modes)}", 0)
    return replace(config, pods=modes[mode])


def _noendpoints(config: Config, option: Property) -> Config:
    _arguments(option, 0, 0)
    return replace(config, noendpoints=True)


def _ignore(config: Config, option: Property) -> Config:
    (what,) = _arguments(option, 1, 1)
    if what != "empty_service":
        raise option.error(f"unable to set ignore for {what}, expecting empty_service", 0)
    return replace(config, ignore_empty=True)


def _multicluster(config: Config, option: Property) -> Config:
    zones = tuple(from_text(zone) for zone in plugin_zones(_arguments(option, 1), ()))
    for index, zone in enumerate(zones):
        if zone not in config.zones:
            message = f"multicluster zone {to_text(zone)} must be one of the plugin's own zones"
            raise option.error(message, index if index < len(option.args) else None)
    left = tuple(zone for zone in config.zones if zone not in zones)
    return replace(config, zones=left, multicluster=config.multicluster + zones)


def _zonal(config: Config, option: Property) -> Config:
    _arguments(option, 0, 0)
    return replace(config, zonal=True)


def _events(config: Config, option: Property) -> Config:
    _arguments(option, 0, 0)
    return replace(config, events=True)


def _number(option: Property, usage: str) -> float:
    """Return an option's one argument, a positive number."""
    (text,) = _arguments(option, 1, 1)
    if not _NUMBER.fullmatch(text) or not (number := float(text)):
        raise option.error(f"{option.name} is {usage}, not '{text}'", 0)
    return number


def _count(option: Property) -> int:
    """Return an option's one argument, a positive whole number."""
    number = _number(option, "a positive whole number")
    if number != int(number):
        raise option.error(f"{option.name} is a positive whole number, not '{option.args[0]}'", 0)
    return int(number)


def _limits(config: Config, **changes: float) -> Config:
    """Return the configuration with other limits of requests."""
    limits = config.api.limits
    values = {"qps": limits.qps, "burst": limits.burst, "max_inflight": limits.max_inflight} | changes
    changed = RequestLimits(values["qps"], int(values["burst"]), int(values["max_inflight"]))
    return replace(config, api=replace(config.api, limits=changed))


def _apiserver_qps(config: Config, option: Property) -> Config:
    return _limits(config, qps=_number(option, "a positive number of requests a second"))


def _apiserver_burst(config: Config, option: Property) -> Config:
    return _limits(config, burst=_count(option))


def _apiserver_max_inflight(config: Config, option: Property) -> Config:
    return _limits(config, max_inflight=_count(option))


def _fallthrough(config: Config, option: Property) -> Config:
    zones = plugin_zones(_arguments(option, 0), ["."])
    return replace(config, fall_through=tuple(from_text(zone) for zone in zones))


_OPTIONS: dict[str, Callable[[Config, Property], Config]] = {
    "endpoint": _endpoint,
    "tls": _tls,
    "kubeconfig": _kubeconfig,
    "manifests": _manifests,
    "kubevirt": _kubevirt,
    "migration_grace": _migration_grace,
    "address_hold": _address_hold,
    "startup_timeout": _startup_timeout,
    "ttl": _ttl,
    "namespaces": _namespaces,
    "labels": _labels,
    "namespace_labels": _namespace_labels,
    "endpoint_pod_names": _endpoint_pod_names,
    "pods": _pods,
    "noendpoints": _noendpoints,
    "ignore": _ignore,
    "multicluster": _multicluster,
    "zonal": _zonal,
    "events": _events,
    "apiserver_qps": _apiserver_qps,
    "apiserver_burst": _apiserver_burst,
    "apiserver_max_inflight": _apiserver_max_inflight,
    "fallthrough": _fallthrough,
}
