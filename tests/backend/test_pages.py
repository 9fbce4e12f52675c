"""The pages of our backend: every page in both languages, forms that refuse what could not be dialed, roles."""

from __future__ import annotations

import re

import httpx
import pytest

from tests.support.backend_pages import add_user, contact_of, log_in_pages, submit
from tests.support.contract_sides import next_number
from tests.support.own_backend import OwnBackend


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", ("Campaigns", "Contacts", "Lists")), ("es", ("Campañas", "Contactos", "Listas"))],
)
def test_every_page_opens_in_the_language_of_the_browser(
    backend: OwnBackend, admin: httpx.Client, campaign: int, language: str, words: tuple[str, ...]
) -> None:
    contact = contact_of(admin, campaign)["id"]
    pages = [
        f"/admin/backend/{model}/"
        for model in ("campaign", "contact", "contactlist", "queue", "agent", "attempt")
    ]
    pages += [f"/admin/backend/{model}/add/" for model in ("campaign", "contact", "queue", "agent")]
    pages += [f"/admin/backend/campaign/{campaign}/change/", f"/admin/backend/contact/{contact}/change/"]
    pages += ["/admin/auth/user/", "/admin/auth/user/add/", "/admin/backend/contact/import/"]
    pages += ["/admin/backend/contact/export/", "/admin/backend/attempt/export/"]
    with httpx.Client(base_url=backend.url, headers={"accept-language": language}, timeout=30) as client:
        assert log_in_pages(client, *backend.administrator).status_code == 302
        index = client.get("/admin/").text
        assert all(word in index for word in words)
        for page in pages:
            assert client.get(page).status_code == 200, page
        style = re.search(r'href="(/static/admin/css/base[^"]*)"', index)
        assert style is not None
        assert client.get(style[1]).status_code == 200


def test_a_campaign_and_a_contact_are_made_in_the_pages(
    backend: OwnBackend, admin: httpx.Client, campaign: int
) -> None:
    with httpx.Client(base_url=backend.url, timeout=30) as client:
        log_in_pages(client, *backend.administrator)
        name, number = f"Otoño {next_number()}", next_number()
        queue = admin.get(f"/api/campaigns/{campaign}/").json()["queue_name"]
        page = client.get("/admin/backend/campaign/add/").text
        option = re.search(rf'<option value="(\d+)">{re.escape(queue)}</option>', page)
        assert option is not None
        made = {
            "name": name,
            "queue": option[1],
            "days_of_week": ["0", "4"],
            "timezone": "America/Bogota",
            "country": "CO",
        }
        assert "errornote" in submit(client, "/admin/backend/campaign/add/", **{**made, "queue": ""}).text
        assert submit(client, "/admin/backend/campaign/add/", **made).status_code == 302
        [shown] = [
            row for row in admin.get("/api/campaigns/?ordering=-id").json()["results"] if row["name"] == name
        ]
        assert (shown["days_of_week"], shown["timezone"], shown["dial_mode"]) == (
            [0, 4],
            "America/Bogota",
            "progressive",
        )
        contact = {"campaign": str(shown["id"]), "phone_number": number[3:], "custom_data": "{}"}
        assert submit(client, "/admin/backend/contact/add/", **contact).status_code == 302
        for wrong in ("12345", number):
            refused = submit(client, "/admin/backend/contact/add/", **{**contact, "phone_number": wrong})
            assert "errornote" in refused.text, wrong
        assert (
            admin.get(f"/api/contacts/?campaign_id={shown['id']}&number=%2B{number[1:]}").json()["count"] == 1
        )


@pytest.mark.parametrize("data", [{"nombre": "Begoña", "deuda": 512}])
@pytest.mark.parametrize("term", ["Begoña", "egoñ", "512", "number", "tail of the number"])
def test_contacts_are_found_by_number_and_by_their_other_data(
    backend: OwnBackend, admin: httpx.Client, campaign: int, term: str, data: dict[str, object]
) -> None:
    number = contact_of(admin, campaign, custom_data=data)["phone_number"]
    other = contact_of(admin, campaign, custom_data={"nombre": "Luis"})["phone_number"]
    words = {"number": number, "tail of the number": number[-6:]}.get(term, term)
    with httpx.Client(base_url=backend.url, timeout=30) as client:
        log_in_pages(client, *backend.administrator)
        query = {"q": words, "campaign__id__exact": campaign}
        page = client.get("/admin/backend/contact/", params=query).text
    assert (f">{number}<" in page, f">{other}<" in page) == (True, False)


@pytest.mark.parametrize("path", ["contact", "attempt"])
@pytest.mark.parametrize("format_id", ["0", "1", "2"])
def test_rows_are_exported_and_no_cell_is_a_formula(
    backend: OwnBackend, admin: httpx.Client, campaign: int, path: str, format_id: str
) -> None:
    number = contact_of(admin, campaign, region="=1+1")["phone_number"]
    with httpx.Client(base_url=backend.url, timeout=30) as client:
        log_in_pages(client, *backend.administrator)
        reply = submit(client, f"/admin/backend/{path}/export/", format=format_id, resource="0")
    assert reply.status_code == 200
    assert "attachment" in reply.headers["content-disposition"]
    if path == "contact" and format_id != "1":
        assert number in reply.text
    if path == "contact" and format_id == "0":
        assert ",=1+1," not in reply.text


@pytest.mark.parametrize(
    ("role", "may"),
    [
        ("viewer", set()),
        ("supervisor", {"campaign", "contact", "list"}),
        ("administrator", {"campaign", "contact", "list", "user"}),
    ],
)
def test_a_role_may_do_what_it_is_for_and_nothing_more(
    backend: OwnBackend, admin: httpx.Client, campaign: int, role: str, may: set[str]
) -> None:
    login = add_user(backend, f"{role}-{next_number()[1:]}", role)
    contact = contact_of(admin, campaign)["id"]
    with backend.client(*login) as client:
        assert client.get(f"/api/contacts/{contact}/").status_code == 200
        done = {
            "campaign": client.patch(f"/api/campaigns/{campaign}/", json={"name": role}),
            "contact": client.patch(f"/api/contacts/{contact}/", json={"priority": 9}),
            "list": client.post("/api/lists/", json={"campaign_id": campaign, "name": "x"}),
        }
        assert {name for name, reply in done.items() if reply.is_success} == may - {"user"}
        assert {reply.status_code for reply in done.values() if not reply.is_success} <= {403}
    with httpx.Client(base_url=backend.url, timeout=30) as pages:
        assert log_in_pages(pages, *login).status_code == 302
        assert pages.get("/admin/backend/contact/").status_code == 200
        assert (pages.get("/admin/auth/user/").status_code == 200) == ("user" in may)
