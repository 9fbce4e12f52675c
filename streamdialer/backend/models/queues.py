"""Queues and the agents in them."""

from __future__ import annotations

from django.core.validators import RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

NAME = RegexValidator(r"\A[^\s/?#%]+\Z", _("No blanks and none of / ? # %."))


class Queue(models.Model):
    name = models.CharField(_("name"), max_length=200, unique=True, validators=[NAME])
    agents = models.ManyToManyField(
        "backend.Agent", verbose_name=_("agents"), related_name="queues", blank=True
    )

    class Meta:
        verbose_name = _("queue")
        verbose_name_plural = _("queues")
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class Agent(models.Model):
    class Status(models.TextChoices):
        AVAILABLE = "available", _("available")
        BUSY = "busy", _("busy")
        WRAPUP = "wrapup", _("wrap-up")
        OFFLINE = "offline", _("offline")

    id = models.CharField(
        _("id"),
        primary_key=True,
        max_length=200,
        help_text=_("As the telephone system writes it: PJSIP/1001."),
    )
    name = models.CharField(_("name"), max_length=200, blank=True)
    status = models.CharField(_("status"), max_length=20, choices=Status.choices, default=Status.OFFLINE)

    class Meta:
        verbose_name = _("agent")
        verbose_name_plural = _("agents")
        ordering = ("id",)

    def __str__(self) -> str:
        return f"{self.name} ({self.id})" if self.name else self.id
