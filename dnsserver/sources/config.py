"""How to reach an API server, in the Corefile's words, and bearer tokens; no I/O."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dnsserver.sources.requests import RequestLimits

if TYPE_CHECKING:
    from kubernetes.aio.client import Configuration

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True)
class ApiConfig:
    """How to reach the API server: CoreDNS's `endpoint`, `tls` and `kubeconfig`; by default, as a pod does.

    A kubeconfig wins over an endpoint, an endpoint over the cluster we run in.
    """

    endpoint: str = ""  # URL
    cert_file: str = ""  # client certificate, PEM
    key_file: str = ""
    ca_file: str = ""  # empty: the system's authorities
    token_file: str = ""  # read again as it changes
    kubeconfig: str = ""
    context: str = ""  # empty: the kubeconfig's current-context
    limits: RequestLimits = RequestLimits()  # noqa: RUF009 -- frozen, and so the same for all
    service_account: Path = SERVICE_ACCOUNT
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)

    def __str__(self) -> str:
        """Name the place for a log line."""
        if self.kubeconfig:
            return f"kubeconfig {self.kubeconfig}" + (f", context {self.context}" if self.context else "")
        return self.endpoint or "the cluster this pod runs in"


def set_token(configuration: "Configuration", token: str) -> None:
    """Give the client a new bearer token."""
    configuration.api_key["BearerToken"] = f"Bearer {token}"


def clean_token(content: bytes) -> str | None:
    """Return the token that a file holds; None where it is empty or was caught half-written."""
    token = content.strip()
    return token.decode("ascii") if token and token.isascii() and b"\n" not in token and b"\r" not in token else None
