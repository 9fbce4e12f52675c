"""Redis itself: connection, key names, scripts, and the consumer groups that every stage uses alike."""

from streamdialer.broker.concurrency import ConcurrencyLimit
from streamdialer.broker.consumer import StreamConsumer
from streamdialer.broker.dead_letters import DeadLetter, DeadLetters
from streamdialer.broker.entries import BadEntry, Entry, StreamWriter
from streamdialer.broker.shutdown import ShutdownSignal

__all__ = [
    "BadEntry",
    "ConcurrencyLimit",
    "DeadLetter",
    "DeadLetters",
    "Entry",
    "ShutdownSignal",
    "StreamConsumer",
    "StreamWriter",
]
