"""Errors as answers: a database that is away or locked is 503, so the dialer comes again later."""

from __future__ import annotations

import logging
from typing import Any

from django.core.exceptions import ValidationError as ModelError
from django.db import InterfaceError, OperationalError
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response
from rest_framework.views import exception_handler

log = logging.getLogger(__name__)


def answer(error: Exception, context: dict[str, Any]) -> Response | None:
    if isinstance(error, OperationalError | InterfaceError):
        log.error("the database did not do it", extra={"error": str(error).strip()})
        return Response({"detail": "The database is away, locked or full. Try again later."}, 503)
    if isinstance(error, ModelError):
        error = ValidationError(error.message_dict if hasattr(error, "error_dict") else error.messages)
    return exception_handler(error, context)
