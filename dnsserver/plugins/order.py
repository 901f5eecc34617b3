"""The order of plugins in a chain, and what becomes of each directive that CoreDNS has, or only this server.

A directive is served exactly where this folder has a module of its name; no plugin is imported before it is used.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType

from dnsserver import plugins as _package
from dnsserver.corefile import Corefile, CorefileError, Directive, check_directives
from dnsserver.plugins.plugin import Context, Parse, Plugin
from dnsserver.plugins.without_effect import DIRECTIVES as _WITHOUT_EFFECT
from dnsserver.plugins.without_effect import parse_function

# CoreDNS 1.14.7, core/dnsserver/zdirectives.go; the order in a Corefile means nothing
COREDNS = (
    "root", "metadata", "geoip", "cancel", "proxyproto", "quic", "grpc_server", "https", "https3", "timeouts",
    "multisocket", "reload", "nsid", "bufsize", "bind", "debug", "trace", "ready", "health", "pprof", "shed",
    "prometheus", "errors", "log", "dnstap", "local", "dns64", "any", "chaos", "loadbalance", "tsig", "rewrite",
    "autopath", "acl", "cache", "header", "dnssec", "tls", "minimal", "template", "transfer", "hosts", "route53",
    "azure", "clouddns", "k8s_external", "kubernetes", "file", "auto", "secondary", "etcd", "loop", "forward",
    "grpc", "erratic", "whoami", "on", "sign", "view", "nomad",
)  # fmt: skip  # sixty lines of one word each would hide what is next to what

OWN = ("inspect", "ratelimit", "cookie")  # that CoreDNS does not have

# `inspect` is beside the other listeners for HTTP; `ratelimit` inside what reports on queries, and outside of whatever
# answers them
_PROBES, _REPORTING = COREDNS.index("pprof"), COREDNS.index("local")
ORDER = (*COREDNS[:_PROBES], "inspect", *COREDNS[_PROBES:_REPORTING], "ratelimit", *COREDNS[_REPORTING:], "cookie")

# why a directive is refused: without it some answer, or who gets one, would not be what the Corefile says
_REFUSED = {
    "root": "relative paths start at the Corefile's folder; write absolute paths for files elsewhere",
    "geoip": "there is no source of geographic data here, and no plugin that would use it",
    "proxyproto": "listeners do not understand the PROXY protocol",
    "quic": "there is no listener for DNS over QUIC",
    "grpc_server": "there is no listener for DNS over gRPC",
    "https": "there is no listener for DNS over HTTPS",
    "https3": "there is no listener for DNS over HTTP/3",
    "dnstap": "queries cannot be recorded in dnstap format; use log",
    "dns64": "AAAA records cannot be synthesized from A records",
    "header": "header bits of responses cannot be overridden",
    "dnssec": "answers cannot be signed",
    "route53": "zones come from Kubernetes and zone files, not from Amazon Route 53",
    "azure": "zones come from Kubernetes and zone files, not from Azure DNS",
    "clouddns": "zones come from Kubernetes and zone files, not from Google Cloud DNS",
    "auto": "zone files are not looked for; name each with file",
    "secondary": "zones cannot be transferred from another server; use forward to ask it",
    "etcd": "zones come from Kubernetes and zone files, not from etcd",
    "grpc": "queries cannot be forwarded over gRPC; use forward",
    "erratic": "responses are not dropped, delayed or truncated on purpose",
    "on": "the server runs no other programs",
    "sign": "zone files cannot be signed here; file serves one that is signed",
    "view": "server blocks are chosen by name, address and port only",
    "nomad": "zones come from Kubernetes and zone files, not from Nomad",
}
_ABSENT = "this server does not have it"  # a plugin of a CoreDNS that is newer than the tables here


class Support(Enum):
    """How much of a directive there is; the value is for people."""

    SERVED = "served"
    WITHOUT_EFFECT = "accepted without effect"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class State:
    """What becomes of a directive."""

    support: Support
    reason: str = ""  # why it is not served


def _state(name: str, modules: frozenset[str]) -> State:
    if name in modules:
        return State(Support.SERVED)
    if name in _WITHOUT_EFFECT:
        return State(Support.WITHOUT_EFFECT, _WITHOUT_EFFECT[name].reason)
    return State(Support.REFUSED, _REFUSED.get(name, _ABSENT))


def _states() -> Mapping[str, State]:
    modules = frozenset(module.name for module in iter_modules(_package.__path__))
    return MappingProxyType({name: _state(name, modules) for name in ORDER})


STATES = _states()  # every directive, in chain order


def available() -> Mapping[str, Parse]:
    """Return the `parse` function of each directive that a Corefile may have, in chain order; importing waits."""
    accepted = {name: state.support for name, state in STATES.items() if state.support is not Support.REFUSED}
    return {
        name: _lazy(name) if support is Support.SERVED else parse_function(name) for name, support in accepted.items()
    }


def check(corefile: Corefile) -> None:
    """Raise `CorefileError` at a directive that CoreDNS does not have either, or else at the first that is refused."""
    check_directives(corefile, STATES)
    for directive in (directive for block in corefile.blocks for directive in block.directives):
        state = STATES[directive.name]
        if state.support is Support.REFUSED:
            message = f"plugin '{directive.name}' of CoreDNS is not supported: {state.reason}"
            raise CorefileError(message, directive.file, directive.line)


def _lazy(name: str) -> Parse:
    """Return a function that imports the plugin's module and calls its `parse`."""

    def parse(directives: Sequence[Directive], context: Context) -> tuple[Plugin, ...]:
        module = import_module(f"dnsserver.plugins.{name}")
        plugins: tuple[Plugin, ...] = module.parse(directives, context)
        return plugins

    return parse
