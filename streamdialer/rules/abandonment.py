"""Over which time a campaign's abandon rate is measured. Its denominator is everywhere the calls people answered."""

from __future__ import annotations

from typing import Final

from streamdialer.rules.pack import load_pack

DEFAULT_WINDOW_H: Final = 24


def abandon_window_h(rule_pack: str | None) -> int:
    """Hours of the window the pack says, else `DEFAULT_WINDOW_H`; raises CampaignError for an unknown pack."""
    cap = load_pack(rule_pack or "none").abandon_cap
    return DEFAULT_WINDOW_H if cap is None else cap.window_h
