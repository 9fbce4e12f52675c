"""Celery: acknowledged after the work, no results, no events of the worker, the client's C parser."""

from __future__ import annotations

import os
import sys
from typing import Any

import redis
from celery import Celery

from bench.peers.apps.said import COUNTS, events

URL = os.environ["REDIS_URL"]
app = Celery("celery_app", broker=URL.replace("unix://", "redis+socket://"))
app.conf.update(
    task_ignore_result=True,
    task_store_errors_even_if_ignored=False,
    task_acks_late=True,
    task_serializer="json",
    accept_content=["json"],
    worker_send_task_events=False,
    worker_disable_rate_limits=True,
    worker_prefetch_multiplier=int(os.environ.get("PREFETCH", "64")),
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
)
client = redis.Redis.from_url(URL)


@app.task(name="call_event")
def call_event(event: dict[str, Any]) -> None:
    client.hincrby(COUNTS, event["type"], 1)


if __name__ == "__main__":
    with app.producer_pool.acquire(block=True) as producer:
        for event in events(int(sys.argv[1])):
            call_event.apply_async((event,), producer=producer)
