"""Why a campaign places no call, or no more: every code of a decision record with its words and what to do about it.

`explain`, `top` and the dashboard say these words; `docs/explain.md` is checked against this file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

WHY: Final = {
    "not_active": "the campaign's status is not active",
    "data_loss": (
        "Redis was started anew, emptied or replaced: calls it may have forgotten are waited out first"
    ),
    "server_unknown": "Redis does not answer INFO: let the user of REDIS_URL run it",
    "window_closed": "its calling hours are over",
    "rate_limited": "the Dialer API asked this campaign to wait",
    "dialer_api_down": "the Dialer API does not take calls; one call tries it after each rest",
    "dialer_api_credentials": "the Dialer API refuses our credentials: check DIALER_API_TOKEN (tried after each rest)",
    "no_call_events": "calls were sent and no call event has come since: is a program writing call events?",
    "throttled": "adaptive pacing decides at most four times a second",
    "trunk_changed": "the campaigns on its trunk kept changing; the next tick tries again",
    "no_agents": "no agent of the queue is free",
    "no_contacts": "no contact is ready to be dialed",
    "needs_verification": "the backend has not listed the ready contacts as pending lately; they are looked up first",
}


class ReasonText(msgspec.Struct, frozen=True):
    """A code in words."""

    text: str
    remedy: str
    """What somebody can do about it; '' where nothing is wrong."""


_DO: Final = {
    "not_active": "`streamdialer campaign start`, when it is to be dialed",
    "data_loss": "nothing: it goes on by itself; if Redis was not restarted on purpose, find out why it was",
    "server_unknown": "let the user of REDIS_URL run INFO",
    "window_closed": "nothing before they open, unless the campaign's hours, zone or rule pack are wrong",
    "rate_limited": "nothing: the Dialer API said for how long; ask for fewer calls if it does so often",
    "dialer_api_down": "look at the Dialer API: `streamdialer doctor` asks it",
    "dialer_api_credentials": "set DIALER_API_TOKEN to a token that the Dialer API takes",
    "no_call_events": "start whatever writes call events to `dialer:events`; it goes on when they come",
    "throttled": "",
    "trunk_changed": "nothing, unless it stays so",
    "no_agents": "nothing, unless agents are free: then look at the backend's list and at the agent events",
    "no_contacts": "add contacts, unless those that wait will do",
    "needs_verification": "nothing: they are asked for one by one; if it stays so, look at the backend",
}

REASONS: Final[dict[str, ReasonText]] = {
    **{code: ReasonText(words, _DO[code]) for code, words in WHY.items()},
    "queue_changed": ReasonText(
        "the campaigns of its queue kept changing; the next tick tries again", "nothing, unless it stays so"
    ),
    "unknown_campaign": ReasonText("it has no status in Redis", "`streamdialer campaign start` gives it one"),
    "no_decisions": ReasonText(
        "nobody has decided anything about it for two minutes, or yet",
        "start `streamdialer tick` and `consume`",
    ),
    "invalid_campaign": ReasonText(
        "its settings cannot be read or used; says which", "mend the campaign in the backend"
    ),
    "backend_unreachable": ReasonText(
        "the backend does not answer, or not in a way that can be read",
        "look at the backend: `streamdialer doctor` asks it",
    ),
    "backend_credentials": ReasonText(
        "the backend refuses our credentials", "set BACKEND_TOKEN, or BACKEND_USERNAME and BACKEND_PASSWORD"
    ),
    "backend_refused": ReasonText("the backend refuses the request; says why", "look at what it says"),
}
"""Of a tick that placed nothing; also the label `reason` of `streamdialer_ticks_total`."""

LIMITS: Final[dict[str, ReasonText]] = {
    "agents": ReasonText("every free agent has as many calls as its mode allows", ""),
    "agents_shared": ReasonText(
        "the other free agents are for the other campaigns of the queue", "raise its `weight`"
    ),
    "batch": ReasonText("a tick places no more at once; the next follows", ""),
    "calls_per_second": ReasonText(
        "its calls_per_second, or that of its trunk, allows no more at this moment",
        "raise `calls_per_second`, or STREAMDIALER_TRUNK_CALLS_PER_SECOND",
    ),
    "cap_reached": ReasonText(
        "the abandon rate is above its cap, so calls are placed for free agents only (progressive)",
        "nothing: it comes down with people who are served; more agents bring it down sooner",
    ),
    "closed": ReasonText("it may not dial now", ""),
    "concurrency": ReasonText("its max_concurrent_calls is reached", "raise `max_concurrent_calls`"),
    "contacts": ReasonText("no more contacts are ready", "add contacts"),
    "hours": ReasonText("the next contacts' calling hours were not known yet", ""),
    "lines": ReasonText("the trunk is full", "raise STREAMDIALER_TRUNK_CHANNELS"),
    "no_agents": ReasonText("no agent is free", ""),
    "no_contacts": ReasonText("no more contacts are ready", "add contacts"),
    "preview": ReasonText("in preview, agents ask for each call", ""),
    "probe": ReasonText("after a rest, one call finds out whether the Dialer API is well", ""),
    "queue": ReasonText("calls of the queue were placed or agents left while it was decided", ""),
    "risk": ReasonText(
        "one more person might find no agent, and that risk is more than is allowed now", "more agents"
    ),
    "trunk_down": ReasonText(
        "the trunk refuses nearly every call, so calls are placed for free agents only", "look at the trunk"
    ),
    "trunk_channels": ReasonText("all lines of its trunk are taken", "raise STREAMDIALER_TRUNK_CHANNELS"),
    "needs_verification": ReasonText("the other ready contacts are looked up in the backend first", ""),
}
"""Why a tick placed no more than it did; also the label `limit` of `streamdialer_pacing_limits_total`."""

SKIPPED: Final[dict[str, ReasonText]] = {
    "abandon_cooloff": ReasonText("at rest after an abandoned call", ""),
    "agent_not_free": ReasonText("whose callback is for an agent who is not free", ""),
    "max_attempts": ReasonText("out of attempts", "raise `max_retries`"),
    "cap_attempts": ReasonText("over a cap on attempts", ""),
    "cap_conversations": ReasonText("over a cap on conversations", ""),
    "do_not_call": ReasonText("not to be called", ""),
    "min_gap": ReasonText("within the gap between two attempts", ""),
    "no_phone_number": ReasonText("without a number that can be called", "mend them in the backend"),
    "needs_verification": ReasonText("to be looked up in the backend first", ""),
    "unreadable": ReasonText("that cannot be read", "mend them in the backend; the log names them"),
    "window_closed": ReasonText("outside their calling hours", ""),
    "zone_unknown": ReasonText("in a time zone nobody knows", "mend their `timezone` in the backend"),
}
"""Why contacts were passed over."""


def table_of(causes: Mapping[str, ReasonText]) -> list[str]:
    """The lines of a Markdown table."""
    lines = ["| code | in words | what to do |", "|---|---|---|"]
    return lines + [f"| `{code}` | {one.text} | {one.remedy} |" for code, one in sorted(causes.items())]
