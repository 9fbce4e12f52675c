"""Whatever is wrong outside: one clear line, nothing else harmed, nothing lost."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from aiohttp import web

from streamdialer.config.settings import Settings
from streamdialer.simulation.servers.http import json_reply
from streamdialer.simulation.world.build import build_world
from streamdialer.simulation.world.config import CentreConfig
from tests.support.dialer import Dialer, run_dialer
from tests.support.eventually import eventually

pytestmark = pytest.mark.usefixtures("redis")


async def still_dials(dialer: Dialer) -> None:
    """A healthy campaign goes on beside the bad one."""
    before = dialer.centre.summary().total.originates
    await dialer.until(
        lambda audit: audit.total.originates > before, within_s=20, what="the other campaign goes on"
    )


async def test_a_campaign_the_backend_does_not_know(settings: Settings) -> None:
    async with run_dialer(settings, build_world(agents=3, contacts=300, speed=60)) as dialer:
        await dialer.services.client.hset("campaign:99", "status", "active")
        result = await dialer.tick("dial", "99")
        assert (result.status, result.reason) == ("error", "invalid_campaign")
        assert result.detail == "campaign 99 does not exist in the backend"
        await still_dials(dialer)


async def test_a_campaign_that_was_never_started(settings: Settings) -> None:
    async with run_dialer(settings, build_world(agents=1, contacts=1, speed=60), start=False) as dialer:
        result = await dialer.tick("dial", "55")
        assert (result.status, result.reason) == ("skipped", "unknown_campaign")


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("dial_mode", "turbo", "dial_mode"),
        ("queue_name", "", "queue_name"),
        ("timezone", "Mars/Olympus", "Mars/Olympus"),
        ("pacing_ratio", 9.0, "pacing_ratio"),
        ("start_time", "nine", "start_time"),
        ("pacing", "clever", "pacing"),
        ("abandon_cap", 3, "abandon_cap"),
        ("retry_rules", {"busy": {"delay": -5}}, "retry_rules: busy"),
        ("retry_rules", [60], "retry_rules"),
    ],
)
async def test_a_campaign_with_unusable_settings_is_not_dialed_and_says_why(
    settings: Settings, field: str, value: object, named: str
) -> None:
    world = build_world(agents=3, contacts=10, mode="predictive", speed=60)
    async with run_dialer(settings, world, start=False) as dialer:

        async def spoiled(request: web.Request) -> web.StreamResponse | None:
            if request.path != "/api/campaigns/1/":
                return None
            document = {"id": 1, "dial_mode": "predictive", "queue_name": "sales", field: value}
            return json_reply(document)

        dialer.centre.backend.set_responder(spoiled)
        await dialer.centre.start_campaign(1)
        result = await dialer.tick()
        assert (result.status, result.reason) == ("error", "invalid_campaign")
        assert result.detail is not None
        assert named in result.detail
        assert dialer.centre.summary().total.originates == 0


async def test_a_contact_without_a_phone_number_becomes_invalid_and_the_rest_is_dialed(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    world = build_world(agents=3, contacts=6, speed=60)
    world.contacts[2].phone_number = ""
    with caplog.at_level(logging.WARNING):
        async with run_dialer(settings, world) as dialer:
            await dialer.until(
                lambda audit: audit.contacts.get("invalid") == 1 and audit.total.originates >= 5
            )
            assert world.contacts[2].status == "invalid"
    assert any("without a usable phone number" in record.message for record in caplog.records)


@pytest.mark.parametrize("path", ["/api/contacts/", "/api/queues/sales/agents/", "/api/campaigns/1/"])
@pytest.mark.parametrize("status", [200, 500])
async def test_a_page_that_is_not_json(settings: Settings, path: str, status: int) -> None:
    async with run_dialer(settings, build_world(agents=3, contacts=20, speed=60), start=False) as dialer:

        async def page(request: web.Request) -> web.StreamResponse | None:
            if request.path != path:
                return None
            return web.Response(status=status, text="<html>Bad Gateway</html>", content_type="text/html")

        async def says_so() -> bool:
            result = await dialer.tick()
            return (result.status, result.reason) == ("error", "backend_unreachable")

        dialer.centre.backend.set_responder(page)
        await dialer.centre.start_campaign(1)
        await eventually(says_so)  # a tick beside one that is reading the list has nothing to say of it
        assert dialer.centre.summary().total.originates == 0
        dialer.centre.backend.set_responder(None)
        await still_dials(dialer)


async def test_wrong_backend_credentials(settings: Settings) -> None:
    world = build_world(agents=3, contacts=20, speed=60)
    async with run_dialer(settings, world, centre_config=CentreConfig(backend_token="right")) as dialer:
        result = await dialer.tick()
        assert (result.status, result.reason) == ("error", "backend_credentials")
        assert result.detail is not None
        assert "401" in result.detail
        assert "check BACKEND_TOKEN" in result.detail
        assert dialer.centre.summary().total.originates == 0


async def test_an_event_typed_by_hand_with_flat_fields_works(settings: Settings) -> None:
    world = build_world(agents=1, contacts=1, speed=0.01)
    async with run_dialer(settings, world, speed=0.01, ring_timeout_s=30) as dialer:
        await dialer.until(lambda audit: audit.total.originates == 1)
        await dialer.services.client.xadd(
            "dialer:events",
            {"type": "call_answered", "campaign_id": "1", "contact_id": "1", "call_id": "abc123"},
        )
        await eventually(lambda: dialer.count("connected"))
        await dialer.services.client.xadd(
            "dialer:events",
            {"type": "call_completed", "campaign_id": "1", "contact_id": "1", "duration": "12.5"},
        )
        await eventually(lambda: dialer.count("final"))


BAD_EVENTS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown type": ({"type": "call_exploded", "data": "{}"}, "unknown_type"),
    "no type": ({"campaign_id": "1"}, "unknown_type"),
    "broken JSON": ({"type": "call_answered", "data": '{"campaign_id": 1,'}, "broken_json"),
    "JSON that is no object": ({"type": "call_answered", "data": "[1]"}, "broken_json"),
    "no contact": ({"type": "call_answered", "data": '{"campaign_id": 1}'}, "wrong_type"),
    "contact is a list": (
        {"type": "call_answered", "data": '{"campaign_id": 1, "contact_id": [1]}'},
        "wrong_type",
    ),
    "id with a line break": (
        {"type": "call_answered", "campaign_id": "1\n2", "contact_id": "1"},
        "wrong_type",
    ),
    "an unknown campaign": (
        {"type": "call_answered", "campaign_id": "77", "contact_id": "1"},
        "unknown_campaign",
    ),
    "an unknown contact": (
        {"type": "call_answered", "campaign_id": "1", "contact_id": "4711"},
        "unknown_contact",
    ),
    "an agent without a queue": ({"type": "agent_available", "data": '{"agent_id": 5}'}, "unknown_queue"),
    "a do-not-call request without a contact's campaign": (
        {"type": "do_not_call", "data": '{"contact_id": 1}'},
        "wrong_type",
    ),
    "a number of no country": ({"type": "do_not_call", "phone_number": "+999 12345678"}, "no_phone_number"),
    "not UTF-8": ({"type": b"call_answered", "data": b"\xff\xfe{}"}, "broken_json"),
    "larger than 64 kB": ({"type": "call_answered", "data": '{"x": "' + "y" * 10_000_000}, "too_large"),
    "four thousand fields": (
        {"type": "zzz"} | {f"f{number}": "1" for number in range(4_000)},
        "unknown_type",
    ),
    "nested too deeply": ({"type": "call_answered", "data": "[" * 20_000 + "]" * 20_000}, "broken_json"),
}


@pytest.mark.parametrize("case", BAD_EVENTS)
async def test_a_bad_event_becomes_a_dead_letter_and_stops_nothing(settings: Settings, case: str) -> None:
    fields, reason = BAD_EVENTS[case]
    async with run_dialer(settings, build_world(agents=3, contacts=300, speed=60)) as dialer:
        await dialer.until(lambda audit: audit.total.originates > 0)
        raw_fields: dict[Any, Any] = dict(fields)
        entry = await dialer.services.client.xadd("dialer:events", raw_fields)
        await eventually(dialer.dead.count)
        letter = (await dialer.dead.newest(1))[0]
        assert (letter.reason, letter.entry) == (reason, entry)
        assert letter.detail
        if letter.cut:
            assert len(letter.original) <= 20
            await still_dials(dialer)
            return
        raw = {
            name: value.encode(errors="surrogateescape") if isinstance(fields[name], bytes) else value
            for name, value in letter.original.items()
        }
        assert raw == fields
        await still_dials(dialer)
        assert dialer.centre.summary().double_dials == 0


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"kind": "dial"}, "wrong_type"),
        ({"kind": "explode", "campaign_id": "1"}, "unknown_kind"),
        ({"campaign_id": "1"}, "unknown_kind"),
        ({"kind": "dial", "campaign_id": "a\nb"}, "wrong_type"),
    ],
)
async def test_a_bad_tick_is_a_dead_letter(settings: Settings, fields: dict[str, str], reason: str) -> None:
    async with run_dialer(settings, build_world(agents=1, contacts=1, speed=60), start=False) as dialer:
        await dialer.services.client.xadd("dialer:ticks", fields)  # type: ignore[arg-type]
        await eventually(dialer.dead.count)
        assert (await dialer.dead.newest(1))[0].reason == reason


@pytest.mark.parametrize("stream", ["calls", "updates"])
async def test_rubbish_in_our_own_streams_goes_to_the_dead_letters(settings: Settings, stream: str) -> None:
    async with run_dialer(settings, build_world(agents=1, contacts=1, speed=60), start=False) as dialer:
        await dialer.services.client.xadd(f"dialer:{stream}", {"hello": "world"})
        await eventually(dialer.dead.count)
        assert (await dialer.dead.newest(1))[0].original == {"hello": "world"}
