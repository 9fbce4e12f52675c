"""The Dialer API of the call centre: places calls, and answers like the deployed API or a newer one.

By default the reply has no call id and comes only when the phone stops ringing. Each call also increments two public
counters in Redis. A serial API, as the deployed one, also makes calls wait for each other. A dialer has to work with
all of this.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

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

ANSWERED_AT_ONCE: Final = 4
"""A serial API answers every so-manieth request before its call is placed: a line of another call was there to read."""
KNOWN_WITHIN_S: Final = 3.0
ANSWERED_WELL: Final = 75
"""It answers every so-manieth request with 200."""
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
    """Places a call for every request; with `honours_key` a repeated key places no second call."""

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
        self._call_by_key: dict[str, Call] = {}
        """Only with `honours_key`."""
        self._turn = asyncio.Lock()
        self._requests = 0
        self._in_turn: set[asyncio.Task[None]] = set()
        """The calls of a serial API that ring or wait; a client that gives up changes nothing."""

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/calls/originate", self._originate),
            web.get("/campaigns/{id}/stats", self._stats),
            web.get("/health", self._health),
        ]

    def is_allowed(self, request: web.Request) -> bool:
        token = self._config.dialer_api_token
        is_open = token is None or request.path == "/health"
        return is_open or request.headers.get("Authorization") == f"Bearer {token}"

    async def stop(self) -> None:
        await super().stop()
        for task in self._in_turn:
            task.cancel()

    def stopped_ringing(self, call_id: str) -> None:
        """The call was answered or has ended: its held reply is sent."""
        if ringing := self._ringing.pop(call_id, None):
            ringing.set()

    async def _originate(self, request: web.Request) -> web.Response:
        try:
            body = msgspec.json.decode(await request.read(), type=OriginateRequest)
        except msgspec.DecodeError as error:
            return json_reply({"detail": [{"loc": ["body"], "msg": str(error), "type": "value_error"}]}, 422)
        body.campaign_id, body.contact_id = _plain_id(body.campaign_id), _plain_id(body.contact_id)
        if not self._config.serves_backend and not await self._is_known_soon(body.campaign_id):
            return json_reply(
                {"detail": f"Campaign {body.campaign_id} is not known yet"}, 503, {"Retry-After": "1"}
            )
        if body.campaign_id not in self._world.campaigns:
            return json_reply({"detail": f"Campaign {body.campaign_id} not found"}, 404)
        key = request.headers.get("Idempotency-Key")
        if self._config.reply == "serial":
            return await self._serve_in_turn(body, key)
        call = self._call_by_key.get(key) if key else None
        if call is None:
            call = self._place(body, key)
            self._ringing[call.id] = anyio.Event()
            if key and self._config.honours_key:
                self._call_by_key[key] = call
            try:
                await self._count(body.campaign_id)
            except (RedisError, OSError) as error:  # the phone rings anyway: an error reply proves nothing
                return json_reply({"detail": f"Failed to originate call: {error}"}, 500)
        if self._config.reply == "immediate":
            return json_reply({"status": "success", "message": "Call originated", "call_id": call.id})
        if ringing := self._ringing.get(call.id):
            await ringing.wait()
        return json_reply({"status": "success", "message": "Call originated"})

    async def _is_known_soon(self, campaign_id: Id) -> bool:
        """A campaign that was started a moment ago is known a moment later."""
        with anyio.move_on_after(KNOWN_WITHIN_S):
            while True:
                if campaign_id in self._world.campaigns:
                    return True
                await anyio.sleep(0.05)
        return False

    async def _serve_in_turn(self, body: OriginateRequest, key: str | None) -> web.Response:
        self._requests += 1
        number, most = self._requests, self._config.serial_calls
        is_answered_well = number % ANSWERED_WELL == 0
        if most is None or number <= most:
            task = asyncio.create_task(self._place_in_turn(body, key))
            self._in_turn.add(task)
            task.add_done_callback(self._in_turn.discard)
            if number % ANSWERED_AT_ONCE:
                await asyncio.shield(task)
            if is_answered_well:
                return json_reply({"status": "success", "message": "Call originated"})
        return json_reply({"detail": "Failed to originate call: Event: VarSet"}, 500)

    async def _place_in_turn(self, body: OriginateRequest, key: str | None) -> None:
        async with self._turn:
            call = self._place(body, key)
            ringing = self._ringing[call.id] = anyio.Event()
            with suppress(RedisError, OSError):
                await self._count(body.campaign_id)
            await ringing.wait()

    async def _count(self, campaign_id: Id) -> None:
        public = self._keys.campaign(str(campaign_id))
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.hincrby(public, "total_calls", 1)
            pipeline.hincrby(public, "active_calls", 1)
            await pipeline.execute()

    async def _stats(self, request: web.Request) -> web.Response:
        campaign_id = wire_id(request.match_info["id"])
        campaign = self._world.campaigns.get(campaign_id)
        if campaign is None and self._config.reply == "serial":
            return json_reply({"detail": "Internal Server Error"}, 500)
        if campaign is None and not self._config.serves_backend:
            return json_reply({"campaign_id": campaign_id})  # nothing is counted yet
        if campaign is None:
            return json_reply({"detail": f"Campaign {campaign_id} not found"}, 404)
        counts = self._world.auditor.campaigns[campaign_id]
        agents = self._world.queues[campaign.queue_name].agents
        hours = self._clock() / 3600
        return json_reply(
            {
                "campaign_id": campaign_id,
                **self._contact_counts(campaign_id),
                "active_calls": sum(call.campaign_id == campaign_id for call in self._world.live.values()),
                "completed_calls": counts.completed,
                "answered_calls": counts.answered_by_person,
                "no_answer": counts.no_answer,
                "busy": counts.busy,
                "failed": counts.failed,
                "answer_rate": counts.answered_by_person / counts.originates if counts.originates else 0.0,
                "average_duration": counts.talk_s / counts.completed if counts.completed else 0.0,
                "calls_per_hour": counts.originates / hours if hours else 0.0,
                "agents_available": sum(agent.state == "available" for agent in agents),
                "agents_busy": sum(agent.state == "busy" for agent in agents),
            }
        )

    def _contact_counts(self, campaign_id: Id) -> dict[str, int]:
        """None when the lists are another backend's."""
        if not self._config.serves_backend:
            return {}
        contacts = self._world.contacts_of(campaign_id)
        pending = sum(contact.status == "pending" for contact in contacts)
        return {"total_contacts": len(contacts), "pending_calls": pending}

    async def _health(self, _request: web.Request) -> web.Response:
        return json_reply({"status": "healthy", "active_calls": len(self._world.live)})


def _plain_id(raw: Id) -> Id:
    """The id as the world has it: an integer where the text is one."""
    return wire_id(raw) if isinstance(raw, str) else raw
