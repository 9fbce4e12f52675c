"""Around the play: a ledger on an emptied server, entries planted in the streams, servers that misbehave, cues."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import anyio
import msgspec
from aiohttp import web
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from bench.crash.scenario import (
    ASKING,
    CUT,
    LATE_CAMPAIGN,
    PREVIEW_AGENT,
    PREVIEW_CAMPAIGN,
    QUEUE,
    REFUSED,
    SHOWN_TO_AGENTS,
    TURNED_AWAY,
    WITHDRAWN,
    ScenarioName,
)
from streamdialer.broker.keys import GROUP, STAGES, Keys
from streamdialer.ledger import mark_server_trusted
from streamdialer.simulation import CallCentre, drop_connection, json_reply

GONE: Final = "gone"
"""A consumer that will never come back."""
FIRST_REPLICA: Final = "replica-1"
TOO_OFTEN: Final = 9
"""Deliveries."""
SLOW_S: Final = 0.4
SLOW: Final = frozenset(
    {("GET", "/agents/"), ("GET", "last_attempt__lt"), ("POST", "/update_stats/"), ("PATCH", "/contacts/")}
)
"""Backend requests whose first one takes so long that the entry has to be renewed."""
CUE_CALLS: Final = 3
AGENT: Final = "1001"
PLANTED: Final[Counter[str]] = Counter(
    {"never_finished": 1, "unknown_type": 1, "unknown_kind": 1, "unreadable_call": 1, "unreadable_update": 1}
)
"""Dead letters that are to be there in the end, by reason; any other one is somebody's loss."""


async def open_ledger(client: Redis, keys: Keys, play: ScenarioName) -> None:
    """Empties the server; only in the play `memory` does the ledger have to find out that it knows nothing."""
    await client.flushall()
    await client.script_flush()  # a fresh server knows no script
    if play == "campaign":
        await mark_server_trusted(client, keys)


async def plant(client: Redis, keys: Keys) -> None:
    """Entries nobody can read in every stream, and what dead consumers left; readers make the group of `ticks`."""
    await client.xadd(keys.stream("ticks"), {"planted": "1"})
    for stage in ("calls", "updates"):
        stream = keys.stream(stage)
        await client.xadd(stream, {"planted": "1"})
        await client.xgroup_create(stream, GROUP, id="0")
        await client.xreadgroup(GROUP, GONE, {stream: ">"})
    events = keys.stream("events")
    await client.xgroup_create(events, GROUP, mkstream=True)
    agent: dict[Any, Any] = {"type": "agent_wrapup", "queue": QUEUE}
    killing, _, deleted = [str(await client.xadd(events, agent)) for _ in range(3)]
    await client.xreadgroup(GROUP, GONE, {events: ">"}, count=2)
    await client.xclaim(events, GROUP, GONE, 0, [killing], retrycount=TOO_OFTEN)
    await client.xreadgroup(GROUP, FIRST_REPLICA, {events: ">"}, count=1)
    await client.xdel(events, deleted)
    await client.xadd(events, {"planted": "1"})


async def plant_withdrawn(client: Redis, keys: Keys) -> None:
    """A contact that was loaded long ago."""
    record = {"p": "ready", "a": 0, "pr": 5, "o": "0", "sn": 0}
    await client.hset(keys.records("1"), str(WITHDRAWN), msgspec.json.encode(record).decode())
    await client.hset(keys.contacts("1"), str(WITHDRAWN), f'{{"id":{WITHDRAWN},"phone_number":"+1555"}}')
    await client.zadd(keys.ready("1"), {str(WITHDRAWN): 0})


class ServerFaults:
    """What the servers do to some requests."""

    def __init__(self, centre: CallCentre) -> None:
        self._centre = centre
        self._turned_away = False
        self._slow: set[tuple[str, str]] = set()
        self.refused: set[str] = set()
        """Keys answered 404: attempts that count and no phone ever rang for."""
        centre.dialer_api.set_responder(self._originate)
        centre.backend.set_responder(self._backend)

    async def _originate(self, request: web.Request) -> web.StreamResponse | None:
        if request.path != "/calls/originate":
            return None
        contact = msgspec.json.decode(await request.read())["contact_id"]
        if contact == REFUSED:
            self.refused.add(request.headers["Idempotency-Key"])
            return json_reply({"detail": "no route to this number"}, 404)
        if contact == TURNED_AWAY and not self._turned_away:
            self._turned_away = True
            return json_reply({"detail": "busy"}, 503, {"Retry-After": "0.1"})
        if contact == CUT:
            await self._centre.dialer_api.normal(request)
            return drop_connection(request)
        return None

    async def _backend(self, request: web.Request) -> None:
        for slow in SLOW - self._slow:
            if request.method == slow[0] and slow[1] in request.path_qs:
                self._slow.add(slow)
                await anyio.sleep(SLOW_S)


