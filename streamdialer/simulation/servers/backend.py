"""The backend of the call centre: campaigns, contacts and agents, as the Django application serves them."""

from __future__ import annotations

import secrets
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any
from urllib.parse import urlencode

import msgspec
from aiohttp import web

from streamdialer.model import wire_id
from streamdialer.simulation.servers.http import Service, json_reply
from streamdialer.simulation.world.config import CentreConfig
from streamdialer.simulation.world.engine import World
from streamdialer.simulation.world.entities import Contact, Id

PAGE_SIZE = 100
"""Entries per page when the request has no limit."""
INTERNAL_URL = "http://django:8000"
"""Start of the `next` link of a page: the host name under which the backend knows itself."""
NOT_FOUND = {"detail": "Not found."}
ORDERING_FIELDS = frozenset({"id", "priority", "created_at", "attempts", "status"})


class ContactChange(msgspec.Struct):
    """Body of a PATCH; other fields are ignored."""

    status: str | msgspec.UnsetType = msgspec.UNSET
    attempts: int | msgspec.UnsetType = msgspec.UNSET
    last_attempt: str | msgspec.UnsetType | None = msgspec.UNSET
    phone_number: str | msgspec.UnsetType = msgspec.UNSET
    priority: int | msgspec.UnsetType = msgspec.UNSET
    timezone: str | msgspec.UnsetType | None = msgspec.UNSET
    custom_data: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


class Credentials(msgspec.Struct):
    username: str
    password: str


class RefreshRequest(msgspec.Struct):
    refresh: str


