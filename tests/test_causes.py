"""Every cause of a call not being placed: brought about on a real server through the real stages, then explained."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest
from aiohttp import web
from redis.asyncio import Redis

from streamdialer.callcentre import World, WorldConfig, build_world
from streamdialer.callcentre.web import json_reply
from streamdialer.causes import LIMITS, REASONS, SKIPPED, table_of
from streamdialer.config import Settings
from streamdialer.explanation import decisions, standing
from streamdialer.inspection import server_ms
from streamdialer.pacing import Limit
from streamdialer.pacing.adaptive import Bound
from streamdialer.rules.caps import CapReason
from tests.conftest import eventually
from tests.running import Dialer, running

pytestmark = pytest.mark.anyio
NOBODY = WorldConfig(human=0, machine=0, busy=0, failed=0)
EVERYBODY = WorldConfig(human=1, machine=0, busy=0, failed=0, answer_mean_s=2, talk_mean_s=600)
ONE = {"count": 1, "window_h": 24, "scope": "number"}
ROOT = Path(__file__).parents[1]


def world(**changes: Any) -> World:
    """Two agents and six people, none of whom answers."""
    plain: dict[str, Any] = {"agents": 2, "contacts": 6, "answer_rate": 0, "speed": 4, "config": NOBODY}
    return build_world(**(plain | changes))


def campaign_of(made: World, **fields: Any) -> World:
    for name, value in fields.items():
        setattr(made.campaigns[1], name, value)
    return made


def contact_of(made: World, **fields: Any) -> World:
    for contact in made.contacts.values():
        for name, value in fields.items():
            setattr(contact, name, value)
    return made


async def start(dialer: Dialer) -> None:
    for campaign in dialer.centre.world.campaigns:
        await dialer.centre.start_campaign(campaign)


@dataclass
class Scene:
    """What makes a cause true, and what the first line of `explain` then says of it."""

    code: str
    says: str
    world: Callable[[], World] = world
    act: Callable[[Dialer], Awaitable[None]] = start
    running: dict[str, Any] = field(default_factory=dict)


async def pause(dialer: Dialer) -> None:
    await start(dialer)
    await dialer.centre.pause_campaign(1)


async def nothing(dialer: Dialer) -> None:
    return


async def forget(dialer: Dialer) -> None:
    """The server becomes one the ledger has not met, as after a restart."""
    await start(dialer)
    await dialer.services.client.hset(dialer.services.keys.server, "run", "0" * 40)


async def allow(client: Redis, what: str) -> None:
    anyone: Any = client
    await anyone.execute_command("ACL", "SETUSER", "default", what)


async def hide_info(dialer: Dialer) -> None:
    await allow(dialer.services.client, "-info")
    await start(dialer)


def api_says(status: int, headers: dict[str, str] | None = None) -> Callable[[Dialer], Awaitable[None]]:
    async def act(dialer: Dialer) -> None:
        dialer.centre.dialer_api.script(lambda request: json_reply({}, status, headers))
        await start(dialer)

    return act


def backend_says(status: int) -> Callable[[Dialer], Awaitable[None]]:
    async def act(dialer: Dialer) -> None:
        dialer.centre.backend.script(lambda request: json_reply({}, status))
        await start(dialer)

    return act


async def abandon_one(dialer: Dialer) -> None:
    await start(dialer)
    await eventually(lambda: dialer.centre.live_calls())
    call = dialer.centre.live_calls()[0]
    await dialer.producer.event("call_abandoned", campaign_id=1, contact_id=call.contact_id, call_id=call.id)


async def show_them_unreadably(dialer: Dialer) -> None:
    """The backend's list no longer shows the ready contacts, and what it shows of each cannot be read."""
    await start(dialer)
    await eventually(lambda: dialer.count("ready"))

    def script(request: web.Request) -> web.StreamResponse | None:
        if request.path == "/api/contacts/":
            return web.json_response([])
        if re.fullmatch(r"/api/contacts/\d+/", request.path) and request.method == "GET":
            return web.json_response({"id": {"not": "an id"}})
        return None

    dialer.centre.backend.script(script)


