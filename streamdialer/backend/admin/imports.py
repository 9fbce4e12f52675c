"""The import of a file in the browser: a preview row by row, then the same again permanently.

The rows go through the same reader as `streamdialer contact import`. A row that cannot be used is skipped, and the
preview says why.
"""

from __future__ import annotations

import io
import json
from itertools import islice
from typing import Any, Final

import tablib
from django import forms
from django.core.exceptions import ValidationError
from django.utils.timezone import now
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from import_export import fields, resources
from import_export.formats.base_formats import Format
from import_export.forms import ConfirmImportForm, ImportForm

from streamdialer.backend.models import Campaign, Contact, ContactList
from streamdialer.errors import StreamdialerError
from streamdialer.operations.list_file.columns import find_columns
from streamdialer.operations.list_file.contacts import FileContact, FileReader
from streamdialer.operations.list_file.sheet import open_sheet
from streamdialer.operations.list_file.text import BadLine
from streamdialer.rules.numbers import read_number

MAX_ROWS: Final = 10_000
"""The preview shows every row; the command takes files of any length."""
_CHUNK: Final = 500
HEADERS: Final = (
    *("phone_number", "number", "phone_2", "phone_3", "priority", "timezone", "region", "do_not_call"),
    *("has_consent", "consent_at", "subject", "caller_id", "custom_data", "problem"),
)


class FileDataset(tablib.Dataset):
    """The rows as they stand in the file; the resource reads them when it knows the campaign."""

    source: bytes


class GuessedFile(Format):
    """CSV, TSV, XLSX, XML or NDJSON, told apart by the content."""

    def __init__(self, encoding: str | None = None) -> None:
        self.encoding = encoding

    def get_title(self) -> str:
        return "CSV, TSV, XLSX, XML, NDJSON"

    def can_import(self) -> bool:
        return True

    def create_dataset(self, in_stream: bytes) -> FileDataset:
        dataset = FileDataset(headers=["line"])
        dataset.source = in_stream
        with open_sheet(io.BytesIO(in_stream)) as sheet:
            dataset.extend([line.line] for line in islice(sheet.lines, MAX_ROWS + 1))
        if len(dataset) > MAX_ROWS:
            raise ValidationError(
                gettext("More than %(rows)d rows: use the command streamdialer contact import.")
                % {"rows": MAX_ROWS}
            )
        return dataset


class CampaignForm(forms.Form):
    campaign = forms.ModelChoiceField(label=_("Campaign"), queryset=Campaign.objects.all())


class CampaignImportForm(ImportForm, CampaignForm):
    field_order = ("resource", "campaign", "import_file", "format")


class CampaignConfirmForm(ConfirmImportForm, CampaignForm):
    campaign = forms.ModelChoiceField(queryset=Campaign.objects.all(), widget=forms.HiddenInput())


class ContactFileResource(resources.ModelResource):
    problem = fields.Field(attribute="problem", column_name="problem", default="")

    class Meta:
        model = Contact
        fields = HEADERS
        import_order = export_order = ("problem", *HEADERS[:-1])
        force_init_instance = True
        import_id_fields = ("number",)

    def __init__(self, campaign: Campaign | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._campaign = campaign
        self._list: ContactList | None = None
        self._counts = {"lines": 0, "added": 0, "duplicates": 0, "bad": 0}

    def before_import(self, dataset: FileDataset, **options: Any) -> None:
        """Puts the contacts of the file in the place of its lines."""
        if self._campaign is None:
            return
        country = self._campaign.country
        with open_sheet(io.BytesIO(dataset.source)) as sheet:
            columns = find_columns(sheet, country)
            found = [contact for _, contact in FileReader(columns, country).contacts(sheet)]
        if not options.get("dry_run"):
            name = options.get("file_name") or "import"
            self._list = ContactList.objects.create(
                campaign=self._campaign, name=name, created_by=options["user"]
            )
        dataset.wipe()
        dataset.headers = list(HEADERS)
        dataset.extend(self._rows(found))

    def _rows(self, found: list[FileContact | BadLine]) -> list[list[Any]]:
        country = self._campaign.country if self._campaign else ""
        numbers = [
            "" if isinstance(each, BadLine) else str(read_number(each.number or each.phone_number, country))
            for each in found
        ]
        seen = self._numbers_known([number for number in numbers if number])
        rows: list[list[Any]] = []
        self._counts["lines"] = len(found)
        for contact, number in zip(found, numbers, strict=True):
            if isinstance(contact, BadLine):
                self._counts["bad"] += 1
                rows.append([contact.text, "", *[""] * 11, f"{contact.line}: {contact.problem}"])
                continue
            is_known = number in seen
            self._counts["duplicates" if is_known else "added"] += 1
            rows.append(
                _row(contact, number, gettext("the campaign has this number already") if is_known else "")
            )
            seen.add(number)
        return rows

    def _numbers_known(self, numbers: list[str]) -> set[str]:
        known = set[str]()
        for at in range(0, len(numbers), _CHUNK):
            contacts = Contact.objects.filter(campaign=self._campaign, number__in=numbers[at : at + _CHUNK])
            known.update(contacts.values_list("number", flat=True))
        return known

    def init_instance(self, row: Any = None) -> Contact:
        return Contact(campaign=self._campaign, contact_list=self._list)

    def skip_row(
        self, instance: Contact, original: Any, row: Any, import_validation_errors: Any = None
    ) -> bool:
        return bool(row["problem"])

    def after_import(self, dataset: Any, result: Any, **options: Any) -> None:
        if self._list is not None:
            counts = {**self._counts, "finished_at": now()}
            ContactList.objects.filter(pk=self._list.pk).update(**counts)


def _row(contact: FileContact, number: str, problem: str) -> list[Any]:
    consent_at = contact.consent if isinstance(contact.consent, str) else ""
    return [
        *(contact.phone_number, number, contact.phone_2, contact.phone_3, contact.priority, contact.timezone),
        *(contact.region, int(contact.do_not_call), int(bool(contact.consent)), consent_at, contact.subject),
        *(contact.caller_id, json.dumps(contact.custom_data, ensure_ascii=False), problem),
    ]


def reason(error: Exception) -> str:
    """Why a file cannot be read, for the person who chose it."""
    if isinstance(error, ValidationError):
        return "; ".join(error.messages)
    return str(error) if isinstance(error, StreamdialerError) else f"{type(error).__name__}: {error}"
