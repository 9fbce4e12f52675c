"""The wires to Redis and to both services: replies lost, replies late, connections cut, nobody listening."""

from __future__ import annotations

from random import Random
from typing import Final

import anyio

from bench.chaos.environment import Environment
from bench.chaos.proxy import Proxy

STRETCH_S: Final = (1.0, 3.0)
SLOW_S: Final = (1.0, 3.0)


async def replies_lost(proxy: Proxy, share: float, random: Random) -> str:
    """Requests arrive and are carried out; a share of the replies is swallowed and their connections are cut."""
    before, seconds = proxy.replies_lost, random.uniform(*STRETCH_S)
    proxy.lose_replies(share)
    await anyio.sleep(seconds)
    await proxy.forward()
    return f"{proxy.replies_lost - before} in {seconds:.1f} s"


async def slow(proxy: Proxy, random: Random) -> str:
    """Every reply one to three seconds late."""
    seconds = random.uniform(2.0, 4.0)
    proxy.delay_replies(*SLOW_S)
    await anyio.sleep(seconds)
    await proxy.forward()
    return f"for {seconds:.1f} s"


async def cut(proxy: Proxy, random: Random) -> str:
    """All connections broken, a few times in a row."""
    times = random.randint(1, 4)
    for _ in range(times):
        proxy.cut()
        await anyio.sleep(random.uniform(0.1, 0.6))
    return f"{times} times"


async def refused(proxy: Proxy, random: Random) -> str:
    """Nobody listens."""
    seconds = random.uniform(*STRETCH_S)
    await proxy.refuse()
    await anyio.sleep(seconds)
    await proxy.forward()
    return f"for {seconds:.1f} s"


async def redis_replies_lost(scene: Environment, random: Random) -> str:
    """A third of what Redis answers: enough gets through that everything is tried again and again."""
    return await replies_lost(scene.redis_link, 0.3, random)


async def redis_cut(scene: Environment, random: Random) -> str:
    return await cut(scene.redis_link, random)


async def backend_replies_lost(scene: Environment, random: Random) -> str:
    return await replies_lost(scene.backend_link, 0.7, random)


async def backend_slow(scene: Environment, random: Random) -> str:
    return await slow(scene.backend_link, random)


async def backend_refused(scene: Environment, random: Random) -> str:
    return await refused(scene.backend_link, random)


async def api_replies_lost(scene: Environment, random: Random) -> str:
    return await replies_lost(scene.api_link, 1.0, random)


async def api_slow(scene: Environment, random: Random) -> str:
    return await slow(scene.api_link, random)


async def api_cut(scene: Environment, random: Random) -> str:
    return await cut(scene.api_link, random)


async def api_refused(scene: Environment, random: Random) -> str:
    return await refused(scene.api_link, random)
