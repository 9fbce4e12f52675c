"""Prepares a run and drives it: an empty server, prepared entries in the streams, faulty services, timed events."""

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
    CUT,
    DNC_CONTACT,
    LATE_CAMPAIGN,
    NOT_TAKEN,
    PREVIEW_AGENT,
    PREVIEW_CAMPAIGN,
    PREVIEW_QUEUE,
    QUEUE,
    REFUSED,
    SHOWN_TO_AGENTS,
    TEAM_CAMPAIGNS,
    TURNED_AWAY,
    WITHDRAWN,
    ScenarioName,
)
from streamdialer.broker.keys import GROUP, STAGES, Keys
from streamdialer.ledger.records import ContactRecord, decode_contact
from streamdialer.ledger.recovery import mark_server_trusted
from streamdialer.simulation.servers.call_centre import CallCentre
from streamdialer.simulation.servers.http import drop_connection, json_reply

DEAD_CONSUMER: Final = "gone"
"""A consumer that never comes back."""
FIRST_REPLICA: Final = "replica-1"
TOO_MANY_DELIVERIES: Final = 9
"""Above `max_deliveries`."""
SLOW_S: Final = 0.4
SLOW_REQUESTS: Final = frozenset(
    {("GET", "/agents/"), ("GET", "last_attempt__lt"), ("POST", "/update_stats/"), ("PATCH", "/contacts/")}
)
"""Backend requests; the first of each kind takes so long that the lease of the entry must be extended."""
TRIGGER_AFTER_CALLS: Final = 3
AGENT: Final = "1001"
EXPECTED_DEAD_LETTERS: Final[Counter[str]] = Counter(
    {"never_finished": 1, "unknown_type": 1, "unknown_kind": 1, "unreadable_call": 1, "unreadable_update": 1}
)
"""Dead letters at the end of a correct run, by reason."""


async def reset_server(client: Redis, keys: Keys, scenario: ScenarioName) -> None:
    """Empties the server; in the scenario `data_loss` the ledger has to find out that it has lost its data."""
    await client.flushall()
    await client.script_flush()  # a new server has no script
    if scenario == "campaign":
        await mark_server_trusted(client, keys)


async def plant_entries(client: Redis, keys: Keys) -> None:
    """Adds malformed entries to every stream, and entries of dead consumers; readers create the group of `ticks`."""
    await client.xadd(keys.stream("ticks"), {"planted": "1"})
    for stage in ("calls", "updates"):
        stream = keys.stream(stage)
        await client.xadd(stream, {"planted": "1"})
        await client.xgroup_create(stream, GROUP, id="0")
        await client.xreadgroup(GROUP, DEAD_CONSUMER, {stream: ">"})
    events = keys.stream("events")
    await client.xgroup_create(events, GROUP, mkstream=True)
    agent: dict[Any, Any] = {"type": "agent_wrapup", "queue": QUEUE}
    killing, _, deleted = [str(await client.xadd(events, agent)) for _ in range(3)]
    await client.xreadgroup(GROUP, DEAD_CONSUMER, {events: ">"}, count=2)
    await client.xclaim(events, GROUP, DEAD_CONSUMER, 0, [killing], retrycount=TOO_MANY_DELIVERIES)
    await client.xreadgroup(GROUP, FIRST_REPLICA, {events: ">"}, count=1)
    await client.xdel(events, deleted)
    await client.xadd(events, {"planted": "1"})


async def plant_withdrawn(client: Redis, keys: Keys) -> None:
    """Adds a contact to the ledger as if it was loaded long ago."""
    record = {"p": "ready", "a": 0, "pr": 5, "o": "0", "sn": 0}
    await client.hset(keys.records("1"), str(WITHDRAWN), msgspec.json.encode(record).decode())
    await client.hset(keys.contacts("1"), str(WITHDRAWN), f'{{"id":{WITHDRAWN},"phone_number":"+1555"}}')
    await client.zadd(keys.ready("1"), {str(WITHDRAWN): 0})


class ServerFaults:
    """The faults that some requests to the services meet."""

    def __init__(self, centre: CallCentre) -> None:
        self._centre = centre
        self._turned_away = False
        self._slowed: set[tuple[str, str]] = set()
        self.refused: set[str] = set()
        """Keys of requests answered 404: attempts that count although no phone rang."""
        self.lists_read = 0
        """How often the contacts to dial were listed of the campaign whose updates are refused."""
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
            await self._centre.dialer_api.handle_normally(request)
            return drop_connection(request)
        return None

    async def _backend(self, request: web.Request) -> web.StreamResponse | None:
        query, name = request.query, request.path.strip("/").rpartition("/")[2]
        is_list = query.get("status") == "pending" and query.get("campaign_id") == str(TEAM_CAMPAIGNS[0])
        self.lists_read += is_list
        if request.method == "PATCH" and name.isdecimal() and int(name) in NOT_TAKEN:
            return self._centre.backend.refuse_update(int(name), NOT_TAKEN[int(name)])
        for kind in SLOW_REQUESTS - self._slowed:
            if request.method == kind[0] and kind[1] in request.path_qs:
                self._slowed.add(kind)
                await anyio.sleep(SLOW_S)
        return None


