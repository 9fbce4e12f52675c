"""One call that is to be placed, as the gateways need it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from streamdialer.model import OnMachine


class OriginateRequest(msgspec.Struct, frozen=True, kw_only=True):
    attempt_id: str
    campaign: str
    contact: str
    phone_number: str
    campaign_wire_id: int | str | None = None
    """As the backend wrote it; None: made of `campaign`. The same holds for the contact."""
    contact_wire_id: int | str | None = None
    variables: Mapping[str, str] = {}
    trunk: str = ""
    caller_id: str = ""
    ring_timeout_s: float
    """How long it may ring."""
    queue: str = ""
    """Whose agents take the call."""
    is_agentless: bool = False
    """No agent takes it: a message or a voice bot does."""
    on_machine: OnMachine | None = None
    """None: nobody listens for a machine."""

    @property
    def machine_variables(self) -> dict[str, str]:
        """What makes the dialplan listen for a machine, and says what follows (deploy/asterisk/extensions.conf)."""
        return {"SD_AMD": "1", "SD_ON_MACHINE": self.on_machine} if self.on_machine else {}
