"""`dnsserver explain`: why a name resolves, or does not; from manifests, a server, or one behind the API server."""

import argparse
import asyncio
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit

import aiohttp
import msgspec
import yaml

from dnsserver.dumping import DumpError, reading
from dnsserver.explain import (
    Explanation,
    InvalidQuestionError,
    Served,
    VMIExplanation,
    at_once,
    explaining,
    explaining_vmi,
    parse_question,
)
from dnsserver.explain.text import Style, explanation_lines
from dnsserver.names import is_dns1123_label
from dnsserver.plugins.inspect import around, others
from dnsserver.plugins.kubernetes import Kubernetes
from dnsserver.setup import Setup
from dnsserver.sources.api import SourceError, UnreachableError
from dnsserver.sources.config import ApiConfig
from dnsserver.sources.kubernetes import connect

SERVER = "http://localhost:9154"
SERVICE = "kube-system/dnsserver"
PORT = "9154"

EPILOG = """NAME may be short: vm1.sub.ns is completed with the zone. An address is asked for its names, and
vmi/NAME -n NS (or vmi/NAME/NS) explains every name that this VMI has, or should have. TYPE is A
unless the name says otherwise.

  dnsserver explain vm1.mysubdomain.default                            ask the server on this machine
  dnsserver explain vmi/vm1 -n default --manifests objects/            without any server
  kubectl dnsserver explain vm1.mysubdomain.default                    ask the one in the cluster

A server answers where its Corefile has `inspect`. The exit code is 0 where the name resolves, 1 where it does not, and
2 where nobody can tell.
"""

_PATH = "/api/explain"
_TIMEOUT = 15.0  # seconds
_LIMIT = 8 << 20  # octets of an answer
_KINDS = ("vmi", "vm")
_DEFAULT_NAMESPACE = "default"

_Either = Explanation | VMIExplanation


class ExplainError(Exception):
    """What kept a name from being explained; the text is for the user."""


# -- what was asked ----------------------------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's own flags."""
    parser.add_argument("name", metavar="NAME", help="a name, an address, or vmi/NAME")
    parser.add_argument("type", metavar="TYPE", nargs="?", default="", help="A, AAAA, SRV, PTR, ... (A)")
    parser.add_argument("--manifests", nargs="+", metavar="PATH", help="read objects from files or folders; after NAME")
    parser.add_argument("--zone", metavar="ZONE", help="the zone of --manifests (cluster.local)")
    parser.add_argument("-conf", "--conf", metavar="FILE", help="read what this Corefile says, without a server")
    parser.add_argument("--server", metavar="URL", help=f"ask this server ({SERVER})")
    parser.add_argument("-n", "--namespace", metavar="NS", default="", help="the namespace of vmi/NAME")
    parser.add_argument("--service", metavar="[NS/]NAME", help=f"ask this Service through the API server ({SERVICE})")
    parser.add_argument("--port", metavar="PORT", help=f"its port, a number or a name ({PORT})")
    parser.add_argument("--kubeconfig", metavar="FILE", help="how to reach the API server (as kubectl does)")
    parser.add_argument("--context", metavar="NAME", default="", help="a context of it (the current one)")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="how to print it (text)")
    parser.add_argument("--color", choices=("auto", "always", "never"), default="auto", help="in colour (auto)")


def check(arguments: argparse.Namespace) -> str:
    """Return what is wrong with the flags; empty for nothing."""
    local = arguments.manifests is not None or arguments.conf is not None
    through = names_a_cluster(arguments)
    if local and arguments.server:
        return "--server does not go with --manifests or -conf: one reads objects, the other asks a server"
    if through and (local or arguments.server):
        return f"--{through[0]} is for asking through the API server, and goes with neither --server nor --manifests"
    if arguments.service and not all(map(is_dns1123_label, arguments.service.split("/", 1))):
        return f"--service is a Service's NAME or NAMESPACE/NAME, not {arguments.service}"
    if arguments.port and not is_dns1123_label(arguments.port):
        return f"--port is a port's number or name, not {arguments.port}"
    return _wrong_name(arguments)


