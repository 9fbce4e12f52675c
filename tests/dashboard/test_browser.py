"""The dashboard in a real browser: every action is clicked, every page is checked for accessibility faults."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page
from redis.asyncio import Redis

from streamdialer.config.settings import Settings
from streamdialer.simulation.embedded_redis import EmbeddedServer
from streamdialer.simulation.world.build import build_world
from tests.support.browser import CHROMIUM, PHONE, browsing
from tests.support.dashboard_fixture import (
    ANNA,
    GUARDED,
    KEYS,
    LOOK,
    PASSWORD,
    WALL,
    add_dead_letter,
    dashboard,
    kinds,
    know_campaign,
)
from tests.support.dialer import run_dialer
from tests.support.eventually import eventually
from tests.support.ledger_fixture import LedgerWorld

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium: `make browser` installs Debian's, or name one in CHROMIUM"
)
DESKTOP: Final = {"width": 1440, "height": 900}
PAGES: Final = (
    *("/", "/campaigns/1", "/calls", "/agents", "/contacts", "/campaigns/1/contacts/1"),
    *("/streams", "/replicas", "/dead", "/nowhere"),
)
SERIOUS: Final = {"serious", "critical"}


async def log_in(page: Page, name: str = ANNA, secret: str = PASSWORD) -> None:
    """Whatever language the browser asks for."""
    await page.goto("/")
    await page.locator("#name").fill(name)
    await page.locator("#secret").fill(secret)
    await page.locator("form.entry button").click()
    await page.locator('nav a[href="/"][aria-current]').wait_for()


async def status(redis: Redis, campaign: str) -> Any:
    return await redis.hget(KEYS.campaign(campaign), "status")


async def test_campaigns_are_started_paused_and_stopped_by_clicking(redis: Redis, settings: Settings) -> None:
    await know_campaign(redis, "7", "paused")
    async with dashboard(settings, **GUARDED) as address, browsing(address) as page:
        await log_in(page)
        await page.get_by_role("button", name="Start Campaign 7").click()
        await page.get_by_text("Campaign 7 is now active.").wait_for()
        assert await status(redis, "7") == "active"
        await page.get_by_role("button", name="Pause Campaign 7").click()
        await page.get_by_text("Campaign 7 is now paused.").wait_for()
        assert await status(redis, "7") == "paused"
        await page.get_by_role("link", name="Campaign 7").click()
        await page.get_by_role("button", name="Stop Campaign 7").click()
        await page.get_by_role("link", name="Go back").click()
        assert await status(redis, "7") == "paused"
        await page.get_by_role("button", name="Stop Campaign 7").click()
        await page.get_by_role("button", name="Stop campaign", exact=True).click()
        await page.get_by_text("Campaign 7 is now cancelled.").wait_for()
        assert await status(redis, "7") == "cancelled"
        assert page.url.endswith("/campaigns/7")
        await page.get_by_role("link", name="Campaigns").click()
        await page.get_by_label("Start another campaign").fill("8")
        await page.get_by_role("button", name="Start", exact=True).click()
        await page.get_by_text("Campaign 8 is now active.").wait_for()
        assert await status(redis, "8") == "active"


async def test_dead_letters_are_replayed_and_dropped_by_clicking(redis: Redis, settings: Settings) -> None:
    letters = [await add_dead_letter(redis, type=kind) for kind in "abcdef"]

    async def left() -> list[str]:
        return await kinds(redis, "dead")

    async def replayed() -> list[str]:
        return await kinds(redis, "events")

    async with dashboard(settings, **GUARDED) as address, browsing(address) as page:
        await log_in(page)
        await page.get_by_role("link", name="Dead letters").click()
        await page.get_by_label(f"Select {letters[0]}").check()
        await page.get_by_role("button", name="Replay selected").click()
        await page.get_by_text("1 dead letter put back").wait_for()
        assert (await replayed(), await left()) == (["a"], ["b", "c", "d", "e", "f"])
        await page.get_by_label(f"Select {letters[1]}").check()
        await page.get_by_role("button", name="Drop selected").click()
        assert await left() == ["b", "c", "d", "e", "f"]
        await page.get_by_role("button", name="Drop", exact=True).click()
        await page.get_by_text("1 dead letter dropped").wait_for()
        assert await left() == ["c", "d", "e", "f"]
        await page.get_by_role("link", name=letters[2]).click()
        await page.get_by_role("button", name="Replay").click()
        await page.get_by_text("1 dead letter put back").wait_for()
        assert await replayed() == ["a", "c"]
        await page.get_by_role("link", name=letters[3]).click()
        await page.get_by_role("button", name="Drop…").click()
        await page.get_by_role("button", name="Drop", exact=True).click()
        await page.get_by_text("1 dead letter dropped").wait_for()
        assert await left() == ["e", "f"]
        await page.get_by_role("button", name="Replay all").click()
        await page.get_by_text("2 dead letters put back").wait_for()
        assert (await replayed(), await left()) == (["a", "c", "e", "f"], [])
        await add_dead_letter(redis, type="g")
        await page.get_by_role("button", name="Drop all").click()  # the button has appeared without a reload
        await page.get_by_role("button", name="Drop", exact=True).click()
        await page.get_by_text("There are no dead letters.").wait_for()
        assert await left() == []


async def test_changes_show_without_a_reload_and_selections_stay(redis: Redis, settings: Settings) -> None:
    await know_campaign(redis)
    first = await add_dead_letter(redis, type="a")
    async with dashboard(settings) as address, browsing(address) as page:
        await page.goto("/dead")
        await page.get_by_label(f"Select {first}").check()
        second = await add_dead_letter(redis, type="b")
        await page.get_by_label(f"Select {second}").wait_for()
        assert await page.get_by_label(f"Select {first}").is_checked()
        assert not await page.get_by_label(f"Select {second}").is_checked()
        await page.goto("/campaigns/7")
        await redis.hset(KEYS.campaign("7"), "status", "paused")
        await page.get_by_text("its status is 'paused'").wait_for()
        await page.get_by_role("button", name="Start Campaign 7").wait_for()


async def test_a_page_says_that_it_is_out_of_date_when_no_updates_arrive(settings: Settings) -> None:
    with EmbeddedServer() as mortal:
        here = msgspec.structs.replace(settings, redis_url=mortal.url)
        async with dashboard(here) as address, browsing(address) as page:
            await page.goto("/streams")
            assert not await page.get_by_text("No updates are arriving").is_visible()
            mortal.stop()
            await page.get_by_text("No updates are arriving").wait_for()
            assert await page.get_by_role("rowheader", name="ticks").count() == 1


async def test_logging_out_the_theme_and_a_viewer(redis: Redis, settings: Settings) -> None:
    await know_campaign(redis)
    async with dashboard(settings, **GUARDED) as address, browsing(address, color_scheme="light") as page:
        await log_in(page, WALL, LOOK)
        assert await page.get_by_role("button", name="Pause").count() == 0
        background = "getComputedStyle(document.body).backgroundColor"
        light = await page.evaluate(background)
        await page.get_by_role("button", name="change to light").click()
        await page.get_by_role("button", name="change to dark").click()
        assert await page.evaluate(background) != light
        await page.get_by_role("button", name="Log out").click()
        await page.get_by_role("heading", name="Log in").wait_for()
        await page.goto("/streams")
        assert page.url.endswith("/login")


async def test_agents_calls_and_contacts_are_found_by_clicking_in_the_viewers_language_and_time(
    world: LedgerWorld, settings: Settings
) -> None:
    await world.open_campaign(contacts=2, agents=2)
    attempt = await world.place_one()
    await world.event("call_failed", attempt, call_id="c", disposition="busy", cause="q850:17")
    options = {"locale": "es-CO", "timezone_id": "America/Bogota"}
    async with dashboard(settings, **GUARDED) as address, browsing(address, **options) as page:
        await log_in(page, WALL, LOOK)
        await page.get_by_role("link", name="Agentes").click()
        await page.get_by_role("row", name="disponible").first.wait_for()
        await page.get_by_text("horas de America/Bogota").wait_for()
        await page.get_by_role("link", name="Llamadas").click()
        row = page.get_by_role("row", name="ocupado")
        await row.get_by_role("link", name=attempt.contact, exact=True).click()
        await page.get_by_role("heading", name=f"Contacto {attempt.contact}").wait_for()
        shown = await page.locator("tbody time").first.evaluate(
            "each => [each.textContent, new Date(each.dateTime).toTimeString()]"
        )
        assert shown[1].startswith(shown[0])
        assert "-0500" in shown[1]
        await page.get_by_role("link", name="Buscar contactos").click()
        await page.get_by_label("Id o número de teléfono").fill(attempt.contact)
        await page.get_by_role("button", name="Buscar").click()
        await page.get_by_role("rowheader", name=attempt.contact).get_by_role("link").click()
        await page.locator("p.sub").get_by_role("link", name="Campaña 1").click()
        await page.get_by_role("heading", name="Avance de la lista").wait_for()


async def test_the_first_page_is_put_into_the_browsers_time_at_once(redis: Redis, settings: Settings) -> None:
    await know_campaign(redis)
    async with dashboard(settings) as address, browsing(address, timezone_id="America/Bogota") as page:
        first = await page.goto("/")
        assert first is not None
        assert "times of UTC" in await first.text()
        await page.wait_for_function(
            "(at => at && new Date(at.dateTime).toTimeString().startsWith(at.textContent))"
            "(document.querySelector('.at time'))",
            timeout=1500,  # sooner than the page renews itself
        )


@pytest.mark.parametrize(("scheme", "locale"), [("light", "en-GB"), ("dark", "es-CO")])
async def test_no_page_has_a_serious_fault_or_is_too_wide(
    redis: Redis, settings: Settings, scheme: Any, locale: str
) -> None:
    await redis.flushall()
    async with (
        run_dialer(
            settings, build_world(agents=6, contacts=200, mode="predictive", pacing_ratio=1.5)
        ) as dialer,
        dashboard(dialer.services.settings, **GUARDED) as address,
        browsing(address, color_scheme=scheme, locale=locale, viewport=PHONE) as page,
    ):
        letter = await add_dead_letter(
            redis, type="strange", data='{"phone_number": "+573001234567"}', field="x" * 200
        )
        await page.goto("/login")
        assert await faults(page) == []
        await log_in(page)
        await eventually(lambda: redis.llen(KEYS.samples("1")), what="samples")
        examined = PHONE if scheme == "dark" else DESKTOP
        for path in (*PAGES, f"/dead/{letter}"):
            await page.goto(path)
            for viewport in (PHONE, DESKTOP):
                await page.set_viewport_size(viewport)  # type: ignore[arg-type]
                wide = await page.evaluate("document.documentElement.scrollWidth")
                assert (path, wide) == (path, viewport["width"])
                if viewport == examined:
                    assert (path, await faults(page)) == (path, [])
        await page.goto("/campaigns/1")
        await page.locator("button.danger").click()
        await page.locator(".narrow").wait_for()
        assert await faults(page) == []


async def faults(page: Page) -> list[str]:
    """Serious accessibility faults, as axe names them."""
    violations = (await Axe().run(page)).response["violations"]
    return [
        f"{fault['id']}: {fault['nodes'][0]['html']}" for fault in violations if fault["impact"] in SERIOUS
    ]
