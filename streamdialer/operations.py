"""What an operator does by hand: campaign status, cleanup, a tick in this process, events from text."""

from __future__ import annotations

import secrets
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec
from redis.asyncio import Redis

from streamdialer.config import Settings
from streamdialer.connection import connect, keys_for, ping
from streamdialer.consumers.events import read_event
from streamdialer.consumers.services import ledger_limits, open_services
from streamdialer.consumers.ticks import CLEANED, TicksStage
from streamdialer.consumers.wakes import Wakes
from streamdialer.errors import CannotBeDone, SettingsError
from streamdialer.keys import CHANNEL, Keys
from streamdialer.ledger import CampaignLedger, UncertainAttempt, uncertain_attempts
from streamdialer.model import TICK_KINDS, Tick, TickKind, TickResult, normalise_id, wire_id
from streamdialer.producers.events import EVENT_TYPES
from streamdialer.scripts import Scripts
from streamdialer.streams import BadEntry, Entry

Order = Literal["start", "pause", "stop"]
_ORDERS: Final[dict[Order, tuple[str, str]]] = {
    "start": ("active", "started"),
    "pause": ("paused", "paused"),
    "stop": ("cancelled", "stopped"),
}
TOTALS: Final = ("total_calls", "answered_calls", "no_answer", "busy", "failed", "abandoned", "machine")
SCAN_COUNT: Final = 1000
ROWS_PER_TRIP: Final = 200


class CampaignRow(msgspec.Struct, frozen=True, kw_only=True):
    """One campaign as Redis knows it now."""

    campaign_id: int | str
    status: str
    queue: str
    ready: int
    waiting: int
    offered: int
    """Shown to an agent, in preview."""
    reserved: int
    active_calls: int
    """Placed, neither answered nor ended."""
    connected_calls: int
    live_calls: int
    """Placed and not ended."""
    in_doubt: int
    """Contacts whose call Redis has forgotten and that may still be up."""
    totals: dict[str, int]


class CampaignDetail(msgspec.Struct, frozen=True, kw_only=True):
    """Everything `campaign show` tells."""

    campaign: CampaignRow
    agents_free: int
    agents_busy: int
    uncertain: list[UncertainAttempt]
    """Attempts nobody knows the fate of; they are not dialed again meanwhile."""
    public: dict[str, str]
    """The public hash as it stands."""
    last_decision: TickResult | None


@asynccontextmanager
async def reached(settings: Settings) -> AsyncIterator[tuple[Redis, Keys]]:
    """A client of a server that has just answered, and its key names; raises Unreachable."""
    client = connect(settings.redis_url)
    try:
        await ping(client, settings.redis_url)
        yield client, keys_for(settings.redis_url)
    finally:
        await client.aclose()


def require_port(host: str, port: int) -> None:
    """Raises CannotBeDone when nothing can listen at the port; better told before any work has begun."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise CannotBeDone(
            f"port {port} of {host} cannot be listened at: {error.strerror or error}"
        ) from error


def read_campaign_id(raw: str) -> str:
    """Raises SettingsError for what can be no campaign's id."""
    try:
        return normalise_id(raw)
    except ValueError as error:
        raise SettingsError(f"campaign: {error}") from error


def read_kind(raw: str) -> TickKind:
    """Raises SettingsError for what is no kind of tick."""
    for kind in TICK_KINDS:
        if raw == kind:
            return kind
    raise SettingsError(f"tick kind: got {raw!r}, takes {', '.join(TICK_KINDS)}")


async def campaigns_known(client: Redis, keys: Keys) -> list[str]:
    """Every campaign the ledger knows or whose public hash exists, in the order of their ids."""
    directory: Any = await client.hkeys(keys.directory)
    found: set[str] = set(directory)
    async for key in client.scan_iter(keys.campaign_pattern, count=SCAN_COUNT, _type="HASH"):
        try:
            found.add(normalise_id(keys.campaign_of(key) or ""))
        except ValueError:
            continue  # somebody else's key
    return in_order(found)


def in_order(campaigns: Iterable[str]) -> list[str]:
    """By number, then by name."""
    return sorted(campaigns, key=lambda id_: (not id_.isdigit(), int(id_) if id_.isdigit() else 0, id_))


async def campaign_rows(client: Redis, keys: Keys, campaigns: list[str]) -> list[CampaignRow]:
    """One row for each of `campaigns`, in their order."""
    rows = []
    for at in range(0, len(campaigns), ROWS_PER_TRIP):
        some = campaigns[at : at + ROWS_PER_TRIP]
        pipe = client.pipeline(transaction=False)
        for campaign in some:
            pipe.hget(keys.campaign(campaign), "status")
            pipe.hget(keys.directory, campaign)
            pipe.hmget(keys.totals(campaign), list(TOTALS))
            for places in (
                keys.ready,
                keys.waiting,
                keys.offered,
                keys.reserved,
                keys.unanswered,
                keys.connected,
                keys.in_doubt,
            ):
                pipe.zcard(places(campaign))
        answers: Any = await pipe.execute()
        per_campaign = len(answers) // len(some)
        for number, campaign in enumerate(some):
            mine = answers[number * per_campaign : (number + 1) * per_campaign]
            rows.append(_row(campaign, *mine))
    return rows


def _row(
    campaign: str,
    status: str | None,
    queue: str | None,
    totals: list[str | None],
    ready: int,
    waiting: int,
    offered: int,
    reserved: int,
    unanswered: int,
    connected: int,
    in_doubt: int,
) -> CampaignRow:
    return CampaignRow(
        campaign_id=wire_id(campaign),
        status=status or "",
        queue=queue or "",
        ready=ready,
        waiting=waiting,
        offered=offered,
        reserved=reserved,
        active_calls=unanswered,
        connected_calls=connected,
        live_calls=unanswered + connected,
        in_doubt=in_doubt,
        totals={name: int(value or 0) for name, value in zip(TOTALS, totals, strict=True)},
    )


