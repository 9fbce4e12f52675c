"""Campaigns: whom to call, when, and how fast. The field names are those of the dialer's contract."""

from __future__ import annotations

from typing import Any

import msgspec
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from streamdialer.backend.models.queues import Queue
from streamdialer.errors import CampaignError
from streamdialer.model import MAX_CALLER_IDS, CampaignSettings, has_control
from streamdialer.rules.numbers import is_country
from streamdialer.rules.rule_pack import load_pack
from streamdialer.rules.window import campaign_window

RATIO_LIMITS = {"predictive": 3.0, "power": 5.0}


def check_country(code: str) -> None:
    if not is_country(code):
        raise ValidationError(_("An ISO 3166 code of two letters, such as CO."))


def check_rule_pack(name: str) -> None:
    try:
        load_pack(name)
    except CampaignError as error:
        raise ValidationError(str(error)) from error


class Campaign(models.Model):
    class DialMode(models.TextChoices):
        PREVIEW = "preview", _("preview")
        PROGRESSIVE = "progressive", _("progressive")
        PREDICTIVE = "predictive", _("predictive")
        POWER = "power", _("power")
        AGENTLESS = "agentless", _("agentless")

    class Pacing(models.TextChoices):
        FIXED = "fixed", _("fixed")
        ADAPTIVE = "adaptive", _("adaptive")

    class CallerIdChoice(models.TextChoices):
        ROTATE = "rotate", _("evenly")
        AREA_CODE = "area_code", _("first those with the called number's area code")

    class OnMachine(models.TextChoices):
        HANGUP = "hangup", _("hang up")
        MESSAGE = "message", _("play the message")
        AGENT = "agent", _("connect an agent")

    name = models.CharField(_("name"), max_length=200)
    queue = models.ForeignKey(
        Queue,
        verbose_name=_("queue"),
        on_delete=models.PROTECT,
        related_name="campaigns",
        null=True,
        blank=True,
        help_text=_("Its agents take the calls. Only an agentless campaign needs none."),
    )
    dial_mode = models.CharField(
        _("mode"), max_length=20, choices=DialMode.choices, default=DialMode.PROGRESSIVE
    )
    pacing = models.CharField(_("pacing"), max_length=20, choices=Pacing.choices, blank=True)
    pacing_ratio = models.FloatField(
        _("calls per free agent"), default=1.2, validators=[MinValueValidator(0.1), MaxValueValidator(5)]
    )
    abandon_cap = models.FloatField(
        _("largest share of abandoned calls"),
        default=0.03,
        validators=[MinValueValidator(0), MaxValueValidator(0.99)],
    )
    max_concurrent_calls = models.PositiveIntegerField(_("most calls at once"), default=50)
    slots = models.PositiveIntegerField(
        _("slots"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=_("Calls at once of an agentless campaign."),
    )
    calls_per_second = models.FloatField(
        _("calls per second"), null=True, blank=True, validators=[MinValueValidator(0.01)]
    )
    reserve_agents = models.PositiveIntegerField(_("free agents kept for incoming calls"), default=0)
    weight = models.FloatField(_("weight"), default=1, validators=[MinValueValidator(0.01)])

    max_retries = models.PositiveIntegerField(_("most attempts per contact"), default=3)
    retry_delay = models.PositiveIntegerField(_("seconds until the next attempt"), default=300)
    retry_rules = models.JSONField(_("retry rules"), null=True, blank=True)
    attempt_caps = models.JSONField(_("caps on attempts"), null=True, blank=True)
    contact_caps = models.JSONField(_("caps on conversations"), null=True, blank=True)
    min_gap = models.JSONField(_("shortest gap between calls"), null=True, blank=True)
    abandon_cooloff = models.JSONField(_("pause after an abandoned call"), null=True, blank=True)

    trunk = models.CharField(_("trunk"), max_length=200, blank=True)
    caller_id = models.CharField(_("caller id"), max_length=100, blank=True)
    caller_ids = models.JSONField(_("caller ids to rotate through"), null=True, blank=True)
    caller_id_choice = models.CharField(
        _("how one of them is chosen"),
        max_length=20,
        choices=CallerIdChoice.choices,
        default=CallerIdChoice.ROTATE,
    )
    caller_id_daily_cap = models.PositiveIntegerField(
        _("most calls per caller id and day"), null=True, blank=True, validators=[MinValueValidator(1)]
    )
    auto_pause = models.BooleanField(
        _("pauses itself"),
        null=True,
        blank=True,
        help_text=_("When half of its calls fail within two minutes. Unknown: as the dialer is set."),
    )
    ring_timeout = models.PositiveIntegerField(
        _("seconds a call may ring"),
        null=True,
        blank=True,
        validators=[MinValueValidator(5), MaxValueValidator(600)],
    )
    amd = models.BooleanField(_("detect answering machines"), default=False)
    on_machine = models.CharField(
        _("when a machine answers"), max_length=20, choices=OnMachine.choices, default=OnMachine.HANGUP
    )

    start_time = models.CharField(
        _("from"),
        max_length=40,
        blank=True,
        help_text=_("09:00 every day, or one instant: 2026-03-01T09:00."),
    )
    end_time = models.CharField(_("until"), max_length=40, blank=True)
    days_of_week = models.JSONField(_("days of the week"), null=True, blank=True)
    timezone = models.CharField(_("time zone"), max_length=60, blank=True)
    rule_pack = models.CharField(_("rule pack"), max_length=40, blank=True, validators=[check_rule_pack])
    country = models.CharField(
        _("country of numbers without +"), max_length=2, blank=True, validators=[check_country]
    )

    statistics = models.JSONField(_("statistics"), null=True, blank=True, editable=False)
    statistics_at = models.DateTimeField(_("statistics of"), null=True, blank=True, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("campaign")
        verbose_name_plural = _("campaigns")
        ordering = ("-id",)
        permissions = (("report_statistics", "Can report statistics"),)

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        check_campaign({field.attname: getattr(self, field.attname) for field in self._meta.concrete_fields})


def _is_caller_id(raw: object) -> bool:
    return isinstance(raw, str) and 0 < len(raw.strip()) <= 100 and not has_control(raw)


def check_campaign(values: dict[str, Any]) -> None:
    """What no single field shows; raises ValidationError that names the fields."""
    errors: dict[str, Any] = {}
    mode = values["dial_mode"]
    if values["queue_id"] is None and mode != Campaign.DialMode.AGENTLESS:
        errors["queue"] = _("Its agents take the calls. Only an agentless campaign needs none.")
    if values["pacing_ratio"] > RATIO_LIMITS.get(mode, 5.0):
        errors["pacing_ratio"] = _("At most %(limit)s in this mode.") % {"limit": RATIO_LIMITS[mode]}
    if mode == Campaign.DialMode.AGENTLESS and not values["slots"]:
        errors["slots"] = _("An agentless campaign takes the calls it may have at once, 1 at least.")
    caller_ids = [] if values["caller_ids"] is None else values["caller_ids"]
    if not (isinstance(caller_ids, list) and all(map(_is_caller_id, caller_ids))):
        errors["caller_ids"] = _('A list of texts: ["+5716001111", "+5716002222"].')
    elif len(caller_ids) > MAX_CALLER_IDS:
        errors["caller_ids"] = _("At most %(limit)s.") % {"limit": MAX_CALLER_IDS}
    try:
        hours = {
            name: values[name] or None for name in ("start_time", "end_time", "days_of_week", "timezone")
        }
        campaign_window(msgspec.convert({"queue_name": "-", **hours}, CampaignSettings), "UTC")
    except (CampaignError, msgspec.ValidationError) as error:
        errors["timezone" if "zone" in str(error) else "start_time"] = str(error)
    if errors:
        raise ValidationError(errors)
