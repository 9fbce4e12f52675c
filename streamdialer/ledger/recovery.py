"""Typed stubs of the scripts that rebuild campaigns after a data loss in Redis.

The scripts that would place calls detect a loss (`lua/lib/data_loss.lua`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from redis.asyncio import Redis

from streamdialer.broker.keys import Keys
from streamdialer.broker.scripts import Argument, Script, Scripts
from streamdialer.errors import CannotBeDone
from streamdialer.ledger.types import Limits, LoadRow
from streamdialer.rules.caps import NO_CAPS, Caps
from streamdialer.rules.retry import RetryPlan

_PACKAGE: Final = "streamdialer.ledger"
MARK_SERVER_TRUSTED, DROP_RELOADABLE, HOLD_IN_FLIGHT, MARK_REBUILT = (
    Script(_PACKAGE, name)
    for name in ("mark_server_trusted", "drop_reloadable", "hold_in_flight", "mark_rebuilt")
)
DROP_BATCH: Final = 500
HOLD_PART: Final = 50
"""Contacts held at once: Redis does nothing else meanwhile."""


class InFlightRow(msgspec.Struct, frozen=True):
    """A contact the backend shows as dialing or answered."""

    row: LoadRow
    is_answered: bool
    last_attempt_ms: int | None
    """Server's ms; None when the backend does not say."""


class DataLossState(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about data losses, ledger ms."""

    lost: int | None = None
    """When the last loss was noticed."""
    hold_until: int = 0
    """Until when no call is placed."""
    rebuild_epoch: str = ""
    """The rebuild epoch a campaign must have to be dialed; '' when no rebuild is needed."""
    loss_count: int = 0


async def mark_server_trusted(client: Redis, keys: Keys) -> None:
    """Declares that no call is up that the ledger does not know. For a caller that has just created the server.

    Raises CannotBeDone when the server does not say who it is.
    """
    if await client.eval(MARK_SERVER_TRUSTED.source, 1, keys.server) != "ok":
        raise CannotBeDone("Redis does not answer INFO: let the user of REDIS_URL run it")


class DataLossRecovery:
    """Rebuilds campaigns when Redis may have lost data."""

    def __init__(self, scripts: Scripts, keys: Keys, limits: Limits, rebuild_lease_ms: int) -> None:
        """While a process rebuilds a campaign, others wait until it has done nothing for `rebuild_lease_ms`."""
        self._scripts = scripts
        self._keys = keys
        self._limits = limits
        self._rebuild_lease_ms = rebuild_lease_ms

    async def state(self) -> DataLossState:
        fields = await self._scripts.client.hgetall(self._keys.server)
        return msgspec.convert(fields, DataLossState, strict=False)

    async def drop_reloadable(self, campaign: str, rebuilder: str = "") -> bool:
        """Forgets ready, previewing, reserved and deferred contacts that the backend lists again.

        False when the campaign has been rebuilt, or a process with another token `rebuilder` rebuilds it.
        """
        names = [*self._keys.of_campaign(campaign), self._keys.contacts_by_number]
        for state in ("ready", "previewing", "reserved", "deferred"):
            stayed_before, examined = 0, DROP_BATCH
            while examined == DROP_BATCH:
                examined, stayed = await self._scripts.run(
                    DROP_RELOADABLE,
                    names,
                    [campaign, state, stayed_before, DROP_BATCH, rebuilder, self._rebuild_lease_ms],
                )
                if examined < 0:
                    return False
                stayed_before += stayed
        return True

    async def hold_in_flight(
        self,
        campaign: str,
        rows: Sequence[InFlightRow],
        retry: RetryPlan,
        caps: Caps = NO_CAPS,
        rebuilder: str = "",
        ring_timeout_s: float | None = None,
    ) -> int | None:
        """Holds contacts whose call the ledger has lost as orphaned; how many were not held before.

        `ring_timeout_s` is the campaign's; None: the setting's.
        None when the campaign has been rebuilt, or a process with another token `rebuilder` rebuilds it.
        """
        keys = self._keys
        names = [*keys.of_contacts(campaign), *keys.of_call_history, keys.refused(campaign), keys.outcomes]
        terms: list[Argument] = [
            campaign,
            retry.encoded(),
            caps.encoded(),
            self._limits.deadline_after(ring_timeout_s),
            self._limits.max_call_duration_ms,
            rebuilder,
            self._rebuild_lease_ms,
            self._limits.outcomes_maxlen,
        ]
        total = 0
        for first in range(
            0, len(rows) or 1, HOLD_PART
        ):  # without rows, too: it keeps the others from rebuilding
            args: list[Argument] = []
            for in_flight in rows[first : first + HOLD_PART]:
                args += [
                    in_flight.row.contact,
                    in_flight.row.priority,
                    in_flight.row.attempts,
                    in_flight.row.call,
                    "1" if in_flight.is_answered else "0",
                    "" if in_flight.last_attempt_ms is None else in_flight.last_attempt_ms,
                ]
            held = int(await self._scripts.run(HOLD_IN_FLIGHT, names, terms + args))
            if held < 0:
                return None
            total += held
        return total

    async def mark_rebuilt(self, campaign: str, epoch: str, rebuilder: str = "") -> bool:
        """Lets the campaign be dialed again; False when data was lost once more meanwhile.

        Without an epoch the campaign is not rebuilt, and another process may begin.
        """
        answer = await self._scripts.run(
            MARK_REBUILT,
            [*self._keys.of_campaign(campaign), self._keys.contacts_by_number],
            [campaign, epoch, rebuilder],
        )
        return str(answer) == "ok"
