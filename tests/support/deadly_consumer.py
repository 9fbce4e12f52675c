"""A consumer as a process of its own, which some entries kill: `python -m tests.support.deadly_consumer URL N…`.

It writes the number of each entry that it has handled on a line, and ends when the stream is empty.
"""

from __future__ import annotations

import os
import signal
import sys

import anyio

from streamdialer.broker.concurrency import ConcurrencyLimit
from streamdialer.broker.connection import close, connect
from streamdialer.broker.consumer import StreamConsumer
from streamdialer.broker.consumer_group import ConsumerGroup
from streamdialer.broker.entries import Entry
from streamdialer.broker.keys import Keys
from streamdialer.broker.scripts import Scripts
from streamdialer.broker.shutdown import ShutdownSignal
from tests.support.eventually import eventually


async def main(url: str, deadly: list[str]) -> None:
    reader, client = connect(url), connect(url)
    shutdown = ShutdownSignal()

    async def handle(entry: Entry) -> None:
        await anyio.sleep(0.001)
        if entry.fields["n"] in deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        os.write(1, f"{entry.fields['n']}\n".encode())

    async with Scripts(client) as scripts:
        group = ConsumerGroup(
            reader=reader,
            scripts=scripts,
            keys=Keys(),
            stage="events",
            consumer="one",
            dead_letters_maxlen=100,
            dead_letters_max_bytes=1_000_000,
        )
        consumer = StreamConsumer(
            group,
            handle,
            ConcurrencyLimit(64),
            shutdown,
            read_block_s=0.05,
            claim_min_idle_s=0.3,
            max_deliveries=3,
            idle_consumer_ttl_s=600,
        )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(consumer.serve, 1.0)

            async def is_empty() -> bool:
                return await client.xlen(group.stream) == 0

            await eventually(is_empty)
            shutdown.stop()
    await close(client)
    await close(reader)


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2:])