async def end_retention(client: Redis, keys: Keys) -> dict[str, ContactRecord]:
    """The time for which the ledger keeps contacts whose updates are refused is over; their records, by contact."""
    campaign = str(TEAM_CAMPAIGNS[0])
    kept: dict[str, ContactRecord] = {}
    for contact in map(str, NOT_TAKEN):
        raw: Any = await client.hget(keys.records(campaign), contact)
        kept[contact] = decode_contact(raw)
        await client.zadd(keys.final(campaign), {contact: 1})
    await client.zadd(keys.sweep_schedule, {campaign: 1})
    return kept


async def run_preview_agent(client: Redis, keys: Keys, scenario: ScenarioName) -> None:
    """An agent who skips the first preview, ignores the second until it expires, and accepts the rest."""
    if scenario != "campaign":
        return
    contact = str(SHOWN_TO_AGENTS[-1])
    while not await client.hexists(keys.records(str(PREVIEW_CAMPAIGN)), contact):  # noqa: ASYNC110
        await anyio.sleep(0.02)
    at = (datetime.now(UTC) + timedelta(seconds=0.3)).isoformat()
    events = keys.stream("events")
    callback: dict[Any, Any] = {"campaign_id": str(PREVIEW_CAMPAIGN), "contact_id": contact, "at": at}
    await client.xadd(events, {"type": "callback_requested", **callback})
    agent: dict[Any, Any] = {"campaign_id": str(PREVIEW_CAMPAIGN), "agent_id": str(PREVIEW_AGENT)}
    answers, last_id = ["preview_skipped", "", "preview_accepted"], "0-0"
    while await client.zcard(keys.final(str(PREVIEW_CAMPAIGN))) < len(SHOWN_TO_AGENTS):
        request = await client.xadd(events, {"type": "preview_requested", **agent})
        replies: Any = []
        with anyio.move_on_after(2):
            while not replies:
                entries: Any = await client.xrange(keys.previews, f"({last_id}")
                last_id = entries[-1][0] if entries else last_id
                replies = [fields for _, fields in entries if fields["request"] == request]
                await anyio.sleep(0.02)
        if replies and replies[0]["type"] == "preview_offered":
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            if answer:
                await client.xadd(events, {"type": answer, "contact_id": replies[0]["contact_id"], **agent})
            else:
                await anyio.sleep(1.2)  # until the preview has expired
        await anyio.sleep(0.1)


async def trigger_events(client: Redis, keys: Keys, centre: CallCentre) -> None:
    """Triggers some changes during the run; returns when all of them have happened."""
    for stage in STAGES:
        while True:
            try:
                await client.execute_command(  # type: ignore[no-untyped-call]
                    "XGROUP CREATECONSUMER", keys.stream(stage), GROUP, DEAD_CONSUMER
                )
                break
            except ResponseError:  # no replica has created the group yet
                await anyio.sleep(0.02)
    while centre.summary().total.originates < TRIGGER_AFTER_CALLS:  # noqa: ASYNC110 - there is no event for it
        await anyio.sleep(0.02)
    live = [
        call.id for call in centre.live_calls()
    ]  # the others were sent a moment ago: none of them is over
    seen = {"source": "network", "since": datetime.now(UTC).isoformat(), "calls": live}
    await client.xadd(
        keys.stream("events"), {"type": "source_live", "data": msgspec.json.encode(seen).decode()}
    )
    listed = {"source": "network", "queue": PREVIEW_QUEUE, "list_id": "1", "parts": 2}
    for part, agents in enumerate(([{"agent_id": PREVIEW_AGENT, "state": "available"}], []), 1):
        data = msgspec.json.encode({**listed, "part": part, "agents": agents}).decode()
        await client.xadd(keys.stream("events"), {"type": "queue_agents", "data": data})
    while not await client.hexists(keys.agents, AGENT):  # noqa: ASYNC110 - then an agent event needs no queue
        await anyio.sleep(0.02)
    centre.backend.expire_access_tokens()
    centre.world.campaigns[LATE_CAMPAIGN].timezone = "America/Bogota"  # changes its calling hours
    await client.xadd(keys.stream("events"), {"type": "agent_wrapup", "queue": QUEUE})
    await client.xadd(keys.stream("events"), {"type": "agent_busy", "agent_id": AGENT})
    while not await _is_dnc_contact_loaded(client, keys):  # noqa: ASYNC110
        await anyio.sleep(0.02)
    await client.xadd(
        keys.stream("events"),
        {"type": "do_not_call", "campaign_id": DNC_CONTACT[0], "contact_id": DNC_CONTACT[1]},
    )


async def _is_dnc_contact_loaded(client: Redis, keys: Keys) -> bool:
    """Whether the ledger has the contact, and no rebuild is still to come that could remove it."""
    campaign, contact = map(str, DNC_CONTACT)
    mark = await client.hget(keys.server, "rebuild_epoch")
    is_rebuilt = mark is None or await client.hget(keys.totals(campaign), "rebuilt") == mark
    return is_rebuilt and await client.hexists(keys.records(campaign), contact)
