"""Why a campaign places no call, or no more: each code of a decision record with its words and its remedy.

`explain`, `top` and the dashboard say these words; `docs/explain.md` is checked against this file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec


class ReasonText(msgspec.Struct, frozen=True):
    """A code in words."""

    text: str
    remedy: str
    """What you can do about it; '' where nothing is wrong."""


WAITING: Final = "{number} wait for a retry, a callback, their calling hours or a cap"
"""Why contacts are deferred, in a decision record's detail."""

REASONS: Final[dict[str, ReasonText]] = {
    "not_active": ReasonText(
        "the campaign's status is not active", "run `streamdialer campaign start` to dial it"
    ),
    "auto_paused": ReasonText(
        "half of its calls failed within two minutes, so it has paused itself",
        "look at the trunk and at who places the calls, then run `streamdialer campaign start`",
    ),
    "data_loss": ReasonText(
        "Redis was restarted, emptied or replaced: calls that it may have forgotten get time to end",
        "wait, dialing goes on by itself; if no one restarted Redis on purpose, find out why it restarted",
    ),
    "server_unknown": ReasonText(
        "Redis refuses the INFO command", "allow INFO for the Redis user of REDIS_URL"
    ),
    "redis_refuses_writes": ReasonText(
        "Redis takes no writes now, so nothing can be reserved; dialing goes on by itself when it does",
        "look at the memory, the disk and the replicas of the Redis server: `streamdialer doctor`",
    ),
    "registry_outdated": ReasonText(
        "the newest query of a registry of numbers that must not be called is too old for the rule pack",
        "query it, and run `streamdialer dnc import FILE --source NAME --asked DATE`; where the registry is not for "
        "these calls, choose a pack without it",
    ),
    "window_closed": ReasonText(
        "its calling hours are over",
        "wait until they open, unless the campaign's hours, time zone or rule pack are wrong",
    ),
    "rate_limited": ReasonText(
        "the Dialer API asked this campaign to wait",
        "wait, the Dialer API said for how long; place fewer calls if this happens often",
    ),
    "dialer_api_down": ReasonText(
        "the Dialer API takes no calls, or does not say whether it does; after each pause one call tries it",
        "look at the Dialer API; `streamdialer doctor` tests it",
    ),
    "dialer_api_credentials": ReasonText(
        "the Dialer API refuses our credentials; after each pause one call tries it",
        "set DIALER_API_TOKEN to a token that the Dialer API accepts",
    ),
    "asterisk_down": ReasonText(
        "Asterisk takes no calls; after each pause one call tries it",
        "correct what Asterisk's answer names; `streamdialer doctor` looks at Asterisk, its dialplan and its queues",
    ),
    "asterisk_credentials": ReasonText(
        "Asterisk does not let us place calls; after each pause one call tries it",
        "let ASTERISK_AMI_URL and manager.conf agree: secret, permit, and write=originate",
    ),
    "no_call_events": ReasonText(
        "calls were sent and no call event has come since",
        "start the program that writes call events to `dialer:events`, for Asterisk `streamdialer asterisk`, "
        "or look at its log; dialing goes on when they come",
    ),
    "throttled": ReasonText("adaptive pacing decides at most four times a second", ""),
    "trunk_changed": ReasonText(
        "the campaigns on its trunk keep changing; the next tick tries again",
        "wait; if it stays so, look at the log of `streamdialer consume`",
    ),
    "queue_changed": ReasonText(
        "the campaigns of its queue keep changing; the next tick tries again",
        "wait; if it stays so, look at the log of `streamdialer consume`",
    ),
    "not_rebuilt": ReasonText(
        "after a data loss the campaign is rebuilt from the backend first; dialing goes on when that is done",
        "wait; if it stays so, look at the log of `streamdialer consume`",
    ),
    "no_agents": ReasonText(
        "no agent of the queue is free",
        "if agents are free, look at the agent events; `streamdialer doctor` asks the backend and Asterisk for agents",
    ),
    "agents_elsewhere": ReasonText(
        "the free agents stand in other queues, too, and calls of those queues are on their way to them",
        "add agents; the queues get calls in turn",
    ),
    "agents_reserved": ReasonText(
        "the free agents of the queue are kept for incoming calls", "lower `reserve_agents`, or add agents"
    ),
    "no_contacts": ReasonText(
        "no contact is ready to be dialed", "add contacts, or wait for the deferred ones"
    ),
    "contacts_in_calls": ReasonText(
        "all contacts that can be called now are being called", "wait until these calls end, or add contacts"
    ),
    "contacts_passed_over": ReasonText(
        "the backend lists contacts, and none of them can be called",
        "correct these contacts, or the campaign, in the backend; the counts say what is wrong with them",
    ),
    "needs_verification": ReasonText(
        "the backend has not listed the ready contacts as pending lately; they are verified first",
        "wait, they are verified one by one; if it stays so, look at the backend",
    ),
    "unknown_campaign": ReasonText(
        "the campaign has no status in Redis", "run `streamdialer campaign start` to give it one"
    ),
    "no_decisions": ReasonText(
        "no tick has decided about it in the last two minutes",
        "start `streamdialer tick` and `streamdialer consume`",
    ),
    "invalid_campaign": ReasonText(
        "a setting of the campaign cannot be used; the detail names it", "correct it in the backend"
    ),
    "backend_unreachable": ReasonText(
        "the backend does not answer, or its answer cannot be read",
        "look at the backend; `streamdialer doctor` tests it",
    ),
    "backend_credentials": ReasonText(
        "the backend refuses our credentials", "set BACKEND_TOKEN, or BACKEND_USERNAME and BACKEND_PASSWORD"
    ),
    "backend_throttled": ReasonText(
        "the backend asks for fewer requests (429, or 503 with Retry-After) and gets none until the time it names",
        "wait, dialing goes on by itself; allow the dialer more requests if this happens often",
    ),
    "backend_refused": ReasonText(
        "the backend refuses the request; the detail says why", "correct what the detail names"
    ),
}
"""Why a tick placed nothing; also the label `reason` of `streamdialer_ticks_total`."""

