"""Where the zones come from: the package `tzdata`, on every machine and in every process."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, date, datetime
from importlib import resources
from pathlib import Path

import pytest

from streamdialer.errors import CampaignError
from streamdialer.operations.zone_data import check_zone_data
from streamdialer.rules.zone_clock import read_zone
from streamdialer.rules.zones import zone_set

LOOK = """
import sys
before = sys.argv[1] == "before"
if before:
    from zoneinfo import ZoneInfo
    ZoneInfo("America/Vancouver")
import streamdialer
from datetime import datetime, timezone
from streamdialer.rules.zone_clock import read_zone
print(datetime(2026, 1, 1, tzinfo=timezone.utc).astimezone(read_zone("America/Vancouver")).utcoffset())
"""


@pytest.mark.parametrize("imported", ["before", "after"])
def test_the_declared_package_wins_over_the_zone_files_of_the_system(tmp_path: Path, imported: str) -> None:
    (tmp_path / "America").mkdir()
    other = resources.files("tzdata") / "zoneinfo" / "Asia" / "Tokyo"
    (tmp_path / "America/Vancouver").write_bytes(other.read_bytes())
    environment = {**os.environ, "PYTHONTZPATH": str(tmp_path)}
    found = subprocess.run(
        [sys.executable, "-c", LOOK, imported], env=environment, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "-1 day, 16:00:00"


@pytest.mark.parametrize(
    "name",
    ["EST", "est", "MST", "HST", "EST5EDT", "CET", "GMT", "GMT+0", "Etc/GMT-5", "etc/gmt+3", "Greenwich"],
)
def test_a_zone_that_follows_no_place_is_refused(name: str) -> None:
    with pytest.raises(CampaignError, match="names no place"):
        read_zone(name)


@pytest.mark.parametrize("name", ["UTC", "Etc/UTC", "Zulu"])
def test_utc_is_a_clock_for_a_campaign_and_no_place_where_a_person_lives(name: str) -> None:
    read_zone(name)
    with pytest.raises(CampaignError, match="names no place"):
        zone_set(name, ["+573001234567"])


@pytest.mark.parametrize("name", ["Japan", "NZ", "GB", "US/Eastern", "America/Port-au-Prince", "Navajo"])
def test_an_older_name_of_a_place_is_a_zone(name: str) -> None:
    assert read_zone(name).key == name


def test_the_doctor_names_the_release_of_the_zones_and_says_when_it_is_old() -> None:
    assert "release 20" in check_zone_data(date(2026, 8, 1)).text
    assert check_zone_data(date(2026, 8, 1)).level == "ok"
    old = check_zone_data(date(2099, 1, 1))
    assert old.level == "warn"
    assert "pip install --upgrade tzdata" in old.remedy


def test_the_clock_of_vancouver_is_that_of_the_newest_release() -> None:
    moment = datetime(2026, 11, 27, 4, 30, tzinfo=UTC)
    assert moment.astimezone(read_zone("America/Vancouver")).hour == 21
