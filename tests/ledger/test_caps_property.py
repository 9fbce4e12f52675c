"""Caps per person, number and subject, against a model: random histories of campaigns that share people.

For more histories, and different ones each time:

    CAPS_EXAMPLES=500 python -m pytest tests/ledger/test_caps_property.py --hypothesis-profile default
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

import anyio
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from streamdialer.config.settings import Settings
from streamdialer.consumers.services import open_services
from streamdialer.ledger.records import Update
from streamdialer.ledger.recovery import mark_server_trusted
from tests.support.caps_fixture import HOUR_S, CapsWorld

ONE, TWO, THREE = "+573001234561", "+573001234562", "+573001234563"
EXAMPLES: Final = int(os.environ.get("CAPS_EXAMPLES", "3"))
"""Histories of each scope."""
WINDOW_H: Final = 24
UNSURE_S: Final = 300
"""A call that is this near to the end of its window may count or not: the test's own calls take time."""


@dataclass(frozen=True)
class Listed:
    """The only contact of a campaign."""

    contact: str
    numbers: tuple[str, ...]
    subject: str | None


LISTS: Final = {
    "1": Listed("1", (ONE, TWO), "loan"),
    "2": Listed("1", (ONE,), "card"),
    "3": Listed("2", (TWO, THREE), "loan"),
    "4": Listed("3", (THREE,), None),
}


@dataclass(frozen=True)
class Call:
    campaign: str
    number: str
    at_s: float


def is_counted(scope: str, call: Call, campaign: str, number: str) -> bool:
    """Whether the call counts for a next one of the campaign, to that number."""
    its, own = LISTS[call.campaign], LISTS[campaign]
    if scope == "number":
        return call.number == number
    if scope == "contact":
        return call.campaign == campaign
    is_same_person = its.contact == own.contact or call.number in own.numbers
    is_about = scope == "person" or its.subject is None or own.subject is None or its.subject == own.subject
    return is_same_person and is_about


async def check(scope: str, count: int, steps: list[tuple[str, int]], here: Settings) -> None:
    async with open_services(here) as services:
        await services.client.flushall()
        await mark_server_trusted(services.client, services.keys)
        world = CapsWorld(services)
        await world.set_agents(9)
        for campaign, listed in LISTS.items():
            more = {"subject": listed.subject} if listed.subject else {}
            await world.know(campaign, listed.contact, *listed.numbers, **more)
        world.cap(attempt_caps=[{"count": count, "window_h": WINDOW_H, "scope": scope}])
        calls, now_s, turns = list[Call](), 0.0, dict.fromkeys(LISTS, 0)
        for campaign, pause_s in steps:
            listed = LISTS[campaign]
            await world.pass_time(pause_s)
            now_s += pause_s
            number = listed.numbers[turns[campaign] % len(listed.numbers)]
            ages_s = [now_s - call.at_s for call in calls if is_counted(scope, call, campaign, number)]
            if any(abs(age_s - WINDOW_H * HOUR_S) < UNSURE_S for age_s in ages_s):
                return
            is_allowed = sum(age_s < WINDOW_H * HOUR_S for age_s in ages_s) < count
            claimed = await world.claim(campaign, others=world.others[campaign])
            assert claimed.dialed == is_allowed, (steps, campaign, ages_s, claimed.skipped)
            if not is_allowed:
                continue
            *_, attempt = await world.reserved_calls()
            assert await world.mark_sent(attempt) == "ok"
            await world.event("call_failed", attempt, disposition="no_answer")
            update = await services.outbox.lease(campaign, attempt.contact, "me")
            assert isinstance(update, Update)
            await services.outbox.acknowledge(campaign, attempt.contact, "me", update.version)
            calls.append(Call(campaign, number, now_s))
            turns[campaign] += 1
        await services.client.flushall()


STEPS = st.lists(
    st.tuples(st.sampled_from(sorted(LISTS)), st.sampled_from([400, 9_000, 31_000, 55_000])),
    min_size=4,
    max_size=8,
)


@pytest.mark.parametrize("scope", ["person", "number", "subject"])
@examples(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(count=st.integers(1, 2), steps=STEPS)
def test_a_cap_counts_what_the_model_counts(
    settings: Settings, scope: str, count: int, steps: list[tuple[str, int]]
) -> None:
    anyio.run(check, scope, count, steps, settings)
