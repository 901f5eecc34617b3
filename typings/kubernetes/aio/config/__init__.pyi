"""Where the API server is, and who we are."""

from kubernetes.aio.client import Configuration

class ConfigException(Exception): ...

async def load_kube_config(
    config_file: str,
    context: str | None = ...,
    client_configuration: Configuration = ...,
    persist_config: bool = ...,
) -> object: ...
