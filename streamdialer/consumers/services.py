"""What the stages of one replica share: a Redis client, a client per HTTP service, the ledger's stubs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import msgspec
from redis.asyncio import Redis

from streamdialer.broker.connection import close, connect, keys_of
from streamdialer.broker.keys import Keys
from streamdialer.broker.scripts import Scripts
from streamdialer.config.settings import Settings
from streamdialer.gateways.backend import Backend
from streamdialer.gateways.dialer_api import DialerAPI
from streamdialer.gateways.originator import Originator, open_originator
from streamdialer.ledger.agent_queues import AgentQueues
from streamdialer.ledger.backlog import BacklogLedger
from streamdialer.ledger.callbacks import CallbackLedger
from streamdialer.ledger.campaigns import CampaignLedger
from streamdialer.ledger.event_sources import EventSources
from streamdialer.ledger.list_parts import ListParts
from streamdialer.ledger.outbox import Outbox
from streamdialer.ledger.previews import PreviewLedger
from streamdialer.ledger.queues import QueueLedger
from streamdialer.ledger.recovery import DataLossRecovery
from streamdialer.ledger.samples import Samples
from streamdialer.ledger.server_pauses import ServerPauses
from streamdialer.ledger.shared_settings import SharedSettings
from streamdialer.ledger.suppression import DncLedger
from streamdialer.ledger.ticks import TickLedger
from streamdialer.ledger.types import ledger_limits

REBUILD_MARGIN_MS: Final = 1000
"""A process that rebuilds a campaign may wait for the backend so much longer than a request may take."""


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """Opened once and shared by all stages."""

    settings: Settings
    client: Redis
    keys: Keys
    scripts: Scripts
    campaigns: CampaignLedger
    backlog: BacklogLedger
    event_sources: EventSources
    list_parts: ListParts
    callbacks: CallbackLedger
    previews: PreviewLedger
    queues: QueueLedger
    ticks: TickLedger
    shared_settings: SharedSettings
    samples: Samples
    outbox: Outbox
    memory: DataLossRecovery
    suppression: DncLedger
    backend: Backend
    dialer_api: DialerAPI | None
    """None when Asterisk places the calls."""
    originator: Originator

    async def country_of(self, campaign: str) -> str:
        """The country of numbers without a calling code: the campaign's as it was last loaded, else the setting's."""
        return await self.suppression.country_of(campaign) or self.settings.country


@asynccontextmanager
async def open_services(settings: Settings, *, patient: bool = True) -> AsyncIterator[Services]:
    """Opens everything a stage needs; `patient` calls wait for a Redis that is away instead of raising Unreachable."""
    keys, limits = keys_of(settings), ledger_limits(settings)
    client = connect(settings.redis_url)
    try:
        async with (
            Scripts(client, patient=patient) as scripts,
            Backend(settings) as backend,
            open_originator(settings) as originator,
        ):
            agent_queues, pauses = AgentQueues(scripts, keys), ServerPauses(scripts, keys)
            dialer_api = originator if isinstance(originator, DialerAPI) else None
            backend.share_pauses(partial(pauses.note, "backend"))
            if dialer_api is not None:
                dialer_api.share_pauses(partial(pauses.note, "dialer_api"))
            yield Services(
                settings=settings,
                client=client,
                keys=keys,
                scripts=scripts,
                campaigns=CampaignLedger(scripts, keys, limits, agent_queues),
                backlog=BacklogLedger(scripts, keys, limits),
                event_sources=EventSources(scripts, keys, limits),
                list_parts=ListParts(scripts, keys),
                callbacks=CallbackLedger(scripts, keys, round(settings.callback_agent_window_s * 1000)),
                previews=PreviewLedger(scripts, keys, limits, round(settings.preview_timeout_s * 1000)),
                queues=QueueLedger(scripts, keys, agent_queues, round(settings.agents_distrust_s * 1000)),
                ticks=TickLedger(scripts, keys),
                shared_settings=SharedSettings(scripts, keys),
                samples=Samples(scripts, keys, round(settings.sample_interval_s * 1000)),
                outbox=Outbox(
                    scripts,
                    keys,
                    limits.final_ttl_ms,
                    round(settings.claim_min_idle_s * 1000),
                    limits.deadline_ms,
                ),
                memory=DataLossRecovery(
                    scripts,
                    keys,
                    limits,
                    round(settings.backend_timeout_s * 1000) + REBUILD_MARGIN_MS,
                ),
                suppression=DncLedger(scripts, keys),
                backend=backend,
                dialer_api=dialer_api,
                originator=originator,
            )
    finally:
        await close(client)