class Backend(Service):
    """Stores every change of a contact without checks, as the original does."""

    def __init__(self, world: World, config: CentreConfig, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self.statistics: defaultdict[Id, list[Any]] = defaultdict(list)
        """Documents posted to `update_stats`, per campaign."""
        self.refuses_updates_of: frozenset[Id] = frozenset()
        """Contacts whose PATCH is answered 400."""
        self.updates_refused: Counter[Id] = Counter()
        """How often, by contact."""
        self.newest_update_refused: set[Id] = set()
        """Contacts whose newest PATCH was refused: they show an older status."""
        self._world = world
        self._config = config
        self._access: set[str] = set()
        self._refresh: set[str] = set()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/campaigns/", self._list_campaigns),
            web.get("/api/campaigns/{id}/", self._show_campaign),
            web.post("/api/campaigns/{id}/update_stats/", self._update_stats),
            web.get("/api/queues/{queue}/agents/", self._list_agents),
            web.get("/api/contacts/", self._list_contacts),
            web.get("/api/contacts/{id}/", self._show_contact),
            web.patch("/api/contacts/{id}/", self._patch_contact),
            web.post("/api/token/", self._log_in),
            web.post("/api/token/refresh/", self._refresh_token),
        ]

    def is_allowed(self, request: web.Request) -> bool:
        is_open = self._config.backend_token is None and self._config.backend_username is None
        if is_open or request.path.startswith("/api/token/"):
            return True
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        is_known = token in self._access or (bool(token) and token == self._config.backend_token)
        return scheme == "Bearer" and is_known

    def expire_access_tokens(self) -> None:
        """All access tokens from log-ins are refused from now on; refresh tokens stay valid."""
        self._access.clear()

    def expire_refresh_tokens(self) -> None:
        """All refresh tokens are refused from now on: the client has to log in again."""
        self._refresh.clear()

    async def _list_campaigns(self, request: web.Request) -> web.Response:
        return self._page(request, list(self._world.campaigns.values()))

    async def _show_campaign(self, request: web.Request) -> web.Response:
        campaign = self._world.campaigns.get(wire_id(request.match_info["id"]))
        return json_reply(campaign) if campaign else json_reply(NOT_FOUND, 404)

    async def _update_stats(self, request: web.Request) -> web.Response:
        campaign_id = wire_id(request.match_info["id"])
        if campaign_id not in self._world.campaigns:
            return json_reply(NOT_FOUND, 404)
        self.statistics[campaign_id].append(msgspec.json.decode(await request.read()))
        return json_reply({"status": "ok"})

    async def _list_agents(self, request: web.Request) -> web.Response:
        queue = self._world.queues.get(request.match_info["queue"])
        if queue is None:
            return json_reply(NOT_FOUND, 404)
        at = self._clock() - self._config.agent_list_lag_s
        return json_reply([{"id": agent.id, "status": agent.state_at(at)} for agent in queue.agents])

    async def _list_contacts(self, request: web.Request) -> web.Response:
        query = request.query
        contacts: Iterable[Contact] = self._world.contacts.values()
        if "campaign_id" in query:
            campaign_id = wire_id(query["campaign_id"])
            contacts = [_in_list(contact, campaign_id) for contact in self._world.contacts_of(campaign_id)]
        if "status" in query:
            statuses = frozenset(query["status"].split(","))
            contacts = [contact for contact in contacts if contact.status in statuses]
        if "attempts__lt" in query:
            attempts = int(query["attempts__lt"])
            contacts = [contact for contact in contacts if contact.attempts < attempts]
        if "last_attempt__lt" in query:
            before = _parse_time(query["last_attempt__lt"])
            contacts = [
                contact
                for contact in contacts
                if contact.last_attempt and _parse_time(contact.last_attempt) < before
            ]
        matching = list(contacts)
        # the sort is stable: least important first
        for field in reversed(query.get("ordering", "").split(",")):
            name = field.removeprefix("-")
            if name in ORDERING_FIELDS:
                matching.sort(key=attrgetter(name), reverse=field != name)
        return self._page(request, matching)

    async def _show_contact(self, request: web.Request) -> web.Response:
        contact = self._contact(request)
        if contact is None:
            return json_reply(NOT_FOUND, 404)
        shown = msgspec.to_builtins(contact)
        if contact.also_in:
            del shown["campaign_id"]  # it belongs to no single campaign
        return json_reply(shown)

    async def _patch_contact(self, request: web.Request) -> web.Response:
        contact = self._contact(request)
        if contact is None:
            return json_reply(NOT_FOUND, 404)
        if contact.id in self.refuses_updates_of:
            return self.refuse_update(contact.id, 400)
        change = msgspec.json.decode(await request.read(), type=ContactChange)
        if isinstance(change.last_attempt, str):
            _parse_time(change.last_attempt)  # raises ValueError: status 400
        if isinstance(change.status, str):
            self._world.auditor.status_written(contact.id, contact.status, change.status, self._clock())
        self.newest_update_refused.discard(contact.id)
        for field in ContactChange.__struct_fields__:
            if (value := getattr(change, field)) is not msgspec.UNSET:
                setattr(contact, field, value)
        return json_reply(contact)

    def refuse_update(self, contact_id: Id, status: int) -> web.Response:
        """The reply to a PATCH that changes nothing."""
        self.updates_refused[contact_id] += 1
        self.newest_update_refused.add(contact_id)
        return json_reply({"detail": "This contact cannot be changed."}, status)

    async def _log_in(self, request: web.Request) -> web.Response:
        credentials = msgspec.json.decode(await request.read(), type=Credentials)
        expected = (self._config.backend_username, self._config.backend_password)
        if (credentials.username, credentials.password) != expected:
            return json_reply({"detail": "No active account found with the given credentials"}, 401)
        access, refresh = secrets.token_urlsafe(), secrets.token_urlsafe()
        self._access.add(access)
        self._refresh.add(refresh)
        return json_reply({"access": access, "refresh": refresh})

    async def _refresh_token(self, request: web.Request) -> web.Response:
        body = msgspec.json.decode(await request.read(), type=RefreshRequest)
        if body.refresh not in self._refresh:
            return json_reply({"detail": "Token is invalid or expired", "code": "token_not_valid"}, 401)
        access = secrets.token_urlsafe()
        self._access.add(access)
        return json_reply({"access": access})

    def _contact(self, request: web.Request) -> Contact | None:
        contact_id = wire_id(request.match_info["id"])
        return self._world.contacts.get(contact_id) if isinstance(contact_id, int) else None

    def _page(self, request: web.Request, entries: Sequence[object]) -> web.Response:
        limit, offset = int(request.query.get("limit", PAGE_SIZE)), int(request.query.get("offset", 0))
        if limit < 1 or offset < 0:
            raise ValueError("limit is at least 1 and offset at least 0")

        def link(offset: int, exists: bool) -> str | None:
            query = {**request.query, "limit": str(limit), "offset": str(offset)}
            return f"{INTERNAL_URL}{request.path}?{urlencode(query)}" if exists else None

        return json_reply(
            {
                "count": len(entries),
                "next": link(offset + limit, offset + limit < len(entries)),
                "previous": link(max(0, offset - limit), offset > 0),
                "results": entries[offset : offset + limit],
            }
        )


def _in_list(contact: Contact, campaign_id: Id) -> Contact:
    """The contact as the list of the campaign shows it."""
    return msgspec.structs.replace(contact, campaign_id=campaign_id) if contact.also_in else contact


def _parse_time(text: str) -> datetime:
    """An ISO 8601 time, UTC when it names no zone; raises ValueError."""
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)
