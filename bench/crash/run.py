"""One run: a scenario from an empty server to the cleanup of the last key, with at most one crash."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import anyio
import msgspec
from redis.asyncio import Redis

from bench.crash.crash_points import Crash, RecordedPoints, Target, read_passages
from bench.crash.fixtures import (
    ServerFaults,
    end_retention,
    plant_entries,
    plant_withdrawn,
    reset_server,
    run_preview_agent,
    trigger_events,
)
from bench.crash.processes import CrashProcesses
from bench.crash.scenario import (
    NOT_TAKEN,
    SPEED,
    TEAM_CAMPAIGNS,
    Fixture,
    ScenarioName,
    add_late_contacts,
    build_fixture,
    centre_config,
    child_environment,
)
from bench.crash.verdict import Verdict, audit_all_contacts, check_ledger, check_network
from streamdialer.broker.connection import connect
from streamdialer.broker.keys import Keys
from streamdialer.errors import CannotBeDone
from streamdialer.ledger.records import ContactRecord
from streamdialer.simulation.demo.snapshot import take_snapshot
from streamdialer.simulation.embedded_redis import EmbeddedServer
from streamdialer.simulation.servers.call_centre import CallCentre

POLL_INTERVAL_S: Final = 0.02
DIAL_TIMEOUT_S: Final = 120.0
CLEANUP_TIMEOUT_S: Final = 60.0
LISTS_READ_AGAIN: Final = 3
Condition = Callable[[], Awaitable[bool]]


class RunResult(msgspec.Struct, kw_only=True):
    """The result of a run."""

    verdict: Verdict
    crash: Crash | None
    """None when no process reached the point."""
    recorded: RecordedPoints
    """Empty unless points were recorded."""
    longest_stall_s: float
    """Longest time between two polls of the harness. Its process is also the telephone network and the backend."""
    logs: str
    """The directory of the logs; '' when the run was clean."""


async def run_scenario(
    server: EmbeddedServer,
    scenario: ScenarioName,
    seed: int,
    *,
    point: str = "",
    occurrence: int = 1,
    without: tuple[str, ...] = (),
) -> RunResult:
    """A run with a death at the `occurrence`th time `point` is reached; '' records all points."""
    directory = Path(tempfile.mkdtemp(prefix="streamdialer-crash-"))
    target = None
    if point:
        target = Target(point=point, occurrence=occurrence, marker=str(directory / "marker"))
    client = connect(server.url)
    is_clean = False
    try:
        await reset_server(client, Keys(), scenario)
        fixture = build_fixture(scenario, seed)
        await plant_entries(
            client, Keys()
        )  # before the event source of the call centre writes its first entry
        if scenario == "campaign":
            await plant_withdrawn(client, Keys())
        async with CallCentre(fixture.world, server.url, speed=SPEED, config=centre_config()) as centre:
            environment = child_environment(scenario, centre.urls)
            with CrashProcesses(directory, environment, target=target, without=without) as children:
                result = await _Run(client, centre, fixture, children).complete()
        is_clean = result.verdict.is_clean
        return result if is_clean else msgspec.structs.replace(result, logs=str(directory))
    finally:
        await client.aclose()
        if is_clean:
            shutil.rmtree(directory, ignore_errors=True)


class _Run:
    def __init__(self, client: Redis, centre: CallCentre, fixture: Fixture, children: CrashProcesses) -> None:
        self._client = client
        self._centre = centre
        self._fixture = fixture
        self._children = children
        self._servers = ServerFaults(centre)
        self._is_final = False
        """Whether all contacts have been checked."""
        self._kept: dict[str, ContactRecord] = {}
        """Last records of contacts that the ledger has forgotten."""
        self._lists_read: int | None = None
        """Until the ledger had forgotten them."""
        self._longest_stall_s = 0.0
        self._problems: list[str] = []
        """What stopped the run."""

    async def complete(self) -> RunResult:
        await self._until(self._is_listening, DIAL_TIMEOUT_S, "no tick producer was listening")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(trigger_events, self._client, self._centre.keys, self._centre)
            tasks.start_soon(run_preview_agent, self._client, self._centre.keys, self._fixture.scenario)
            for campaign in self._fixture.world.campaigns:
                await self._centre.start_campaign(campaign)
            await self._until(self._is_dialed, DIAL_TIMEOUT_S, "not all contacts were final")
            tasks.cancel_scope.cancel()
        if self._fixture.scenario == "campaign" and not self._problems:
            self._kept = await end_retention(self._client, self._centre.keys)
            await self._until(self._is_listed_again, DIAL_TIMEOUT_S, "no list was read after the retention")
            await self._until(self._is_dialed, DIAL_TIMEOUT_S, "not all contacts were final again")
        verdict = await check_ledger(
            self._client, self._centre, self._fixture, self._servers, kept=self._kept
        )
        self._is_final = True
        before = self._backend_contacts()
        await self._clean_up()
        if self._backend_contacts() != before:
            verdict.findings.append("contacts changed in the backend after the end")
        verdict.findings += self._problems
        check_network(verdict, self._centre.summary())
        marker = self._children.marker
        crash = msgspec.json.decode(marker.read_bytes(), type=Crash) if marker.exists() else None
        allowed = crash.open_calls if crash else 0
        if verdict.uncertain > allowed:
            verdict.findings.append(f"{verdict.uncertain} attempts were uncertain, {allowed} calls were open")
        recorded = read_passages(self._children.passage_logs)
        return RunResult(
            verdict=verdict, crash=crash, recorded=recorded, longest_stall_s=self._longest_stall_s, logs=""
        )

    async def _clean_up(self) -> None:
        """Ends the campaigns and the processes."""
        for campaign in self._fixture.world.campaigns:
            await self._client.hset(self._centre.keys.campaign(str(campaign)), "status", "completed")
        await self._until(self._is_cleaned, CLEANUP_TIMEOUT_S, "not all campaigns were cleaned up")
        await self._until(self._is_working, CLEANUP_TIMEOUT_S, "a replacement process did not start to work")
        try:
            while not self._problems and await self._children.stop():
                self._children.start_all()
                await self._until(self._is_working, CLEANUP_TIMEOUT_S, "no replacement started to work")
        except CannotBeDone as error:
            self._problems.append(str(error))

    def _backend_contacts(self) -> dict[int, tuple[str, int]]:
        contacts = self._fixture.world.contacts.values()
        return {contact.id: (contact.status, contact.attempts) for contact in contacts}

    async def _until(self, condition: Condition, timeout_s: float, problem: str) -> None:
        """Returns when the condition is true, and replaces crashed processes; after the timeout adds the problem."""
        if self._problems:
            return
        polled_at = anyio.current_time()
        with anyio.move_on_after(timeout_s):
            while True:
                self._longest_stall_s = max(self._longest_stall_s, anyio.current_time() - polled_at)
                polled_at = anyio.current_time()
                try:
                    has_crashed = self._children.replace_dead()
                except CannotBeDone as error:
                    self._problems.append(str(error))
                    return
                if has_crashed and not self._is_final:
                    add_late_contacts(self._fixture.world)
                if not has_crashed and await condition():
                    return
                await anyio.sleep(POLL_INTERVAL_S)
        self._problems.append(f"{problem} after {timeout_s:g} s")

    async def _is_listening(self) -> bool:
        """Whether a producer is subscribed to campaign changes."""
        subscribers = await self._client.pubsub_numsub(Keys().channel)
        return bool(subscribers[0][1])

    async def _is_working(self) -> bool:
        """Whether both processes work; an earlier SIGTERM would end them at once."""
        snapshot = await take_snapshot(self._client, self._centre)
        return await self._is_listening() and snapshot.are_reading({self._children.replica})

    async def _is_dialed(self) -> bool:
        """Whether every contact is final, also in the backend, no call is live and no entry is unread."""
        snapshot = await take_snapshot(self._client, self._centre)
        return (
            not snapshot.unfinished
            and not snapshot.total("unconfirmed")
            and not snapshot.audit.live_calls
            and not snapshot.audit.events_waiting
            and not any(stream.length for stream in snapshot.overview.streams if stream.stream != "ticks")
            and await self._are_all_final()
        )

    async def _are_all_final(self) -> bool:
        audit = await audit_all_contacts(self._client, self._centre, self._fixture)
        return audit.final == len(self._fixture.world.contacts)

    async def _is_listed_again(self) -> bool:
        """Whether the backend has listed contacts again that the ledger had forgotten."""
        if self._lists_read is None:
            calls, records = (
                self._fixture.world.auditor.per_contact,
                self._centre.keys.records(str(TEAM_CAMPAIGNS[0])),
            )
            for contact in NOT_TAKEN:
                is_called_again = calls[contact] > len(self._kept[str(contact)].history)
                if not is_called_again and await self._client.hexists(records, str(contact)):
                    return False
            self._lists_read = self._servers.lists_read
        return self._servers.lists_read >= self._lists_read + LISTS_READ_AGAIN

    async def _is_cleaned(self) -> bool:
        return not await self._client.exists(self._centre.keys.directory)


async def record_scenario(server: EmbeddedServer, scenario: ScenarioName, seed: int) -> RecordedPoints:
    """All points of a scenario; raises CannotBeDone when the run is not clean even without a crash."""
    result = await run_scenario(server, scenario, seed)
    if not result.verdict.is_clean:
        findings = "; ".join(result.verdict.findings)
        raise CannotBeDone(
            f"scenario {scenario} goes wrong without any crash: {findings}; logs: {result.logs}"
        )
    return result.recorded
