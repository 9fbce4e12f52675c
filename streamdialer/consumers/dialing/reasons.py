"""Why a campaign places no call, or no more: every code of a decision record with its words and what to do about it.

`explain`, `top` and the dashboard say these words; `docs/explain.md` is checked against this file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

WHY: Final = {
    "not_active": "the campaign's status is not active",
    "memory_lost": (
        "Redis was started anew, emptied or replaced: calls it may have forgotten are waited out first"
    ),
    "memory_unknown": "Redis does not answer INFO: let the user of REDIS_URL run it",
    "window_closed": "its calling hours are over",
    "rate_limited": "the Dialer API asked this campaign to wait",
    "dialer_api_down": "the Dialer API does not take calls; one call tries it after each rest",
    "dialer_api_credentials": "the Dialer API refuses our credentials: check DIALER_API_TOKEN (tried after each rest)",
    "no_call_events": "calls were sent and no call event has come since: is a program writing call events?",
    "decided_just_now": "adaptive pacing decides at most four times a second",
    "trunk_changed": "the campaigns on its trunk kept changing; the next tick tries again",
    "no_agents": "no agent of the queue is free",
    "no_contacts": "no contact is ready to be dialed",
    "unconfirmed": "the backend has not shown the ready contacts as pending for a while; they are looked up first",
}


class Cause(msgspec.Struct, frozen=True):
    """A code in words."""

    says: str
    do: str
    """What somebody can do about it; '' where nothing is wrong."""


_DO: Final = {
    "not_active": "`streamdialer campaign start`, when it is to be dialed",
    "memory_lost": "nothing: it goes on by itself; if Redis was not restarted on purpose, find out why it was",
    "memory_unknown": "let the user of REDIS_URL run INFO",
    "window_closed": "nothing before they open, unless the campaign's hours, zone or rule pack are wrong",
    "rate_limited": "nothing: the Dialer API said for how long; ask for fewer calls if it does so often",
    "dialer_api_down": "look at the Dialer API: `streamdialer doctor` asks it",
    "dialer_api_credentials": "set DIALER_API_TOKEN to a token that the Dialer API takes",
    "no_call_events": "start whatever writes call events to `dialer:events`; it goes on when they come",
    "decided_just_now": "",
    "trunk_changed": "nothing, unless it stays so",
    "no_agents": "nothing, unless agents are free: then look at the backend's list and at the agent events",
    "no_contacts": "add contacts, unless those that wait will do",
    "unconfirmed": "nothing: they are asked for one by one; if it stays so, look at the backend",
}

REASONS: Final[dict[str, Cause]] = {
    **{code: Cause(words, _DO[code]) for code, words in WHY.items()},
    "queue_changed": Cause(
        "the campaigns of its queue kept changing; the next tick tries again", "nothing, unless it stays so"
    ),
    "unknown_campaign": Cause("it has no status in Redis", "`streamdialer campaign start` gives it one"),
    "nobody_decides": Cause(
        "nobody has decided anything about it for two minutes, or yet",
        "start `streamdialer tick` and `consume`",
    ),
    "campaign_unusable": Cause(
        "its settings cannot be read or used; says which", "mend the campaign in the backend"
    ),
    "backend_unreachable": Cause(
        "the backend does not answer, or not in a way that can be read",
        "look at the backend: `streamdialer doctor` asks it",
    ),
    "backend_credentials": Cause(
        "the backend refuses our credentials", "set BACKEND_TOKEN, or BACKEND_USERNAME and BACKEND_PASSWORD"
    ),
    "backend_refused": Cause("the backend refuses the request; says why", "look at what it says"),
}
"""Of a tick that placed nothing; also the label `reason` of `streamdialer_ticks_total`."""

LIMITS: Final[dict[str, Cause]] = {
    "agents": Cause("every free agent has as many calls as its mode allows", ""),
    "agents_shared": Cause(
        "the other free agents are for the other campaigns of the queue", "raise its `weight`"
    ),
    "batch": Cause("a tick places no more at once; the next follows", ""),
    "calls_per_second": Cause(
        "its calls_per_second, or that of its trunk, allows no more at this moment",
        "raise `calls_per_second`, or STREAMDIALER_TRUNK_CALLS_PER_SECOND",
    ),
    "cap_reached": Cause(
        "the abandon rate is above its cap, so calls are placed for free agents only (progressive)",
        "nothing: it comes down with people who are served; more agents bring it down sooner",
    ),
    "closed": Cause("it may not dial now", ""),
    "concurrency": Cause("its max_concurrent_calls is reached", "raise `max_concurrent_calls`"),
    "contacts": Cause("no more contacts are ready", "add contacts"),
    "hours": Cause("the next contacts' calling hours were not known yet", ""),
    "lines": Cause("the trunk is full", "raise STREAMDIALER_TRUNK_LINES"),
    "no_agents": Cause("no agent is free", ""),
    "no_contacts": Cause("no more contacts are ready", "add contacts"),
    "preview": Cause("in preview, agents ask for each call", ""),
    "probe": Cause("after a rest, one call finds out whether the Dialer API is well", ""),
    "queue": Cause("calls of the queue were placed or agents left while it was decided", ""),
    "risk": Cause(
        "one more person might find no agent, and that risk is more than is allowed now", "more agents"
    ),
    "trunk_down": Cause(
        "the trunk refuses nearly every call, so calls are placed for free agents only", "look at the trunk"
    ),
    "trunk_lines": Cause("all lines of its trunk are taken", "raise STREAMDIALER_TRUNK_LINES"),
    "unconfirmed": Cause("the other ready contacts are looked up in the backend first", ""),
}
"""Why a tick placed no more than it did; also the label `limit` of `streamdialer_pacing_limits_total`."""

SKIPPED: Final[dict[str, Cause]] = {
    "abandoned_rest": Cause("at rest after an abandoned call", ""),
    "agent_not_free": Cause("whose callback is for an agent who is not free", ""),
    "attempts_used_up": Cause("out of attempts", "raise `max_retries`"),
    "cap_attempts": Cause("over a cap on attempts", ""),
    "cap_conversations": Cause("over a cap on conversations", ""),
    "do_not_call": Cause("not to be called", ""),
    "min_gap": Cause("within the gap between two attempts", ""),
    "no_phone_number": Cause("without a number that can be called", "mend them in the backend"),
    "unconfirmed": Cause("to be looked up in the backend first", ""),
    "unreadable": Cause("that cannot be read", "mend them in the backend; the log names them"),
    "window_closed": Cause("outside their calling hours", ""),
    "zone_unknown": Cause("in a time zone nobody knows", "mend their `timezone` in the backend"),
}
"""Why contacts were passed over."""


def table_of(causes: Mapping[str, Cause]) -> list[str]:
    """The lines of a Markdown table."""
    lines = ["| code | in words | what to do |", "|---|---|---|"]
    return lines + [f"| `{code}` | {one.says} | {one.do} |" for code, one in sorted(causes.items())]
