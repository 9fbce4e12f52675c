"""The Django backend: reads campaigns, agents and contacts; writes contact statuses and statistics."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec

from streamdialer.config.settings import Settings
from streamdialer.errors import CampaignError, CredentialsRefused, RefusedByServer, Throttled, Unreachable
from streamdialer.gateways.agent_rows import AgentList, read_agents
from streamdialer.gateways.auth import SimpleJWT
from streamdialer.gateways.body import Response, read_json
from streamdialer.gateways.client import Gateway, Query, Service, read_base_url
from streamdialer.gateways.originate_reply import one_line
from streamdialer.gateways.parsing import (
    ContactPage,
    Page,
    next_path,
    path_after,
    path_with_overlap,
    read_campaign,
    read_contact,
    read_contacts,
    read_page,
)
from streamdialer.model import CampaignSettings, Contact, ContactStatus, plain_id

MAX_PAGES: Final = 1000
"""Of one list."""
TRY_CONTACTS_AGAIN_S: Final = 60.0
"""When a backend that did not show a contact is tried again."""
_RETRYABLE: Final = frozenset({401, 403, 408, 425, 429})
"""Refusals after which the same request may succeed later."""
_NO_CONTACT: Final = frozenset({404, 405, 410, 501})
"""Answers of a backend that does not have the contact, or does not serve single contacts."""

__all__ = ["Backend", "ContactPage", "ContactPatch"]


class ContactPatch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A change of a contact; fields with their default are not sent."""

    status: ContactStatus
    attempts: int | None = None
    last_attempt: str | None = None
    """ISO 8601."""


