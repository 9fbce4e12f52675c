"""streaq: streams of Redis, results not kept."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from streaq import Worker

from bench.peers.apps.said import COUNTS, events

URL = os.environ["REDIS_URL"]
worker = Worker(
    redis_url=URL,
    concurrency=int(os.environ.get("CONCURRENCY", "64")),
    anyio_kwargs={"use_uvloop": os.environ.get("UV", "1") == "1"},
)


@worker.task(ttl=0)
async def call_event(event: dict[str, Any]) -> None:
    await worker.redis.hincrby(COUNTS, event["type"], 1)


async def main() -> None:
    async with worker:
        said = events(int(sys.argv[1]))
        for first in range(0, len(said), 500):
            await worker.enqueue_many([call_event.enqueue(each) for each in said[first : first + 500]])


if __name__ == "__main__":
    asyncio.run(main())
