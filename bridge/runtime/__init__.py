"""The relocatable folder `/opt/bridge`: our supervisor with all it needs to run in any image.

It holds the running interpreter, the part of its standard library that we need, our packages, the
object store client, their shared libraries, and their own dynamic loader and C library. Mounted or
copied into an image it needs nothing there but `/bin/sh`, which the user's script needs too.
"""

from bridge.runtime._build import build, digest
from bridge.runtime._cache import cached

__all__ = ["build", "cached", "digest"]
