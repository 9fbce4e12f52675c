"""The abandon rate a campaign must stay below: abandoned calls per call answered by a person, within a window."""

from __future__ import annotations

from typing import Final

from streamdialer.model import CampaignSettings
from streamdialer.rules.rule_pack import load_pack

DEFAULT_WINDOW_H: Final = 24


def abandon_limit(settings: CampaignSettings) -> tuple[float, int]:
    """The lower of the campaign's cap and its rule pack's, and the hours of the pack's window (a day without a pack).

    Raises CampaignError for an unknown pack.
    """
    statutory = load_pack(settings.rule_pack or "none").abandon_cap
    if statutory is None:
        return settings.abandon_cap, DEFAULT_WINDOW_H
    return min(settings.abandon_cap, statutory.share), statutory.window_h
