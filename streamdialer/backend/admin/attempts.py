"""Attempts: to look at and to export, never to change."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from import_export.admin import ExportMixin

from streamdialer.backend.admin.exports import FORMATS, AttemptResource, may_export
from streamdialer.backend.models import Attempt


@admin.register(Attempt)
class AttemptAdmin(ExportMixin, admin.ModelAdmin):
    resource_classes = (AttemptResource,)
    formats = FORMATS
    list_display = (
        *("sent_at", "campaign", "phone_number", "attempt", "disposition", "cause"),
        *("agent_id", "duration", "next_at", "final"),
    )
    list_filter = ("disposition", "campaign", "final")
    search_fields = ("phone_number", "attempt_id", "agent_id", "call_id")
    date_hierarchy = "sent_at"
    list_select_related = ("campaign",)
    show_full_result_count = False
    has_export_permission = may_export

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
