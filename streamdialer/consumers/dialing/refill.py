"""Loads contacts from the backend into the ledger: pending ones, due retries, and after a data loss those in a call."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from secrets import token_hex
from typing import Final

import anyio
import msgspec

from streamdialer.broker.connection import server_ms
from streamdialer.consumers.dialing.calling_hours import CallingHoursCache, build_zone_hours, is_closed
from streamdialer.consumers.dialing.contact_rows import in_flight_row, last_attempt_ms, load_row
from streamdialer.consumers.services import Services
from streamdialer.consumers.ttl_cache import TTLCache
from streamdialer.errors import Unreachable
from streamdialer.gateways.backend import MAX_PAGES, ContactPage
from streamdialer.ledger.types import LoadResult
from streamdialer.model import Block, CampaignSettings, Contact, normalise_id
from streamdialer.observability.metrics import CONTACT_FIELDS_UNREAD, CONTACTS_UNREAD
from streamdialer.rules.caps import caps_of
from streamdialer.rules.retry import RetryPlan, retry_plan
from streamdialer.rules.rule_pack import load_pack

log = logging.getLogger(__name__)
REBUILD_PASSES: Final = 10
DAY_MS: Final = 86_400_000
REST_FACTOR: Final = 4
"""A list that had to be read far beyond its head is read again after this many times as long as that took."""
LoadPage = Callable[..., Awaitable[None]]


class _Place(msgspec.Struct, frozen=True):
    """Where reading a long list goes on."""

    path: str
    """Of the page, with its query."""
    pages: int
    """Read before it, of this list."""
    read_s: float
    """How long that took."""


class RefillResult(msgspec.Struct):
    """What reading the backend's list brought."""

    added: int = 0
    invalid: int = 0
    unreadable: int = 0
    first_unreadable: str = ""
    """Which row that is, and why."""
    not_asked: int = 0
    """Of another campaign or status."""
    used_up: int = 0
    waiting: int = 0
    is_whole: bool = False
    """The list was read from its head to its end."""
    goes_on_at: _Place | None = None
    """The list goes on, and so does the next read."""
    rest_s: float = 0.0
    """How much longer than usual the list rests: it took long to read, and brought nothing."""
    pages: int = 0
    trouble: str = ""
    """Why a part of the list is missing, '' when nothing is."""
    refused: Counter[str] = msgspec.field(default_factory=Counter)
    """Contacts that may not be called, or not now, by reason."""
    blocked: list[Block] = []
    """Those of them that rules forbid, by rule."""
    final: Counter[str] = msgspec.field(default_factory=Counter)
    """Contacts that are final here and pending in the backend, by reason."""

    @property
    def passed_over(self) -> dict[str, int]:
        """Contacts on the list of pending ones that are not called as long as it shows them so."""
        counts = {
            "no_phone_number": self.invalid,
            "unreadable": self.unreadable,
            "not_asked": self.not_asked,
            "max_attempts": self.used_up,
        }
        return dict(Counter(counts) + self.final)  # only what is more than 0

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to call of what the backend lists."""
        kept_listed = (
            self.final["max_attempts"] + self.final["finished"]
        )  # the backend refuses to learn of their end
        passed_over = self.unreadable or self.not_asked or self.used_up or kept_listed
        return self.is_whole and not (self.added or passed_over)


def _due_ms(contact: Contact, plan: RetryPlan, now_ms: int) -> int | None:
    """When the contact may be called again (server's ms), None for never; now when its last attempt is not known."""
    delay_ms, last_ms = plan.delay_of(contact.status, contact.attempts or 0), last_attempt_ms(contact)
    if delay_ms is None or last_ms is None:
        return None if delay_ms is None else now_ms
    return last_ms + delay_ms


def _log_unreadable(campaign: str, page: ContactPage) -> None:
    for line in page.unreadable:
        log.warning("contact cannot be read and is not dialed", extra={"campaign": campaign, "error": line})
    CONTACTS_UNREAD.inc(len(page.unreadable))
    for name, count in page.defaulted.items():
        CONTACT_FIELDS_UNREAD.labels(name).inc(count)
    if page.defaulted:
        fields = ", ".join(f"{name} ({count})" for name, count in sorted(page.defaulted.items()))
        log.info(
            "fields of contacts cannot be read and have their default",
            extra={"campaign": campaign, "fields": fields},
        )


class Refill:
    """Reads the head of a campaign's list when few contacts are ready, and regularly."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._reads: TTLCache[RefillResult] = TTLCache(4 * services.settings.refill_interval_s)
        self._reading: set[str] = set()
        self.hours = CallingHoursCache(services.settings.timezone)

    def is_due(self, campaign: str, ready: int) -> bool:
        """Whether to read the list now; a list that brought nothing new rests for a while.

        After a read that brought contacts, the list is read again as soon as they run low; a short one, which was read
        to its end, when all are gone. A list that goes on or failed in part is read again as soon as contacts run low.
        """
        if campaign in self._reading:
            return False
        settings, last = self._services.settings, self._reads.get(campaign)
        if last is None:
            return True
        age_s, interval_s = self._reads.age_s(campaign) or 0.0, settings.refill_interval_s
        if last.added and ready < (1 if last.is_whole else settings.refill_threshold):
            return True
        is_low = ready < settings.refill_threshold
        if is_low and (last.goes_on_at or last.trouble):
            return True
        interval_s += last.rest_s
        return age_s >= (interval_s if last.added or is_low else 2 * interval_s)

    def age_s(self, campaign: str) -> float | None:
        """Seconds since the list was last read here; None when it was not."""
        return self._reads.age_s(campaign)

    def last(self, campaign: str) -> RefillResult:
        """What the list brought when it was last read here."""
        return self._reads.get(campaign) or RefillResult()

    async def pending(
        self, campaign: str, settings: CampaignSettings, ready: int, now_ms: int, asked_ms: int
    ) -> RefillResult:
        """Reads pages from the head until enough contacts are ready, the list ends or enough pages are read.

        It always reads the head first: there stand new contacts with a higher priority than the ready ones. A list
        whose first pages bring too few goes on where the read before stopped. `now_ms` is the time by the server's
        clock, `asked_ms` by the ledger's. Raises Unreachable when no page can be read and no contact is ready.
        """
        ours = self._services.settings
        needed, most = 2 * ours.refill_threshold - ready, ours.refill_max_pages
        total, place, began_s = RefillResult(), self.last(campaign).goes_on_at, anyio.current_time()

        async def load(page: ContactPage, *, only_open: bool) -> None:
            await self._load(
                campaign, settings, page, total, now_ms, asked_ms, reset=False, only_open=only_open
            )

        self._reading.add(campaign)
        try:
            follows = await self._read_pages(campaign, "", 1 if place else most, needed, total, load)
            total.is_whole = follows is None and not total.trouble
            if place and follows and total.added < needed:
                follows = await self._read_pages(campaign, place.path, most, needed, total, load)
            elif place and follows:
                follows = place.path
        except Unreachable as error:
            if not total.pages and not ready:
                raise
            follows, total.trouble = place.path if place else None, str(error)
        finally:
            self._reading.discard(campaign)
        read_s = anyio.current_time() - began_s + (place.read_s if place else 0)
        pages = total.pages + (place.pages if place else 0)
        if follows and (place or total.added < needed) and pages < MAX_PAGES:
            total.goes_on_at = _Place(follows, pages, read_s)
        elif place and not total.added:
            total.rest_s = REST_FACTOR * read_s
        return self._reads.put(campaign, total)  # after an error, the list is read with the next tick

    async def _read_pages(
        self, campaign: str, start: str, most: int, needed: int, total: RefillResult, load: LoadPage
    ) -> str | None:
        """Loads pages from `start` until enough contacts are added; where to go on, None at the end of the list.

        Raises Unreachable.
        """
        pages, page_size = 0, self._services.settings.page_size
        async for page in self._services.backend.pending(campaign, page_size, start):
            pages, before = pages + 1, total.added
            total.pages += 1
            total.trouble = total.trouble or page.trouble
            await load(page, only_open=bool(start))
            if page.next is None:
                return None
            if total.added >= needed or pages == most:
                # when the contacts of this page are called, others move up to it
                return page.path if start and total.added > before else page.next
        return None

    async def due_for_retry(self, campaign: str, settings: CampaignSettings, now_ms: int) -> RefillResult:
        """Makes contacts pending again that only the backend knows to be due for a retry; raises Unreachable."""
        total, plan = RefillResult(), retry_plan(settings)
        before_ms = now_ms - round(settings.retry_delay * 1000)
        async for page in self._retried(campaign, settings, before_ms):
            due = [
                contact
                for contact in page.contacts
                if (due_ms := _due_ms(contact, plan, now_ms)) is not None and due_ms <= now_ms
            ]
            listed = msgspec.structs.replace(page, contacts=due)
            await self._load(campaign, settings, listed, total, now_ms, None, reset=True)
        return total

    async def has_waiting(self, campaign: str, settings: CampaignSettings, now_ms: int) -> bool:
        """Whether a contact that only the backend knows is to be called again; raises Unreachable."""
        services, plan = self._services, retry_plan(settings)
        async for page in self._retried(campaign, settings, now_ms + DAY_MS):
            returning = [
                normalise_id(contact.id)
                for contact in page.contacts
                if _due_ms(contact, plan, now_ms) is not None
            ]
            if await services.backlog.unknown(campaign, returning):
                return True
        return False

    async def _retried(
        self, campaign: str, settings: CampaignSettings, before_ms: int
    ) -> AsyncIterator[ContactPage]:
        """Contacts whose last call, before then (server's ms), reached no one; as many pages as a refill reads.

        Raises Unreachable.
        """
        services, read = self._services, 0
        statuses = ["no_answer", "busy"]
        if (await services.memory.state()).rebuild_epoch:
            statuses.append("failed")  # Redis has lost the time of their retry
        before = datetime.fromtimestamp(before_ms / 1000, UTC)
        pages = services.backend.due_for_retry(
            campaign, before, settings.max_retries, services.settings.page_size, statuses
        )
        async for page in pages:
            yield page
            read += 1
            if read >= services.settings.refill_max_pages:
                break

    async def _load_waiting(self, campaign: str, settings: CampaignSettings) -> int:
        """Takes over the contacts that wait for a retry; how many wait. The retry ticks bring those not read here."""
        services, plan, total = self._services, retry_plan(settings), RefillResult()
        now_ms = await server_ms(services.client)
        try:
            async for page in self._retried(campaign, settings, now_ms + DAY_MS):
                await self._load(campaign, settings, page, total, now_ms, None, reset=True, plan=plan)
        except Unreachable as error:
            log.warning(
                "the contacts that wait for a retry cannot be read; the retry ticks bring them when they are due",
                extra={"campaign": campaign, "error": str(error)},
            )
        return total.waiting

    async def rebuild(self, campaign: str, settings: CampaignSettings) -> bool:
        """After a data loss: takes over from the backend which contacts are in a call and which are not.

        False when another process does so or has done so. Raises Unreachable; then it must be repeated.
        """
        memory, rebuilder = self._services.memory, token_hex(8)
        mark = (await memory.state()).rebuild_epoch
        if not await memory.drop_reloadable(campaign, rebuilder):
            return False
        try:
            orphaned = await self._hold_in_flight(campaign, settings, rebuilder)
        except Unreachable:
            await memory.mark_rebuilt(campaign, "", rebuilder)
            raise
        if orphaned is None:
            return False
        waiting = await self._load_waiting(campaign, settings)
        self._reads.pop(campaign)
        if await memory.mark_rebuilt(campaign, mark, rebuilder):
            log.log(
                logging.WARNING if orphaned else logging.INFO,
                "campaign rebuilt from the backend; orphaned contacts were in a call that Redis may have lost",
                extra={"campaign": campaign, "orphaned": orphaned, "waiting": waiting},
            )
        return True

    async def _hold_in_flight(self, campaign: str, settings: CampaignSettings, rebuilder: str) -> int | None:
        """Holds the contacts that the backend shows in a call; how many, None when another process rebuilds.

        The list is read again, until it brings nothing new, only where rows may have moved past the reader. Raises
        Unreachable.
        """
        services, plan = self._services, retry_plan(settings)
        caps = caps_of(load_pack(settings.rule_pack or "none"), settings)
        is_preview = settings.dial_mode == "preview"
        orphaned = quiet_passes = 0
        for _ in range(REBUILD_PASSES):
            newly_orphaned, is_whole, seen = 0, True, set[str]()
            last: str | None = None
            async for page in services.backend.in_flight(campaign, services.settings.page_size):
                _log_unreadable(campaign, page)  # other lists cannot read them, either
                rows = [
                    in_flight_row(contact, settings.country or "", for_preview=is_preview)
                    for contact in page.contacts
                ]
                names = [in_flight.row.contact for in_flight in rows]
                goes_on = last is None or names[:1] == [last]
                is_whole = is_whole and goes_on and seen.isdisjoint(names[1:])
                held = await services.memory.hold_in_flight(
                    campaign, rows, plan, caps, rebuilder, settings.ring_timeout
                )
                if held is None:
                    return None
                seen.update(names)
                newly_orphaned, last = newly_orphaned + held, names[-1] if names else ""
            orphaned += newly_orphaned
            quiet_passes = 0 if newly_orphaned else quiet_passes + 1
            if is_whole or quiet_passes == 2:
                return orphaned
        raise Unreachable(f"backend: the contacts in a call of campaign {campaign} keep changing")

    async def _load(
        self,
        campaign: str,
        settings: CampaignSettings,
        page: ContactPage,
        total: RefillResult,
        now_ms: int,
        asked_ms: int | None,
        *,
        reset: bool,
        plan: RetryPlan | None = None,
        only_open: bool = False,
    ) -> None:
        """Loads the page; with a plan as contacts that wait for their retry.

        With `only_open` without those outside their calling hours: there may be more of them than Redis should hold.
        """
        _log_unreadable(campaign, page)
        country, is_preview = settings.country or "", settings.dial_mode == "preview"
        rows = [
            load_row(contact, reset=reset, country=country, for_preview=is_preview)
            for contact in page.contacts
        ]
        if plan is not None:
            due = [_due_ms(contact, plan, now_ms) for contact in page.contacts]
            rows = [
                msgspec.structs.replace(row, due_ms=due_ms)
                for row, due_ms in zip(rows, due, strict=True)
                if due_ms is not None
            ]
        loaded = LoadResult()
        if rows:
            calls = {row.contact: row.call for row in rows}
            hours = build_zone_hours(self.hours.of(campaign, settings, now_ms), calls, (), now_ms)
            if only_open and hours is not None:
                listed = len(rows)
                rows = [row for row in rows if not is_closed(hours, row.contact)]
                total.refused["window_closed"] += listed - len(rows)
        if rows:
            loaded = await self._services.campaigns.load(
                campaign, rows, settings.max_retries, country, hours, asked_ms=asked_ms
            )
        if loaded.invalid:
            names = ", ".join(f"{row.contact} ({row.problem})" for row in rows if row.problem)
            log.warning(
                "contacts without a usable phone number were marked invalid",
                extra={"campaign": campaign, "contacts": names},
            )
        total.added += loaded.added
        total.invalid += loaded.invalid
        total.used_up += loaded.used_up
        total.final.update(loaded.final)
        total.waiting += loaded.waiting
        total.refused.update(loaded.refused)
        total.blocked += loaded.blocked
        total.unreadable += len(page.unreadable)
        total.not_asked += len(page.not_asked)
        total.first_unreadable = total.first_unreadable or next(iter(page.unreadable), "")
