"""The client's HTTP session."""

import ssl

import aiohttp

from . import Configuration

class RESTResponse:
    response: aiohttp.ClientResponse

class RESTClientObject:
    ssl_context: ssl.SSLContext
    def __init__(self, configuration: Configuration) -> None: ...
    def _create_connector(self) -> aiohttp.TCPConnector: ...
