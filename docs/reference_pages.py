"""The reference that is made from the code: commands, settings, fields of events, rule packs.

A page holds a block `{generated} NAME`; when the site is built, the function of that name writes its Markdown. So none
of it is in the repository, and none of it can be out of date.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import typer

from streamdialer.cli import app, rules
from streamdialer.config import values
from streamdialer.config.settings import MAY_BE_IN_FILES, NAMES
from streamdialer.consumers import event_entry
from streamdialer.rules.rule_pack import load_pack, pack_names

ROOT: Final = Path(__file__).parents[1]


def table(heads: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; no cell can end it."""
    lines = [heads, ["---"] * len(heads), *rows]
    cells = [[" ".join(cell.split()).replace("|", "\\|") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def commands() -> str:
    """Every command with its arguments, options and example."""
    return "\n\n".join(_command(typer.main.get_command(app), "streamdialer"))


def _command(command: Any, path: str) -> Iterator[str]:
    children = getattr(command, "commands", {})
    yield f"{'#' * min(4, 2 + path.count(' '))} `{path}`\n\n{_prose(command.help)}"
    if not children:
        words = command.collect_usage_pieces(command.context_class(command))
        yield f"    {path} {' '.join(word for word in words if word)}"
    rows = [_parameter(each) for each in command.params if "completion" not in each.name]
    if rows:
        yield table(["argument or option", "meaning", "default"], rows)
    if example := re.match(r"Example: (.*)", command.epilog or "", re.DOTALL):
        yield f"Example:\n\n    {example[1]}"
    for name, child in children.items():
        yield from _command(child, f"{path} {name}")


def _parameter(parameter: Any) -> list[str]:
    names = [*parameter.opts, *parameter.secondary_opts]
    if parameter.param_type_name == "argument":
        names = [parameter.metavar or parameter.name.upper()]
    default = parameter.default
    shown = default is not None and default is not False and default != () and not callable(default)
    value = "required" if parameter.required else f"`{default}`" if shown and str(default) else ""
    return [", ".join(f"`{name}`" for name in names), _prose(parameter.help), value]


def _prose(text: str | None) -> str:
    return " ".join((text or "").split()).replace("<", "&lt;")


def settings() -> str:
    """Every setting, in the groups of `.env.example`."""
    fields = {NAMES[name]: field for name, field in values.FIELDS.items()}
    sample = (ROOT / ".env.example").read_text("utf-8")
    headings = re.split(r"^# ---- (.*) ----$", sample, flags=re.MULTILINE)[1:]
    parts = []
    for heading, lines in zip(headings[::2], headings[1::2], strict=True):
        rows = [
            _setting(name, fields[name]) for name in re.findall(r"^#?([A-Z][A-Z_]+)=", lines, re.MULTILINE)
        ]
        parts.append(f"## {heading}\n\n{table(['setting', 'default', 'meaning'], rows)}")
    return "\n\n".join(parts)


def _setting(name: str, field: values.Field) -> list[str]:
    default = values.display(field.name, field.default)
    takes = values._expected(field)
    sentences = [f"{_prose(field.description)}."]
    if takes != "text":
        sentences.append(f"Takes {takes}.")
    if field.name in MAY_BE_IN_FILES:
        sentences.append(f"May be in a file: `{name}_FILE`.")
    return [f"`{name}`", f"`{default}`" if default else "", " ".join(sentences)]


def event_fields() -> str:
    """The fields of each event, as the reader of `dialer:events` knows them."""
    types: dict[type[msgspec.Struct], list[str]] = {}
    for name, event in event_entry._EVENT_CLASSES.items():
        types.setdefault(event, []).append(name)
    return "\n\n".join(
        f"## {', '.join(f'`{name}`' for name in names)}\n\n{_fields(event)}" for event, names in types.items()
    )


def _fields(event: type[msgspec.Struct]) -> str:
    known = msgspec.inspect.type_info(event).fields  # type: ignore[attr-defined]
    rows = [
        [f"`{field.name}`", _type(field.type), "yes" if field.required else ""]
        for field in known
        if field.name != "type"
    ]
    return table(["field", "takes", "required"], rows)


def _type(kind: msgspec.inspect.Type) -> str:
    match kind:
        case msgspec.inspect.LiteralType(values=words):
            return ", ".join(f"`{word}`" for word in words if word)
        case msgspec.inspect.ListType(item_type=item):
            return f"a list, each: {_type(item)}"
        case msgspec.inspect.StructType(fields=fields):
            return "an object with " + ", ".join(f"`{field.name}`" for field in fields)
        case msgspec.inspect.UnionType(types=types):
            return " or ".join(
                _type(each) for each in types if not isinstance(each, msgspec.inspect.NoneType)
            )
        case msgspec.inspect.IntType():
            return "an integer"
        case msgspec.inspect.FloatType():
            return "a number"
        case msgspec.inspect.DictType():
            return "an object"
        case _:
            return "text"


def rule_packs() -> str:
    """Every pack with its values, their statutes, and what it does not enforce."""
    return "\n\n".join(_pack(name) for name in pack_names())


def _pack(name: str) -> str:
    pack = load_pack(name)
    sources = "".join(f"- Source: <{source}>\n" for source in pack.sources)
    duties = "".join(f"- Not enforced, your own duty: {_prose(duty)}\n" for duty in pack.duties)
    rows = [list(row) for row in rules._rows(pack)]
    limits = table(["rule", "value", "statute", "verified"], rows) if rows else "No limits."
    return f"## `{name}`: {pack.title}, {pack.version}\n\n{limits}\n\n{duties}{sources}"


PAGES: Final[dict[str, Callable[[], str]]] = {
    "commands": commands,
    "settings": settings,
    "event_fields": event_fields,
    "rule_packs": rule_packs,
}
