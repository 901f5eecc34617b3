"""What runs on an event loop here runs on both, like the tests of the transports."""

from tests.transports.conftest import nothing_escapes_to_the_loop, pytest_asyncio_loop_factories

__all__ = ["nothing_escapes_to_the_loop", "pytest_asyncio_loop_factories"]
