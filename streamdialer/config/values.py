"""The value of a setting: read from text, checked, and shown without secrets."""

from __future__ import annotations

import math
import re
from typing import Any, Final, Literal, cast, get_args, get_type_hints

import msgspec
from msgspec import inspect

from streamdialer.config.ami_urls import CHANNEL_FORM, is_channel_template, mask_ami_urls, validate_ami_urls
from streamdialer.config.dashboard_users import validate_users
from streamdialer.config.settings import NAMES, SECRETS, Settings
from streamdialer.config.urls import MASK, mask_url, validate_http_url, validate_redis_url
from streamdialer.config.wrap_up import validate_wrap_up
from streamdialer.errors import CampaignError, SettingsError
from streamdialer.rules.rule_pack import pack_names
from streamdialer.rules.zone_clock import read_zone

_NAMESPACE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
NAMESPACE_FORM: Final = "a name of at most 63 letters, digits, - _ and ., which begins with a letter or digit"
Origin = Literal["default", "environment", ".env", "option"]


class Field(msgspec.Struct, frozen=True):
    """One field of `Settings` as its annotation declares it."""

    name: str
    hint: Any
    """The type that msgspec converts to."""
    bounds: inspect.Type
    default: object
    description: str


def _fields() -> dict[str, Field]:
    hints = get_type_hints(Settings, include_extras=True)
    types = cast("inspect.StructType", inspect.type_info(Settings)).fields
    return {
        each.name: Field(
            each.name, hints[each.name], each.type, each.default, hints[each.name].__metadata__[-1]
        )
        for each in types
    }


FIELDS: Final = _fields()


def is_namespace(text: str) -> bool:
    return _NAMESPACE.fullmatch(text) is not None


def convert(field: Field, raw: object, origin: Origin) -> Any:
    """The value in the field's type; raises SettingsError that says what the setting takes."""
    value = raw.lower() if isinstance(field.bounds, inspect.BoolType) and isinstance(raw, str) else raw
    if choices := _choices(field):
        value = {choice.casefold(): choice for choice in choices}.get(str(raw).casefold(), raw)
    try:
        converted = msgspec.convert(value, field.hint, strict=False)
    except msgspec.ValidationError:
        expected: str | None = _expected(field)
    else:
        is_number = not isinstance(converted, float) or math.isfinite(converted)
        expected = _expected_text(field.name, str(converted)) if is_number else _expected(field)
    if expected:
        where = " from .env" if origin == ".env" else ""
        raise SettingsError(f"{NAMES[field.name]}: got {display(field.name, raw)!r}{where}, takes {expected}")
    return converted


def display(name: str, value: object) -> str:
    """A value for people: secrets are masked, numbers look as people type them."""
    if isinstance(value, bool):
        return str(value).lower()
    text = f"{value:g}" if isinstance(value, float) else str(value)
    if name in SECRETS:
        return MASK if text else ""
    if name == "asterisk_ami_url":
        return mask_ami_urls(text)
    return mask_url(text) if name.endswith("_url") else text


def _choices(field: Field) -> tuple[str, ...]:
    """The words a field takes, in the order of their declaration; none for a field that takes other values."""
    return get_args(get_args(field.hint)[0]) if isinstance(field.bounds, inspect.LiteralType) else ()


def _expected(field: Field) -> str:
    """What a field takes, from its type and bounds."""
    if choices := _choices(field):
        return f"one of {', '.join(choices)}"
    match field.bounds:
        case inspect.IntType() | inspect.FloatType() as number:
            noun = "an integer" if isinstance(number, inspect.IntType) else "a number"
            unit = " of seconds" if re.search("(?<!_per)_s$", field.name) else ""
            limits = [
                f"{word} {limit:g}"
                for word, limit in (
                    ("above", number.gt),
                    ("of at least", number.ge),
                    ("below", number.lt),
                    ("at most", number.le),
                )
                if limit is not None
            ]
            return f"{noun}{unit} {' and '.join(limits)}".rstrip()
        case inspect.BoolType():
            return "true or false"
        case inspect.StrType(min_length=int(least)):
            return f"text of at least {least} characters"
        case _:
            return "text"


def _expected_text(name: str, text: str) -> str | None:
    """What a text setting takes, when `text` is not that; None when it is right."""
    match name:
        case "redis_url":
            return validate_redis_url(text)
        case "namespace":
            return None if is_namespace(text) else NAMESPACE_FORM
        case "backend_url" | "dialer_api_url":
            return validate_http_url(text)
        case "dashboard_admin_url":
            return validate_http_url(text) if text else None
        case "asterisk_ami_url":
            return validate_ami_urls(text)
        case "asterisk_channel":
            return None if is_channel_template(text) else CHANNEL_FORM
        case "asterisk_wrapup_s":
            return validate_wrap_up(text)
        case "timezone":
            return None if _is_zone(text) else "an IANA time zone such as America/Bogota"
        case "rule_pack":
            return None if text in pack_names() else f"one of {', '.join(pack_names())}"
        case "country":
            from streamdialer.rules.numbers import is_country

            return None if is_country(text) else "an ISO 3166 code of two letters such as CO"
        case "dashboard_users":
            return validate_users(text)
        case "backend_token" | "dialer_api_token":  # no header can carry another
            return None if text.isprintable() else "one line of printable characters"
        case "backend_login_path":
            return None if text.startswith("/") else "a path that begins with /"
        case _:
            return None


def _is_zone(name: str) -> bool:
    try:
        read_zone(name)
    except CampaignError:
        return False
    return True
