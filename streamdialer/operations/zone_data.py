"""How old the time zones in use are."""

from __future__ import annotations

import re
from datetime import date
from importlib import resources
from typing import Final

from streamdialer.operations.finding import Finding

_YEAR_DAYS: Final = 365
_UPDATED: Final = re.compile(r"^#updated \d+ \((\d{4}-\d\d-\d\d)", re.MULTILINE)


def check_zone_data(today: date) -> Finding:
    """The release of the package `tzdata`; a warning when it is older than a year.

    A release has no date. Its list of leap seconds has one, which is at most half a year older.
    """
    zones = resources.files("tzdata") / "zoneinfo"
    release = (zones / "tzdata.zi").read_text(encoding="utf-8").partition("\n")[0].removeprefix("# version ")
    updated = _UPDATED.search((zones / "leapseconds").read_text(encoding="utf-8"))
    written = date.fromisoformat(updated[1]) if updated else date(int(release[:4]), 1, 1)
    if (today - written).days <= _YEAR_DAYS:
        return Finding("time zones", "ok", f"release {release} of the package tzdata, with data of {written}")
    return Finding(
        "time zones",
        "warn",
        f"release {release} of the package tzdata has data of {written}: where a clock was changed since, calls are an "
        "hour too early or too late",
        "pip install --upgrade tzdata, and restart the replicas",
    )
