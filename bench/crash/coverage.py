"""Checks that every effect of the code was recorded. Scripts and gateway methods are found in the modules."""

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

NOT_COVERED: Final[Mapping[str, str]] = {
    "replay.lua": "run only from the command line, by a person who looks at dead letters",
    "drop_letters.lua": "run only from the command line, by a person who looks at dead letters",
    "purge.lua": "run only from the command line, by a person who empties a stream",
    "mark_server_trusted.lua": "run only by demo, benches and tests, before any process runs",
    "check_eligibility.lua": "writes nothing; run only by `contact show`",
    "stream_metrics.lua": "writes nothing; run only by a scrape of the health port",
    "campaign_metrics.lua": "writes nothing; run only by a scrape of the health port",
    "abandon_metrics.lua": "writes nothing; run only by a scrape of the health port and by `top`",
    "pause_requests.lua": "run only when a server asks for a pause; lost, each process asks the server once more",
    "request_hangups.lua": "run only from the command line, by a person who pauses or stops a campaign",
    "dnc_find_numbers.lua": "writes nothing; run only from the command line",
    "dnc_record_query.lua": "one command of the command line, which a person repeats; writes one field",
    "take_back_calls.lua": "run only with STREAMDIALER_PACING_TAKE_BACK; the next decision asks again",
    "dnc_remove_numbers.lua": "one command of the command line, which a person repeats; takes off what is on the list",
    "add_while_fresh.lua": "run only by `asterisk`, which may write an event twice",
    **dict.fromkeys(
        [f"AmiClient.{name}" for name in ("serve", "action", "list_answer", "receive")]
        + [f"Connection.{name}" for name in ("action", "list_answer", "read", "lose")],
        "run only with Asterisk, which the run has not: a link keeps no state and may end anywhere",
    ),
    "Asterisk.originate": "run only where Asterisk places calls; between its scripts it is as `DialerAPI.originate`",
    **dict.fromkeys(
        [f"OwnBackend.{name}" for name in ("create_campaign", "create_list", "add_contacts", "finish_list")]
        + [f"OwnBackend.{name}" for name in ("contact_rows", "attempt_rows", "attempts", "blocks")],
        "called only from the command line, which says what it has done",
    ),
    **dict.fromkeys(
        ("WebhookEndpoint.send", "PublicAddresses.resolve", "PublicAddresses.close"),
        "run only by `webhooks`, which may post an outcome twice",
    ),
    "Service.aclose": "sends no request, closes connections",
    "Gateway.aclose": "sends no request, closes connections",
    "Backend.unfinished": "called only after a data loss, of a backend that does not show single contacts",
    "Backend.health": "called only by `doctor`",
    "DialerAPI.health": "called only by `doctor`",
}
"""Effects that no handler has, and why."""


def _modules() -> Iterator[ModuleType]:
    for top in pkgutil.iter_modules(streamdialer.__path__, "streamdialer."):
        if top.name in ("streamdialer.__main__", "streamdialer.backend"):  # this one is a Django project
            continue
        module = importlib.import_module(top.name)
        yield module
        for inner in pkgutil.walk_packages(getattr(module, "__path__", ()), f"{top.name}."):
            if not inner.name.endswith("__main__"):
                yield importlib.import_module(inner.name)


def effects_of_the_code() -> dict[str, str]:
    """Code of each effect (see `Effect.code`) -> its name, as in `NOT_COVERED`."""
    effects: dict[str, str] = {}
    for module in _modules():
        for name, value in vars(module).items():
            if isinstance(value, Script):
                effects[f"script:{value.sha}"] = f"{value.name}.lua"
            elif (
                inspect.isclass(value)
                and value.__module__ == module.__name__
                and module.__name__.startswith(GATEWAYS)
            ):
                effects |= {f"{name}.{method}": f"{name}.{method}" for method in _public_async_methods(value)}
    return effects


def _public_async_methods(gateway: type) -> Iterator[str]:
    for name, method in vars(gateway).items():
        is_async = inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method)
        if is_async and not name.startswith("_"):
            yield name


def uncovered(recorded: Iterable[str], exceptions: Mapping[str, str] = NOT_COVERED) -> list[str]:
    """In words: effects that were not recorded and are not exceptions, and exceptions that are wrong."""
    code = effects_of_the_code()
    passed = {code[effect] for effect in recorded if effect in code}
    missing = sorted(set(code.values()) - passed - exceptions.keys())
    problems = [f"{name} is in the code, but the recording run never passes it" for name in missing]
    problems += [
        f"{name} is an exception, but not in the code" for name in exceptions.keys() - set(code.values())
    ]
    problems += [f"{name} is an exception, but was passed" for name in exceptions.keys() & passed]
    return problems
