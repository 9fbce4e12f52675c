"""The Spanish pages say what the English ones say: the same sections, blocks, rows, names in code and links."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPANISH = [ROOT / "README.es.md", *sorted((ROOT / "docs/es").glob("*.md"))]
FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)

each_page = pytest.mark.parametrize("spanish", SPANISH, ids=lambda page: str(page.relative_to(ROOT)))


def english_of(spanish: Path) -> Path:
    return ROOT / "README.md" if spanish.name == "README.es.md" else ROOT / "docs" / spanish.name


def blocks(page: Path) -> list[str]:
    """Without the comments, which are translated."""
    return [re.sub(r"  +#.*", "", block) for block in FENCED.findall(page.read_text("utf-8"))]


def sections(page: Path) -> list[tuple[str, int, int]]:
    """Of each heading: its level, and how many table rows and list items follow; of a name, the name too."""
    text = FENCED.sub("", page.read_text("utf-8"))
    parts = re.split(r"^(#+) (.*)$", text, flags=re.MULTILINE)
    return [
        (
            f"{level} {title if title.startswith('Streamdialer') else ''}",
            len(re.findall(r"^\|", body, re.MULTILINE)),
            len(re.findall(r"^ *(?:-|\d\.) ", body, re.MULTILINE)),
        )
        for level, title, body in zip(parts[1::3], parts[2::3], parts[3::3], strict=True)
    ]


def headings(page: Path) -> list[str]:
    """As anchors."""
    titles = re.findall(r"^#+ (.*)$", FENCED.sub("", page.read_text("utf-8")), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]


def code(page: Path) -> list[str]:
    return sorted(re.findall(r"`[^`\n]+`", FENCED.sub("", page.read_text("utf-8"))))


def targets(page: Path) -> list[str]:
    """Where links lead; a page that has a Spanish side counts as that, and so does an anchor on the page itself."""
    found = []
    for link in re.findall(r"\]\(([^)\s]+)\)", FENCED.sub("", page.read_text("utf-8"))):
        path, _, anchor = link.partition("#")
        if not path:
            found.append("here")
        elif ":" in path:
            found.append(link)
        else:
            target = (page.parent / path).resolve()
            sides = {english_of(side): side for side in SPANISH}
            if target in (*sides, *SPANISH):
                anchor = anchor and str(headings(target).index(anchor))
            found.append(os.path.relpath(sides.get(target, target), ROOT) + f"#{anchor}" * bool(anchor))
    return sorted(target for target in found if target not in ("README.md", "README.es.md"))


def test_the_pages_of_an_operator_are_there() -> None:
    assert {page.name for page in SPANISH} == {"README.es.md", "tutorial.md", "migration.md", "runbook.md"}


@each_page
def test_the_sections_are_those_of_the_english_page(spanish: Path) -> None:
    assert sections(spanish) == sections(english_of(spanish))


@each_page
def test_the_blocks_are_the_same(spanish: Path) -> None:
    assert blocks(spanish) == blocks(english_of(spanish))


@each_page
def test_commands_settings_and_keys_are_the_same(spanish: Path) -> None:
    assert code(spanish) == code(english_of(spanish))


@each_page
def test_links_lead_to_the_same_pages_or_to_their_spanish_side(spanish: Path) -> None:
    assert targets(spanish) == targets(english_of(spanish))


def test_the_spanish_words_of_the_glossary_are_those_of_the_spanish_texts() -> None:
    catalogues = sorted((ROOT / "streamdialer").glob("*/locale/es/LC_MESSAGES/*.po"))
    spanish = " ".join(path.read_text("utf-8").lower() for path in (*SPANISH, *catalogues))
    rows = re.findall(
        r"^\| \*\*(.*?)\*\* \| (.*?) ?\|", (ROOT / "docs/glossary.md").read_text("utf-8"), re.MULTILINE
    )
    assert len(rows) > 50
    assert [row for row in rows if row[1].lower() not in spanish] == []
