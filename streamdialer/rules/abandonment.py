"""The abandon rate a campaign must keep under, of the calls people answered, and over which time it is measured."""

from __future__ import annotations

from typing import Final

from streamdialer.model import CampaignSettings
from streamdialer.rules.rule_pack import load_pack

DEFAULT_WINDOW_H: Final = 24


def abandon_limit(settings: CampaignSettings) -> tuple[float, int]:
    """The narrower of the campaign's cap and its rule pack's, and the hours of the pack's window (else a day's).

    Raises CampaignError for an unknown pack.
    """
    law = load_pack(settings.rule_pack or "none").abandon_cap
    if law is None:
        return settings.abandon_cap, DEFAULT_WINDOW_H
    return min(settings.abandon_cap, law.share), law.window_h
