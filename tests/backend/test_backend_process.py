"""`streamdialer backend` as a process: what it makes, whom it lets in, and what it refuses."""

from __future__ import annotations

import signal
import socket
import sqlite3
import stat
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.backend_pages import contact_of
from tests.support.contract_sides import next_number
from tests.support.own_backend import OwnBackend, own_backend, post


def test_the_data_folder_is_its_owners_and_has_a_key_and_the_dialers_log_in(backend: OwnBackend) -> None:
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in backend.folder.iterdir()}
    for name in ("secret-key", "dialer.env", "backend.sqlite3"):
        assert modes[name] == 0o600, name
    assert len((backend.folder / "secret-key").read_text()) > 64


def test_no_two_installations_share_a_password_or_a_key(backend: OwnBackend, tmp_path: Path) -> None:
    with own_backend(tmp_path / "data") as other:
        assert other.administrator != backend.administrator
        for name in ("secret-key", "dialer.env"):
            assert (other.folder / name).read_text() != (backend.folder / name).read_text()


def test_a_second_start_keeps_everything_and_shows_no_password(tmp_path: Path) -> None:
    with own_backend(tmp_path / "data") as first, first.client() as client:
        post(client, "/api/queues/", {"name": "sales"})
        first.process.send_signal(signal.SIGTERM)
        assert first.process.wait(15) == 0
    with own_backend(tmp_path / "data") as second, second.client() as client:
        assert [row["name"] for row in client.get("/api/queues/").json()["results"]] == ["sales"]
        assert "password" not in (second.folder / "output.log").read_text()


def test_killed_in_mid_write_it_starts_again_with_what_it_had_answered(tmp_path: Path) -> None:
    with own_backend(tmp_path / "data") as first, first.client() as client:
        post(client, "/api/queues/", {"name": "sales"})
        first.process.kill()
        first.process.wait()
    with own_backend(tmp_path / "data") as second, second.client() as client:
        assert client.get("/api/queues/").json()["count"] == 1


def start_fails(folder: Path) -> str:
    command = [sys.executable, "-m", "streamdialer", "backend", "--port", "0", "--data", str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=folder)
    assert ended.returncode == 1, ended.stdout
    assert "Traceback" not in ended.stderr
    return ended.stderr


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    with own_backend(tmp_path / "data"):
        pass
    (tmp_path / "data/secret-key").chmod(0o644)
    assert "chmod 600" in start_fails(tmp_path / "data")


def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    with own_backend(tmp_path / "data"):
        pass
    with sqlite3.connect(tmp_path / "data/backend.sqlite3") as database:
        database.execute(
            "INSERT INTO django_migrations (app, name, applied) VALUES ('backend', '9999_later', '2030-01-01')"
        )
    database.close()
    assert "newer version" in start_fails(tmp_path / "data")


def test_an_unknown_host_name_is_refused(backend: OwnBackend) -> None:
    for path in ("/api/contacts/", "/admin/login/"):
        reply = httpx.get(f"{backend.url}{path}", headers={"host": "evil.example"})
        assert reply.status_code == 400


def test_a_refused_token_is_no_line_of_the_log(backend: OwnBackend) -> None:
    """The dialer renews an expired one by itself."""
    assert httpx.get(f"{backend.url}/api/contacts/").status_code == 401
    assert "Unauthorized" not in (backend.folder / "first-output.log").read_text()


def test_half_open_connections_do_not_keep_others_out(backend: OwnBackend) -> None:
    url = httpx.URL(backend.url)
    with ExitStack() as connections:
        for _ in range(200):
            half = connections.enter_context(socket.create_connection((url.host, url.port or 80)))
            half.sendall(b"GET /admin/login/ HTTP/1.1\r\nX-Slow: ")
        assert httpx.get(f"{backend.url}/admin/login/", timeout=10).status_code == 200


def test_the_pages_need_the_token_against_cross_site_requests(backend: OwnBackend) -> None:
    name, password = backend.administrator
    with httpx.Client(base_url=backend.url) as client:
        client.get("/admin/login/")
        reply = client.post("/admin/login/", data={"username": name, "password": password})
        assert reply.status_code == 403


def test_the_dialer_may_write_contacts_and_statistics_and_no_campaign(
    dialer: httpx.Client, admin: httpx.Client, campaign: int
) -> None:
    contact = contact_of(admin, campaign)["id"]
    assert dialer.patch(f"/api/contacts/{contact}/", json={"status": "dialing", "attempts": 1}).is_success
    assert dialer.post(f"/api/campaigns/{campaign}/update_stats/", json={"a": 1}).is_success
    assert dialer.patch(f"/api/campaigns/{campaign}/", json={"name": "x"}).status_code == 403
    assert dialer.delete(f"/api/contacts/{contact}/").status_code in (403, 405)


