"""The pages of our backend, as a browser without scripts uses them."""

from __future__ import annotations

import re
from typing import Any

import httpx

from tests.support.contract_sides import next_number
from tests.support.own_backend import OwnBackend, post


def contact_of(client: httpx.Client, campaign: int, **fields: Any) -> Any:
    return post(client, "/api/contacts/", {"campaign_id": campaign, "phone_number": next_number(), **fields})


def log_in_pages(client: httpx.Client, name: str, password: str) -> httpx.Response:
    """The pages' log-in, with the token against cross-site requests."""
    page = client.get("/admin/login/")
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert token is not None
    return client.post(
        "/admin/login/?next=/admin/",
        data={"username": name, "password": password, "csrfmiddlewaretoken": token[1]},
        headers={"referer": f"{client.base_url}/admin/login/"},
    )


def submit(client: httpx.Client, path: str, **fields: Any) -> httpx.Response:
    """Sends a form of the pages as it was, with some fields changed."""
    page = client.get(path).text
    found: dict[str, Any] = dict(
        re.findall(r'<input type="(?:text|number|hidden)" name="([\w-]+)" value="([^"]*)"', page)
    )
    for name, options in re.findall(r'<select name="([\w-]+)".*?>(.*?)</select>', page, re.DOTALL):
        found[name] = next(iter(re.findall(r'<option value="([^"]*)" selected', options)), "")
    found |= dict.fromkeys(re.findall(r'<input type="checkbox" name="([\w-]+)"[^>]*\bchecked', page), "on")
    return client.post(path, data={**found, **fields})


def add_user(backend: OwnBackend, name: str, role: str) -> tuple[str, str]:
    """As an administrator does it in the pages."""
    password = f"a password of {name} {next_number()}"
    with httpx.Client(base_url=backend.url, timeout=30) as client:
        log_in_pages(client, *backend.administrator)
        page = client.get("/admin/auth/user/add/").text
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
        group = re.search(rf'<option value="(\d+)">{role}</option>', page)
        assert token is not None
        assert group is not None
        reply = client.post(
            "/admin/auth/user/add/",
            data={
                "username": name,
                "usable_password": "true",
                "password1": password,
                "password2": password,
                "groups": group[1],
                "csrfmiddlewaretoken": token[1],
            },
        )
        assert reply.status_code == 302, reply.text
    return name, password
