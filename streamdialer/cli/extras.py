"""Whether an optional extra of the package is installed, and how to install it."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final, Literal

Extra = Literal["dashboard"]
_MODULES: Final[dict[Extra, tuple[str, ...]]] = {"dashboard": ("jinja2", "itsdangerous")}


def how_to_install(extra: Extra) -> str | None:
    """A line that says what to install; None when the extra is installed."""
    if all(find_spec(module) for module in _MODULES[extra]):
        return None
    return f"the {extra} is not installed: pip install 'streamdialer[{extra}]'"
