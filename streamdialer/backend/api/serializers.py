"""The rows as the contract shows them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from rest_framework import serializers

from streamdialer.backend.models import Agent, Attempt, Block, Campaign, Contact, ContactList, Queue
from streamdialer.backend.models.campaigns import check_campaign
from streamdialer.backend.models.contacts import new_number


class CampaignSerializer(serializers.ModelSerializer[Campaign]):
    queue_name = serializers.SlugRelatedField(
        source="queue", slug_field="name", queryset=Queue.objects.all(), allow_null=True, default=None
    )

    class Meta:
        model = Campaign
        exclude = ("queue", "statistics", "statistics_at")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        shown = self.instance or Campaign()
        values = {
            field.attname: attrs.get(field.name, getattr(shown, field.attname))
            for field in Campaign._meta.concrete_fields
        }
        if "queue" in attrs:
            values["queue_id"] = attrs["queue"] and attrs["queue"].pk
        check_campaign(values)
        return attrs

    def to_representation(self, instance: Campaign) -> dict[str, Any]:
        """A blank text is a missing value."""
        shown = super().to_representation(instance)
        return {name: None if value == "" else value for name, value in shown.items()}


class QueueSerializer(serializers.ModelSerializer[Queue]):
    class Meta:
        model = Queue
        fields = ("id", "name")


class AgentSerializer(serializers.ModelSerializer[Agent]):
    queues = serializers.SlugRelatedField(
        slug_field="name", queryset=Queue.objects.all(), many=True, required=False
    )

    class Meta:
        model = Agent
        fields = ("id", "name", "status", "queues")


class ContactListSerializer(serializers.ModelSerializer[ContactList]):
    campaign_id = serializers.PrimaryKeyRelatedField(source="campaign", queryset=Campaign.objects.all())

    class Meta:
        model = ContactList
        exclude = ("campaign", "created_by")
        read_only_fields = ("added", "duplicates", "created_at")


_SHOWN = (
    *("id", "campaign_id", "phone_number", "phone_2", "phone_3", "status", "priority", "attempts"),
    *("last_attempt", "timezone", "region", "do_not_call", "subject", "caller_id", "custom_data"),
    *("created_at", "updated_at"),
)


_ATTEMPT_SHOWN = (
    *("id", "attempt_id", "campaign_id", "contact_id", "phone_number", "call_id", "agent_id", "disposition"),
    *("cause", "sent_at", "answered_at", "ended_at", "duration", "attempt", "allowed_by", "next_at", "final"),
)


def shown_attempt(attempt: Attempt) -> dict[str, Any]:
    """Without a field object per value, too."""
    return {name: getattr(attempt, name) for name in _ATTEMPT_SHOWN}


class ConsentField(serializers.Field[Any, Any, Any, Any]):
    """A date-time, or true for one of unknown date."""

    def to_representation(self, value: Any) -> Any:
        return value

    def to_internal_value(self, data: Any) -> bool | datetime:
        return data if isinstance(data, bool) else serializers.DateTimeField().to_internal_value(data)


class ContactSerializer(serializers.ModelSerializer[Contact]):
    campaign_id = serializers.PrimaryKeyRelatedField(source="campaign", queryset=Campaign.objects.all())
    list_id = serializers.IntegerField(source="contact_list_id", read_only=True)
    consent = ConsentField(allow_null=True, required=False)
    custom_data = serializers.DictField(required=False)

    class Meta:
        model = Contact
        fields = (*_SHOWN, "list_id", "consent")
        read_only_fields = ("created_at", "updated_at")

    def to_representation(self, instance: Contact) -> dict[str, Any]:
        """Without a field object per value: a page has hundreds of rows."""
        shown = {name: getattr(instance, name) for name in _SHOWN}
        consent = instance.consent_at or instance.has_consent or None
        shown |= {"list_id": instance.contact_list_id, "consent": consent}
        last_outcomes: dict[int, Attempt] | None = self.context.get("last_outcomes")
        if last_outcomes is not None:
            last = last_outcomes.get(instance.pk)
            shown["last_outcome"] = last and shown_attempt(last)
        return shown

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        shown = self.instance
        campaign: Campaign = attrs["campaign"] if shown is None else attrs.get("campaign", shown.campaign)
        if "phone_number" in attrs:
            number = new_number(campaign, attrs["phone_number"], None if shown is None else shown.pk)
            attrs |= {"phone_number": number.dialed, "number": str(number)}
        if "consent" in attrs:
            consent = attrs.pop("consent")
            attrs["consent_at"] = consent if isinstance(consent, datetime) else None
            attrs["has_consent"] = bool(consent)
        if attrs.get("status") == Contact.Status.DO_NOT_CALL:
            attrs["do_not_call"] = True
        return attrs


class AttemptSerializer(serializers.BaseSerializer[Attempt]):
    """Reads only."""

    def to_representation(self, instance: Attempt) -> dict[str, Any]:
        return shown_attempt(instance)


class BlockSerializer(serializers.ModelSerializer[Block]):
    class Meta:
        model = Block
        fields = ("id", "entry_id", "campaign_id", "at", "reason", "rule", "count", "contacts")
