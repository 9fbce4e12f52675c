"""Campaigns for an operator: which there are, their numbers, their status, their removal."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec
from redis.asyncio import Redis

from streamdialer.broker.keys import Keys
from streamdialer.broker.scripts import Scripts
from streamdialer.config.settings import Settings
from streamdialer.errors import CannotBeDone, SettingsError
from streamdialer.ledger.campaigns import CampaignLedger
from streamdialer.ledger.records import CONTACT_STATES
from streamdialer.ledger.types import CLEANUP_TEXTS, ledger_limits
from streamdialer.ledger.uncertain import UncertainAttempt, uncertain_attempts
from streamdialer.model import TickResult, normalise_id, wire_id

CampaignCommand = Literal["start", "pause", "stop"]
_STATUS_AND_MESSAGE: Final[dict[CampaignCommand, tuple[str, str]]] = {
    "start": ("active", "started"),
    "pause": ("paused", "paused"),
    "stop": ("cancelled", "stopped"),
}
TOTALS: Final = ("total_calls", "answered_calls", "no_answer", "busy", "failed", "abandoned", "machine")
LIVE_STATES: Final = CONTACT_STATES[:-1]
"""All but `final`."""
SCAN_COUNT: Final = 1000
ROWS_BATCH: Final = 200


class CampaignRow(msgspec.Struct, frozen=True, kw_only=True):
    """One campaign as Redis knows it now."""

    campaign_id: int | str
    status: str
    auto_paused: str
    """Why it has paused itself, '' when it has not."""
    queue: str
    ready: int
    deferred: int
    previewing: int
    """Shown to an agent, in preview mode."""
    reserved: int
    active_calls: int
    """Placed, and neither answered nor ended."""
    connected_calls: int
    live_calls: int
    """Placed, and not ended."""
    orphaned: int
    """Contacts whose call Redis has lost and that may still be up."""
    totals: dict[str, int]


class CampaignDetail(msgspec.Struct, frozen=True, kw_only=True):
    """What `campaign show` prints."""

    campaign: CampaignRow
    agents_free: int
    agents_busy: int
    uncertain: list[UncertainAttempt]
    """Attempts that may or may not be calls; their contacts are not dialed meanwhile."""
    public: dict[str, str]
    """The public hash `campaign:{id}`."""
    last_decision: TickResult | None


def read_campaign_id(raw: str) -> str:
    """Raises SettingsError for text that cannot be a campaign's id."""
    try:
        return normalise_id(raw)
    except ValueError as error:
        raise SettingsError(f"campaign: {error}") from error


async def campaigns_known(client: Redis, keys: Keys) -> list[str]:
    """Every campaign that the ledger knows or that has a public hash, in the order of their ids."""
    directory: Any = await client.hkeys(keys.directory)
    campaigns: set[str] = set(directory)
    async for key in client.scan_iter(keys.campaign_pattern, count=SCAN_COUNT, _type="HASH"):
        try:
            campaigns.add(normalise_id(keys.campaign_of(key) or ""))
        except ValueError:
            continue  # another program's key
    return sort_campaign_ids(campaigns)


def sort_campaign_ids(campaigns: Iterable[str]) -> list[str]:
    """By number, then by name."""
    return sorted(campaigns, key=lambda id_: (not id_.isdigit(), int(id_) if id_.isdigit() else 0, id_))


async def campaign_rows(client: Redis, keys: Keys, campaigns: list[str]) -> list[CampaignRow]:
    """One row for each of `campaigns`, in their order."""
    rows = []
    for at in range(0, len(campaigns), ROWS_BATCH):
        batch = campaigns[at : at + ROWS_BATCH]
        pipe = client.pipeline(transaction=False)
        for campaign in batch:
            pipe.hmget(keys.campaign(campaign), ["status", "auto_paused"])
            pipe.hget(keys.directory, campaign)
            pipe.hmget(keys.totals(campaign), list(TOTALS))
            for state in LIVE_STATES:
                pipe.zcard(getattr(keys, state)(campaign))
        answers: Any = await pipe.execute()
        per_campaign = len(answers) // len(batch)
        for number, campaign in enumerate(batch):
            rows.append(_row(campaign, *answers[number * per_campaign : (number + 1) * per_campaign]))
    return rows


def _row(
    campaign: str, public: list[str | None], queue: str | None, totals: list[str | None], *state_counts: int
) -> CampaignRow:
    ready, deferred, previewing, reserved, dialing, connected, orphaned = state_counts
    status, auto_paused = public
    return CampaignRow(
        campaign_id=wire_id(campaign),
        status=status or "",
        auto_paused=(auto_paused or "") if status == "paused" else "",
        queue=queue or "",
        ready=ready,
        deferred=deferred,
        previewing=previewing,
        reserved=reserved,
        active_calls=dialing,
        connected_calls=connected,
        live_calls=dialing + connected,
        orphaned=orphaned,
        totals={name: int(value or 0) for name, value in zip(TOTALS, totals, strict=True)},
    )


async def campaign_detail(client: Redis, keys: Keys, campaign: str) -> CampaignDetail:
    """Raises CannotBeDone when Redis knows nothing of the campaign."""
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


async def set_campaign_status(client: Redis, keys: Keys, campaign: str, command: CampaignCommand) -> str:
    """Writes the status, publishes the change, returns the status. An unknown campaign can only be started."""
    status, message = _STATUS_AND_MESSAGE[command]
    fields = {"status": status}
    if command == "start":
        fields["started_at"] = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    else:
        await _require_known(client, keys, campaign)
    await client.hset(keys.campaign(campaign), items=[part for pair in fields.items() for part in pair])
    await client.publish(keys.channel, f"campaign:{message}:{campaign}")
    return status


async def hang_up_ringing(client: Redis, keys: Keys, settings: Settings, campaign: str) -> int:
    """Asks the telephone system to end the campaign's calls that ring; how many there are."""
    async with Scripts(client, patient=False) as scripts:
        return await CampaignLedger(scripts, keys, ledger_limits(settings)).request_hangups(
            campaign, "campaign_paused"
        )


async def clean_up_campaign(client: Redis, keys: Keys, settings: Settings, campaign: str) -> None:
    """Removes every key of a finished campaign; raises CannotBeDone with the reason when that is refused."""
    queue: Any = await client.hget(keys.directory, campaign)
    async with Scripts(client, patient=False) as scripts:
        ledger = CampaignLedger(scripts, keys, ledger_limits(settings))
        answer = await ledger.delete(campaign, queue or "")
    if answer != "ok":
        raise CannotBeDone(f"campaign {campaign}: {CLEANUP_TEXTS[answer]}")


async def _require_known(client: Redis, keys: Keys, campaign: str) -> None:
    known = await client.hexists(keys.directory, campaign)
    if not known and not await client.exists(keys.campaign(campaign)):
        raise CannotBeDone(f"campaign {campaign}: {CLEANUP_TEXTS['unknown']}")
