"""Attempts: every call that has ended, as the dialer wrote it to its stream of outcomes."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from streamdialer.backend.models.campaigns import Campaign
from streamdialer.backend.models.contacts import Contact


class Attempt(models.Model):
    attempt_id = models.CharField(_("attempt"), max_length=600, unique=True)
    campaign = models.ForeignKey(
        Campaign, verbose_name=_("campaign"), on_delete=models.CASCADE, related_name="attempts"
    )
    contact = models.ForeignKey(
        Contact, verbose_name=_("contact"), on_delete=models.SET_NULL, related_name="history", null=True
    )
    phone_number = models.CharField(_("telephone number"), max_length=40, blank=True)
    call_id = models.CharField(_("call"), max_length=256, blank=True)
    agent_id = models.CharField(_("agent"), max_length=256, blank=True)
    disposition = models.CharField(_("outcome"), max_length=40, blank=True)
    cause = models.CharField(_("cause"), max_length=256, blank=True)
    sent_at = models.DateTimeField(_("sent"), null=True, db_index=True)
    answered_at = models.DateTimeField(_("answered"), null=True)
    ended_at = models.DateTimeField(_("ended"), null=True)
    duration = models.FloatField(_("seconds"), null=True)
    attempt = models.PositiveIntegerField(_("number of the attempt"), null=True)
    allowed_by = models.CharField(_("allowed by"), max_length=400, blank=True)
    """The rule packs, zones and end of the window that allowed the call."""
    next_at = models.DateTimeField(_("next attempt"), null=True)
    final = models.BooleanField(_("final"), default=False)
    entry_id = models.CharField(max_length=40, editable=False)
    """Of the newest entry of the stream that says something of it."""

    class Meta:
        verbose_name = _("attempt")
        verbose_name_plural = _("attempts")
        ordering = ("-sent_at", "-id")

    def __str__(self) -> str:
        return self.attempt_id