REASON_SCENES = [
    Scene("unknown_campaign", "it has no status in Redis", act=nothing),
    Scene("not_active", "its status is 'paused', not 'active'", act=pause),
    Scene(
        "nobody_decides", "nobody has decided anything about it yet", running={"producers": 0, "replicas": 0}
    ),
    Scene(
        "window_closed",
        "its calling hours are over; they open ",
        lambda: campaign_of(world(), days_of_week=[(datetime.now(UTC).weekday() + 3) % 7]),
    ),
    Scene(
        "window_closed",
        "its calling hours are over; they do not open again",
        lambda: campaign_of(world(), end_time="2020-01-01T00:00:00Z"),
    ),
    Scene("no_agents", "no agent of the queue is free", lambda: world(agents=0)),
    Scene("no_contacts", "no contact is ready to be dialed", lambda: world(contacts=0)),
    Scene("memory_lost", "calls it may have forgotten are waited out first; ", act=forget),
    Scene("memory_unknown", "let the user of REDIS_URL run it", act=hide_info),
    Scene(
        "rate_limited", "the Dialer API asked this campaign to wait", act=api_says(429, {"Retry-After": "30"})
    ),
    Scene("dialer_api_down", "the Dialer API does not take calls", act=api_says(503)),
    Scene("dialer_api_credentials", "refuses our credentials: check DIALER_API_TOKEN", act=api_says(401)),
    Scene(
        "no_call_events",
        "calls were sent and no call event has come since",
        running={"distort": lambda happenings, add: None, "ring_timeout_s": 0.5, "uncertain_margin_s": 0.3},
    ),
    Scene(
        "unconfirmed",
        "the backend has not shown the ready contacts as pending for a while",
        lambda: world(contacts=9),
        act=show_them_unreadably,
        running={"ready_max_age_s": 0.5, "ring_timeout_s": 3.0, "uncertain_margin_s": 60.0},
    ),
    Scene("campaign_unusable", "pacing_ratio is 9", lambda: world(mode="predictive", pacing_ratio=9.0)),
    Scene("backend_unreachable", "502", act=backend_says(502)),
    Scene("backend_credentials", "BACKEND", act=backend_says(401)),
]
LIMIT_SCENES = [
    Scene("preview", "is in preview: agents ask for each call", lambda: world(mode="preview")),
    Scene("agents", LIMITS["agents"].says),
    Scene("agents_shared", LIMITS["agents_shared"].says, lambda: world(agents=1, campaigns=2)),
    Scene("concurrency", LIMITS["concurrency"].says, lambda: world(max_concurrent_calls=1)),
    Scene(
        "calls_per_second",
        LIMITS["calls_per_second"].says,
        lambda: campaign_of(world(), calls_per_second=0.1),
    ),
    Scene("trunk_lines", LIMITS["trunk_lines"].says, running={"trunk_lines": 1}),
    Scene(
        "cap_reached",
        LIMITS["cap_reached"].says,
        lambda: world(mode="predictive", pacing="adaptive", agents=1, contacts=20),
        act=abandon_one,
    ),
    Scene(
        "risk",
        LIMITS["risk"].says,
        lambda: world(mode="predictive", pacing="adaptive", agents=1, contacts=20),
    ),
]


@pytest.mark.parametrize("scene", REASON_SCENES, ids=lambda scene: f"{scene.code}: {scene.says[:20]}")
async def test_why_a_campaign_is_not_dialed(settings: Settings, redis: Redis, scene: Scene) -> None:
    try:
        async with running(settings, scene.world(), speed=4, start=False, **scene.running) as dialer:
            await scene.act(dialer)
            await eventually(lambda: stands(dialer, scene.code, scene.says), what=scene.says)
    finally:
        await allow(redis, "+info")


@pytest.mark.parametrize("scene", LIMIT_SCENES, ids=lambda scene: scene.code)
async def test_why_a_campaign_that_is_dialed_places_no_more(
    settings: Settings, redis: Redis, scene: Scene
) -> None:
    async with running(settings, scene.world(), speed=4, start=False, **scene.running) as dialer:
        await scene.act(dialer)
        await eventually(lambda: stands(dialer, None, scene.says), what=scene.says)