def test_an_older_state_never_overwrites_a_newer(
    dialer: httpx.Client, admin: httpx.Client, campaign: int
) -> None:
    path = f"/api/contacts/{contact_of(admin, campaign)['id']}/"
    newer = {"status": "no_answer", "attempts": 1, "last_attempt": "2026-03-01T10:00:30Z"}
    older = {"status": "dialing", "attempts": 1, "last_attempt": "2026-03-01T10:00:00Z"}
    assert dialer.patch(path, json=newer).is_success
    late = dialer.patch(path, json=older)
    assert (late.status_code, late.json()["status"]) == (409, "no_answer")
    assert dialer.get(path).json()["status"] == "no_answer"


def test_a_change_of_a_state_that_is_no_longer_there_is_refused(
    dialer: httpx.Client, admin: httpx.Client, campaign: int
) -> None:
    path = f"/api/contacts/{contact_of(admin, campaign)['id']}/"
    mark = dialer.get(path).headers["etag"]
    assert dialer.patch(path, json={"priority": 9}, headers={"if-match": mark}).is_success
    assert dialer.patch(path, json={"priority": 1}, headers={"if-match": mark}).status_code == 412
    assert dialer.get(path).json()["priority"] == 9


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"queue_name": None}, "queue"),
        ({"dial_mode": "predictive", "pacing_ratio": 4}, "pacing_ratio"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"start_time": "18:00", "end_time": "18:00"}, "start_time"),
        ({"days_of_week": [7]}, "start_time"),
        ({"rule_pack": "atlantis"}, "rule_pack"),
        ({"country": "XX"}, "country"),
    ],
)
def test_a_campaign_that_could_not_be_dialed_is_refused(
    admin: httpx.Client, campaign: int, fields: dict[str, Any], named: str
) -> None:
    reply = admin.patch(f"/api/campaigns/{campaign}/", json=fields)
    assert reply.status_code == 400
    assert named in reply.json()


def test_contacts_are_added_with_numbers_only_and_each_number_once(
    admin: httpx.Client, campaign: int
) -> None:
    number = next_number()
    fields = {"consent": "2026-01-02T00:00:00Z", "custom_data": {"debt": 5}, "phone_number": number[3:]}
    shown = contact_of(admin, campaign, **fields)
    assert {name: shown[name] for name in fields} == fields
    for raw in ("12345", "no number", number, f"+57 {number[3:6]} {number[6:]}"):
        reply = admin.post("/api/contacts/", json={"campaign_id": campaign, "phone_number": raw})
        assert (reply.status_code, list(reply.json())) == (400, ["phone_number"]), raw


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=x", "offset=-1", "after=rubbish", "status=pending&attempts__lt=x"]
)
def test_a_query_that_cannot_be_read_is_a_bad_request(dialer: httpx.Client, query: str) -> None:
    assert dialer.get(f"/api/contacts/?{query}").status_code == 400


def test_ids_are_texts(dialer: httpx.Client, admin: httpx.Client, campaign: int) -> None:
    contact = contact_of(admin, campaign)["id"]
    assert dialer.get(f"/api/contacts/0{contact}/").status_code == 404
    assert dialer.get(f"/api/contacts/?campaign_id=0{campaign}").json()["count"] == 0
    assert dialer.get(f"/api/contacts/?campaign_id={campaign}").json()["count"] == 1


@pytest.mark.long
def test_a_locked_database_is_503_and_the_update_can_come_again(tmp_path: Path) -> None:
    with own_backend(tmp_path / "data") as backend, backend.client() as client:
        post(client, "/api/queues/", {"name": "sales"})
        locking = sqlite3.connect(tmp_path / "data/backend.sqlite3")
        locking.execute("BEGIN IMMEDIATE")
        assert client.post("/api/queues/", json={"name": "other"}).status_code == 503
        assert client.get("/api/queues/").json()["count"] == 1  # readers do not wait for writers
        log = (backend.folder / "first-output.log").read_text()
        assert ("database is locked" in log, "Service Unavailable" in log) == (True, False)
        locking.rollback()
        locking.close()
        assert client.post("/api/queues/", json={"name": "other"}).status_code == 201
