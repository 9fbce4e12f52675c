"""Why is it not dialing? Every reason in words, the present one first."""

from __future__ import annotations

import json
import re
from typing import Any, get_args

import pytest
from redis.asyncio import Redis
from typer.testing import CliRunner

from streamdialer.cli import app
from streamdialer.config.settings import Settings
from streamdialer.consumers.dialing.reasons import LIMITS, REASONS, WAITING
from streamdialer.consumers.services import Services
from streamdialer.model import TickResult
from streamdialer.operations.decisions import decisions, describe, explain
from streamdialer.operations.waiting_contacts import describe as waiting_in_words
from streamdialer.operations.waiting_contacts import waiting_for
from streamdialer.pacing.adaptive import Bound
from streamdialer.pacing.decide import Limit
from streamdialer.simulation.world.build import build_world
from tests.support.dialer import run_dialer
from tests.support.ledger_fixture import LedgerWorld

ADAPTIVE: dict[str, Any] = {
    "place": 3,
    "p": 0.31,
    "risk_limit": 0.028,
    "horizon_s": 11,
    "available": 2,
    "coming": 1.84,
    "answering": 3.1,
    "risk": 0.041,
    "limit": "risk",
}


def record(**changes: Any) -> TickResult:
    plain: dict[str, Any] = {"status": "ok", "kind": "dial", "campaign_id": "7", "dialed": 0, "at": 0}
    return TickResult(**(plain | changes))


@pytest.mark.parametrize(
    ("status", "records", "first"),
    [
        (None, [], "is not dialed: it has no status in Redis"),
        ("paused", [], "is not dialed: its status is 'paused'"),
        ("active", [], "but no tick has decided about it yet"),
        (
            "active",
            [record(reason="no_agents", detail=REASONS["no_agents"].text)],
            "not dialed: no agent of the queue is free",
        ),
        ("active", [record(at=-300_000)], "but no tick has decided about it for 301 s"),
        ("active", [record(dialed=1, limit="agents")], "Campaign 7 is dialed."),
    ],
)
def test_how_it_stands_comes_first(status: str | None, records: list[TickResult], first: str) -> None:
    line = next(iter(explain("7", status, records, now_ms=1000)))
    assert first in line


def test_what_to_do_about_an_unknown_campaign_is_said_once() -> None:
    assert list(explain("7", None, [], now_ms=0)) == [
        "Campaign 7 is not dialed: it has no status in Redis.",
        "What to do: run `streamdialer campaign start` to give it one.",
    ]


def test_skipped_contacts_are_listed_also_when_none_was_left() -> None:
    told = describe(
        record(
            reason="no_contacts",
            detail=REASONS["no_contacts"].text,
            skipped={"cap_attempts": 3, "do_not_call": 1},
        )
    )
    assert told == (
        "No call: no contact is ready to be dialed; skipped: 3 over a cap on attempts, 1 on the do-not-call list."
    )


def test_a_detail_that_other_languages_cannot_say_follows_the_words_of_its_code() -> None:
    text = REASONS["no_contacts"].text
    known = describe(record(reason="no_contacts", detail=f"{text}; {WAITING.format(number=3)}", deferred=3))
    assert known == f"No call: {text}; 3 wait for a retry, a callback, their calling hours or a cap."
    assert known.translated(Shouting()) == (
        f"NO CALL: {text.upper()}; 3 WAIT FOR A RETRY, A CALLBACK, THEIR CALLING HOURS OR A CAP."
    )
    longer = describe(record(reason="no_contacts", detail=f"{text}; a page is missing"))
    assert longer.translated(Shouting()) == f"NO CALL: {text.upper()}; a page is missing."
    other = describe(record(reason="backend_unreachable", detail="no answer"))
    assert (other, other.translated(Shouting())) == ("No call: no answer.", "NO CALL: no answer.")


class Shouting:
    """A language of capitals."""

    def gettext(self, message: str) -> str:
        return re.sub(r"(^|\})[^{}]*", lambda match: match[0].upper(), message)

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return self.gettext(msgid1 if n == 1 else msgid2)


def test_the_rule_that_kept_a_contact_from_being_called_is_named() -> None:
    told = describe(
        record(
            dialed=1, limit="no_contacts", skipped={"window_closed": 2}, why={"window_closed": "rule pack co"}
        )
    )
    assert told.endswith("; skipped: 2 outside their calling hours (the first by rule pack co).")


def test_a_fixed_decision_names_agents_calls_and_what_bound() -> None:
    told = describe(record(dialed=2, available_agents=5, active_calls=5, mode="progressive", limit="agents"))
    assert told == (
        "Placed 2 calls: 5 free agents, 5 unanswered calls (progressive); "
        "every free agent has as many calls as the campaign's mode allows."
    )


