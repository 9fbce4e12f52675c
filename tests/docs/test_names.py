"""The documents name settings, commands, options, keys and reason codes that there are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from streamdialer.broker.keys import Keys
from streamdialer.cli import app
from streamdialer.config.settings import NAMES
from streamdialer.consumers.dialing.reasons import LIMITS, REASONS, SKIPPED
from streamdialer.producers.events import EVENT_TYPES

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
COMMANDS = typer.main.get_command(app)

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@each_page
def test_every_setting_named_exists(page: Path) -> None:
    assert set(re.findall(r"\bSTREAMDIALER_[A-Z_]+[A-Z]", page.read_text("utf-8"))) <= set(NAMES.values())


def command_lines(text: str) -> list[list[str]]:
    """The words after `streamdialer`, wherever it stands in code; without comments, pipes and placeholders."""
    spans = re.findall(r"^(?:    |\$ |\+ )?((?:\w+=\S+ )*streamdialer .*)$", text, re.MULTILINE)
    spans += re.findall(r"`((?:\w+=\S+ )*streamdialer [^`]*)`", text)
    lines = [re.split(r" +(?:#|\||2>&1|<<)", span)[0].split() for span in spans]
    return [line[line.index("streamdialer") + 1 :] for line in lines]


def resolve(words: list[str]) -> tuple[Any, list[str]]:
    """The command that the words name, and the words that are left."""
    command: Any = COMMANDS
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        found = command.commands.get(words[0].rstrip(",."))
        assert found is not None, f"no command {words[0]} of {command.name}"
        command, words = found, words[1:]
    return command, words


@each_page
def test_every_command_and_option_named_exists(page: Path) -> None:
    for words in command_lines(page.read_text("utf-8")):
        command, rest = resolve(words)
        options = {name for parameter in command.params for name in parameter.opts} | {"--help"}
        given = {
            re.sub(r"[\]=,.].*", "", word.lstrip("[")) for word in rest if word.lstrip("[").startswith("--")
        }
        assert given <= options, (words, given - options)


@each_page
def test_every_key_of_ours_exists(page: Path) -> None:
    keys, source = Keys(), (ROOT / "streamdialer/broker/keys.py").read_text("utf-8")
    own = set(re.findall(r'_own\(campaign, f?"(\w+)', source))
    assert keys.ready("7") == "sd:c:7:ready"
    for name in re.findall(r"`(sd:[^`\s]+)`", page.read_text("utf-8")):
        campaigns = re.fullmatch(r"sd:c:(?:\d+|\{\w+\}):(\w+|\{state\})", name)
        if campaigns:
            assert campaigns[1] in own | {"{state}"}, name
        else:
            assert re.search(rf'sd:{re.escape(name[3:])}["\']', source), name


def test_the_changelog_names_settings_codes_and_states_of_today_as_new_and_no_other() -> None:
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    settings = re.findall(r"^\| `(STREAMDIALER_\w+)` \| `(STREAMDIALER_\w+)` \|$", text, re.MULTILINE)
    assert {new for _, new in settings} <= set(NAMES.values())
    assert not {old for old, _ in settings} & set(NAMES.values())
    codes = text.split("**Reason codes**")[1].split("**")[0]
    pairs = re.findall(r"^\| `(\w+)` \| `(\w+)` \|$", codes, re.MULTILINE)
    known = {**REASONS, **LIMITS, **SKIPPED}.keys()
    assert len(pairs) > 5
    assert {new for _, new in pairs} <= known
    assert not {old for old, _ in pairs} & known


def test_the_page_of_events_lists_every_event() -> None:
    table = (ROOT / "docs/events.md").read_text("utf-8").split("\n## ")[0]
    first_cells = " ".join(re.findall(r"^\| (`.*?) \|", table, re.MULTILINE))
    assert set(re.findall(r"`(\w+)`", first_cells)) == set(EVENT_TYPES)


def test_contributing_names_classes_and_files_that_there_are() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    files = [
        file
        for room in ("streamdialer", "bench", "docs", "tests/support")
        for file in (ROOT / room).rglob("*.py")
    ]
    source = "\n".join(file.read_text("utf-8") for file in files)
    for name in re.findall(r"`(?:\w+\.)?(_?[A-Z]\w{4,}|(?!test_)\w+_\w+)(?:\.\w+)?`", text):
        assert re.search(rf"\b{name}\b", source) is not None, name
    for path in re.findall(r"`((?!tests/)[\w/]+\.py)`", text):
        assert any(str(file).endswith(f"/{path}") for file in files), path