class Backend(Gateway):
    """One client for the life of the process."""

    def __init__(self, settings: Settings) -> None:
        login: SimpleJWT | None = None
        if settings.backend_username and not settings.backend_token:
            base = str(read_base_url(settings.backend_url, "BACKEND_URL")).rstrip("/")
            login_url = f"{base}/{settings.backend_login_path.lstrip('/')}"
            login = SimpleJWT(login_url, settings.backend_username, settings.backend_password)
        self._service = Service(
            "backend",
            settings.backend_url,
            setting="BACKEND_URL",
            timeout_s=settings.backend_timeout_s,
            connections=max(100, settings.concurrency + 16),
            login=login,
            token=settings.backend_token,
        )
        self.shows_contacts = False
        """Whether it has answered `GET /api/contacts/{id}/`, which the contract does not promise."""
        self._asked_in_vain_s: float | None = None

    @property
    def may_show_contacts(self) -> bool:
        """Whether it makes sense to request a contact: the backend shows contacts, or was not tried for a while."""
        asked_s = self._asked_in_vain_s
        return self.shows_contacts or asked_s is None or monotonic() - asked_s > TRY_CONTACTS_AGAIN_S

    async def campaign(self, campaign_id: str) -> CampaignSettings:
        """Settings of one campaign; raises CampaignError or Unreachable."""
        response = await self._service.ask("GET", f"/api/campaigns/{_segment(plain_id(campaign_id))}/")
        if response.status_code == 404:
            raise CampaignError(f"campaign {campaign_id} does not exist in the backend")
        document = self._document(response)
        if not isinstance(document, dict):
            raise self._service.unusable_reply(response)
        return read_campaign(campaign_id, document)

    async def agents(self, queue: str) -> AgentList:
        """All agents of a queue; raises Unreachable when no page of the list can be read."""
        rows: list[Any] = []
        pages, trouble = 0, ""
        try:
            async for page in self._pages(f"/api/queues/{_segment(queue)}/agents/", skips_failed=True):
                pages += 1
                rows += page.rows
                trouble = trouble or page.trouble
        except Unreachable as error:
            if not pages:
                raise
            trouble = trouble or str(error)
        return read_agents(rows, trouble)

    def pending(self, campaign: str, page_size: int, start: str = "") -> AsyncIterator[ContactPage]:
        """Contacts to dial, most urgent first, page by page; raises Unreachable.

        `start` is the `next` of a page read before. A page that cannot be read is left out when the next one can.
        """
        query: Query = {
            "campaign_id": plain_id(campaign),
            "status": "pending",
            "limit": page_size,
            "offset": 0,
            "ordering": "-priority,created_at",
        }
        return self._contacts(campaign, query, {"pending"}, start, skips_failed=True)

    def due_for_retry(
        self,
        campaign: str,
        before: datetime,
        max_attempts: int,
        page_size: int,
        statuses: Collection[str] = ("no_answer", "busy"),
    ) -> AsyncIterator[ContactPage]:
        """Contacts last tried before `before` (zone-aware) that have attempts left; raises Unreachable."""
        query: Query = {
            "campaign_id": plain_id(campaign),
            "status": ",".join(statuses),
            "last_attempt__lt": before.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z",
            "attempts__lt": max_attempts,
            "limit": page_size,
        }
        return self._contacts(campaign, query, statuses)

    def in_flight(self, campaign: str, page_size: int) -> AsyncIterator[ContactPage]:
        """Contacts with the status dialing or answered; raises Unreachable.

        Each page begins with the last row of the page before, where the backend has an offset: else rows move past the
        reader when others leave the list.
        """
        query: Query = {
            "campaign_id": plain_id(campaign),
            "status": "dialing,answered",
            "limit": page_size,
            "offset": 0,
            "ordering": "created_at",
        }
        return self._contacts(campaign, query, {"dialing", "answered"}, overlaps=True)

    async def unfinished(self, campaign: str, page_size: int) -> AsyncIterator[ContactPage]:
        """Contacts with the status pending, dialing or answered; raises Unreachable."""
        statuses = ("dialing", "answered", "pending")
        query: Query = {
            "campaign_id": plain_id(campaign),
            "status": ",".join(statuses),
            "limit": page_size,
            "offset": 0,
            "ordering": "created_at",
        }
        async for page in self._contacts(campaign, query, statuses):
            yield page

    async def contact(self, campaign: str, contact: str, statuses: Collection[str] = ()) -> Contact | None:
        """One contact; None when it is gone, has another id or campaign, or none of `statuses` (empty: any status).

        None also when the backend does not serve single contacts: then `shows_contacts` stays False.
        Raises Unreachable, or ValueError for a contact that cannot be read.
        """
        response = await self._service.ask("GET", f"/api/contacts/{_segment(plain_id(contact))}/")
        if response.status_code in _NO_CONTACT:
            self._asked_in_vain_s = monotonic()
            return None
        document = self._document(response)
        self.shows_contacts = True
        return read_contact(document, campaign=campaign, contact=contact, statuses=statuses)

    async def patch_contact(self, contact: str, patch: ContactPatch) -> None:
        """Writes a contact's status; raises Unreachable (try again later) or RefusedByServer (final).

        A reply that shows the contact with another status is a refusal; a reply without a status is none.
        """
        response = await self._service.ask(
            "PATCH", f"/api/contacts/{_segment(plain_id(contact))}/", body=patch
        )
        self._require_accepted(response, f"contact {contact}")
        shown = _status_shown(response)
        if shown is not None and shown.strip().lower() != patch.status:
            raise RefusedByServer(
                f"backend: contact {contact} was to get the status {patch.status!r}, "
                f"the reply to PATCH shows {one_line(shown)!r}",
                response.status_code,
            )

    async def post_statistics(self, campaign: str, document: Mapping[str, Any]) -> None:
        """Writes the statistics of a campaign; raises like `patch_contact`."""
        path = f"/api/campaigns/{_segment(plain_id(campaign))}/update_stats/"
        response = await self._service.ask("POST", path, body=dict(document))
        self._require_accepted(response, f"statistics of campaign {campaign}")

    async def health(self) -> str:
        """One line for people; raises Unreachable unless our credentials can list contacts."""
        response = await self._service.ask("GET", "/api/contacts/", query={"status": "pending", "limit": 1})
        if response.status_code == 400:  # some backends list the contacts of one campaign only
            return f"backend at {self._service.base} answers"
        self._page(response)
        return f"backend at {self._service.base} answers and lists contacts"

    async def _contacts(
        self,
        campaign: str,
        query: Query,
        statuses: Collection[str],
        start: str = "",
        *,
        skips_failed: bool = False,
        overlaps: bool = False,
    ) -> AsyncIterator[ContactPage]:
        rows_read, path = 0, "/api/contacts/"
        async for page in self._pages(path, query, start, skips_failed=skips_failed, overlaps=overlaps):
            defaulted, not_asked = Counter[str](), list[str]()
            contacts, unreadable = read_contacts(
                page.rows,
                campaign=campaign,
                statuses=statuses,
                offset=rows_read,
                defaulted=defaulted,
                not_asked=not_asked,
            )
            rows_read += len(page.rows)
            yield ContactPage(
                contacts=contacts,
                unreadable=unreadable,
                not_asked=not_asked,
                path=page.path,
                next=page.next,
                trouble=page.trouble,
                defaulted=defaulted,
            )

    async def _pages(
        self,
        path: str,
        query: Query | None = None,
        start: str = "",
        *,
        skips_failed: bool = False,
        overlaps: bool = False,
        max_pages: int = MAX_PAGES,
    ) -> AsyncIterator[_ListedPage]:
        """Page by page; raises Unreachable, and with `skips_failed` only for two failing pages in a row."""
        step = start or (f"{path}?{urlencode(query)}" if query else path)
        visited = {step}
        previous, trouble = b"", ""
        while True:
            response = await self._service.ask("GET", step)
            if response.status_code == 404 and (start or len(visited) > 1):
                # the list has become shorter since `next` was written
                yield _ListedPage(rows=[], path=step, next=None, trouble=trouble)
                return
            following: str | None = None
            try:
                page = self._page(response)
            except Unreachable as error:
                following = path_after(step)
                is_refusal = isinstance(error, CredentialsRefused | Throttled)
                if trouble or following is None or is_refusal or not skips_failed:
                    raise
                trouble = str(error)
            else:
                if page.is_bare and response.content == previous:
                    return  # a backend that ignores `offset` sends the first page again
                previous = response.content
                if page.next is not None:
                    try:
                        following = self._next_path(step, page.next, response)
                    except Unreachable as error:
                        yield _ListedPage(rows=page.rows, path=step, next=None, trouble=str(error))
                        raise
                elif page.is_bare and query and len(page.rows) == query.get("limit"):
                    following = path_after(step) or f"{step}&offset={len(page.rows)}"
                if overlaps and following is not None:
                    following = path_with_overlap(step, following)
                yield _ListedPage(rows=page.rows, path=step, next=following, trouble=trouble)
                trouble = ""
                if following is None:
                    return
            if following in visited or len(visited) >= max_pages:
                raise Unreachable(f"backend: the list {path} does not end ({len(visited)} pages read)")
            visited.add(following)
            step = following

    def _next_path(self, step: str, following: object, response: Response) -> str:
        try:
            return next_path(step, following, self._service.prefix)
        except ValueError as exc:
            raise Unreachable(f"{self._service.unusable_reply(response)}: {exc}") from exc

    def _page(self, response: Response) -> Page:
        try:
            return read_page(self._document(response))
        except ValueError as exc:
            raise Unreachable(f"{self._service.unusable_reply(response)}: {exc}") from exc

    def _document(self, response: Response) -> Any:
        if not response.is_success:
            raise self._service.unusable_reply(response)
        try:
            return read_json(response)
        except ValueError as exc:
            raise self._service.unusable_reply(response) from exc

    def _require_accepted(self, response: Response, subject: str) -> None:
        status = response.status_code
        if 400 <= status < 500 and status not in _RETRYABLE:
            raise RefusedByServer(
                f"backend: {subject} refused: {self._service.unusable_reply(response)}", status
            )
        # a log-in page or a proxy's page has status 200 too
        if not response.is_success or response.headers.get("content-type", "").startswith("text/html"):
            raise self._service.unusable_reply(response)


class _ListedPage(msgspec.Struct, frozen=True, kw_only=True):
    rows: list[Any]
    path: str
    """With its query."""
    next: str | None
    """Path and query of the page that follows."""
    trouble: str
    """Why the page before this one or all after it are missing, '' when none is."""


def _status_shown(response: Response) -> str | None:
    """The status in a reply that shows a contact."""
    try:
        document = read_json(response)
    except ValueError:
        return None
    shown = document.get("status") if isinstance(document, dict) else None
    return shown if isinstance(shown, str) else None


def _segment(text: str) -> str:
    return quote(text, safe="")
