"""Checks everything a replica needs; each finding has a remedy."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from importlib import resources
from typing import Any, Final

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from streamdialer.broker.connection import (
    TRANSIENT,
    connect,
    keys_of,
    names_to_tell,
    ping,
    server_ms,
    why_writes_are_refused,
)
from streamdialer.broker.heartbeat import replicas
from streamdialer.broker.keys import STAGES, Keys
from streamdialer.broker.layout import LAYOUT, why_refused
from streamdialer.broker.scripts import Script
from streamdialer.config.settings import NAMES, Settings
from streamdialer.consumers.dialing.agent_lists import agent_notices
from streamdialer.consumers.dialing.reasons import NOTICES, REASONS
from streamdialer.errors import CredentialsRefused, RefusedByServer, StreamdialerError, Throttled, Unreachable
from streamdialer.gateways.backend import Backend
from streamdialer.gateways.dialer_api import DialerAPI
from streamdialer.ledger.serial_api import FIELDS as SERIAL_API
from streamdialer.ledger.serial_api import read_serial_api
from streamdialer.model import has_agents, normalise_id
from streamdialer.operations.asterisk_doctor import check_asterisk
from streamdialer.operations.campaigns import campaign_rows, campaigns_known
from streamdialer.operations.decisions import decisions, dial_status
from streamdialer.operations.finding import Check, Finding, Findings
from streamdialer.operations.number_countries import check_number_countries
from streamdialer.operations.redis_doctor import redis_server_checks, server_info
from streamdialer.operations.registries import check_registries
from streamdialer.operations.streams import StreamState, stream_states
from streamdialer.operations.zone_data import check_zone_data

CLOCK_TOLERANCE_S: Final = 1.0
SAMPLE_SIZE: Final = 5
QUEUES_AND_TRUNKS_OF: Final = 20
"""Most active campaigns whose queues and trunks Asterisk is asked for."""
NAMED_REASONS: Final = {"no_call_events", "invalid_campaign", "registry_outdated"}
NEARLY_FULL: Final = 0.5
"""Share of the outcomes that are kept; a group with more unread ones is in danger of missing some."""
MIN_UNCLEAR: Final = 5
"""Unclear replies that are no accident."""


class Diagnosis(msgspec.Struct, frozen=True):
    redis_reachable: bool
    findings: list[Finding]

    @property
    def is_healthy(self) -> bool:
        return all(finding.level != "fail" for finding in self.findings)


async def run_checks(settings: Settings) -> Diagnosis:
    """All findings. Changes nothing but the server's script cache."""
    findings: list[Finding] = [check_zone_data(datetime.now(UTC).date())]
    client, keys = connect(settings.redis_url), keys_of(settings)
    try:
        reachable = False
        try:
            await ping(client, settings.redis_url)
            reachable = True
        except (StreamdialerError, *TRANSIENT) as error:
            findings.append(Finding("redis", "fail", str(error), "start Redis, or correct REDIS_URL"))
        active: list[str] = []
        if reachable:
            findings.append(Finding("redis", "ok", "answers"))
            if text := names_to_tell(settings):
                findings.append(Finding("names", "warn", text, f"set {NAMES['namespace']}"))
            for name, check in _redis_checks(client, keys, settings).items():
                findings += await _run_check(name, check)
            with suppress(RedisError):
                rows = await campaign_rows(client, keys, await campaigns_known(client, keys))
                active = [normalise_id(row.campaign_id) for row in rows if row.status == "active"]
            findings += await _run_check("campaigns", lambda: _campaigns(client, keys, active))
            findings += await _run_check("registries", lambda: check_registries(client, keys, active))
    finally:
        await client.aclose()
    findings += await _run_check("backend", lambda: _backend(settings, active))
    if settings.asterisk_ami_url:
        findings += await _run_check("asterisk", lambda: _asterisk(settings, active))
    if settings.originate == "dialer-api":
        findings += await _run_check("dialer api", lambda: _dialer_api(settings, active))
    return Diagnosis(reachable, findings)


