"""Pages speak the browser's language and keep its time."""

from __future__ import annotations

import gettext
from typing import Any

import pytest
from redis.asyncio import Redis

from bench.messages import DASHBOARD
from streamdialer.config.settings import Settings
from streamdialer.dashboard.language import language_of, zone_of
from streamdialer.operations.phrase import Phrase
from tests.support.dashboard_fixture import KEYS, know_campaign, visiting


class Request:
    """As much of a request as the functions read."""

    def __init__(self, language: str = "", **cookies: str) -> None:
        self.headers = {"Accept-Language": language}
        self.cookies = cookies


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("es", "es"),
        ("es-MX,es;q=0.9,en;q=0.8", "es"),
        ("en-GB,en;q=0.9,es;q=0.8", "en"),
        ("de,es;q=0.5,en;q=0.4", "es"),
        ("de", "en"),
        ("es;q=0", "en"),
        ("es;q=nonsense,;;,*", "en"),
        ("estonian", "en"),
    ],
)
def test_the_browser_chooses_the_language(header: str, language: str) -> None:
    request: Any = Request(header)
    assert language_of(request) == language


@pytest.mark.parametrize(
    ("cookie", "zone"),
    [
        ("America/Bogota", "America/Bogota"),
        ("America%2FBogota", "America/Bogota"),
        ("", "UTC"),
        ("Mars/Olympus", "UTC"),
        ("../../etc/passwd", "UTC"),
        ("/etc/passwd", "UTC"),
        ("a\0b", "UTC"),
        ("America", "UTC"),
        ("x" * 5000, "UTC"),
    ],
)
def test_the_browser_names_the_time_zone(cookie: str, zone: str) -> None:
    request: Any = Request(zone=cookie)
    assert zone_of(request).key == zone


def test_a_phrase_is_english_text_that_can_be_translated_with_its_values() -> None:
    with DASHBOARD.mo.open("rb") as file:
        spanish = gettext.GNUTranslations(file)
    status = Phrase("paused")
    phrase = Phrase("Campaign {campaign} is now {status}.", campaign=7, status=status)
    assert phrase == "Campaign 7 is now paused."
    assert phrase.translated(spanish) == "Estado nuevo de la campaña 7: pausada."
    days = [Phrase.counted("{number} day", "{number} days", number) for number in (1, 2)]
    both = Phrase.joined(days[0], ", ", days[1], Phrase.joined())
    assert (both, both.translated(spanish)) == ("1 day, 2 days", "1 día, 2 días")
    assert Phrase("no {value}: {it}").translated(spanish) == "no {value}: {it}"


async def test_pages_are_in_spanish_and_in_the_viewers_time(redis: Redis, settings: Settings) -> None:
    await know_campaign(redis, status="paused")
    async with visiting(settings) as visitor:
        visitor.client.headers["Accept-Language"] = "es-CO"
        visitor.client.cookies.set("zone", "America/Bogota")
        page = (await visitor.get("/campaigns/7")).text
        assert '<html lang="es"' in page
        assert "La campaña 7 no se marca: su estado es &#39;paused&#39;, no «active»." in page
        assert "horas de America/Bogota" in page
        await visitor.send("/campaigns/7/start", back="/campaigns/7")
        assert "Estado nuevo de la campaña 7: activa." in (await visitor.get("/campaigns/7")).text
        assert "No se conoce la campaña 8." in (await visitor.get("/campaigns/8")).text
        assert "¿Detener la campaña 7 para siempre?" in (await visitor.send("/campaigns/7/stop")).text
    assert await redis.hget(KEYS.campaign("7"), "status") == "active"
