"""Reads what the backend sends: campaign settings, list pages, contact rows (pure).

A page that cannot be read is the backend's failure. A row that cannot be read costs only that row. An optional field
that cannot be read has its default.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Collection
from typing import Any, Final, get_args
from urllib.parse import parse_qsl, quote, urlencode, urljoin, urlsplit

import msgspec

from streamdialer.errors import CampaignError
from streamdialer.model import (
    AGENTLESS_QUEUE,
    MAX_CALLER_IDS,
    MAX_RING_TIMEOUT_S,
    CampaignSettings,
    Contact,
    ContactStatus,
    DialMode,
    OnMachine,
    has_agents,
    has_control,
    normalise_id,
    plain_id,
)
from streamdialer.rules.any_json import NO_WORDS, YES_WORDS
from streamdialer.rules.numbers import is_country

_STATUSES: Final = frozenset(get_args(ContactStatus))
RATIO_LIMITS: Final[dict[DialMode, float]] = {"predictive": 3.0, "power": 5.0}
"""Largest pacing_ratio per mode that uses one."""
_WORD_FIELDS: Final = ("dial_mode", "pacing", "rule_pack", "caller_id_choice", "on_machine")
_DURATION: Final = re.compile(r"([0-9]{1,3}):([0-5][0-9]):([0-5][0-9])")
_AS_WRITTEN: Final = "!#$%&'()*+,/:;=?@[]|~"
"""Characters that are not percent-encoded in a page's address."""
_WHOLE: Final = re.compile(r"[0-9]{1,15}")


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
    not_asked: list[str]
    """The same for each row of another campaign or status: the backend ignored our filter."""
    path: str
    """With its query."""
    next: str | None
    """Path and query of the page that follows, None after the last one."""
    trouble: str = ""
    """Why the page before this one or all after it are missing, '' when none is."""
    defaulted: Counter[str] = msgspec.field(default_factory=Counter)
    """Optional fields of these contacts that cannot be read, and have their default."""


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
        target = urlsplit(urljoin(f"http://backend{prefix}{current}", following.strip()))
        path, query = (quote(part, safe=_AS_WRITTEN) for part in (target.path, target.query))
    except ValueError as exc:
        raise ValueError(problem) from exc
    if not path.startswith("/"):
        raise ValueError(problem)  # behind the base URL, it would be part of the host
    question = "?" if query else ""
    current_path = current.partition("?")[0]
    if path == prefix + current_path:
        path = current_path
    elif path != current_path and prefix and path.startswith(prefix + "/"):
        path = path[len(prefix) :]
    return path + question + query


def path_after(step: str) -> str | None:
    """Path and query of the page after one that cannot be read; None when the query does not tell."""
    params = dict(_params(step))
    for name, size in (("offset", params.get("limit", "")), ("page", "1")):
        if _WHOLE.fullmatch(params.get(name, "")) and _WHOLE.fullmatch(size) and int(size) > 0:
            return _with_param(step, name, int(params[name]) + int(size))
    return None


def path_with_overlap(step: str, following: str) -> str:
    """Path and query of the page after `step` with the last row of `step` before it; `following` without an offset."""
    before, after = (dict(_params(path)).get("offset", "") for path in (step, following))
    if _WHOLE.fullmatch(before) and _WHOLE.fullmatch(after) and int(after) > int(before) + 1:
        return _with_param(following, "offset", int(after) - 1)
    return following


def _with_param(step: str, name: str, value: int) -> str:
    kept = [each for each in _params(step) if each[0] != name]
    return f"{step.partition('?')[0]}?{urlencode([*kept, (name, value)])}"


def _params(step: str) -> list[tuple[str, str]]:
    return parse_qsl(step.partition("?")[2], keep_blank_values=True)


