"""What a real Asterisk and its callees saw of our calls, held against what we say, for tests marked `asterisk`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, Final, NamedTuple

import anyio
from redis.asyncio import Redis

from streamdialer.config.ami_urls import parse_ami_urls
from streamdialer.gateways.ami.link import connected
from streamdialer.gateways.ami.messages import CHANNEL_ID_PREFIX
from streamdialer.model import plain_id
from tests.support.eventually import eventually
from tests.support.real_asterisk import RealAsterisk, Seen

LATE_LOOKS: Final = 5
"""An event takes a moment to arrive: ours may be what Asterisk's was half a second before."""


class Look(NamedTuple):
    """The free agents that we know of, and those that Asterisk does."""

    at: float
    ours: frozenset[str]
    theirs: frozenset[str]


STATUSES: Final = {
    "0": {"busy"},
    "1": {"failed"},
    "2": {"no_answer"},
    "3": {"invalid"},
    "4": {"failed"},
    **{digit: {"completed", "abandoned"} for digit in "56789"},
}
"""What becomes of a contact, by the number's last digit."""


def numbers(prefix: str, digits: str) -> list[str]:
    return [f"{prefix}{at:03}{digit}" for at, digit in enumerate(digits)]


def called(asterisk: RealAsterisk, wanted: list[str]) -> Counter[str]:
    return Counter(each.number for each in asterisk.seen() if each.what == "INVITE" and each.number in wanted)


def up(asterisk: RealAsterisk, wanted: list[str]) -> set[str]:
    """Numbers ending in 2 that ring, and others that talk."""
    last = {each.number: each.what for each in asterisk.seen() if each.number in wanted}
    return {number for number, what in last.items() if what == ("INVITE" if number[-1] == "2" else "ANSWER")}


def ends_by_queue_log(asterisk: RealAsterisk, campaign: int) -> dict[str, str]:
    """What Asterisk's queues say became of the contacts that they had, by contact."""
    found: dict[str, str] = {}
    for uniqueid, words in asterisk.in_queues().items():
        its_campaign, _, rest = uniqueid.removeprefix(CHANNEL_ID_PREFIX).partition(":")
        if its_campaign == str(campaign):
            found[rest.partition(":")[0]] = "completed" if "CONNECT" in words else "abandoned"
    return found


def overlaps(seen: list[Seen]) -> list[str]:
    """Numbers that were called while a call of theirs was up, or after they had answered."""
    up, answered, found = set[str](), set[str](), list[str]()
    for each in sorted(seen, key=lambda each: each.at):
        if each.what == "INVITE":
            if each.number in up | answered:
                found.append(each.number)
            up.add(each.number)
        elif each.what == "ANSWER":
            answered.add(each.number)
        else:
            up.discard(each.number)
    return found


async def is_over(client: Redis, contacts: int) -> bool:
    """Whether campaign 1 has called this many contacts, and has none left to call."""
    public: Any = await client.hgetall("campaign:1")
    left = ("ready_contacts", "waiting_contacts", "active_calls", "connected_calls")
    return int(public.get("total_calls", 0)) >= contacts and not any(int(public[name]) for name in left)


async def watch_agents(
    asterisk: RealAsterisk, client: Redis, queue: str, is_done: Callable[[], bool | Awaitable[bool]]
) -> list[Look]:
    """Looks ten times a second, from the first tick on."""
    looks: list[Look] = []
    async with connected(parse_ami_urls(asterisk.url)[0], lambda _: None) as link:
        await eventually(lambda: client.exists(f"sd:q:{queue}:state"), within_s=60, what="the first tick")
        with anyio.fail_after(200):
            while True:
                done = is_done()
                if await done if isawaitable(done) else done:
                    return looks
                await anyio.sleep(0.1)
                members = await link.list_answer("QueueStatus", {"Queue": queue})
                free = await client.zrange(f"sd:q:{queue}:free", 0, -1)
                theirs = {each.get("Location") for each in members if each.get("Status") == "1"}
                looks.append(Look(time.time(), frozenset(map(plain_id, map(str, free))), frozenset(theirs)))
    raise AssertionError("the calls do not end")


def wrong_looks(looks: list[Look]) -> tuple[int, int]:
    """How often an agent's state was wrong, and how often it was looked at."""
    agents = frozenset[str]().union(*(look.theirs for look in looks))
    wrong = 0
    for at in range(LATE_LOOKS, len(looks)):
        for agent in agents:
            theirs = {agent in look.theirs for look in looks[at - LATE_LOOKS : at + 1]}
            wrong += (agent in looks[at].ours) not in theirs
    return wrong, max(1, len(looks) - LATE_LOOKS) * len(agents)
