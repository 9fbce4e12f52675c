"""What all deeds share: the stubs, the model, and what an outside observer has seen."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from redis.asyncio import Redis

from streamdialer.broker.keys import Keys
from streamdialer.broker.scripts import Scripts
from streamdialer.ledger.campaigns import CampaignLedger
from streamdialer.ledger.event_sources import EventSources
from streamdialer.ledger.outbox import Delivery as Verdict
from streamdialer.ledger.outbox import Outbox
from streamdialer.ledger.queues import QueueLedger
from streamdialer.ledger.records import Update
from streamdialer.ledger.ticks import TickLedger
from streamdialer.ledger.types import ClaimResult, Limits
from streamdialer.model import Attempt, TickKind
from tests.support.ledger_model import (
    CHECK_AFTER_S,
    DEADLINE_S,
    DELIVERY_RESERVATION_LEASE_S,
    FINAL_TTL_S,
    MAX_CALL_DURATION_S,
    RESERVATION_LEASE_S,
    REST_S,
    LedgerModel,
)
from tests.support.ledger_reader import LedgerView


@dataclass(eq=False)
class Written:
    """An event in the stream."""

    position: int
    entry: str
    campaign: str
    contact: str
    kind: str
    said: dict[str, str]


@dataclass(eq=False)
class Delivery:
    """A consumer that has taken an entry of `updates`."""

    entry: str
    campaign: str
    contact: str
    token: str
    update: Update | None = None
    document: object = None
    """The model's document that was taken."""
    has_patched: bool = False
    verdict: Verdict = "taken"
    """What the backend's own word allowed when it was asked, before the PATCH."""
    leased_at: float = 0.0


def limits(*, events_required: bool, is_idempotent: bool) -> Limits:
    """The model's durations as the scripts take them; the breaker opens on what the API says, not by counting."""
    return Limits(
        lease_ms=RESERVATION_LEASE_S * 1000,
        deadline_ms=DEADLINE_S * 1000,
        uncertain_margin_ms=0,
        max_call_duration_ms=MAX_CALL_DURATION_S * 1000,
        final_ttl_ms=FINAL_TTL_S * 1000,
        pending_check_after_ms=CHECK_AFTER_S * 1000,
        list_lag_ms=2000,
        events_required=events_required,
        breaker_failure_threshold=10**6,
        breaker_max_open_ms=REST_S * 1000,
        outcomes_maxlen=10_000,
        is_idempotent=is_idempotent,
    )


class DriverBase:
    """The ledger on an emptied server, its model, and a backend that remembers its updates."""

    def __init__(
        self,
        client: Redis,
        scripts: Scripts,
        campaigns: tuple[str, ...],
        queues: tuple[str, ...],
        *,
        events_required: bool,
        is_idempotent: bool,
    ) -> None:
        self.client, self.scripts = client, scripts
        self.keys = Keys(has_shared_contacts=False)  # its campaigns use the same ids
        self.queues = queues
        self.ledger = CampaignLedger(
            scripts, self.keys, limits(events_required=events_required, is_idempotent=is_idempotent)
        )
        self.tick_ledger = TickLedger(scripts, self.keys)
        self.ticks: list[tuple[TickKind, str, str]] = []
        self.event_sources = EventSources(
            scripts, self.keys, limits(events_required=events_required, is_idempotent=is_idempotent)
        )
        self.queue_ledger = QueueLedger(scripts, self.keys)
        self.queue_lists: dict[str, dict[str, tuple[int, set[str]]]] = {queue: {} for queue in queues}
        """When each telephone system last listed the agents of each queue, ledger ms, and whom."""
        self.outbox = Outbox(
            scripts, self.keys, FINAL_TTL_S * 1000, DELIVERY_RESERVATION_LEASE_S * 1000, DEADLINE_S * 1000
        )
        self.model = LedgerModel(campaigns, events_required=events_required, is_idempotent=is_idempotent)
        self.backend: dict[tuple[str, str], tuple[str, int]] = {}
        self.ended_there: dict[tuple[str, str], float] = {}
        """Contacts that the backend has ended by itself, and when."""
        self.calls: list[tuple[Attempt, str]] = []
        """Every entry `calls` ever had, with its `until`."""
        self.requests: set[str] = set()
        """Ids of the attempts whose request has left."""
        self.answers: dict[tuple[str, str], tuple[ClaimResult, float]] = {}
        self.last_call = "0-0"
        self.deliveries: list[Delivery] = []
        self.view: LedgerView | None = None
        self.seen: Counter[str] = Counter()
        """How often each script gave which answer."""

    async def _agents(self, queue: str) -> tuple[set[str], set[str]]:
        free = await self.client.zrange(self.keys.queue_free(queue), 0, -1)
        busy = await self.client.zrange(self.keys.queue_busy(queue), 0, -1)
        return set(map(str, free)), set(map(str, busy))