async def test_a_decision_record_tells_what_went_in_and_each_limits_before_and_after(
    settings: Settings, redis: Redis
) -> None:
    made = world(agents=4, contacts=9, mode="power", pacing_ratio=3.0, max_concurrent_calls=7)
    async with running(settings, made, speed=4, producers=0, start=False, trunk_lines=5) as dialer:
        await redis.hset("campaign:1", "status", "active")
        await dialer.tick()
        *_, first = await decisions(redis, dialer.services.keys, "1", 10)
    assert (first.mode, first.pacing_ratio, first.max_concurrent_calls) == ("power", 3.0, 7)
    assert (first.available_agents, first.share, first.wanted, first.level) == (4, 3, 7, 9)
    assert first.steps == [
        ("agents", 9, 9),
        ("concurrency", 9, 7),
        ("trunk_lines", 7, 5),
        ("batch", 5, 5),
    ]
    assert (first.limit, first.dialed) == ("trunk_lines", 5)


async def stands(dialer: Dialer, code: str | None, says: str) -> bool:
    """Whether the first line of `explain` for any of the campaigns says so now."""
    client, keys = dialer.services.client, dialer.services.keys
    for campaign in map(str, dialer.centre.world.campaigns):
        status: Any = await client.hget(keys.campaign(campaign), "status")
        newest = next(iter(await decisions(client, keys, campaign, 1)), None)
        found = standing(campaign, status, newest, await server_ms(client))
        if found.reason == code and says in found.sentence:
            return True
    return False


# contacts that are passed over


async def forbid(dialer: Dialer) -> None:
    await dialer.producer.event("do_not_call", phone_number="+15550000001")
    await eventually(lambda: dialer.services.client.hlen(dialer.services.keys.do_not_call))
    await start(dialer)


async def ask_back(dialer: Dialer) -> None:
    """While the campaign has to wait, its contact asks to be called by an agent who does not work today."""
    await api_says(429, {"Retry-After": "2"})(dialer)
    await eventually(lambda: dialer.services.client.hexists(dialer.services.keys.api, "c:1"))
    dialer.centre.dialer_api.script(None)
    at = datetime.now(UTC).isoformat()
    await dialer.producer.event("callback_requested", campaign_id=1, contact_id=1, at=at, agent_id=77)


def asleep() -> str:
    """A zone in which it is three o'clock at night, give or take."""
    offset = (datetime.now(UTC).hour - 3) % 24  # hours that the zone is behind
    return f"Etc/GMT+{offset}" if offset <= 12 else f"Etc/GMT-{24 - offset}"


SKIP_SCENES = [
    Scene("do_not_call", "1 not to be called", lambda: world(contacts=1), act=forbid),
    Scene("attempts_used_up", "6 out of attempts", lambda: contact_of(world(), attempts=3)),
    Scene(
        "window_closed",
        "6 outside their calling hours",
        lambda: contact_of(campaign_of(world(), rule_pack="us"), timezone=asleep()),
    ),
    Scene(
        "zone_unknown",
        "6 in a time zone nobody knows",
        lambda: contact_of(campaign_of(world(), rule_pack="us"), timezone="Mars/Olympus"),
    ),
    Scene(
        "no_phone_number",
        "6 without a number that can be called",
        lambda: contact_of(world(), phone_number="?"),
    ),
    Scene("unreadable", "6 that cannot be read", lambda: contact_of(world(), priority="high")),
    Scene(
        "cap_attempts",
        "over a cap on attempts (the first by the campaign's own: at most 1 attempt in 24 h per number",
        lambda: contact_of(campaign_of(world(agents=1), attempt_caps=[ONE]), phone_number="+15550000001"),
    ),
    Scene(
        "min_gap",
        "within the gap between two attempts",
        lambda: contact_of(
            campaign_of(world(agents=1), min_gap={"hours": 4, "scope": "number"}), phone_number="+15550000001"
        ),
    ),
    Scene(
        "cap_conversations",
        "over a cap on conversations",
        lambda: contact_of(
            campaign_of(world(answer_rate=1, config=EVERYBODY), contact_caps=[ONE], calls_per_second=0.25),
            phone_number="+15550000001",
        ),
    ),
    Scene(
        "abandoned_rest",
        "at rest after an abandoned call",
        lambda: contact_of(
            campaign_of(world(agents=1), abandoned_rest={"hours": 72, "scope": "number"}),
            phone_number="+15550000001",
        ),
        act=abandon_one,
    ),
    Scene(
        "agent_not_free",
        "1 whose callback is for an agent who is not free",
        lambda: world(contacts=1),
        act=ask_back,
    ),
]


