"""What a dry run says of the contacts of a file, under the rules that a campaign would apply to them."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest

from streamdialer.consumers.services import Services
from streamdialer.model import CampaignSettings
from streamdialer.operations.contact_preview import Preview, Previewer
from streamdialer.operations.list_file.columns import find_columns
from streamdialer.operations.list_file.contacts import FileReader
from streamdialer.operations.list_file.sheet import open_sheet
from streamdialer.rules.calling_hours import calling_hours

EVENING = datetime(2026, 11, 26, 1, 30, tzinfo=UTC)  # half past eight in Miami and New York
MORNING = datetime(2026, 11, 25, 10, tzinfo=UTC)


async def preview(services: Services, pack: str, at: datetime, text: str) -> Preview:
    now_ms = round(at.timestamp() * 1000)
    hours = calling_hours(CampaignSettings(queue_name="q", rule_pack=pack), "UTC", now_ms)
    with open_sheet(io.BytesIO(text.encode())) as sheet:
        columns = find_columns(sheet, "")
        reader = FileReader(columns, "")
        previewer = Previewer(
            services.suppression, hours, "", now_ms, has_consent="consent" in columns.fields
        )
        return await previewer.read(
            sheet, reader, on_bad_line=lambda line: pytest.fail(line.problem), on_progress=lambda _: None
        )


async def test_the_rules_of_a_state_hold_for_its_numbers_and_people(services: Services) -> None:
    text = "phone,phone 2,region\n+12125551234,,\n+13055551234,,\n+12125551235,+13055551235,\n+12125551236,,US-FL\n"
    found = await preview(services, "us", EVENING, text)
    assert (found.callable, found.outside_hours) == (1, 3)


@pytest.mark.parametrize(
    ("pack", "consent", "is_callable"),
    [
        ("pe", "", False),
        ("pe", "yes", True),
        ("pe", "2020-01-01", True),
        ("pe", "2026-12-01", False),
        ("es", "yes", False),
        ("es", "2025-01-01", True),
        ("es", "2024-01-01", False),
        ("us", "", False),
    ],
)
async def test_a_consent_counts_as_the_pack_says(
    services: Services, pack: str, consent: str, is_callable: bool
) -> None:
    found = await preview(
        services, pack, MORNING, f"phone,timezone,consent\n+34600000000,Europe/Madrid,{consent}\n"
    )
    assert (found.callable, found.without_consent) == (int(is_callable), int(not is_callable))


@pytest.mark.parametrize(("pack", "is_callable"), [("pe", False), ("uk", True)])
async def test_without_a_column_only_the_pack_asks_for_consent(
    services: Services, pack: str, is_callable: bool
) -> None:
    found = await preview(services, pack, MORNING, "phone\n+34600000000\n")
    assert (found.callable, found.without_consent) == (int(is_callable), int(not is_callable))
