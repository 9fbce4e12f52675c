"""`contact`: one contact as the ledger has it, and contacts from a file."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from streamdialer.cli.common import (
    AsJson,
    echo,
    load_settings,
    print_fields,
    print_json,
    print_table,
    with_redis,
)
from streamdialer.cli.contact_export import export
from streamdialer.cli.contact_import import import_file
from streamdialer.errors import SettingsError
from streamdialer.model import normalise_id

if TYPE_CHECKING:
    from streamdialer.operations.contact_detail import ContactDetail

commands = typer.Typer(
    name="contact",
    no_args_is_help=True,
    help="Show one contact, import contacts from a file, or export them.",
    epilog="Example: streamdialer contact show 7 123",
)
commands.command("import", epilog="Example: streamdialer contact import list.csv --campaign 7 --dry-run")(
    import_file
)
commands.command("export", epilog="Example: streamdialer contact export 7 --format ndjson > contacts.ndjson")(
    export
)


@commands.command(epilog="Example: streamdialer contact show 7 123")
def show(
    ctx: typer.Context,
    campaign: Annotated[str, typer.Argument(metavar="CAMPAIGN", help="The campaign's id.")],
    contact: Annotated[str, typer.Argument(metavar="CONTACT", help="The contact's id.")],
    as_json: AsJson = False,
) -> None:
    """Its state, its attempts in order, when it may be called next and why. Times are UTC."""
    from streamdialer.operations.campaigns import read_campaign_id
    from streamdialer.operations.contact_detail import contact_detail
    from streamdialer.operations.eligibility import fetch_calling_hours

    campaign = read_campaign_id(campaign)
    try:
        contact = normalise_id(contact)
    except ValueError as error:
        raise SettingsError(f"contact: {error}") from error
    settings = load_settings(ctx)
    hours = partial(fetch_calling_hours, settings, campaign)
    detail = with_redis(settings, contact_detail, campaign, contact, hours)
    if as_json:
        print_json(detail)
        return
    why = " ".join(part for part in (detail.reason, f"({detail.detail})" if detail.detail else "") if part)
    print_fields(
        [
            ("contact", f"{detail.contact_id} of campaign {detail.campaign_id} ({detail.campaign_status})"),
            ("state", detail.state),
            ("next call", f"{detail.state_text}: {why}" if why else detail.state_text),
            ("until", detail.until),
            ("numbers", ", ".join(detail.numbers)),
            ("priority", detail.priority),
            ("attempts", detail.attempts_counted),
            ("callback", _callback(detail)),
            ("shown as pending", detail.shown_pending_at),
            ("not confirmed", _not_confirmed(detail)),
        ]
    )
    if detail.attempts:
        echo("")
        print_table(
            ["attempt", "number", "state", "disposition", "reserved", "sent", "answered", "ended", "call id"],
            [
                (
                    attempt.attempt,
                    attempt.number,
                    attempt.state,
                    attempt.disposition,
                    attempt.reserved_at,
                    attempt.sent_at,
                    attempt.answered_at,
                    attempt.ended_at,
                    attempt.call_id,
                )
                for attempt in detail.attempts
            ],
        )


def _callback(detail: ContactDetail) -> str | None:
    callback = detail.callback
    if callback is None:
        return None
    number = f" on {callback.number}" if callback.number else ""
    agent = f", for agent {callback.agent} until {callback.for_agent_until}" if callback.agent else ""
    return f"{callback.at}{number}{agent}"


def _not_confirmed(detail: ContactDetail) -> str:
    update = detail.not_confirmed
    if update is None:
        return "nothing: the backend is up to date"
    return update.status if update.attempts is None else f"{update.status}, attempt {update.attempts}"
