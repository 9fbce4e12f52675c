"""The connections to Redis and to both services: replies lost or late, connections cut or refused."""

from __future__ import annotations

from random import Random
from typing import Final, Literal

import anyio

from bench.chaos.environment import Environment
from bench.chaos.proxy import Proxy

DURATION_S: Final = (1.0, 3.0)
REPLY_DELAY_S: Final = (1.0, 3.0)
Link = Literal["redis_link", "backend_link", "api_link"]


async def lose_replies(environment: Environment, random: Random, link: Link, share: float) -> str:
    """Requests arrive and are carried out; a share of the replies is lost and their connections are cut."""
    proxy: Proxy = getattr(environment, link)
    before, seconds = proxy.replies_lost, random.uniform(*DURATION_S)
    proxy.lose_replies(share)
    await anyio.sleep(seconds)
    await proxy.forward()
    return f"{proxy.replies_lost - before} in {seconds:.1f} s"


async def slow(environment: Environment, random: Random, link: Link) -> str:
    """Every reply is one to three seconds late."""
    proxy: Proxy = getattr(environment, link)
    seconds = random.uniform(2.0, 4.0)
    proxy.delay_replies(*REPLY_DELAY_S)
    await anyio.sleep(seconds)
    await proxy.forward()
    return f"for {seconds:.1f} s"


async def cut(environment: Environment, random: Random, link: Link) -> str:
    """All connections are broken a few times."""
    proxy: Proxy = getattr(environment, link)
    times = random.randint(1, 4)
    for _ in range(times):
        proxy.cut()
        await anyio.sleep(random.uniform(0.1, 0.6))
    return f"{times} times"


async def refuse(environment: Environment, random: Random, link: Link) -> str:
    """Connections are refused."""
    proxy: Proxy = getattr(environment, link)
    seconds = random.uniform(*DURATION_S)
    await proxy.refuse()
    await anyio.sleep(seconds)
    await proxy.forward()
    return f"for {seconds:.1f} s"
