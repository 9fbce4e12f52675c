"""What a check of `streamdialer doctor` found."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Literal

import msgspec


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    check: str
    level: Literal["ok", "warn", "fail"]
    text: str
    remedy: str = ""
    """What to do about it."""


Findings = AsyncIterator[Finding]
Check = Callable[[], Findings]