async def campaign_detail(client: Redis, keys: Keys, campaign: str) -> CampaignDetail:
    """Raises CannotBeDone when Redis has nothing of the campaign."""
    await _require_known(client, keys, campaign)
    row = (await campaign_rows(client, keys, [campaign]))[0]
    newest: Any = await client.xrevrange(keys.decisions(campaign), count=1)
    decision = msgspec.json.decode(newest[0][1]["record"], type=TickResult) if newest else None
    public: Any = await client.hgetall(keys.campaign(campaign))
    return CampaignDetail(
        campaign=row,
        agents_free=await client.zcard(keys.queue_free(row.queue)),
        agents_busy=await client.zcard(keys.queue_busy(row.queue)),
        uncertain=await uncertain_attempts(client, keys, campaign),
        public=public,
        last_decision=decision,
    )


async def order_campaign(client: Redis, keys: Keys, campaign: str, order: Order) -> str:
    """Writes the status and tells everybody; returns the status. A campaign may be started before it is known."""
    status, message = _ORDERS[order]
    fields = {"status": status}
    if order == "start":
        fields["started_at"] = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    else:
        await _require_known(client, keys, campaign)
    await client.hset(keys.campaign(campaign), items=[part for pair in fields.items() for part in pair])
    await client.publish(CHANNEL, f"campaign:{message}:{campaign}")
    return status


async def clean_up_campaign(client: Redis, keys: Keys, settings: Settings, campaign: str) -> None:
    """Removes every key of a finished campaign; raises CannotBeDone with the reason when that may not be."""
    queue: Any = await client.hget(keys.directory, campaign)
    async with Scripts(client, patient=False) as scripts:
        ledger = CampaignLedger(scripts, keys, ledger_limits(settings))
        answer = await ledger.cleanup(campaign, queue or "")
    if answer != "ok":
        raise CannotBeDone(f"campaign {campaign}: {CLEANED[answer]}")


async def _require_known(client: Redis, keys: Keys, campaign: str) -> None:
    known = await client.hexists(keys.directory, campaign)
    if not known and not await client.exists(keys.campaign(campaign)):
        raise CannotBeDone(f"campaign {campaign}: {CLEANED['unknown']}")


async def run_inline(settings: Settings, kind: TickKind, campaign: str) -> TickResult:
    """Runs a tick in this process, past the stream; its result is stored nowhere."""
    async with open_services(settings, patient=False) as services:
        await ping(services.client, settings.redis_url)
        return await TicksStage(services, Wakes(services)).run(
            Tick(f"inline-{secrets.token_hex(8)}", kind, campaign)
        )


async def stored_result(client: Redis, keys: Keys, tick_id: str) -> TickResult:
    """Raises CannotBeDone when there is no result (yet, or any more)."""
    raw = await client.get(keys.tick(tick_id))
    if raw is None:
        raise CannotBeDone(
            f"there is no result of tick {tick_id}: it has not run yet, or its result has expired"
        )
    return msgspec.json.decode(raw, type=TickResult)


def read_value(text: str) -> int | float | bool | str | None:
    """A value typed by hand: a number, true, false or null where it is exactly that, else the text itself.

    `1e5` and `1.50` stay text: as numbers they would be written differently, and a call id may look like one.
    """
    try:
        value = msgspec.json.decode(text.encode())
    except (msgspec.DecodeError, UnicodeError):
        return text
    is_plain = value is None or isinstance(value, bool | int | float)
    return value if is_plain and msgspec.json.encode(value).decode() == text else text


def read_pairs(pairs: Iterable[str]) -> dict[str, Any]:
    """`key=value` arguments as event data; raises SettingsError."""
    data: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise SettingsError(f"event data: got {pair!r}, takes key=value")
        data[name] = read_value(value)
    return data


def read_object(text: str | bytes) -> dict[str, Any]:
    """A JSON object; raises SettingsError."""
    try:
        document = msgspec.json.decode(text.encode() if isinstance(text, str) else text)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise SettingsError(f"event data: not JSON: {error}") from error
    if not isinstance(document, dict):
        raise SettingsError("event data: takes a JSON object")
    return document


def checked_event(kind: object, data: object) -> dict[str, Any]:
    """An event as `Producer.events` takes it; raises SettingsError for what its consumer would not understand."""
    if not isinstance(data, dict):
        raise SettingsError("event data: takes a JSON object")
    if kind not in EVENT_TYPES:
        got = "none" if kind is None else f"got {kind!r}"
        raise SettingsError(f"event type: {got}, takes {', '.join(EVENT_TYPES)}")
    try:
        text = msgspec.json.encode(data).decode()
        read_event(Entry("0-0", {"type": str(kind), "data": text}))
    except BadEntry as bad:
        raise SettingsError(f"event {kind}: {bad.detail}") from bad
    except UnicodeError as error:
        raise SettingsError(f"event {kind}: its text is not UTF-8") from error
    return {**data, "type": kind}


def read_event_lines(lines: Iterable[bytes]) -> list[dict[str, Any]]:
    """Events from one JSON object per line, data beside `type` or in `data`; raises SettingsError with the line."""
    events = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            document = read_object(line)
            kind = document.pop("type", None)
            events.append(checked_event(kind, document.get("data", document)))
        except SettingsError as error:
            raise SettingsError(f"line {number}: {error}; nothing was added") from error
    return events