LIMITS: Final[dict[str, ReasonText]] = {
    "agents": ReasonText("every free agent has as many calls as the campaign's mode allows", ""),
    "agents_shared": ReasonText(
        "the other free agents belong to the other campaigns of the queue", "raise its `weight`"
    ),
    "batch": ReasonText("one tick places no more; the next one follows immediately", ""),
    "caller_ids": ReasonText(
        "each of its caller ids has made its calls of the day",
        "wait for the next day, add `caller_ids`, or raise `caller_id_daily_cap`",
    ),
    "calls_per_second": ReasonText(
        "the campaign or its trunk has reached its calls per second",
        "raise `calls_per_second`, or STREAMDIALER_TRUNK_CALLS_PER_SECOND",
    ),
    "cap_reached": ReasonText(
        "the abandon rate is above its cap: only free agents get calls (progressive)",
        "wait, the rate falls with each answered call; more agents lower it sooner",
    ),
    "closed": ReasonText("the campaign may not dial now", ""),
    "concurrency": ReasonText(
        "the campaign has reached max_concurrent_calls", "raise `max_concurrent_calls`"
    ),
    "contacts": ReasonText("no more contacts are ready", "add contacts"),
    "hours": ReasonText("the calling hours of the next contacts were not known yet", ""),
    "no_agents": ReasonText("no agent is free", ""),
    "no_contacts": ReasonText("no more contacts are ready", "add contacts"),
    "preview": ReasonText("in preview mode an agent requests each call", ""),
    "probe": ReasonText("after a pause one call finds out whether calls are placed again", ""),
    "queue": ReasonText("the queue lost agents or got calls while the tick decided", ""),
    "ramp": ReasonText("the first calls are few: all slots are open after half a minute", ""),
    "risk": ReasonText(
        "one more answered call might find no agent, and that risk is above the limit", "add agents"
    ),
    "slots": ReasonText("all slots of the agentless campaign are in use", "raise `slots`"),
    "trunk_down": ReasonText(
        "the trunk refuses nearly every call: only free agents get calls", "look at the trunk"
    ),
    "trunk_channels": ReasonText("all channels of its trunk are taken", "raise STREAMDIALER_TRUNK_CHANNELS"),
    "needs_verification": ReasonText("the other ready contacts are verified in the backend first", ""),
}
"""Why a tick placed no more calls; also the label `limit` of `streamdialer_pacing_limits_total`."""

