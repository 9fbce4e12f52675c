"""`rules`: what a rule pack contains, and when it next allows a call."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer

from streamdialer.cli.common import (
    AsJson,
    echo,
    escape_controls,
    load_settings,
    print_fields,
    print_json,
    print_table,
    with_redis,
)
from streamdialer.errors import CampaignError, CannotBeDone, SettingsError

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from redis.asyncio import Redis

    from streamdialer.broker.keys import Keys
    from streamdialer.config.settings import Settings
    from streamdialer.rules.rule_pack import Pack, StatuteValue

T = TypeVar("T")
LAST_YEAR: Final = 9990
"""The calendar ends with year 9999, and a year of hours is searched."""
commands = typer.Typer(
    name="rules",
    no_args_is_help=True,
    help="Show what a rule pack contains, and when it next allows a call. Engineering input, not legal advice.",
    epilog="Example: streamdialer rules next --pack co --timezone America/Bogota",
)


@commands.command("next", epilog="Example: streamdialer rules next --pack us-fl --timezone America/New_York")
def next_call(
    ctx: typer.Context,
    pack: Annotated[str, typer.Option(help="Name of the rule pack.")],
    timezone: Annotated[
        str | None, typer.Option(help="IANA time zone of the contact; without it STREAMDIALER_TIMEZONE.")
    ] = None,
    region: Annotated[
        str, typer.Option(help="State of the contact, such as US-FL: its rules and zones count as well.")
    ] = "",
    at: Annotated[
        str | None, typer.Option(help="ISO 8601, in that zone unless it has an offset; without it now.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show when a call is next allowed, and which rule says so."""
    from streamdialer.config import loading
    from streamdialer.model import CampaignSettings
    from streamdialer.rules.calling_hours import calling_hours
    from streamdialer.rules.rule_pack import load_pack
    from streamdialer.rules.zone_clock import read_zone
    from streamdialer.rules.zones import OWN_ZONE, UNKNOWN_REGION, place, read_region

    rules = _read(load_pack, pack)
    zone = _read(read_zone, timezone or loading.load(ctx.obj).settings.timezone)
    from_ms = _instant(at, zone)
    hours = calling_hours(
        CampaignSettings(queue_name="", rule_pack=pack, timezone=zone.key), zone.key, from_ms
    )
    code = read_region(region)
    if code == UNKNOWN_REGION:
        raise SettingsError(f"region: got {region!r}, takes an ISO 3166-2 code such as US-FL")
    where = place(timezone, [], code, hours.states) if code else OWN_ZONE
    opening = hours.opening_at(where, from_ms)
    allowed_ms = from_ms if opening.is_open or opening.until_ms is None else opening.until_ms
    ends_ms = hours.opening_at(where, allowed_ms).until_ms
    document = {
        "pack": rules.name,
        "version": rules.version,
        "timezone": zone.key,
        "at": _iso(from_ms, zone),
        "next": _iso(allowed_ms, zone),
        "until": None if ends_ms is None else _iso(ends_ms, zone),
        "rule": hours.describe(where, from_ms),
        "statute": rules.hours.statute if rules.hours else None,
        "verified": rules.hours.verified if rules.hours else None,
    }
    if as_json:
        print_json(document)
        return
    echo(f"{document['next']}  {'now' if opening.is_open else 'not before'}: {document['rule']}")


@commands.command(epilog="Example: streamdialer rules show co")
def show(
    pack: Annotated[str, typer.Argument(metavar="PACK", help="Name of the rule pack.")],
    as_json: AsJson = False,
) -> None:
    """Show every value of a pack, its statute, and whether it was verified against the official text."""
    from streamdialer.rules.rule_pack import load_pack, state_packs

    rules = _read(load_pack, pack)
    states = ", ".join(each.name for each in state_packs(pack).values())
    _print_pack(rules, states, as_json=as_json)


