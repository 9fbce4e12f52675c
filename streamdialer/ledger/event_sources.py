"""Typed stubs of the scripts for event sources that list all calls they see up (`source_live`)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Final, Literal

import msgspec

from streamdialer.broker.keys import Keys
from streamdialer.broker.scripts import Argument, Script, Scripts
from streamdialer.ledger.types import Limits

NOTE_SOURCE, END_MISSING_CALLS = (
    Script("streamdialer.ledger", name) for name in ("note_source", "end_missing_calls")
)
MAX_SOURCES: Final = 100
BATCH: Final = 200
TOO_NEW_MS: Final = 5000
"""A call sent this shortly before a list was written may be missing in it."""
STATES: Final = ("dialing", "connected", "orphaned")


class SourceLists(msgspec.Struct, frozen=True):
    """The lists of all sources."""

    cutoff_ms: int
    """A call that was heard of later may be missing in some list, ledger ms."""
    watched_since_ms: int
    """Since when every source has watched without a gap, ledger ms."""
    sources: tuple[str, ...]
    ids: frozenset[str]
    """Of attempts and calls that some source lists."""


class MissingCalls(msgspec.Struct, kw_only=True):
    """What was found when a campaign's calls were compared with the lists."""

    examined: int = 0
    stayed: int = 0
    nameless: int = 0
    """Calls that stayed because no call id of theirs is known, and a listed call may be theirs."""
    ended: list[str] = []
    """Ids of attempts."""
    listed: list[str] = []
    """Ids that belong to calls of the campaign."""


class EventSources:
    """The lists, and what they say of the campaigns' calls."""

    def __init__(self, scripts: Scripts, keys: Keys, limits: Limits) -> None:
        self._scripts = scripts
        self._keys = keys
        self._limits = limits

    async def note(
        self, source: str, entry: str, ids: Iterable[str], since_ms: int
    ) -> SourceLists | Literal["older", "too_many"]:
        """Stores the source's list; "older" when a newer one is known. `since_ms`: since when it has watched."""
        keys, max_call_ms = self._keys, self._limits.max_call_duration_ms
        status, *rest = await self._scripts.run(
            NOTE_SOURCE,
            [keys.server, keys.sources, keys.source_calls(source), keys.stream("events")],
            [source, entry, max_call_ms, MAX_SOURCES, since_ms, *_with_contacts(ids)],
        )
        if status != "ok":
            return "older" if status == "older" else "too_many"
        oldest_ms, watched_since_ms, *sources = rest
        pipe = self._scripts.client.pipeline(transaction=False)
        for name in sources:
            pipe.smembers(keys.source_calls(name))
        listed = frozenset(each for ids in await pipe.execute() for each in ids if not each.endswith(":"))
        return SourceLists(int(oldest_ms) - TOO_NEW_MS, int(watched_since_ms), tuple(sources), listed)

    async def campaigns(self) -> tuple[list[str], list[str]]:
        """All campaigns the ledger knows, and those with a call that is up."""
        client, keys = self._scripts.client, self._keys
        found: list[Any] = await client.hkeys(keys.directory)
        campaigns = [str(name) for name in found]
        pipe = client.pipeline(transaction=False)
        for campaign in campaigns:
            for state in STATES:
                pipe.exists(getattr(keys, state)(campaign))
        exist = await pipe.execute()
        width = len(STATES)
        return campaigns, [
            name for at, name in enumerate(campaigns) if any(exist[at * width : (at + 1) * width])
        ]

    async def end_missing(
        self, campaign: str, entry: str, lists: SourceLists, *, judges_nameless: bool
    ) -> MissingCalls:
        """Ends the campaign's calls that no source lists; those without a call id only if `judges_nameless`."""
        keys, limits, total = self._keys, self._limits, MissingCalls()
        names = [
            *keys.of_campaign(campaign),
            *keys.of_call_history,
            keys.api,
            keys.first_events,
            keys.sources,
            keys.outcomes,
            *map(keys.source_calls, lists.sources),
        ]
        for state in STATES:
            stayed, examined = 0, BATCH
            while examined == BATCH:
                args: list[Argument] = [
                    campaign,
                    entry,
                    limits.max_call_duration_ms,
                    limits.deadline_ms,
                    lists.cutoff_ms,
                    "1" if judges_nameless else "0",
                    state,
                    stayed,
                    BATCH,
                    lists.watched_since_ms,
                    limits.outcomes_maxlen,
                ]
                answer = await self._scripts.run(END_MISSING_CALLS, names, args)
                if answer == "not_now":
                    return total
                found = msgspec.json.decode(answer, type=MissingCalls)
                examined, stayed = found.examined, stayed + found.stayed
                total.nameless += found.nameless
                total.ended += found.ended
                total.listed += found.listed
        return total


def _with_contacts(ids: Iterable[str]) -> set[str]:
    """The ids, and of those that are attempts' the beginning `{campaign}:{contact}:`.

    After a data loss, an attempt that stands for a lost call does not know that call's id.
    """
    listed = set(ids)
    return listed | {":".join(each.split(":")[:2]) + ":" for each in listed if each.count(":") >= 2}


def unknown_calls(ids: Collection[str], campaigns: Collection[str]) -> set[str]:
    """The ids that are no attempt's: which attempt they belong to, only events have said."""
    return {each for each in ids if each.count(":") < 2 or each.partition(":")[0] not in campaigns}
