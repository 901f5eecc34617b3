"""Which version of a kind the API server serves, if any."""

from collections.abc import Callable
from typing import TypeVar

from dnsserver.objects import Kind
from dnsserver.sources.api import Api, UnreachableError
from dnsserver.sources.envelopes import decode_group, decode_resources
from dnsserver.sources.faults import FaultError, Stage, Trouble, fault_of_response, nonsense

_T = TypeVar("_T")


def resource_path(kind: Kind, version: str) -> str:
    """Return the path of a kind's objects in all namespaces."""
    return f"{_version_path(kind, version)}/{kind.resource}"


def qualified_resource(kind: Kind) -> str:
    """Return a resource as RBAC rules and `kubectl` name it: `virtualmachineinstances.kubevirt.io`."""
    return f"{kind.resource}.{kind.group}" if kind.group else kind.resource


async def discover(api: Api, kind: Kind, *, read_timeout: float) -> str:
    """Return the version to use: the first we understand among those that serve the resource.

    Raises `FaultError`: `Trouble.ABSENT` where discovery says that there is none. Where discovery itself is forbidden,
    the preferred version is taken on trust: its list will tell.
    """
    try:
        served = await _served_versions(api, kind, read_timeout)
        for version in kind.versions:
            if version in served and await _has_resource(api, kind, version, read_timeout):
                return version
    except FaultError as fault:
        if fault.trouble is not Trouble.FORBIDDEN:
            raise
        return kind.versions[0]
    reason = f"the API server has no {qualified_resource(kind)} of version {' or '.join(kind.versions)}"
    raise FaultError(Trouble.ABSENT, Stage.DISCOVER, reason)


async def _served_versions(api: Api, kind: Kind, read_timeout: float) -> frozenset[str]:
    """Return the versions of the kind's group, none where there is no such group."""
    if not kind.group:
        return frozenset(kind.versions)
    group = await _get(api, f"/apis/{kind.group}", decode_group, read_timeout)
    return frozenset(one.version for one in (group.versions if group else None) or ())


async def _has_resource(api: Api, kind: Kind, version: str, read_timeout: float) -> bool:
    """Say whether a version of the group has the resource: KubeVirt's group is there before its VMIs are."""
    found = await _get(api, _version_path(kind, version), decode_resources, read_timeout)
    return any(one.name == kind.resource for one in (found.resources if found else None) or ())


async def _get(api: Api, path: str, decode: Callable[[bytes], _T], read_timeout: float) -> _T | None:
    """GET a discovery document, None where there is none."""
    try:
        async with api.request(path, {}, read_timeout=read_timeout) as response:
            body = await response.read()
            # An HTML page is a load balancer's word, not the API server's, and must not empty a zone.
            if response.status == 404 and "html" not in response.headers.get("Content-Type", ""):
                return None
            if response.status != 200:
                raise fault_of_response(response.status, response.headers, body, Stage.DISCOVER)
    except UnreachableError as error:
        raise FaultError(Trouble.UNREACHABLE, Stage.DISCOVER, str(error)) from None
    try:
        return decode(body)
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise nonsense(Stage.DISCOVER, f"{path} is not a discovery document: {error}") from None


def _version_path(kind: Kind, version: str) -> str:
    """Return the path of a version of the kind's group."""
    return f"/apis/{kind.group}/{version}" if kind.group else f"/api/{version}"
