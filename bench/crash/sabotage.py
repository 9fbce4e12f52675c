"""Takes a guard of the design out of a child, to see that the harness notices: what cannot fail proves nothing."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Final

from streamdialer.ledger import CampaignLedger


def _forget_the_begin_mark() -> None:
    """An attempt that another run has marked as sent is sent once more."""
    begin = CampaignLedger.begin

    @functools.wraps(begin)
    async def forgetful(*args: Any, **kwargs: Any) -> Any:
        began = await begin(*args, **kwargs)
        return "ok" if began == "sent" else began

    setattr(CampaignLedger, "begin", forgetful)  # noqa: B010 - a type checker forbids the assignment


GUARDS: Final[Mapping[str, Callable[[], None]]] = {"begin-mark": _forget_the_begin_mark}


def take_out(guards: tuple[str, ...]) -> None:
    """Raises KeyError for a guard that is none."""
    for guard in guards:
        GUARDS[guard]()
