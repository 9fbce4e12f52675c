"""A backend, and a Dialer API that has a real Asterisk place its calls, for tests marked `asterisk`."""

from __future__ import annotations

from collections.abc import AsyncIterator
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
AGENTS: Final = [{"id": f"Local/{number}@agents/n", "status": "available"} for number in (1001, 1002, 1003)]
OPEN: Final = ("pending", "dialing", "answered")


class Platform:
    """One campaign whose contacts have their numbers for ids. All agents are always available, it says."""

    def __init__(self, caller: Caller, numbers: list[str], **campaign: object) -> None:
        self._caller = caller
        self._campaign = CAMPAIGN | campaign
        self.url = ""
        self.contacts: dict[str, dict[str, Any]] = {
            number: {
                "id": int(number),
                "campaign_id": 1,
                "phone_number": number,
                "status": "pending",
                "attempts": 0,
            }
            for number in numbers
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
        if last == "originate":
            variables = request.body["variables"]
            await self._caller.call(
                variables["ATTEMPT_ID"], request.body["phone_number"], timeout_s=request.body["timeout"]
            )
            return web.json_response({"status": "success"})
        if last in self.contacts:
            self.contacts[last] |= request.body or {}
            return web.json_response(self.contacts[last])
        if last == "contacts":
            wanted = request.query.get("status", "pending").split(",")
            rows = [each for each in self.contacts.values() if each["status"] in wanted]
            return web.json_response(rows if request.query.get("offset", "0") == "0" else [])
        return web.json_response({"agents": AGENTS, "1": self._campaign}.get(last, {}))
