"""What all that shows the inside of the server has in common: who may ask, how, and what a browser is told."""

import ipaddress
from collections.abc import Callable, Iterable

from aiohttp import web

from dnsserver.admin.http import Handler

_METHODS = ("GET", "HEAD")
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_LOCAL = "localhost"


def guarded(handler: Handler, hosts: Iterable[str] = ()) -> Handler:
    """Return a handler that answers GET and HEAD alone, and only those who ask for a host that is meant.

    A web page elsewhere may have its own name lead to this address (DNS rebinding), and read what is answered to it.
    Its requests carry that name: an address, `localhost` or one of `hosts` is none that somebody else can have.
    """
    names = frozenset(host.lower().rstrip(".") for host in hosts) | {_LOCAL}

    async def answer(request: web.Request) -> web.Response:
        response = await _checked(handler, request, lambda host: _is_address(host) or host in names)
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    return answer


async def _checked(handler: Handler, request: web.Request, known: Callable[[str], bool]) -> web.Response:
    """Answer a request, or refuse it."""
    if request.method not in _METHODS:
        response = failure(405, f"only {' and '.join(_METHODS)} are answered here")
        response.headers["Allow"] = ", ".join(_METHODS)
        return response
    host = _host(request.headers.get("Host", ""))
    if not known(host):
        return failure(403, f"{host!r} is no name of this server; `inspect` can be given it with `host NAME`")
    return await handler(request)


def failure(status: int, message: str) -> web.Response:
    """Return an error as every API here has it."""
    return web.json_response({"error": message}, status=status)


def _host(header: str) -> str:
    """Return the name or address in a Host header, without its port (RFC 9110, section 7.2)."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0].lower().rstrip(".")


def _is_address(host: str) -> bool:
    """Say whether it is an IP address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
