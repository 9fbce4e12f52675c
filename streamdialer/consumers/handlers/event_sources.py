"""Handles `source_live`: an event source lists all calls it sees up, so that the others are known to be over."""

from __future__ import annotations

import logging
from functools import partial

from streamdialer.broker.entries import BadEntry
from streamdialer.consumers.dialing.side_by_side import run_side_by_side
from streamdialer.consumers.dialing.wakeups import WakeupScheduler
from streamdialer.consumers.event_entry import since_ms
from streamdialer.consumers.services import Services
from streamdialer.ledger.event_sources import MAX_SOURCES, MissingCalls, SourceLists, unknown_calls
from streamdialer.model import SourceEvent
from streamdialer.observability.metrics import ATTEMPTS_ENDED

log = logging.getLogger(__name__)


class SourceLive:
    """Ends what no event source lists."""

    def __init__(self, services: Services, wakeups: WakeupScheduler) -> None:
        self._services = services
        self._wakeups = wakeups

    async def handle(self, event: SourceEvent, entry: str) -> None:
        """Raises BadEntry; `entry` is the event's id."""
        sources = self._services.event_sources
        parts = await self._services.list_parts.gather(event, event.type, entry, event.calls)
        if not parts:
            return
        entry = parts[0][0]  # the first part was written first: later calls may be missing in it
        ids = [call for _, calls in parts for call in calls]
        lists = await sources.note(event.source, entry, ids, since_ms(event))
        if lists == "too_many":
            raise BadEntry("too_many_sources", f"takes {MAX_SOURCES} event sources at most")
        if isinstance(lists, str):
            log.debug("an older list of an event source", extra={"source": event.source})
            return
        campaigns, in_calls = await sources.campaigns()
        unknown = unknown_calls(lists.ids, campaigns)
        found = await self._end_missing(in_calls, entry, lists, judges_nameless=not unknown)
        nameless = [name for name, missing in found.items() if missing.nameless]
        unknown -= {each for missing in found.values() for each in missing.listed}
        if nameless and not unknown:
            await self._end_missing(nameless, entry, lists, judges_nameless=True)
        elif nameless:
            log.warning(
                "an event source lists calls that the dialer cannot tell apart: attempts without a call id stay up; "
                "list attempt ids, or write call events with both ids",
                extra={"source": event.source, "calls": len(unknown), "campaigns": len(nameless)},
            )

    async def _end_missing(
        self, campaigns: list[str], entry: str, lists: SourceLists, *, judges_nameless: bool
    ) -> dict[str, MissingCalls]:
        found: dict[str, MissingCalls] = {}

        async def end(campaign: str) -> None:
            missing = await self._services.event_sources.end_missing(
                campaign, entry, lists, judges_nameless=judges_nameless
            )
            found[campaign] = missing
            if missing.ended:
                ATTEMPTS_ENDED.labels("not_listed").inc(len(missing.ended))
                log.info(
                    "attempts were ended: no event source lists them",
                    extra={"campaign": campaign, "count": len(missing.ended)},
                )
            self._wakeups.queue(await self._wakeups.queue_of(campaign))

        await run_side_by_side([partial(end, campaign) for campaign in campaigns])
        return found
