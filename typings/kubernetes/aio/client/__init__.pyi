"""The generic client: no generated API class is ever imported."""

from collections.abc import Sequence

import aiohttp

class Configuration:
    host: str
    api_key: dict[str, str]
    verify_ssl: bool
    disable_strict_ssl_verification: bool
    ssl_ca_cert: str | None
    cert_file: str | None
    key_file: str | None
    connection_pool_maxsize: int
    def __init__(self, host: str | None = ..., *, ssl_ca_cert: str | None = ...) -> None: ...

class ApiClient:
    configuration: Configuration
    rest_client: rest.RESTClientObject
    user_agent: str
    def __init__(self, configuration: Configuration) -> None: ...
    def set_default_header(self, header_name: str, header_value: str) -> None: ...
    async def param_serialize(
        self,
        method: str,
        resource_path: str,
        *,
        query_params: Sequence[tuple[str, str]] = ...,
        header_params: dict[str, str] = ...,
        body: object = ...,
        auth_settings: Sequence[str] = ...,
    ) -> tuple[str, str, dict[str, str], object, object]: ...
    async def call_api(
        self,
        method: str,
        url: str,
        header_params: dict[str, str],
        body: object,
        post_params: object,
        *,
        _request_timeout: aiohttp.ClientTimeout,
    ) -> rest.RESTResponse: ...
    async def close(self) -> None: ...

from . import rest as rest
