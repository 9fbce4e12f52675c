"""Stores what rules have blocked as rows, for auditors."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec
from django.db import DatabaseError, close_old_connections
from msgspec import Meta

from streamdialer.backend.models import Block, Campaign

log = logging.getLogger(__name__)
MAX_RULE: Final = 1000


class _Rule(msgspec.Struct, frozen=True):
    reason: Annotated[str, Meta(min_length=1, max_length=40)]
    count: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    rule: str = ""
    contacts: list[str] = []


def store_blocks(entries: list[tuple[str, dict[str, str]]]) -> None:
    """An entry that comes again adds nothing; one of another backend's campaign, or that cannot be read, is left out.

    Raises OSError when the database takes nothing now: the same entries may come again.
    """
    close_old_connections()
    try:
        campaigns = {str(key) for key in Campaign.objects.values_list("pk", flat=True)}
        rows = [row for entry_id, fields in entries for row in _rows(entry_id, fields, campaigns)]
        Block.objects.bulk_create(rows, ignore_conflicts=True)
    except DatabaseError as error:
        raise OSError(str(error).strip()) from error


def _rows(entry_id: str, fields: dict[str, str], campaigns: set[str]) -> list[Block]:
    campaign = fields.get("campaign", "")
    if campaign not in campaigns:
        return []
    try:
        rules = msgspec.json.decode(fields.get("blocks", ""), type=list[_Rule])
    except (msgspec.MsgspecError, UnicodeError) as error:
        log.warning(
            "a block cannot be read and is not stored", extra={"entry": entry_id, "error": str(error)}
        )
        return []
    at = datetime.fromtimestamp(int(entry_id.partition("-")[0]) / 1000, UTC)
    return [
        Block(
            entry_id=entry_id,
            position=position,
            campaign_id=int(campaign),
            at=at,
            reason=each.reason,
            rule=each.rule.replace("\0", "")[:MAX_RULE],
            count=each.count,
            contacts=[name.replace("\0", "") for name in each.contacts],
        )
        for position, each in enumerate(rules)
    ]
