"""One run: a play from an emptied server to the last key cleaned up, with at most one death on the way."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import anyio
import msgspec
from redis.asyncio import Redis

from bench.crash.crash_points import Death, RecordedPoints, Target, read_passages
from bench.crash.fixtures import ServerFaults, give_cues, open_ledger, plant, plant_withdrawn, work_in_preview
from bench.crash.processes import ChildProcesses
from bench.crash.scenario import (
    SPEED,
    Fixture,
    ScenarioName,
    add_late_contacts,
    centre_config,
    child_environment,
    make_cast,
)
from bench.crash.verdict import Verdict, judge_ledger, judge_network
from streamdialer.broker.connection import connect
from streamdialer.broker.keys import CHANNEL, Keys
from streamdialer.errors import CannotBeDone
from streamdialer.simulation import CallCentre
from streamdialer.simulation.demo.snapshot import take_snapshot
from streamdialer.simulation.embedded_redis import EmbeddedServer

LOOK_EVERY_S: Final = 0.02
DIALED_WITHIN_S: Final = 120.0
CLEANED_WITHIN_S: Final = 60.0
Condition = Callable[[], Awaitable[bool]]


class Ending(msgspec.Struct, kw_only=True):
    """What came of a run."""

    verdict: Verdict
    death: Death | None
    """None when nobody reached the point."""
    passages: RecordedPoints
    """Empty unless the run was a recording one."""
    held_up_s: float
    """The longest time between two looks of the harness, whose process is telephone network and backend as well."""
    logs: str
    """Where the logs are kept: '' when there was nothing wrong."""


async def play_once(
    server: EmbeddedServer,
    play: ScenarioName,
    seed: int,
    *,
    point: str = "",
    occurrence: int = 1,
    without: tuple[str, ...] = (),
) -> Ending:
    """A run with a death at the `occurrence`th time `point` is reached; '' records all points."""
    directory = Path(tempfile.mkdtemp(prefix="streamdialer-crash-"))
    target = None
    if point:
        target = Target(point=point, occurrence=occurrence, marker=str(directory / "marker"))
    client = connect(server.url)
    is_clean = False
    try:
        await open_ledger(client, Keys(), play)
        cast = make_cast(play, seed)
        async with CallCentre(cast.world, server.url, speed=SPEED, config=centre_config()) as centre:
            urls = {
                "redis_url": server.url,
                "backend_url": centre.backend_url,
                "dialer_api_url": centre.dialer_api_url,
            }
            await plant(client, centre.keys)
            if play == "campaign":
                await plant_withdrawn(client, centre.keys)
            environment = child_environment(play, urls)
            with ChildProcesses(directory, environment, target=target, without=without) as children:
                ending = await _Run(client, centre, cast, children).to_the_end()
        is_clean = ending.verdict.is_clean
        return ending if is_clean else msgspec.structs.replace(ending, logs=str(directory))
    finally:
        await client.aclose()
        if is_clean:
            shutil.rmtree(directory, ignore_errors=True)


class _Run:
    def __init__(self, client: Redis, centre: CallCentre, cast: Fixture, children: ChildProcesses) -> None:
        self._client = client
        self._centre = centre
        self._cast = cast
        self._children = children
        self._servers = ServerFaults(centre)
        self._is_over = False
        """Whether all contacts have been judged."""
        self._held_up_s = 0.0
        self._trouble: list[str] = []
        """What keeps the run from its end."""

    async def to_the_end(self) -> Ending:
        await self._until(self._is_listening, DIALED_WITHIN_S, "no tick producer was listening")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(give_cues, self._client, self._centre.keys, self._centre)
            tasks.start_soon(work_in_preview, self._client, self._centre.keys, self._cast.play)
            for campaign in self._cast.world.campaigns:
                await self._centre.start_campaign(campaign)
            await self._until(self._is_dialed, DIALED_WITHIN_S, "not all contacts were final")
            tasks.cancel_scope.cancel()
        verdict = await judge_ledger(self._client, self._centre.keys, self._cast, self._servers)
        self._is_over = True
        shown = self._what_the_backend_shows()
        await self._clean_up()
        if self._what_the_backend_shows() != shown:
            verdict.findings.append("the backend was told something after the end")
        verdict.findings += self._trouble
        judge_network(verdict, self._centre.summary())
        marker = self._children.marker
        death = msgspec.json.decode(marker.read_bytes(), type=Death) if marker.exists() else None
        allowed = death.open_calls if death else 0
        if verdict.uncertain > allowed:
            verdict.findings.append(f"{verdict.uncertain} attempts were uncertain, {allowed} calls were open")
        passages = read_passages(self._children.passage_logs)
        return Ending(verdict=verdict, death=death, passages=passages, held_up_s=self._held_up_s, logs="")

    async def _clean_up(self) -> None:
        """Ends the campaigns and the processes."""
        for campaign in self._cast.world.campaigns:
            await self._client.hset(self._centre.keys.campaign(str(campaign)), "status", "completed")
        await self._until(self._is_cleaned, CLEANED_WITHIN_S, "not all campaigns were cleaned up")
        await self._until(self._is_staffed, CLEANED_WITHIN_S, "somebody who took over did not get to work")
        try:
            while not self._trouble and await self._children.stop():
                self._children.start_again()
                await self._until(self._is_staffed, CLEANED_WITHIN_S, "nobody took over at the end")
        except CannotBeDone as error:
            self._trouble.append(str(error))

    def _what_the_backend_shows(self) -> dict[int, tuple[str, int]]:
        contacts = self._cast.world.contacts.values()
        return {contact.id: (contact.status, contact.attempts) for contact in contacts}

    async def _until(self, condition: Condition, within_s: float, or_else: str) -> None:
        """Replaces whoever dies until the condition is true; `or_else` is the trouble when that takes too long."""
        if self._trouble:
            return
        looked_at = anyio.current_time()
        with anyio.move_on_after(within_s):
            while True:
                self._held_up_s = max(self._held_up_s, anyio.current_time() - looked_at)
                looked_at = anyio.current_time()
                try:
                    somebody_died = self._children.replace_dead()
                except CannotBeDone as error:
                    self._trouble.append(str(error))
                    return
                if somebody_died and not self._is_over:
                    add_late_contacts(self._cast.world)
                if not somebody_died and await condition():
                    return
                await anyio.sleep(LOOK_EVERY_S)
        self._trouble.append(f"{or_else} after {within_s:g} s")

    async def _is_listening(self) -> bool:
        """Whether a producer hears of started campaigns."""
        subscribers = await self._client.pubsub_numsub(CHANNEL)
        return bool(subscribers[0][1])

    async def _is_staffed(self) -> bool:
        """Whether both processes are at work: a signal that comes earlier would end them at once."""
        look = await take_snapshot(self._client, self._centre.keys, self._centre)
        return await self._is_listening() and look.are_reading({self._children.replica})

    async def _is_dialed(self) -> bool:
        """Whether every contact has its end, the backend knows, no phone is up and nothing is to be read."""
        look = await take_snapshot(self._client, self._centre.keys, self._centre)
        return (
            look.total("final") == len(self._cast.world.contacts)
            and not look.unfinished
            and not look.total("unconfirmed")
            and not look.audit.live_calls
            and not look.audit.events_waiting
            and not any(stream.length for stream in look.overview.streams if stream.stream != "ticks")
        )

    async def _is_cleaned(self) -> bool:
        return not await self._client.exists(self._centre.keys.directory)


async def recording(server: EmbeddedServer, play: ScenarioName, seed: int) -> RecordedPoints:
    """All points of a play; raises CannotBeDone when already that run is not clean."""
    ending = await play_once(server, play, seed)
    if not ending.verdict.is_clean:
        findings = "; ".join(ending.verdict.findings)
        raise CannotBeDone(f"the play {play} goes wrong without any crash: {findings}; logs: {ending.logs}")
    return ending.passages
