"""What the list of contacts can be asked for."""

from __future__ import annotations

import re
from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters

from streamdialer.backend.models import Attempt, Block, Contact

ID = r"0|[1-9][0-9]{0,17}"
"""`007` is not 7."""


class Words(filters.BaseInFilter, filters.CharFilter):
    """Words with commas between."""


class ContactFilter(filters.FilterSet):
    campaign_id = filters.CharFilter(method="of_id")
    list_id = filters.CharFilter(method="of_id")
    status = Words(field_name="status")
    attempts__lt = filters.NumberFilter(field_name="attempts", lookup_expr="lt")
    last_attempt__lt = filters.IsoDateTimeFilter(field_name="last_attempt", lookup_expr="lt")
    last_attempt__gte = filters.IsoDateTimeFilter(field_name="last_attempt", lookup_expr="gte")
    updated_at__gte = filters.IsoDateTimeFilter(field_name="updated_at", lookup_expr="gte")
    do_not_call = filters.BooleanFilter(field_name="do_not_call")
    number = filters.CharFilter(field_name="number")

    class Meta:
        model = Contact
        fields: list[str] = []

    def of_id(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        if not re.fullmatch(ID, value):
            return queryset.none()
        return queryset.filter(**{"contact_list_id" if name == "list_id" else name: int(value)})


class AttemptFilter(filters.FilterSet):
    campaign_id = filters.CharFilter(method="of_id")
    contact_id = filters.CharFilter(method="of_id")
    disposition = Words(field_name="disposition")
    sent_at__gte = filters.IsoDateTimeFilter(field_name="sent_at", lookup_expr="gte")
    sent_at__lt = filters.IsoDateTimeFilter(field_name="sent_at", lookup_expr="lt")

    class Meta:
        model = Attempt
        fields: list[str] = []

    of_id = ContactFilter.of_id


class BlockFilter(filters.FilterSet):
    campaign_id = filters.CharFilter(method="of_id")
    at__gte = filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte")
    at__lt = filters.IsoDateTimeFilter(field_name="at", lookup_expr="lt")

    class Meta:
        model = Block
        fields: list[str] = []

    of_id = ContactFilter.of_id
