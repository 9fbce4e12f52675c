"""Redis killed, stalled, and robbed of what it knew."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from random import Random
from typing import Final

import anyio
from anyio.to_thread import run_sync

from bench.chaos.environment import Environment

AWAY_S: Final = (0.1, 2.0)
LOST_S: Final = 1.0
"""How much an appendonly file with `appendfsync everysec` may lack after a power failure."""


async def killed(scene: Environment, random: Random) -> str:
    """SIGKILL and restart with the appendonly file: what was written is there, for the machine has not failed."""
    away_s = random.uniform(*AWAY_S)
    await run_sync(scene.server.kill)
    await anyio.sleep(away_s)
    await scene.restart_redis()
    return f"away for {away_s:.1f} s"


async def loses_a_second(scene: Environment, random: Random) -> str:
    """The machine fails: the appendonly file lacks what was written in the last second."""
    log = _log_file(scene)
    kept = log.stat().st_size
    await anyio.sleep(LOST_S)
    await run_sync(scene.server.kill)
    lost = 0
    if log == _log_file(scene):  # otherwise it was rewritten meanwhile, and the new one is complete
        lost = log.stat().st_size - kept
        os.truncate(log, kept)
    await anyio.sleep(random.uniform(*AWAY_S))
    await scene.restart_redis()
    return f"{lost} bytes of its log lost"


async def loses_everything(scene: Environment, random: Random) -> str:
    """Restart without persistence."""
    await run_sync(scene.server.kill)
    shutil.rmtree(scene.server.directory / "appendonlydir")
    await anyio.sleep(random.uniform(*AWAY_S))
    await scene.restart_redis()
    await anyio.sleep(random.uniform(0, 1))
    await scene.start_campaigns()
    return "came back empty"


async def flushed(scene: Environment, random: Random) -> str:
    """FLUSHALL by a careless hand."""
    await scene.insist(scene.client.flushall)
    await anyio.sleep(random.uniform(0, 1))
    await scene.start_campaigns()
    return "emptied"


async def stalled(scene: Environment, random: Random) -> str:
    """SIGSTOP: connections stay open and nothing answers."""
    stalled_s = random.uniform(1.0, 7.0)  # longer than a client waits for a reply, or shorter
    os.kill(scene.server.pid, signal.SIGSTOP)
    try:
        await anyio.sleep(stalled_s)
    finally:
        os.kill(scene.server.pid, signal.SIGCONT)
    return f"for {stalled_s:.1f} s"


def _log_file(scene: Environment) -> Path:
    """The one that is being written."""
    logs = (scene.server.directory / "appendonlydir").glob("*.incr.aof")
    return max(logs, key=lambda log: int(log.name.split(".")[2]))
