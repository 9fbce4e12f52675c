"""The pool of caller ids that a campaign's settings describe (pure)."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from datetime import time as time_of_day
from functools import lru_cache
from zoneinfo import ZoneInfo

from streamdialer.ledger.caller_ids import CallerIdPool
from streamdialer.model import CampaignSettings
from streamdialer.rules.numbers import read_number


def caller_id_pool(settings: CampaignSettings, zone: ZoneInfo, now_ms: int) -> CallerIdPool | None:
    """The campaign's pool at an instant of the server's time; None when it has none."""
    if not settings.caller_ids:
        return None
    today = datetime.fromtimestamp(now_ms / 1000, zone).date()
    midnight = datetime.combine(today + timedelta(days=1), time_of_day(), zone)
    return CallerIdPool(
        ids=_with_digits(settings.caller_ids, settings.country or ""),
        by_area=settings.caller_id_choice == "area_code",
        cap=settings.caller_id_daily_cap,
        day=today.toordinal(),
        day_ends_ms=round(midnight.timestamp() * 1000),
    )


@lru_cache(maxsize=1000)
def _with_digits(ids: tuple[str, ...], country: str) -> tuple[tuple[str, str], ...]:
    return tuple((each, _digits(each, country)) for each in ids)


def _digits(caller_id: str, country: str) -> str:
    """The digits of the number, as in `Shop <+5716001111>`."""
    number = read_number(caller_id.rpartition("<")[2].rstrip("> "), country)
    return re.sub(r"\D", "", caller_id if number.problem else str(number))
