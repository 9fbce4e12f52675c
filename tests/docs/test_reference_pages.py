"""What docs/reference_pages.py writes for the site is complete: commands, options, settings, events, rule packs."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from streamdialer.cli import app
from streamdialer.config.settings import NAMES
from streamdialer.producers.events import EVENT_TYPES
from streamdialer.rules.rule_pack import pack_names

ROOT = Path(__file__).parents[2]
WRITERS = runpy.run_path(str(ROOT / "docs/reference_pages.py"))["PAGES"]


def leaves(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from leaves(child, f"{path} {name}")


def test_every_page_names_a_writer_and_every_writer_has_a_page() -> None:
    pages = [page.read_text("utf-8") for page in (ROOT / "docs").rglob("*.md")]
    named = [name for page in pages for name in re.findall(r"^```\{generated\} (\w+)$", page, re.MULTILINE)]
    assert sorted(named) == sorted(WRITERS)


def test_every_command_has_a_section_with_its_options_and_example() -> None:
    text = WRITERS["commands"]()
    sections = dict(re.findall(r"^#+ `(.*?)`\n(.*?)(?=^#|\Z)", text, re.DOTALL | re.MULTILINE))
    commands = dict(leaves(typer.main.get_command(app), "streamdialer"))
    assert sections.keys() == commands.keys()
    for path, command in commands.items():
        options = [name for each in command.params for name in each.opts if name.startswith("--")]
        assert all(f"`{name}`" in sections[path] for name in options if "completion" not in name), path
        assert f"    {command.epilog.removeprefix('Example: ')}" in sections[path]


def test_every_setting_event_and_pack_is_there_once() -> None:
    assert sorted(re.findall(r"^\| `([A-Z_]+)`", WRITERS["settings"](), re.MULTILINE)) == sorted(
        NAMES.values()
    )
    headings = " ".join(re.findall(r"^## (.*)$", WRITERS["event_fields"](), re.MULTILINE))
    assert sorted(re.findall(r"`(\w+)`", headings)) == sorted(EVENT_TYPES)
    assert re.findall(r"^## `(.*?)`", WRITERS["rule_packs"](), re.MULTILINE) == pack_names()
