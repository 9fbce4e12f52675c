"""What an import would do: how many contacts would be called, and why the others would not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Final

import msgspec

from streamdialer.errors import CampaignError
from streamdialer.ledger.suppression import DncEntry, DncLedger
from streamdialer.operations.list_file.contacts import FileContact, FileReader
from streamdialer.operations.list_file.sheet import Sheet
from streamdialer.operations.list_file.text import BadLine
from streamdialer.rules.calling_hours import CallingHours
from streamdialer.rules.numbers import Number, read_number
from streamdialer.rules.zone_clock import DAY_MS
from streamdialer.rules.zones import place, read_region

BATCH: Final = 1000


class Preview(msgspec.Struct, kw_only=True):
    """Each contact counts once: in `callable`, or in the first of the others that holds."""

    lines: int = 0
    bad: int = 0
    duplicates: int = 0
    """Of a number that stands in the file before."""
    do_not_call: int = 0
    """The file says so."""
    suppressed: dict[str, int] = {}
    """On the do-not-call list, by the reason that is saved there."""
    without_consent: int = 0
    """Or too old for the rule pack. Without a pack that asks for it, only where the file has a column for it."""
    outside_hours: int = 0
    """Could not be called now; they wait."""
    callable: int = 0
    """Could be called now."""


class Previewer:
    def __init__(
        self, dnc: DncLedger, hours: CallingHours, country: str, now_ms: int, *, has_consent: bool
    ) -> None:
        self.preview = Preview()
        self._dnc = dnc
        self._hours = hours
        self._country = country
        self._now_ms = now_ms
        self._has_column = has_consent
        self._seen: set[int] = set()
        """Hashes, because a list may have a million numbers."""
        self._suppressed = Counter[str]()

    async def read(
        self,
        sheet: Sheet,
        reader: FileReader,
        *,
        on_bad_line: Callable[[BadLine], None],
        on_progress: Callable[[int], None],
    ) -> Preview:
        """Raises Unreachable when Redis cannot be asked for the do-not-call list."""
        batch: list[tuple[FileContact, Number]] = []
        for _, contact in reader.contacts(sheet):
            self.preview.lines += 1
            if isinstance(contact, BadLine):
                self.preview.bad += 1
                on_bad_line(contact)
                continue
            number = read_number(contact.number or contact.phone_number, self._country)
            if hash(str(number)) in self._seen:
                self.preview.duplicates += 1
                continue
            self._seen.add(hash(str(number)))
            batch.append((contact, number))
            if len(batch) == BATCH:
                await self._judge(batch)
                batch.clear()
                on_progress(self.preview.lines)
        await self._judge(batch)
        self.preview.suppressed = dict(self._suppressed.most_common())
        return self.preview

    async def _judge(self, batch: list[tuple[FileContact, Number]]) -> None:
        entries = await self._dnc.check([number for _, number in batch])
        for (contact, number), entry in zip(batch, entries, strict=True):
            self._count(contact, number, entry)

    def _count(self, contact: FileContact, number: Number, entry: DncEntry | None) -> None:
        if contact.do_not_call:
            self.preview.do_not_call += 1
        elif entry is not None:
            self._suppressed[entry.why] += 1
        elif not self._has_consent(contact):
            self.preview.without_consent += 1
        elif not self._is_open(contact, number):
            self.preview.outside_hours += 1
        else:
            self.preview.callable += 1

    def _has_consent(self, contact: FileContact) -> bool:
        law = self._hours.pack.consent_required
        if law is None or not contact.consent:
            return bool(contact.consent) or not (law or self._has_column)
        if isinstance(contact.consent, bool):
            return law.max_age_days is None
        age_ms = self._now_ms - datetime.fromisoformat(contact.consent).timestamp() * 1000
        return age_ms >= 0 and (law.max_age_days is None or age_ms < law.max_age_days * DAY_MS)

    def _is_open(self, contact: FileContact, number: Number) -> bool:
        others = [read_number(each, self._country) for each in (contact.phone_2, contact.phone_3) if each]
        numbers, region = (
            [str(each) for each in (number, *others)],
            read_region(contact.region, self._country),
        )
        try:
            where = place(contact.timezone, numbers, region, self._hours.states)
            return self._hours.opening_at(where, self._now_ms).is_open
        except CampaignError:
            return False
