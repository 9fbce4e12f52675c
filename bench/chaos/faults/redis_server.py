"""Redis killed, stalled, or made to lose data."""

from __future__ import annotations

import math
import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any, Final

import anyio
from anyio.to_thread import run_sync
from redis.exceptions import RedisError

from bench.chaos.environment import Environment
from streamdialer.ledger.records import decode_contact
from streamdialer.model import wire_id

DOWN_S: Final = (0.1, 2.0)
LOST_S: Final = 1.0
"""An appendonly file with `appendfsync everysec` may lack this much after a power failure."""


async def kill(environment: Environment, random: Random) -> str:
    """SIGKILL and restart with the appendonly file: no write is lost, because the machine did not fail."""
    down_s = random.uniform(*DOWN_S)
    await run_sync(environment.server.kill)
    await anyio.sleep(down_s)
    await environment.restart_redis()
    return f"down for {down_s:.1f} s"


async def lose_a_second(environment: Environment, random: Random) -> str:
    """Power failure: the appendonly file lacks the writes of the last second."""
    log = _log_file(environment)
    size = log.stat().st_size
    await anyio.sleep(LOST_S)
    await run_sync(environment.server.kill)
    lost = 0
    if log == _log_file(environment):  # otherwise it was rewritten meanwhile, and the new file is complete
        lost = log.stat().st_size - size
        os.truncate(log, size)
    await anyio.sleep(random.uniform(*DOWN_S))
    await environment.restart_redis()
    return f"{lost} bytes of its log lost"


async def lose_everything(environment: Environment, random: Random) -> str:
    """Restart with all data lost."""
    await run_sync(environment.server.kill)
    shutil.rmtree(environment.server.directory / "appendonlydir")
    environment.remembered_attempts.clear()  # the counters have gone, too
    await anyio.sleep(random.uniform(*DOWN_S))
    await environment.restart_redis()
    await anyio.sleep(random.uniform(0, 1))
    await environment.start_campaigns()
    return "restarted empty"


async def flush(environment: Environment, random: Random) -> str:
    """FLUSHALL, as by mistake."""
    await environment.retry(environment.client.flushall)
    environment.remembered_attempts.clear()
    await anyio.sleep(random.uniform(0, 1))
    await environment.start_campaigns()
    return "flushed"


async def end_final_ttl(environment: Environment, random: Random) -> str:  # noqa: ARG001
    """The records of finished contacts whose end the backend refused have been kept for long enough, and go.

    In the run no record's time is over: the ledger has to be complete for the audit.
    """
    client, keys, gone = environment.client, environment.centre.keys, 0
    refused = environment.centre.backend.newest_update_refused
    with suppress(RedisError, OSError):
        for campaign in map(str, environment.centre.world.campaigns):
            final: Any = await client.zrange(keys.final(campaign), 0, -1, withscores=True)
            for contact, until in final:
                raw: Any = await client.hget(keys.records(campaign), contact)
                if wire_id(contact) not in refused or raw is None or until == math.inf:
                    continue
                if await client.zadd(keys.final(campaign), {contact: 1}, xx=True, ch=True):
                    environment.remember(campaign, decode_contact(raw).history)
                    gone += 1
    return f"{gone} records"


async def stall(environment: Environment, random: Random) -> str:
    """SIGSTOP: connections stay open without replies."""
    stalled_s = random.uniform(1.0, 7.0)  # shorter or longer than a client waits for a reply
    os.kill(environment.server.pid, signal.SIGSTOP)
    try:
        await anyio.sleep(stalled_s)
    finally:
        os.kill(environment.server.pid, signal.SIGCONT)
    return f"for {stalled_s:.1f} s"


def _log_file(environment: Environment) -> Path:
    """The file that is being written."""
    logs = (environment.server.directory / "appendonlydir").glob("*.incr.aof")
    return max(logs, key=lambda log: int(log.name.split(".")[2]))
