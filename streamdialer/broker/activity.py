"""What the handlers of this process are doing now, and how much they have done since the process started."""

from __future__ import annotations

import time
from collections import Counter, deque
from typing import Any, Final

import msgspec

from streamdialer.broker.entries import Entry
from streamdialer.rules.any_json import decode_json

SHOWN_PER_STAGE: Final = 5
"""Entries shown one by one, the oldest first; the others are only counted."""
RATE_OVER_S: Final = 10.0


class HandlerInProgress(msgspec.Struct, frozen=True, kw_only=True):
    """One entry in a handler."""

    entry: str
    subject: str
    """What it is about: `dial 7`, `call_answered 7:123`, or for a call its attempt id, `7:123:1`."""
    for_s: float
    """Seconds since the handler began."""


class StageActivity(msgspec.Struct, frozen=True, kw_only=True):
    """One stage of one process."""

    in_progress: int
    """Entries in handlers."""
    doing: list[HandlerInProgress]
    """The oldest of those, at most `SHOWN_PER_STAGE`."""
    done: int
    """Entries handled since the process started."""
    dead: int
    """Entries moved to the dead letters."""
    again: int
    """Entries that are delivered again, because a server was away, the process stopped, or our code failed."""
    per_s: float
    """Entries that left a handler per second, over the last `RATE_OVER_S` seconds."""


class Activity:
    """Of one process; its stages record when the handler of an entry begins and ends."""

    def __init__(self) -> None:
        self._in_progress: dict[str, dict[str, tuple[Entry, float]]] = {}
        self._ended: dict[str, Counter[str]] = {}
        self._marks: dict[str, deque[tuple[float, int]]] = {}

    def register_stage(self, stage: str) -> None:
        """Shows the stage, even before its first entry."""
        self._in_progress.setdefault(stage, {})
        self._ended.setdefault(stage, Counter())
        self._marks.setdefault(stage, deque([(time.monotonic(), 0)]))

    def begin(self, stage: str, entry: Entry) -> None:
        self.register_stage(stage)
        self._in_progress[stage][entry.id] = (entry, time.monotonic())

    def end(self, stage: str, entry: Entry, outcome: str) -> None:
        """`outcome` as the metric `streamdialer_entries_total` names it."""
        self._in_progress[stage].pop(entry.id, None)
        self._ended[stage][outcome] += 1

    def by_stage(self) -> dict[str, StageActivity]:
        """The stages now; the rate covers the time since an earlier call of this method, up to `RATE_OVER_S`."""
        return {stage: self._of(stage) for stage in self._in_progress}

    def _of(self, stage: str) -> StageActivity:
        now, ended = time.monotonic(), self._ended[stage]
        marks, total = self._marks[stage], ended.total()
        while len(marks) > 1 and now - marks[1][0] >= RATE_OVER_S:
            marks.popleft()
        since, before = marks[0]
        marks.append((now, total))
        in_progress = self._in_progress[stage]
        oldest = sorted(in_progress.values(), key=lambda item: item[1])[:SHOWN_PER_STAGE]
        return StageActivity(
            in_progress=len(in_progress),
            doing=[
                HandlerInProgress(entry=entry.id, subject=subject_of(entry), for_s=round(now - began, 3))
                for entry, began in oldest
            ],
            done=ended["done"],
            dead=ended["dead"],
            again=ended["again"] + ended["failed"],
            per_s=round((total - before) / (now - since), 2) if now > since else 0.0,
        )


def _plain_text(part: object) -> str:
    return str(part)[:80] if isinstance(part, str | int | float) else type(part).__name__


def subject_of(entry: Entry) -> str:
    """What an entry is about, in few words and without phone numbers."""
    fields: dict[str, Any] = dict(entry.fields)
    if "data" in fields:
        try:
            data = decode_json(fields["data"])
        except ValueError:
            data = None
        fields |= data if isinstance(data, dict) else {}
    kind = fields.get("kind") or fields.get("type")
    campaign = fields.get("campaign", fields.get("campaign_id"))
    contact = fields.get("contact", fields.get("contact_id"))
    about = fields.get("attempt") or ":".join(
        _plain_text(part) for part in (campaign, contact) if part not in (None, "")
    )
    agent = fields.get("agent_id") if not about else None
    return " ".join(_plain_text(part) for part in (kind, about, agent) if part not in (None, ""))
