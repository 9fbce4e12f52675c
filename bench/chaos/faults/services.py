"""Both services answering what they should not: errors, and errors for calls that were placed all the same."""

from __future__ import annotations

from random import Random

import anyio
from aiohttp import web

from bench.chaos.environment import Environment
from bench.chaos.faults.network import STRETCH_S
from streamdialer.simulation import drop_connection, json_reply
from streamdialer.simulation.servers.http import Responder, Service


async def backend_answers(scene: Environment, random: Random, status: int) -> str:
    """A stretch of errors; half of the requests are carried out before."""
    backend = scene.centre.backend

    async def fails(request: web.Request) -> web.StreamResponse:
        if random.random() < 0.5:
            await backend.normal(request)
        return json_reply({"detail": "something broke"}, status)

    return await _for_a_stretch(backend, fails, random)


async def api_500_placed(scene: Environment, random: Random) -> str:
    """500 to every call, each of which rings."""
    api = scene.centre.dialer_api

    async def rings_and_says_500(request: web.Request) -> web.StreamResponse:
        await api.normal(request)
        return json_reply({"detail": "unexpected AMI line"}, 500)

    return await _for_a_stretch(api, rings_and_says_500, random)


async def api_dropped_placed(scene: Environment, random: Random) -> str:
    """The connection breaks after the call was placed, at once or when it stops ringing."""
    api = scene.centre.dialer_api

    async def rings_and_says_nothing(request: web.Request) -> web.StreamResponse:
        with anyio.move_on_after(random.choice((0.05, 5))):  # the call is placed before the first wait
            await api.normal(request)
        return drop_connection(request)

    return await _for_a_stretch(api, rings_and_says_nothing, random)


async def api_refuses(scene: Environment, random: Random, status: int) -> str:
    """A refusal with Retry-After; no call is placed."""

    async def asks_to_wait(request: web.Request) -> web.StreamResponse:  # noqa: ARG001
        return json_reply({"detail": "too much"}, status, {"Retry-After": "1"})

    return await _for_a_stretch(scene.centre.dialer_api, asks_to_wait, random)


async def api_500_unplaced(scene: Environment, random: Random) -> str:
    """500 and no call: only silence says so."""

    async def fails(request: web.Request) -> web.StreamResponse:  # noqa: ARG001
        return json_reply({"detail": "AMI is away"}, 500)

    return await _for_a_stretch(scene.centre.dialer_api, fails, random)


async def _for_a_stretch(service: Service, script: Responder, random: Random) -> str:
    seconds = random.uniform(*STRETCH_S)
    service.set_responder(script)
    await anyio.sleep(seconds)
    service.set_responder(None)
    return f"for {seconds:.1f} s"
