"""Files in and out of object stores: one protocol, a provider behind each name."""

from bridge.storage._open import open_store
from bridge.storage.protocol import ObjectInfo, Store

__all__ = ["ObjectInfo", "Store", "open_store"]