@commands.command(epilog="Example: streamdialer rules check mine.toml")
def check(
    path: Annotated[
        Path, typer.Argument(metavar="FILE", help="Your own pack, TOML.", dir_okay=False, exists=True)
    ],
    as_json: AsJson = False,
) -> None:
    """Read a pack of your own as a campaign would, and show its values; says what is wrong with it."""
    from streamdialer.rules.rule_pack import read_pack

    try:
        rules = read_pack(path.stem, path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise CannotBeDone(f"{path}: it is not UTF-8: {error}") from None
    except (OSError, CampaignError) as error:
        raise CannotBeDone(str(error)) from None
    _print_pack(rules, "", as_json=as_json)


@commands.command(
    epilog="Example: streamdialer rules evidence --campaign 7 --from 2026-11-01 --to 2026-12-01 > november.csv"
)
def evidence(
    ctx: typer.Context,
    campaign: Annotated[str, typer.Option(metavar="ID", help="The campaign.")],
    since: Annotated[
        str,
        typer.Option(
            "--from", metavar="WHEN", help="ISO 8601 (UTC unless it has an offset), or an age such as 30d."
        ),
    ],
    before: Annotated[
        str | None, typer.Option("--to", metavar="WHEN", help="The end, as --from; without it now.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write which rule allowed each call, and which forbade calls, as CSV for an auditor. Numbers are shown in full."""
    from streamdialer.model import normalise_id
    from streamdialer.operations.outcomes import read_since

    now_ms = round(datetime.now(UTC).timestamp() * 1000)
    from_ms = read_since(since, now_ms, "--from")
    to_ms = now_ms + 1000 if before is None else read_since(before, now_ms, "--to")
    try:
        campaign = normalise_id(campaign)
    except ValueError as error:
        raise SettingsError(f"campaign: {error}") from error
    if from_ms >= to_ms:
        raise SettingsError("--to: takes a time after --from")
    settings = load_settings(ctx)
    with_redis(settings, _write_evidence, settings, campaign, from_ms, to_ms, as_json=as_json)


async def _write_evidence(
    client: Redis, keys: Keys, settings: Settings, campaign: str, from_ms: int, to_ms: int, *, as_json: bool
) -> None:
    import csv

    from streamdialer.operations.evidence import EvidenceRow
    from streamdialer.operations.evidence import evidence as evidence_rows

    writer = csv.writer(sys.stdout, lineterminator="\n")
    if not as_json:
        writer.writerow(EvidenceRow.__struct_fields__)
    async for row in evidence_rows(client, keys, settings, campaign, from_ms, to_ms):
        if as_json:
            print_json(row)
        else:
            writer.writerow(
                escape_controls(str(getattr(row, name))) for name in EvidenceRow.__struct_fields__
            )


def _print_pack(rules: Pack, states: str, *, as_json: bool) -> None:
    if as_json:
        print_json(rules)
        return
    print_fields(
        [
            ("pack", rules.name),
            ("title", rules.title),
            ("version", rules.version),
            ("inherits", rules.inherits or "nothing"),
            ("states", states or "no rules of their own"),
        ]
    )
    print_table(["rule", "value", "statute", "verified"], _rows(rules))
    for source in rules.sources:
        echo(f"Source: {source}")
    for duty in rules.duties:
        echo(f"Not enforced here, your own duty: {duty}")


def _rows(pack: Pack) -> Iterator[tuple[str, str, str, str]]:
    from streamdialer.rules.rule_pack import DAYS

    hours = pack.hours
    if hours:
        for day in DAYS:
            yield day, ", ".join(getattr(hours, day)) or "closed", *_source(hours)
        if hours.holidays:
            yield "public holidays", f"closed ({hours.holidays})", *_source(hours)
        if hours.eves:
            yield "day before a holiday", ", ".join(hours.eves), *_source(hours)
    for name, caps in (("attempts", pack.attempt_caps), ("conversations", pack.contact_caps)):
        for cap in caps:
            window = "a day" if cap.calendar_day else f"in {cap.window_h} h"
            yield name, f"at most {cap.count} {window} per {cap.scope}", *_source(cap)
    gaps = (
        ("gap between attempts", pack.min_gap),
        ("cool-off after an abandoned call", pack.abandon_cooloff),
        ("cool-off after a machine's answer", pack.machine_cooloff),
    )
    for name, gap in gaps:
        if gap:
            yield name, f"{gap.hours} h per {gap.scope}", *_source(gap)
    if consent := pack.consent_required:
        days = consent.max_age_days
        yield "consent", f"not older than {days} days" if days else "required", *_source(consent)
    for registry in pack.registries:
        yield (
            f"registry {registry.name}",
            f"asked at least every {registry.max_age_days} days",
            *_source(registry),
        )
    if abandon := pack.abandon_cap:
        value = f"at most {abandon.share:.0%} of {abandon.of.replace('_', ' ')} in {abandon.window_h} h"
        yield "abandoned calls", value, *_source(abandon)
    if ring := pack.min_ring:
        yield "ringing", f"at least {ring.seconds:g} s before pacing takes a call back", *_source(ring)


def _source(value: StatuteValue) -> tuple[str, str]:
    return value.statute, "yes" if value.verified else "no"


def _read(read: Callable[[str], T], name: str) -> T:
    """What the option names; raises SettingsError where a campaign's setting would be wrong."""
    try:
        return read(name)
    except CampaignError as error:
        raise SettingsError(str(error)) from None


def _instant(text: str | None, zone: ZoneInfo) -> int:
    if text is None:
        return round(datetime.now(UTC).timestamp() * 1000)
    try:
        instant = datetime.fromisoformat(text.strip())
    except ValueError:
        instant = None
    if instant is None or not 1900 <= instant.year <= LAST_YEAR:
        raise SettingsError(f"at: got {text!r}, takes ISO 8601 such as 2026-05-04T09:00:00")
    return round((instant if instant.tzinfo else instant.replace(tzinfo=zone)).timestamp() * 1000)


def _iso(instant_ms: int, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(instant_ms / 1000, zone).isoformat(timespec="seconds")
