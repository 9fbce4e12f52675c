"""The pages about people: agents, calls, contacts."""

from __future__ import annotations

from functools import partial

from aiohttp import web
from redis.asyncio import Redis

from streamdialer.broker.keys import Keys
from streamdialer.dashboard.middleware import read_form
from streamdialer.dashboard.pages import OverviewCache
from streamdialer.dashboard.refusal import bad_request, not_found
from streamdialer.dashboard.render import Renderer, formatting_of
from streamdialer.errors import CannotBeDone
from streamdialer.model import MAX_WORD, normalise_id
from streamdialer.operations.agents_now import MAX_AGENTS, MAX_QUEUES, agents_now, day_totals
from streamdialer.operations.calls_now import live_calls, newest_ended
from streamdialer.operations.contact_detail import contact_detail
from streamdialer.operations.contact_search import MAX_FOUND, find_contacts
from streamdialer.operations.phrase import Phrase
from streamdialer.rules.calling_hours import CallingHours


class PeoplePages:
    def __init__(self, client: Redis, keys: Keys, cache: OverviewCache, renderer: Renderer) -> None:
        self._client = client
        self._keys = keys
        self._cache = cache
        self._renderer = renderer

    async def agents(self, request: web.Request) -> web.Response:
        """All of them, or those of `?queue=`."""
        overview, queue = await self._cache.get(), request.query.get("queue", "")
        known = {each.queue: each.agents.known for each in overview.queues if queue in ("", each.queue)}
        day_began_ms = formatting_of(request).day_began(overview.at)
        agents = await agents_now(self._client, self._keys, known, overview.at, day_began_ms)
        calls, talk_s = day_totals(agents)
        return self._renderer.page(
            request,
            "agents",
            overview=overview,
            agents=agents,
            queue=queue,
            is_cut=len(agents) >= MAX_AGENTS or len(known) > MAX_QUEUES,
            calls=calls,
            talk_s=talk_s,
        )

    async def calls(self, request: web.Request) -> web.Response:
        overview = await self._cache.get()
        live = await live_calls(self._client, self._keys, overview.campaigns, overview.at)
        ended = await newest_ended(self._client, self._keys)
        up = sum(each.ringing + each.connected for each in overview.campaigns)
        return self._renderer.page(
            request, "calls", overview=overview, live=live, ended=ended, unshown=max(0, up - len(live))
        )

    async def contacts(self, request: web.Request) -> web.Response:
        """The form of the search."""
        return self._renderer.page(
            request, "contacts", overview=await self._cache.get(), found=None, is_cut=False
        )

    async def search(self, request: web.Request) -> web.Response:
        """The contacts found; a form, because an address with a phone number stays in logs and in the browser."""
        text = str((await read_form(request)).get("contact", "")).strip()[:MAX_WORD]
        if not text:
            raise bad_request(Phrase("Enter a contact's id or a phone number."))
        overview = await self._cache.get()
        campaigns = [normalise_id(each.campaign_id) for each in overview.campaigns]
        found = await find_contacts(self._client, self._keys, campaigns, text)
        return self._renderer.page(
            request, "contacts", overview=overview, found=found, is_cut=len(found) >= MAX_FOUND
        )

    async def contact(self, request: web.Request) -> web.Response:
        try:
            campaign, contact = (normalise_id(request.match_info[part]) for part in ("campaign", "contact"))
            detail = await contact_detail(
                self._client, self._keys, campaign, contact, partial(_unknown_hours, campaign)
            )
        except (ValueError, CannotBeDone) as error:
            raise not_found(str(error)) from error
        return self._renderer.page(request, "contact", overview=await self._cache.get(), contact=detail)


async def _unknown_hours(campaign: str) -> CallingHours | str:
    """The dashboard does not ask the backend."""
    return f"`streamdialer contact show {campaign} …` asks the backend"
