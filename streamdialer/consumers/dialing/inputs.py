"""What a dial tick decides on: read at one instant, and refreshed side by side where it is too old."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Final, Literal

import msgspec

from streamdialer.consumers.dialing.adaptive import min_ring_s, wants_adaptive
from streamdialer.consumers.dialing.agent_lists import AgentLists
from streamdialer.consumers.dialing.caller_id_pool import caller_id_pool
from streamdialer.consumers.dialing.calling_hours import build_zone_hours
from streamdialer.consumers.dialing.queue_pacing import (
    CampaignPacing,
    campaign_pacing,
    queue_pacing,
    read_pacing,
)
from streamdialer.consumers.dialing.refill import Refill, RefillResult
from streamdialer.consumers.dialing.side_by_side import run_side_by_side
from streamdialer.consumers.dialing.trunks import Trunks
from streamdialer.consumers.services import Services
from streamdialer.consumers.ttl_cache import TTLCache
from streamdialer.errors import Unreachable
from streamdialer.ledger.caller_ids import CallerIdPool
from streamdialer.ledger.queues import QueueState
from streamdialer.ledger.rate_limits import RateLimits
from streamdialer.ledger.ticks import TickStart
from streamdialer.ledger.types import ClaimResult, ledger_limits
from streamdialer.ledger.zone_hours import Hours
from streamdialer.model import CampaignSettings, has_agents
from streamdialer.rules.calling_hours import CallingHours
from streamdialer.rules.retry import RetryPlan
from streamdialer.rules.window import Opening

log = logging.getLogger(__name__)
REGISTERED_S: Final = 5.0
"""How long a registration is taken to hold: another process may have registered the campaign as closed."""

Outdated = Literal["agents", "contacts", "queue", "trunk", "not_rebuilt", "hours", "pending"]
"""What a claim needs anew: the queue's agent list; more contacts; the queue's campaigns; the trunk's campaigns; the
campaign as the backend knows it; calling hours of the next contacts; proof that the next contacts are pending."""


class DialedCampaign(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the campaign before its queue is read."""

    id: str
    settings: CampaignSettings
    settings_age_s: float
    hours: CallingHours
    opening: Opening
    """Of the campaign's own window, at the start of the tick."""
    retry: RetryPlan
    start: TickStart

    @property
    def queue(self) -> str:
        return self.settings.queue_name

    @property
    def open_s(self) -> float | None:
        """For how long its own window stays open; None: it does not close."""
        until_ms = self.opening.until_ms
        return None if until_ms is None else (until_ms - self.start.server_ms) / 1000


class DialInputs(msgspec.Struct, frozen=True, kw_only=True):
    """Everything one decision uses."""

    campaign: DialedCampaign
    queue: QueueState
    pacing: dict[str, CampaignPacing]
    """Of each campaign of the queue."""
    rate_limits: RateLimits
    caller_ids: CallerIdPool | None
    zone_hours: Hours | None
    time_scale: float
    wants_adaptive: bool
    min_ring_s: float | None
    """After how long adaptive pacing may take a call back, on pacing's clock; None: never."""
    ages_s: dict[str, float]
    """How old each input is."""
    sharing: dict[str, list[str]]
    """Campaigns of the queues that share agents with this one."""
    notices: dict[str, str]
    """What is wrong with the lists it was decided on, by code."""
    counts_listed: bool
    """False: the agent list is old, and agents known only from it do not count."""


