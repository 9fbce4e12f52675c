"""What `streamdialer backend` has and the contract with other backends does not: making campaigns and lists."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, TypeVar

import msgspec

from streamdialer.errors import CannotBeDone, Unreachable
from streamdialer.gateways.backend import Backend
from streamdialer.gateways.body import Response, read_json
from streamdialer.gateways.client import Query
from streamdialer.model import plain_id

EXPORT_PAGE: Final = 1000
EXPORT_MAX_PAGES: Final = 100_000
_NOT_SERVED: Final = frozenset({404, 405, 501})
_PAGE_SIZE: Final = 500

Answer = TypeVar("Answer")


class RefusedRow(msgspec.Struct, frozen=True):
    row: int
    """From 0, in the batch."""
    problem: str


class BatchResult(msgspec.Struct, frozen=True):
    refused: list[RefusedRow]


class ListResult(msgspec.Struct, frozen=True):
    added: int
    duplicates: int
    """Numbers that the campaign had already, or that stand in the list twice."""


class _New(msgspec.Struct, frozen=True):
    id: int


class _EvidencePage(msgspec.Struct, frozen=True):
    next: str | None
    results: list[dict[str, Any]]


class OwnBackend(Backend):
    """Its own methods raise Unreachable, or CannotBeDone for what it refuses."""

    async def create_campaign(self, fields: Mapping[str, Any]) -> int:
        """A new campaign; makes its queue, too, if it names one that is not there."""
        if queue := fields.get("queue_name"):
            response = await self._service.ask("POST", "/api/queues/", body={"name": queue})
            if not response.is_success and response.status_code not in (
                *_NOT_SERVED,
                400,
            ):  # 400: it is there
                raise self._service.unusable_reply(response)
        return self._read(await self._post("/api/campaigns/", dict(fields)), _New).id

    async def create_list(self, campaign: str, name: str) -> int:
        """A new list of the campaign."""
        reply = await self._post("/api/lists/", {"campaign_id": campaign, "name": name})
        return self._read(reply, _New).id

    async def add_contacts(self, list_id: int, batch: bytes) -> BatchResult:
        """Adds a batch, an array of JSON; a number that the campaign has already adds nothing."""
        return self._read(
            await self._post(f"/api/lists/{list_id}/contacts/", msgspec.Raw(batch)), BatchResult
        )

    async def attempts(self, campaign: str, since: str, before: str) -> AsyncIterator[dict[str, Any]]:
        """The campaign's ended attempts that were sent in that time (ISO 8601), none from another backend."""
        query: Query = {"campaign_id": campaign, "sent_at__gte": since, "sent_at__lt": before}
        async for attempt in self._evidence("/api/attempts/", query):
            yield attempt

    async def blocks(self, campaign: str, since: str, before: str) -> AsyncIterator[dict[str, Any]]:
        """What rules have blocked in that time (ISO 8601), none from another backend."""
        query: Query = {"campaign_id": campaign, "at__gte": since, "at__lt": before}
        async for block in self._evidence("/api/blocks/", query):
            yield block

    async def _evidence(self, path: str, query: Query) -> AsyncIterator[dict[str, Any]]:
        offset = 0
        while True:
            response = await self._service.ask(
                "GET", path, query={**query, "limit": _PAGE_SIZE, "offset": str(offset)}
            )
            if response.status_code in _NOT_SERVED:
                return
            if not response.is_success:
                raise self._service.unusable_reply(response)
            page = self._read(response, _EvidencePage)
            for row in page.results:
                yield row
            if page.next is None or not page.results:
                return
            offset += len(page.results)

    async def finish_list(self, list_id: int, *, lines: int, bad: int) -> ListResult:
        """Ends the list; returns how many contacts were added, and how many were duplicates."""
        counts = {"lines": lines, "bad": bad}
        return self._read(await self._post(f"/api/lists/{list_id}/", counts, method="PATCH"), ListResult)

    async def contact_rows(self, campaign: str) -> AsyncIterator[list[dict[str, Any]]]:
        """All contacts of the campaign, page by page, each with its `last_outcome`.

        They come in the order of their numbers, of which the database has an index.
        """
        query: Query = {
            "campaign_id": plain_id(campaign),
            "ordering": "number",
            "limit": EXPORT_PAGE,
            "last_outcome": "true",
        }
        async for rows in self._objects("/api/contacts/", query):
            yield rows

    async def attempt_rows(self, campaign: str) -> AsyncIterator[list[dict[str, Any]]]:
        """All attempts of the campaign's contacts that have ended, page by page, oldest first."""
        query: Query = {"campaign_id": plain_id(campaign), "ordering": "id", "limit": EXPORT_PAGE}
        async for rows in self._objects("/api/attempts/", query):
            yield rows

    async def _objects(self, path: str, query: Query) -> AsyncIterator[list[dict[str, Any]]]:
        async for page in self._pages(path, query, max_pages=EXPORT_MAX_PAGES):
            try:
                yield msgspec.convert(page.rows, list[dict[str, Any]])
            except msgspec.ValidationError as error:
                raise Unreachable(f"backend: {path}: a row cannot be read: {error}") from error

    async def _post(self, path: str, body: object, *, method: str = "POST") -> Response:
        response = await self._service.ask(method, path, body=body)
        if response.status_code in _NOT_SERVED:
            raise CannotBeDone(
                f"the backend at {self._service.base} cannot create campaigns and lists: only "
                "`streamdialer backend` can; check BACKEND_URL"
            )
        if response.status_code == 400:
            raise CannotBeDone(f"the backend refuses it: {response.content[:500].decode('utf-8', 'replace')}")
        if not response.is_success:
            raise self._service.unusable_reply(response)
        return response

    def _read(self, response: Response, kind: type[Answer]) -> Answer:
        try:
            return msgspec.convert(read_json(response), kind)
        except ValueError as error:
            raise self._service.unusable_reply(response) from error