def _redis_checks(client: Redis, keys: Keys, settings: Settings) -> dict[str, Check]:
    checks: dict[str, Check] = {
        **redis_server_checks(client, keys),
        "layout": lambda: _layout(client, keys),
        "writes": lambda: _writes(client, keys),
        "memory": lambda: _memory(client, keys),
        "clock": lambda: _clock(client),
        "scripts": lambda: _scripts(client),
        "streams": lambda: _streams(client, keys, settings),
    }
    if settings.originate == "dialer-api":
        checks["dialer api calls"] = lambda: _dialer_api_calls(client, keys)
    return checks


async def _run_check(name: str, check: Check) -> list[Finding]:
    """The findings of one check; a command that Redis refuses is a finding, and the other checks go on."""
    findings: list[Finding] = []
    try:
        async for finding in check():
            findings.append(finding)  # noqa: PERF401 - findings before an error count
    except (RedisError, *TRANSIENT) as error:
        remedy = "allow this user INFO, CONFIG GET and XINFO"
        findings.append(Finding(name, "warn", f"could not be checked: {error}", remedy))
    return findings


async def _layout(client: Redis, keys: Keys) -> Findings:
    if reason := await why_refused(client, keys):
        yield Finding("layout", "fail", reason, "no program of this version may work with it")
    else:
        yield Finding("layout", "ok", f"{LAYOUT}, as this version writes it")


async def _writes(client: Redis, keys: Keys) -> Findings:
    refusal = await why_writes_are_refused(client, keys)
    if refusal:
        remedy = "give Redis more memory or disk, or the replicas that min-replicas-to-write demands"
        yield Finding("writes", "fail", f"Redis refuses them, so nothing is dialed: {refusal}", remedy)
    else:
        yield Finding("writes", "ok", "taken")


async def _memory(client: Redis, keys: Keys) -> Findings:
    run = (await server_info(client, keys, "server")).get("run_id")
    server: Any = await client.hgetall(keys.server)
    losses = int(server.get("loss_count", 0))
    seconds, microseconds = await client.time()
    now_ms = int(seconds) * 1000 + int(microseconds) // 1000 + int(server.get("clock_offset", 0))
    left_s = (int(server.get("hold_until", 0)) - now_ms) / 1000
    if "run" not in server:
        text = "this Redis has dialed nothing yet: the first replica waits before it dials"
        yield Finding("memory", "ok", text)
    elif server.get("run") != run or left_s > 0:
        left = f"; {left_s:.0f} s left" if left_s > 0 else ""
        text = f"Redis may have lost calls that are still live: dialing waits for them{left}"
        remedy = "wait; if Redis was emptied, start each campaign again: streamdialer campaign start ID"
        yield Finding("memory", "warn", text, remedy)
    else:
        yield Finding("memory", "ok", f"complete; possible data losses so far: {losses}")


async def _clock(client: Redis) -> Findings:
    before = time.time()
    seconds, microseconds = await client.time()
    ahead_s = int(seconds) + int(microseconds) / 1e6 - (before + time.time()) / 2
    text = f"Redis is {abs(ahead_s):.3f} s {'ahead of' if ahead_s > 0 else 'behind'} this machine"
    if abs(ahead_s) <= CLOCK_TOLERANCE_S:
        yield Finding("clock", "ok", text)
    else:
        yield Finding("clock", "warn", text, "synchronise both clocks; the dialer follows the clock of Redis")


async def _scripts(client: Redis) -> Findings:
    loaded, refused = 0, []
    for package in ("streamdialer.ledger", "streamdialer.broker"):
        for file in (resources.files(package) / "lua").iterdir():
            if not file.name.endswith(".lua"):
                continue
            script = Script(package, file.name.removesuffix(".lua"))
            try:
                await client.script_load(script.source)
                loaded += 1
            except ResponseError as error:
                refused.append(f"{script.name} ({error})")
    if refused:
        text = f"{len(refused)} do not load; the first is {refused[0]}"
        yield Finding("scripts", "fail", text, "allow this user SCRIPT LOAD and EVALSHA")
    else:
        yield Finding("scripts", "ok", f"{loaded} load")


