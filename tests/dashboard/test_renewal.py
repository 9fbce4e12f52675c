"""A page that renews itself keeps what the user types, where the focus is, and what is selected."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from playwright.async_api import Page, Route, expect
from redis.asyncio import Redis

from streamdialer.config.settings import Settings
from tests.support.browser import CHROMIUM, PHONE, browsing
from tests.support.dashboard_fixture import KEYS, add_dead_letter, dashboard, kinds, know_campaign

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: `make browser` installs Debian's")
WITH_A_COLD_SERVER_MS = 20_000


async def forget_campaign(redis: Redis, campaign: str) -> None:
    await redis.hdel(KEYS.directory, campaign)
    await redis.delete(KEYS.campaign(campaign))


async def test_text_and_focus_stay_when_things_go_away(redis: Redis, settings: Settings) -> None:
    for campaign in ("7", "8"):
        await know_campaign(redis, campaign)
    async with dashboard(settings) as address, browsing(address) as page:
        await page.goto("/")
        field, alerts = page.get_by_label("Start another campaign"), page.get_by_text("Needs attention")
        await field.fill("12")
        await expect(alerts).to_be_visible()
        for campaign in ("7", "8"):  # no replica is needed any more, so the alert goes
            await redis.hset(KEYS.campaign(campaign), "status", "paused")
        await expect(alerts).not_to_be_visible(timeout=WITH_A_COLD_SERVER_MS)
        await expect(field).to_have_value("12")
        await expect(field).to_be_focused()
        start = page.get_by_role("button", name="Start Campaign 8")
        await start.focus()
        await forget_campaign(redis, "7")
        await expect(page.get_by_role("link", name="Campaign 7")).to_have_count(0)
        await expect(start).to_be_focused()
        await field.fill("13")
        await forget_campaign(redis, "8")
        await page.get_by_text("No campaign has been dialed yet.").wait_for()
        await know_campaign(redis, "9", "paused")
        await page.get_by_role("link", name="Campaign 9").wait_for()
        await expect(field).to_have_value("13")
        await expect(field).to_be_focused()


async def test_selections_stay_when_letters_between_them_go(redis: Redis, settings: Settings) -> None:
    letters = [await add_dead_letter(redis, type=kind) for kind in "abc"]
    async with dashboard(settings) as address, browsing(address) as page:
        await page.goto("/dead")
        boxes = [page.get_by_label(f"Select {letter}") for letter in letters]
        await boxes[2].check()
        await boxes[0].check()
        await redis.xdel(KEYS.stream("dead"), letters[1])
        await expect(boxes[1]).to_have_count(0)
        for box in (boxes[0], boxes[2]):
            await expect(box).to_be_checked()
        await expect(boxes[0]).to_be_focused()


async def test_a_page_says_it_is_out_of_date_when_the_server_hangs(redis: Redis, settings: Settings) -> None:
    async with dashboard(settings) as address, browsing(address) as page:
        await page.goto("/streams")

        async def never_answer(_: Route) -> None:
            """Neither answers nor closes."""

        await page.route("**/streams", never_answer)
        await page.get_by_text("No updates are arriving").wait_for(timeout=WITH_A_COLD_SERVER_MS)


async def test_a_double_click_sends_a_form_once(redis: Redis, settings: Settings) -> None:
    letter = await add_dead_letter(redis, type="a")
    sent: list[str] = []
    async with dashboard(settings) as address, browsing(address) as page:
        await page.goto(f"/dead/{letter}")
        page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)

        async def take_time(route: Route) -> None:
            await anyio.sleep(1)
            await route.continue_()

        await page.route("**/dead/replay", take_time)
        await page.get_by_role("button", name="Replay").evaluate(
            "button => { button.click(); setTimeout(() => button.click(), 300); }"
        )
        await page.get_by_text("1 dead letter put back").wait_for()
    assert len(sent) == 1
    assert await kinds(redis, "events") == ["a"]


@pytest.mark.parametrize("path", ["/", "/campaigns/{}", "/dead", "/dead?before=9-0"])
async def test_long_names_fit_on_the_page_of_a_phone(redis: Redis, settings: Settings, path: str) -> None:
    campaign = "x" * 64
    await know_campaign(redis, campaign)
    await redis.hset(KEYS.directory, campaign, "q" * 300)
    await add_dead_letter(redis, type="t" * 300)
    users = f"operator:{'n' * 64}:her password"
    async with (
        dashboard(settings, dashboard_users=users) as address,
        browsing(address, viewport=PHONE) as page,
    ):
        await page.goto("/login")
        await page.get_by_label("Name").fill("n" * 64)
        await page.get_by_label("Password or token").fill("her password")
        await page.get_by_role("button", name="Log in").click()
        await page.goto(path.format(campaign))
        assert await width(page) == PHONE["width"]
        if path != "/campaigns/{}":
            return
        await page.get_by_role("button", name="Stop campaign").click()
        await page.get_by_role("heading", name="Stop campaign").wait_for()
        assert await width(page) == PHONE["width"]


async def width(page: Page) -> Any:
    return await page.evaluate("document.documentElement.scrollWidth")


async def test_without_scripts_every_action_still_works(redis: Redis, settings: Settings) -> None:
    await know_campaign(redis)
    async with dashboard(settings) as address, browsing(address, java_script_enabled=False) as page:
        await page.goto("/")
        await page.get_by_role("button", name="Pause Campaign 7").click()
        await page.get_by_role("button", name="Start Campaign 7").wait_for()
        await page.get_by_role("button", name="Stop Campaign 7").click()
        await page.get_by_role("button", name="Stop campaign", exact=True).click()
        await page.get_by_text("Campaign 7 is now cancelled.").wait_for()
    assert await redis.hget(KEYS.campaign("7"), "status") == "cancelled"
