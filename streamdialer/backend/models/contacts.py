"""Contacts: the people of a campaign, and how far the dialer has come with each."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.serializers.json import DjangoJSONEncoder
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from streamdialer.backend.models.campaigns import Campaign
from streamdialer.backend.models.lists import ContactList
from streamdialer.rules.numbers import Number, read_number


class Utf8Encoder(DjangoJSONEncoder):
    """Letters as they are: people search for them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "ensure_ascii": False})


class Contact(models.Model):
    class Status(models.TextChoices):
        PENDING = "pending", _("pending")
        DIALING = "dialing", _("dialing")
        ANSWERED = "answered", _("answered")
        COMPLETED = "completed", _("completed")
        NO_ANSWER = "no_answer", _("no answer")
        BUSY = "busy", _("busy")
        FAILED = "failed", _("failed")
        MACHINE = "machine", _("answering machine")
        ABANDONED = "abandoned", _("abandoned")
        INVALID = "invalid", _("invalid")
        DO_NOT_CALL = "do_not_call", _("do not call")
        CALLBACK = "callback", _("callback")

    campaign = models.ForeignKey(
        Campaign,
        verbose_name=_("campaign"),
        on_delete=models.CASCADE,
        related_name="contacts",
        db_index=False,
    )
    contact_list = models.ForeignKey(
        ContactList,
        verbose_name=_("list"),
        on_delete=models.SET_NULL,
        related_name="contacts",
        null=True,
        blank=True,
    )
    phone_number = models.CharField(_("telephone number"), max_length=40, help_text=_("As it is dialed."))
    number = models.CharField(_("number in E.164"), max_length=20, editable=False)
    """The spelling for comparison: a number is there once in a campaign."""
    phone_2 = models.CharField(_("second number"), max_length=40, blank=True)
    phone_3 = models.CharField(_("third number"), max_length=40, blank=True)
    status = models.CharField(_("status"), max_length=20, choices=Status.choices, default=Status.PENDING)
    priority = models.PositiveSmallIntegerField(
        _("priority"), default=5, validators=[MinValueValidator(1), MaxValueValidator(10)]
    )
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    last_attempt = models.DateTimeField(_("last attempt"), null=True, blank=True)
    timezone = models.CharField(_("time zone"), max_length=60, blank=True)
    region = models.CharField(_("region"), max_length=20, blank=True, help_text="US-FL")
    do_not_call = models.BooleanField(_("do not call"), default=False)
    has_consent = models.BooleanField(_("has consented"), default=False)
    consent_at = models.DateTimeField(_("consented on"), null=True, blank=True)
    subject = models.CharField(_("subject"), max_length=200, blank=True)
    caller_id = models.CharField(_("caller id"), max_length=100, blank=True)
    custom_data = models.JSONField(_("other data"), default=dict, blank=True, encoder=Utf8Encoder)
    created_at = models.DateTimeField(_("created"), default=now, editable=False)
    updated_at = models.DateTimeField(_("changed"), default=now, editable=False)

    class Meta:
        verbose_name = _("contact")
        verbose_name_plural = _("contacts")
        constraints = (
            models.UniqueConstraint(fields=("campaign", "number"), name="number_once_in_a_campaign"),
        )
        indexes = (
            # the dialer's list: pending contacts, the most urgent and oldest first
            models.Index(
                "campaign", "status", models.F("priority").desc(), "created_at", "id", name="to_dial"
            ),
        )

    def __str__(self) -> str:
        return self.phone_number

    def clean(self) -> None:
        """Of a form: the number is one, and new in its campaign."""
        if not isinstance(self.custom_data, dict):
            raise ValidationError({"custom_data": _('An object: {"name": "Ana"}.')})
        if self.campaign_id is not None:
            number = new_number(self.campaign, self.phone_number, self.pk)
            self.phone_number, self.number = number.dialed, str(number)
            if self.status == self.Status.DO_NOT_CALL:
                self.do_not_call = True


def new_number(campaign: Campaign, text: str, contact_id: int | None) -> Number:
    """The number of a contact; raises ValidationError when it is none, or another contact of the campaign has it."""
    number = read_number(text, campaign.country)
    if number.problem:
        raise ValidationError({"phone_number": number.problem})
    if Contact.objects.filter(campaign=campaign, number=str(number)).exclude(pk=contact_id or 0).exists():
        raise ValidationError({"phone_number": _("the campaign has this number already")})
    return number