async def _streams(client: Redis, keys: Keys, settings: Settings) -> Findings:
    alive = [each for each in await replicas(client, keys, await server_ms(client)) if not each.is_silent]
    served = {stage for each in alive for stage in each.state.stages}
    for state in await stream_states(client, keys):
        if state.stream != "outcomes":
            for finding in _foreign(state, settings):
                yield finding
        if state.stream in STAGES:
            yield _stream(state, settings, is_served=state.stream in served)
        elif state.stream == "outcomes":
            for finding in _outcomes(state, settings):
                yield finding
        elif state.length:
            remedy = "look at them with streamdialer dead list, then replay or drop them"
            yield Finding("dead letters", "warn", str(state.length), remedy)
        else:
            yield Finding("dead letters", "ok", "none")


def _foreign(state: StreamState, settings: Settings) -> Iterator[Finding]:
    """What other programs have done to the stream."""
    check = f"stream {state.stream}"
    if state.is_exhausted:
        text = "someone wrote the last possible id: it takes no entry any more"
        remedy = (
            f"start a replica, which makes it anew with its entries; without one, DEL {state.key} loses them"
        )
        yield Finding(check, "fail", text, remedy)
    for each in state.other_groups:
        group, unread = each.name, -1 if each.lag is None else each.lag + each.pending
        if state.stream == "events":
            left = "its entries" if unread < 0 else f"{unread} entries"
            text = f"consumer group {group} of another program: {left} stay for it at most "
            text += f"{settings.events_retention_s:.0f} s"
            remedy = "let it read and acknowledge them, or destroy the group" if unread else ""
            yield Finding(check, "warn" if unread else "ok", text, remedy)
        else:
            text = f"consumer group {group} of another program sees only what the dialer has not done yet"
            yield Finding(
                check, "warn", text, f"XGROUP DESTROY {state.key} {group}; read dialer:events instead"
            )


def _outcomes(state: StreamState, settings: Settings) -> Iterator[Finding]:
    """Who reads how calls end, and who misses some of it."""
    check = "stream outcomes"
    text = f"{state.length} outcomes are kept, {settings.outcomes_maxlen} at most"
    yield Finding(check, "ok", f"{text}; {state.groups} consumer groups")
    if state.is_exhausted:
        text = "someone wrote the last possible id: the next attempt that ends begins the stream anew"
        yield Finding(check, "warn", text, "then create its consumer groups again")
    for group in state.other_groups:
        lag = group.lag or 0
        waiting = "the server does not say how many outcomes it has not read"
        if group.lag is not None:
            waiting = f"{min(lag, state.length)} outcomes not read"
        text = f"consumer group {group.name}: {waiting}, {group.pending} not acknowledged"
        remedy = f"start its program; a group that nobody needs: XGROUP DESTROY {state.key} {group.name}"
        if lag > state.length:
            text += f"; {lag - state.length} have left the stream unread"
            yield Finding(check, "warn", text, f"raise {NAMES['outcomes_maxlen']}, and {remedy}")
        elif lag > settings.outcomes_maxlen * NEARLY_FULL:
            yield Finding(check, "warn", f"{text}; it soon misses the oldest", remedy)
        else:
            yield Finding(check, "ok", text)


def _stream(state: StreamState, settings: Settings, *, is_served: bool) -> Finding:
    """`is_served`: a process that reads the stream is alive. Redis before 7.2 knows only when it last got an entry."""
    check, remedy = f"stream {state.stream}", "start a replica: streamdialer consume"
    if not state.has_group:
        return Finding(check, "warn", f"no consumer group, {state.length} entries", remedy)
    text = f"{state.lag} waiting, {state.pending} pending, {len(state.consumers)} consumers"
    if is_served:
        return Finding(check, "ok", text)
    if not state.consumers:
        return Finding(check, "warn", text, remedy)
    idle_s = min(consumer.idle_s for consumer in state.consumers)
    if idle_s > 2 * settings.claim_min_idle_s:
        return Finding(check, "warn", f"{text}; all idle for {idle_s:.0f} s", remedy)
    return Finding(check, "ok", text)


