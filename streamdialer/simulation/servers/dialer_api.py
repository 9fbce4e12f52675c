"""The Dialer API of the call centre: places calls, and answers as the deployed or a newer one.

By default it names no call, holds its reply until the phone stops ringing, and increments two counters in
Redis that others read; all three are what a dialer has to live with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import msgspec
from aiohttp import web
from redis.asyncio import Redis
from redis.exceptions import RedisError

from streamdialer.broker.keys import Keys
from streamdialer.model import wire_id
from streamdialer.simulation.servers.http import Service, json_reply
from streamdialer.simulation.world.config import CentreConfig
from streamdialer.simulation.world.engine import World
from streamdialer.simulation.world.entities import Call, Id

Place = Callable[["OriginateRequest", str | None], Call]


class OriginateRequest(msgspec.Struct):
    """Body of `POST /calls/originate`."""

    campaign_id: Id
    contact_id: Id
    phone_number: str
    context: str = "dialer-outbound"
    priority: int = 1
    timeout: float = 30.0
    """Wall-clock seconds."""
    variables: dict[str, Any] = {}


class DialerApi(Service):
    """Places each call it is asked for, once more when asked once more, unless it honours the key."""

    def __init__(
        self,
        world: World,
        config: CentreConfig,
        clock: Callable[[], float],
        redis: Redis,
        keys: Keys,
        place: Place,
    ) -> None:
        super().__init__(clock, config.dialer_api_port)
        self._world = world
        self._config = config
        self._redis = redis
        self._keys = keys
        self._place = place
        self._ringing: dict[str, anyio.Event] = {}
        self._first: dict[str, Call] = {}
        """The call each key placed, when keys are honoured."""

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/calls/originate", self._originate),
            web.get("/campaigns/{id}/stats", self._stats),
            web.get("/health", self._health),
        ]

    def is_allowed(self, request: web.Request) -> bool:
        token = self._config.dialer_api_token
        open_to_all = token is None or request.path == "/health"
        return open_to_all or request.headers.get("Authorization") == f"Bearer {token}"

    def stopped_ringing(self, call_id: str) -> None:
        """The call was answered or ended: its held reply may go."""
        if ringing := self._ringing.pop(call_id, None):
            ringing.set()

    async def _originate(self, request: web.Request) -> web.Response:
        try:
            asked = msgspec.json.decode(await request.read(), type=OriginateRequest)
        except msgspec.DecodeError as error:
            return json_reply({"detail": [{"loc": ["body"], "msg": str(error), "type": "value_error"}]}, 422)
        asked.campaign_id, asked.contact_id = _plain(asked.campaign_id), _plain(asked.contact_id)
        if asked.campaign_id not in self._world.campaigns:
            return json_reply({"detail": f"Campaign {asked.campaign_id} not found"}, 404)
        key = request.headers.get("Idempotency-Key")
        call = self._first.get(key) if key else None
        if call is None:
            call = self._place(asked, key)
            self._ringing[call.id] = anyio.Event()
            if key and self._config.honours_key:
                self._first[key] = call
            try:
                await self._count(asked.campaign_id)
            except (RedisError, OSError) as error:  # the phone rings all the same: the answer proves nothing
                return json_reply({"detail": f"Failed to originate call: {error}"}, 500)
        if self._config.reply == "immediate":
            return json_reply({"status": "success", "message": "Call originated", "call_id": call.id})
        if ringing := self._ringing.get(call.id):
            await ringing.wait()
        return json_reply({"status": "success", "message": "Call originated"})

    async def _count(self, campaign_id: Id) -> None:
        public = self._keys.campaign(str(campaign_id))
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.hincrby(public, "total_calls", 1)
            pipeline.hincrby(public, "active_calls", 1)
            await pipeline.execute()

    async def _stats(self, request: web.Request) -> web.Response:
        campaign_id = wire_id(request.match_info["id"])
        campaign = self._world.campaigns.get(campaign_id)
        if campaign is None:
            return json_reply({"detail": f"Campaign {campaign_id} not found"}, 404)
        tally = self._world.auditor.campaigns[campaign_id]
        contacts = self._world.contacts_of(campaign_id)
        agents = self._world.queues[campaign.queue_name].agents
        hours = self._clock() / 3600
        return json_reply(
            {
                "campaign_id": campaign_id,
                "total_contacts": len(contacts),
                "pending_calls": sum(contact.status == "pending" for contact in contacts),
                "active_calls": sum(call.campaign_id == campaign_id for call in self._world.live.values()),
                "completed_calls": tally.completed,
                "answered_calls": tally.answered,
                "no_answer": tally.no_answer,
                "busy": tally.busy,
                "failed": tally.failed,
                "answer_rate": tally.answered / tally.originates if tally.originates else 0.0,
                "average_duration": tally.talk_s / tally.completed if tally.completed else 0.0,
                "calls_per_hour": tally.originates / hours if hours else 0.0,
                "agents_available": sum(agent.state == "available" for agent in agents),
                "agents_busy": sum(agent.state == "busy" for agent in agents),
            }
        )

    async def _health(self, _request: web.Request) -> web.Response:
        return json_reply({"status": "healthy", "active_calls": len(self._world.live)})


def _plain(raw: Id) -> Id:
    """An id as the world has it: an integer wherever it is one."""
    return wire_id(raw) if isinstance(raw, str) else raw
