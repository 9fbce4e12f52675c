"""The stages and their handlers, the event types and the kinds of ticks of this version."""

from __future__ import annotations

from typing import Final

import msgspec

from streamdialer.broker.keys import Stage
from streamdialer.consumers.calls import CallsStage
from streamdialer.consumers.events import EventsStage
from streamdialer.consumers.ticks import TicksStage
from streamdialer.consumers.updates import UpdatesStage
from streamdialer.model import TICK_KINDS
from streamdialer.producers.events import EVENT_TYPES

_STAGE_CLASSES: Final[dict[Stage, type]] = {
    "ticks": TicksStage,
    "calls": CallsStage,
    "events": EventsStage,
    "updates": UpdatesStage,
}


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    stages: dict[str, str]
    """Stage -> its handler."""
    events: tuple[str, ...]
    ticks: tuple[str, ...]


def registered() -> Registered:
    return Registered(
        stages={
            stage: f"{handler.__module__}.{handler.__qualname__}" for stage, handler in _STAGE_CLASSES.items()
        },
        events=EVENT_TYPES,
        ticks=TICK_KINDS,
    )
