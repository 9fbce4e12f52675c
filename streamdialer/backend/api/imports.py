"""Lists of contacts: an import makes a list, posts its contacts in batches, and says at the end what came of it."""

from __future__ import annotations

import msgspec
from django.shortcuts import get_object_or_404
from django.utils import timezone
from rest_framework import mixins, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from streamdialer.backend.api.filters import ID
from streamdialer.backend.api.permissions import MayImport
from streamdialer.backend.api.serializers import ContactListSerializer
from streamdialer.backend.batch import ContactRow, insert_contacts
from streamdialer.backend.models import ContactList

_ROWS = msgspec.json.Decoder(list[ContactRow])


class ContactListView(
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.CreateModelMixin,
    mixins.UpdateModelMixin,
    viewsets.GenericViewSet[ContactList],
):
    queryset = ContactList.objects.order_by("id")
    serializer_class = ContactListSerializer
    lookup_value_regex = ID
    ordering_fields = ("id", "created_at")
    filterset_fields = ("campaign_id",)

    def perform_create(self, serializer: BaseSerializer[ContactList]) -> None:
        serializer.save(created_by=self.request.user)

    def perform_update(self, serializer: BaseSerializer[ContactList]) -> None:
        """The end of an import: a batch that came twice, because its answer was lost, counts once."""
        done = serializer.save(finished_at=timezone.now())
        done.duplicates = max(0, done.lines - done.bad - done.added)
        done.save(update_fields=["duplicates"])

    @action(detail=True, methods=["post"], permission_classes=[MayImport])
    def contacts(self, request: Request, pk: str) -> Response:
        """Adds a batch of contacts; a number that the campaign has already adds nothing."""
        contact_list = get_object_or_404(ContactList.objects.select_related("campaign"), pk=pk)
        return Response(msgspec.to_builtins(insert_contacts(contact_list, _rows(request))))


def _rows(request: Request) -> list[ContactRow]:
    try:
        return _ROWS.decode(request.body)
    except msgspec.DecodeError as error:
        raise ValidationError(str(error)) from error
