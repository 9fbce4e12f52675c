"""Is every effect of the code among the recorded ones? Scripts and gateway methods are found in the modules."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType
from typing import Final

import streamdialer
from bench.crash.failpoints import GATEWAYS
from streamdialer.broker.scripts import Script

EXCEPTIONS: Final[Mapping[str, str]] = {
    "replay.lua": "only the command line runs it, for a person who looks at dead letters",
    "purge.lua": "only the command line runs it, for a person who empties a stream",
    "mark_server_trusted.lua": "only demo, harness and tests run it, before any process is there",
    "check_eligibility.lua": "writes nothing, and only `contact show` runs it",
    "stream_metrics.lua": "writes nothing, and only a scrape of the health port runs it",
    "campaign_metrics.lua": "writes nothing, and only a scrape of the health port runs it",
    "abandon_metrics.lua": "writes nothing, and only a scrape of the health port and `top` run it",
    "Service.aclose": "closes connections, asks nothing",
    "Backend.aclose": "closes connections, asks nothing",
    "DialerAPI.aclose": "closes connections, asks nothing",
    "Backend.health": "only `doctor` asks",
    "DialerAPI.health": "only `doctor` asks",
}
"""What no handler does, and why that is so."""


def _modules() -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(streamdialer.__path__, "streamdialer."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def effects_of_the_code() -> dict[str, str]:
    """Code of each effect (as `Effect.code` has it) -> its name for people and for `EXCEPTIONS`."""
    found: dict[str, str] = {}
    for module in _modules():
        for name, value in vars(module).items():
            if isinstance(value, Script):
                found[f"script:{value.sha}"] = f"{value.name}.lua"
            elif (
                inspect.isclass(value)
                and value.__module__ == module.__name__
                and module.__name__.startswith(GATEWAYS)
            ):
                found |= {f"{name}.{method}": f"{name}.{method}" for method in _asking_methods(value)}
    return found


def _asking_methods(gateway: type) -> Iterator[str]:
    for name, method in vars(gateway).items():
        is_async = inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method)
        if is_async and not name.startswith("_"):
            yield name


def uncovered(
    recorded: Iterable[str],
    code: Mapping[str, str] | None = None,
    exceptions: Mapping[str, str] = EXCEPTIONS,
) -> list[str]:
    """In words: effects nobody has passed and no exception names, and exceptions that are none any more."""
    code = effects_of_the_code() if code is None else code
    passed = {code[each] for each in recorded if each in code}
    missing = sorted(set(code.values()) - passed - exceptions.keys())
    problems = [f"{name} is in the code, and the recording run never passes it" for name in missing]
    problems += [
        f"{name} is an exception and is not in the code" for name in exceptions.keys() - set(code.values())
    ]
    problems += [f"{name} is an exception and was passed" for name in exceptions.keys() & passed]
    return problems
