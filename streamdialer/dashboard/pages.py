"""What there is to see: campaigns, streams, replicas, dead letters."""

from __future__ import annotations

from typing import Final

import anyio
from aiohttp import web
from redis.asyncio import Redis
from redis.exceptions import RedisError

from streamdialer.broker import DeadLetters
from streamdialer.broker.connection import TRANSIENT
from streamdialer.broker.keys import Keys
from streamdialer.broker.scripts import Scripts
from streamdialer.dashboard.charts import charts
from streamdialer.dashboard.render import Renderer
from streamdialer.errors import CannotBeDone, StreamdialerError, Unreachable
from streamdialer.operations.dead_letters import LETTER_ID, masked_letter, newest_letters
from streamdialer.operations.decisions import decisions, describe
from streamdialer.operations.overview import CampaignOverview, Overview, overview

REFRESH_INTERVAL_S: Final = 1.0
CAMPAIGNS_PER_PAGE: Final = 24
LETTERS_PER_PAGE: Final = 100
MAX_DECISIONS: Final = 12


class OverviewCache:
    """The overview of this second, read once for everybody who looks."""

    def __init__(self, scripts: Scripts, keys: Keys) -> None:
        self._scripts = scripts
        self._keys = keys
        self._reading = anyio.Lock()
        self._read: Overview | Exception = Unreachable("nothing has been read yet")
        self._read_at = float("-inf")
        self._is_forgotten = False

    def forget(self) -> None:
        """What was read before now is not shown any more: somebody has just changed it."""
        self._is_forgotten = True

    async def overview(self) -> Overview:
        """Raises redis.RedisError, or Unreachable: when nothing comes, everybody who waited for it is told at once."""
        asked_at = anyio.current_time()
        async with self._reading:
            if self._is_forgotten or self._read_at < asked_at - REFRESH_INTERVAL_S:
                self._is_forgotten = False
                try:
                    self._read = await overview(self._scripts, self._keys)
                except (RedisError, StreamdialerError, *TRANSIENT) as error:
                    self._read = error
                self._read_at = anyio.current_time()
            if isinstance(self._read, Exception):
                raise self._read
            return self._read


class Pages:
    """Every page that only shows."""

    def __init__(
        self, client: Redis, keys: Keys, reader: OverviewCache, letters: DeadLetters, renderer: Renderer
    ) -> None:
        self._client = client
        self._keys = keys
        self._reader = reader
        self._letters = letters
        self._renderer = renderer

    async def campaigns(self, request: web.Request) -> web.Response:
        seen = await self._reader.overview()
        pages = max(1, -(-len(seen.campaigns) // CAMPAIGNS_PER_PAGE))
        wanted = request.query.get("page", "1")
        page = min(max(1, int(wanted[:6])), pages) if wanted.isdecimal() else 1
        shown = seen.campaigns[(page - 1) * CAMPAIGNS_PER_PAGE :][:CAMPAIGNS_PER_PAGE]
        drawn = [(campaign, charts(campaign)[:1]) for campaign in shown]
        return self._renderer.page(request, "campaigns", seen=seen, drawn=drawn, page=page, pages=pages)

    async def campaign(self, request: web.Request) -> web.Response:
        seen = await self._reader.overview()
        campaign = _find(seen, request.match_info["campaign"])
        records = await decisions(self._client, self._keys, str(campaign.campaign_id), last=MAX_DECISIONS)
        told = [(record.at, describe(record)) for record in records]
        return self._renderer.page(
            request, "campaign", seen=seen, campaign=campaign, charts=charts(campaign), decisions=told
        )

    async def streams(self, request: web.Request) -> web.Response:
        return self._renderer.page(request, "streams", seen=await self._reader.overview())

    async def replicas(self, request: web.Request) -> web.Response:
        return self._renderer.page(request, "replicas", seen=await self._reader.overview())

    async def dead(self, request: web.Request) -> web.Response:
        before = request.query.get("before", "")
        before_id = before if LETTER_ID.fullmatch(before) else None
        letters, there_are = await newest_letters(self._letters, LETTERS_PER_PAGE + 1, before_id)
        return self._renderer.page(
            request,
            "dead",
            seen=await self._reader.overview(),
            letters=letters[:LETTERS_PER_PAGE],
            there_are=there_are,
            has_newer=before_id is not None,
            has_older=len(letters) > LETTERS_PER_PAGE,
        )

    async def letter(self, request: web.Request) -> web.Response:
        try:
            letter = masked_letter(await self._letters.get(request.match_info["letter"]))
        except CannotBeDone as error:
            raise web.HTTPNotFound(text=f"{error}".partition(";")[0]) from error
        return self._renderer.page(request, "letter", seen=await self._reader.overview(), letter=letter)


def _find(seen: Overview, campaign: str) -> CampaignOverview:
    found = next((each for each in seen.campaigns if str(each.campaign_id) == campaign), None)
    if found is None:
        text = f"No campaign {campaign} is known."
        if seen.unshown:
            text = f"Campaign {campaign} is not among the {len(seen.campaigns)} that are shown."
        raise web.HTTPNotFound(text=text)
    return found