def _wrong_name(arguments: argparse.Namespace) -> str:
    """Return what is wrong with NAME, or with what goes with it; empty for nothing."""
    if not arguments.name:
        return "NAME is empty"
    kind, slash, rest = arguments.name.partition("/")
    if _vmi(arguments) is None:
        if slash and kind.isalpha():  # other slashes are those of names such as 0/25.2.0.192.in-addr.arpa
            return f"an object is written vmi/NAME or vmi/NAME/NAMESPACE, not {arguments.name}"
        return "-n goes with vmi/NAME alone: other names have their namespace in them" if arguments.namespace else ""
    name, said, namespace = rest.partition("/")
    if not name or "/" in namespace or bool(said) != bool(namespace):
        return f"an object is written vmi/NAME or vmi/NAME/NAMESPACE, not {arguments.name}"
    if namespace and arguments.namespace not in ("", namespace):
        return f"{arguments.name} and -n {arguments.namespace} are two namespaces"
    return "vmi/NAME takes no type" if arguments.type else ""


def names_a_cluster(arguments: argparse.Namespace) -> list[str]:
    """Return the flags that say which cluster, or what in it, is to be asked."""
    return [one for one in ("service", "port", "kubeconfig", "context") if getattr(arguments, one)]


def _vmi(arguments: argparse.Namespace) -> tuple[str, str] | None:
    """Return the (namespace, name) of `vmi/NAME[/NAMESPACE]`, the namespace "" where it is not said."""
    kind, _, rest = arguments.name.partition("/")
    if kind not in _KINDS or not rest:
        return None
    name, _, namespace = rest.partition("/")
    return namespace or arguments.namespace, name


# -- who answers -------------------------------------------------------------------------------------------------------


async def from_setup(setup: Setup, arguments: argparse.Namespace, seconds: float = 60.0) -> _Either:
    """Explain what a Corefile, or manifests, would answer. Raises `ExplainError`."""
    deadline = asyncio.get_running_loop().time() + seconds
    plugins = list(dict.fromkeys(one for one in setup.plugins if isinstance(one, Kubernetes)))
    try:
        async with AsyncExitStack() as stack:
            served = [_served(setup, one, await stack.enter_async_context(reading(one, deadline))) for one in plugins]
            return _explain(served, arguments, others(setup.plugins))
    except (DumpError, InvalidQuestionError) as error:
        raise ExplainError(str(error)) from error


def _served(setup: Setup, plugin: Kubernetes, own: Kubernetes) -> Served:
    """Return what a plugin that was read by itself serves where it stands."""
    block = next((block.plugins for block in setup.blocks if plugin in block.plugins), ())
    cluster = own.cluster
    stores = cluster.stores if cluster is not None else ()
    synced = cluster is not None and cluster.synced
    return Served(stores, synced, plugin.config.fall_through or (), *around(plugin, block))


def _explain(served: Sequence[Served], arguments: argparse.Namespace, after: Sequence[str]) -> _Either:
    """Explain a name or a VMI. Raises `InvalidQuestionError`."""
    now = time.monotonic()
    if (vmi := _vmi(arguments)) is not None:
        return at_once(explaining_vmi(served, vmi[0] or _DEFAULT_NAMESPACE, vmi[1], now))
    origins = [origin for one in served for origin in one.origins]
    return at_once(explaining(served, parse_question(arguments.name, arguments.type, origins), now, after))


async def from_server(arguments: argparse.Namespace) -> _Either:
    """Ask a server. Raises `ExplainError`."""
    url = (arguments.server or SERVER).rstrip("/")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ExplainError(f"--server is a URL such as {SERVER}, not {url}")
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(url + _PATH, params=_parameters(arguments), allow_redirects=False) as response,
        ):
            body = await response.content.read(_LIMIT)
            while not response.content.at_eof() and len(body) < _LIMIT:
                body += await response.content.read(_LIMIT)
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "no answer in time"
        raise ExplainError(
            f"{url} cannot be asked: {reason} (a server answers where its Corefile has `inspect`)"
        ) from None
    return _read(response.status, body, url)


