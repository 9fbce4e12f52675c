"""Brings the Spanish of dashboard, backend and `--help` up to date with their English: `python -m bench.messages`.

It keeps every translation, adds new texts without one, removes those that are gone, says what is missing, and compiles.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from babel.messages import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from typer.main import get_command

from streamdialer.cli import app
from streamdialer.cli.help_texts import EXAMPLE, USAGE, texts_of
from streamdialer.consumers.dialing.reasons import LIMITS, NOTICES, REASONS, SKIPPED, WAITING
from streamdialer.operations.decisions import DO_THEY_RUN
from streamdialer.operations.overview.alerts import API_TROUBLE
from streamdialer.operations.waiting_contacts import TEXTS
from streamdialer.rules.cause_words import NAMES

PACKAGE: Final = Path(__file__).parent.parent / "streamdialer"
KEYWORDS: Final = {"Phrase": None, "counted": (1, 2), "_": None, "gettext": None, "ngettext": (1, 2)}
WHEN: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""Of the files, so that they change with their texts alone."""
_UNUSED: Final = re.compile(
    r'^"(Project-Id|Report-Msgid|POT-|PO-Rev|Last-Tr|Language-Team|Generated)[^\n]*\n', re.MULTILINE
)
OPTIONS: Final = {"**.html": {"trimmed": "false", "silent": "false"}}


@dataclass(frozen=True)
class Texts:
    """The texts of one part of the program, and its catalogue: a text file, and the same compiled."""

    part: str
    domain: str
    found: Callable[[], Iterator[Any]]

    @property
    def po(self) -> Path:
        return PACKAGE / f"{self.part}/locale/es/LC_MESSAGES/{self.domain}.po"

    @property
    def mo(self) -> Path:
        return self.po.with_suffix(".mo")

    def template(self) -> Catalog:
        """Every text that can be shown in another language."""
        catalog = Catalog(project="streamdialer", charset="utf-8", fuzzy=False)
        for text in self.found():
            catalog.add(text)
        return catalog

    def stored(self) -> Catalog:
        with self.po.open("rb") as file:
            catalog = read_po(file, locale="es")
        catalog.creation_date = catalog.revision_date = WHEN
        return catalog


def _of_dashboard() -> Iterator[Any]:
    for folder in ("operations", "dashboard"):
        methods = [("**.py", "python"), ("**.html", "jinja2.ext.babel_extract")]
        for _, _, message, _, _ in extract_from_dir(
            PACKAGE / folder, methods, OPTIONS, KEYWORDS, strip_comment_tags=True
        ):
            yield message
    for table in (REASONS, LIMITS, NOTICES, SKIPPED):
        for entry in table.values():
            yield from filter(None, (entry.text, entry.remedy))
    yield from API_TROUBLE.values()
    yield from TEXTS.values()
    yield from NAMES.values()
    yield from (DO_THEY_RUN, WAITING)


def _of_help() -> Iterator[str]:
    yield from texts_of(get_command(app))
    yield from (USAGE, EXAMPLE, "Arguments", "Commands", "Options", "[default: {}]", "[required]")
    yield from ("Show this message and exit.", "default: {default}", "required")


def _of_backend() -> Iterator[Any]:
    for _, _, message, _, _ in extract_from_dir(PACKAGE / "backend", [("**.py", "python")], {}, KEYWORDS):
        yield message


DASHBOARD: Final = Texts("dashboard", "dashboard", _of_dashboard)
BACKEND: Final = Texts("backend", "django", _of_backend)
HELP: Final = Texts("cli", "cli", _of_help)
CATALOGUES: Final = (DASHBOARD, BACKEND, HELP)


def main() -> int:
    untranslated = [f"{each.part}: {text}" for each in CATALOGUES for text in update(each)]
    sys.stdout.writelines(f"without Spanish: {line}\n" for line in untranslated)
    return 1 if untranslated else 0


def update(texts: Texts) -> list[str]:
    """Rewrites both files; returns what has no translation."""
    catalog = texts.stored()
    catalog.update(texts.template(), no_fuzzy_matching=True)
    catalog.obsolete.clear()
    catalog.header_comment = (
        f"# The texts of {texts.part} in Spanish. `python -m bench.messages` adds new texts."
    )
    text = io.BytesIO()
    write_po(text, catalog, width=110, no_location=True, sort_output=True)
    texts.po.write_text(_UNUSED.sub("", text.getvalue().decode()), "utf-8")
    with texts.mo.open("wb") as file:
        write_mo(file, texts.stored())
    return missing(catalog)


def missing(catalog: Catalog) -> list[str]:
    """The texts without a translation."""
    return [
        str(each.id)
        for each in catalog
        if each.id
        and not (each.string and all([each.string] if isinstance(each.string, str) else each.string))
    ]


if __name__ == "__main__":
    sys.exit(main())
