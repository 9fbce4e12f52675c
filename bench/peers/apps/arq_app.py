"""arq: results not kept."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import uvloop
from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import func

from bench.peers.apps.said import COUNTS, events

if os.environ.get("UV", "1") == "1":
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
SETTINGS = RedisSettings.from_dsn(os.environ["REDIS_URL"])


async def call_event(ctx: dict[str, Any], event: dict[str, Any]) -> None:
    await ctx["redis"].hincrby(COUNTS, event["type"], 1)


class WorkerSettings:
    functions = (func(call_event, keep_result=0),)
    redis_settings = SETTINGS
    max_jobs = int(os.environ.get("CONCURRENCY", "64"))
    poll_delay = 0.01
    health_check_interval = 3600


async def main() -> None:
    pool = await create_pool(SETTINGS)
    for event in events(int(sys.argv[1])):
        await pool.enqueue_job("call_event", event)
    await pool.aclose()


if __name__ == "__main__":
    asyncio.run(main())
