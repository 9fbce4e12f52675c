"""All calls of ours in one Asterisk: AMI events in, our events out, in bounded memory (pure)."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from typing import Final

from streamdialer.gateways.ami.messages import Message, is_channel_id
from streamdialer.producers.asterisk.call import Call
from streamdialer.producers.asterisk.call_events import Event, answered, due, has_ended, next_look_s

MAX_CALLS: Final = 50_000
KEPT_S: Final = 60.0
"""How long a call that is over is remembered, for events that come late."""
MISSING_S: Final = 10.0
"""After this long without a Hangup, a call that Asterisk no longer lists is forgotten; `source_live` ends it."""
_NO_CHANNEL: Final = ("", "<null>", "(null)")


class Calls:
    def __init__(self, agent_of: Callable[[Message], str], *, max_calls: int = MAX_CALLS) -> None:
        self._agent_of = agent_of
        self._max_calls = max_calls
        self._calls: OrderedDict[str, Call] = OrderedDict()
        self._over: deque[tuple[float, str]] = deque()
        self._uniqueids: dict[str, str] = {}
        """Attempt -> its call."""
        self._looks: dict[str, float] = {}
        self.forgotten = 0
        """Calls that were dropped because there are too many."""

    def __len__(self) -> int:
        return len(self._calls)

    def observe(self, message: Message, now_s: float) -> list[Event]:
        call = self._call_of(message)
        if call is None:
            return []
        call.observe(message, now_s, self._agent_of(message))
        if attempt := call.ids.get("ATTEMPT_ID"):
            self._uniqueids[attempt] = call.uniqueid
        return self._due(call, now_s)

    def settle(self, now_s: float) -> list[Event]:
        """Events that time alone brings; call it a few times per second."""
        found: list[Event] = []
        for uniqueid in [each for each, at_s in self._looks.items() if at_s <= now_s]:
            found += self._due(self._calls[uniqueid], now_s)
        while self._over and self._over[0][0] < now_s - KEPT_S:
            self._forget(self._over.popleft()[1])
        return found

    def sync(self, rows: Iterable[Message], asked_s: float, now_s: float) -> list[Event]:
        """Takes over the rows of `Status`, which Asterisk was asked for at `asked_s`."""
        found: list[Event] = []
        listed = set()
        for row in rows:
            listed.add(row.get("Uniqueid"))
            found += self.observe(row, now_s)
        for call in list(self._calls.values()):
            if call.is_over or call.uniqueid in listed or call.last_s >= asked_s:
                continue
            if call.missing_since is None:
                call.missing_since = now_s
                found += answered(call)
            if now_s - call.missing_since >= MISSING_S:
                self._forget(call.uniqueid)
        return found

    def restart(self, linked_s: float, now_s: float) -> list[Event]:
        """Asterisk was started again, and has been seen since `linked_s`: the calls that were seen before are gone.

        Conversations are over; of other calls only phones know.
        """
        found: list[Event] = []
        for call in [each for each in self._calls.values() if each.last_s < linked_s]:
            if call.up_at is not None and not call.is_over:
                call.hangup_at = now_s
                found += due(call, now_s + KEPT_S)
            self._forget(call.uniqueid)
        return found

    def up(self) -> list[str]:
        """The calls of ours that are up, as `source_live` lists them."""
        return sorted(
            call.name
            for call in self._calls.values()
            if call.is_ours and call.has_channel and not has_ended(call) and call.missing_since is None
        )

    def named(self, attempt: str) -> Call | None:
        """The call of an attempt; None when there is none yet."""
        return self._calls.get(self._uniqueids.get(attempt, ""))

    def is_watched(self, attempt: str) -> bool:
        """Whether its call was seen, and has not gone unseen."""
        call = self.named(attempt)
        return call is not None and (call.is_over or call.missing_since is None)

    def trunk_of(self, uniqueid: str) -> str:
        """How Asterisk reaches the call, without its number."""
        call = self._calls.get(uniqueid)
        return call.trunk if call else ""

    def _call_of(self, message: Message) -> Call | None:
        uniqueid, linkedid = message.get("Uniqueid"), message.get("Linkedid")
        if not uniqueid and message.event in ("DialBegin", "DialState", "DialEnd"):
            uniqueid, linkedid = message.get("DestUniqueid"), message.get("DestLinkedid")
        if uniqueid in _NO_CHANNEL:
            return None
        call = self._calls.get(uniqueid)
        # A call that was joined with an older one has that one's Linkedid.
        if call is None and (linkedid in ("", uniqueid) or is_channel_id(uniqueid)):
            call = self._calls[uniqueid] = Call(uniqueid)
            if len(self._calls) > self._max_calls:
                self.forgotten += 1
                self._forget(next(iter(self._calls)))
        return call

    def _due(self, call: Call, now_s: float) -> list[Event]:
        found = due(call, now_s)
        if (call.is_over or "ended" in call.said) and not call.is_laid_by:
            call.is_laid_by = True
            self._over.append((now_s, call.uniqueid))
        look_s = next_look_s(call)
        if look_s is None:
            self._looks.pop(call.uniqueid, None)
        else:
            self._looks[call.uniqueid] = look_s
        return found

    def _forget(self, uniqueid: str) -> None:
        call = self._calls.pop(uniqueid, None)
        if call and self._uniqueids.get(call.ids.get("ATTEMPT_ID", "")) == uniqueid:
            del self._uniqueids[call.ids["ATTEMPT_ID"]]
        self._looks.pop(uniqueid, None)
