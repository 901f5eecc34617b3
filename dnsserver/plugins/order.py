"""The order of plugins in a chain, and those that exist here; no plugin is imported before it is used."""

from collections.abc import Mapping, Sequence
from importlib import import_module

from dnsserver.corefile import Directive
from dnsserver.plugins.plugin import Context, Parse, Plugin

# CoreDNS 1.14.7, core/dnsserver/zdirectives.go; the order in a Corefile means nothing
ORDER = (
    "root", "metadata", "geoip", "cancel", "proxyproto", "quic", "grpc_server", "https", "https3", "timeouts",
    "multisocket", "reload", "nsid", "bufsize", "bind", "debug", "trace", "ready", "health", "pprof", "shed",
    "prometheus", "errors", "log", "dnstap", "local", "dns64", "any", "chaos", "loadbalance", "tsig", "rewrite",
    "autopath", "acl", "cache", "header", "dnssec", "tls", "minimal", "template", "transfer", "hosts", "route53",
    "azure", "clouddns", "k8s_external", "kubernetes", "file", "auto", "secondary", "etcd", "loop", "forward",
    "grpc", "erratic", "whoami", "on", "sign", "view", "nomad",
)  # fmt: skip  # sixty lines of one word each would hide what is next to what

# a module of this package each, named after the directive
_HERE = frozenset(
    """
    acl any autopath bind bufsize cache chaos debug errors forward health hosts k8s_external kubernetes loadbalance
    local log loop minimal nsid prometheus ready reload rewrite template timeouts tls transfer whoami
    """.split()  # noqa: SIM905 -- a list of words reads better than a list of literals
)


def available() -> Mapping[str, Parse]:
    """Return the `parse` function of each directive that exists here, in chain order; importing waits for the call."""
    return {name: _lazy(name) for name in sorted(_HERE, key=ORDER.index)}


def _lazy(name: str) -> Parse:
    """Return a function that imports the plugin's module and calls its `parse`."""

    def parse(directives: Sequence[Directive], context: Context) -> tuple[Plugin, ...]:
        module = import_module(f"dnsserver.plugins.{name}")
        plugins: tuple[Plugin, ...] = module.parse(directives, context)
        return plugins

    return parse
