"""When calling is allowed: pure functions of a campaign's settings and an instant."""

from streamdialer.rules.abandonment import abandon_window_h
from streamdialer.rules.window import Opening, Window, campaign_window

__all__ = ["Opening", "Window", "abandon_window_h", "campaign_window"]
