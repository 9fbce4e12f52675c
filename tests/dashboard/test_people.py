"""The pages about people: agents, calls and contacts, and how far a list has been called."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from streamdialer.config.settings import Settings
from streamdialer.ledger.types import LoadRow
from streamdialer.model import AGENTLESS_QUEUE, Agent
from streamdialer.operations import agents_now as agents_module
from streamdialer.operations.agents_now import HOUR_MS, AgentNow, agents_now
from streamdialer.operations.calls_now import live_calls, newest_ended
from streamdialer.operations.contact_search import find_contacts
from streamdialer.operations.overview.collect import overview
from streamdialer.operations.penetration import penetration
from tests.support.dashboard_fixture import GUARDED, KEYS, LOOK, WALL, visiting
from tests.support.ledger_fixture import LedgerWorld
from tests.support.ledger_reader import move_clock

NUMBER = "+573001234561"
"""Of contact 1; that of contact 2 ends with 2."""


async def load_numbers(world: LedgerWorld, campaign: str, *contacts: int, country: str = "") -> None:
    """Contacts whose numbers are compared in E.164."""
    rows = []
    for contact in contacts:
        number = f"{NUMBER[:-1]}{contact}"
        call = {"id": contact, "phone_number": number, "n": [number]}
        rows.append(LoadRow(str(contact), 5, 0, msgspec.json.encode(call).decode()))
    await world.services.campaigns.load(campaign, rows, 3, country=country)


async def now_of(world: LedgerWorld) -> int:
    seconds, micros = await world.client.time()
    return int(seconds) * 1000 + int(micros) // 1000


async def agents_of(world: LedgerWorld) -> dict[str, AgentNow]:
    """By name; the day began three hours ago."""
    now = await now_of(world)
    found = await agents_now(world.client, world.keys, {"sales": 9}, now, now - 3 * HOUR_MS)
    return {agent.agent: agent for agent in found}


# ---- agents ----


async def test_each_agent_has_a_state_its_beginning_and_the_days_calls(world: LedgerWorld) -> None:
    await world.open_campaign(agents=3)
    await world.agent_event("1", "busy")
    await move_clock(world.client, world.keys, 60)
    await world.agent_event("1", "wrapup")
    await move_clock(world.client, world.keys, 20)
    await world.agent_event("1", "available")
    await world.agent_event("1", "available")
    await world.agent_event("2", "busy")
    await world.agent_event("3", "offline")
    await move_clock(world.client, world.keys, 30)
    found = await agents_of(world)
    assert [(each.activity, each.calls) for each in found.values()] == [
        ("talking", 1),
        ("free", 1),
        ("away", 0),
    ]
    assert found["1"].talk_s == pytest.approx(60, abs=1)
    assert found["2"].talk_s == pytest.approx(30, abs=1)
    now = await now_of(world)
    assert all((now - (each.since or 0)) / 1000 == pytest.approx(30, abs=1) for each in found.values())


async def test_without_events_the_lists_say_when_a_state_began(world: LedgerWorld) -> None:
    await world.open_campaign(agents=1)

    async def list_as(state: str) -> None:
        asked = await world.services.queues.begin_agent_poll("sales")
        await world.services.queues.replace_agents("sales", [Agent("1", state)], asked.ledger_ms)

    await list_as("busy")
    await move_clock(world.client, world.keys, 40)
    await list_as("wrapup")
    found = (await agents_of(world))["1"]
    assert (found.activity, found.calls) == ("wrapup", 1)
    assert found.talk_s == pytest.approx(40, abs=1)
    assert (await now_of(world) - (found.since or 0)) / 1000 == pytest.approx(0, abs=1)


async def test_a_call_whose_agent_was_guessed_wrong_counts_for_the_right_one(world: LedgerWorld) -> None:
    await world.open_campaign(agents=2)
    await world.event("call_answered", await world.place_one(), call_id="c")
    guessed = next(name for name, each in (await agents_of(world)).items() if each.activity == "talking")
    other = "1" if guessed == "2" else "2"
    await world.agent_event(other, "busy")
    found = await agents_of(world)
    assert (found[guessed].activity, found[guessed].calls) == ("free", 0)
    assert (found[other].activity, found[other].calls) == ("talking", 1)


async def test_only_the_hours_of_the_day_count_and_old_ones_are_forgotten(world: LedgerWorld) -> None:
    await world.open_campaign(agents=1)
    for _ in range(3):
        await world.agent_event("1", "busy")
        await world.agent_event("1", "wrapup")
        await move_clock(world.client, world.keys, 4 * 3600)
    assert (await agents_of(world))["1"].calls == 0
    now = await now_of(world)
    whole_day = await agents_now(world.client, world.keys, {"sales": 1}, now, now - 13 * HOUR_MS)
    assert whole_day[0].calls == 3
    await move_clock(world.client, world.keys, 24 * 3600)
    await world.agent_event("1", "busy")
    stored: Any = await world.client.hget(world.keys.agents, "1")
    assert len(msgspec.json.decode(stored)["hr"].split()) == 3


async def test_no_more_agents_are_read_than_the_page_shows(
    world: LedgerWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents_module, "MAX_AGENTS", 4)
    await world.open_campaign(agents=9)
    assert len(await agents_of(world)) == 4


async def test_the_page_of_agents(world: LedgerWorld, settings: Settings) -> None:
    await world.open_campaign(agents=2)
    await world.agent_event("1", "busy")
    async with visiting(settings) as visitor:
        page = (await visitor.get("/agents")).text
        elsewhere = (await visitor.get("/agents?queue=support")).text
    assert re.search(r'id="agent-1".*talking.*sales.*data-label="Calls today">1<', page)
    assert re.search(r'id="agent-2".*free.*data-label="Calls today">0<', page)
    assert "No agents are known" in elsewhere


# ---- calls ----


async def test_in_an_agentless_campaign_nobody_waits_for_an_agent(
    world: LedgerWorld, settings: Settings
) -> None:
    agentless = LedgerWorld(world.services, f"{AGENTLESS_QUEUE}1")
    await agentless.open_campaign("1", contacts=2, agents=1)
    call = await agentless.place_one()
    await agentless.event("call_answered", call, call_id="a")
    reading = await overview(world.services.scripts, world.keys)
    (live,) = await live_calls(world.client, world.keys, reading.campaigns, reading.at)
    assert live.phase == "talking"
    async with visiting(settings) as visitor:
        page = (await visitor.get("/")).text
    assert "without agents" in page
    assert "Agents free" not in page
    assert AGENTLESS_QUEUE not in page


async def test_calls_that_are_up_and_those_that_ended(world: LedgerWorld, settings: Settings) -> None:
    await world.open_campaign(contacts=4, agents=4)
    sent, rings, talks = [await world.place_one() for _ in range(3)]
    await world.event("call_ringing", rings, call_id="r")
    await world.event("call_answered", talks, call_id="t", agent_id="2")
    reading = await overview(world.services.scripts, world.keys)
    live = await live_calls(world.client, world.keys, reading.campaigns, reading.at)
    assert {(call.contact_id, call.phase, call.agent) for call in live} == {
        (int(sent.contact), "sent", ""),
        (int(rings.contact), "ringing", ""),
        (int(talks.contact), "talking", "2"),
    }
    assert all(re.fullmatch("•+[0-9]{3}", call.number) for call in live)
    await world.event("call_failed", rings, call_id="r", disposition="busy", cause="q850:17")
    await world.event("call_completed", talks, call_id="t", duration=12)
    await world.event("call_completed", talks, call_id="t", duration=14)
    ended = await newest_ended(world.client, world.keys)
    assert [(each.contact_id, each.disposition, each.duration) for each in ended] == [
        (int(talks.contact), "completed", 14),
        (int(rings.contact), "busy", None),
    ]
    async with visiting(settings) as visitor:
        page = (await visitor.get("/calls")).text
    assert "q850:17 user busy" in page
    assert f'href="/campaigns/1/contacts/{talks.contact}"' in page
    assert "being placed" in page


async def test_foreign_entries_among_the_outcomes_are_passed_over(redis: Redis) -> None:
    for data in ("", "[]", '{"attempt_id": 1}', "\udcff"):
        await redis.xadd(KEYS.outcomes, {"type": "attempt_ended", "data": data})
    await redis.xadd(KEYS.outcomes, {"else": "x"})
    assert await newest_ended(redis, KEYS) == []


# ---- how far the list has been called ----


async def test_attempts_are_counted_by_their_number_and_late_news_corrects_it(world: LedgerWorld) -> None:
    world.retry_delay_ms = 0
    await world.open_campaign(contacts=2, agents=2)
    first, second = [await world.place_one() for _ in range(2)]
    await world.event("call_failed", first, call_id="a", disposition="no_answer")
    await world.event("call_answered", second, call_id="b", agent_id="1")
    await world.event("call_completed", second, call_id="b")

    async def counts() -> list[tuple[int, int, int]]:
        return [(row.attempt, row.tried, row.reached) for row in await penetration(world.client, KEYS, "1")]

    assert await counts() == [(1, 2, 1)]
    await world.sweep()
    again = await world.place_one()
    assert again.contact == first.contact
    assert await counts() == [(1, 2, 1), (2, 1, 0)]
    await world.event("call_abandoned", second, call_id="b")
    assert await counts() == [(1, 2, 0), (2, 1, 0)]


async def test_the_page_of_a_campaign_shows_it(world: LedgerWorld, settings: Settings) -> None:
    await world.open_campaign(contacts=2, agents=2)
    async with visiting(settings) as visitor:
        assert "No contact has been called yet." in (await visitor.get("/campaigns/1")).text
        await world.place_one()
        page = (await visitor.get("/campaigns/1")).text
    assert '<th scope="row">1</th><td data-label="Tried">1</td><td data-label="Reached">0</td>' in page


# ---- contacts ----


async def test_a_contact_is_found_by_its_id_and_by_its_number(world: LedgerWorld) -> None:
    for campaign in ("1", "2"):
        await world.open_campaign(campaign, contacts=0)
    await load_numbers(world, "1", 1, 2, 3)
    await load_numbers(world, "2", 1, country="CO")

    async def find(text: str) -> list[tuple[Any, Any]]:
        return [
            (each.campaign_id, each.contact_id)
            for each in await find_contacts(world.client, KEYS, ["1", "2"], text)
        ]

    assert await find("3") == [(1, 3)]
    assert await find("1") == [(1, 1), (2, 1)]
    assert await find("+57 300 1234562") == [(1, 2)]
    assert await find("300 123 45 62") == [(1, 2)]
    assert await find(NUMBER) == [(1, 1), (2, 1)]
    for nothing in ("4", "+57300", "no one", "..", "\u2028", "+" * 300):
        assert await find(nothing) == []


async def test_the_search_is_a_form_that_viewers_may_send_and_shows_masked_numbers(
    world: LedgerWorld, settings: Settings
) -> None:
    await world.open_campaign(contacts=0, agents=1)
    await load_numbers(world, "1", 1)
    attempt = await world.place_one()
    await world.event("call_failed", attempt, call_id="c", disposition="busy")
    async with visiting(settings, **GUARDED) as visitor:
        await visitor.log_in(WALL, LOOK)
        found = (await visitor.send("/contacts", contact=NUMBER)).text
        assert 'href="/campaigns/1/contacts/1"' in found
        assert NUMBER not in found
        assert "No contact of this id or number" in (await visitor.send("/contacts", contact="77")).text
        assert (await visitor.send("/contacts", contact=" ")).status_code == 400
        page = await visitor.get(f"/campaigns/1/contacts/{attempt.contact}")
        assert (page.status_code, NUMBER in page.text) == (200, False)
        assert "busy" in page.text
        for missing in ("/campaigns/1/contacts/77", "/campaigns/1/contacts/%20", "/campaigns/9/contacts/1"):
            assert (await visitor.get(missing)).status_code == 404


# ---- names ----


async def test_campaigns_have_their_names_and_link_to_their_pages_in_the_backend(
    world: LedgerWorld, settings: Settings
) -> None:
    await world.open_campaign(contacts=1)
    await world.client.hset(
        world.keys.queue_pacing("sales"),
        "1",
        '{"mode":"progressive","ratio":1,"weight":1,"max_concurrent":9,"is_open":true,"is_adaptive":false,"cap":0.03,'
        '"window_h":24,"name":"Spring <sale>"}',
    )
    async with visiting(settings, dashboard_admin_url="http://127.0.0.1:8000/") as visitor:
        home, page = (await visitor.get("/")).text, (await visitor.get("/campaigns/1")).text
    for each in (home, page):
        assert "Spring &lt;sale&gt;" in each
        assert "Campaign 1 · Queue sales" in each
        assert 'href="http://127.0.0.1:8000/admin/backend/campaign/1/change/"' in each
