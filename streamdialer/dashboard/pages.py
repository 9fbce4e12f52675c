"""The pages that only show: campaigns, streams, replicas, dead letters; and the overview that all pages share."""

from __future__ import annotations

from typing import Final

import anyio
from aiohttp import web
from redis.asyncio import Redis
from redis.exceptions import RedisError

from streamdialer.broker.connection import TRANSIENT
from streamdialer.broker.dead_letters import DeadLetters
from streamdialer.broker.keys import Keys
from streamdialer.broker.scripts import Scripts
from streamdialer.dashboard.charts import charts
from streamdialer.dashboard.refusal import not_found
from streamdialer.dashboard.render import Renderer, formatting_of
from streamdialer.errors import CannotBeDone, StreamdialerError, Unreachable
from streamdialer.model import normalise_id
from streamdialer.operations.dead_letters import LETTER_ID, masked_letter, newest_letters
from streamdialer.operations.decisions import decisions, describe
from streamdialer.operations.overview.collect import overview as read_overview
from streamdialer.operations.overview.views import CampaignOverview, Overview
from streamdialer.operations.penetration import penetration
from streamdialer.operations.phrase import Phrase

REFRESH_INTERVAL_S: Final = 1.0
CAMPAIGNS_PER_PAGE: Final = 24
LETTERS_PER_PAGE: Final = 100
MAX_DECISIONS: Final = 12


class OverviewCache:
    """The overview, read at most once a second however many browsers ask."""

    def __init__(self, scripts: Scripts, keys: Keys) -> None:
        self._scripts = scripts
        self._keys = keys
        self._lock = anyio.Lock()
        self._result: Overview | Exception = Unreachable("nothing has been read yet")
        self._read_at = float("-inf")
        self._is_stale = False

    def invalidate(self) -> None:
        """The next page reads again, because something has just been changed."""
        self._is_stale = True

    async def get(self) -> Overview:
        """Raises redis.RedisError or Unreachable; one failed reading is the answer to all who waited for it."""
        asked_at = anyio.current_time()
        async with self._lock:
            if self._is_stale or self._read_at < asked_at - REFRESH_INTERVAL_S:
                self._is_stale = False
                try:
                    self._result = await read_overview(self._scripts, self._keys)
                except (RedisError, StreamdialerError, *TRANSIENT) as error:
                    self._result = error
                self._read_at = anyio.current_time()
            if isinstance(self._result, Exception):
                raise self._result
            return self._result


class Pages:
    def __init__(
        self, client: Redis, keys: Keys, cache: OverviewCache, letters: DeadLetters, renderer: Renderer
    ) -> None:
        self._client = client
        self._keys = keys
        self._cache = cache
        self._letters = letters
        self._renderer = renderer

    async def campaigns(self, request: web.Request) -> web.Response:
        overview = await self._cache.get()
        pages = max(1, -(-len(overview.campaigns) // CAMPAIGNS_PER_PAGE))
        number = request.query.get("page", "1")
        page = min(max(1, int(number[:6])), pages) if number.isdecimal() else 1
        shown = overview.campaigns[(page - 1) * CAMPAIGNS_PER_PAGE :][:CAMPAIGNS_PER_PAGE]
        words = formatting_of(request)
        cards = [(campaign, charts(campaign, words)[:1]) for campaign in shown]
        return self._renderer.page(
            request, "campaigns", overview=overview, cards=cards, page=page, pages=pages
        )

    async def campaign(self, request: web.Request) -> web.Response:
        overview = await self._cache.get()
        campaign = _find_campaign(overview, request.match_info["campaign"])
        id_ = normalise_id(campaign.campaign_id)
        records = await decisions(self._client, self._keys, id_, last=MAX_DECISIONS)
        lines = [(record.at, describe(record)) for record in records]
        return self._renderer.page(
            request,
            "campaign",
            overview=overview,
            campaign=campaign,
            charts=charts(campaign, formatting_of(request)),
            decisions=lines,
            attempts=await penetration(self._client, self._keys, id_),
        )

    async def streams(self, request: web.Request) -> web.Response:
        return self._renderer.page(request, "streams", overview=await self._cache.get())

    async def replicas(self, request: web.Request) -> web.Response:
        return self._renderer.page(request, "replicas", overview=await self._cache.get())

    async def dead_letters(self, request: web.Request) -> web.Response:
        before = request.query.get("before", "")
        before_id = before if LETTER_ID.fullmatch(before) else None
        letters, total = await newest_letters(self._letters, LETTERS_PER_PAGE + 1, before_id)
        return self._renderer.page(
            request,
            "dead_letters",
            overview=await self._cache.get(),
            letters=letters[:LETTERS_PER_PAGE],
            total=total,
            has_newer=before_id is not None,
            has_older=len(letters) > LETTERS_PER_PAGE,
        )

    async def dead_letter(self, request: web.Request) -> web.Response:
        try:
            letter = masked_letter(await self._letters.get(request.match_info["letter"]))
        except CannotBeDone as error:
            raise not_found(f"{error}".partition(";")[0]) from error
        return self._renderer.page(request, "dead_letter", overview=await self._cache.get(), letter=letter)


def _find_campaign(overview: Overview, campaign: str) -> CampaignOverview:
    match = next((each for each in overview.campaigns if str(each.campaign_id) == campaign), None)
    if match is None:
        text = Phrase("Campaign {campaign} is not known.", campaign=campaign)
        if overview.unshown:
            text = Phrase(
                "Campaign {campaign} is not one of the {shown} that the dashboard shows. "
                "Use `streamdialer campaign show {campaign}`.",
                campaign=campaign,
                shown=len(overview.campaigns),
            )
        raise not_found(text)
    return match
