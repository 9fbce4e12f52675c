"""streamdialer: Redis Streams workers that place a contact centre's automatic calls exactly once.

The public names are those of `__all__`; each is imported when it is first used.
"""

import zoneinfo
from importlib import import_module
from typing import TYPE_CHECKING

# Zones are those of the package `tzdata`, on every machine: an operating system's own files may be years old.
zoneinfo.reset_tzpath(())
zoneinfo.ZoneInfo.clear_cache()

if TYPE_CHECKING:
    from streamdialer.config.settings import Settings
    from streamdialer.config.version import __version__
    from streamdialer.consumers.embedding import Replica
    from streamdialer.errors import StreamdialerError
    from streamdialer.producers.events import Producer, SyncProducer
else:

    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_MODULES[name]), name)


__all__ = ["Producer", "Replica", "Settings", "StreamdialerError", "SyncProducer", "__version__"]
_MODULES = {
    "__version__": "streamdialer.config.version",
    "Producer": "streamdialer.producers.events",
    "Replica": "streamdialer.consumers.embedding",
    "Settings": "streamdialer.config.settings",
    "StreamdialerError": "streamdialer.errors",
    "SyncProducer": "streamdialer.producers.events",
}