async def _campaigns(client: Redis, keys: Keys, active: list[str]) -> Findings:
    """Active campaigns that are not dialed for a reason that no other check finds, and their numbers."""
    now_ms = await server_ms(client)
    for campaign in active[:SAMPLE_SIZE]:
        if finding := await check_number_countries(client, keys, campaign):
            yield finding
        for newest in await decisions(client, keys, campaign, 1):
            status = dial_status(campaign, "active", newest, now_ms)
            if status.reason in NAMED_REASONS:
                remedy = REASONS[status.reason].remedy
                yield Finding(f"dialing of campaign {campaign}", "fail", status.sentence, remedy)


async def _backend(settings: Settings, active: list[str]) -> Findings:
    """Reachable, authorised and with readable lists; the same for some active campaigns."""
    advice = "check BACKEND_URL, BACKEND_TOKEN or BACKEND_USERNAME and BACKEND_PASSWORD"
    try:
        async with Backend(settings) as backend:
            yield Finding("backend", "ok", await backend.health())
            advice = "correct the campaign or its queue in the backend"
            for campaign in active[:SAMPLE_SIZE]:
                check = f"campaign {campaign}"
                try:
                    read = await backend.campaign(campaign)
                    queue = read.queue_name
                    listed = await backend.agents(queue) if has_agents(queue) else None
                except StreamdialerError as error:
                    yield Finding(check, "fail", str(error), advice)
                    continue
                if listed is None:
                    yield Finding(check, "ok", f"agentless: {read.slots} calls at once")
                else:
                    free = sum(agent.is_free for agent in listed.agents)
                    yield Finding(check, "ok", f"queue {queue}: {len(listed.agents)} agents, {free} free")
                    for code, detail in agent_notices(listed).items():
                        notice = NOTICES[code]
                        text = f"queue {queue}: {notice.text} ({detail})"
                        yield Finding(check, "warn", text, notice.remedy)
                notice = NOTICES["campaign_field_unreadable"]
                for line in read.defaulted:
                    yield Finding(check, "warn", f"{notice.text} ({line})", notice.remedy)
    except StreamdialerError as error:
        yield Finding("backend", "fail", str(error).removeprefix("backend: "), advice)


async def _dialer_api(settings: Settings, active: list[str]) -> Findings:
    """Reachable and authorised."""
    try:
        async with DialerAPI(settings) as dialer_api:
            health = await dialer_api.health()
            accepts = "accepts our requests"
            try:  # /health needs no token: only a request about a campaign shows whether it accepts ours
                await dialer_api.statistics(active[0] if active else "0")
            except RefusedByServer as refusal:
                if active and refusal.status != 404:
                    raise
            except (CredentialsRefused, Throttled):
                raise
            except Unreachable as error:
                if active:
                    raise
                # there is no campaign 0: whatever it says of it, it has not refused our credentials
                accepts = f"does not refuse our credentials ({error})"
            yield Finding("dialer api", "ok", f"{health} and {accepts}")
    except StreamdialerError as error:
        text = str(error).removeprefix("Dialer API: ")
        yield Finding("dialer api", "fail", text, "check DIALER_API_URL and DIALER_API_TOKEN")


async def _dialer_api_calls(client: Redis, keys: Keys) -> Findings:
    """How its calls have begun lately, and what its replies were worth."""
    values = await client.hmget(keys.api, [*SERIAL_API, "replies", "unclear"])
    *delays, replies, unclear = [None if value is None else str(value) for value in values]
    if serial := read_serial_api(delays):
        notice = NOTICES["serial_api"]
        yield Finding("dialer api calls", "warn", f"{notice.text} ({serial.sentence()})", notice.remedy)
    if int(unclear or 0) >= MIN_UNCLEAR and int(unclear or 0) * 2 > int(replies or 0):
        text = f"{unclear} of its last {replies} replies do not say whether it has placed the call"
        remedy = "events decide about these calls; look at the Dialer API's log for its errors 500"
        yield Finding("dialer api calls", "warn", text, remedy)


async def _asterisk(settings: Settings, active: list[str]) -> Findings:
    campaigns = []
    with suppress(StreamdialerError):  # the check of the backend reports it
        async with Backend(settings) as backend:
            for campaign in active[:QUEUES_AND_TRUNKS_OF]:
                with suppress(StreamdialerError):
                    campaigns.append(await backend.campaign(campaign))
    async for finding in check_asterisk(settings, campaigns):
        yield finding
