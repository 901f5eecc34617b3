"""The API server's way to a Service: `/api/v1/namespaces/NS/services/NAME:PORT/proxy/...`."""

from collections.abc import Mapping

import aiohttp

from tests.fakes.api_faults import Reply, refuse


async def proxied(services: Mapping[str, str], path: str, query: Mapping[str, str], host: str) -> Reply | None:
    """Return what a Service answers; None for a path that leads to none.

    `services` are "NS/NAME:PORT" with the URL behind them. The Host header stays the client's, as it does in the real
    one (UpgradeAwareHandler without UseLocationHost).
    """
    parts = path.split("/", 8)
    if len(parts) < 9 or parts[:4] != ["", "api", "v1", "namespaces"] or parts[5] != "services" or parts[7] != "proxy":
        return None
    url = services.get(f"{parts[4]}/{parts[6]}")
    if url is None:
        return refuse(404, "NotFound", f"services {parts[6].partition(':')[0]} not found")
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{url}/{parts[8]}", params=dict(query), headers={"Host": host}) as response,
        ):
            return Reply(response.status, await response.read(), content_type=response.content_type)
    except aiohttp.ClientError:
        return refuse(503, "ServiceUnavailable", "no endpoints available for service")
