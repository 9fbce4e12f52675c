"""What each step of a call asks of Redis and over HTTP: counts, which a busy machine does not change."""

from __future__ import annotations

import pytest

from bench.counts.counting_proxy import CountingProxy, calls_in
from bench.counts.limits import complaints
from bench.counts.measures import count_all
from streamdialer.broker.connection import close, connect
from streamdialer.simulation.embedded_redis import EmbeddedServer


async def test_the_proxy_counts_a_pipeline_as_one_round_trip_and_no_script_that_redis_does_not_have() -> None:
    with EmbeddedServer() as server:
        async with CountingProxy(server.url) as proxy:
            client = connect(proxy.url)
            sha = await client.script_load("return ARGV[1]")
            proxy.reset()
            pipe = client.pipeline(transaction=False)
            pipe.set("name", "x" * 1_000_000)
            pipe.get("name")
            pipe.evalsha(sha, 1, "key", "value")
            pipe.evalsha("0" * 40, 1, "key", "value")
            await pipe.execute(raise_on_error=False)
            asked = proxy.asked
            await close(client)
    assert (asked.round_trips, asked.ledger_calls, asked.other_commands) == (1, 1, 2)
    assert asked.ledger_bytes == len("EVALSHA") + 40 + len("1keyvalue")


def test_calls_that_are_joined_in_one_run_count_each() -> None:
    assert calls_in([b"EVALSHA", b"sha", b"1", b"key", b"a", b"b", b"c", b"[2,1]"]) == 2
    assert calls_in([b"EVALSHA", b"sha", b"1", b"key", b"a", b"b", b"c"]) == 1
    assert calls_in([b"EVALSHA", b"sha", b"1", b"key", b"[7]"]) == 1


@pytest.mark.long
async def test_no_step_of_a_call_asks_more_than_its_limit() -> None:
    said = complaints(await count_all())
    assert not said, "\n".join(said)
