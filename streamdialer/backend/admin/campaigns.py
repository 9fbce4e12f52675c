"""Campaigns and their lists."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from streamdialer.backend.admin.campaign_form import CampaignForm
from streamdialer.backend.models import Campaign, Contact, ContactList


@admin.register(Campaign)
class CampaignAdmin(admin.ModelAdmin):
    form = CampaignForm
    list_display = ("id", "name", "queue", "dial_mode", "hours", "created_at")
    list_display_links = ("id", "name")
    list_filter = ("dial_mode", "queue")
    search_fields = ("name",)
    list_select_related = ("queue",)
    readonly_fields = ("contacts_by_status", "statistics_at")
    fieldsets = (
        (None, {"fields": ("name", "queue", "dial_mode", "contacts_by_status", "statistics_at")}),
        (
            _("Pace"),
            {
                "fields": (
                    "pacing_ratio",
                    "max_concurrent_calls",
                    "pacing",
                    "abandon_cap",
                    "slots",
                    "auto_pause",
                )
            },
        ),
        (_("Hours"), {"fields": (("start_time", "end_time"), "days_of_week", "timezone", "rule_pack")}),
        (_("Attempts"), {"fields": ("max_retries", "retry_delay")}),
        (_("Calls"), {"fields": ("trunk", "caller_id", "country", "ring_timeout", "amd", "on_machine")}),
        (
            _("More"),
            {
                "classes": ("collapse",),
                "fields": (
                    *("calls_per_second", "reserve_agents", "weight", "retry_rules"),
                    *("caller_ids", "caller_id_choice", "caller_id_daily_cap"),
                    *("attempt_caps", "contact_caps", "min_gap", "abandon_cooloff"),
                ),
            },
        ),
    )

    @admin.display(description=_("hours"))
    def hours(self, campaign: Campaign) -> str:
        return f"{campaign.start_time or '0:00'}–{campaign.end_time or '24:00'} {campaign.timezone}".strip()

    @admin.display(description=_("contacts"))
    def contacts_by_status(self, campaign: Campaign) -> SafeString | str:
        """How many of each status, each a link to them."""
        if campaign._state.adding:
            return "-"
        counted = campaign.contacts.values("status").annotate(number=Count("id")).order_by("status")
        address = reverse("admin:backend_contact_changelist")
        links = [
            (address, campaign.pk, row["status"], Contact.Status(row["status"]).label, row["number"])
            for row in counted
        ]
        link = '<a href="{}?campaign__id__exact={}&status__exact={}">{} {}</a>'
        return format_html_join(", ", link, links) or "0"


@admin.register(ContactList)
class ContactListAdmin(admin.ModelAdmin):
    list_display = (
        *("name", "campaign", "lines", "added", "duplicates", "bad", "contacts_link"),
        *("created_at", "finished_at", "created_by"),
    )
    list_filter = ("campaign",)
    search_fields = ("name",)
    list_select_related = ("campaign", "created_by")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """A list is made by an import."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description=_("contacts"))
    def contacts_link(self, contact_list: ContactList) -> SafeString:
        address = reverse("admin:backend_contact_changelist")
        query = f"contact_list__id__exact={contact_list.pk}"
        return format_html('<a href="{}?{}">{}</a>', address, query, _("show"))
