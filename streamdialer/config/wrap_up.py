"""STREAMDIALER_ASTERISK_WRAPUP_S: the seconds an agent has after a call, for all, by queue and by agent.

Asterisk does not show the wrap-up time of a queue.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

WRAP_UP_FORM: Final = (
    "seconds, then name=seconds of queues and agents, separated by commas: 10,sales=30,PJSIP/7=5"
)
_SECONDS: Final = re.compile(r"\d{1,5}(?:\.\d+)?")


class WrapUp(msgspec.Struct, frozen=True):
    seconds: float = 0.0
    by_name: dict[str, float] = {}

    def of(self, agent_id: str, queue: str) -> float:
        """The agent's own time, else the queue's, else everybody's."""
        return self.by_name.get(agent_id, self.by_name.get(queue, self.seconds))


def parse_wrap_up(text: str) -> WrapUp:
    """Raises ValueError."""
    seconds, by_name = 0.0, dict[str, float]()
    for part in filter(None, (each.strip() for each in text.split(","))):
        name, _, value = part.rpartition("=")
        if not _SECONDS.fullmatch(value):
            raise ValueError(WRAP_UP_FORM)
        if name:
            by_name[name] = float(value)
        else:
            seconds = float(value)
    return WrapUp(seconds, by_name)


def validate_wrap_up(text: str) -> str | None:
    """What the setting takes, when `text` is not that; None when it is fine."""
    try:
        parse_wrap_up(text)
    except ValueError as error:
        return str(error)
    return None
