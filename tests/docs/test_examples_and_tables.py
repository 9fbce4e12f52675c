"""What the documents show is what the code has."""

from __future__ import annotations

from pathlib import Path

from streamdialer.consumers.dialing.reasons import LIMITS, NOTICES, REASONS, SKIPPED, table_of
from streamdialer.rules.rule_pack import read_pack

DOCS = Path(__file__).parents[2] / "docs"


def test_every_cause_is_in_the_table() -> None:
    told = (DOCS / "explain.md").read_text("utf-8")
    for causes in (REASONS, NOTICES, LIMITS, SKIPPED):
        assert "\n".join(table_of(causes)) in told


def test_the_pack_of_the_documentation_is_one() -> None:
    text = (DOCS / "rules.md").read_text(encoding="utf-8")
    pack = read_pack("somewhere", text.partition("```toml\n")[2].partition("```")[0])
    assert all(
        (pack.hours, pack.attempt_caps, pack.contact_caps, pack.min_gap, pack.abandon_cooloff, pack.duties)
    )