class InputReader:
    """Reads the inputs of dial ticks, and refreshes them."""

    def __init__(self, services: Services, refill: Refill, agent_lists: AgentLists) -> None:
        self._services = services
        self._limits = ledger_limits(services.settings)
        self._refill = refill
        self._agent_lists = agent_lists
        self._trunks = Trunks(services)
        self._registered: TTLCache[tuple[str, str]] = TTLCache()
        self._members: TTLCache[list[str]] = TTLCache()
        self._sharing: TTLCache[dict[str, list[str]]] = TTLCache()
        self._abandon_windows_h: TTLCache[int] = TTLCache()

    def queue_of(self, campaign: str) -> str:
        """The queue this process last registered the campaign in, '' when it has not."""
        registered = self._registered.get(campaign)
        return registered[0] if registered else ""

    async def register(self, campaign: DialedCampaign, *, before: str) -> bool:
        """Tells the queue's other campaigns how this one is paced; False when it is in another queue than `before`."""
        pacing = campaign_pacing(campaign.settings, self._limits, is_open=campaign.opening.is_open)
        registration = (campaign.queue, msgspec.json.encode(pacing).decode())
        if self._registered.get(campaign.id, REGISTERED_S) == registration and before == campaign.queue:
            return True
        if not await self._services.campaigns.register(campaign.id, *registration, previous=before):
            return False
        self._registered.put(campaign.id, registration)
        return True

    async def unregister(self, campaign: str) -> str:
        """Frees the agents that a campaign which cannot be dialed holds back; its next good tick registers it anew.

        Returns the queue whose agents it held, '' for none.
        """
        services = self._services
        queue = await services.queues.queue_of(campaign)
        raw = await services.queues.pacing_of(queue, campaign)
        pacing = read_pacing(raw) if raw else None
        if not (pacing and pacing.is_open):
            return ""
        closed = msgspec.structs.replace(pacing, is_open=False)
        await services.campaigns.register(
            campaign, queue, msgspec.json.encode(closed).decode(), previous=queue
        )
        self._registered.pop(campaign)
        return queue

    def outdated(self, campaign: DialedCampaign) -> set[Outdated]:
        """What is too old, or not known here, before anything is read."""
        start, outdated = campaign.start, set[Outdated]()
        if self._members.get(campaign.queue) is None:
            outdated.add("queue")
        is_listed = self._agent_lists.is_fresh(start.ledger_ms - start.agents_polled_ms)
        if has_agents(campaign.queue) and (start.queue != campaign.queue or not is_listed):
            outdated.add("agents")
        if self._refill.is_due(campaign.id, start.ready):
            outdated.add("contacts")
        if not self._trunks.knows_members(campaign.settings):
            outdated.add("trunk")
        return outdated

    async def refresh(self, campaign: DialedCampaign, outdated: Iterable[Outdated]) -> bool:
        """Fetches what is out of date, side by side; whether contacts were read.

        Calling hours and proof that contacts are pending are fetched with the claim that lacked them; what asks the
        backend for long may have made the agent list too old. Raises Unreachable, RefusedByServer, redis.RedisError.
        """
        refilled: list[RefillResult] = []

        async def rebuild() -> None:
            if await self._refill.rebuild(campaign.id, campaign.settings):
                await self._read_contacts(campaign, 0, refilled)  # it has dropped those that were ready
                await self._agent_lists.read(campaign.queue)

        refreshers: dict[Outdated, Callable[[], Awaitable[None]]] = {
            "agents": partial(self._agent_lists.read, campaign.queue),
            "contacts": partial(self._read_contacts, campaign, campaign.start.ready, refilled),
            "queue": partial(self._read_queue, campaign),
            "trunk": partial(self._trunks.refresh_members, campaign.settings),
            "not_rebuilt": rebuild,
            "pending": partial(self._agent_lists.read, campaign.queue),
        }
        await run_side_by_side([refreshers[name] for name in outdated if name in refreshers])
        return bool(refilled)

    def can_go_ahead(self, campaign: DialedCampaign) -> bool:
        """Whether there are agents to dial for before the list is read anew; it is then read in the background."""
        if not (self._agent_lists.is_running and campaign.start.freed):
            return False
        self._agent_lists.request(campaign.queue)
        return True

    async def read(
        self, campaign: DialedCampaign, claimed: ClaimResult | None, *, counts_listed: bool
    ) -> DialInputs | None:
        """The queue at one instant, and all else; None when other campaigns belong to the queue than we knew.

        `claimed` is the claim before, which may have lacked calling hours.
        """
        settings = campaign.settings
        members = list(dict.fromkeys([campaign.id, *(self._members.get(campaign.queue) or [])]))
        is_adaptive = wants_adaptive(settings, self._services.settings)
        windows_h = {name: self._abandon_windows_h.get(name) for name in members}
        sharing = self._sharing.get(campaign.queue) or {}
        queue = await self._services.queues.snapshot(
            campaign.queue,
            members,
            sharing=sharing,
            counts_listed=counts_listed,
            windows_h={name: hours for name, hours in windows_h.items() if hours} if is_adaptive else None,
            deadline_ms=self._limits.deadline_ms,
        )
        if queue is None:
            return None
        pacing = queue_pacing(queue, campaign.id, settings, self._limits)
        for name, member in pacing.items():
            self._abandon_windows_h.put(name, member.window_h)
        missing = claimed.missing if claimed else None
        contacts, zones = (missing.contacts, missing.zones) if missing else ({}, {})
        now_ms = claimed.server_ms if claimed else campaign.start.server_ms
        ages_s = {"settings": campaign.settings_age_s, "agents": (queue.ledger_ms - queue.polled) / 1000}
        if (contacts_age_s := self._refill.age_s(campaign.id)) is not None:
            ages_s["contacts"] = contacts_age_s
        return DialInputs(
            campaign=campaign,
            queue=queue,
            pacing=pacing,
            rate_limits=self._trunks.rate_limits_of(campaign.id, settings),
            caller_ids=caller_id_pool(settings, campaign.hours.window.zone, now_ms),
            zone_hours=build_zone_hours(campaign.hours, contacts, zones, now_ms),
            time_scale=self._services.settings.pacing_time_scale,
            wants_adaptive=is_adaptive,
            min_ring_s=min_ring_s(settings, self._services.settings),
            ages_s={name: round(age_s, 1) for name, age_s in ages_s.items()},
            sharing=sharing,
            notices=self._notices(campaign),
            counts_listed=counts_listed,
        )

    def _notices(self, campaign: DialedCampaign) -> dict[str, str]:
        notices = self._agent_lists.notices_of(campaign.queue)
        if defaulted := campaign.settings.defaulted:
            notices["campaign_field_unreadable"] = "; ".join(defaulted)
        trouble = self._refill.last(campaign.id).trouble
        return {**notices, "contacts_incomplete": trouble} if trouble else notices

    async def _read_contacts(self, campaign: DialedCampaign, ready: int, results: list[RefillResult]) -> None:
        start = campaign.start
        refilled = await self._refill.pending(
            campaign.id, campaign.settings, ready, start.server_ms, start.ledger_ms
        )
        if refilled.is_over:
            await self._publish_exhausted(campaign)
        results.append(refilled)

    async def _publish_exhausted(self, campaign: DialedCampaign) -> None:
        """Publishes the end of the list, unless a contact waits for a retry in the ledger or in the backend."""
        backlog = self._services.backlog
        if await backlog.publish_exhausted(campaign.id, none_waits=False) != "ask_backend":
            return
        try:
            if await self._refill.has_waiting(campaign.id, campaign.settings, campaign.start.server_ms):
                return
        except Unreachable as error:
            log.warning(
                "the end of the list is not announced: the backend does not say whether a contact waits for a retry",
                extra={"campaign": campaign.id, "error": str(error)},
            )
            return
        if await backlog.publish_exhausted(campaign.id, none_waits=True) == "published":
            log.info("campaign is exhausted: no contact is left to call", extra={"campaign": campaign.id})

    async def _read_queue(self, campaign: DialedCampaign) -> None:
        """The campaign is registered in its queue, and the queue's campaigns are known."""
        queues, queue = self._services.queues, campaign.queue
        members = list(await queues.campaigns(queue))
        if campaign.id not in members:
            self._registered.pop(campaign.id)
            await self.register(campaign, before=await queues.queue_of(campaign.id))
        self._sharing.put(queue, await queues.sharing(queue))
        self._members.put(queue, members)
