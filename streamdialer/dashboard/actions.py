"""What an operator does from the page: the very functions of the command line, asked first where it is for good."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

from aiohttp import web
from redis.exceptions import RedisError

from streamdialer.broker import DeadLetters
from streamdialer.broker.connection import TRANSIENT
from streamdialer.broker.keys import Keys
from streamdialer.dashboard.middleware import AUDIT, Middleware, form_of, safe_redirect, session_of
from streamdialer.dashboard.pages import OverviewCache
from streamdialer.dashboard.render import Renderer
from streamdialer.errors import SettingsError, StreamdialerError
from streamdialer.operations.campaigns import CampaignCommand, read_campaign_id, set_campaign_status
from streamdialer.operations.dead_letters import (
    checked_letter_ids,
    drop_letters,
    replay_letters,
    wanted_letters,
)


class Actions:
    """Every change that can be made from the page."""

    def __init__(
        self,
        client: Any,
        keys: Keys,
        letters: DeadLetters,
        guard: Middleware,
        renderer: Renderer,
        reader: OverviewCache,
    ) -> None:
        self._client = client
        self._keys = keys
        self._letters = letters
        self._guard = guard
        self._renderer = renderer
        self._reader = reader

    async def order(self, request: web.Request) -> web.StreamResponse:
        """Start, pause or stop a campaign; one that is not shown yet is started by its id."""
        form = await form_of(request)
        order = cast("CampaignCommand", request.match_info.get("order", "start"))
        back = safe_redirect(str(form.get("back", "/")))
        try:
            campaign = read_campaign_id(request.match_info.get("campaign") or str(form.get("campaign", "")))
        except SettingsError as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        if order == "stop" and not await _is_confirmed(request):
            return await self._ask(
                request,
                f"Stop campaign {campaign} for good?",
                "Nobody else of it is called. Calls that are up go on.",
                "Stop it",
                back,
            )

        async def give() -> str:
            status = await set_campaign_status(self._client, self._keys, campaign, order)
            return f"Campaign {campaign} is {status} now."

        return await self._act(request, f"campaign {order}", campaign, give, back)

    async def replay(self, request: web.Request) -> web.StreamResponse:
        """Put dead letters back into their streams."""
        chosen = await _chosen(request)

        async def replay() -> str:
            wanted = await wanted_letters(self._letters, chosen)
            done = await replay_letters(self._letters, wanted)
            return f"{_count(len(done))} put back into {'their streams' if len(done) != 1 else 'its stream'}."

        return await self._act(request, "dead replay", _named(chosen), replay, "/dead")

    async def drop(self, request: web.Request) -> web.StreamResponse:
        """Delete dead letters for good."""
        chosen = await _chosen(request)
        until = str((await form_of(request)).get("until", "")) or None
        if until is not None:
            _checked([until])
        if not await _is_confirmed(request):
            which, more = _count(len(chosen or [])), dict[str, str]()
            if chosen is None:  # what dies after the question is not meant
                more = {"until": next((letter.id for letter in await self._letters.newest(1)), "0-0")}
                which = f"all {_count(await self._letters.count())}"
            return await self._ask(
                request,
                f"Delete {which} for good?",
                "They cannot be replayed any more.",
                "Delete",
                "/dead",
                **more,
            )

        async def drop() -> str:
            wanted = await wanted_letters(self._letters, chosen, must_exist=False, until=until)
            dropped = await drop_letters(self._letters, wanted)
            missing = 0 if chosen is None else len(wanted) - dropped
            return f"{_count(dropped)} deleted." + (f" {missing} did not exist." if missing else "")

        return await self._act(request, "dead drop", _named(chosen), drop, "/dead")

    async def _ask(
        self, request: web.Request, question: str, consequence: str, yes: str, back: str, **more: str
    ) -> web.StreamResponse:
        """The same form once more, to be confirmed."""
        form = await form_of(request)
        return self._renderer.page(
            request,
            "confirm",
            question=question,
            consequence=consequence,
            yes=yes,
            back=back,
            fields=[
                (name, value) for name, value in form.items() if name not in ("token", "confirmed", *more)
            ]
            + list(more.items()),
        )

    async def _act(
        self, request: web.Request, action: str, subject: str, act: Callable[[], Awaitable[str]], then: str
    ) -> web.StreamResponse:
        """Does it, logs who did what with which outcome, and tells them on their next page."""
        session = session_of(request)
        fields = {**self._guard.actor(request), "action": action, "subject": subject}
        try:
            said = await act()
        except (StreamdialerError, RedisError, *TRANSIENT) as error:
            AUDIT.info("by hand", extra={**fields, "outcome": "failed", "error": str(error)})
            done = "Not done" if isinstance(error, StreamdialerError) else "Look whether it was done"
            self._renderer.flash(session, f"{done}: {error}", is_good=False)
        else:
            AUDIT.info("by hand", extra={**fields, "outcome": said})
            self._renderer.flash(session, said, is_good=True)
        self._reader.forget()
        raise web.HTTPSeeOther(then)


async def _is_confirmed(request: web.Request) -> bool:
    return (await form_of(request)).get("confirmed") == "yes"


async def _chosen(request: web.Request) -> list[str] | None:
    """The ids that were ticked, None for all; raises HTTPBadRequest for none and for what is no id."""
    form = await form_of(request)
    if form.get("all") == "yes":
        return None
    ticked = [str(each) for each in form.getall("id", [])]
    if not ticked:
        raise web.HTTPBadRequest(text="Nothing was ticked.")
    return _checked(ticked)


def _checked(letter_ids: list[str]) -> list[str]:
    """Raises HTTPBadRequest for what is no id."""
    try:
        return checked_letter_ids(letter_ids)
    except SettingsError as error:
        raise web.HTTPBadRequest(text=str(error)) from error


def _named(chosen: list[str] | None) -> str:
    return "all" if chosen is None else ",".join(chosen)


def _count(number: int) -> str:
    return f"{number:,} dead letter" + ("" if number == 1 else "s")
