"""Wrong clocks: processes whose wall clock is off, and a server whose wall clock is set while it runs (libfaketime).

Monotonic clocks stay right, as they do when a machine's time is set.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from streamdialer.errors import CannotBeDone
from streamdialer.simulation.world.engine import World
from streamdialer.simulation.world.entities import Call


def library() -> str:
    """The path to preload; the Python package around it is not imported."""
    spec = find_spec("libfaketime")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for built in sorted(Path(folder).rglob("libfaketime*.so.1")):
            return str(built)
    raise CannotBeDone("libfaketime is not installed: pip install 'streamdialer[dev]'")


def off_by(seconds: int) -> dict[str, str]:
    """The environment of a process whose clock is wrong by that much all its life."""
    return {"LD_PRELOAD": library(), "FAKETIME": f"{seconds:+d}", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


class SettableClock:
    """The clock of a process started with `environment`."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "clock"
        self.set_to(0)
        self.environment = {
            "LD_PRELOAD": library(),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set_to(self, seconds: int) -> None:
        """Sets how far the clock is off."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}\n", "ascii")
        fresh.replace(self._file)


def calls_noted(world: World) -> list[Call]:
    """A list that gets every call the world places, in order; the world updates the calls' times."""
    calls: list[Call] = []
    originate = world.originate

    def noting(*args: object, **named: object) -> Call:
        call: Call = originate(*args, **named)  # type: ignore[arg-type]
        calls.append(call)
        return call

    world.originate = noting  # type: ignore[method-assign]
    return calls
