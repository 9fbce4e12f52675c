"""Which cases of a test `make quick` leaves out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def some_are_long(values: Iterable[Any], *long: Any) -> list[Any]:
    """Parameters of a test, of which `make quick` runs those that are not long."""
    return [pytest.param(value, marks=pytest.mark.long if value in long else ()) for value in values]
