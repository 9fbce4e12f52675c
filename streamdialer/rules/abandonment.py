"""Over which time a campaign's abandon rate is measured. Its denominator is everywhere the calls people answered."""

from __future__ import annotations

from typing import Final

WINDOWS_H: Final = {"us": 720, "uk": 24}
"""By jurisdiction: 30 days in 16 CFR 310.4(b)(4)(i) and 47 CFR 64.1200(a)(7); 24 hours in Ofcom's statement on
persistent misuse."""
DEFAULT_WINDOW_H: Final = 24


def abandon_window_h(rule_pack: str | None) -> int:
    """Hours of the window; packs of states (`us-fl`) measure as their country does."""
    return WINDOWS_H.get((rule_pack or "").partition("-")[0], DEFAULT_WINDOW_H)
