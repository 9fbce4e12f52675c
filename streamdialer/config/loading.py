"""Where a setting comes from: an option, else the environment, else `.env` in the working directory, else its default.

A setting that may be a secret may also be in a file that the environment names: `BACKEND_PASSWORD_FILE`.

Every wrong value ends here, in one line that names the setting, the value it got and what it takes.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from dotenv import dotenv_values

from streamdialer.config.ami_urls import AMI_URL_FORMS
from streamdialer.config.settings import MAY_BE_IN_FILES, NAMES, Settings
from streamdialer.config.urls import REDIS_URL_FORMS
from streamdialer.config.values import FIELDS, Origin, convert, display
from streamdialer.errors import SettingsError

_PREFIX: Final = "STREAMDIALER_"
_FROM_FILE: Final = "_FILE"
_SERVICE: Final = re.compile(
    r"(_SERVICE_HOST|_SERVICE_PORT(_[A-Z0-9_]+)?|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$"
)
"""How the variables end that Kubernetes sets for each service of a namespace; also `_PORT` with a URL."""


class LoadedSettings(msgspec.Struct, frozen=True):
    settings: Settings
    origin: dict[str, Origin]


class SettingRow(msgspec.Struct, frozen=True):
    """One setting as `streamdialer config` shows it; secrets are masked."""

    name: str
    value: str
    origin: Origin
    default: str
    description: str


def load(
    overrides: Mapping[str, object] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
    reads_file: bool = True,
) -> LoadedSettings:
    """Effective settings; `overrides` are options by field name, where None and "" mean not given.

    `directory` is where `.env` may be (the working directory); without `reads_file` it is not read. Raises
    SettingsError for the first value that cannot be used, and for a `STREAMDIALER_…` name that does not exist.
    """
    environment = os.environ if environ is None else environ
    file = _read_dotenv((directory or Path.cwd()) / ".env") if reads_file else {}
    _refuse_unknown(environment, "the environment")
    _refuse_unknown(file, ".env")
    secrets = _read_secret_files(environment)

    options = dict(overrides or {})
    if unknown := options.keys() - FIELDS.keys():
        raise TypeError(f"no such setting: {', '.join(sorted(unknown))}")
    values: dict[str, Any] = {}
    origins: dict[str, Origin] = {}
    for name, field in FIELDS.items():
        sources: tuple[tuple[Origin, object], ...] = (
            ("option", options.get(name)),
            ("environment", environment.get(NAMES[name]) or secrets.get(name)),
            (".env", file.get(NAMES[name])),
        )
        origins[name] = "default"
        for origin, raw in sources:
            value = raw.strip() if isinstance(raw, str) else raw
            if value is not None and value != "":
                values[name] = convert(field, value, origin)
                origins[name] = origin
                break
    settings = Settings(**values)
    _check_combinations(settings)
    return LoadedSettings(settings, origins)


def environment_of(values: Mapping[str, object]) -> dict[str, str]:
    """The variables that give a child process these settings, by field name, whatever files its environment names."""
    variables = {}
    for field, value in values.items():
        variables[NAMES[field]] = str(value)
        if field in MAY_BE_IN_FILES:
            variables[NAMES[field] + _FROM_FILE] = ""
    return variables


def describe(loaded: LoadedSettings) -> list[SettingRow]:
    """Every setting for people: its value, where that came from, its default and its meaning."""
    return [
        SettingRow(
            NAMES[name],
            display(name, getattr(loaded.settings, name)),
            loaded.origin[name],
            display(name, field.default),
            field.description,
        )
        for name, field in FIELDS.items()
    ]


def require_redis(settings: Settings) -> None:
    """Raises SettingsError when no Redis server is named; only `demo` starts its own."""
    if not settings.redis_url:
        raise SettingsError(f"REDIS_URL: not set; takes {REDIS_URL_FORMS}")


def require_usable(settings: Settings) -> None:
    """Raises SettingsError for settings made in code that `load` would not have made."""
    require_redis(settings)
    for name, field in FIELDS.items():
        value = getattr(settings, name)
        if value != field.default:
            convert(field, value, "option")
    _check_combinations(settings)


def _read_dotenv(path: Path) -> dict[str, str | None]:
    if not path.is_file():
        return {}
    try:
        return dict(dotenv_values(path, interpolate=False))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read ({error}); takes NAME=value lines in UTF-8") from error


def _read_secret_files(environment: Mapping[str, str]) -> dict[str, str]:
    """Settings by field name, from the files that the environment names."""
    found = {}
    for field in MAY_BE_IN_FILES:
        name = NAMES[field] + _FROM_FILE
        if not (path := environment.get(name, "").strip()):
            continue
        if environment.get(NAMES[field]):
            raise SettingsError(f"{name}: {NAMES[field]} is set, too; takes only one of them")
        try:
            found[field] = Path(path).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{name}: {path} cannot be read ({error}); takes a file in UTF-8") from error
    return found


def _refuse_unknown(variables: Mapping[str, str | None], where: str) -> None:
    known = [name.removeprefix(_PREFIX) for name in NAMES.values() if name.startswith(_PREFIX)]
    files = {NAMES[field].removeprefix(_PREFIX) + _FROM_FILE for field in MAY_BE_IN_FILES}
    for name, value in variables.items():
        tail = name.removeprefix(_PREFIX)  # with the prefix, any name would look close
        is_service = _SERVICE.search(tail) or (tail.endswith("_PORT") and "://" in (value or ""))
        if name.startswith(_PREFIX) and tail not in known and tail not in files and not is_service:
            close = difflib.get_close_matches(tail, known, n=1)
            hint = f"did you mean {_PREFIX}{close[0]}?" if close else "`streamdialer config` lists them all"
            raise SettingsError(f"{name}: no such setting (from {where}); {hint}")


def _check_combinations(settings: Settings) -> None:
    """Raises SettingsError for settings that are right alone and wrong together."""
    has_user, has_password = bool(settings.backend_username), bool(settings.backend_password)
    if has_user != has_password:
        missing, present = ("PASSWORD", "USERNAME") if has_user else ("USERNAME", "PASSWORD")
        raise SettingsError(
            f"BACKEND_{missing}: not set although BACKEND_{present} is; takes both or neither"
        )
    if settings.originate == "asterisk" and not settings.asterisk_ami_url:
        raise SettingsError(
            f"ASTERISK_AMI_URL: not set although {NAMES['originate']} is asterisk; takes {AMI_URL_FORMS}"
        )
    if settings.read_block_s >= settings.claim_min_idle_s:
        raise SettingsError(
            f"{NAMES['read_block_s']}: got {settings.read_block_s:g}, takes less than "
            f"{NAMES['claim_min_idle_s']} ({settings.claim_min_idle_s:g})"
        )
