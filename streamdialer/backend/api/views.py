"""The HTTP of the contract: campaigns, agents of a queue, contacts."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from rest_framework import mixins, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from streamdialer.backend.api.filters import ID, AttemptFilter, BlockFilter, ContactFilter
from streamdialer.backend.api.permissions import MayReportStatistics
from streamdialer.backend.api.serializers import (
    AgentSerializer,
    AttemptSerializer,
    BlockSerializer,
    CampaignSerializer,
    ContactSerializer,
    QueueSerializer,
)
from streamdialer.backend.models import Agent, Attempt, Block, Campaign, Contact, Queue
from streamdialer.backend.newest_state import State, why_outdated


class CampaignView(
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.CreateModelMixin,
    mixins.UpdateModelMixin,
    viewsets.GenericViewSet[Campaign],
):
    queryset = Campaign.objects.select_related("queue").order_by("id")
    serializer_class = CampaignSerializer
    lookup_value_regex = ID
    ordering_fields = ("id", "name", "created_at")

    @action(detail=True, methods=["post"], permission_classes=[MayReportStatistics])
    def update_stats(self, request: Request, pk: str) -> Response:
        if not isinstance(request.data, dict):
            raise ValidationError("statistics are an object")
        campaign = get_object_or_404(Campaign, pk=pk)
        campaign.statistics, campaign.statistics_at = request.data, timezone.now()
        campaign.save(update_fields=["statistics", "statistics_at"])
        return Response({"status": "ok"})

    @action(detail=True)
    def statistics(self, _request: Request, pk: str) -> Response:
        """The document that the dialer has posted last."""
        return Response(get_object_or_404(Campaign, pk=pk).statistics)


class QueueView(mixins.ListModelMixin, mixins.CreateModelMixin, viewsets.GenericViewSet[Queue]):
    queryset = Queue.objects.order_by("id")
    serializer_class = QueueSerializer
    lookup_field = "name"
    lookup_value_regex = "[^/]+"
    ordering_fields = ("id", "name")

    @action(detail=True)
    def agents(self, _request: Request, name: str) -> Response:
        queue = get_object_or_404(Queue, name=name)
        return Response(queue.agents.values("id", "name", "status"))


class AgentView(
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.CreateModelMixin,
    mixins.UpdateModelMixin,
    viewsets.GenericViewSet[Agent],
):
    queryset = Agent.objects.prefetch_related("queues").order_by("id")
    serializer_class = AgentSerializer
    lookup_value_regex = ".+?"
    """Such as PJSIP/1001."""
    ordering_fields = ("id",)


class ContactView(
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.CreateModelMixin,
    viewsets.GenericViewSet[Contact],
):
    queryset = Contact.objects.select_related("campaign")
    serializer_class = ContactSerializer
    filterset_class = ContactFilter
    lookup_value_regex = ID
    ordering_fields = ("id", "number", "priority", "created_at", "updated_at", "attempts", "status")
    ordering = ("id",)
    last_outcomes: dict[int, Attempt] | None = None
    """Of the contacts of a page, with `last_outcome=true`."""

    def get_queryset(self) -> QuerySet[Contact]:
        return Contact.objects.all() if self.action == "list" else super().get_queryset()

    def paginate_queryset(self, queryset: Any) -> list[Any] | None:
        page = super().paginate_queryset(queryset)
        if page is not None and self.request.query_params.get("last_outcome") == "true":
            attempts = Attempt.objects.filter(contact_id__in=[contact.pk for contact in page])
            self.last_outcomes = {each.contact_id or 0: each for each in attempts.order_by("sent_at", "id")}
        return page

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "last_outcomes": self.last_outcomes}

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:  # noqa: ARG002 - of the base class
        contact = self.get_object()
        return Response(self.get_serializer(contact).data, headers={"ETag": _etag(contact)})

    def partial_update(self, request: Request, pk: str) -> Response:
        """Refuses a change that is older than the stored state (409), or made of another one (`If-Match`: 412)."""
        with transaction.atomic():
            contact = get_object_or_404(Contact.objects.select_for_update(of=("self",)), pk=pk)
            expected = request.headers.get("If-Match", "*")
            if expected not in ("*", _etag(contact)):
                return Response({"detail": "The contact has changed.", "status": contact.status}, 412)
            serializer = self.get_serializer(contact, data=request.data, partial=True)
            serializer.is_valid(raise_exception=True)
            values = serializer.validated_data
            change = State(values.get("status"), values.get("attempts"), values.get("last_attempt"))
            why = why_outdated(change, State(contact.status, contact.attempts, contact.last_attempt))
            if why:
                return Response(
                    {"detail": f"This change is out of date: {why}.", "status": contact.status}, 409
                )
            serializer.save(updated_at=timezone.now())
        return Response(serializer.data, headers={"ETag": _etag(contact)})


class AttemptView(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Attempt]):
    queryset = Attempt.objects.order_by("id")
    serializer_class = AttemptSerializer
    filterset_class = AttemptFilter
    lookup_value_regex = ID
    ordering_fields = ("id",)


class BlockView(mixins.ListModelMixin, viewsets.GenericViewSet[Block]):
    queryset = Block.objects.order_by("id")
    serializer_class = BlockSerializer
    filterset_class = BlockFilter
    ordering_fields = ("id",)


def _etag(contact: Contact) -> str:
    return f'"{contact.updated_at.timestamp():.6f}"'
