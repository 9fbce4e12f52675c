"""Deletes attempts and blocks that are older than history is kept."""

from __future__ import annotations

import logging
import threading
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import DatabaseError, close_old_connections
from django.db.models import Q, QuerySet

from streamdialer.backend.models import Attempt, Block

log = logging.getLogger(__name__)
BATCH: Final = 2000
"""Rows per statement: others may write in between."""
INTERVAL_S: Final = 86_400.0
RETRY_S: Final = 600.0


def delete_history_before(cutoff: datetime) -> int:
    """Deletes attempts that were sent, or else ended, before it, and blocks; the number of rows."""
    attempts = Attempt.objects.filter(Q(sent_at__lt=cutoff) | Q(sent_at=None, ended_at__lt=cutoff))
    return _delete(attempts) + _delete(Block.objects.filter(at__lt=cutoff))


def _delete(rows: QuerySet[Any]) -> int:
    deleted = 0
    while keys := list(rows.order_by().values_list("pk", flat=True)[:BATCH]):
        deleted += rows.model.objects.filter(pk__in=keys).delete()[0]
    return deleted


def keep_history(days: int, stop: threading.Event) -> None:
    """Deletes older rows now and once a day until `stop` is set; a database that is away is asked again."""
    from django.utils.timezone import now

    pause_s = 0.0
    while not stop.wait(pause_s):
        pause_s = INTERVAL_S
        close_old_connections()
        try:
            if deleted := delete_history_before(now() - timedelta(days=days)):
                log.info("old history is deleted", extra={"days": days, "rows": deleted})
        except DatabaseError as error:
            log.error("old history cannot be deleted", extra={"error": str(error).strip()})
            pause_s = RETRY_S
