"""Runs scripts that change agents: they need the keys of every queue the agents stand in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from streamdialer.broker.keys import Keys
from streamdialer.broker.scripts import Argument, Script, Scripts

MOST_REMEMBERED: Final = 20_000


class AgentQueues:
    """Remembers which queues go together, so that a script seldom has to ask for more keys."""

    def __init__(self, scripts: Scripts, keys: Keys) -> None:
        self._scripts = scripts
        self._keys = keys
        self._remembered: dict[str, list[str]] = {}

    async def run(
        self, script: Script, names: Sequence[str], args: Sequence[Argument], about: str, queue: str
    ) -> list[Any]:
        """The script's answer. It gets the keys of `queue` ('' = none) and of the queues that it needed last time.

        `about` is whom or what the call is about, such as an agent: it finds the queues of last time.
        """
        queues = self._remembered.get(about) or ([queue] if queue else [])
        if queue and queue not in queues:
            queues = [*queues, queue]
        while True:
            answer: list[Any] = await self._scripts.run(
                script,
                [*names, *self._keys.of_agents_in(queues)],
                [*args, msgspec.json.encode(queues).decode()],
            )
            if answer[0] != "queues":
                return answer
            queues = list(dict.fromkeys([*queues, *answer[1:]]))
            if len(self._remembered) >= MOST_REMEMBERED:
                self._remembered.clear()
            self._remembered[about] = queues
