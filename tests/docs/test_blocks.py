"""Every `sh` block of the documentation is run, line by line, on a real Redis and a simulated call centre.

A block that cannot be run has a comment before it: `<!-- skip: next "why" -->`. The commands run in this process.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest import SkipTest

import pytest
from anyio.from_thread import start_blocking_portal
from sybil import Example
from sybil.document import Document
from sybil.parsers.markdown import CodeBlockParser, SkipParser

from streamdialer.simulation.embedded_redis import EmbeddedServer
from streamdialer.simulation.servers.call_centre import CallCentre
from streamdialer.simulation.world.build import build_world
from streamdialer.simulation.world.entities import Contact
from tests.support.cli import Run

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("README*.md"), *sorted((ROOT / "docs").rglob("*.md"))]
WITH_BLOCKS = [page for page in PAGES if re.search(r"^ *```sh$", page.read_text("utf-8"), re.MULTILINE)]
OUTCOME = {
    "attempt_id": "7:123:1.0",
    "campaign_id": 7,
    "contact_id": 123,
    "disposition": "busy",
    "final": False,
}
FILES = {
    "numbers.csv": "celular,nombre,telefono\n+573001234567,Ana,+576012345678\n",
    "answer.csv": "+573001234568\n",
}
"""What a block reads."""
RUN_UNTIL_STOPPED = {"asterisk", "backend", "consume", "dashboard", "demo", "serve", "tick", "webhooks"}
RUN_ELSEWHERE = {
    "docs/embedding.md": "test_embedding.py",
    "docs/events.md": "test_examples.py",
    "docs/preview.md": "test_preview_example.py",
}
"""Blocks of Python."""


@pytest.fixture
def centre(
    clean_environment: None, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[CallCentre]:
    """Campaigns 1 to 7; contact 123 is one of campaign 7."""
    world = build_world(agents=7, contacts=14, campaigns=7)
    world.add_contacts([Contact(id=123, campaign_id=7, phone_number="+573001234567")])
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(CallCentre(world, server.url, speed=50)) as opened,
    ):
        monkeypatch.setenv("BACKEND_URL", opened.backend.url)
        monkeypatch.setenv("DIALER_API_URL", opened.dialer_api.url)
        yield opened


class Shell:
    """Runs the lines of a block; knows `streamdialer`, `redis-cli`, `export`, and input from `<<'END'`."""

    def __init__(self, run: Run, db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self._run, self._db, self._monkeypatch = run, db, monkeypatch

    def __call__(self, example: Example) -> None:
        lines = iter(example.parsed.replace("\\\n", " ").splitlines())
        for line in lines:
            stdin = None
            if heredoc := re.search(r" <<'(\w+)'$", line):
                given = iter(lambda: next(lines), heredoc[1])
                stdin, line = "\n".join(given).encode(), line[: heredoc.start()]
            line = re.sub(r" > [\w.]+$", "", os.path.expandvars(line))
            self._line(shlex.split(line, comments=True), stdin)

    def _line(self, words: list[str], stdin: bytes | None) -> None:
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            self._monkeypatch.setenv(*words.pop(0).split("=", 1))
        match words:
            case []:
                pass
            case ["export", *settings]:
                self._line(settings, None)
            case ["streamdialer", command, *_] if command in RUN_UNTIL_STOPPED:
                pytest.fail(f"streamdialer {command} runs until it is stopped: skip the block")
            case ["streamdialer", *arguments]:
                result = self._run(*arguments, stdin=stdin)
                assert result.exit_code == 0, f"streamdialer {' '.join(arguments)}: {result.output}"
            case ["redis-cli", "-u", _, *arguments] | ["redis-cli", *arguments]:
                self._db.execute_command(*arguments)
            case _:
                pytest.fail(f"cannot be run here: {' '.join(words)}")


@pytest.mark.parametrize("page", WITH_BLOCKS, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_line_of_every_block_can_be_run(
    page: Path, centre: CallCentre, run: Run, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    db.xadd("dialer:outcomes", {"type": "attempt_ended", "data": json.dumps(OUTCOME)})
    for campaign in ("7", "1"):
        run("campaign", "start", campaign)
        run("run", "dial", campaign, "--inline")
    for name, text in FILES.items():
        Path(name).write_text(text)
    shell = Shell(run, db, monkeypatch)
    document = Document.parse(str(page), CodeBlockParser("sh", shell), SkipParser())
    for example in document:
        with suppress(SkipTest):  # the comment before the block says why
            example.evaluate()
    db.flushall()


def test_python_of_every_page_is_run_by_a_test() -> None:
    pages = {str(page.relative_to(ROOT)) for page in PAGES if "\n```python\n" in page.read_text("utf-8")}
    assert pages == RUN_ELSEWHERE.keys()
    for page, test in RUN_ELSEWHERE.items():
        assert Path(page).name in Path(__file__).with_name(test).read_text("utf-8")


def test_json_of_every_page_can_be_read() -> None:
    for page in PAGES:
        for block in re.findall(r"^```json\n(.*?)^```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE):
            assert isinstance(json.loads(block), dict), page


def test_commands_stand_in_blocks_that_are_run_or_say_why_not() -> None:
    command = re.compile(
        r"^ {4,}(?:[A-Z_]+=\S+ )?(?:streamdialer|redis-cli|pip|make|python3?) .*", re.MULTILINE
    )
    for page in [*PAGES, ROOT / "CONTRIBUTING.md"]:
        text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
        assert command.findall(text) == [], page
