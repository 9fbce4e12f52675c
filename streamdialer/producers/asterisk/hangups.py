"""Takes calls back: those that ring and are not wanted any more are hung up, at the ledger's request."""

from __future__ import annotations

import logging
from typing import Final

import anyio
from redis.exceptions import RedisError

from streamdialer.broker.connection import TRANSIENT
from streamdialer.broker.hangups import KEPT_MS, HangupRequests
from streamdialer.broker.scripts import backoff_s
from streamdialer.errors import RefusedByServer, Unreachable
from streamdialer.gateways.ami.client import AmiClient
from streamdialer.producers.asterisk.calls import Calls

log = logging.getLogger(__name__)
LOOK_EVERY_MS: Final = 100
NORMAL_CLEARING: Final = "16"
MAX_WANTED: Final = 10_000


class Hangups:
    """An answered call is never hung up. A call that Asterisk does not have yet is hung up when it rings."""

    def __init__(self, client: AmiClient, requests: HangupRequests, calls: Calls) -> None:
        self._client = client
        self._requests = requests
        self._calls = calls
        self._wanted: dict[str, float] = {}
        """Attempt -> until when its call is looked for."""

    async def serve(self) -> None:
        """Reads and obeys requests until it is cancelled."""
        failures = 0
        while True:
            try:
                attempts = await self._requests.read(LOOK_EVERY_MS if self._wanted else 1000)
                failures = 0
            except (RedisError, *TRANSIENT) as error:
                if not failures:
                    log.error(
                        "Redis does not say which calls to hang up, waiting for it",
                        extra={"error": str(error)},
                    )
                await anyio.sleep(backoff_s(failures))
                failures += 1
                continue
            until_s = anyio.current_time() + KEPT_MS / 1000
            self._wanted |= dict.fromkeys(attempts[: MAX_WANTED - len(self._wanted)], until_s)
            await self._hang_up()

    async def _hang_up(self) -> None:
        now_s = anyio.current_time()
        for attempt, until_s in list(self._wanted.items()):
            call = self._calls.named(attempt)
            if now_s > until_s or (call and (call.is_over or call.up_at is not None)):
                del self._wanted[attempt]
            elif call and call.has_channel and self._client.is_up:
                await self._end(attempt, call.uniqueid)

    async def _end(self, attempt: str, uniqueid: str) -> None:
        try:
            await self._client.action("Hangup", {"Channel": uniqueid, "Cause": NORMAL_CLEARING})
        except RefusedByServer as error:  # it has ended meanwhile, or we may not
            if "no such channel" not in str(error).lower():
                log.error(
                    "Asterisk does not hang up a call: check write= of the AMI user in manager.conf (call)",
                    extra={"attempt": attempt, "error": str(error)},
                )
        except Unreachable as error:
            log.warning(
                "a call could not be taken back, trying again",
                extra={"attempt": attempt, "error": str(error)},
            )
            return
        else:
            log.info("a ringing call was taken back", extra={"attempt": attempt})
        self._wanted.pop(attempt, None)
