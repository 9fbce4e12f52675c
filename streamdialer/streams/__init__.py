"""The consumer-group machinery every stage uses alike: read, recover, take over, renew, acknowledge, bury, drain."""

from streamdialer.streams.consumer import StreamConsumer
from streamdialer.streams.dead import DeadLetter, DeadLetters
from streamdialer.streams.entries import BadEntry, Entry, StreamWriter
from streamdialer.streams.places import Places
from streamdialer.streams.run import ReplicaRun

__all__ = [
    "BadEntry",
    "DeadLetter",
    "DeadLetters",
    "Entry",
    "Places",
    "ReplicaRun",
    "StreamConsumer",
    "StreamWriter",
]