@pytest.mark.parametrize("scene", SKIP_SCENES, ids=lambda scene: scene.code)
async def test_whom_a_decision_passed_over_and_why(settings: Settings, redis: Redis, scene: Scene) -> None:
    async with running(settings, scene.world(), speed=4, start=False, **scene.running) as dialer:
        await scene.act(dialer)

        async def was_told() -> bool:
            """As `explain` would have begun right after one of the last decisions."""
            client, keys = dialer.services.client, dialer.services.keys
            records = await decisions(client, keys, "1", 100)
            lines = [standing("1", "active", one, one.at or 0).sentence for one in records]
            return any("passed over" in line and scene.says in line for line in lines)

        await eventually(was_told, what=scene.says)


# no code without words


def codes_in_scripts(pattern: str, *names: str) -> set[str]:
    folder = ROOT / "streamdialer" / "ledger" / "lua"
    text = "\n".join((folder / f"{name}.lua").read_text("utf-8") for name in names)
    return set(re.findall(pattern, text))


def test_every_reason_in_the_code_has_words() -> None:
    gate = codes_in_scripts(r"closed = '(\w+)'", "lib/gate")
    gate |= codes_in_scripts(r"'(memory_\w+)'", "lib/memory")
    holds = codes_in_scripts(r"'(dialer_api_\w+)'", "settle")
    claim = codes_in_scripts(r"reply\('(\w+)', 0\)", "claim")
    python = (ROOT / "streamdialer/consumers/dialing.py").read_text("utf-8")
    dialing = set(re.findall(r'(?<!status, result\.)\breason = "(\w+)"', python))
    dialing |= set(re.findall(r'"(\w+)", WHY\[', python)) | set(re.findall(r'"error", "(\w+)"', python))
    servers = {f"backend_{what}" for what in re.findall(r'server}_(\w+)"', python)}
    found = gate | holds | claim | dialing | servers
    assert {"memory_lost", "no_call_events", "queue_changed", "campaign_unusable", "backend_refused"} <= found
    assert found - {"not_rebuilt"} <= set(REASONS), "the campaign is rebuilt and asked again"


def test_every_limit_in_the_code_has_words() -> None:
    found = codes_in_scripts(r"at_most\([^\n]*'(\w+)'\)", "claim")
    found |= codes_in_scripts(r"limit = '(\w+)'", "claim") | codes_in_scripts(
        r"limit, missing = '(\w+)'", "claim"
    )
    found |= codes_in_scripts(r"and '(\w+)' or 'no_contacts'", "claim") | {*get_args(Limit), *get_args(Bound)}
    assert {"trunk_lines", "hours", "unconfirmed", "agents_shared", "risk"} <= found
    assert found == set(LIMITS)


def test_every_reason_for_passing_a_contact_over_has_words() -> None:
    found = codes_in_scripts(r"reason = '(\w+)'", "lib/refusal", "lib/hours")
    found |= codes_in_scripts(r"problem = '(\w+)'", "lib/hours") | codes_in_scripts(
        r"skipped\.(\w+) =", "claim"
    )
    found |= set(get_args(CapReason))
    python = (ROOT / "streamdialer/consumers/dialing.py").read_text("utf-8")
    found |= set(re.findall(r'"(\w+)": refilled\.', python))
    assert found == set(SKIPPED)


def test_every_cause_is_in_the_table() -> None:
    told = (ROOT / "docs/explain.md").read_text("utf-8")
    for causes in (REASONS, LIMITS, SKIPPED):
        assert "\n".join(table_of(causes)) in told
