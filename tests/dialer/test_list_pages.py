"""Lists of a backend whose pages fail, loop, lie about their number or do not end: what other pages brought stays."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from streamdialer.config.settings import Settings
from streamdialer.errors import Unreachable
from streamdialer.gateways.backend import MAX_PAGES, Backend, ContactPage
from streamdialer.gateways.body import Response
from tests.support.json_values import json_values

SIZE = 2
PageKind = Literal["good", "500", "html", "garbage", "404", "odd next", "loop", "nan", "bom"]
Ask = Callable[[str], Response]


def rows_of(page: int) -> list[dict[str, Any]]:
    return [{"id": page * SIZE + at, "phone_number": "+15550100", "status": "pending"} for at in range(SIZE)]


def answered(path: str, content: bytes, *, status: int = 200) -> Response:
    return Response(url=f"http://backend{path}", status_code=status, headers={}, content=content)


def reply(url: str, kind: PageKind, page: int, following: str | None, odd: object) -> Response:
    document: dict[str, Any] = {"count": odd, "next": following, "previous": odd, "results": rows_of(page)}
    if kind == "odd next":
        document["next"] = [following]
    if kind == "loop":
        document["next"] = url
    if kind in ("500", "404"):
        return answered(url, b'{"detail": "Invalid page."}', status=int(kind))
    text = {"html": "<html>", "garbage": '{"results": ['}.get(kind, json.dumps(document))
    if kind == "nan":
        text = text[:-1] + ', "average": NaN}'
    body = b"\xef\xbb\xbf" + text.encode() if kind == "bom" else text.encode("utf-8", "surrogatepass")
    return answered(url, body)


def backend_with(ask: Ask) -> Backend:
    backend = Backend(Settings())

    async def answer(method: str, path: str, **_: object) -> Response:
        return ask(path)

    backend._service.ask = answer  # type: ignore[method-assign]
    return backend


def paged(kinds: list[PageKind], odd: object = 1) -> Ask:
    def ask(path: str) -> Response:
        page = int(URL(path).query.get("offset", "0")) // SIZE
        kind: PageKind = kinds[page] if page < len(kinds) else "404"
        following = f"/api/contacts/?limit={SIZE}&offset={(page + 1) * SIZE}"
        return reply(path, kind, page, following if page + 1 < len(kinds) else None, odd)

    return ask


def expected(kinds: list[PageKind]) -> tuple[list[int], bool]:
    """The pages whose rows must come, and whether nothing may be missing."""
    pages, failed, troubled = list[int](), False, False
    for page, kind in enumerate(kinds):
        if kind == "404" and page > 0:
            return pages, not troubled
        if kind in ("500", "html", "garbage", "404"):
            troubled = True
            if failed:
                break
            failed = True
            continue
        failed = False
        pages.append(page)
        if kind in ("odd next", "loop") and (kind == "loop" or page + 1 < len(kinds)):
            return pages, False
    return pages, not troubled


async def read_all(pages: AsyncIterator[ContactPage]) -> tuple[list[ContactPage], str]:
    """The pages that came, and the error that ended them."""
    read = list[ContactPage]()
    try:
        async for page in pages:
            read.append(page)
    except Unreachable as error:
        return read, str(error)
    return read, ""


page_kinds: st.SearchStrategy[PageKind] = st.sampled_from(
    ["good", "good", "good", "500", "html", "garbage", "404", "loop", "nan", "bom"]
)


@given(kinds=st.lists(page_kinds, min_size=1, max_size=7), odd=json_values)
async def test_a_page_that_fails_leaves_what_other_pages_brought(kinds: list[PageKind], odd: object) -> None:
    listed, error = await read_all(backend_with(paged(kinds, odd)).pending("7", SIZE))
    trouble = "".join(page.trouble for page in listed) + error
    read = [contact.id for page in listed for contact in page.contacts]
    pages, is_whole = expected(kinds)
    assert read == [row["id"] for page in pages for row in rows_of(page)]
    assert (trouble == "") == is_whole, trouble


async def test_the_rows_of_a_page_whose_next_cannot_be_read_are_read() -> None:
    backend = backend_with(paged(["good", "odd next", "good"]))
    pages, error = await read_all(backend.pending("7", SIZE))
    assert "not an address" in error
    assert [(len(page.contacts), bool(page.trouble)) for page in pages] == [(2, False), (2, True)]


async def test_contacts_in_a_call_must_be_read_whole() -> None:
    backend = backend_with(paged(["good", "500", "good"]))
    _, error = await read_all(backend.in_flight("7", SIZE))
    assert "HTTP 500" in error


def agents_by_page(pages: int, failing: int | None = None) -> Ask:
    def ask(path: str) -> Response:
        page = int(URL(path).query.get("page", "1"))
        if page == failing:
            return answered(path, b"", status=500)
        following = f"?page={page + 1}" if page < pages else None
        page_of_one = {"next": following, "results": [{"id": page, "status": "idle"}]}
        return answered(path, json.dumps(page_of_one).encode())

    return ask


@pytest.mark.parametrize(
    ("pages", "failing", "names", "trouble"),
    [
        (520, None, range(1, 521), ""),
        (4, 3, [1, 2, 4], "HTTP 500"),
        (10**9, None, range(1, MAX_PAGES + 1), "does not end"),
    ],
)
async def test_agents_of_many_pages_are_read_and_what_is_missing_is_named(
    pages: int, failing: int | None, names: list[int], trouble: str
) -> None:
    listed = await backend_with(agents_by_page(pages, failing)).agents("sales")
    assert [agent.id for agent in listed.agents] == list(names)
    assert trouble in listed.trouble
    assert bool(trouble) == bool(listed.trouble)


async def test_a_list_without_a_readable_page_is_unreachable() -> None:
    with pytest.raises(Unreachable, match="HTTP 500"):
        await backend_with(agents_by_page(3, failing=1)).agents("sales")


async def test_reading_goes_on_at_the_page_where_it_stopped() -> None:
    backend = backend_with(paged(["good"] * 4))
    first = [page async for page in backend.pending("7", SIZE)][1]
    assert first.next is not None
    rest = [page.contacts[0].id async for page in backend.pending("7", SIZE, first.next)]
    assert rest == [4, 6]
    gone = [page async for page in backend.pending("7", SIZE, f"/api/contacts/?limit={SIZE}&offset=90")]
    assert [(page.contacts, page.next, page.trouble) for page in gone] == [([], None, "")]