async def work_in_preview(client: Redis, keys: Keys, play: ScenarioName) -> None:
    """An agent who skips what they are shown first, takes no notice of what comes next, and takes the rest."""
    if play != "campaign":
        return
    contact = str(SHOWN_TO_AGENTS[-1])
    while not await client.hexists(keys.records(str(PREVIEW_CAMPAIGN)), contact):  # noqa: ASYNC110
        await anyio.sleep(0.02)
    at = (datetime.now(UTC) + timedelta(seconds=0.3)).isoformat()
    asked: dict[Any, Any] = {"campaign_id": str(PREVIEW_CAMPAIGN), "contact_id": contact, "at": at}
    await client.xadd(keys.stream("events"), {"type": "callback_requested", **asked})
    says: dict[Any, Any] = {"campaign_id": str(PREVIEW_CAMPAIGN), "agent_id": str(PREVIEW_AGENT)}
    answers, read = ["preview_skipped", "", "preview_accepted"], "0-0"
    finished = keys.final(str(PREVIEW_CAMPAIGN))
    while await client.zcard(finished) < len(SHOWN_TO_AGENTS):
        request = await client.xadd(keys.stream("events"), {"type": "preview_requested", **says})
        offers: Any = []
        with anyio.move_on_after(2):
            while not offers:
                entries: Any = await client.xrange(keys.previews, f"({read}")
                read = entries[-1][0] if entries else read
                offers = [fields for _, fields in entries if fields["request"] == request]
                await anyio.sleep(0.02)
        if offers and offers[0]["type"] == "preview_offered":
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            if answer:
                said = {"type": answer, "contact_id": offers[0]["contact_id"], **says}
                await client.xadd(keys.stream("events"), said)
            else:
                await anyio.sleep(1.2)  # until the offer has ended
        await anyio.sleep(0.1)


async def give_cues(client: Redis, keys: Keys, centre: CallCentre) -> None:
    """Makes things happen at their time; returns when all have."""
    for stage in STAGES:
        while True:
            try:
                await client.execute_command(  # type: ignore[no-untyped-call]
                    "XGROUP CREATECONSUMER", keys.stream(stage), GROUP, GONE
                )
                break
            except ResponseError:  # no replica has made the group yet
                await anyio.sleep(0.02)
    while centre.summary().total.originates < CUE_CALLS:  # noqa: ASYNC110 - no event tells
        await anyio.sleep(0.02)
    while not await client.hexists(keys.agents, AGENT):  # noqa: ASYNC110 - an event of theirs needs no queue then
        await anyio.sleep(0.02)
    centre.backend.expire_access_tokens()
    centre.world.campaigns[LATE_CAMPAIGN].timezone = "America/Bogota"  # so its hours are others
    await client.xadd(keys.stream("events"), {"type": "agent_wrapup", "queue": QUEUE})
    await client.xadd(keys.stream("events"), {"type": "agent_busy", "agent_id": AGENT})
    while not await _asker_stays(client, keys):  # noqa: ASYNC110
        await anyio.sleep(0.02)
    await client.xadd(
        keys.stream("events"),
        {"type": "do_not_call", "campaign_id": ASKING[0], "contact_id": ASKING[1]},
    )


async def _asker_stays(client: Redis, keys: Keys) -> bool:
    """Who asks is in the ledger, and no rebuilding is to come that forgets them while they wait to be called."""
    campaign, contact = map(str, ASKING)
    mark = await client.hget(keys.server, "rebuild_epoch")
    is_rebuilt = mark is None or await client.hget(keys.totals(campaign), "rebuilt") == mark
    return is_rebuilt and await client.hexists(keys.records(campaign), contact)
