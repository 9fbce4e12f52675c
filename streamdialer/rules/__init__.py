"""When and how often to call, and what follows a call: pure functions of a campaign's settings and a rule pack."""

from streamdialer.rules.abandonment import abandon_limit
from streamdialer.rules.calling_hours import CallingHours, calling_hours, intersection
from streamdialer.rules.caps import caps_of
from streamdialer.rules.rule_pack import Pack, load_pack, pack_names
from streamdialer.rules.window import Opening, Window, campaign_window
from streamdialer.rules.zones import OWN_ZONE, zone_set

__all__ = [
    "OWN_ZONE",
    "CallingHours",
    "Opening",
    "Pack",
    "Window",
    "abandon_limit",
    "calling_hours",
    "campaign_window",
    "caps_of",
    "intersection",
    "load_pack",
    "pack_names",
    "zone_set",
]
