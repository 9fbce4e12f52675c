"""Whether the country of a campaign's phone numbers is known."""

from __future__ import annotations

from typing import Any, Final

from redis.asyncio import Redis

from streamdialer.broker.keys import Keys
from streamdialer.ledger.records import decode_contact
from streamdialer.operations.finding import Finding

_SAMPLE_SIZE: Final = 100


async def check_number_countries(client: Redis, keys: Keys, campaign: str) -> Finding | None:
    """A warning when contacts of a sample have numbers without a country; None when the campaign has no contacts."""
    sample: Any = await client.hrandfield(keys.records(campaign), _SAMPLE_SIZE, withvalues=True)
    records = [decode_contact(raw) for raw in sample[1::2]]
    without = sum(any(not number.startswith("+") for number in record.numbers) for record in records)
    if not records:
        return None
    check = f"numbers of campaign {campaign}"
    if not without:
        return Finding(check, "ok", f"the country is known of all {len(records)} contacts looked at")
    return Finding(
        check,
        "warn",
        f"{without} of {len(records)} contacts looked at have a number without + and without a country: hours by "
        "geography do not hold for it, and it counts as the same number in every country that is called",
        "set `country` in the campaign, or STREAMDIALER_COUNTRY, such as CO",
    )