def read_campaign(campaign: str, document: dict[str, Any]) -> CampaignSettings:
    """Campaign settings; a field that is missing, null or blank has its default. Decimals may be texts.

    A name, trunk or caller id that cannot be read has its default too: nothing depends on it. So have a ring time-out
    and the detection of machines, and `defaulted` says so. Every other field says who may be called, when or how many,
    so it raises CampaignError with its value and what would be right.
    """
    fields = {name: value for name, value in document.items() if value is not None and value != ""}
    for name in ("trunk", "caller_id"):
        fields[name] = read_label(fields.get(name))
    for name in _WORD_FIELDS:
        if isinstance(fields.get(name), str):
            fields[name] = fields[name].strip().lower()
    for name in ("retry_delay", "ring_timeout"):
        text = fields.get(name)
        if isinstance(text, str) and (clock := _DURATION.fullmatch(text.strip())):  # a DurationField
            hours, minutes, seconds = map(int, clock.groups())
            fields[name] = 3600 * hours + 60 * minutes + seconds
    fields["caller_ids"] = _read_caller_ids(campaign, fields.get("caller_ids"))
    fields["defaulted"] = _check_ring_timeout(fields) + _check_machines(fields)
    shown_id = fields.get("id", campaign)
    if not _is_id(shown_id, campaign):
        raise CampaignError(f"campaign {campaign}: the backend answers with campaign {shown_id!r}")
    mode = fields.get("dial_mode", "progressive")
    if mode not in get_args(DialMode):
        raise CampaignError(
            f"campaign {campaign}: dial_mode is {mode!r}, takes {', '.join(get_args(DialMode))}"
        )
    fields["queue_name"] = (
        AGENTLESS_QUEUE + campaign if mode == "agentless" else _read_queue(campaign, fields.get("queue_name"))
    )
    try:
        settings = msgspec.convert(fields, CampaignSettings, strict=False)
    except UnicodeEncodeError as exc:
        name = next(
            (name for name, value in fields.items() if repr(exc.object)[1:-1] in repr(value)), "a field"
        )
        raise CampaignError(f"campaign {campaign}: {name} is {exc.object!r}, which is no text") from exc
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


def _read_queue(campaign: str, queue: object) -> str:
    """Raises CampaignError."""
    if isinstance(queue, int) and not isinstance(queue, bool):
        queue = str(queue)
    if not isinstance(queue, str) or not queue.strip() or has_control(queue.strip()):
        problem = "is missing" if queue is None else f"is {_shown(queue)}"
        raise CampaignError(
            f"campaign {campaign}: queue_name {problem}, takes the name of the queue of its agents"
        )
    if queue.strip() in (".", ".."):
        raise CampaignError(
            f"campaign {campaign}: queue_name is {_shown(queue.strip())}, which an address leaves out: "
            "its agents cannot be asked for"
        )
    if not has_agents(queue.strip()):
        raise CampaignError(
            f"campaign {campaign}: queue_name is {_shown(queue.strip())}, and names that begin with "
            f"{AGENTLESS_QUEUE!r} belong to agentless campaigns"
        )
    return queue.strip()


def _read_caller_ids(campaign: str, raw: object) -> list[str]:
    """Each once; raises CampaignError."""
    given = raw.split(",") if isinstance(raw, str) else [] if raw is None else raw
    if not isinstance(given, list) or len(given) > MAX_CALLER_IDS:
        raise CampaignError(
            f"campaign {campaign}: caller_ids is {_shown(raw)}, takes a list of at most {MAX_CALLER_IDS} caller ids"
        )
    found: dict[str, None] = {}
    for each in given:
        if (label := read_label(each)) is None:
            raise CampaignError(
                f"campaign {campaign}: caller_ids has {_shown(each)}, takes telephone numbers such as +5716001111"
            )
        found[label] = None
    return list(found)


