"""A backend and a Dialer API that answer at once: `python -m bench.speed.instant_servers PORT`.

`GET /counts` says how many requests of each kind came, `GET /originates` when those for calls came (monotonic s).
"""

from __future__ import annotations

import itertools
import logging
import sys
import time
from collections import Counter
from typing import Final

import msgspec
import uvloop
from aiohttp import web

CAMPAIGN: Final = {
    "status": "active",
    "dial_mode": "power",
    "pacing_ratio": 1.0,
    "max_concurrent_calls": 100_000,
}


class InstantServers:
    """Every contact is pending, every campaign is active, every call is placed."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._calls = itertools.count(1)
        self._originates: list[float] = []

    def application(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.get("/counts", self._show_counts),
                web.get("/originates", self._show_originates),
                web.get("/api/campaigns/{id}/", self._campaign),
                web.post("/api/campaigns/{id}/update_stats/", self._taken),
                web.get("/api/queues/{name}/agents/", self._list),
                web.get("/api/contacts/", self._list),
                web.get("/api/contacts/{id}/", self._contact),
                web.patch("/api/contacts/{id}/", self._taken),
                web.post("/calls/originate", self._originate),
            ]
        )
        return app

    def _reply(self, request: web.Request, document: object) -> web.Response:
        resource = request.match_info.route.resource
        self._counts[f"{request.method} {resource.canonical if resource else request.path}"] += 1
        return web.Response(body=msgspec.json.encode(document), content_type="application/json")

    async def _show_counts(self, _: web.Request) -> web.Response:
        return web.json_response(dict(self._counts))

    async def _show_originates(self, _: web.Request) -> web.Response:
        return web.json_response(self._originates)

    async def _campaign(self, request: web.Request) -> web.Response:
        number = int(request.match_info["id"])
        return self._reply(request, {"id": number, "queue_name": f"q{number % 20}", **CAMPAIGN})

    async def _contact(self, request: web.Request) -> web.Response:
        number = int(request.match_info["id"])
        return self._reply(
            request, {"id": number, "status": "dialing", "attempts": 0, "phone_number": f"+57300{number:07d}"}
        )

    async def _list(self, request: web.Request) -> web.Response:
        return self._reply(request, {"count": 0, "next": None, "previous": None, "results": []})

    async def _taken(self, request: web.Request) -> web.Response:
        await request.read()
        return self._reply(request, {})

    async def _originate(self, request: web.Request) -> web.Response:
        self._originates.append(time.monotonic())
        await request.read()
        return self._reply(request, {"status": "success", "call_id": f"c{next(self._calls)}"})


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    web.run_app(
        InstantServers().application(),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        print=None,
        access_log=None,
        loop=uvloop.new_event_loop(),
    )
