"""dramatiq: acknowledged after the work, no results, only the middleware that work needs."""

from __future__ import annotations

import os
import sys
from typing import Any

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker

from bench.peers.apps.said import COUNTS, events

URL = os.environ["REDIS_URL"]
broker = RedisBroker(url=URL, middleware=[])
dramatiq.set_broker(broker)
client = redis.Redis.from_url(URL)


@dramatiq.actor(actor_name="call_event")
def call_event(event: dict[str, Any]) -> None:
    client.hincrby(COUNTS, event["type"], 1)


if __name__ == "__main__":
    for event in events(int(sys.argv[1])):
        call_event.send(event)
