"""What an operator can do in the dashboard: the same functions as the command line; what is final asks first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

from aiohttp import web
from redis.exceptions import RedisError

from streamdialer.broker.connection import TRANSIENT
from streamdialer.broker.dead_letters import DeadLetters
from streamdialer.broker.keys import Keys
from streamdialer.dashboard.middleware import AUDIT, Middleware, read_form, safe_redirect, session_of
from streamdialer.dashboard.pages import OverviewCache
from streamdialer.dashboard.refusal import bad_request
from streamdialer.dashboard.render import Renderer
from streamdialer.errors import SettingsError, StreamdialerError
from streamdialer.operations.campaigns import CampaignCommand, read_campaign_id, set_campaign_status
from streamdialer.operations.dead_letters import (
    checked_letter_ids,
    drop_letters,
    replay_letters,
    select_letters,
)
from streamdialer.operations.phrase import Phrase


class Actions:
    """Handlers of every form that changes something."""

    def __init__(
        self,
        client: Any,
        keys: Keys,
        letters: DeadLetters,
        middleware: Middleware,
        renderer: Renderer,
        cache: OverviewCache,
    ) -> None:
        self._client = client
        self._keys = keys
        self._letters = letters
        self._middleware = middleware
        self._renderer = renderer
        self._cache = cache

    async def set_campaign_status(self, request: web.Request) -> web.StreamResponse:
        """Start, pause or stop a campaign; the form of `/campaigns/start` names one that is not listed yet."""
        form = await read_form(request)
        command = cast("CampaignCommand", request.match_info.get("command", "start"))
        back = safe_redirect(str(form.get("back", "/")))
        try:
            campaign = read_campaign_id(request.match_info.get("campaign") or str(form.get("campaign", "")))
        except SettingsError as error:
            raise bad_request(str(error)) from error
        if command == "stop" and not await _is_confirmed(request):
            return await self._confirm(
                request,
                Phrase("Stop campaign {campaign} permanently?", campaign=campaign),
                Phrase("No more of its contacts are called. Calls in progress continue."),
                Phrase("Stop campaign"),
                back,
            )

        async def act() -> str:
            status = await set_campaign_status(self._client, self._keys, campaign, command)
            return Phrase("Campaign {campaign} is now {status}.", campaign=campaign, status=Phrase(status))

        return await self._act(request, f"campaign {command}", campaign, act, back)

    async def replay(self, request: web.Request) -> web.StreamResponse:
        letter_ids = await _selected_ids(request)

        async def act() -> str:
            replayed = await replay_letters(self._letters, await select_letters(self._letters, letter_ids))
            return Phrase.counted(
                "{number} dead letter put back into its stream.",
                "{number} dead letters put back into their streams.",
                len(replayed),
            )

        return await self._act(request, "dead replay", _subject(letter_ids), act, "/dead")

    async def drop(self, request: web.Request) -> web.StreamResponse:
        letter_ids = await _selected_ids(request)
        until = str((await read_form(request)).get("until", "")) or None
        if until is not None:
            _check_ids([until])
        if not await _is_confirmed(request):
            which, more = _count(len(letter_ids or [])), dict[str, str]()
            if letter_ids is None:  # letters that arrive after the question are not included
                more = {"until": next((letter.id for letter in await self._letters.newest(1)), "0-0")}
                which = Phrase("all {letters}", letters=_count(await self._letters.count()))
            return await self._confirm(
                request,
                Phrase("Drop {letters} permanently?", letters=which),
                Phrase("You cannot replay what is dropped."),
                Phrase("Drop"),
                "/dead",
                **more,
            )

        async def act() -> str:
            selected = await select_letters(self._letters, letter_ids, must_exist=False, until=until)
            dropped = await drop_letters(self._letters, selected)
            missing = 0 if letter_ids is None else len(selected) - dropped
            did = Phrase("{letters} dropped.", letters=_count(dropped))
            return (
                Phrase.joined(did, " ", Phrase("{number} did not exist.", number=missing)) if missing else did
            )

        return await self._act(request, "dead drop", _subject(letter_ids), act, "/dead")

    async def _confirm(
        self, request: web.Request, question: str, consequence: str, yes: str, return_to: str, **more: str
    ) -> web.StreamResponse:
        """A page that asks; its button sends the same form again, confirmed."""
        form = await read_form(request)
        fields = [(name, value) for name, value in form.items() if name not in ("token", "confirmed", *more)]
        return self._renderer.page(
            request,
            "confirm",
            question=question,
            consequence=consequence,
            yes=yes,
            return_to=return_to,
            fields=[*fields, *more.items()],
        )

    async def _act(
        self, request: web.Request, action: str, subject: str, act: Callable[[], Awaitable[str]], then: str
    ) -> web.StreamResponse:
        """Does it, writes the audit log line, and shows the outcome on the user's next page."""
        session = session_of(request)
        fields = {**self._middleware.actor(request), "action": action, "subject": subject}
        try:
            outcome = await act()
        except (StreamdialerError, RedisError, *TRANSIENT) as error:
            AUDIT.info("operator action", extra={**fields, "outcome": "failed", "error": str(error)})
            is_refused = isinstance(error, StreamdialerError)
            prefix = Phrase("It may have been done; check before you repeat it")
            if is_refused:
                prefix = Phrase("Not done")
            self._renderer.flash(session, Phrase.joined(prefix, ": ", error), is_good=False)
        else:
            AUDIT.info("operator action", extra={**fields, "outcome": outcome})
            self._renderer.flash(session, outcome, is_good=True)
        self._cache.invalidate()
        raise web.HTTPSeeOther(then)


async def _is_confirmed(request: web.Request) -> bool:
    return (await read_form(request)).get("confirmed") == "yes"


async def _selected_ids(request: web.Request) -> list[str] | None:
    """The ids of the selected letters, None for all; raises HTTPBadRequest for none and for an invalid id."""
    form = await read_form(request)
    if form.get("all") == "yes":
        return None
    letter_ids = [str(letter_id) for letter_id in form.getall("id", [])]
    if not letter_ids:
        raise bad_request(Phrase("You selected nothing."))
    return _check_ids(letter_ids)


def _check_ids(letter_ids: list[str]) -> list[str]:
    """Each id once; raises HTTPBadRequest for an invalid id."""
    try:
        return checked_letter_ids(letter_ids)
    except SettingsError as error:
        raise bad_request(str(error)) from error


def _subject(letter_ids: list[str] | None) -> str:
    return "all" if letter_ids is None else ",".join(letter_ids)


def _count(number: int) -> Phrase:
    return Phrase.counted("{number} dead letter", "{number} dead letters", number)
