"""The scenarios that are shipped, and how any scenario file is read."""

from __future__ import annotations

import re
import tomllib
from importlib import resources
from pathlib import Path

import msgspec

from streamdialer.errors import SettingsError
from streamdialer.simulation.study.scenario import Scenario

_WHERE = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<where>.*)`)?$", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<field>.*)`")


def shipped() -> dict[str, str]:
    """Name and title of every scenario that is shipped."""
    return {name: load_scenario(name).title for name in _names()}


def load_scenario(name: str) -> Scenario:
    """The scenario of a file that ends in .toml, or a shipped one by its name.

    Raises SettingsError: one line that names the field and says what would be right.
    """
    if name.endswith(".toml"):
        try:
            text = Path(name).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"scenario {name}: cannot be read: {error}") from None
    elif name in _names():
        text = (resources.files(__name__) / f"{name}.toml").read_text("utf-8")
    else:
        raise SettingsError(
            f"scenario {name!r}: takes a file that ends in .toml, or one of {', '.join(_names())}"
        )
    return read_scenario(text, name)


def read_scenario(text: str, name: str) -> Scenario:
    """The scenario TOML text says; `name` is for the error."""
    try:
        scenario = msgspec.convert(tomllib.loads(text), Scenario)
        scenario.check()
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"scenario {name}: is not TOML: {error}") from None
    except msgspec.ValidationError as error:
        raise SettingsError(f"scenario {name}: {_explained(str(error))}") from None
    except SettingsError as error:
        raise SettingsError(f"scenario {name}: {error}") from None
    return scenario


def _names() -> list[str]:
    files = resources.files(__name__).iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def _explained(message: str) -> str:
    """msgspec's message as `field: what it takes`."""
    match = _WHERE.match(message)
    what, where = (match["what"], match["where"] or "") if match else (message, "")
    if unknown := _UNKNOWN.match(what):
        field = f"{where}.{unknown['field']}".removeprefix(".")
        return f"{field}: there is no such field; {where or 'a scenario'} takes {', '.join(_fields(where))}"
    what = (
        what.replace("`", "")
        .replace("Expected", "takes")
        .replace("float", "a number")
        .replace("int", "a whole number")
    )
    return f"{where}: {what}" if where else what


def _fields(where: str) -> tuple[str, ...]:
    """Fields of the part of a scenario at that path."""
    part: type = Scenario
    for step in filter(None, re.sub(r"\[[^]]*\]", "", where).split(".")):
        part = _part(next(field.type for field in msgspec.structs.fields(part) if field.name == step))
    return tuple(field.name for field in msgspec.structs.fields(part))


def _part(kind: object) -> type:
    """The struct within a field's type, be it in a tuple or optional."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind
    for inner in getattr(kind, "__args__", ()) or (getattr(kind, "__origin__", None),):
        if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            return inner
    origin = getattr(kind, "__origin__", None)
    return _part(origin)
