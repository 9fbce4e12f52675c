"""Brings the dashboard's Spanish catalogue up to date with its texts: `python -m bench.messages`.

It keeps every translation, adds new texts without one, removes those that are gone, says what is missing, and compiles.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from babel.messages import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from streamdialer.consumers.dialing.reasons import LIMITS, NOTICES, REASONS, SKIPPED, WAITING
from streamdialer.operations.decisions import DO_THEY_RUN
from streamdialer.operations.overview.alerts import API_TROUBLE
from streamdialer.operations.waiting_contacts import TEXTS

PACKAGE: Final = Path(__file__).parent.parent / "streamdialer"
PO: Final = PACKAGE / "dashboard/locale/es/LC_MESSAGES/dashboard.po"
MO: Final = PO.with_suffix(".mo")
KEYWORDS: Final = {"Phrase": None, "counted": (1, 2), "_": None, "gettext": None, "ngettext": (1, 2)}
WHEN: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""Of both files, so that they change with their texts alone."""
_UNUSED: Final = re.compile(
    r'^"(Project-Id|Report-Msgid|POT-|PO-Rev|Last-Tr|Language-Team|Generated)[^\n]*\n', re.MULTILINE
)
OPTIONS: Final = {"**.html": {"trimmed": "false", "silent": "false"}}


def template() -> Catalog:
    """Every text that a page can show in another language."""
    catalog = Catalog(project="streamdialer", charset="utf-8", fuzzy=False)
    for folder in ("operations", "dashboard"):
        methods = [("**.py", "python"), ("**.html", "jinja2.ext.babel_extract")]
        for file, _, message, _, _ in extract_from_dir(
            PACKAGE / folder, methods, OPTIONS, KEYWORDS, strip_comment_tags=True
        ):
            catalog.add(message, locations=[(f"{folder}/{file}", 0)])
    for text in _of_tables():
        catalog.add(text, locations=[("tables", 0)])
    return catalog


def _of_tables() -> Iterator[str]:
    for table in (REASONS, LIMITS, NOTICES, SKIPPED):
        for entry in table.values():
            yield from filter(None, (entry.text, entry.remedy))
    yield from API_TROUBLE.values()
    yield from TEXTS.values()
    yield from (DO_THEY_RUN, WAITING)


def stored() -> Catalog:
    with PO.open("rb") as file:
        return read_po(file, locale="es")


def main() -> int:
    catalog = stored()
    catalog.update(template(), no_fuzzy_matching=True)
    catalog.obsolete.clear()
    catalog.header_comment = "# The dashboard's texts in Spanish. `python -m bench.messages` adds new texts."
    catalog.creation_date = catalog.revision_date = WHEN
    text = io.BytesIO()
    write_po(text, catalog, width=110, no_location=True, sort_output=True)
    PO.write_text(_UNUSED.sub("", text.getvalue().decode()), "utf-8")
    with MO.open("wb") as file:
        write_mo(file, stored())
    untranslated = missing(catalog)
    sys.stdout.writelines(f"without Spanish: {text}\n" for text in untranslated)
    return 1 if untranslated else 0


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
