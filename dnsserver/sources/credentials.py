"""Where the API server is and who we are: from the Corefile's words to a ready client.

Everything here blocks (files, exec plugins, TLS material) and is meant for a worker thread. What goes wrong is told as
a `SourceError` of our own words: the library's messages may quote a kubeconfig whole, tokens included.

The library takes 20 MiB, so nothing imports this module before an API server is to be reached.
"""

import asyncio
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import yaml
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.client.rest import RESTClientObject
from kubernetes.aio.config import load_kube_config
from kubernetes.aio.config.incluster_config import InClusterConfigLoader

from dnsserver import __version__
from dnsserver.sources.api import SourceError
from dnsserver.sources.config import ApiConfig, clean_token, set_token

_EXEC_DEADLINE = 60.0  # seconds an exec plugin may take
_KEEPALIVE = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))  # a dead peer is noticed in a minute


@dataclass(frozen=True, slots=True)
class Credentials:
    """A ready client, and the file that its token comes from (None: the token never changes by itself)."""

    client: ApiClient
    token_file: Path | None


def load_credentials(config: ApiConfig) -> Credentials:
    """Build a client. Blocks; raises `SourceError`."""
    if config.kubeconfig:
        configuration, token_file = _from_kubeconfig(config)
    elif config.endpoint:
        configuration, token_file = _from_endpoint(config)
    else:
        configuration, token_file = _from_cluster(config)
    if not _is_url(configuration.host):
        raise SourceError(f"{config}: '{configuration.host}' is not the URL of an API server")
    if token_file is not None:
        set_token(configuration, read_token(token_file))
    return Credentials(_client(configuration), token_file)


def _is_url(text: str) -> bool:
    """Say whether a server can be reached by this text."""
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def read_token(path: Path) -> str:
    """Read a token file. Blocks; raises `SourceError`."""
    try:
        token = clean_token(path.read_bytes())
    except OSError as error:
        raise SourceError(f"token file {path}: {error.strerror}") from None
    if token is None:
        raise SourceError(f"token file {path}: is empty or not a token")
    return token


def _from_cluster(config: ApiConfig) -> tuple[Configuration, Path | None]:
    """Read what every pod is given."""
    token_file, ca_file = config.service_account / "token", config.service_account / "ca.crt"
    host = config.environ.get("KUBERNETES_SERVICE_HOST")
    if not host or not config.environ.get("KUBERNETES_SERVICE_PORT"):
        raise SourceError(
            "not inside a Kubernetes cluster (KUBERNETES_SERVICE_HOST is not set): give a kubeconfig or an endpoint"
        )
    read_token(token_file)
    _check_file("certificate authority", ca_file)
    configuration = Configuration()
    # Its own refresh blocks the event loop and goes by the wall clock: ours replaces it.
    loader = InClusterConfigLoader(str(token_file), str(ca_file), try_refresh_token=False, environ=config.environ)
    try:
        loader.load_and_set(configuration)
    except Exception as error:  # the library's error may hold anything
        raise SourceError(f"the pod's service account cannot be used ({type(error).__name__})") from None
    return configuration, token_file


def _from_endpoint(config: ApiConfig) -> tuple[Configuration, Path | None]:
    """Take the address from the configuration itself."""
    if not config.endpoint.startswith(("http://", "https://")):
        raise SourceError(f"endpoint {config.endpoint}: is not an http or https URL")
    configuration = Configuration(host=config.endpoint.rstrip("/"), ssl_ca_cert=config.ca_file or None)
    configuration.cert_file = config.cert_file or None
    configuration.key_file = config.key_file or None
    return configuration, Path(config.token_file) if config.token_file else None


def _from_kubeconfig(config: ApiConfig) -> tuple[Configuration, Path | None]:
    """Let the library read a kubeconfig, exec plugins included, after looking for the usual mistakes ourselves."""
    user = _kubeconfig_user(config)
    configuration = Configuration()
    try:
        # An event loop of its own: an exec plugin is a child process that is waited for, and this is a worker thread.
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            runner.run(asyncio.wait_for(_load_kube_config(config, configuration), _EXEC_DEADLINE))
    except TimeoutError:
        raise SourceError(f"{config}: its exec plugin gave no answer in {_EXEC_DEADLINE:.0f} s") from None
    except Exception as error:  # the library's errors may quote the file, secrets included
        raise SourceError(f"{config}: cannot be used ({type(error).__name__})") from None
    if "exec" in user and not configuration.api_key and not configuration.cert_file:
        raise SourceError(f"{config}: its exec plugin gave no credentials")
    token_file = user.get("tokenFile")
    return configuration, Path(config.kubeconfig).parent / token_file if isinstance(token_file, str) else None


