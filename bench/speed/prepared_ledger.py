"""A ledger with calls to be placed, or placed and waiting for their events."""

from __future__ import annotations

from typing import Any, Final

import anyio
import msgspec

from streamdialer.config.settings import Settings
from streamdialer.consumers.dialing.queue_pacing import campaign_pacing
from streamdialer.consumers.services import Services
from streamdialer.ledger.recovery import mark_server_trusted
from streamdialer.ledger.types import ClaimRequest, LoadRow, ledger_limits
from streamdialer.model import Agent, Attempt, CampaignSettings
from streamdialer.rules.retry import retry_plan

CAMPAIGNS: Final = 10
PAGE: Final = 500
SETTINGS: Final = CampaignSettings(queue_name="q", dial_mode="power", max_concurrent_calls=100_000)


def settings_for(redis_url: str, servers: str) -> Settings:
    return Settings(redis_url=redis_url, backend_url=servers, dialer_api_url=servers)


def contact_row(number: int) -> LoadRow:
    phone = f"+57300{number:07d}"
    call = msgspec.json.encode({"id": number, "phone_number": phone, "n": [phone]}).decode()
    return LoadRow(str(number), 5, 0, call, shown="x")


async def register(services: Services, campaigns: int) -> None:
    """Active campaigns 1 and on, without contacts."""
    await mark_server_trusted(services.client, services.keys)
    pacing = campaign_pacing(SETTINGS, ledger_limits(services.settings), is_open=True)
    stored = msgspec.json.encode(pacing).decode()
    for number in range(1, campaigns + 1):
        campaign = str(number)
        await services.client.hset(services.keys.campaign(campaign), "status", "active")
        queue = f"q{number % 20}"
        await services.campaigns.register(campaign, queue, stored, previous="")
        agents = [Agent(f"{queue}.{n}", "available") for n in range(10)]
        asked = await services.queues.begin_agent_poll(queue)
        await services.queues.replace_agents(queue, agents, asked.ledger_ms)


async def wait_for_agents(services: Services, agents: int) -> list[str]:
    """A campaign with a contact for each of so many agents, who all are busy; the agents."""
    await register(services, 1)
    rows = [contact_row(number) for number in range(1, agents + 1)]
    for at in range(0, agents, PAGE):
        await services.campaigns.load("1", rows[at : at + PAGE], 3)
    busy = [Agent(f"q1.{number}", "busy") for number in range(agents)]
    asked = await services.queues.begin_agent_poll("q1")
    await services.queues.replace_agents("q1", busy, asked.ledger_ms)
    return [str(agent.id) for agent in busy]


async def reserve(services: Services, calls: int) -> list[Attempt]:
    """Calls of ten campaigns, which stand in the calls stream."""
    await register(services, CAMPAIGNS)
    each = calls // CAMPAIGNS
    for number in range(1, CAMPAIGNS + 1):
        first = number * 1_000_000
        rows = [contact_row(first + n) for n in range(each)]
        for at in range(0, each, PAGE):
            await services.campaigns.load(str(number), rows[at : at + PAGE], 3)
        for claim in range(0, each, PAGE):
            await _claim(services, str(number), claim + min(PAGE, each - claim))
    entries: Any = await services.client.xrange(services.keys.stream("calls"))
    return [Attempt(row["attempt"], row["campaign"], row["contact"], row["token"]) for _, row in entries]


async def _claim(services: Services, campaign: str, level: int) -> None:
    request = ClaimRequest(
        token=f"{campaign}.{level}",
        level=level,
        free_agents=10,
        calls_per_agent=100_000.0,
        max_concurrent=100_000,
        batch=PAGE,
        open_until_ms=None,
        retry=retry_plan(SETTINGS),
        others={},
    )
    claimed = await services.campaigns.reserve_contacts(campaign, f"q{int(campaign) % 20}", request)
    assert claimed.dialed, claimed


async def send(services: Services, attempts: list[Attempt]) -> None:
    """The calls are in the air, and no entry of them waits in the calls stream."""
    async with anyio.create_task_group() as tasks:
        for attempt in attempts:
            tasks.start_soon(services.campaigns.mark_sent, attempt, "run", "")
    await services.client.delete(services.keys.stream("calls"), services.keys.stream("updates"))
