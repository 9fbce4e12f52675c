"""One call that is to be placed, as the gateways need it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


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
