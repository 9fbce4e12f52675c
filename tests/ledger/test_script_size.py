"""Each script has room for more names: Lua 5.1 takes 200 local names in a function, and 60 that it uses from outside.

Pieces are joined at load: a name added to a shared piece counts in every script. A script over a limit does not load.
"""

from __future__ import annotations

import re
from importlib import resources

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from streamdialer.broker.scripts import Script

PACKAGES = ("streamdialer.broker", "streamdialer.ledger")
ROOM = 15
"""How many names every script, and every function in it, must have room for."""
FUNCTION_HEAD = re.compile(r"\bfunction\b\s*\w*\s*\([^()\n]*\)")


def all_scripts() -> list[tuple[str, str]]:
    found = [
        (package, entry.name.removesuffix(".lua"))
        for package in PACKAGES
        for entry in (resources.files(package) / "lua").iterdir()
        if entry.name.endswith(".lua")
    ]
    assert len(found) > 40
    return sorted(found)


def padded(source: str, names: int) -> str:
    """The script with so many more names, all of which every function uses."""
    more = ", ".join(f"padding_{number}" for number in range(names))
    head = f"local {more} = 1\n"
    return head + FUNCTION_HEAD.sub(lambda match: f"{match.group(0)} do local _ = {{ {more} }} end ", source)


async def test_every_script_has_room_for_more_names(redis: Redis) -> None:
    full: dict[tuple[str, str], str] = {}
    for package, name in all_scripts():
        script = Script(package, name, joins_calls=True)
        assert script.joined is not None
        for form, source in (("alone", script.source), ("joined", script.joined.source)):
            try:
                await redis.script_load(padded(source, ROOM))
            except ResponseError as error:
                full[name, form] = str(error)
    assert not full, f"move parts of these into functions or do-blocks: {full}"
    await redis.script_flush()


@pytest.mark.parametrize(
    ("source", "limit"),
    [
        ("\n".join(f"local name_{number} = 1" for number in range(200 - ROOM + 1)), "local variables"),
        (
            "\n".join(f"local name_{number} = 1" for number in range(60 - ROOM + 1))
            + "\nlocal function uses_all() return "
            + " + ".join(f"name_{number}" for number in range(60 - ROOM + 1))
            + " end",
            "upvalues",
        ),
    ],
)
async def test_the_check_finds_a_script_with_too_little_room(redis: Redis, source: str, limit: str) -> None:
    await redis.script_load(source)
    with pytest.raises(ResponseError, match=limit):
        await redis.script_load(padded(source, ROOM))
