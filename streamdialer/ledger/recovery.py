"""Typed stubs of what follows a loss of memory: whoever was called without Redis knowing is found, or waited for.

A loss is noticed inside the scripts that would place calls (`lua/lib/data_loss.lua`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from redis.asyncio import Redis

from streamdialer.broker.keys import Keys
from streamdialer.broker.scripts import Argument, Script, Scripts
from streamdialer.errors import CannotBeDone
from streamdialer.ledger.types import LoadRow
from streamdialer.rules.caps import NO_CAPS, Caps
from streamdialer.rules.retry import RetryPlan

_PACKAGE: Final = "streamdialer.ledger"
MARK_SERVER_TRUSTED, DROP_RELOADABLE, HOLD_IN_FLIGHT, MARK_REBUILT = (
    Script(_PACKAGE, name)
    for name in ("mark_server_trusted", "drop_reloadable", "hold_in_flight", "mark_rebuilt")
)
DROP_BATCH: Final = 500


class InFlightRow(msgspec.Struct, frozen=True):
    """A contact the backend shows as dialing or answered."""

    row: LoadRow
    is_answered: bool
    last_attempt_ms: int | None
    """By the server's clock; None when the backend does not say."""


class DataLossState(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the server's memory, ledger ms."""

    lost: int | None = None
    """When the last loss was noticed."""
    hold_until: int = 0
    """Until when nothing is dialed."""
    rebuild_epoch: str = ""
    """The mark campaigns must carry to be dialed; '' when none is asked for."""
    loss_count: int = 0


async def mark_server_trusted(client: Redis, keys: Keys) -> None:
    """Says that nothing is up that the ledger does not know, as whoever has just made server and world knows.

    Raises CannotBeDone when the server does not say who it is.
    """
    if await client.eval(MARK_SERVER_TRUSTED.source, 1, keys.server) != "ok":
        raise CannotBeDone("Redis does not answer INFO: let the user of REDIS_URL run it")


class DataLossRecovery:
    """What the ledger does when Redis may have forgotten something."""

    def __init__(self, scripts: Scripts, keys: Keys, deadline_ms: int, max_call_ms: int) -> None:
        self._scripts = scripts
        self._keys = keys
        self._deadline_ms = deadline_ms
        self._max_call_ms = max_call_ms

    async def state(self) -> DataLossState:
        found = await self._scripts.client.hgetall(self._keys.server)
        return msgspec.convert(found, DataLossState, strict=False)

    async def drop_reloadable(self, campaign: str) -> None:
        """Forgets the contacts that wait to be called, as far as the backend knows them as well."""
        names = [*self._keys.of_campaign(campaign), self._keys.contacts_by_number]
        for place in ("ready", "previewing", "reserved", "deferred"):
            passed, looked = 0, DROP_BATCH
            while looked == DROP_BATCH:
                looked, kept = await self._scripts.run(
                    DROP_RELOADABLE, names, [campaign, place, passed, DROP_BATCH]
                )
                passed += kept

    async def hold_in_flight(
        self, campaign: str, rows: Sequence[InFlightRow], retry: RetryPlan, caps: Caps = NO_CAPS
    ) -> int:
        """Holds contacts whose call the ledger has forgotten; how many it did not hold before."""
        args: list[Argument] = [
            campaign,
            retry.encoded(),
            caps.encoded(),
            self._deadline_ms,
            self._max_call_ms,
        ]
        for one in rows:
            args += [
                one.row.contact,
                one.row.priority,
                one.row.attempts,
                one.row.call,
                "1" if one.is_answered else "0",
                "" if one.last_attempt_ms is None else one.last_attempt_ms,
            ]
        names = [*self._keys.of_contacts(campaign), *self._keys.of_call_history]
        return max(0, int(await self._scripts.run(HOLD_IN_FLIGHT, names, args)))

    async def mark_rebuilt(self, campaign: str, mark: str) -> bool:
        """The campaign may be dialed again; False when memory was lost once more meanwhile."""
        answer = await self._scripts.run(
            MARK_REBUILT, [*self._keys.of_campaign(campaign), self._keys.contacts_by_number], [campaign, mark]
        )
        return str(answer) == "ok"
