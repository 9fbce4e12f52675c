"""taskiq with Redis streams, no results."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from redis.asyncio import Redis
from taskiq_redis import RedisStreamBroker

from bench.peers.apps.said import COUNTS, events

URL = os.environ["REDIS_URL"]
broker = RedisStreamBroker(
    URL,
    xread_count=int(os.environ.get("PREFETCH", "100")),
    socket_timeout=60,  # a read may have waited while the worker was stopped
)
client = Redis.from_url(URL)


@broker.task(task_name="call_event")
async def call_event(event: dict[str, Any]) -> None:
    await client.hincrby(COUNTS, event["type"], 1)


async def main() -> None:
    await broker.startup()
    for event in events(int(sys.argv[1])):
        await call_event.kiq(event)
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(main())
