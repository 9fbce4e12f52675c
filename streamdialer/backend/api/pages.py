"""Pages that stay right while rows leave the list.

The dialer reads pending contacts page by page and calls them meanwhile: they leave the list, and with an offset the
rows after them would move up past the reader. So `next` names the last row of the page, and the next page begins after
that row. A request may still ask for an `offset`.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Model, QuerySet
from rest_framework.exceptions import ValidationError
from rest_framework.filters import OrderingFilter
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import remove_query_param, replace_query_param

if TYPE_CHECKING:
    from rest_framework.views import APIView

PAGE_SIZE: Final = 100
MAX_PAGE_SIZE: Final = 1000


class Ordering(OrderingFilter):
    """`ordering=-priority,created_at` over the view's `ordering_fields`; the id comes last: no two rows are equal."""

    def get_ordering(self, request: Request, queryset: QuerySet[Any], view: APIView) -> list[str]:
        ordering = list(super().get_ordering(request, queryset, view) or ())
        return ordering if {"id", "-id"} & set(ordering) else [*ordering, "id"]


class StablePages(BasePagination):
    def paginate_queryset(
        self,
        queryset: Any,
        request: Request,
        view: APIView | None = None,  # noqa: ARG002
    ) -> list[Any]:
        query = request.query_params
        self._url = request.build_absolute_uri()
        self._limit = _read_whole(query.get("limit", ""), "limit", PAGE_SIZE, least=1)
        self._limit = min(self._limit, MAX_PAGE_SIZE)
        self._offset = _read_whole(query.get("offset", ""), "offset", 0, least=0)
        self._fields = [str(name) for name in queryset.query.order_by]
        wanted = self._limit + 1
        if "after" in query:
            self._offset = 0
            self._count, mark = _read_mark(query["after"], self._fields, queryset)
            rows = _rows_after(queryset, self._fields, mark, wanted)
        else:
            self._count = queryset.count()
            rows = list(queryset[self._offset : self._offset + wanted])
        self._has_more = len(rows) == wanted
        rows = rows[: self._limit]
        self._last = rows[-1] if rows else None
        return rows

    def get_paginated_response(self, data: Any) -> Response:
        following = previous = None
        if self._has_more and self._last is not None:
            mark = _mark(self._count, self._last, self._fields)
            following = replace_query_param(remove_query_param(self._url, "offset"), "after", mark)
        if self._offset:
            previous = replace_query_param(self._url, "offset", max(0, self._offset - self._limit))
        return Response({"count": self._count, "next": following, "previous": previous, "results": data})


def _read_whole(text: str, name: str, default: int, *, least: int) -> int:
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) >= least):
        raise ValidationError({name: [f"a whole number of at least {least}"]})
    return int(text)


def _rows_after(queryset: QuerySet[Any], fields: list[str], mark: list[Any], wanted: int) -> list[Any]:
    """The rows after the one with these values: first those that are equal in all fields but the last, and so on.

    Each part is one range of the index; a single condition would make the database read the list from its beginning.
    """
    rows: list[Any] = []
    for last in reversed(range(len(fields))):
        if len(rows) < wanted:
            equal = {name.removeprefix("-"): value for name, value in zip(fields[:last], mark, strict=False)}
            name = fields[last]
            beyond = {f"{name[1:]}__lt": mark[last]} if name.startswith("-") else {f"{name}__gt": mark[last]}
            rows += queryset.filter(**equal, **beyond)[: wanted - len(rows)]
    return rows


def _mark(count: int, row: Model, fields: list[str]) -> str:
    """The count goes along: counting a long list takes longer than reading a page."""
    names = [name.removeprefix("-") for name in fields]
    columns = {field.name: field for field in row._meta.concrete_fields}
    values = [columns[name].value_to_string(row) for name in names]
    return base64.urlsafe_b64encode(json.dumps([count, *values]).encode()).decode().rstrip("=")


def _read_mark(text: str, fields: list[str], queryset: QuerySet[Any]) -> tuple[int, list[Any]]:
    try:
        count, *values = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        names = [name.removeprefix("-") for name in fields]
        columns = {field.name: field for field in queryset.model._meta.concrete_fields}
        mark = [columns[name].to_python(value) for name, value in zip(names, values, strict=True)]
        return int(count), mark
    except Exception as error:  # whatever is wrong with it, somebody made it up
        raise ValidationError({"after": ["not from a `next` of this list"]}) from error
