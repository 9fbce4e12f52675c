"""streamdialer: Redis Streams workers that place a contact centre's automatic calls exactly once."""

from streamdialer.errors import StreamdialerError
from streamdialer.producers.events import Producer, SyncProducer

__all__ = ["Producer", "StreamdialerError", "SyncProducer", "__version__"]
__version__ = "0.1.0"
