"""Reads what the backend sends: campaign settings, list pages, contact rows (pure).

A page that cannot be read is the backend's failure; a bad contact row costs only that contact.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any, Final, get_args

import httpx
import msgspec

from streamdialer.errors import CampaignError
from streamdialer.model import CampaignSettings, Contact, DialMode, normalise_id
from streamdialer.rules.numbers import is_country

RATIO_LIMITS: Final[dict[DialMode, float]] = {"predictive": 3.0, "power": 5.0}
"""Largest pacing_ratio per mode that uses one."""
_TEXT_FIELDS: Final = ("trunk", "caller_id", "start_time", "end_time", "timezone", "pacing", "country")


class Page(msgspec.Struct, frozen=True):
    """One page of a list; `next` is None for the last page and for a bare array (`is_bare`)."""

    rows: list[Any]
    next: object
    is_bare: bool


class ContactPage(msgspec.Struct, frozen=True):
    """Contacts of one page, in the backend's order."""

    contacts: list[Contact]
    unreadable: list[str]
    """One line with the reason for each row that cannot be used."""
    path: str
    """With its query."""
    next: str | None
    """Path and query of the page that follows, None after the last one."""
    trouble: str = ""
    """Why the page before this one or all after it are missing, '' when none is."""


def read_page(document: object) -> Page:
    """A bare array or a DRF page; raises ValueError."""
    if isinstance(document, list):
        return Page(rows=document, next=None, is_bare=True)
    if isinstance(document, dict) and isinstance(document.get("results"), list):
        return Page(rows=document["results"], next=document.get("next") or None, is_bare=False)
    raise ValueError("neither an array nor a page with `results`")


def next_path(current: str, following: object, prefix: str) -> str:
    """Path and query of a page's `next`, relative to the base URL whose own path is `prefix`.

    The host of `next` is often an internal name. Its path may lack the prefix, which a proxy adds without the backend's
    knowledge. `current` is the relative path of the page with this `next`. Raises ValueError.
    """
    problem = f"`next` is {following!r}, not an address"
    if not isinstance(following, str):
        raise ValueError(problem)  # noqa: TRY004 - callers handle one kind of error
    try:
        target = httpx.URL(f"http://backend{prefix}{current}").join(following.strip())
    except httpx.InvalidURL as exc:
        raise ValueError(problem) from exc
    path, question, query = target.raw_path.decode("ascii").partition("?")
    current_path = current.partition("?")[0]
    if path == prefix + current_path:
        path = current_path
    elif path != current_path and prefix and path.startswith(prefix + "/"):
        path = path[len(prefix) :]
    return path + question + query


def path_after(step: str) -> str | None:
    """Path and query of the page after one that cannot be read; None when the query does not tell."""
    params = httpx.URL(step).params
    for name, size in (("offset", params.get("limit", "")), ("page", "1")):
        if name in params and params[name].isdecimal() and size.isdecimal() and int(size) > 0:
            path = step.partition("?")[0]
            return f"{path}?{params.set(name, int(params[name]) + int(size))}"
    return None


def read_campaign(campaign: str, document: dict[str, Any]) -> CampaignSettings:
    """Campaign settings; a field that is missing, null or (for text) blank has its default.

    Raises CampaignError with the field, its value and what would be right. Decimals may be strings.
    """
    fields = {
        name: value
        for name, value in document.items()
        if value is not None and not (name in _TEXT_FIELDS and value == "")
    }
    shown_id = fields.get("id", campaign)
    if not _is_id(shown_id, campaign):
        raise CampaignError(f"campaign {campaign}: the backend answers with campaign {shown_id!r}")
    queue = fields.get("queue_name")
    if isinstance(queue, int) and not isinstance(queue, bool):
        queue = str(queue)
    if not isinstance(queue, str) or not queue.strip():
        problem = "is missing" if queue is None else f"is {queue!r}"
        raise CampaignError(
            f"campaign {campaign}: queue_name {problem}, takes the name of the queue of its agents"
        )
    fields["queue_name"] = queue.strip()
    mode = fields.get("dial_mode", "progressive")
    if mode not in get_args(DialMode):
        raise CampaignError(
            f"campaign {campaign}: dial_mode is {mode!r}, takes {', '.join(get_args(DialMode))}"
        )
    try:
        settings = msgspec.convert(fields, CampaignSettings, strict=False)
    except msgspec.ValidationError as exc:
        reason, _, where = str(exc).partition(" - at `$.")
        name = where.rstrip("`")
        value = fields.get(name.partition("[")[0], "unreadable")
        raise CampaignError(f"campaign {campaign}: {name or 'a field'} is {value!r}: {reason}") from exc
    _check_numbers(campaign, settings, fields)
    if settings.country is not None and not is_country(settings.country):
        raise CampaignError(
            f"campaign {campaign}: country is {settings.country!r}, takes an ISO 3166 code of two letters such as CO"
        )
    return settings


