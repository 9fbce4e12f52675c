"""The simulated call centre behind real HTTP speaks the contract."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any

import anyio
import httpx
import msgspec
import pytest
from aiohttp import web
from redis.asyncio import Redis

from streamdialer.broker.keys import Keys
from streamdialer.errors import CannotBeDone
from streamdialer.model import AGENTLESS_QUEUE, CampaignSettings
from streamdialer.producers.active_campaigns import ActiveCampaigns
from streamdialer.simulation.embedded_redis import EmbeddedServer
from streamdialer.simulation.servers import dialer_api
from streamdialer.simulation.servers.call_centre import CallCentre
from streamdialer.simulation.servers.http import drop_connection, json_reply
from streamdialer.simulation.servers.telephones import Telephones
from streamdialer.simulation.world.build import build_world
from streamdialer.simulation.world.config import CentreConfig
from streamdialer.simulation.world.engine import World
from streamdialer.simulation.world.entities import Contact
from tests.support.eventually import eventually
from tests.support.simulated_world import ALL_ANSWER, OUTCOMES, small_world

Opened = tuple[CallCentre, httpx.AsyncClient, httpx.AsyncClient]
Open = Callable[..., AbstractAsyncContextManager[Opened]]


@asynccontextmanager
async def open_centre(
    server: EmbeddedServer, world: World, speed: float = 100.0, **settings: Any
) -> AsyncIterator[Opened]:
    """The centre, a client of its backend and one of its Dialer API."""
    async with (
        CallCentre(world, server.url, speed=speed, config=CentreConfig(**settings)) as centre,
        httpx.AsyncClient(base_url=centre.backend.url, trust_env=False) as backend,
        httpx.AsyncClient(base_url=centre.dialer_api.url, trust_env=False) as dialer_api,
    ):
        yield centre, backend, dialer_api


@pytest.fixture
def opened(server: EmbeddedServer, redis: Redis) -> Open:
    return partial(open_centre, server)


class SimulatedBackend:
    """Knows these campaigns."""

    def __init__(self, campaigns: dict[str, CampaignSettings]) -> None:
        self._campaigns = campaigns

    async def campaign(self, campaign: str) -> CampaignSettings:
        return self._campaigns[campaign]


def originate_body(contact: int = 1, timeout: float = 0.3) -> dict[str, Any]:
    return {
        "campaign_id": 1,
        "contact_id": contact,
        "phone_number": f"+1555{contact:07d}",
        "context": "dialer-outbound",
        "priority": 1,
        "timeout": timeout,
        "variables": {},
    }


async def events(redis: Redis) -> list[tuple[str, dict[str, Any]]]:
    entries: Any = await redis.xrange("dialer:events")
    return [(fields["type"], msgspec.json.decode(fields["data"])) for _, fields in entries]


async def test_a_campaign_is_shown_with_all_its_settings(opened: Open) -> None:
    async with opened(build_world(campaigns=2)) as (_, backend, _api):
        campaign = (await backend.get("/api/campaigns/1/")).json()
        assert campaign["dial_mode"] == "progressive"
        assert campaign["queue_name"] == "sales"
        assert {"pacing_ratio", "max_concurrent_calls", "max_retries", "retry_delay", "timezone"} <= set(
            campaign
        )
        assert {"trunk", "caller_id", "start_time", "end_time", "days_of_week"} <= set(campaign)
        page = (await backend.get("/api/campaigns/")).json()
        assert page["count"] == 2
        assert page["results"][0] == campaign
        assert (await backend.get("/api/campaigns/9/")).status_code == 404


async def test_agents_are_a_bare_array_of_id_and_status(opened: Open) -> None:
    async with opened(build_world(agents=2)) as (_, backend, _api):
        agents = (await backend.get("/api/queues/sales/agents/")).json()
        assert agents == [{"id": 1001, "status": "available"}, {"id": 1002, "status": "available"}]
        assert (await backend.get("/api/queues/none/agents/")).status_code == 404


async def test_contacts_come_in_pages_whose_next_is_on_an_internal_host(opened: Open) -> None:
    async with opened(build_world(contacts=25, campaigns=2)) as (_, backend, _api):
        address: str | None = (
            "/api/contacts/?campaign_id=1&status=pending&limit=5&ordering=-priority,created_at"
        )
        contacts: list[dict[str, Any]] = []
        pages = 0
        while address:
            page = (await backend.get(address)).json()
            contacts += page["results"]
            pages += 1
            address = page["next"]
            if address:
                assert address.startswith("http://django:8000/api/contacts/?")
                address = address.removeprefix("http://django:8000")
        assert pages == 3
        assert page["count"] == 13
        assert page["previous"] is not None
        assert {contact["campaign_id"] for contact in contacts} == {1}
        order = [(-contact["priority"], contact["created_at"]) for contact in contacts]
        assert order == sorted(order)
        assert {"id", "phone_number", "attempts", "last_attempt", "timezone", "custom_data"} <= set(
            contacts[0]
        )


async def test_contacts_are_filtered_by_the_query(opened: Open) -> None:
    world = build_world(contacts=6)
    async with opened(world) as (_, backend, _api):
        changes: list[tuple[int, str, int, str]] = [
            (1, "no_answer", 1, "2026-01-01T10:00:00Z"),
            (2, "busy", 1, "2026-01-01T10:00:00+00:00"),
            (3, "busy", 3, "2026-01-01T10:00:00+00:00"),
            (4, "busy", 1, "2026-01-01T12:00:00+00:00"),
        ]
        for contact, status, attempts, last_attempt in changes:
            change = {"status": status, "attempts": attempts, "last_attempt": last_attempt, "unknown": 1}
            reply = await backend.patch(f"/api/contacts/{contact}/", json=change)
            assert reply.status_code == 200
            assert reply.json()["status"] == status
        query = {
            "campaign_id": "1",
            "status": "no_answer,busy",
            "last_attempt__lt": "2026-01-01T11:00:00+00:00",
            "attempts__lt": "3",
        }
        page = (await backend.get("/api/contacts/", params=query)).json()
        assert [contact["id"] for contact in page["results"]] == [1, 2]
        assert world.contacts[3].attempts == 3
        assert (await backend.get("/api/contacts/?attempts__lt=many")).status_code == 400
        assert (await backend.get("/api/contacts/?limit=0")).status_code == 400


async def test_each_list_shows_a_contact_of_several_lists_as_its_own(opened: Open) -> None:
    world = build_world(campaigns=2, contacts=4)
    world.list_also_in(world.contacts[1], 2)
    async with opened(world) as (_, backend, _api):
        assert (await backend.patch("/api/contacts/1/", json={"status": "busy"})).json()["status"] == "busy"
        for campaign in (1, 2):
            query = {"campaign_id": campaign, "status": "busy"}
            rows = (await backend.get("/api/contacts/", params=query)).json()["results"]
            assert [(row["id"], row["campaign_id"]) for row in rows] == [(1, campaign)]
        assert "campaign_id" not in (await backend.get("/api/contacts/1/")).json(), "it belongs to both"
        assert (await backend.get("/api/contacts/2/")).json()["campaign_id"] == 2
    assert world.contacts[1].campaign_id == 1


async def test_a_contact_that_cannot_be_changed_is_refused(opened: Open) -> None:
    async with opened(build_world(contacts=1)) as (centre, backend, _api):
        assert (await backend.patch("/api/contacts/9/", json={})).status_code == 404
        assert (await backend.patch("/api/contacts/1/", json={"attempts": "x"})).status_code == 400
        assert (await backend.patch("/api/contacts/1/", json={"last_attempt": "soon"})).status_code == 400
        assert (await backend.patch("/api/contacts/1/", content=b"{")).status_code == 400
        assert (await backend.get("/api/contacts/1/")).json()["status"] == "pending"
        await backend.patch("/api/contacts/1/", json={"status": "completed"})
        assert centre.summary().contacts == {"completed": 1}


async def test_statistics_are_stored(opened: Open) -> None:
    async with opened(build_world()) as (centre, backend, _api):
        reply = await backend.post("/api/campaigns/1/update_stats/", json={"total_calls": 3})
        assert reply.status_code == 200
        assert centre.backend.statistics[1] == [{"total_calls": 3}]
        assert (await backend.post("/api/campaigns/9/update_stats/", json={})).status_code == 404


async def test_a_backend_with_a_token_refuses_requests_without_it(opened: Open) -> None:
    async with opened(build_world(), backend_token="secret", dialer_api_token="other") as (
        _,
        backend,
        dialer_api,
    ):
        refused = await backend.get("/api/campaigns/1/")
        assert refused.status_code == 401
        assert "Bearer" in refused.headers["WWW-Authenticate"]
        for header in ("Bearer wrong", "Bearer", "Token secret"):
            reply = await backend.get("/api/campaigns/1/", headers={"Authorization": header})
            assert reply.status_code == 401
        good = await backend.get("/api/campaigns/1/", headers={"Authorization": "Bearer secret"})
        assert good.status_code == 200
        assert (await dialer_api.get("/campaigns/1/stats")).status_code == 401
        good = await dialer_api.get("/campaigns/1/stats", headers={"Authorization": "Bearer other"})
        assert good.status_code == 200
        assert (await dialer_api.get("/health")).status_code == 200


async def test_a_log_in_gives_tokens_that_expire_and_can_be_refreshed(opened: Open) -> None:
    async with opened(build_world(), backend_username="dialer", backend_password="pass") as (
        centre,
        backend,
        _,
    ):

        async def status(access: str) -> int:
            reply = await backend.get("/api/contacts/", headers={"Authorization": f"Bearer {access}"})
            return reply.status_code

        wrong = await backend.post("/api/token/", json={"username": "dialer", "password": "no"})
        assert wrong.status_code == 401
        tokens = (await backend.post("/api/token/", json={"username": "dialer", "password": "pass"})).json()
        assert await status(tokens["access"]) == 200
        centre.backend.expire_access_tokens()
        assert await status(tokens["access"]) == 401
        again = (await backend.post("/api/token/refresh/", json={"refresh": tokens["refresh"]})).json()
        assert await status(again["access"]) == 200
        centre.backend.expire_refresh_tokens()
        gone = await backend.post("/api/token/refresh/", json={"refresh": tokens["refresh"]})
        assert gone.status_code == 401


async def test_a_held_reply_comes_after_the_ringing_and_names_no_call(opened: Open, redis: Redis) -> None:
    async with opened(small_world(OUTCOMES["no_answer"]), speed=100) as (centre, _, dialer_api):
        started = time.monotonic()
        reply = await dialer_api.post("/calls/originate", json=originate_body(timeout=0.3))
        assert reply.status_code == 200
        assert reply.json()["status"] == "success"
        assert "call_id" not in reply.json()
        assert time.monotonic() - started >= 0.29
        assert centre.live_calls() == []
        assert await redis.hgetall("campaign:1") == {"total_calls": "1", "active_calls": "1"}


async def test_an_immediate_reply_names_the_call(opened: Open) -> None:
    world = small_world(OUTCOMES["no_answer"])
    async with opened(world, speed=1, reply="immediate") as (centre, _, dialer_api):
        reply = await dialer_api.post("/calls/originate", json=originate_body(timeout=30))
        (call,) = centre.live_calls()
        assert reply.json()["call_id"] == call.id
        assert call.plan.ring_end_s == 30


@pytest.mark.parametrize("honours_key", [True, False])
@pytest.mark.parametrize("reply", ["held", "immediate"])
async def test_a_repeated_key_is_placed_once_only_where_keys_are_honoured(
    opened: Open, redis: Redis, honours_key: bool, reply: str
) -> None:
    world = small_world(OUTCOMES["no_answer"])
    async with opened(world, honours_key=honours_key, reply=reply) as (centre, _, dialer_api):
        replies: list[dict[str, Any]] = []

        async def post() -> None:
            headers = {"Idempotency-Key": "1:1:1"}
            reply = await dialer_api.post("/calls/originate", json=originate_body(), headers=headers)
            replies.append(reply.json())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(post)
            tasks.start_soon(post)
        await post()
        audit = centre.summary()
        assert audit.total.originates == (1 if honours_key else 3)
        assert audit.double_dials == (0 if honours_key else 2)
        assert audit.repeated_keys == ({} if honours_key else {"1:1:1": 3})
        assert await redis.hget("campaign:1", "total_calls") == str(audit.total.originates)
        if honours_key:
            assert replies[0] == replies[1] == replies[2]


async def test_an_invalid_originate_is_refused(opened: Open) -> None:
    async with opened(small_world()) as (centre, _, dialer_api):
        assert (await dialer_api.post("/calls/originate", json={"campaign_id": 1})).status_code == 422
        body = {**originate_body(), "campaign_id": 9}
        assert (await dialer_api.post("/calls/originate", json=body)).status_code == 404
        assert centre.summary().total.originates == 0


async def test_the_statistics_have_the_fields_of_the_contract(opened: Open) -> None:
    async with opened(build_world(agents=2, contacts=5)) as (_, _backend, dialer_api):
        statistics = (await dialer_api.get("/campaigns/1/stats")).json()
        names = """total_contacts pending_calls active_calls completed_calls answered_calls no_answer busy
        failed answer_rate average_duration calls_per_hour agents_available agents_busy"""
        assert set(names.split()) <= set(statistics)
        assert (statistics["total_contacts"], statistics["agents_available"]) == (5, 2)
        assert (await dialer_api.get("/campaigns/9/stats")).status_code == 404


async def test_events_arrive_in_the_stream_in_order(opened: Open, redis: Redis) -> None:
    async with opened(small_world(ALL_ANSWER), speed=500) as (centre, _, dialer_api):
        body = {**originate_body(timeout=1), "campaign_id": "1", "contact_id": "1"}  # ids may be strings
        await dialer_api.post("/calls/originate", json=body)

        async def is_over() -> bool:
            return await redis.xlen("dialer:events") >= 7

        await eventually(is_over)
        await centre.drained()
        first, *emitted = await events(redis)
        assert first[0] == "source_live"
        assert [kind for kind, _ in emitted] == [
            "call_ringing",
            "call_answered",
            "agent_busy",
            "call_completed",
            "agent_wrapup",
            "agent_available",
        ]
        about = {"campaign_id": 1, "contact_id": 1, "call_id": "call-1-0"}
        assert emitted[0][1] == about
        assert emitted[1][1] == {**about, "agent_id": "a0", "queue": "sales", "answered_by": "human"}
        assert centre.summary().events_waiting == 0


async def test_hundreds_of_held_calls_at_once_all_get_their_reply(opened: Open, redis: Redis) -> None:
    async with opened(small_world(OUTCOMES["no_answer"]), speed=30) as (centre, _, _api):
        limits = httpx.Limits(max_connections=200)
        statuses: Counter[int] = Counter()
        async with (
            httpx.AsyncClient(
                base_url=centre.dialer_api.url, limits=limits, timeout=20, trust_env=False
            ) as client,
            anyio.create_task_group() as tasks,
        ):

            async def post(contact: int) -> None:
                reply = await client.post("/calls/originate", json=originate_body(contact, timeout=1))
                statuses[reply.status_code] += 1

            for contact in range(150):
                tasks.start_soon(post, contact)
        assert statuses == {200: 150}
        assert await redis.hget("campaign:1", "total_calls") == "150"


async def test_no_event_is_lost_or_reordered_while_redis_is_down(caplog: pytest.LogCaptureFixture) -> None:
    with EmbeddedServer(appendonly=True) as server:
        world = small_world(agents=5)
        async with open_centre(server, world, speed=1000, reply="immediate") as (centre, _, dialer_api):
            for contact in range(50):
                await dialer_api.post("/calls/originate", json=originate_body(contact, timeout=0.03))
            await centre.drained()
            server.kill()
            refused = await dialer_api.post("/calls/originate", json=originate_body(99, timeout=0.03))
            assert refused.status_code == 500  # and the phone rings all the same
            assert centre.summary().total.originates == 51
            await eventually(lambda: world.next_at() is None and centre.summary().events_waiting > 0)
            server.restart()
            await centre.drained()
            async with Redis.from_url(server.url, decode_responses=True) as redis:
                emitted = await events(redis)
        ends = Counter(kind for kind, _ in emitted)
        assert ends["call_completed"] + ends["call_failed"] + ends["call_abandoned"] == 51
        warnings = [record for record in caplog.records if record.levelname == "WARNING"]
        assert len([record for record in warnings if record.name.startswith("streamdialer")]) == 1
        by_contact: dict[int, list[str]] = {}
        for kind, about in emitted:
            if "contact_id" in about:
                by_contact.setdefault(about["contact_id"], []).append(kind)
        for types in by_contact.values():
            order = ["call_ringing", "call_answered", "call_completed", "call_failed", "call_abandoned"]
            assert types == sorted(types, key=order.index)


async def test_a_started_or_paused_campaign_is_announced(opened: Open, redis: Redis) -> None:
    async with opened(build_world()) as (centre, backend, _api), redis.pubsub() as listener:
        await listener.subscribe("dialer:events")
        await centre.start_campaign(1)
        public = await redis.hgetall("campaign:1")
        assert public["status"] == "active"
        assert "T" in public["started_at"]
        assert (await backend.get("/api/campaigns/1/")).json()["status"] == "active"
        await centre.pause_campaign(1)
        assert await redis.hget("campaign:1", "status") == "paused"
        messages: list[str] = []
        with anyio.fail_after(10):
            while len(messages) < 2:
                message = await listener.get_message(ignore_subscribe_messages=True, timeout=1)
                messages += [message["data"]] if message else []
        assert messages == ["campaign:started:1", "campaign:paused:1"]


async def test_replies_can_be_injected(opened: Open) -> None:
    world = small_world(OUTCOMES["no_answer"])
    async with opened(world, reply="immediate") as (centre, backend, dialer_api):

        async def post(contact: int) -> int:
            return (await dialer_api.post("/calls/originate", json=originate_body(contact))).status_code

        def overloaded(request: web.Request) -> web.Response:
            return json_reply({"detail": "slow down"}, 429, {"Retry-After": "7"})

        centre.dialer_api.set_responder(overloaded)
        assert await post(1) == 429
        assert centre.summary().total.originates == 0

        async def rings_and_says_500(request: web.Request) -> web.Response:
            await centre.dialer_api.handle_normally(request)
            return json_reply({}, 500)

        centre.dialer_api.set_responder(rings_and_says_500)
        assert await post(1) == 500
        assert centre.summary().total.originates == 1

        centre.dialer_api.set_responder(drop_connection)
        with pytest.raises(httpx.TransportError):
            await post(2)

        async def slow(request: web.Request) -> None:
            await anyio.sleep(30)

        centre.backend.set_responder(slow)
        with pytest.raises(httpx.ReadTimeout):
            await backend.get("/api/campaigns/1/", timeout=0.05)

        centre.backend.set_responder(lambda request: None)
        centre.dialer_api.set_responder(None)
        assert await post(3) == 200
        assert (await backend.get("/api/campaigns/1/")).status_code == 200


async def test_every_request_is_recorded(opened: Open) -> None:
    async with opened(small_world(), reply="immediate") as (centre, backend, dialer_api):
        headers = {"Idempotency-Key": "1:1:1"}
        await dialer_api.post("/calls/originate", json=originate_body(), headers=headers)
        await backend.get("/api/contacts/?status=pending")
        (placed,), (read,) = centre.dialer_api.requests, centre.backend.requests
        assert (placed.method, placed.path) == ("POST", "/calls/originate")
        assert placed.json()["contact_id"] == 1
        assert placed.headers["idempotency-key"] == "1:1:1"
        assert (read.method, read.path, read.query) == ("GET", "/api/contacts/", {"status": "pending"})
        assert 0 <= placed.at <= read.at <= centre.now


async def test_a_service_can_be_down_and_come_back_at_the_same_address(opened: Open) -> None:
    async with opened(small_world()) as (centre, backend, _api):
        await centre.backend.stop()
        with pytest.raises(httpx.ConnectError):
            await backend.get("/api/campaigns/1/")
        await centre.backend.start()
        assert (await backend.get("/api/campaigns/1/")).status_code == 200


async def test_closing_does_not_wait_for_held_replies(opened: Open) -> None:
    world = small_world(OUTCOMES["no_answer"])
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks, opened(world, speed=1) as (centre, _, _api):

            async def post(url: str) -> None:
                async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
                    with pytest.raises(httpx.TransportError):
                        await client.post(f"{url}/calls/originate", json=originate_body(timeout=60))

            tasks.start_soon(post, centre.dialer_api.url)
            await eventually(lambda: len(centre.live_calls()) == 1)


async def test_an_error_in_the_body_is_raised_unchanged(opened: Open) -> None:
    with pytest.raises(ZeroDivisionError):
        async with opened(small_world()):
            raise ZeroDivisionError


async def test_before_it_is_opened_it_has_no_url(server: EmbeddedServer) -> None:
    world = small_world()
    world.add_contacts([Contact(id=1, campaign_id=1, phone_number="+15550000001")])
    centre = CallCentre(world, server.url)
    assert centre.now == 0
    with pytest.raises(CannotBeDone):
        _ = centre.backend.url


@pytest.fixture
async def beside_a_backend(redis: Redis, server: EmbeddedServer) -> AsyncIterator[CallCentre]:
    config = CentreConfig(serves_backend=False, reply="immediate")
    async with CallCentre(World(), server.url, config=config) as centre:
        yield centre


async def test_beside_a_real_backend_an_unknown_campaign_is_not_refused_for_good(
    beside_a_backend: CallCentre, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialer_api, "KNOWN_WITHIN_S", 0.1)
    centre = beside_a_backend
    async with httpx.AsyncClient(base_url=centre.dialer_api.url, trust_env=False) as http:
        refused = await http.post("/calls/originate", json=originate_body())
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert (await http.get("/campaigns/1/stats")).json() == {"campaign_id": 1}


async def test_a_call_waits_for_a_campaign_that_was_started_a_moment_ago(
    beside_a_backend: CallCentre, redis: Redis
) -> None:
    """It is agentless: no list of agents is written for it."""
    campaign = CampaignSettings(queue_name=f"{AGENTLESS_QUEUE}1", dial_mode="agentless", slots=1)
    backend, active = SimulatedBackend({"1": campaign}), ActiveCampaigns(redis, Keys())
    await redis.hset(Keys().campaign("1"), "status", "active")
    telephones = Telephones(beside_a_backend, backend, active, agents=2)  # type: ignore[arg-type]  # all it asks for
    url = beside_a_backend.dialer_api.url
    async with httpx.AsyncClient(base_url=url, trust_env=False) as http, anyio.create_task_group() as tasks:

        async def know_it_later() -> None:
            await anyio.sleep(0.1)
            tasks.start_soon(telephones.run)

        tasks.start_soon(know_it_later)
        reply = await http.post("/calls/originate", json=originate_body())
        assert reply.status_code == 200

        async def types() -> set[str]:
            entries: Any = await redis.xrange("dialer:events")
            return {fields["type"] for _, fields in entries}

        async def lists_calls() -> bool:
            return "source_live" in await types()

        await eventually(lists_calls)
        tasks.cancel_scope.cancel()
    assert await types() <= {"call_ringing", "call_answered", "source_live"}