NOTICES: Final[dict[str, ReasonText]] = {
    "agent_status_unknown": ReasonText(
        "agents of the queue have a status that is not known, and get no calls",
        "let the backend list free agents as `available` or `idle`",
    ),
    "agents_unreadable": ReasonText(
        "agents of the queue cannot be read, and get no calls", "correct them in the backend"
    ),
    "agents_incomplete": ReasonText(
        "a page of the queue's agent list is missing, and its agents get no calls",
        "look at the backend's log for that page",
    ),
    "campaign_field_unreadable": ReasonText(
        "a field of the campaign cannot be read, and the setting counts instead", "correct it in the backend"
    ),
    "contacts_incomplete": ReasonText(
        "a page of the contact list is missing, and its contacts wait",
        "look at the backend's log for that page",
    ),
    "only_ends": ReasonText(
        "the event source writes only ends: calls past their deadline count as up until their own end "
        "or the longest conversation",
        "let the program that writes `dialer:events` write `call_ringing` or `call_answered` as well",
    ),
    "serial_api": ReasonText(
        "the Dialer API places calls one after the other: its replies take as long as calls ring, "
        "and each call waits for those before it",
        "set STREAMDIALER_ORIGINATE=asterisk, which places all calls at once; "
        "or lower `max_concurrent_calls`, so that fewer calls wait there",
    ),
    "updates_refused": ReasonText(
        "the backend refuses updates of contacts",
        "let it take `PATCH /api/contacts/{id}/`; contacts that are finished here stay finished until it changes them",
    ),
}
"""What is wrong with a campaign that is dialed all the same; also codes of alerts."""

SKIPPED: Final[dict[str, ReasonText]] = {
    "abandon_cooloff": ReasonText("in the cool-off after an abandoned call", ""),
    "agent_not_free": ReasonText("with a callback for an agent who is not free", ""),
    "finished": ReasonText(
        "that are finished here and still pending there", "change their row in the backend to call them again"
    ),
    "in_call": ReasonText("in a call of another contact or campaign", ""),
    "max_attempts": ReasonText("out of attempts", "raise `max_retries`"),
    "cap_attempts": ReasonText("over a cap on attempts", ""),
    "cap_conversations": ReasonText("over a cap on conversations", ""),
    "do_not_call": ReasonText("on the do-not-call list", ""),
    "machine_cooloff": ReasonText("in the cool-off after a machine's answer", ""),
    "min_gap": ReasonText("within the gap between two attempts", ""),
    "no_consent": ReasonText(
        "without the consent that the rule pack requires",
        "give them a `consent` with its date in the backend; they are called as soon as it is read",
    ),
    "no_phone_number": ReasonText("without a number that can be called", "correct them in the backend"),
    "not_asked": ReasonText(
        "of another campaign or with another status", "let the backend filter its list as the request says"
    ),
    "needs_verification": ReasonText("to be verified in the backend first", ""),
    "unreadable": ReasonText("that cannot be read", "correct them in the backend; the log names them"),
    "window_closed": ReasonText("outside their calling hours", ""),
    "zone_unknown": ReasonText("in an unknown time zone", "correct their `timezone` in the backend"),
}
"""Why contacts were skipped."""


def table_of(codes: Mapping[str, ReasonText]) -> list[str]:
    """The lines of a Markdown table."""
    lines = ["| code | in words | what to do |", "|---|---|---|"]
    return lines + [f"| `{code}` | {row.text} | {row.remedy} |" for code, row in sorted(codes.items())]
