"""The diagrams and the table of docs/states.md, compared with the Lua sources and with what `attempt_state` says."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import msgspec
from redis.asyncio import Redis

ROOT = Path(__file__).parents[2]
LUA = ROOT / "streamdialer" / "ledger" / "lua"
SCRIPTS = {path.stem: path.read_text("utf-8") for path in LUA.glob("*.lua")}
PIECES = {path.stem: path.read_text("utf-8") for path in (LUA / "lib").glob("*.lua")}
PAGE = (ROOT / "docs" / "states.md").read_text("utf-8")
SET_STATE = re.compile(r"\bset_state\([^()]*, '(\w+)'")

Edges = set[tuple[str, str]]


def diagrams() -> tuple[Edges, Edges]:
    """The edges of the contact's diagram and of the attempt's."""
    contact, attempt = (
        {(first, second) for first, second in re.findall(r"^ +(\S+) --> (\S+?)(?::|$)", block, re.MULTILINE)}
        for block in re.findall(r"```mermaid\n(.*?)```", PAGE, re.DOTALL)
    )
    return contact, attempt


def states_of(edges: Edges) -> set[str]:
    return {state for edge in edges for state in edge} - {"[*]"}


def table() -> dict[str, set[str]]:
    """State -> the scripts that put a contact into it; '' -> those that remove it."""
    rows = re.findall(r"^\| (`\w+`|removed) \| (.*) \|$", PAGE, re.MULTILINE)
    return {
        "" if state == "removed" else state.strip("`"): set(re.findall(r"`(\w+)`", cell))
        for state, cell in rows
    }


def functions_of(source: str) -> dict[str, str]:
    """The functions of a file and its blocks, by name; each ends on its first line or with an `end` below its head."""
    pattern = r"^((?:  )?)(?:local )?function (\w+)\((?:.*\bend$|.*\n(?:(?:\1[ \t].*)?\n)*\1end$)"
    return {match[2]: match[0] for match in re.finditer(pattern, source, re.MULTILINE)}


def without_comments(source: str) -> str:
    return re.sub(r" *--.*", "", source)


def reachable(script: str) -> set[str]:
    """The bodies that a script may run, joined: its own, and of the pieces those functions it calls, in turn."""
    functions: dict[str, str] = {}
    for piece in PIECES.values():
        functions |= functions_of(without_comments(piece))
    bodies, found = [without_comments(SCRIPTS[script])], set[str]()
    while bodies:
        for name in set(re.findall(r"\b(\w+)\(", bodies.pop())) & functions.keys() - found:
            found.add(name)
            bodies.append(functions[name])
    return {without_comments(SCRIPTS[script]), *(functions[name] for name in found)}


def targets_of(bodies: Iterable[str]) -> set[str]:
    """The states that `set_state` is called with."""
    return {state for body in bodies for state in SET_STATE.findall(body)}


def test_the_diagram_has_the_states_of_a_contact_that_the_scripts_know() -> None:
    declared = re.search(r"^local states = \{(.*?)\}", PIECES["campaign"], re.MULTILINE | re.DOTALL)
    assert declared is not None
    known = set(re.findall(r"(\w+) =", declared[1]))
    contact, _ = diagrams()
    assert states_of(contact) == known == table().keys() - {""}
    assert targets_of([*SCRIPTS.values(), *PIECES.values()]) == known, "every state can be entered"


def test_every_script_of_the_table_can_do_what_it_says() -> None:
    for state, scripts in table().items():
        for script in scripts:
            bodies = reachable(script)
            if state:
                assert state in targets_of(bodies), (state, script)
            else:
                assert any("forget_contact(contact, record)" in body for body in bodies), script


def test_every_script_that_moves_a_contact_is_in_the_table() -> None:
    listed = table()
    for script, source in SCRIPTS.items():
        for state in targets_of([without_comments(source)]):
            assert script in listed[state], (state, script)
        if targets_of(reachable(script)):
            assert any(script in scripts for state, scripts in listed.items() if state), script
        if re.search(r"\bforget_contact\(contact", without_comments(source)):
            assert script in listed[""], script


def test_a_contact_leaves_every_state_of_the_diagram_and_can_reach_it() -> None:
    contact, _ = diagrams()
    for state in states_of(contact):
        assert any(first == state for first, _ in contact), state
        assert any(second == state for _, second in contact), state


async def test_the_diagram_of_an_attempt_agrees_with_attempt_state_on_all_facts(redis: Redis) -> None:
    """Facts only join a set. What may be learnt in which state is said here; which state follows, the script says."""
    facts = ("r", "a", "c", "x", "b", "i", "z", "dl", "mx", "u", "sl")
    functions = functions_of(PIECES["attempts"])
    ranks = re.search(r"^local RANK = \{.*?^\}", PIECES["attempts"], re.MULTILINE | re.DOTALL)
    assert ranks is not None
    source = f"""
    {ranks[0]}
    {functions["is_missing"]}
    {functions["attempt_state"]}
    local WORDS = {{ c = 'completed', x = 'busy' }}
    local names, answers = cjson.decode(ARGV[1]), {{}}
    for mask = 0, 2 ^ #names - 1 do
      local facts = {{}}
      for i, name in ipairs(names) do
        if math.floor(mask / 2 ^ (i - 1)) % 2 == 1 then facts[name] = WORDS[name] or 1 end
      end
      answers[#answers + 1] = (attempt_state({{ f = facts }}))
    end
    return answers
    """
    answers = await redis.eval(source, 0, msgspec.json.encode(facts).decode())

    def may_learn(state: str, fact: str, mask: int) -> bool:
        if fact in ("i", "z"):  # an originate request has one reply
            return not mask & (1 << facts.index("i") | 1 << facts.index("z"))
        learnt_only_in = {
            "dl": ("sent", "ringing", "orphaned"),
            "mx": ("answered",),
            "sl": ("sent", "ringing", "answered", "orphaned"),
            "u": ("sent", "ringing"),
        }
        return state in learnt_only_in.get(fact, (state,))

    edges, seen, to_see = set[tuple[str, str]](), {0}, [0]
    while to_see:
        mask = to_see.pop()
        for position, fact in enumerate(facts):
            after = mask | 1 << position | (1 << facts.index("a") if fact == "b" else 0)
            if after == mask or not may_learn(answers[mask], fact, mask):
                continue
            if answers[after] != answers[mask]:
                edges.add((answers[mask], answers[after]))
            if after not in seen:
                seen.add(after)
                to_see.append(after)
    _, attempt = diagrams()
    assert {edge for edge in attempt if "[*]" not in edge and edge[0] != "reserved"} == edges
    assert {edge for edge in attempt if edge[0] == "reserved"} == {("reserved", "sent"), ("reserved", "[*]")}
