"""Simulated telephones and agents for a real backend and a real Redis: `serve --simulate-telephones`.

Alone: `python -m streamdialer.simulation.servers.telephones '{"port": 8001, "speed": 10}'`.

The campaigns are those that are active in Redis; the backend says which queue each one has. Every queue gets agents of
its own, who are always logged in. As an event source does, the telephones list the calls that are up and the agents of
each queue.
"""

from __future__ import annotations

import logging
import secrets
import sys
from typing import Final

import anyio
import msgspec
from redis.exceptions import RedisError

from streamdialer.broker.connection import TRANSIENT, connect, keys_of
from streamdialer.config import loading
from streamdialer.config.settings import Settings
from streamdialer.errors import CampaignError, Unreachable
from streamdialer.gateways.backend import Backend
from streamdialer.model import CampaignSettings, has_agents, wire_id
from streamdialer.observability.logs import set_up_logging
from streamdialer.producers.active_campaigns import ActiveCampaigns
from streamdialer.simulation.servers.call_centre import CallCentre
from streamdialer.simulation.world.config import CentreConfig, WorldConfig
from streamdialer.simulation.world.engine import World
from streamdialer.simulation.world.entities import Campaign

log = logging.getLogger(__name__)
LOOK_EVERY_S: Final = 1.0
MAX_CALLS_RECORDED: Final = 100_000
"""Up to twice as many are; they take some 300 bytes each."""
LIST_EVERY_S: Final = 10.0
"""The dialer believes a list of agents for 60 s."""


class TelephoneOptions(msgspec.Struct, frozen=True, kw_only=True):
    port: int
    """Of the Dialer API, on loopback."""
    agents: int = 10
    """In each queue."""
    speed: float = 1.0
    """Seconds of life per second."""


class Telephones:
    """Keeps a call centre in step with the campaigns of a backend."""

    def __init__(self, centre: CallCentre, backend: Backend, active: ActiveCampaigns, agents: int) -> None:
        self._centre = centre
        self._backend = backend
        self._active = active
        self._agents = agents
        self._listed: set[str] = set()
        """Queues."""
        self._listed_at = 0.0

    async def run(self) -> None:
        """Until cancelled."""
        is_away = False
        while True:
            try:
                await self._look()
                is_away = False
            except (Unreachable, RedisError, *TRANSIENT) as error:
                if not is_away:
                    log.warning(
                        "the simulated telephones cannot see the campaigns", extra={"error": str(error)}
                    )
                is_away = True
            await anyio.sleep(LOOK_EVERY_S)

    async def _look(self) -> None:
        self._forget_old_calls()
        await self._active.scan()
        for campaign in self._active.ids():
            try:
                shown = await self._backend.campaign(campaign)
            except CampaignError:
                continue  # the dialer names it
            self._follow(wire_id(campaign), shown)
        self._write_lists()

    def _forget_old_calls(self) -> None:
        """Telephones may ring for months: what double dials are seen by is kept of the newest calls."""
        world = self._centre.world
        if len(world.auditor.per_key) > 2 * MAX_CALLS_RECORDED:
            world.auditor.forget_all_but(MAX_CALLS_RECORDED)
            world.call_ids = _new_call_ids()  # calls of forgotten contacts are counted from 0 again

    def _write_lists(self) -> None:
        queues = {name for name in self._centre.world.queues if name and has_agents(name)}
        now = anyio.current_time()
        if queues == self._listed and now - self._listed_at < LIST_EVERY_S:
            return
        self._listed, self._listed_at = queues, now
        self._centre.list_calls()
        for queue in queues:
            self._centre.list_agents(queue)

    def _follow(self, campaign: int | str, shown: CampaignSettings) -> None:
        world = self._centre.world
        world.add_campaign(
            Campaign(id=campaign, status="active", dial_mode=shown.dial_mode, queue_name=shown.queue_name)
        )
        if not has_agents(shown.queue_name):
            return
        queue = world.queue(shown.queue_name)
        for number in range(len(queue.agents) + 1, self._agents + 1):
            world.add_agent(f"{queue.name}-{number}", queue.name)


def _new_call_ids() -> str:
    return f"call-{secrets.token_hex(4)}"


def arguments_of(options: TelephoneOptions) -> list[str]:
    """What Python has to be started with to serve these telephones."""
    return ["-m", TelephoneOptions.__module__, msgspec.json.encode(options).decode()]


async def serve_telephones(settings: Settings, options: TelephoneOptions) -> None:
    """Until cancelled."""
    # The dialer may have calls of an earlier run: neither their ids nor how they went come again.
    world = World(WorldConfig(), secrets.randbits(32), call_ids=_new_call_ids())
    config = CentreConfig(reply="immediate", dialer_api_port=options.port, serves_backend=False)
    keys = keys_of(settings)
    client = connect(settings.redis_url)
    try:
        async with (
            Backend(settings) as backend,
            CallCentre(world, settings.redis_url, speed=options.speed, config=config, keys=keys) as centre,
        ):
            log.info("the simulated telephones take calls", extra={"url": centre.dialer_api.url})
            await Telephones(centre, backend, ActiveCampaigns(client, keys), options.agents).run()
    finally:
        await client.aclose()


def main() -> None:
    """Options as a JSON document, the rest by settings."""
    settings = loading.load().settings
    set_up_logging(settings.log_level, settings.log_format)
    anyio.run(serve_telephones, settings, msgspec.json.decode(sys.argv[1], type=TelephoneOptions))


if __name__ == "__main__":
    main()
