"""The shipped scenarios, and the reading of any scenario file."""

from __future__ import annotations

import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import get_args, get_type_hints

import msgspec

from streamdialer.errors import SettingsError
from streamdialer.simulation.study.scenario import Scenario

_VALIDATION_MESSAGE = re.compile(r"^(?P<problem>.*?)(?: - at `\$\.?(?P<path>.*)`)?$", re.DOTALL)
_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(?P<field>.*)`")


def shipped_scenarios() -> dict[str, str]:
    """Names and titles of the shipped scenarios."""
    return {name: load_scenario(name).title for name in _names()}


def load_scenario(name: str) -> Scenario:
    """The scenario of a .toml file, or a shipped one by its name.

    Raises SettingsError: one line with the field and what it takes.
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
    """The scenario in a TOML text; `name` is for error messages."""
    try:
        scenario = msgspec.convert(tomllib.loads(text), Scenario)
        scenario.check()
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"scenario {name}: not valid TOML: {error}") from None
    except msgspec.ValidationError as error:
        raise SettingsError(f"scenario {name}: {_explain(str(error))}") from None
    except SettingsError as error:
        raise SettingsError(f"scenario {name}: {error}") from None
    return scenario


def _names() -> list[str]:
    files = resources.files(__name__).iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def _explain(message: str) -> str:
    """msgspec's message as `field: what it takes`."""
    match = _VALIDATION_MESSAGE.match(message)
    problem, path = (match["problem"], match["path"] or "") if match else (message, "")
    if unknown := _UNKNOWN_FIELD.match(problem):
        field = f"{path}.{unknown['field']}".removeprefix(".")
        return f"{field}: there is no such field; {path or 'a scenario'} takes {', '.join(_fields(path))}"
    for word, plain in {"`": "", "Expected": "takes", "float": "a number", "int": "a whole number"}.items():
        problem = problem.replace(word, plain)
    return f"{path}: {problem}" if path else problem


def _fields(path: str) -> tuple[str, ...]:
    """Fields of the section of a scenario at that path."""
    section: type = Scenario
    for step in filter(None, re.sub(r"\[[^]]*\]", "", path).split(".")):
        section = _struct_in(get_type_hints(section)[step]) or section
    return tuple(field.name for field in msgspec.structs.fields(section))


def _struct_in(kind: object) -> type | None:
    """The struct in a field's type, which may be a tuple of it or optional."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind
    return next(filter(None, map(_struct_in, get_args(kind))), None)