def _is_id(raw: object, wanted: str) -> bool:
    try:
        return normalise_id(raw) == wanted
    except ValueError:
        return False


def _check_numbers(campaign: str, settings: CampaignSettings, fields: dict[str, Any]) -> None:
    for name in ("pacing_ratio", "retry_delay", "weight", "calls_per_second"):
        value = getattr(settings, name)
        if value is not None and not math.isfinite(value):
            raise CampaignError(f"campaign {campaign}: {name} is {fields[name]!r}, takes a finite number")
    limit = RATIO_LIMITS.get(settings.dial_mode)
    if limit is not None and settings.pacing_ratio > limit:
        raise CampaignError(
            f"campaign {campaign}: pacing_ratio is {settings.pacing_ratio:g}, "
            f"a {settings.dial_mode} campaign takes at most {limit:g}"
        )


def read_contacts(
    rows: list[Any], *, campaign: str, statuses: Collection[str], offset: int = 0
) -> tuple[list[Contact], list[str]]:
    """The usable contacts, and one line for each other row.

    A row of another campaign or status is not usable either: the backend ignored our filter. A contact that must not be
    called is usable: the ledger has to know it.
    """
    contacts: list[Contact] = []
    unreadable: list[str] = []
    for number, row in enumerate(rows, start=offset + 1):
        try:
            contacts.append(_read_contact(row, campaign, statuses))
        except ValueError as exc:
            key = row.get("id") if isinstance(row, dict) else None
            name = f"row {number}" if key is None else f"contact {str(key)[:64]!r}"
            unreadable.append(f"{name}: {exc}")
    return contacts, unreadable


def read_contact(
    row: object, *, campaign: str, contact: str, statuses: Collection[str] = ()
) -> Contact | None:
    """The contact that was requested by its id; None for another one, of another campaign or with another status.

    A backend may take the id 010 for 10: only a row with the id itself is the contact. Without `statuses`, every
    status is right. Raises ValueError.
    """
    if not isinstance(row, dict) or not isinstance(row.get("status"), str):
        raise ValueError("not a contact with a status")  # noqa: TRY004 - callers handle one kind of error
    if row.get("id") is None or normalise_id(row["id"]) != contact:
        return None
    owner = row.get("campaign_id")
    is_other = bool(statuses) and row["status"] not in statuses
    if is_other or (owner is not None and normalise_id(owner) != campaign):
        return None
    return _read_contact(row, campaign, {row["status"]})


def _read_contact(row: object, campaign: str, statuses: Collection[str]) -> Contact:
    if not isinstance(row, dict):
        raise ValueError("not an object")  # noqa: TRY004 - callers handle one kind of error
    if row.get("id") is None:
        raise ValueError("no id")
    fields = {name: value for name, value in row.items() if value is not None}
    if fields.get("timezone") == "":
        del fields["timezone"]
    contact = msgspec.convert(fields, Contact, strict=False)
    normalise_id(contact.id)
    owner = fields.get("campaign_id")
    if owner is not None and normalise_id(owner) != campaign:
        raise ValueError(f"belongs to campaign {owner!r}, not to {campaign}")
    if "status" in fields and contact.status not in (*statuses, "do_not_call"):
        raise ValueError(f"has status {contact.status!r}, not {' or '.join(sorted(statuses))}")
    return contact
