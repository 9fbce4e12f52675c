"""Typed stub of the script that schedules callbacks."""

from __future__ import annotations

from typing import Literal

from streamdialer.broker.keys import Keys
from streamdialer.broker.scripts import Argument, Script, Scripts
from streamdialer.ledger.types import LoadRow

SCHEDULE_CALLBACK = Script("streamdialer.ledger", "schedule_callback")
CallbackStatus = Literal[
    "applied", "unchanged", "past", "distant", "final", "unknown_campaign", "unknown_contact"
]


class CallbackLedger:
    """Schedules callbacks."""

    def __init__(self, scripts: Scripts, keys: Keys, grace_ms: int) -> None:
        """A due callback is for the requested agent alone during `grace_ms`."""
        self._scripts = scripts
        self._keys = keys
        self._grace_ms = grace_ms

    async def schedule(
        self,
        campaign: str,
        contact: str,
        at_ms: int,
        *,
        entry: str,
        agent: str = "",
        phone_number: str = "",
        compared: str = "",
        row: LoadRow | None = None,
    ) -> CallbackStatus:
        """Schedules a call to the contact at `at_ms` (server's ms). The request written last counts.

        `entry` is the request's id in `events`. `compared` is `phone_number` in the form in which numbers are compared.
        Pass `row`, the contact as the backend shows it, after the answer "unknown_contact".
        """
        args: list[Argument] = [
            campaign,
            contact,
            at_ms,
            agent,
            phone_number,
            entry,
            self._grace_ms,
            compared,
        ]
        if row is not None:
            args += [row.priority, row.attempts, row.call, row.shown_status]
        answer: CallbackStatus = await self._scripts.run(
            SCHEDULE_CALLBACK, self._keys.of_contacts(campaign), args
        )
        return answer
