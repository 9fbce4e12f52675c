"""Contacts: search, call again, do not call, export, and the import of a file with a preview."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast
from django.http import HttpRequest
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from import_export.admin import ImportExportMixin

from streamdialer.backend.admin.exports import FORMATS, ContactResource, may_export
from streamdialer.backend.admin.imports import (
    CampaignConfirmForm,
    CampaignImportForm,
    ContactFileResource,
    GuessedFile,
    reason,
)
from streamdialer.backend.models import Attempt, Contact


class AttemptInline(admin.TabularInline):
    model = Attempt
    fields = readonly_fields = ("sent_at", "disposition", "cause", "agent_id", "duration", "next_at")
    extra = 0
    can_delete = False
    ordering = ("-sent_at",)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Contact)
class ContactAdmin(ImportExportMixin, admin.ModelAdmin):
    formats = FORMATS
    import_form_class = CampaignImportForm
    confirm_form_class = CampaignConfirmForm
    list_display = (
        "phone_number",
        "campaign",
        "status",
        "priority",
        "attempts",
        "last_attempt",
        "do_not_call",
    )
    list_filter = ("status", "do_not_call", "campaign", "contact_list")
    search_fields = ("phone_number", "number", "phone_2", "phone_3", "data_text")
    search_help_text = _("A number, or any text of the other data.")
    list_select_related = ("campaign",)
    show_full_result_count = False
    ordering = ("-id",)
    readonly_fields = ("number", "contact_list", "attempts", "last_attempt", "created_at", "updated_at")
    inlines = (AttemptInline,)
    actions = ("call_again", "never_call")
    has_export_permission = may_export

    def get_queryset(self, request: HttpRequest) -> QuerySet[Contact]:
        """With the other data as text, to search in it."""
        contacts: QuerySet[Contact] = super().get_queryset(request)
        return contacts.annotate(data_text=Cast("custom_data", TextField()))

    def get_export_resource_classes(self, request: HttpRequest) -> list[Any]:
        return [ContactResource]

    def get_import_resource_classes(self, request: HttpRequest) -> list[Any]:
        return [ContactFileResource]

    def get_import_formats(self) -> list[Any]:
        return [GuessedFile]

    def get_import_resource_kwargs(
        self, request: HttpRequest, form: Any = None, **more: Any
    ) -> dict[str, Any]:
        return {"campaign": getattr(form, "cleaned_data", {}).get("campaign")}

    def get_confirm_form_initial(self, request: HttpRequest, import_form: Any) -> dict[str, Any]:
        initial = super().get_confirm_form_initial(request, import_form)
        return {**initial, "campaign": import_form.cleaned_data["campaign"].pk} if import_form else initial

    def add_data_read_fail_error_to_form(self, form: Any, e: Exception) -> None:
        form.add_error("import_file", reason(e))

    def has_import_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("backend.add_contactlist"))

    @admin.action(description=_("Call again: pending, without attempts"), permissions=["change"])
    def call_again(self, request: HttpRequest, contacts: QuerySet[Contact]) -> None:
        states = {"status": Contact.Status.PENDING, "attempts": 0, "last_attempt": None, "updated_at": now()}
        self._say(request, contacts.filter(do_not_call=False).update(**states))

    @admin.action(description=_("Never call"), permissions=["change"])
    def never_call(self, request: HttpRequest, contacts: QuerySet[Contact]) -> None:
        states = {"status": Contact.Status.DO_NOT_CALL, "do_not_call": True, "updated_at": now()}
        self._say(request, contacts.update(**states))

    def save_model(self, request: HttpRequest, obj: Contact, form: Any, change: bool) -> None:
        obj.updated_at = now()
        super().save_model(request, obj, form, change)

    def _say(self, request: HttpRequest, count: int) -> None:
        text = ngettext("%(count)d contact changed.", "%(count)d contacts changed.", count)
        self.message_user(request, text % {"count": count}, messages.SUCCESS)
