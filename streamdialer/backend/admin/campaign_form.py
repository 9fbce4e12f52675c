"""The form of a campaign: days to tick, and lists to choose from instead of codes to know."""

from __future__ import annotations

from typing import Any, Final
from zoneinfo import available_timezones

import phonenumbers
from django import forms
from django.utils.dates import WEEKDAYS
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from streamdialer.backend.models import Campaign
from streamdialer.rules.rule_pack import pack_names

_NONE: Final = ("", "---------")


def _choices(names: Any) -> list[tuple[str, str]]:
    return [_NONE, *((name, name) for name in sorted(names))]


class DaysField(forms.TypedMultipleChoiceField):
    """None, not an empty list, where no day is ticked: every day."""

    def clean(self, value: Any) -> Any:
        return super().clean(value) or None


class CampaignForm(forms.ModelForm):
    days_of_week = DaysField(
        label=capfirst(_("days of the week")),
        choices=[(day, capfirst(name)) for day, name in WEEKDAYS.items()],
        coerce=int,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("No day ticked is every day."),
    )
    timezone = forms.ChoiceField(
        label=capfirst(_("time zone")),
        choices=lambda: _choices(name for name in available_timezones() if "/" in name),
        required=False,
    )
    rule_pack = forms.ChoiceField(
        label=capfirst(_("rule pack")), choices=lambda: _choices(pack_names()), required=False
    )
    country = forms.ChoiceField(
        label=capfirst(_("country of numbers without +")),
        choices=lambda: _choices(phonenumbers.SUPPORTED_REGIONS),
        required=False,
    )

    class Meta:
        model = Campaign
        fields = "__all__"
