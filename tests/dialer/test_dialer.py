"""The whole dialer against the simulated call centre, which alone knows which phones ring."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import pytest
from aiohttp import web
from redis.asyncio import Redis

from streamdialer.config.settings import Settings
from streamdialer.model import DialMode, TickResult
from streamdialer.simulation.servers.http import drop_connection, json_reply
from streamdialer.simulation.world.build import build_world
from streamdialer.simulation.world.config import CentreConfig
from tests.support.dialer import Dialer, run_dialer
from tests.support.eventually import eventually

pytestmark = pytest.mark.usefixtures("redis")


@pytest.mark.parametrize("mode", ["progressive", "predictive", "power"])
@pytest.mark.parametrize("reply", ["held", "immediate"])
async def test_a_campaign_is_dialed_to_its_end_and_no_contact_is_called_twice(
    settings: Settings, mode: DialMode, reply: str
) -> None:
    world = build_world(agents=8, contacts=30, mode=mode, speed=100, retry_delay_s=30)
    config = CentreConfig(reply="held" if reply == "held" else "immediate")
    async with run_dialer(settings, world, speed=100, centre_config=config) as dialer:
        audit = await dialer.until_all_are_final()
        assert (audit.double_dials, audit.dialed_after_final, audit.over_max_retries) == (0, 0, 0)
        assert audit.repeated_keys == {}
        public = await dialer.public()
        assert int(public["total_calls"]) == audit.total.originates
        assert int(public["answered_calls"]) == audit.total.answered_by_person + audit.total.machine
        for name in ("no_answer", "busy", "failed", "abandoned", "machine"):
            assert int(public[name]) == getattr(audit.total, name), name
        assert (public["active_calls"], public["connected_calls"]) == ("0", "0")
        assert await dialer.dead.count() == 0
        assert sum(audit.contacts.values()) == 30


async def test_preview_dials_nothing_by_itself(settings: Settings) -> None:
    world = build_world(agents=5, contacts=10, mode="preview", speed=60)
    async with run_dialer(settings, world) as dialer:
        result = await dialer.tick()
        assert (result.dialed, result.mode) == (0, "preview")
        assert dialer.centre.summary().total.originates == 0


async def test_hset_status_active_starts_dialing_and_paused_stops_it_at_once(settings: Settings) -> None:
    world = build_world(agents=3, contacts=200, mode="progressive", speed=60)
    async with run_dialer(settings, world, start=False) as dialer:
        await dialer.services.client.hset("campaign:1", "status", "active")
        await dialer.until(lambda audit: audit.total.originates > 3)
        await dialer.services.client.hset("campaign:1", "status", "paused")
        result = await dialer.tick()
        assert (result.status, result.reason) == ("skipped", "not_active")
        assert await dialer.count("reserved") == 0
        before = dialer.centre.summary().total.originates
        await eventually(lambda: not dialer.centre.summary().live_calls, within_s=20)
        assert dialer.centre.summary().total.originates <= before + 1, "a request under way may still arrive"


async def test_two_replicas_and_two_producers_keep_the_caps(settings: Settings) -> None:
    world = build_world(
        agents=12, contacts=80, campaigns=2, mode="power", pacing_ratio=3.0, max_concurrent_calls=7, speed=100
    )
    async with run_dialer(settings, world, speed=100, replicas=2, producers=2) as dialer:
        audit = await dialer.until(lambda audit: audit.total.originates > 60, within_s=40)
        assert max(audit.max_live_calls.values()) <= 7
        assert audit.double_dials == 0


async def test_progressive_campaigns_never_ring_more_phones_than_agents(settings: Settings) -> None:
    world = build_world(agents=6, contacts=60, campaigns=2, mode="progressive", speed=60)
    async with run_dialer(settings, world, replicas=2, producers=2) as dialer:
        audit = await dialer.until(lambda audit: audit.total.originates > 40, within_s=40)
        assert audit.max_unanswered["sales"] <= 6
        assert (audit.total.abandoned, audit.double_dials) == (0, 0)
        records: Any = await dialer.services.client.xrange("sd:c:1:decisions")
        decisions = [msgspec.json.decode(fields["record"], type=TickResult) for _, fields in records]
        dialed = [one for one in decisions if one.dialed]
        assert dialed
        for one in dialed:
            assert one.active_calls is not None
            assert one.available_agents is not None
            assert one.active_calls <= one.available_agents


async def test_a_500_while_the_phone_rings_is_not_dialed_again(settings: Settings) -> None:
    world = build_world(agents=5, contacts=20, mode="progressive", speed=60)
    async with run_dialer(settings, world) as dialer:

        async def rings_and_says_500(request: web.Request) -> web.StreamResponse:
            await dialer.centre.dialer_api.handle_normally(request)
            return json_reply({"detail": "unexpected AMI line"}, 500)

        dialer.centre.dialer_api.set_responder(rings_and_says_500)
        audit = await dialer.until(lambda audit: audit.total.originates >= 15, within_s=40)
        assert (audit.double_dials, audit.repeated_keys) == (0, {})


async def test_a_lost_reply_is_not_dialed_again(settings: Settings) -> None:
    world = build_world(agents=5, contacts=15, mode="progressive", speed=60)
    async with run_dialer(settings, world, centre_config=CentreConfig(reply="immediate")) as dialer:

        async def rings_and_says_nothing(request: web.Request) -> web.StreamResponse:
            await dialer.centre.dialer_api.handle_normally(request)
            return drop_connection(request)

        dialer.centre.dialer_api.set_responder(rings_and_says_nothing)
        audit = await dialer.until(lambda audit: audit.total.originates >= 10, within_s=40)
        assert (audit.double_dials, audit.repeated_keys) == (0, {})


async def test_an_api_that_honours_the_key_is_asked_again_until_it_answers(settings: Settings) -> None:
    world = build_world(agents=5, contacts=15, mode="progressive", speed=60)
    config = CentreConfig(reply="immediate", honours_key=True)
    async with run_dialer(settings, world, centre_config=config, dialer_api_idempotent=True) as dialer:
        asked: Counter[str] = Counter()

        async def loses_the_first_reply(request: web.Request) -> web.StreamResponse | None:
            key = request.headers.get("idempotency-key", "")
            asked[key] += 1
            if not key or asked[key] > 1:
                return None
            await dialer.centre.dialer_api.handle_normally(request)
            return drop_connection(request)

        dialer.centre.dialer_api.set_responder(loses_the_first_reply)
        audit = await dialer.until(lambda audit: audit.total.originates >= 10, within_s=40)
        assert (audit.double_dials, audit.repeated_keys) == (0, {})
        await eventually(lambda: max(asked.values()) > 1, what="a key that was sent again")


async def test_a_refusal_after_a_lost_reply_does_not_prove_that_nothing_rings(settings: Settings) -> None:
    world = build_world(agents=3, contacts=9, mode="progressive", speed=20)
    async with run_dialer(settings, world, speed=20, dialer_api_idempotent=True) as dialer:
        asked: Counter[str] = Counter()

        async def rings_and_then_refuses(request: web.Request) -> web.StreamResponse | None:
            key = request.headers.get("idempotency-key", "")
            asked[key] += 1
            if not key:
                return None
            if asked[key] > 1:
                return json_reply({}, 503)
            await dialer.centre.dialer_api.handle_normally(request)
            return drop_connection(request)

        dialer.centre.dialer_api.set_responder(rings_and_then_refuses)
        verdicts: set[str | None] = set()

        async def is_settled() -> bool:
            for raw in await dialer.services.client.hvals("sd:c:1:records"):
                verdicts.update(one.get("v") for one in msgspec.json.decode(raw).get("h") or [])
            return "unknown" in verdicts

        await eventually(is_settled, within_s=20)
        assert max(asked.values()) > 1
        assert verdicts <= {None, "unknown"}


async def test_while_the_api_is_down_no_attempt_counts_and_dialing_recovers(settings: Settings) -> None:
    world = build_world(agents=5, contacts=20, mode="progressive", speed=60)
    async with run_dialer(settings, world, start=False, breaker_max_open_s=0.5) as dialer:
        await dialer.centre.dialer_api.stop()
        await dialer.centre.start_campaign(1)
        await eventually(lambda: _field(dialer.services.client, "sd:api", "reason"))
        result = await dialer.tick()
        assert result.reason == "dialer_api_down"
        records = await dialer.services.client.hvals("sd:c:1:records")
        assert {msgspec.json.decode(record)["a"] for record in records} == {0}
        await dialer.centre.dialer_api.start()
        audit = await dialer.until(lambda audit: audit.total.originates > 10, within_s=30)
        assert audit.double_dials == 0


@pytest.mark.parametrize(("status", "reason"), [(401, "dialer_api_credentials"), (503, "dialer_api_down")])
async def test_a_refusing_api_is_paused_and_says_why(settings: Settings, status: int, reason: str) -> None:
    world = build_world(agents=5, contacts=20, mode="progressive", speed=60)
    async with run_dialer(settings, world, start=False) as dialer:
        dialer.centre.dialer_api.set_responder(lambda request: json_reply({}, status))
        await dialer.centre.start_campaign(1)
        await eventually(lambda: _field(dialer.services.client, "sd:api", "reason"))
        assert (await dialer.tick()).reason == reason
        await eventually(lambda: _is_empty(dialer))
        assert (await dialer.count("ready"), await dialer.count("dialing")) == (20, 0)


async def test_429_makes_the_campaign_wait_as_long_as_it_says(settings: Settings) -> None:
    world = build_world(agents=5, contacts=20, mode="progressive", speed=60)
    async with run_dialer(settings, world, start=False) as dialer:
        dialer.centre.dialer_api.set_responder(lambda request: json_reply({}, 429, {"Retry-After": "3"}))
        await dialer.centre.start_campaign(1)
        await eventually(lambda: _field(dialer.services.client, "sd:api", "c:1"))
        result = await dialer.tick()
        assert result.reason == "rate_limited"
        dialer.centre.dialer_api.set_responder(None)
        audit = await dialer.until(lambda audit: audit.total.originates > 5)
        assert audit.double_dials == 0


async def test_404_from_the_api_makes_the_contact_invalid_after_one_attempt(settings: Settings) -> None:
    world = build_world(agents=5, contacts=4, mode="progressive", speed=60)
    async with run_dialer(settings, world) as dialer:
        dialer.centre.dialer_api.set_responder(lambda request: json_reply({"detail": "no such number"}, 404))
        await eventually(lambda: dialer.centre.summary().contacts.get("invalid") == 4)
        assert all(contact.attempts == 1 for contact in world.contacts.values())


async def test_a_backend_that_is_away_gets_every_update_when_it_is_back(settings: Settings) -> None:
    world = build_world(agents=10, contacts=30, mode="progressive", speed=100, retry_delay_s=1)
    async with run_dialer(
        settings, world, speed=100, campaign_cache_ttl_s=60, agents_cache_ttl_s=60
    ) as dialer:
        await dialer.until(lambda audit: audit.total.originates > 10)
        dialer.centre.backend.set_responder(
            lambda request: json_reply({}, 502) if request.method == "PATCH" else None
        )
        await dialer.until(lambda audit: audit.total.originates > 25)
        dialer.centre.backend.set_responder(None)
        audit = await dialer.until_all_are_final()
        assert audit.double_dials == 0
        assert await dialer.services.client.hlen("sd:c:1:outbox") == 0


async def test_higher_priority_contacts_that_come_later_are_dialed_first(settings: Settings) -> None:
    world = build_world(agents=1, contacts=40, mode="progressive", speed=60)
    for contact in world.contacts.values():
        contact.priority = 3
    async with run_dialer(settings, world, start=False, refill_interval_s=0.1) as dialer:
        await dialer.centre.start_campaign(1)
        await dialer.until(lambda audit: audit.total.originates >= 1)
        urgent = msgspec.structs.replace(world.contacts[1], id=999, phone_number="+15559999999", priority=10)
        urgent.status = "pending"
        world.add_contacts([urgent])
        await dialer.until(lambda audit: world.auditor.per_contact.get(999, 0) > 0)
        assert dialer.centre.summary().total.originates < 20


async def test_contacts_only_the_backend_knows_to_be_due_are_reset(settings: Settings) -> None:
    world = build_world(agents=5, contacts=6, mode="progressive", speed=60, retry_delay_s=1)
    for contact in world.contacts.values():
        contact.status, contact.attempts, contact.last_attempt = "no_answer", 1, "2020-01-01T00:00:00Z"
    async with run_dialer(settings, world) as dialer:
        audit = await dialer.until(lambda audit: audit.total.originates >= 6)
        assert audit.double_dials == 0


async def test_contacts_that_are_final_by_the_campaigns_rules_are_not_reset(settings: Settings) -> None:
    world = build_world(agents=5, contacts=6, mode="progressive", speed=60, retry_delay_s=1)
    world.campaigns[1].retry_rules = {"no_answer": {"final": True}, "busy": {"limit": 2}}
    for number, contact in world.contacts.items():
        contact.status = "no_answer" if number <= 3 else "busy"
        contact.attempts, contact.last_attempt = (2 if number == 6 else 1), "2020-01-01T00:00:00Z"
    async with run_dialer(settings, world) as dialer:
        await dialer.until(lambda audit: audit.total.originates >= 2)
        assert (await dialer.tick("retry")).reset == 0
        assert {number for number, calls in world.auditor.per_contact.items() if calls} == {4, 5}


async def test_statistics_go_from_the_api_to_the_backend(settings: Settings) -> None:
    world = build_world(agents=2, contacts=4, mode="progressive", speed=60)
    async with run_dialer(settings, world) as dialer:
        result = await dialer.tick("stats")
        assert result.status == "ok"
        assert result.statistics is not None
        assert {"total_contacts", "answer_rate", "agents_available"} <= set(result.statistics)
        assert dialer.centre.backend.statistics[1]


async def test_a_cleaned_up_campaign_leaves_nothing(settings: Settings) -> None:
    world = build_world(agents=4, contacts=6, mode="progressive", speed=100, retry_delay_s=1)
    async with run_dialer(settings, world, speed=100) as dialer:
        await dialer.until_all_are_final()
        assert (await dialer.tick("cleanup")).reason == "not_finished"
        await dialer.services.client.hset("campaign:1", "status", "completed")
        await eventually(lambda: _is_empty(dialer))
        assert (await dialer.tick("cleanup")).status == "ok"
        left = [str(key) for key in await dialer.services.client.keys("*")]
        of_the_campaign = [key for key in left if key.startswith(("sd:c:1:", "campaign:1"))]
        assert [key for key in of_the_campaign if ":answer:" not in key] == []


async def _field(client: Redis, key: str, field: str) -> object:
    return await client.hget(key, field)


async def _is_empty(dialer: Dialer) -> bool:
    lengths = await dialer.stream_lengths()
    return not any(count for name, count in lengths.items() if name != "ticks")
