"""The calls stage places each reserved call once. It marks the attempt as sent before the request leaves."""

from __future__ import annotations

import logging
from time import monotonic
from typing import Any, Final
from uuid import uuid4

import anyio
import msgspec

from streamdialer.broker.connection import TRANSIENT
from streamdialer.broker.entries import BadEntry, Entry
from streamdialer.broker.scripts import backoff_s
from streamdialer.consumers.dialing.contact_rows import variables_of
from streamdialer.consumers.services import Services
from streamdialer.consumers.ttl_cache import TTLCache
from streamdialer.gateways.originate_reply import Reply, Verdict
from streamdialer.gateways.originate_request import OriginateRequest
from streamdialer.model import Attempt, ContactData, OnMachine, has_agents, plain_id
from streamdialer.observability import tracing
from streamdialer.observability.metrics import ORIGINATES
from streamdialer.observability.redaction import mask_number
from streamdialer.rules.area_prefix import area_prefix
from streamdialer.rules.numbers import read_number

log = logging.getLogger(__name__)

QUEUE_MAX_AGE_S: Final = 5.0
SETTLE_WITHIN_S: Final = 5.0
"""How long a process that stops waits for Redis to take a reply."""
SEND_WITHIN_S: Final = 5.0
"""A process that was suspended for longer after it marked the attempt must not send it: the attempt's deadline may have
passed, and another process may be calling the contact."""


class Call(ContactData, frozen=True, kw_only=True):
    """A contact and the call that was reserved for it."""

    agent: str = ""
    """The agent the call is for; '' is any agent."""
    trunk: str = ""
    caller_ids: str = ""
    """How one of the campaign's pool is chosen: `rotate`, `area_code`; '' when it has none."""
    ring_timeout_s: float | None = None
    """The campaign's; None: the setting's."""
    on_machine: OnMachine | None = None


def read_call(entry: Entry) -> tuple[Attempt, Call, str]:
    """The attempt, its call, and the time (ms, '' = none) after which it may not be placed; raises BadEntry."""
    fields = entry.fields
    try:
        attempt = Attempt(fields["attempt"], fields["campaign"], fields["contact"], fields["token"])
        call = msgspec.json.decode(fields["call"], type=Call)
        overrides: dict[str, Any] = {  # the contact may have several numbers, and a callback its own
            "phone_number": fields.get("phone_number") or call.phone_number,
            **{name: fields.get(name, "") for name in ("agent", "trunk")},
            "caller_id": call.caller_id or fields.get("caller_id", ""),
            "caller_ids": "" if call.caller_id else fields.get("caller_ids", ""),
            "ring_timeout_s": int(fields["ring_ms"]) / 1000 if "ring_ms" in fields else None,
            "on_machine": msgspec.convert(fields.get("on_machine"), OnMachine | None),
        }
        return attempt, msgspec.structs.replace(call, **overrides), fields["until"]
    except (KeyError, ValueError, msgspec.MsgspecError) as error:
        raise BadEntry(
            "unreadable_call", f"not an entry of the claim: {type(error).__name__} {error}"
        ) from error


def _attributes(attempt: Attempt) -> dict[str, str]:
    """The attributes of a call's trace."""
    return {"attempt": attempt.id, "campaign": attempt.campaign, "contact": attempt.contact}


