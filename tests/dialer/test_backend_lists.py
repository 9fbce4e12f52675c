"""Lists of agents and contacts from the backend, and what is written to it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from aiohttp import web

from streamdialer.config.settings import Settings
from streamdialer.errors import RefusedByServer, Unreachable
from streamdialer.gateways.backend import Backend, ContactPatch
from streamdialer.gateways.parsing import next_path
from streamdialer.model import normalise_id, wire_id
from streamdialer.operations.session import free_port
from tests.support.gateway_server import Answer, Request, always, backend_of, html


async def agents(answer: Answer) -> list[tuple[int | str, bool]]:
    async with backend_of(answer) as (server, backend):
        found = [(agent.id, agent.is_free) for agent in (await backend.agents("sales/north ü")).agents]
        assert server.requests[0].path == "/api/queues/sales%2Fnorth%20%C3%BC/agents/"
        return found


async def test_agents_come_as_an_array_or_in_pages_and_count_once() -> None:
    rows = [
        {"id": 1, "status": "Available", "x": 1},
        {"id": "b", "status": "IDLE"},
        {"id": 3, "status": None},
    ]
    expected = [(1, True), ("b", True), (3, False)]
    assert await agents(always(rows)) == expected
    assert await agents(always([])) == []
    twice = [*rows, {"id": "1", "status": "busy"}, {"id": 3, "status": "idle"}, {"id": 1, "status": "idle"}]
    assert await agents(always(twice)) == [("1", False), *expected[1:]], "free only if each row says so"

    def paged(request: Request) -> web.Response:
        number = int(request.query.get("page", 1))
        following = f"http://django.internal:1{request.path}?page={number + 1}" if number < 3 else None
        return web.json_response(
            {"count": 3, "next": following, "previous": None, "results": rows[number - 1 : number]}
        )

    assert await agents(paged) == expected


@pytest.mark.parametrize(
    "document",
    [
        {"detail": "no such queue"},
        "agents",
        None,
        {"results": None},
    ],
)
async def test_an_agent_list_that_cannot_be_read_is_no_list(document: object) -> None:
    with pytest.raises(Unreachable, match="answered HTTP 200"):
        await agents(always(document))


async def test_error_pages_are_no_agent_lists() -> None:
    for answer in (lambda _: html(200), lambda _: html(404), always({}, 500), always([], 403)):
        with pytest.raises(Unreachable):
            await agents(answer)


async def test_pending_contacts_are_asked_for_as_the_contract_says_and_bad_rows_put_aside() -> None:
    rows: list[Any] = [
        {
            "id": 1,
            "campaign_id": 7,
            "phone_number": "+1",
            "status": "pending",
            "priority": "9",
            "attempts": None,
        },
        {"phone_number": "+2"},
        {"id": "a\tb", "phone_number": "+3"},
        {"id": 4, "phone_number": 15550104, "do_not_call": "perhaps"},
        {"id": 5, "phone_number": "+5", "campaign_id": 8},
        {"id": 6, "phone_number": "+6", "status": "completed"},
        "seven",
        {"id": "x/8", "timezone": "", "custom_data": {"a": 1}, "priority": "high", "attempts": ""},
    ]
    answer = always({"results": rows, "next": None})
    async with backend_of(answer) as (server, backend):
        pages = [page async for page in backend.pending("7", 50)]
    assert server.requests[0].query == {
        "campaign_id": "7",
        "status": "pending",
        "limit": "50",
        "offset": "0",
        "ordering": "-priority,created_at",
    }
    (page,) = pages
    assert page.next is None
    assert [(c.id, c.priority, c.attempts, c.timezone) for c in page.contacts] == [
        (1, 9, 0, None),
        ("x/8", 5, 0, ""),
    ]
    assert page.defaulted == {"priority": 1, "attempts": 1}
    assert [line.partition(":")[0] for line in page.unreadable] == [
        "row 2",
        r"contact 'a\tb'",
        "contact 4",
        "row 7",
    ]
    assert [line.partition(":")[0] for line in page.not_asked] == ["contact 5", "contact 6"]
    assert "campaign 8" in page.not_asked[0]
    assert "15550104" not in "".join(page.unreadable)


async def test_an_id_of_any_form_is_asked_for_as_the_backend_knows_it() -> None:
    async with backend_of(always({"id": "00Q/5f é", "status": "busy", "results": []})) as (server, backend):
        internal = normalise_id("00Q/5f é")
        await backend.patch_contact(internal, ContactPatch(status="busy"))
        found = await backend.contact("1", internal)
        assert [page async for page in backend.pending(normalise_id("North 1/2"), 5)]
    assert found is not None
    assert found.id == "00Q/5f é"
    assert [request.path for request in server.requests[:2]] == ["/api/contacts/00Q%2F5f%20%C3%A9/"] * 2
    assert server.requests[2].query["campaign_id"] == "North 1/2"


@pytest.mark.parametrize(
    ("row", "is_pending"),
    [
        ({"id": 5, "status": "pending", "phone_number": "+1", "campaign_id": 7}, True),
        ({"id": 5, "status": "pending", "phone_number": "+1"}, True),
        ({"id": 5, "status": "pending", "phone_number": "+1", "campaign_id": 8}, False),
        ({"id": 5, "status": "completed", "campaign_id": 7}, False),
    ],
)
async def test_a_contact_asked_for_by_its_id_is_pending_in_its_campaign_or_not(
    row: dict[str, Any], is_pending: bool
) -> None:
    async with backend_of(always(row)) as (server, backend):
        found = await backend.contact("7", "5", {"pending"})
    assert (found is not None) == is_pending
    assert server.requests[0].path == "/api/contacts/5/"


@pytest.mark.parametrize(
    ("asked", "shown", "is_it"),
    [
        ("3", 3, True),
        ("3", 3.0, True),
        ("3", "3", True),
        ("007", "007", True),
        ("007", 7, False),
        ("7", "007", False),
        ("1_0", 10, False),
        ("00010", 10, False),
        ("10", 11, False),
        ("10", None, False),
    ],
)
async def test_a_row_is_believed_only_with_the_id_it_was_asked_for_by(
    asked: str, shown: object, is_it: bool
) -> None:
    row = {"id": shown, "status": "pending", "phone_number": "+1", "campaign_id": 7}
    async with backend_of(always(row)) as (_, backend):
        assert (await backend.contact("7", asked) is not None) is is_it


@pytest.mark.parametrize(
    ("internal", "sent"), [("7", 7), ("0", 0), ("007", "007"), ("00", "00"), ("1_0", "1_0"), ("٣", "٣")]
)
def test_an_id_that_is_not_written_as_an_integer_is_sent_as_text(internal: str, sent: int | str) -> None:
    assert wire_id(internal) == sent


async def test_a_contact_the_backend_has_no_more_and_one_it_does_not_tell_of() -> None:
    answers = iter([web.Response(status=404), web.json_response({"id": 5}), web.Response(status=500)])
    async with backend_of(lambda _: next(answers)) as (_, backend):
        assert await backend.contact("7", "5", {"pending"}) is None
        with pytest.raises(ValueError, match="not a contact with a status"):
            await backend.contact("7", "5", {"pending"})
        with pytest.raises(Unreachable):
            await backend.contact("7", "5", {"pending"})


@pytest.mark.parametrize("status", [404, 405, 410, 501])
async def test_whether_the_backend_shows_single_contacts_is_known_once_it_has(status: int) -> None:
    row = {"id": 5, "status": "completed", "phone_number": "+1"}
    answers = iter([web.Response(status=status), web.json_response(row)])
    async with backend_of(lambda _: next(answers)) as (_, backend):
        assert await backend.contact("7", "5") is None
        assert not backend.shows_contacts
        found = await backend.contact("7", "5")
        assert found is not None
        assert found.status == "completed"
        assert backend.shows_contacts


async def test_contacts_due_for_retry_are_asked_for_in_utc() -> None:
    before = datetime(2025, 3, 1, 12, 30, tzinfo=timezone(timedelta(hours=2)))
    row = {"id": 1, "phone_number": "+1", "status": "busy", "attempts": 1}
    async with backend_of(always([row])) as (server, backend):
        pages = [page async for page in backend.due_for_retry("7", before, 3, 100)]
    assert [contact.id for page in pages for contact in page.contacts] == [1]
    assert server.requests[0].query == {
        "campaign_id": "7",
        "status": "no_answer,busy",
        "last_attempt__lt": "2025-03-01T10:30:00Z",
        "attempts__lt": "3",
        "limit": "100",
    }


async def test_next_is_followed_by_path_and_query_below_a_prefix() -> None:
    def answer(request: Request) -> web.Response:
        offset = int(request.query["offset"])
        following = (
            f"https://django:8000/api/contacts/?offset={offset + 1}&cursor=a%2Bb%3D" if offset < 2 else None
        )
        return web.json_response({"results": [{"id": offset, "phone_number": "+1"}], "next": following})

    async with backend_of(answer, "/crm") as (server, backend):
        pages = [page async for page in backend.pending("7", 1)]
    assert [page.contacts[0].id for page in pages] == [0, 1, 2]
    assert [page.next is not None for page in pages] == [True, True, False]
    assert {request.path for request in server.requests} == {"/crm/api/contacts/"}
    assert server.requests[2].query == {"offset": "2", "cursor": "a+b="}


@pytest.mark.parametrize(
    ("prefix", "following", "path"),
    [
        ("", "http://django:8000/api/contacts/?offset=5", "/api/contacts/?offset=5"),
        ("", "?offset=5", "/api/contacts/?offset=5"),
        ("/crm", "http://x/crm/api/contacts/?offset=5", "/api/contacts/?offset=5"),
        ("/crm", "http://x/api/contacts/?offset=5", "/api/contacts/?offset=5"),
        ("/api", "http://x/api/contacts/?offset=5", "/api/contacts/?offset=5"),
        ("/api", "http://x/api/api/contacts/?offset=5", "/api/contacts/?offset=5"),
        ("/crm", "/crm/api/v2/contacts/?c=1", "/api/v2/contacts/?c=1"),
    ],
)
def test_the_path_of_a_next_page(prefix: str, following: str, path: str) -> None:
    assert next_path("/api/contacts/?offset=0", following, prefix) == path


@pytest.mark.parametrize(
    "following",
    ["foo:.evil.example/x?a=1", "foo:@evil.example/x", "mailto:x", "http://host", "http://host?a=1"],
)
def test_a_next_page_without_a_path_is_refused(following: str) -> None:
    with pytest.raises(ValueError, match="not an address"):
        next_path("/api/contacts/?offset=0", following, "")


async def test_full_bare_arrays_are_followed_by_offset_until_they_repeat_or_end() -> None:
    everything = [{"id": number, "phone_number": "+1"} for number in range(5)]

    def slices(request: Request) -> web.Response:
        start, size = int(request.query["offset"]), int(request.query["limit"])
        return web.json_response(everything[start : start + size])

    async def read(answer: Answer, size: int) -> list[list[int | str]]:
        async with backend_of(answer) as (_, backend):
            return [[contact.id for contact in page.contacts] async for page in backend.pending("7", size)]

    assert await read(slices, 2) == [[0, 1], [2, 3], [4]]
    assert await read(always(everything), 5) == [[0, 1, 2, 3, 4]]
    assert await read(always(everything), 2) == [[0, 1, 2, 3, 4]]


async def test_a_patch_carries_only_what_changed_and_its_answer_is_final_or_not() -> None:
    async with backend_of(always({"id": 1})) as (server, backend):
        await backend.patch_contact("12", ContactPatch(status="busy"))
        await backend.patch_contact(
            "12", ContactPatch(status="busy", attempts=2, last_attempt="2025-03-01T10:00:00Z")
        )
        await backend.post_statistics("7", {"answered": 1})
        server.answer = lambda _: web.Response(status=204)
        await backend.patch_contact("12", ContactPatch(status="busy", attempts=0))
        assert [(request.method, request.path, request.body) for request in server.requests] == [
            ("PATCH", "/api/contacts/12/", {"status": "busy"}),
            (
                "PATCH",
                "/api/contacts/12/",
                {"status": "busy", "attempts": 2, "last_attempt": "2025-03-01T10:00:00Z"},
            ),
            ("POST", "/api/campaigns/7/update_stats/", {"answered": 1}),
            ("PATCH", "/api/contacts/12/", {"status": "busy", "attempts": 0}),
        ]
        for status in (400, 404, 405, 409, 410, 422):
            server.answer = always({"detail": "no"}, status)
            with pytest.raises(RefusedByServer) as refused:
                await backend.patch_contact("12", ContactPatch(status="busy"))
            assert refused.value.status == status
        for status in (301, 401, 403, 408, 429, 500, 502, 503):
            server.answer = always({"detail": "later"}, status)
            with pytest.raises(Unreachable):
                await backend.patch_contact("12", ContactPatch(status="busy"))
        server.answer = lambda _: html(200)
        with pytest.raises(Unreachable):
            await backend.post_statistics("7", {})
    async with Backend(Settings(backend_url=f"http://127.0.0.1:{free_port()}")) as backend:
        with pytest.raises(Unreachable):
            await backend.patch_contact("12", ContactPatch(status="busy"))


async def test_health_of_the_backend() -> None:
    async with backend_of(always([])) as (server, backend):
        assert "lists contacts" in await backend.health()
        server.answer = always({"detail": "campaign_id is required"}, 400)
        assert "answers" in await backend.health()
        for broken in (always({}, 401), always({}, 500), always({}), lambda _: html(200)):
            server.answer = broken
            with pytest.raises(Unreachable):
                await backend.health()
