"""The Dialer API: places calls and keeps statistics.

`originate` turns everything that can happen into a Reply; the caller decides what follows.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from streamdialer.config.settings import Settings
from streamdialer.errors import RefusedByServer
from streamdialer.gateways.body import read_json
from streamdialer.gateways.client import TRANSPORT_ERRORS, Gateway, Service
from streamdialer.gateways.originate_reply import Reply, read_failure, read_reply
from streamdialer.gateways.originate_request import OriginateRequest
from streamdialer.model import plain_id, wire_id


class DialerAPI(Gateway):
    """One client for the life of the process."""

    service: Final = "dialer_api"

    def __init__(self, settings: Settings) -> None:
        self._context = settings.originate_context
        self._ring_timeout_s = settings.ring_timeout_s
        self._originate_timeout_s = settings.originate_timeout_s
        self._service = Service(
            "Dialer API",
            settings.dialer_api_url,
            setting="DIALER_API_URL",
            timeout_s=settings.dialer_api_timeout_s,
            connections=settings.calls_concurrency + 16,  # all calls of the stage, and statistics
            token=settings.dialer_api_token,
        )

    def problem_of(self, _trunk: str, _caller_id: str) -> str:
        """'': the API says itself what it takes."""
        return ""

    async def originate(self, call: OriginateRequest) -> Reply:
        """Requests one call, once. Network and server errors become a Reply; cancellation passes through.

        A cancelled request may have been sent: the caller treats it as unknown.
        """
        ring_s = float(call.ring_timeout_s)
        body: dict[str, Any] = {
            "campaign_id": wire_id(call.campaign) if call.campaign_wire_id is None else call.campaign_wire_id,
            "contact_id": wire_id(call.contact) if call.contact_wire_id is None else call.contact_wire_id,
            "phone_number": call.phone_number,
            "context": self._context,
            "priority": 1,
            "timeout": int(ring_s) if ring_s.is_integer() else ring_s,
            "variables": {**call.variables, **call.machine_variables, "ATTEMPT_ID": call.attempt_id},
            **({"caller_id": call.caller_id} if call.caller_id else {}),
            **({"trunk": call.trunk} if call.trunk else {}),
        }
        try:
            response = await self._service.send(
                "POST",
                "/calls/originate",
                body=body,
                headers={"idempotency-key": call.attempt_id},
                # the API may hold its reply for the ring time
                timeout_s=self._originate_timeout_s + max(0.0, ring_s - self._ring_timeout_s),
            )
        except TRANSPORT_ERRORS as exc:
            return read_failure(exc)
        return read_reply(response.status_code, response.headers, response.content)

    async def statistics(self, campaign: str) -> dict[str, Any]:
        """`GET /campaigns/{id}/stats`; raises Unreachable, or RefusedByServer (404: no such campaign)."""
        response = await self._service.ask("GET", f"/campaigns/{quote(plain_id(campaign), safe='')}/stats")
        if response.status_code in (400, 404, 409, 410, 422):
            raise RefusedByServer(
                f"Dialer API: statistics of campaign {campaign} refused with HTTP {response.status_code}",
                response.status_code,
            )
        if response.is_success:
            try:
                document = read_json(response)
            except ValueError:
                document = None
            if isinstance(document, dict):
                return document
        raise self._service.unusable_reply(response)

    async def health(self) -> str:
        """One line for people; raises Unreachable. An API without `/health` is healthy when it answers."""
        response = await self._service.ask("GET", "/health")
        if response.is_success:
            return f"Dialer API at {self._service.base} answers"
        if response.status_code in (404, 405):
            return f"Dialer API at {self._service.base} answers (it has no /health)"
        raise self._service.unusable_reply(response)
