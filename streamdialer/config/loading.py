"""Where settings come from: an option, else the environment, else `.env` beside us, else the default.

Every wrong value ends here, with one line that names the setting, what it got and what it takes. The settings
themselves are `settings.py`.
"""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args, get_type_hints
from zoneinfo import ZoneInfo

import msgspec
from dotenv import dotenv_values
from msgspec import inspect

from streamdialer.config.dashboard_users import validate_users
from streamdialer.config.settings import NAMES, SECRETS, Settings
from streamdialer.config.urls import MASK, REDIS_URL_FORMS, mask_url, validate_http_url, validate_redis_url
from streamdialer.errors import SettingsError
from streamdialer.rules import pack_names
from streamdialer.rules.numbers import is_country

__all__ = ["LoadedSettings", "Origin", "SettingRow", "describe", "load", "require_redis"]

Origin = Literal["default", "environment", ".env", "option"]

_PREFIX: Final = "STREAMDIALER_"


class LoadedSettings(msgspec.Struct, frozen=True):
    """Effective settings, and for each field where its value was found."""

    settings: Settings
    origin: dict[str, Origin]


class SettingRow(msgspec.Struct, frozen=True):
    """One setting as `config` shows it; secrets are masked."""

    name: str
    value: str
    origin: Origin
    default: str
    description: str


class _Field(msgspec.Struct, frozen=True):
    """One field of `Settings` as its annotation declares it."""

    name: str
    hint: Any
    """What msgspec converts to."""
    bounds: inspect.Type
    default: object
    description: str


def _fields() -> dict[str, _Field]:
    hints = get_type_hints(Settings, include_extras=True)
    fields = {}
    for declared in cast("inspect.StructType", inspect.type_info(Settings)).fields:
        annotated = cast("inspect.Metadata", declared.type)
        description = str((annotated.extra_json_schema or {})["description"])
        fields[declared.name] = _Field(
            declared.name, hints[declared.name], annotated.type, declared.default, description
        )
    return fields


_FIELDS: Final = _fields()