class CallsStage:
    """Handles entries of `calls`."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._queues: TTLCache[str] = TTLCache(QUEUE_MAX_AGE_S)

    async def handle(self, entry: Entry) -> None:
        attempt, call, until = read_call(entry)
        with tracing.entry_span("call", entry.fields, **_attributes(attempt)):
            await self._read_queue(attempt.campaign)
            await self._place(attempt, call, until)

    async def _read_queue(self, campaign: str) -> None:
        """Learns the campaign's queue where the request must name it: where Asterisk places the calls."""
        is_needed = self._services.dialer_api is None
        if is_needed and self._queues.get(campaign, QUEUE_MAX_AGE_S) is None:
            self._queues.put(campaign, await self._services.queues.queue_of(campaign))

    async def _place(self, attempt: Attempt, call: Call, until: str) -> None:
        started_s = monotonic()
        caller_ids = await self._first_caller_ids(attempt, call)
        marked = await self._services.campaigns.mark_sent(attempt, uuid4().hex, until, caller_ids)
        status = marked.status
        if status not in ("ok", "again"):
            level = logging.WARNING if status == "sent" else logging.INFO
            log.log(level, "call is not placed", extra={"attempt": attempt.id, "reason": status})
            tracing.set_attributes(reason=status)
            return
        is_again = status == "again"
        if marked.caller_id:
            call = msgspec.structs.replace(call, caller_id=marked.caller_id)
        if monotonic() - started_s > SEND_WITHIN_S:
            verdict: Verdict = "unknown" if is_again else "not_placed"
            reply = Reply(verdict=verdict, detail="this process was suspended before it could send the call")
            await self._settle(attempt, call, reply)
            return
        log.info("sent", extra={"attempt": attempt.id, "number": mask_number(call.phone_number)})
        try:
            reply = await self._originate(attempt, call, may_be_up=is_again)
        except anyio.get_cancelled_exc_class():
            log.warning(
                "stopped while a request was open: events decide what became of the call",
                extra={"attempt": attempt.id},
            )
            raise
        try:
            await self._settle(attempt, call, reply)  # however long Redis is away
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True), anyio.move_on_after(SETTLE_WITHIN_S):
                await self._settle(attempt, call, reply)
            raise

    async def _first_caller_ids(self, attempt: Attempt, call: Call) -> str:
        """Which of the campaign's caller ids come first, as `mark_sent` takes it."""
        if call.caller_ids != "area_code":
            return "*" if call.caller_ids else ""
        country = await self._services.country_of(attempt.campaign)
        return area_prefix(str(read_number(call.phone_number, country))) or "*"

    async def _originate(self, attempt: Attempt, call: Call, *, may_be_up: bool) -> Reply:
        """Sends the request; repeats it while its outcome is unknown, if the API honours the idempotency key.

        `may_be_up`: an earlier request with this key may have placed the call. Then, as after any unknown reply, only
        "placed" counts: a later refusal says nothing about the earlier request.
        """
        settings, services = self._services.settings, self._services
        ring_timeout_s = call.ring_timeout_s or settings.ring_timeout_s
        variables = call.variables or variables_of(call.custom_data)
        agent = {"AGENT_ID": plain_id(call.agent)} if call.agent else {}
        queue = self._queues.get(attempt.campaign) or ""
        request = OriginateRequest(
            attempt_id=attempt.id,
            campaign=attempt.campaign,
            contact=attempt.contact,
            contact_wire_id=call.id,
            phone_number=call.phone_number,
            campaign_wire_id=call.campaign_id,
            variables=variables | agent,
            trunk=call.trunk,
            caller_id=call.caller_id,
            ring_timeout_s=ring_timeout_s,
            on_machine=call.on_machine,
            queue=queue if has_agents(queue) else "",
            is_agentless=not has_agents(queue),
        )
        give_up_at = monotonic() + ring_timeout_s
        failures = 0
        while True:
            reply = await services.originator.originate(request)
            may_be_up = may_be_up or reply.verdict == "unknown"
            if reply.verdict == "placed" or not may_be_up:
                return reply
            if not settings.may_repeat_originate or monotonic() >= give_up_at:
                return msgspec.structs.replace(reply, verdict="unknown")
            await anyio.sleep(backoff_s(failures))
            failures += 1
            if not (await self._may_repeat(attempt, call) and await self._is_marked_again(attempt)):
                return msgspec.structs.replace(reply, verdict="unknown")

    async def _may_repeat(self, attempt: Attempt, call: Call) -> bool:
        """False when a number of the contact got on the do-not-call list, or when Redis cannot say."""
        suppression = self._services.suppression
        try:
            country = await self._services.country_of(attempt.campaign)
            called = str(read_number(call.phone_number, country))  # a callback's number may be another
            return not await suppression.on_dnc_list([*call.n, called])
        except TRANSIENT:
            return False

    async def _is_marked_again(self, attempt: Attempt) -> bool:
        """Marks the attempt once more; False when an event of it has come, it has ended, or its deadline has passed."""
        asked_s = monotonic()
        marked = await self._services.campaigns.mark_sent(attempt, uuid4().hex, "")
        return marked.status == "again" and monotonic() - asked_s <= SEND_WITHIN_S

    async def _settle(self, attempt: Attempt, call: Call, reply: Reply) -> None:
        settled = await self._services.campaigns.settle_originate(
            attempt,
            verdict=reply.verdict,
            call_id=reply.call_id,
            hold=reply.hold,
            retry_after_s=reply.retry_after_s,
            service=self._services.originator.service,
            detail=reply.detail,
        )
        ORIGINATES.labels(reply.verdict).inc()
        tracing.set_attributes(verdict=reply.verdict)
        level = logging.DEBUG if reply.verdict == "placed" else logging.WARNING
        log.log(
            logging.ERROR if reply.hold == "credentials" else level,
            "originate",
            extra={
                "attempt": attempt.id,
                "number": mask_number(call.phone_number),
                "verdict": reply.verdict,
                "detail": reply.detail,
                "settled": settled,
            },
        )