def read_label(raw: object) -> str | None:
    """The text, number, or `id` or `name` of an object; None for anything else."""
    if isinstance(raw, dict):
        raw = next((raw[name] for name in ("id", "name") if raw.get(name) is not None), None)
    try:
        return plain_id(normalise_id(raw))
    except ValueError:
        return None


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
    if settings.is_agentless and settings.slots is None:
        raise CampaignError(
            f"campaign {campaign}: slots is missing, an agentless campaign takes its most calls at once"
        )
    limit = RATIO_LIMITS.get(settings.dial_mode)
    if limit is not None and settings.pacing_ratio > limit:
        raise CampaignError(
            f"campaign {campaign}: pacing_ratio is {settings.pacing_ratio:g}, "
            f"a {settings.dial_mode} campaign takes at most {limit:g}"
        )


def _check_ring_timeout(fields: dict[str, Any]) -> list[str]:
    """Reads the ring time-out, and removes one that cannot be used; what to say about it."""
    if (raw := fields.get("ring_timeout")) is None:
        return []
    try:
        seconds = math.nan if isinstance(raw, bool) else float(raw)
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if 0 < seconds <= MAX_RING_TIMEOUT_S:
        fields["ring_timeout"] = seconds
        return []
    del fields["ring_timeout"]
    return [f"ring_timeout is {_shown(raw)}, takes seconds above 0 and up to {MAX_RING_TIMEOUT_S}"]


def _check_machines(fields: dict[str, Any]) -> list[str]:
    """Reads `amd`, and removes it or `on_machine` when it cannot be used; what to say about them."""
    problems = []
    if (raw := fields.get("amd")) is not None:
        word = str(raw).strip().lower()
        fields["amd"] = word in YES_WORDS
        if word not in YES_WORDS | NO_WORDS:
            problems.append(f"amd is {_shown(raw)}, takes true or false")
    if (raw := fields.get("on_machine")) is not None and raw not in get_args(OnMachine):
        del fields["on_machine"]
        problems.append(f"on_machine is {_shown(raw)}, takes {', '.join(get_args(OnMachine))}")
    return problems


class _NotAskedError(ValueError):
    """A row of another campaign, or with another status."""


def read_contacts(
    rows: list[Any],
    *,
    campaign: str,
    statuses: Collection[str],
    offset: int = 0,
    defaulted: Counter[str] | None = None,
    not_asked: list[str] | None = None,
) -> tuple[list[Contact], list[str]]:
    """The usable contacts, and one line for each other row; counts in `defaulted` the fields that have their default.

    A row of another campaign or status is not usable either: the backend ignored our filter. Its line goes to
    `not_asked`, if that is given. A contact that must not be
    called is usable: the ledger has to know it.
    """
    contacts: list[Contact] = []
    unreadable: list[str] = []
    for number, row in enumerate(rows, start=offset + 1):
        try:
            contacts.append(_read_contact(row, campaign, statuses, defaulted))
        except (ValueError, RecursionError) as exc:
            key = row.get("id") if isinstance(row, dict) else None
            name = f"row {number}" if key is None else f"contact {_shown(key)}"
            lines = unreadable if not_asked is None or not isinstance(exc, _NotAskedError) else not_asked
            lines.append(f"{name}: {exc}")
    return contacts, unreadable


def read_contact(
    row: object, *, campaign: str, contact: str, statuses: Collection[str] = ()
) -> Contact | None:
    """The contact that was requested by its id; None for another one, of another campaign or with another status.

    A backend may take the id 010 for 10: only a row with the id itself is the contact. Without `statuses`, every
    status is right. Raises ValueError.
    """
    if not isinstance(row, dict):
        raise ValueError("not a contact with a status")  # noqa: TRY004 - callers handle one kind of error
    status = _read_status(row)
    if status is None:
        raise ValueError("not a contact with a status")
    if row.get("id") is None or normalise_id(row["id"]) != contact:
        return None
    owner = row.get("campaign_id")
    is_other = bool(statuses) and status not in statuses
    if is_other or (owner is not None and normalise_id(owner) != campaign):
        return None
    return _read_contact(row, campaign, {status})


