"""Exports: the rows that the page shows, as CSV, XLSX or JSON."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from import_export import resources
from import_export.formats import base_formats

from streamdialer.backend.models import Attempt, Contact

FORMATS = [base_formats.CSV, base_formats.XLSX, base_formats.JSON]
CONTACT_FIELDS = (
    *("id", "campaign__name", "phone_number", "number", "phone_2", "phone_3", "status", "attempts"),
    *("last_attempt", "priority", "timezone", "region", "do_not_call", "custom_data", "created_at"),
)


class ContactResource(resources.ModelResource):
    class Meta:
        model = Contact
        fields = CONTACT_FIELDS
        export_order = CONTACT_FIELDS


class AttemptResource(resources.ModelResource):
    class Meta:
        model = Attempt
        exclude = ("id", "entry_id")


def may_export(_page: Any, request: HttpRequest) -> bool:
    """Supervisors and administrators: a viewer reads pages."""
    return bool(request.user.has_perm("backend.change_contact"))