async def _load_kube_config(config: ApiConfig, configuration: Configuration) -> None:
    """Call the library; never write to the file."""
    await load_kube_config(config.kubeconfig, config.context or None, configuration, persist_config=False)


def _kubeconfig_user(config: ApiConfig) -> dict[str, Any]:
    """Return the kubeconfig's user for the context, {} where it has none. Raises `SourceError` for a file that errs."""
    try:
        document = yaml.safe_load(Path(config.kubeconfig).read_bytes())
    except OSError as error:
        raise SourceError(f"kubeconfig {config.kubeconfig}: {error.strerror}") from None
    except (yaml.YAMLError, ValueError):
        raise SourceError(f"kubeconfig {config.kubeconfig}: is not YAML") from None
    if not isinstance(document, dict):
        raise SourceError(f"kubeconfig {config.kubeconfig}: is not a kubeconfig")
    name = config.context or document.get("current-context")
    if not name:
        raise SourceError(f"kubeconfig {config.kubeconfig}: has no current-context, and no context was named")
    context = _named(document, "contexts", name).get("context")
    if not isinstance(context, dict):
        raise SourceError(f"kubeconfig {config.kubeconfig}: has no context {name}")
    cluster = _named(document, "clusters", context.get("cluster")).get("cluster")
    if not isinstance(cluster, dict) or not cluster.get("server"):
        raise SourceError(f"kubeconfig {config.kubeconfig}: context {name} has no cluster with a server")
    found = _named(document, "users", context.get("user")).get("user")
    user: dict[str, Any] = found if isinstance(found, dict) else {}
    for word, section in (("certificate-authority", cluster), ("client-certificate", user), ("client-key", user)):
        path = section.get(word)
        if isinstance(path, str) and f"{word}-data" not in section:
            _check_file(word, Path(config.kubeconfig).parent / path)
    return user


def _named(document: dict[str, Any], section: str, name: object) -> dict[str, Any]:
    """Return the entry of a kubeconfig's section that bears a name, {} where there is none."""
    entries = document.get(section)
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and entry.get("name") == name:
            return entry
    return {}


def _client(configuration: Configuration) -> ApiClient:
    """Build the client; its TLS material is read here. Raises `SourceError`."""
    # The strictness that Python 3.13 added refuses the authorities of many clusters (no key identifier) that every
    # other client takes. Verification itself stays as it is.
    configuration.disable_strict_ssl_verification = True
    configuration.connection_pool_maxsize = 0  # no limit: every watch holds a connection
    for word, path in (
        ("certificate authority", configuration.ssl_ca_cert),
        ("client certificate", configuration.cert_file),
        ("client key", configuration.key_file),
    ):
        if path:
            _check_file(word, Path(path))
    try:
        client = ApiClient(configuration)
        client.rest_client = _Session(configuration)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise SourceError(f"{_bad_tls_file(configuration)} ({type(error).__name__})") from None
    client.user_agent = f"dnsserver/{__version__}"
    client.set_default_header("Accept", "application/json")
    # Unpacking a page of a list would hold up the event loop for longer than parsing it.
    client.set_default_header("Accept-Encoding", "identity")
    return client


def _check_file(word: str, path: Path) -> None:
    """Raise `SourceError` for a file that cannot be read."""
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise SourceError(f"{word} {path}: {error.strerror}") from None


def _bad_tls_file(configuration: Configuration) -> str:
    """Say which TLS file is at fault."""
    try:
        ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    except (OSError, ValueError):
        return f"certificate authority {configuration.ssl_ca_cert}: is not a PEM certificate"
    return f"client certificate {configuration.cert_file}: it and its key {configuration.key_file} do not fit"


class _Session(RESTClientObject):
    """The client's HTTP session, with TCP keepalive: it notices a peer that vanished under a quiet watch."""

    def _create_connector(self) -> aiohttp.TCPConnector:
        """Build the connector."""
        return aiohttp.TCPConnector(limit=0, ssl=self.ssl_context, socket_factory=_socket)


def _socket(address: tuple[Any, ...]) -> socket.socket:
    """Open a socket with keepalive, as far as the platform has it."""
    family, kind, protocol, *_ = address
    opened = socket.socket(family, kind, protocol)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE:
        if hasattr(socket, option):
            opened.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return opened
