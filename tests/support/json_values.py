"""Any JSON value, as other people's programs may write one."""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st

_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters())
json_values: Final[st.SearchStrategy[object]] = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)
