"""Do not call, in a running dialer: the call ends, the number is kept from every campaign, the tick says so."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from aiohttp import web

from streamdialer.config.settings import Settings
from streamdialer.rules.numbers import read_number
from streamdialer.simulation.servers.http import json_reply
from streamdialer.simulation.world.build import build_world
from streamdialer.simulation.world.config import CentreConfig
from streamdialer.simulation.world.entities import Contact as ListedContact
from tests.support.dialer import run_dialer
from tests.support.eventually import eventually

pytestmark = pytest.mark.usefixtures("redis")


async def test_a_request_ends_a_call_and_keeps_a_number_from_every_campaign(settings: Settings) -> None:
    world = build_world(agents=4, contacts=6, campaigns=2, mode="progressive", speed=100, retry_delay_s=1)
    mine = {contact.campaign_id: contact for contact in world.contacts.values()}
    for contact in mine.values():
        contact.phone_number = "+573001234567"
    async with run_dialer(settings, world, speed=100) as dialer:
        await dialer.until(lambda audit: audit.total.originates > 0)
        await dialer.producer.event("do_not_call", phone_number="573001234567", reason="letter")
        await dialer.until(lambda audit: all(contact.status == "do_not_call" for contact in mine.values()))
        calls = [world.auditor.per_contact.get(contact.id, 0) for contact in mine.values()]
        audit = await dialer.until_all_are_final()
        assert audit.contacts["do_not_call"] == 2
        assert [world.auditor.per_contact.get(contact.id, 0) for contact in mine.values()] == calls
        assert await dialer.dead.count() == 0
        result = await dialer.tick()
        assert result.reason == "no_contacts"


async def test_the_tick_reports_the_backends_mark_and_an_invalid_number(settings: Settings) -> None:
    world = build_world(agents=3, contacts=3, mode="progressive", speed=60)
    async with run_dialer(settings, world, country="CO") as dialer:
        await dialer.services.suppression.suppress([read_number("+573001234567")], "by hand")
        world.add_contacts(
            [
                ListedContact(id=901, campaign_id=1, phone_number="300 123 4567", priority=10),
                ListedContact(id=902, campaign_id=1, phone_number="12", priority=10),
            ]
        )
        await dialer.until(
            lambda audit: audit.contacts.get("do_not_call") == audit.contacts.get("invalid") == 1
        )
        assert (world.contacts[901].status, world.contacts[902].status) == ("do_not_call", "invalid")

        async def are_in_the_record() -> bool:
            decisions: Any = await dialer.services.client.xrange(dialer.services.keys.decisions("1"))
            told: dict[str, int] = {}
            for _, fields in decisions:
                told |= msgspec.json.decode(fields["record"]).get("skipped") or {}
            return told == {"do_not_call": 1, "no_phone_number": 1}

        await eventually(are_in_the_record, what="the decision records count the skipped contacts")


async def test_a_request_without_a_clear_reply_is_not_repeated_after_do_not_call(settings: Settings) -> None:
    world = build_world(agents=1, contacts=1, mode="progressive", speed=10)
    config = CentreConfig(reply="immediate", honours_key=True)
    async with run_dialer(
        settings, world, speed=10, centre_config=config, dialer_api_idempotent=True
    ) as dialer:
        keys: list[str] = []

        async def is_unclear(request: web.Request) -> web.StreamResponse | None:
            if "idempotency-key" not in request.headers:
                return None
            keys.append(request.headers["idempotency-key"])
            return json_reply({}, 500)

        dialer.centre.dialer_api.set_responder(is_unclear)
        await eventually(lambda: len(keys) >= 2, what="the key is sent again")
        (contact,) = world.contacts.values()
        await dialer.producer.event("do_not_call", phone_number=contact.phone_number)
        await eventually(lambda: contact.status == "do_not_call")
        asked = len(keys)

        async def is_settled() -> bool:
            raw: Any = await dialer.services.client.hget("sd:c:1:records", str(contact.id))
            return "unknown" in [one.get("v") for one in msgspec.json.decode(raw)["h"]]

        await eventually(is_settled, within_s=2.5, what="the request is not sent again")
        assert len(keys) <= asked + 1, "one request was on its way"
