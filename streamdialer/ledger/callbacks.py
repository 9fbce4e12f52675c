"""Typed stub of the script that notes callbacks."""

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
    """Which contacts asked to be called, and when."""

    def __init__(self, scripts: Scripts, keys: Keys, grace_ms: int) -> None:
        """`grace_ms` is how long a due callback is kept for the agent who was asked for."""
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
        """The contact is to be called at `at_ms` (server's ms); of several requests the last written counts.

        `entry` is the request's id in `events`; `agent` and `phone_number` may be ''. `compared` is the number as it is
        compared. `row` is what the backend says of the contact, where the answer without it was "unknown_contact".
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
            args += [row.priority, row.attempts, row.call]
        answer: CallbackStatus = await self._scripts.run(
            SCHEDULE_CALLBACK, self._keys.of_contacts(campaign), args
        )
        return answer