def load(
    overrides: Mapping[str, object] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> LoadedSettings:
    """Effective settings; `overrides` are options by field name, where None and "" mean not given.

    `.env` is looked for in `directory` (the working directory). Raises SettingsError for the first value that
    cannot be used, and for a `STREAMDIALER_…` name that does not exist.
    """
    surroundings = os.environ if environ is None else environ
    file = _read_dotenv((directory or Path.cwd()) / ".env")
    _refuse_unknown(surroundings, "the environment")
    _refuse_unknown(file, ".env")

    options = dict(overrides or {})
    if unknown := options.keys() - _FIELDS.keys():
        raise TypeError(f"no such setting: {', '.join(sorted(unknown))}")
    values: dict[str, Any] = {}
    origin: dict[str, Origin] = {}
    for name, field in _FIELDS.items():
        found: tuple[tuple[Origin, object], ...] = (
            ("option", options.get(name)),
            ("environment", surroundings.get(NAMES[name])),
            (".env", file.get(NAMES[name])),
        )
        origin[name] = "default"
        for source, raw in found:
            given = raw.strip() if isinstance(raw, str) else raw
            if given is not None and given != "":
                values[name] = _convert(field, given, source)
                origin[name] = source
                break
    settings = Settings(**values)
    _check_combinations(settings)
    return LoadedSettings(settings, origin)


def describe(loaded: LoadedSettings) -> list[SettingRow]:
    """Every setting for people: effective value, where it came from, default, what it is for."""
    return [
        SettingRow(
            NAMES[name],
            _display(name, getattr(loaded.settings, name)),
            loaded.origin[name],
            _display(name, field.default),
            field.description,
        )
        for name, field in _FIELDS.items()
    ]


def require_redis(settings: Settings) -> None:
    """Raises SettingsError when no Redis server is named; only `demo` brings its own."""
    if not settings.redis_url:
        raise SettingsError(f"REDIS_URL: not set; takes {REDIS_URL_FORMS}")


def _read_dotenv(path: Path) -> dict[str, str | None]:
    if not path.is_file():
        return {}
    try:
        return dict(dotenv_values(path, interpolate=False))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read ({error}); takes NAME=value lines in UTF-8") from error


def _refuse_unknown(found: Mapping[str, object], where: str) -> None:
    known = NAMES.values()
    for name in found:
        if name.startswith(_PREFIX) and name not in known:
            # Without the prefix, which alone would make any name look close.
            tails = [each.removeprefix(_PREFIX) for each in known if each.startswith(_PREFIX)]
            near = difflib.get_close_matches(name.removeprefix(_PREFIX), tails, n=1)
            hint = f"did you mean {_PREFIX}{near[0]}?" if near else "`streamdialer config` lists them all"
            raise SettingsError(f"{name}: no such setting (from {where}); {hint}")


def _convert(field: _Field, raw: object, source: Origin) -> Any:
    """The value as its field's type; raises SettingsError."""
    given = raw.lower() if isinstance(field.bounds, inspect.BoolType) and isinstance(raw, str) else raw
    if choices := _choices(field):
        given = {choice.casefold(): choice for choice in choices}.get(str(raw).casefold(), raw)
    try:
        value = msgspec.convert(given, field.hint, strict=False)
    except msgspec.ValidationError:
        raise _settings_error(field.name, raw, _expected(field), source) from None
    if isinstance(value, float) and not math.isfinite(value):
        raise _settings_error(field.name, raw, _expected(field), source)
    if takes := _validate_text(field.name, value):
        raise _settings_error(field.name, raw, takes, source)
    return value


def _choices(field: _Field) -> tuple[str, ...]:
    """The words a field takes, in the order it declares them; none when it takes more than some words."""
    return get_args(get_args(field.hint)[0]) if isinstance(field.bounds, inspect.LiteralType) else ()


def _expected(field: _Field) -> str:
    """What a field takes, from its type and bounds, to be read after "takes"."""
    if choices := _choices(field):
        return f"one of {', '.join(choices)}" if len(choices) > 1 else choices[0]
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


def _validate_text(name: str, value: object) -> str | None:
    """What a text setting takes, when `value` is not that; None when it is fine."""
    text = str(value)
    if name == "redis_url":
        return validate_redis_url(text)
    if name in ("backend_url", "dialer_api_url"):
        return validate_http_url(text)
    if name == "timezone":
        return None if _is_zone(text) else "an IANA time zone such as America/Bogota"
    if name == "rule_pack":
        return None if text in pack_names() else f"one of {', '.join(pack_names())}"
    if name == "country":
        return None if is_country(text) else "an ISO 3166 code of two letters such as CO"
    if name == "dashboard_users":
        return validate_users(text)
    if name == "backend_login_path":
        return None if text.startswith("/") else "a path that begins with /"
    return None


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown; no zone name at all; a folder of zones
        return False
    return True


def _check_combinations(settings: Settings) -> None:
    """Settings that are each fine and do not go together."""
    user, password = bool(settings.backend_username), bool(settings.backend_password)
    if user != password:
        missing, present = ("PASSWORD", "USERNAME") if user else ("USERNAME", "PASSWORD")
        raise SettingsError(
            f"BACKEND_{missing}: not set although BACKEND_{present} is; takes both or neither"
        )
    if settings.read_block_s >= settings.claim_min_idle_s:
        raise SettingsError(
            f"{NAMES['read_block_s']}: got {settings.read_block_s:g}, takes less than "
            f"{NAMES['claim_min_idle_s']} ({settings.claim_min_idle_s:g})"
        )


def _settings_error(name: str, raw: object, takes: str, source: Origin) -> SettingsError:
    where = " from .env" if source == ".env" else ""
    return SettingsError(f"{NAMES[name]}: got {_display(name, raw)!r}{where}, takes {takes}")


def _display(name: str, value: object) -> str:
    """A value for people: no secret, and numbers as they are typed."""
    if isinstance(value, bool):
        return str(value).lower()
    text = f"{value:g}" if isinstance(value, float) else str(value)
    if name in SECRETS:
        return MASK if text else ""
    return mask_url(text) if name.endswith("_url") else text
