"""Reading pools of caller ids, and area codes."""

from __future__ import annotations

from typing import Any

import pytest

from streamdialer.errors import CampaignError
from streamdialer.gateways.parsing import read_campaign
from streamdialer.model import MAX_CALLER_IDS
from streamdialer.rules.area_prefix import area_prefix

BOGOTA, CALI = "+576015550100", "+576025550100"


@pytest.mark.parametrize(
    ("number", "prefix"),
    [("+12125550100", "1212"), ("+576012345678", "57601"), ("+573001234567", ""), ("4711", "")],
)
def test_the_area_code_of_a_number(number: str, prefix: str) -> None:
    assert area_prefix(number) == prefix


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ([BOGOTA, 5716001111, BOGOTA], (BOGOTA, "5716001111")),
        (f"{BOGOTA}, {CALI}", (BOGOTA, CALI)),
        (None, ()),
        ("", ()),
    ],
)
def test_the_pool_is_read_where_its_meaning_is_clear(given: Any, read: tuple[str, ...]) -> None:
    assert read_campaign("1", {"queue_name": "sales", "caller_ids": given}).caller_ids == read


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"caller_ids": [BOGOTA, "\n"]}, "caller_ids has '\\n', takes telephone numbers"),
        ({"caller_ids": {"a": 1}}, "takes a list of at most"),
        ({"caller_ids": [str(n) for n in range(MAX_CALLER_IDS + 1)]}, "takes a list of at most"),
        ({"caller_id_choice": "random"}, "caller_id_choice is 'random'"),
        ({"caller_id_daily_cap": 0}, "caller_id_daily_cap is 0"),
    ],
)
def test_a_pool_that_cannot_be_read_is_named(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(CampaignError) as raised:
        read_campaign("1", {"queue_name": "sales", **given})
    assert problem in str(raised.value)
