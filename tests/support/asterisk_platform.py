"""A backend whose calls a real Asterisk places, for tests marked `asterisk`; as a Dialer API, it asks it for them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final, Self

from aiohttp import web

from tests.support.gateway_server import Request, serving
from tests.support.real_asterisk import Caller

CAMPAIGN: Final = {
    "id": 1,
    "dial_mode": "power",
    "pacing_ratio": 3,
    "max_concurrent_calls": 20,
    "max_retries": 1,
    "queue_name": "desk",
    "trunk": "trunk-out",
}
OPEN: Final = ("pending", "dialing", "answered")


class Platform:
    """Campaigns whose contacts have their numbers for ids. All agents are always available, it says."""

    def __init__(
        self,
        numbers: Iterable[str] = (),
        *,
        caller: Caller | None = None,
        agents: Iterable[int] = (1001, 1002, 1003),
        **changes: Any,
    ) -> None:
        """Numbers of campaign 1, whose settings differ from `CAMPAIGN` by `changes`."""
        self._caller = caller
        self._agents = [{"id": f"Local/{agent}@agents/n", "status": "available"} for agent in agents]
        self.url = ""
        self.campaigns: dict[str, dict[str, Any]] = {}
        self.contacts: dict[str, dict[str, Any]] = {}
        self.add(1, numbers, **changes)

    def add(self, campaign: int, numbers: Iterable[str], **changes: Any) -> None:
        self.campaigns[str(campaign)] = {**CAMPAIGN, "id": campaign, **changes}
        for number in numbers:
            self.contacts[number] = {
                "id": int(number),
                "campaign_id": campaign,
                "phone_number": number,
                "status": "pending",
                "attempts": 0,
            }

    @property
    def is_over(self) -> bool:
        return not any(contact["status"] in OPEN for contact in self.contacts.values())

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Self]:
        async with serving(self._answer) as server:
            self.url = server.url
            yield self

    async def _answer(self, request: Request) -> web.StreamResponse:
        last = request.path.rstrip("/").rpartition("/")[2]
        if last == "originate" and self._caller:
            variables = request.body["variables"]
            await self._caller.call(
                variables["ATTEMPT_ID"], request.body["phone_number"], timeout_s=request.body["timeout"]
            )
            return web.json_response({"status": "success"})
        if last == "agents":
            return web.json_response(self._agents)
        if last in self.contacts:
            self.contacts[last] |= request.body or {}
            return web.json_response(self.contacts[last])
        if last == "contacts":
            wanted, campaign = (
                request.query.get("status", "pending").split(","),
                request.query.get("campaign_id"),
            )
            rows = [
                each
                for each in self.contacts.values()
                if each["status"] in wanted and campaign in (None, str(each["campaign_id"]))
            ]
            return web.json_response(rows if request.query.get("offset", "0") == "0" else [])
        return web.json_response(self.campaigns.get(last, {}))
