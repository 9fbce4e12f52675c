"""The events that follow from what was seen of a call, each said once (pure)."""

from __future__ import annotations

from typing import Any, Final

from streamdialer.producers.asterisk.call import Call
from streamdialer.producers.asterisk.failures import HowItEnded, failure_of, is_unclear

Event = dict[str, Any]
SETTLE_S: Final = 0.5
"""How long what decides an outcome may come after the Hangup: Asterisk does not keep an order."""
NO_CHANNEL_S: Final = 1.0
"""How long after a failed Originate its channel may still show: then the failure was another's of the same id."""
ANSWERED_AFTER_S: Final = 5.0
"""A call that is up for longer without an agent counts as answered; before, an agent may still tell more. While a
machine is looked for, nobody waits for an agent yet."""
LISTENS_S: Final = 15.0
"""Longest time to look for a machine."""


def next_look_s(call: Call) -> float | None:
    """When time alone brings another event; None: never."""
    if not call.is_ours or has_ended(call):
        return None
    if call.hangup_at is not None:
        return call.hangup_at + SETTLE_S
    if call.failed_at is not None and not call.has_channel and call.up_at is None:
        return call.failed_at + NO_CHANNEL_S
    if call.up_at is None or "answered" in call.said:
        return None
    return _answered_at_s(call, call.up_at)


def _answered_at_s(call: Call, up_at: float) -> float:
    """When a call that has been up since `up_at` counts as answered, if no further event of it comes."""
    began_s = up_at + LISTENS_S if call.is_listened_to else max(up_at, call.listened_until or up_at)
    after_s = began_s + ANSWERED_AFTER_S
    return after_s if call.bridged_at is None else min(after_s, call.bridged_at + SETTLE_S)


def has_ended(call: Call) -> bool:
    return "ended" in call.said


def due(call: Call, now_s: float) -> list[Event]:
    """The events that are known by now and were not said before."""
    if not call.is_ours or has_ended(call):
        return []
    found: list[Event] = []
    if call.rang and call.up_at is None and not call.is_over:
        found += _say(call, "ringing", {"type": "call_ringing"})
    end = _end(call, now_s)
    is_answered = call.up_at is not None and (_is_told_of_answer(call) or _is_answered_at(call, now_s))
    if is_answered or (end and end.get("disposition") == "machine"):
        found += _say(call, "answered", _answered(call))
    return found + (_say(call, "ended", end) if end else [])


def answered(call: Call) -> list[Event]:
    """The answer, if it was seen and not said: the call is gone, and nothing else may say it."""
    is_known = call.is_ours and call.up_at is not None and not has_ended(call)
    return _say(call, "answered", _answered(call)) if is_known else []


def _say(call: Call, what: str, event: Event) -> list[Event]:
    if what in call.said:
        return []
    call.said.add(what)
    about = {"campaign_id": call.ids["CAMPAIGN_ID"], "contact_id": call.ids["CONTACT_ID"]}
    about |= {"attempt_id": call.ids["ATTEMPT_ID"]} if "ATTEMPT_ID" in call.ids else {}
    return [{**event, **about, "call_id": call.uniqueid}]


def _is_told_of_answer(call: Call) -> bool:
    return call.has_agent or call.is_machine_alone


def _is_answered_at(call: Call, now_s: float) -> bool:
    if call.up_at is None or call.is_over:
        return False  # the end says it, too
    return now_s >= _answered_at_s(call, call.up_at)


def _answered(call: Call) -> Event:
    words = {"MACHINE": "machine", "HUMAN": "human", "NOTSURE": "unknown"}
    event: Event = {"type": "call_answered"}
    event |= {"agent_id": call.agent_id} if call.agent_id else {}
    event |= {"queue": call.queue} if call.queue else {}
    return event | ({"answered_by": words[call.amd]} if call.amd in words else {})


def _end(call: Call, now_s: float) -> Event | None:
    if call.hangup_at is None:
        is_refused = call.failed_at is not None and not call.has_channel and call.up_at is None
        if is_refused and now_s >= (call.failed_at or 0) + NO_CHANNEL_S:
            return {"type": "call_failed", "disposition": "congestion"}
        return None
    is_settled = now_s >= call.hangup_at + SETTLE_S
    if call.up_at is None:
        end = HowItEnded(
            cause=call.cause,
            sip=call.sip,
            rang=call.rang,
            reasons=frozenset(call.reasons),
            by_far_end=call.by_far_end,
        )
        if is_unclear(end) and not is_settled:
            return None
        disposition, cause = failure_of(end)
        return {"type": "call_failed", "disposition": disposition, **({"cause": cause} if cause else {})}
    if not (_is_told_of_answer(call) or call.was_abandoned or is_settled):
        return None
    had_agent = call.has_agent or call.bridged_at is not None
    if call.amd == "MACHINE" and not had_agent:
        return {"type": "call_completed", "disposition": "machine"}
    was_left = call.was_abandoned or call.queue or call.is_listened_to or call.amd == "HANGUP"
    if was_left and not had_agent:
        return {"type": "call_abandoned"}
    duration = {} if call.began_before else {"duration": round(call.hangup_at - call.up_at)}
    return {"type": "call_completed", **duration}
