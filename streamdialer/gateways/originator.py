"""Who places calls: the Dialer API, or Asterisk directly. Both answer with the same verdicts."""

from __future__ import annotations

from streamdialer.config.settings import Settings
from streamdialer.gateways.asterisk import Asterisk
from streamdialer.gateways.dialer_api import DialerAPI

Originator = DialerAPI | Asterisk


def open_originator(settings: Settings) -> Originator:
    """An async context manager; raises SettingsError."""
    return Asterisk(settings) if settings.originate == "asterisk" else DialerAPI(settings)
