"""What an extra of the package brings, and a plain word when it has not been installed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final, Literal

Extra = Literal["dashboard"]
_BRINGS: Final[dict[Extra, tuple[str, ...]]] = {"dashboard": ("jinja2", "itsdangerous")}


def how_to_install(extra: Extra) -> str | None:
    """A line that says what to install; None when it is there."""
    if all(find_spec(module) for module in _BRINGS[extra]):
        return None
    return f"the {extra} is not installed: pip install 'streamdialer[{extra}]'"
