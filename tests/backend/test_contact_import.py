"""`contact import` into our backend: every line counted, no contact twice, bad lines in a file; also in the pages."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis as blocking
from anyio.to_thread import run_sync
from dotenv import dotenv_values

from streamdialer.errors import Unreachable
from streamdialer.gateways.own_backend import BatchResult
from streamdialer.gateways.own_backend import OwnBackend as Gateway
from streamdialer.operations import contact_import
from streamdialer.operations.list_file.columns import find_columns
from streamdialer.operations.list_file.contacts import FileReader
from streamdialer.operations.list_file.sheet import open_sheet
from streamdialer.simulation.embedded_redis import EmbeddedServer
from tests.support.contract_sides import next_number
from tests.support.own_backend import OwnBackend


def run(
    backend: OwnBackend,
    cwd: Path,
    *arguments: str,
    command: tuple[str, ...] = ("contact", "import"),
    **changes: str,
) -> subprocess.CompletedProcess[str]:
    login = {name: value or "" for name, value in dotenv_values(backend.folder / "dialer.env").items()}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STREAMDIALER_")}
    return subprocess.run(
        [sys.executable, "-m", "streamdialer", *command, *arguments],
        env={**environment, "BACKEND_URL": backend.url, **login, **changes},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
    )


def imported(backend: OwnBackend, cwd: Path, *arguments: str, **changes: str) -> Any:
    ended = run(backend, cwd, *arguments, "--json", command=("contact", "import"), **changes)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def contacts(backend: OwnBackend, campaign: int) -> list[Any]:
    with backend.client() as client:
        return list(client.get(f"/api/contacts/?campaign_id={campaign}&limit=1000").json()["results"])


def write_list(path: Path, lines: int, bad: int = 0) -> list[str]:
    numbers = [next_number()[3:] for _ in range(lines)]
    rows = [f"{1_032_000_000 + 3 * at};Ana {at};{number}" for at, number in enumerate(numbers)]
    rows += [f"{1_032_900_000 + at};Luis;falta" for at in range(bad)]
    path.write_text("\n".join(["cedula;nombre;celular", *rows]), "utf-8")
    return numbers


def test_a_campaign_is_created_with_its_queue(backend: OwnBackend, tmp_path: Path) -> None:
    queue = f"queue{next_number()}"
    options = (
        "--queue",
        queue,
        "--hours",
        "9-18:30",
        "--days",
        "0-4",
        "--timezone",
        "America/Bogota",
        "--ring-timeout",
        "25",
        "--json",
    )
    ended = run(backend, tmp_path, "--name", "Spring", *options, command=("campaign", "create"))
    assert ended.returncode == 0, ended.stderr
    with backend.client() as client:
        shown = client.get(f"/api/campaigns/{json.loads(ended.stdout)['campaign_id']}/").json()
    assert (shown["queue_name"], shown["start_time"], shown["end_time"]) == (queue, "09:00", "18:30")
    assert (shown["days_of_week"], shown["timezone"]) == ([0, 1, 2, 3, 4], "America/Bogota")
    assert shown["ring_timeout"] == 25
    named = ("--name", "x", "--queue", queue)
    refused = run(backend, tmp_path, *named, "--mode", "fast", command=("campaign", "create"))
    assert (refused.returncode, "dial_mode" in refused.stderr) == (1, True)
    unclear = run(backend, tmp_path, *named, "--hours", "late", command=("campaign", "create"))
    assert (unclear.returncode, "--hours" in unclear.stderr) == (2, True)


def test_a_list_is_added_once_and_its_bad_lines_are_in_a_file(
    backend: OwnBackend, campaign: int, tmp_path: Path
) -> None:
    numbers = write_list(tmp_path / "list.csv", 300, bad=20)
    first = imported(backend, tmp_path, "list.csv", "--campaign", str(campaign), "--bad", "bad.csv")
    assert {name: first[name] for name in ("lines", "added", "duplicates", "bad")} == {
        "lines": 320,
        "added": 300,
        "duplicates": 0,
        "bad": 20,
    }
    assert first["columns"]["celular"] == "phone"
    shown = contacts(backend, campaign)
    assert {row["phone_number"] for row in shown} == set(numbers)
    assert shown[0]["custom_data"] == {"cedula": "1032000000", "nombre": "Ana 0"}
    with (tmp_path / "bad.csv").open(newline="") as file:
        bad = list(csv.reader(file))
    assert len(bad) == 21
    assert bad[1] == ["302", "no phone number", "1032900000;Luis;falta"]

    again = imported(backend, tmp_path, "list.csv", "--campaign", str(campaign))
    assert (again["added"], again["duplicates"], again["bad"]) == (0, 300, 20)
    with backend.client() as client:
        lists = client.get(f"/api/lists/?campaign_id={campaign}").json()["results"]
    assert [(row["added"], row["duplicates"], row["bad"], row["lines"]) for row in lists] == [
        (300, 0, 20, 320),
        (0, 300, 20, 320),
    ]
    assert all(row["finished_at"] for row in lists)


def test_two_imports_at_once_add_each_number_once(backend: OwnBackend, campaign: int, tmp_path: Path) -> None:
    numbers = write_list(tmp_path / "list.csv", 3000)
    with ThreadPoolExecutor() as pool:
        arguments = (backend, tmp_path, "list.csv", "--campaign", str(campaign))
        reports = [each.result() for each in [pool.submit(imported, *arguments) for _ in range(2)]]
    assert sum(report["added"] for report in reports) == len(numbers)
    with backend.client() as client:
        assert client.get(f"/api/contacts/?campaign_id={campaign}").json()["count"] == len(numbers)


async def test_a_batch_whose_answer_is_lost_is_counted_once(
    backend: OwnBackend, campaign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contact_import, "PAUSE_S", 0.01)
    rows = [next_number()[3:] for _ in range(5)]
    lost = [True]

    class Forgetful(Gateway):
        async def add_contacts(self, list_id: int, batch: bytes) -> BatchResult:
            result = await super().add_contacts(list_id, batch)
            if lost:
                lost.clear()
                raise Unreachable("the answer is lost")
            return result

    text = "\n".join(["celular", *rows, rows[0], "falta"])
    with open_sheet(BytesIO(text.encode())) as sheet:
        reader = FileReader(find_columns(sheet, "CO", {}), "CO")
        async with Forgetful(await run_sync(lambda: backend.settings)) as gateway:
            report = await contact_import.import_contacts(
                *(gateway, str(campaign), "list.csv", sheet, reader),
                on_bad_line=lambda _: None,
                on_progress=lambda _: None,
            )
    assert (report.lines, report.added, report.duplicates, report.bad) == (7, 5, 1, 1)


def test_it_shows_what_it_understood(backend: OwnBackend, campaign: int, tmp_path: Path) -> None:
    write_list(tmp_path / "list.csv", 5, bad=1)
    ended = run(backend, tmp_path, "list.csv", "--campaign", str(campaign))
    assert ended.returncode == 0, ended.stderr
    assert "list.csv: CSV, ;, UTF-8; numbers of CO" in ended.stdout
    assert re.search(r"celular +phone\n", ended.stdout)
    assert re.search(r"cedula +custom_data.cedula\n", ended.stdout)
    assert "line 7: no phone number" in ended.stdout


def test_a_dry_run_says_who_would_be_called_and_adds_nobody(
    backend: OwnBackend, campaign: int, tmp_path: Path, server: EmbeddedServer
) -> None:
    numbers = [next_number()[3:] for _ in range(6)]
    consent = ["si", "si", "si", "", "si", "si"]
    zones = ["", "", "", "", "Pacific/Auckland", ""]
    refuses = ["no", "no", "si", "no", "no", "no"]
    rows = [";".join(row) for row in zip(numbers, consent, zones, refuses, strict=True)]
    text = "\n".join(["celular;consentimiento;zona horaria;no llamar", *rows, rows[0], "falta;si;;no"])
    (tmp_path / "list.csv").write_text(text)
    with blocking.Redis.from_url(server.url) as client:
        client.flushall()
    dnc = [sys.executable, "-m", "streamdialer", "dnc", "add", f"+57{numbers[1]}", "--reason", "asked"]
    subprocess.run(dnc, env={**os.environ, "REDIS_URL": server.url}, check=True, stdout=subprocess.DEVNULL)
    dry_run = (backend, tmp_path, "list.csv", "--campaign", str(campaign), "--dry-run")
    report = imported(*dry_run, REDIS_URL=server.url)
    counts = {name: report[name] for name in ("lines", "bad", "duplicates", "do_not_call", "without_consent")}
    assert counts == {"lines": 8, "bad": 1, "duplicates": 1, "do_not_call": 1, "without_consent": 1}
    assert report["suppressed"] == {"by hand asked": 1}
    assert (report["callable"], report["outside_hours"]) == (3, 0)
    with backend.client() as client:
        client.patch(f"/api/campaigns/{campaign}/", json={"start_time": "2090-01-01T00:00"})
    report = imported(*dry_run, REDIS_URL=server.url)
    assert (report["callable"], report["outside_hours"]) == (0, 3)
    assert contacts(backend, campaign) == []


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("missing.csv", "--campaign", "1"), 2, "missing.csv: No such file"),
        (("list.csv", "--campaign", "987654"), 1, "campaign 987654 does not exist"),
        (("list.csv", "--campaign", "1", "--map", "name=1"), 2, "--map"),
        (("names.csv", "--campaign", "1"), 1, "no column of the file has telephone numbers"),
    ],
)
def test_what_cannot_be_imported_is_one_line_and_an_exit_code(
    backend: OwnBackend, campaign: int, tmp_path: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    write_list(tmp_path / "list.csv", 2)
    (tmp_path / "names.csv").write_text("nombre;ciudad\nAna;Cali\n")
    ended = run(backend, tmp_path, *arguments)
    assert (ended.returncode, words in ended.stderr) == (code, True), ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_pages_preview_a_file_and_import_it(backend: OwnBackend, campaign: int, tmp_path: Path) -> None:
    numbers = write_list(tmp_path / "list.csv", 8, bad=2)
    page = "/admin/backend/contact/import/"
    with httpx.Client(base_url=backend.url, timeout=60) as client:
        form = client.get("/admin/login/").text
        login = dict(zip(("username", "password"), backend.administrator, strict=True))
        client.post("/admin/login/", data={**login, "csrfmiddlewaretoken": token_in(form)})
        upload = {"campaign": campaign, "format": "0", "resource": "0"}
        preview = client.post(
            page,
            data={**upload, "csrfmiddlewaretoken": token_in(client.get(page).text)},
            files={"import_file": ("list.csv", (tmp_path / "list.csv").read_bytes())},
        )
        assert preview.status_code == 200
        assert all(number in preview.text for number in numbers)
        assert "no phone number" in preview.text
        assert contacts(backend, campaign) == []
        hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', preview.text))
        confirmed = client.post("/admin/backend/contact/process_import/", data=hidden)
        assert confirmed.status_code == 302, confirmed.text
    assert {row["phone_number"] for row in contacts(backend, campaign)} == set(numbers)
    with backend.client() as client:
        [row] = client.get(f"/api/lists/?campaign_id={campaign}").json()["results"]
    assert (row["name"], row["lines"], row["added"], row["bad"]) == ("list.csv", 10, 8, 2)


def token_in(page: str) -> str:
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert found is not None
    return found[1]
