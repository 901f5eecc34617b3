"""The current objects, the indexes between them, and the zones they make; no I/O, no clock, no log."""

from dnsserver.store.config import StoreConfig
from dnsserver.store.store import Store

__all__ = ["Store", "StoreConfig"]
