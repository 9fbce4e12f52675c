"""Checks of Asterisk over AMI: what the user may do, the dialplan, the queues and the trunks. Changes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from typing import Final

from streamdialer.config.ami_urls import AmiUrl, parse_ami_urls
from streamdialer.config.settings import Settings
from streamdialer.config.wrap_up import parse_wrap_up
from streamdialer.errors import RefusedByServer, StreamdialerError
from streamdialer.gateways.ami.connection import Connection
from streamdialer.gateways.ami.link import connected
from streamdialer.gateways.asterisk import Asterisk
from streamdialer.model import CampaignSettings
from streamdialer.operations.finding import Finding

CHECK: Final = "asterisk"
RELOAD: Final = "in manager.conf, then `asterisk -rx 'manager reload'`"
WRITES: Final = {
    "Status": "reporting",
    "CoreStatus": "reporting",
    "QueueStatus": "reporting",
    "Hangup": "call",
    "Originate": "originate",
}
"""Action -> the word of `write=` that allows it."""
READS: Final = {
    "system": "Asterisk's start",
    "call": "any call",
    "agent": "agents who take a call",
    "user": "machines and calls that no agent took",
}
"""Class of `read=` -> what is not seen without it."""
VARIABLES: Final = ("ATTEMPT_ID", "CAMPAIGN_ID", "CONTACT_ID")
Findings = AsyncIterator[Finding]


async def check_asterisk(settings: Settings, campaigns: Sequence[CampaignSettings]) -> Findings:
    """The findings about each server; `campaigns` are some of the active ones."""
    for address in parse_ami_urls(settings.asterisk_ami_url):
        found_before = False
        try:
            async with connected(address, lambda _: None, "system") as link:
                async for finding in _check_server(link, address, settings, campaigns):
                    found_before = True
                    yield finding
                if not found_before:
                    does = (
                        "is watched, and places calls" if settings.originate == "asterisk" else "is watched"
                    )
                    yield Finding(CHECK, "ok", f"{address.name} ({await _version(link)}) {does}")
        except StreamdialerError as error:
            yield Finding(CHECK, "fail", str(error), "check ASTERISK_AMI_URL and manager.conf")


async def _check_server(
    link: Connection, address: AmiUrl, settings: Settings, campaigns: Sequence[CampaignSettings]
) -> Findings:
    """Only what is wrong."""
    is_originating = settings.originate == "asterisk"
    async for finding in _privileges(link, address, is_originating=is_originating):
        yield finding
    if is_originating:
        listens = any(each.amd for each in campaigns)
        async for finding in _dialplan(link, settings.asterisk_context, listens=listens):
            yield finding
        async for finding in _trunks(link, address, settings, campaigns):
            yield finding
    async for finding in _queues(
        link, settings, {each.queue_name for each in campaigns if not each.is_agentless}
    ):
        yield finding


async def _privileges(link: Connection, address: AmiUrl, *, is_originating: bool) -> Findings:
    allowed, user = await link.action("ListCommands"), f"{link.server}: the user {address.username}"
    needed = [name for name in WRITES if is_originating or name != "Originate"]
    missing = sorted({WRITES[name] for name in needed if not allowed.get(name)})
    for word in missing:
        does = {"originate": "place calls", "call": "hang up calls that are not wanted any more"}.get(
            word, "list the calls"
        )
        yield Finding(CHECK, "fail", f"{user} may not {does}", f"add {word} to its write= {RELOAD}")
    if not link.booted.is_set():
        text = f"{link.server} does not say when it was started"
        yield Finding(CHECK, "fail", text, f"add system to read= of {address.username} {RELOAD}")
    classes = await _configured(link, "manager.conf", address.username, "read")
    for word, what in READS.items():
        if classes and not {word, "all"} & set(classes.replace(" ", "").split(",")) and word != "system":
            yield Finding(CHECK, "fail", f"{user} does not see {what}", f"add {word} to its read= {RELOAD}")
    if await _configured(link, "manager.conf", "general", "enabled"):
        carried = (
            (await _configured(link, "manager.conf", "general", "channelvars")).replace(" ", "").split(",")
        )
        if lacking := [name for name in VARIABLES if name not in carried]:
            text = f"{link.server}: events of calls do not carry {', '.join(lacking)}"
            remedy = f"write channelvars = {','.join(VARIABLES)} below [general] {RELOAD}"
            yield Finding(CHECK, "warn" if is_originating else "fail", text, remedy)


async def _dialplan(link: Connection, context: str, *, listens: bool) -> Findings:
    """`listens`: for a machine, in some campaign."""
    remedy = "#include deploy/asterisk/extensions.conf in extensions.conf, or correct STREAMDIALER_ASTERISK_CONTEXT"
    try:
        rows = await link.list_answer("ShowDialPlan", {"Context": context})
    except RefusedByServer as error:
        yield Finding(CHECK, "fail", str(error), remedy)
        return
    if not any("queue" in (row.get("Application") + row.get("AppData")).lower() for row in rows):
        text = f"{link.server}: the dialplan context {context} has no Queue(): answered calls reach no agent"
        yield Finding(CHECK, "warn", text, remedy)
    if listens and not any("amd" in row.get("Application").lower() for row in rows):
        text = f"{link.server}: the dialplan context {context} has no AMD(), which a campaign's amd asks for"
        yield Finding(CHECK, "warn", text, remedy)


async def _trunks(
    link: Connection, address: AmiUrl, settings: Settings, campaigns: Sequence[CampaignSettings]
) -> Findings:
    named = {trunk for each in parse_ami_urls(settings.asterisk_ami_url) for trunk in each.trunks}
    pattern = settings.asterisk_channel.replace("{number}@", "")
    rows = await link.list_answer("DeviceStateList")
    states = {row.get("Device").lower(): row.get("State") for row in rows}
    gateway = Asterisk(settings)
    for trunk in sorted({each.trunk or "" for each in campaigns}):
        if problem := gateway.problem_of(trunk, ""):
            yield Finding(CHECK, "fail", problem, "correct the campaign's trunk in the backend")
            continue
        is_here = trunk in address.trunks if trunk in named else not address.trunks
        device = pattern.format(trunk=trunk, number="")
        if not is_here or not trunk or device == settings.asterisk_channel:
            continue
        state = states.get(device.lower(), "")
        if not state:
            text = f"{link.server} shows no {device}"
            yield Finding(
                CHECK, "warn", text, "correct the campaign's trunk, or add the endpoint to pjsip.conf"
            )
        elif state in ("UNAVAILABLE", "INVALID"):
            text = f"{link.server}: the trunk {device} is {state}"
            yield Finding(CHECK, "warn", text, "look at its contact: `asterisk -rx 'pjsip show contacts'`")


async def _queues(link: Connection, settings: Settings, wanted: set[str]) -> Findings:
    rows = await link.list_answer("QueueStatus")
    known = {row.get("Queue") for row in rows if row.event == "QueueParams"}
    staffed = {row.get("Queue") for row in rows if row.event == "QueueMember"}
    for queue in sorted(wanted):
        if queue not in known:
            text = f"{link.server} has no queue {queue}, which an active campaign names"
            yield Finding(
                CHECK, "fail", text, f"add [{queue}] to queues.conf, or correct the campaign's queue_name"
            )
            continue
        if queue not in staffed:
            yield Finding(
                CHECK, "warn", f"{link.server}: nobody is in the queue {queue}", "add members to it"
            )
        for finding in _options(queue, settings, await _queue_options(link, queue)):
            yield finding


def _options(queue: str, settings: Settings, options: dict[str, str]) -> Iterator[Finding]:
    if not any(options.values()):
        return  # not in queues.conf: options cannot be seen
    if options["ringinuse"].lower() not in ("no", "false", "0", "off", "n", "f"):
        text = f"the queue {queue} rings agents who are in a call"
        yield Finding(CHECK, "warn", text, f"write ringinuse = no below [{queue}] in queues.conf")
    wrap_up_s = int(options["wrapuptime"]) if options["wrapuptime"].isdecimal() else 0
    ours_s = parse_wrap_up(settings.asterisk_wrapup_s).of("", queue)
    if wrap_up_s != ours_s:
        text = f"the queue {queue} leaves agents {wrap_up_s} s after a call, and we count {ours_s:g} s"
        yield Finding(
            CHECK,
            "warn",
            text,
            f"set STREAMDIALER_ASTERISK_WRAPUP_S to {wrap_up_s}, or to {queue}={wrap_up_s}",
        )


async def _queue_options(link: Connection, queue: str) -> dict[str, str]:
    names = ("strategy", "member", "ringinuse", "wrapuptime")
    return {name: await _configured(link, "queues.conf", queue, name) for name in names}


async def _configured(link: Connection, file: str, section: str, name: str) -> str:
    """A line of Asterisk's configuration; '' when there is none, or it cannot be seen."""
    if any(character in section for character in "(),\r\n\0"):
        return ""
    with suppress(RefusedByServer):
        answer = await link.action("Getvar", {"Variable": f"AST_CONFIG({file},{section},{name})"})
        return answer.get("Value").strip()
    return ""


async def _version(link: Connection) -> str:
    with suppress(RefusedByServer):
        version = (await link.action("CoreSettings")).get("AsteriskVersion")
        return f"Asterisk {version.partition('+')[0]}"
    return "Asterisk"
