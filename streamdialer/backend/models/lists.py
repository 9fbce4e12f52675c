"""Lists: each import of contacts into a campaign, with what came of it."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from streamdialer.backend.models.campaigns import Campaign


class ContactList(models.Model):
    campaign = models.ForeignKey(
        Campaign, verbose_name=_("campaign"), on_delete=models.CASCADE, related_name="lists"
    )
    name = models.CharField(_("name"), max_length=200)
    lines = models.PositiveIntegerField(_("lines"), default=0)
    added = models.PositiveIntegerField(_("added"), default=0)
    duplicates = models.PositiveIntegerField(
        _("duplicates"), default=0, help_text=_("Numbers that the campaign had already.")
    )
    bad = models.PositiveIntegerField(_("bad lines"), default=0)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("imported by"),
        on_delete=models.SET_NULL,
        null=True,
        editable=False,
    )
    created_at = models.DateTimeField(_("begun"), auto_now_add=True)
    finished_at = models.DateTimeField(
        _("finished"), null=True, blank=True, help_text=_("Empty when the import was broken off.")
    )

    class Meta:
        verbose_name = _("list")
        verbose_name_plural = _("lists")
        ordering = ("-id",)

    def __str__(self) -> str:
        return self.name
