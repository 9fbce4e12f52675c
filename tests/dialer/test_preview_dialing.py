"""Previews and callbacks in a running dialer, and a walk through everything agents and callers may ask for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Any

import anyio
import msgspec
import pytest
from redis.asyncio import Redis

from streamdialer.config.settings import Settings
from streamdialer.consumers.dialing.contact_rows import load_row
from streamdialer.consumers.services import Services
from streamdialer.gateways.dialer_api import DialerAPI
from streamdialer.gateways.originate_reply import Reply
from streamdialer.gateways.originate_request import OriginateRequest
from streamdialer.gateways.parsing import read_contacts
from streamdialer.model import Contact, PreviewAnswer
from streamdialer.producers.events import Producer, SyncProducer
from streamdialer.simulation.world.build import build_world
from tests.support.dialer import run_dialer
from tests.support.eventually import eventually
from tests.support.ledger_invariants import check_ledger
from tests.support.ledger_reader import move_clock
from tests.support.preview_fixture import PreviewWorld
from tests.support.zones import zone_where


@pytest.fixture
def world(services: Services) -> PreviewWorld:
    return PreviewWorld(services)


async def ask_all(producer: Producer, agents: Sequence[int]) -> list[Any]:
    """All agents ask at the same moment."""
    answers: list[Any] = []

    async def ask(agent: int) -> None:
        answers.append(await producer.preview(1, agent, timeout=10))

    async with anyio.create_task_group() as tasks:
        for agent in agents:
            tasks.start_soon(ask, agent)
    return answers


async def test_a_campaign_switched_to_preview_shows_what_its_contacts_were_loaded_without(
    redis: Redis, settings: Settings
) -> None:
    world = build_world(agents=0, contacts=30, mode="progressive", speed=60)
    for contact in world.contacts.values():
        contact.custom_data = {"name": f"Ada {contact.id}"}
    async with run_dialer(settings, world, campaign_cache_ttl_s=0.1) as dialer:
        await eventually(lambda: dialer.count("ready"), what="contacts are loaded")
        world.campaigns[1].dial_mode = "preview"
        answers = await ask_all(dialer.producer, range(1001, 1004))
        while any(answer.type == "preview_none" for answer in answers):  # the old settings are still known
            assert {answer.data.get("reason", "not_preview") for answer in answers} == {"not_preview"}
            answers = await ask_all(dialer.producer, range(1001, 1004))
        for answer in answers:
            assert answer.data["custom_data"] == {"name": f"Ada {answer.contact_id}"}


async def test_agents_who_race_through_two_replicas_are_never_shown_the_same_contact(
    redis: Redis, settings: Settings
) -> None:
    world = build_world(agents=12, contacts=40, mode="preview", speed=60)
    world.contacts[1].custom_data = {"name": "Ada"}
    world.contacts[1].priority = 10
    async with run_dialer(settings, world, replicas=2) as dialer:
        await eventually(lambda: dialer.count("ready"), what="contacts are loaded")
        for _ in range(3):
            answers = await ask_all(dialer.producer, range(1001, 1013))
            shown = [answer.contact_id for answer in answers]
            assert len(set(shown)) == 12
            assert "" not in shown
        assert any(answer.data["custom_data"] == {"name": "Ada"} for answer in answers)
        assert dialer.centre.summary().total.originates == 0
        for answer in answers:
            said = {"campaign_id": 1, "agent_id": answer.agent_id, "contact_id": answer.contact_id}
            await dialer.producer.event("preview_accepted", **said)
            await dialer.producer.event("preview_accepted", **said)
        audit = await dialer.until(lambda audit: audit.total.originates == 12)
        assert set(map(str, world.auditor.per_contact)) == set(shown)
        assert (audit.double_dials, await dialer.dead.count()) == (0, 0)


async def test_an_accepted_contact_is_called_within_its_own_hours(redis: Redis, settings: Settings) -> None:
    world = build_world(agents=1, contacts=2, mode="preview", speed=60)
    for contact in world.contacts.values():
        contact.timezone = zone_where(10, 18)
    async with run_dialer(settings, world, rule_pack="us-regf", timezone=zone_where(0, 6)) as dialer:
        await eventually(lambda: dialer.count("ready"), what="contacts are loaded")
        answer = await dialer.producer.preview(1, 1001)
        assert answer is not None
        assert answer.type == "preview_offered"
        said = {"campaign_id": 1, "agent_id": 1001}
        await dialer.producer.event("preview_accepted", **said)
        await dialer.until(lambda audit: audit.total.originates == 1, what="it is called")


async def test_a_campaign_that_dials_by_itself_shows_no_contact(redis: Redis, settings: Settings) -> None:
    world = build_world(agents=1, contacts=5, mode="progressive", speed=60)
    async with run_dialer(settings, world, start=False) as dialer:
        answer = await dialer.producer.preview(1, 1001)
        assert answer is not None
        assert (answer.type, answer.data["reason"]) == ("preview_none", "not_preview")
        answer = await dialer.producer.preview(99, 1001)
        assert answer is not None
        assert answer.data["reason"] == "invalid_campaign"


async def test_a_program_that_is_not_asynchronous_asks_as_well(redis: Redis, settings: Settings) -> None:
    world = build_world(agents=1, contacts=5, mode="preview", speed=60)
    async with run_dialer(settings, world) as dialer:
        await eventually(lambda: dialer.count("ready"), what="contacts are loaded")

        def ask() -> PreviewAnswer | None:
            with SyncProducer.from_url(settings.redis_url) as producer:
                return producer.preview(1, 1001)

        answer = await anyio.to_thread.run_sync(ask)
        assert answer is not None
        assert answer.type == "preview_offered"


async def test_a_preview_without_an_answer_is_none(redis: Redis, settings: Settings) -> None:
    async with Producer.from_url(settings.redis_url) as producer:
        assert await producer.preview(1, 1001, timeout=0.1) is None


def test_only_preview_campaigns_keep_what_agents_are_shown() -> None:
    contact = Contact(id=7, phone_number="+573001234567", custom_data={"notes": ["Ada"]})
    assert msgspec.json.decode(load_row(contact, for_preview=True).call) == {
        "id": 7,
        "phone_number": "+573001234567",
        "n": ["+573001234567"],
        "custom_data": {"notes": ["Ada"]},
    }
    assert "Ada" not in load_row(contact).call


@pytest.mark.parametrize("told", ["a note", [1, 2], {"name": "Ada"}])
def test_an_agent_is_shown_what_the_backend_keeps_whatever_it_is(told: Any) -> None:
    row = {"id": 7, "phone_number": "+1555", "custom_data": told}
    [contact], unreadable = read_contacts([row], campaign="1", statuses={"pending"})
    assert not unreadable
    assert msgspec.json.decode(load_row(contact, for_preview=True).call)["custom_data"] == told


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_is_done_at_once_the_ledger_stays_whole(world: PreviewWorld, seed: int) -> None:
    """A walk: agents, callbacks, claims, calls, time; after every step the whole ledger is looked at."""
    draw = Random(seed)
    await world.open_campaign(contacts=6, agents=3)
    done: list[Callable[[], Awaitable[Any]]] = []
    client, keys, seen = world.client, world.keys, set[str]()
    for _ in range(120):
        agent, contact = str(draw.randint(1, 3)), str(draw.randint(1, 6))
        entry = await world.write_entry()
        seconds, _ = await client.time()
        at_ms = (seconds + draw.choice((-60, 30, 5000))) * 1000
        calls = await world.reserved_calls()
        attempt = draw.choice(calls) if calls else None
        deed = draw.choice(
            ("requested", "accepted", "skipped", "callback", "claim", "begin", "event", "time")
        )
        if deed in ("requested", "accepted", "skipped"):
            done.append(partial(world.says, deed, agent, draw.choice((contact, "")), entry=entry))
        elif deed == "callback":
            request = world.services.callbacks.schedule
            done.append(partial(request, "1", contact, at_ms, entry=entry, agent=draw.choice(("", agent))))
        elif deed == "claim":
            done.append(partial(world.claim, level=2, token=entry))
        elif deed == "begin" and attempt:
            done.append(partial(world.services.campaigns.mark_sent, attempt, "run", ""))
        elif deed == "event" and attempt:
            kind = draw.choice(("call_answered", "call_completed", "call_failed", "call_abandoned"))
            done.append(partial(world.event, kind, attempt, entry=entry))
        elif deed == "time":
            await move_clock(client, keys, draw.choice((40, 130, 400)))
            await world.sweep()
            listed = [world.row(str(number)) for number in range(1, 7)]  # the backend still shows them
            await world.services.campaigns.load("1", listed, world.max_attempts)
        for act in (*done[-1:], *draw.sample(done, min(1, len(done)))):
            await act()
        view = (await check_ledger(client, keys, ["1"])).campaigns["1"]
        agents = [(await world.record(contact))["of"]["ag"] for contact in view.states["previewing"]]
        assert len(agents) == len(set(agents)), "an agent is shown two contacts"
        seen.update(place for place, contacts in view.states.items() if contacts)
    assert {"previewing", "deferred", "dialing"} <= seen


async def test_a_callback_is_placed_on_the_number_and_for_the_agent_asked_for(
    redis: Redis, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_of_the_api: list[OriginateRequest] = []
    originate = DialerAPI.originate

    async def watched(api: DialerAPI, request: OriginateRequest) -> Reply:
        asked_of_the_api.append(request)
        return await originate(api, request)

    monkeypatch.setattr(DialerAPI, "originate", watched)
    world = build_world(agents=1, contacts=3, mode="progressive", speed=60, answer_rate=0.0)
    async with run_dialer(settings, world) as dialer:
        await eventually(lambda: dialer.services.client.hexists("sd:c:1:records", "3"))
        at = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
        asked = {
            "campaign_id": 1,
            "contact_id": 3,
            "at": at,
            "phone_number": "+1 (555) 000-9999",
            "agent_id": 1001,
        }
        await dialer.producer.event("callback_requested", **asked)
        [request] = await eventually(
            lambda: [each for each in asked_of_the_api if each.phone_number == "+15550009999"],
            what="it is called there",
        )
        assert (request.contact, request.variables) == ("3", {"AGENT_ID": "1001"})
        assert await dialer.dead.count() == 0
