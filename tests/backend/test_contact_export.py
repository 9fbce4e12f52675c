"""`contact export`: every contact with its last outcome, or every attempt, safe for spreadsheets."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from pathlib import Path
from typing import Any

import httpx
import pytest

from streamdialer.cli.csv_cells import harmless
from streamdialer.gateways import own_backend
from streamdialer.gateways.backend import ContactPatch
from streamdialer.gateways.own_backend import OwnBackend as Gateway
from tests.backend.test_contact_import import run
from tests.support.backend_pages import contact_of
from tests.support.own_backend import OwnBackend


def exported(backend: OwnBackend, cwd: Path, *arguments: str) -> str:
    ended = run(backend, cwd, *arguments, command=("contact", "export"))
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def add_attempt(backend: OwnBackend, contact: dict[str, Any], number: int, disposition: str) -> None:
    with sqlite3.connect(backend.folder / "backend.sqlite3", timeout=10) as database:
        database.execute(
            "INSERT INTO backend_attempt (attempt_id, campaign_id, contact_id, phone_number, call_id, agent_id, "
            "disposition, cause, sent_at, duration, attempt, final, entry_id, allowed_by) "
            "VALUES (?, ?, ?, ?, 'c', '=cmd()', ?, 'q850:17', ?, 20.5, ?, 0, '1-0', '')",
            [
                *(
                    f"{contact['id']}:{number}",
                    contact["campaign_id"],
                    contact["id"],
                    contact["phone_number"],
                ),
                *(disposition, f"2026-03-01 10:0{number}:00", number),
            ],
        )
    database.close()


def test_contacts_have_their_state_and_last_outcome_and_attempts_come_all(
    backend: OwnBackend, admin: httpx.Client, campaign: int, tmp_path: Path
) -> None:
    data = {"custom_data": {"name": 'Ana, "La"\nReina'}, "subject": "=1+1"}
    called, other = contact_of(admin, campaign, **data), contact_of(admin, campaign)
    for number, disposition in ((1, "busy"), (2, "completed")):
        add_attempt(backend, called, number, disposition)
    rows = list(csv.DictReader(io.StringIO(exported(backend, tmp_path, str(campaign)), newline="")))
    first, second = sorted(rows, key=lambda row: int(row["id"]))
    assert (first["id"], first["phone_number"], first["status"]) == (
        str(called["id"]),
        called["phone_number"],
        "pending",
    )
    assert json.loads(first["custom_data"]) == data["custom_data"]
    assert (first["outcome_disposition"], first["last_attempt"], first["outcome_agent_id"]) == (
        "completed",
        "",
        "'=cmd()",
    )
    assert (first["subject"], first["outcome_duration"], first["do_not_call"]) == ("'=1+1", "20.5", "false")
    assert (second["id"], second["outcome_disposition"]) == (str(other["id"]), "")

    objects = exported(backend, tmp_path, str(campaign), "--format", "ndjson").splitlines()
    found = {row["id"]: row for row in map(json.loads, objects)}
    assert found[called["id"]]["last_outcome"]["attempt"] == 2
    assert found[called["id"]]["custom_data"] == data["custom_data"]
    assert found[other["id"]]["last_outcome"] is None

    attempts = list(csv.DictReader(io.StringIO(exported(backend, tmp_path, str(campaign), "--outcomes"))))
    assert [(row["attempt"], row["disposition"]) for row in attempts] == [("1", "busy"), ("2", "completed")]
    assert {row["contact_id"] for row in attempts} == {str(called["id"])}

    missing = run(backend, tmp_path, "999999", command=("contact", "export"))
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "does not exist" in missing.stderr


async def test_every_page_comes_once_while_contacts_change(
    backend: OwnBackend, admin: httpx.Client, campaign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_backend, "EXPORT_PAGE", 3)
    made = {contact_of(admin, campaign)["id"] for _ in range(8)}
    seen: list[int] = []
    async with Gateway(backend.settings) as gateway:
        async for rows in gateway.contact_rows(str(campaign)):
            seen += [row["id"] for row in rows]
            await gateway.patch_contact(str(seen[0]), ContactPatch(status="completed"))
    assert sorted(seen) == sorted(made)


@pytest.mark.parametrize("text", ["=1+1", "+1 x", "-2+cmd|' /C calc'!A0", "@SUM(1)", "\t=1", "\r=1", "\n=1"])
def test_a_text_that_begins_like_a_formula_gets_an_apostrophe(text: str) -> None:
    assert harmless([text]) == [f"'{text}"]


def test_numbers_and_other_texts_stay_as_they_are() -> None:
    assert harmless(["+573001234567", -3.5, "-7", "a=b", None, 0]) == [
        "+573001234567",
        "-3.5",
        "-7",
        "a=b",
        "",
        "0",
    ]
