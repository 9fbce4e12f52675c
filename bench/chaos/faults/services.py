"""Wrong answers of both services: errors, and errors for calls that were placed anyway."""

from __future__ import annotations

from random import Random

import anyio
from aiohttp import web

from bench.chaos.environment import Environment
from bench.chaos.faults.network import DURATION_S
from streamdialer.model import wire_id
from streamdialer.simulation.servers.http import Responder, Service, drop_connection, json_reply


async def fail_backend(environment: Environment, random: Random, status: int) -> str:
    """Every request gets an error; half of them are carried out first."""
    backend = environment.centre.backend

    async def fail(request: web.Request) -> web.StreamResponse:
        if random.random() < 0.5:
            await backend.handle_normally(request)
        return json_reply({"detail": "something broke"}, status)

    return await _respond_for_a_while(backend, fail, random)


async def refuse_updates(environment: Environment, random: Random) -> str:
    """Every PATCH is refused for good; a contact's final state may never reach the backend."""
    backend = environment.centre.backend
    before = backend.updates_refused.total()

    def refuse(request: web.Request) -> web.StreamResponse | None:
        if request.method != "PATCH":
            return None
        contact = wire_id(request.path.rstrip("/").rpartition("/")[2])
        return backend.refuse_update(contact, random.choice((400, 405)))

    seconds = await _respond_for_a_while(backend, refuse, random)
    return f"{backend.updates_refused.total() - before} updates {seconds}"


async def end_contacts(environment: Environment, random: Random) -> str:
    """A supervisor ends some contacts in the backend, whatever the dialer does with them."""
    world, now = environment.centre.world, environment.centre.now
    open_statuses = ("pending", "dialing", "answered", "no_answer", "busy")
    contacts = [contact for contact in world.contacts.values() if contact.status in open_statuses]
    chosen = random.sample(contacts, min(len(contacts), 20))
    for contact in chosen:
        contact.status = random.choice(("completed", "do_not_call", "invalid"))
        world.auditor.end_contact(contact.id, now)
    environment.ended_contacts.update(contact.id for contact in chosen)
    return f"{len(chosen)} contacts"


async def place_and_answer_500(environment: Environment, random: Random) -> str:
    """Every call is placed and gets status 500."""
    api = environment.centre.dialer_api

    async def answer(request: web.Request) -> web.StreamResponse:
        await api.handle_normally(request)
        return json_reply({"detail": "unexpected AMI line"}, 500)

    return await _respond_for_a_while(api, answer, random)


async def place_and_drop(environment: Environment, random: Random) -> str:
    """The connection is cut after the call was placed, at once or when it stops ringing."""
    api = environment.centre.dialer_api

    async def drop(request: web.Request) -> web.StreamResponse:
        with anyio.move_on_after(random.choice((0.05, 5))):  # the call is placed before the first wait
            await api.handle_normally(request)
        return drop_connection(request)

    return await _respond_for_a_while(api, drop, random)


async def refuse_api(environment: Environment, random: Random, status: int) -> str:
    """Every request is refused with Retry-After; no call is placed."""

    async def refuse(request: web.Request) -> web.StreamResponse:  # noqa: ARG001
        return json_reply({"detail": "too many requests"}, status, {"Retry-After": "1"})

    return await _respond_for_a_while(environment.centre.dialer_api, refuse, random)


async def answer_500(environment: Environment, random: Random) -> str:
    """Status 500 and no call; the dialer can know it only from the absence of events."""

    async def fail(request: web.Request) -> web.StreamResponse:  # noqa: ARG001
        return json_reply({"detail": "AMI is down"}, 500)

    return await _respond_for_a_while(environment.centre.dialer_api, fail, random)


async def _respond_for_a_while(service: Service, responder: Responder, random: Random) -> str:
    seconds = random.uniform(*DURATION_S)
    service.set_responder(responder)
    await anyio.sleep(seconds)
    service.set_responder(None)
    return f"for {seconds:.1f} s"
