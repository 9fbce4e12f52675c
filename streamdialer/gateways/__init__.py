"""The two HTTP services the dialer talks to: the Django backend and the Dialer API."""

from streamdialer.gateways.backend import Backend, ContactPage, ContactPatch
from streamdialer.gateways.dialer_api import DialerAPI
from streamdialer.gateways.originate_reply import Reply

__all__ = ["Backend", "ContactPage", "ContactPatch", "DialerAPI", "Reply"]