async def through_api_server(arguments: argparse.Namespace) -> _Either:
    """Ask a Service of the cluster through the API server's proxy. Raises `ExplainError`."""
    namespace, _, name = (arguments.service or SERVICE).rpartition("/")
    service = f"{namespace or SERVICE.partition('/')[0]}/services/{name}:{arguments.port or PORT}"
    config = ApiConfig(kubeconfig=arguments.kubeconfig or _kubeconfig(os.environ), context=arguments.context)
    if _vmi(arguments) is not None and not arguments.namespace:
        arguments.namespace = _context_namespace(config)
    try:
        async with (
            connect(config) as connection,
            connection.request(
                f"/api/v1/namespaces/{service}/proxy{_PATH}", _parameters(arguments), read_timeout=_TIMEOUT
            ) as response,
        ):
            body = await response.read()
    except (SourceError, UnreachableError) as error:
        raise ExplainError(str(error)) from None
    return _read(response.status, body, f"Service {service.replace('/services/', '/')}")


def _parameters(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the request's parameters."""
    if (vmi := _vmi(arguments)) is not None:
        return {"vmi": vmi[1], "namespace": vmi[0] or _DEFAULT_NAMESPACE}
    return {"name": arguments.name} | ({"type": arguments.type} if arguments.type else {})


def _kubeconfig(environ: Mapping[str, str]) -> str:
    """Return the kubeconfig that kubectl would take, the first that is there; "" for a pod's own account."""
    paths = [one for one in environ.get("KUBECONFIG", "").split(os.pathsep) if one]
    paths = paths or [str(Path(environ.get("HOME", "~")) / ".kube" / "config")]
    there = next((one for one in paths if Path(one).is_file()), "")
    return there or ("" if "KUBERNETES_SERVICE_HOST" in environ else paths[0])


def _context_namespace(config: ApiConfig) -> str:
    """Return the namespace of a kubeconfig's context, "" where it says none or cannot be read: `connect` tells why."""
    try:
        document = yaml.safe_load(Path(config.kubeconfig).read_bytes()) if config.kubeconfig else {}
        name = config.context or document.get("current-context")
        contexts: Iterator[dict[str, object]] = (
            one["context"] for one in document.get("contexts") or () if one.get("name") == name
        )
        return str(next(contexts, {}).get("namespace") or "")
    except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError):
        return ""


class _Error(msgspec.Struct):
    """What a server says where it has no explanation: ours, or the API server."""

    error: str = ""
    message: str = ""


def _read(status: int, body: bytes, place: str) -> _Either:
    """Return what a server has answered. Raises `ExplainError`."""
    if status != 200:
        try:
            said = msgspec.json.decode(body, type=_Error)
            reason = said.error or said.message
        except msgspec.MsgspecError:
            reason = ""
        hint = " (a server answers where its Corefile has `inspect`)" if status in (404, 503) else ""
        raise ExplainError(f"{place} answers {status}{f': {reason}' if reason else ''}{hint}")
    try:
        if "names" in msgspec.json.decode(body, type=dict[str, msgspec.Raw]):
            return msgspec.json.decode(body, type=VMIExplanation)
        return msgspec.json.decode(body, type=Explanation)
    except msgspec.MsgspecError as error:
        raise ExplainError(f"{place} answers what is no explanation ({error})") from error


# -- how it is printed -------------------------------------------------------------------------------------------------


def write(explanation: _Either, stream: TextIO, *, output: str, color: str) -> None:
    """Print an explanation. Raises `OSError`."""
    if output == "json":
        stream.write(msgspec.json.format(msgspec.json.encode(explanation), indent=2).decode() + "\n")
    else:
        stream.writelines(f"{line}\n" for line in explanation_lines(explanation, style_of(stream, color)))
    stream.flush()


def style_of(stream: TextIO, color: str, environ: Mapping[str, str] | None = None) -> Style:
    """Return how to write to a stream: in colour on a terminal, unless NO_COLOR is set (no-color.org)."""
    environ = os.environ if environ is None else environ
    wanted = color == "always" or (
        color == "auto" and stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
    )
    try:
        "✓✗".encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return Style(colour=wanted, unicode=False)
    return Style(colour=wanted)
