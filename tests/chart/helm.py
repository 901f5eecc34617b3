"""The chart as helm renders it."""

import json
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "dnsserver"
BINARIES = ROOT / ".tools" / "bin"
HELM = BINARIES / "helm"
CI = sorted((CHART / "ci").glob("*-values.yaml"))
WITH_COREFILE = [path for path in CI if path.stem != "existing-config-values"]  # in that one it is somebody else's
RELEASE, NAMESPACE = "dns", "net"

JSON = dict[str, Any]
Values = Mapping[str, object]


class HelmError(Exception):
    """Helm refused; the text is what it said."""


def helm(*arguments: str, stdin: str = "") -> str:
    """Run helm; return what it prints. Raises `HelmError`."""
    ended = subprocess.run((str(HELM), *arguments), check=False, capture_output=True, text=True, input=stdin)
    if ended.returncode:
        raise HelmError(ended.stderr)
    return ended.stdout


def render(values: Values | Path | None = None, *arguments: str) -> list[JSON]:
    """Return the manifests that values make."""
    stdin = values.read_text() if isinstance(values, Path) else json.dumps(values or {})
    return [one for one in yaml.load_all(_template(stdin, arguments), Loader=yaml.CSafeLoader) if one]


@cache
def _template(stdin: str, arguments: tuple[str, ...]) -> str:
    # what the templates ask for is there; what happens where it is not has tests of its own
    known = ("--api-versions", "monitoring.coreos.com/v1")
    fixed = ("template", RELEASE, str(CHART), "--namespace", NAMESPACE, "--values", "-")
    return helm(*fixed, *(arguments or known), stdin=stdin)


def find(objects: list[JSON], kind: str, suffix: str = "") -> JSON:
    """Return the only object of a kind whose name ends so, hooks aside."""
    named = [one for one in objects if one["kind"] == kind and one["metadata"]["name"].endswith(suffix)]
    (found,) = [one for one in named if suffix or not one["metadata"]["name"].endswith("-autoscaler")]
    return found


def kinds(objects: list[JSON]) -> list[str]:
    """Return the kinds of objects."""
    return [one["kind"] for one in objects]


def pod(objects: list[JSON]) -> JSON:
    """Return the pod template of the server."""
    (found,) = [
        one["spec"]["template"]
        for one in objects
        if one["kind"] in ("Deployment", "DaemonSet") and not one["metadata"]["name"].endswith("-autoscaler")
    ]
    template: JSON = found
    return template


def container(objects: list[JSON]) -> JSON:
    """Return the server's container."""
    found: JSON = pod(objects)["spec"]["containers"][0]
    return found


def corefile(objects: list[JSON]) -> str:
    """Return the Corefile."""
    (found,) = [one["data"]["Corefile"] for one in objects if "Corefile" in one.get("data", ())]
    return str(found)
