"""The calls stage: places each reserved call once. The attempt is marked as sent before its request leaves."""

from __future__ import annotations

import logging
from typing import Final
from uuid import uuid4

import anyio
import msgspec

from streamdialer.broker import BadEntry, Entry
from streamdialer.broker.connection import TRANSIENT
from streamdialer.broker.scripts import backoff_s
from streamdialer.consumers.services import Services
from streamdialer.gateways.originate_reply import Reply, Verdict
from streamdialer.model import Attempt, ContactData, wire_id
from streamdialer.observability import tracing
from streamdialer.observability.metrics import ORIGINATES
from streamdialer.observability.redaction import mask_number
from streamdialer.rules.numbers import read_number

log = logging.getLogger(__name__)


SEND_WITHIN_S: Final = 5.0
"""A process that was stopped after the begin mark, and wakes up later than this, must not send any more: the attempt's
deadline may have passed, and the contact may be in somebody else's hands."""


class Call(ContactData, frozen=True, kw_only=True):
    """A contact and the call that was reserved for them."""

    agent: str = ""
    """Whom the call is for; '' is anyone."""


def read_call(entry: Entry) -> tuple[Attempt, Call, str]:
    """The attempt, its call, and until when (ms, '' = no end) it may be placed; raises BadEntry."""
    fields = entry.fields
    try:
        attempt = Attempt(fields["campaign"], fields["contact"], int(fields["number"]), fields["token"])
        call = msgspec.json.decode(fields["call"], type=Call)
        chosen = {  # of several numbers, or the one a callback was asked for at
            "phone_number": fields.get("phone_number") or call.phone_number,
            "agent": fields.get("agent", ""),
        }
        return attempt, msgspec.structs.replace(call, **chosen), fields["until"]
    except (KeyError, ValueError, msgspec.MsgspecError) as error:
        raise BadEntry(
            "unreadable_call", f"not an entry of the claim: {type(error).__name__} {error}"
        ) from error


def _subject(attempt: Attempt) -> dict[str, str]:
    """Whom a call is about, for its trace."""
    return {"attempt": attempt.id, "campaign": attempt.campaign, "contact": attempt.contact}


class CallsStage:
    """Handles entries of `calls`."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def handle(self, entry: Entry) -> None:
        attempt, call, until = read_call(entry)
        with tracing.entry_span("call", entry.fields, **_subject(attempt)):
            await self._place(attempt, call, until)

    async def _place(self, attempt: Attempt, call: Call, until: str) -> None:
        asked = anyio.current_time()
        began = await self._services.campaigns.mark_sent(attempt, uuid4().hex, until)
        if began not in ("ok", "again"):
            level = logging.WARNING if began == "sent" else logging.INFO
            log.log(level, "call is not placed", extra={"attempt": attempt.id, "reason": began})
            tracing.set_attributes(reason=began)
            return
        is_again = began == "again"
        if anyio.current_time() - asked > SEND_WITHIN_S:
            verdict: Verdict = "unknown" if is_again else "not_placed"
            reply = Reply(verdict=verdict, detail="this process was held up before it could send")
            await self._settle(attempt, call, reply)
            return
        log.info("sent", extra={"attempt": attempt.id, "number": mask_number(call.phone_number)})
        try:
            reply = await self._originate(attempt, call, may_be_up=is_again)
        except anyio.get_cancelled_exc_class():
            log.warning("stopped while a request was open: its events decide", extra={"attempt": attempt.id})
            raise
        with anyio.CancelScope(shield=True), anyio.move_on_after(5):
            await self._settle(attempt, call, reply)

    async def _originate(self, attempt: Attempt, call: Call, *, may_be_up: bool) -> Reply:
        """The reply to the request; an API that honours the key is asked again while the fate of it is unknown.

        `may_be_up` says that a request with this key may have placed the call already. Then, as after any unknown
        reply, only "placed" is believed: a later refusal says nothing of the earlier request.
        """
        settings, services = self._services.settings, self._services
        give_up_at = anyio.current_time() + settings.ring_timeout_s
        failures = 0
        while True:
            reply = await services.dialer_api.originate(
                attempt_id=attempt.id,
                campaign=attempt.campaign,
                contact=attempt.contact,
                contact_wire_id=call.id,
                phone_number=call.phone_number,
                variables={"agent_id": wire_id(call.agent)} if call.agent else None,
            )
            may_be_up = may_be_up or reply.verdict == "unknown"
            if reply.verdict == "placed" or not may_be_up:
                return reply
            if not settings.dialer_api_idempotent or anyio.current_time() >= give_up_at:
                return msgspec.structs.replace(reply, verdict="unknown")
            await anyio.sleep(backoff_s(failures))
            failures += 1
            if not await self._may_ask_again(attempt, call):
                return msgspec.structs.replace(reply, verdict="unknown")

    async def _may_ask_again(self, attempt: Attempt, call: Call) -> bool:
        """Whether nobody has asked not to be called since the first request; in doubt somebody has."""
        suppression = self._services.suppression
        try:
            country = await self._services.country_of(attempt.campaign)
            called = str(read_number(call.phone_number, country))  # perhaps none of the contact's own
            return not await suppression.on_dnc_list([*call.n, called])
        except TRANSIENT:
            return False

    async def _settle(self, attempt: Attempt, call: Call, reply: Reply) -> None:
        settled = await self._services.campaigns.settle_originate(
            attempt,
            verdict=reply.verdict,
            call_id=reply.call_id,
            hold=reply.hold,
            retry_after_s=reply.retry_after_s,
        )
        ORIGINATES.labels(reply.verdict).inc()
        tracing.set_attributes(verdict=reply.verdict)
        loud = reply.hold == "credentials"
        quiet = reply.verdict == "placed"
        log.log(
            logging.ERROR if loud else logging.DEBUG if quiet else logging.WARNING,
            "originate",
            extra={
                "attempt": attempt.id,
                "number": mask_number(call.phone_number),
                "verdict": reply.verdict,
                "detail": reply.detail,
                "settled": settled,
            },
        )