def _read_contact(
    row: object, campaign: str, statuses: Collection[str], defaulted: Counter[str] | None = None
) -> Contact:
    """Raises ValueError where a doubt would be about whom to call: id, campaign, status, do_not_call."""
    if not isinstance(row, dict):
        raise ValueError("not an object")  # noqa: TRY004 - callers handle one kind of error
    if row.get("id") is None:
        raise ValueError("no id")
    owner, status = row.get("campaign_id"), _read_status(row)
    if owner is not None and normalise_id(owner) != campaign:
        raise _NotAskedError(f"belongs to campaign {_shown(owner)}, not to {campaign}")
    if status is not None and status not in (*statuses, "do_not_call"):
        error = _NotAskedError if status in _STATUSES else ValueError
        raise error(f"has status {_shown(status)}, not {' or '.join(sorted(statuses))}")
    fields: dict[str, Any] = {}
    for name, read in _OPTIONAL_FIELDS.items():
        if (value := row.get(name)) is None:
            continue
        try:
            fields[name] = read(value)
        except (ValueError, OverflowError, RecursionError):
            if defaulted is not None:
                defaulted[name] += 1
    return Contact(
        id=_read_id(row["id"]),
        campaign_id=None if owner is None else _read_id(owner),
        status=status or "pending",
        do_not_call=_read_flag(row.get("do_not_call")),
        **{name: row.get(name) for name in ("phone_number", "phone_2", "phone_3", "phones")},
        **fields,
    )


def _read_id(raw: object) -> int | str:
    """An id as it was given."""
    internal = normalise_id(raw)
    return raw if isinstance(raw, str) else int(internal)


def _read_status(row: dict[str, Any]) -> str | None:
    status = row.get("status")
    if status is not None and not isinstance(status, str):
        raise ValueError(f"status is {_shown(status)}, takes a text")
    return None if status is None else status.strip().lower() or None


def _read_flag(raw: object) -> bool:
    word = str(raw if raw is not None else "").strip().lower()
    if word not in YES_WORDS | NO_WORDS and raw not in (0, 1):
        raise ValueError(f"do_not_call is {_shown(raw)}, takes true or false")
    return word in YES_WORDS or raw == 1


def _read_whole(raw: object) -> int:
    """A whole number, the nearest one of a decimal; raises ValueError, OverflowError."""
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        raise ValueError("not a number")  # noqa: TRY004 - callers handle one kind of error
    return min(max(round(float(raw)), -1), 1_000_000)


def _read_zone(raw: object) -> str:
    """Whether it is a time zone is decided where one is needed."""
    return str(_read_instant(raw)).strip()


def _read_instant(raw: object) -> str | float:
    """Whether it is a time is decided where one is needed."""
    is_short = (
        isinstance(raw, str | int | float) and not isinstance(raw, bool) and len(str(raw)) <= _MAX_SHOWN
    )
    if not is_short or has_control(str(raw)):
        raise ValueError("not a short text")
    return raw  # type: ignore[return-value]  # is_short says what it is


def _read_consent(raw: object) -> bool | str | float:
    """Whether it is a time is decided where one is needed."""
    return raw if isinstance(raw, bool) else _read_instant(raw)


def _read_caller_id(raw: object) -> str:
    label = read_label(raw)
    if label is None or len(label) > _MAX_SHOWN:
        raise ValueError("not a short text")
    return label


def _read_custom_data(raw: object) -> object:
    msgspec.json.encode(raw)  # halves of characters cannot be kept
    return raw


_MAX_SHOWN: Final = 100
_OPTIONAL_FIELDS: Final[dict[str, Callable[[object], Any]]] = {
    "priority": _read_whole,
    "attempts": _read_whole,
    "last_attempt": _read_instant,
    "timezone": _read_zone,
    "region": _read_zone,
    "subject": _read_zone,
    "caller_id": _read_caller_id,
    "consent": _read_consent,
    "custom_data": _read_custom_data,
}


def _shown(raw: object) -> str:
    return repr(raw)[:_MAX_SHOWN]
