"""Finds contacts in the ledger by their id or their number, without reading any list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from redis.asyncio import Redis

from streamdialer.broker.keys import Keys
from streamdialer.ledger.records import ContactState, decode_contact
from streamdialer.model import ContactData, normalise_id, wire_id
from streamdialer.observability.redaction import mask_number

MAX_FOUND: Final = 50
MAX_READINGS: Final = 20
"""Ways to read a number without a +: one per country of the campaigns' lists."""
_decode_call: Final = msgspec.json.Decoder(ContactData).decode


class FoundContact(msgspec.Struct, frozen=True, kw_only=True):
    campaign_id: int | str
    contact_id: int | str
    state: ContactState
    number: str
    """Masked; of several the first."""
    attempts: int


async def find_contacts(client: Redis, keys: Keys, campaigns: Sequence[str], text: str) -> list[FoundContact]:
    """At most `MAX_FOUND` contacts of `campaigns` whose id or number is `text`.

    A number without a + is read as one of each country whose local numbers the campaigns have. Only contacts that the
    ledger has are found: those loaded, and the final ones whose record has not expired. Raises redis.RedisError.
    """
    try:
        contact = normalise_id(text)
    except ValueError:
        return []
    pipe = client.pipeline(transaction=False)
    for campaign in campaigns:
        pipe.hexists(keys.records(campaign), contact)
        pipe.hget(keys.totals(campaign), "country")
    answers: Any = await pipe.execute()
    names = [
        (campaign, contact) for campaign, is_here in zip(campaigns, answers[::2], strict=True) if is_here
    ]
    numbers = _readings(text, {country or "" for country in answers[1::2]})
    pipe = client.pipeline(transaction=False)
    for digits in numbers:
        pipe.zrangebylex(keys.contacts_by_number, f"[{digits} ", f"({digits}!", 0, MAX_FOUND)
    for found in await pipe.execute():
        for name in found:
            campaign, _, its_contact = str(name).partition(" ")[2].partition(":")
            names.append((campaign, its_contact))
    return await _read(client, keys, list(dict.fromkeys(names))[:MAX_FOUND])


def _readings(text: str, countries: Iterable[str]) -> list[str]:
    """Digits of the number as the ledger may compare it; [] for what cannot be a number."""
    from streamdialer.rules.numbers import read_number  # loads every country's numbering plan

    readings = [read_number(text, country).digits for country in ["", *sorted(countries)][:MAX_READINGS]]
    return list(dict.fromkeys(filter(None, readings)))


async def _read(client: Redis, keys: Keys, names: Sequence[tuple[str, str]]) -> list[FoundContact]:
    pipe = client.pipeline(transaction=False)
    for campaign, contact in names:
        pipe.hget(keys.records(campaign), contact)
        pipe.hget(keys.contacts(campaign), contact)
    answers: Any = await pipe.execute()
    found = []
    for (campaign, contact), (raw, call) in zip(
        names, zip(answers[::2], answers[1::2], strict=True), strict=True
    ):
        if raw is None:
            continue  # removed meanwhile
        record, data = decode_contact(raw), _decode_call(call) if call else None
        numbers = [] if data is None else data.phones or [data.phone_number]
        found.append(
            FoundContact(
                campaign_id=wire_id(campaign),
                contact_id=wire_id(contact),
                state=record.state,
                number=mask_number(numbers[0]) if numbers else "",
                attempts=record.attempts,
            )
        )
    return found