def test_a_decision_says_how_each_limit_narrowed_it() -> None:
    steps = [("agents", 12, 8), ("concurrency", 8, 8), ("trunk_channels", 8, 5), ("batch", 5, 5)]
    told = describe(
        record(
            dialed=5, available_agents=8, active_calls=5, mode="power", limit="trunk_channels", steps=steps
        )
    )
    assert told.endswith(
        "all channels of its trunk are taken (12 by its share, 8 after agents, 5 after trunk_channels)."
    )


def test_an_adaptive_decision_shows_its_outlook_and_the_risk_it_refused() -> None:
    told = describe(record(dialed=3, adaptive=ADAPTIVE))
    assert told == (
        "Placed 3 calls. Within 11 s, 1.8 agents become free besides the 2 free now, and 3.1 people answer "
        "(31% of calls are answered); the risk that one more person finds no agent would be 4.1%, "
        "and at most 2.8% is allowed now."
    )


def test_a_decision_says_how_many_calls_it_took_back() -> None:
    told = describe(record(adaptive=ADAPTIVE | {"take_back": 2}))
    assert told.endswith("at most 2.8% is allowed now; 2 ringing calls taken back.")


def test_a_reached_cap_says_that_it_dials_progressively() -> None:
    told = describe(record(adaptive=ADAPTIVE | {"limit": "cap_reached"}))
    assert "the abandon rate is above its cap: only free agents get calls (progressive)" in told


@pytest.mark.parametrize("limit", sorted(set(get_args(Bound)) - {"risk", "cap_reached"}))
def test_every_adaptive_limit_has_words(limit: str) -> None:
    assert LIMITS[limit].text in describe(record(adaptive=ADAPTIVE | {"limit": limit}))


@pytest.mark.parametrize("limit", get_args(Limit))
def test_every_fixed_limit_has_words(limit: str) -> None:
    assert LIMITS[limit].text in describe(record(limit=limit))


def test_a_shadow_and_skipped_contacts_are_shown() -> None:
    told = describe(record(dialed=1, limit="no_contacts", shadow=ADAPTIVE, skipped={"max_attempts": 4}))
    assert told.endswith("; skipped: 4 out of attempts. Adaptive pacing would have placed 3.")


async def test_from_records_of_a_dialed_campaign(settings: Settings, redis: Redis, monkeypatch: Any) -> None:
    monkeypatch.setenv("REDIS_URL", settings.redis_url)
    world = build_world(agents=4, contacts=60, mode="predictive", pacing="adaptive", speed=60)
    async with run_dialer(settings, world, pacing_time_scale=60.0) as dialer:
        await dialer.until(lambda audit: audit.total.originates > 10, within_s=30)
        await redis.hset("campaign:1", "status", "paused")
        await dialer.tick()
        found = await decisions(redis, dialer.services.keys, "1", 50)
        assert found[0].reason == "not_active"
        assert any(one.adaptive for one in found)
        assert all(one.reason != "throttled" for one in found), "nothing was decided then"
    from anyio.to_thread import run_sync

    result = await run_sync(lambda: CliRunner().invoke(app, ["explain", "1", "--last", "50"]))
    assert result.exit_code == 0, result.output
    first, *others = result.stdout.splitlines()
    assert first == "Campaign 1 is not dialed: its status is 'paused', not 'active'."
    assert "What to do: run `streamdialer campaign start` to dial it." in others
    assert any("agents become free besides" in line for line in others)
    result = await run_sync(lambda: CliRunner().invoke(app, ["explain", "1", "--json"]))
    assert json.loads(result.stdout)["decisions"][0]["reason"] == "not_active"
    assert json.loads(result.stdout)["stands"] == first
    assert json.loads(result.stdout)["reason"] == "not_active"


async def test_waiting_contacts_are_counted_by_reason(services: Services) -> None:
    world, client, keys = LedgerWorld(services), services.client, services.keys
    await world.open_campaign(contacts=5)
    for number, reason in enumerate(["retry", "retry", "callback", "min_gap", "of_tomorrow"], 1):
        wait = {"y": reason, "s": "4 h between two attempts" if reason == "min_gap" else None}
        document = {"p": "deferred", "a": 1, "w": wait}
        await client.hset(keys.records("1"), str(number), json.dumps(document))
        await client.zadd(keys.deferred("1"), {str(number): 10_000 * number})
    found = await waiting_for(client, keys, "1", 5_000)
    assert [(one.reason, one.contacts, one.first_in_s) for one in found] == [
        ("retry", 2, 5.0),
        ("callback", 1, 25.0),
        ("min_gap", 1, 35.0),
    ]
    assert waiting_in_words(found) == (
        "Deferred contacts due next: 2 for their next attempt (the first in 5 s), 1 for the callback they asked for "
        "(the first in 25 s), 1 within the gap between two attempts (the first in 35 s; 4 h between two attempts)."
    )
    assert waiting_in_words(await waiting_for(client, keys, "2", 0)) == ""
