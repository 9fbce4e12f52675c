"""`contact`: what the ledger knows of one contact."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import anyio
import typer

from streamdialer.cli.common import AsJson, echo, load_settings, print_fields, print_json, print_table
from streamdialer.config.settings import Settings
from streamdialer.errors import SettingsError
from streamdialer.model import normalise_id
from streamdialer.operations.campaigns import read_campaign_id
from streamdialer.operations.contact_detail import ContactDetail, contact_detail
from streamdialer.operations.eligibility import fetch_calling_hours
from streamdialer.operations.session import open_client

commands = typer.Typer(
    no_args_is_help=True,
    help="Look at one contact: where it is, its calls, when it may be called next; changes nothing.",
    epilog="Example: streamdialer contact show 7 123",
)


def register(app: typer.Typer) -> None:
    """Adds this family's commands."""
    app.add_typer(commands, name="contact")


@commands.command(epilog="Example: streamdialer contact show 7 123")
def show(
    ctx: typer.Context,
    campaign: Annotated[str, typer.Argument(metavar="CAMPAIGN", help="The campaign's id.")],
    contact: Annotated[str, typer.Argument(metavar="CONTACT", help="The contact's id.")],
    as_json: AsJson = False,
) -> None:
    """Where it is, its attempts in their order, when it may next be called and why. Times are UTC."""
    campaign = read_campaign_id(campaign)
    try:
        contact = normalise_id(contact)
    except ValueError as error:
        raise SettingsError(f"contact: {error}") from error
    detail = anyio.run(_detail, load_settings(ctx), campaign, contact)
    if as_json:
        print_json(detail)
        return
    why = " ".join(part for part in (detail.reason, f"({detail.detail})" if detail.detail else "") if part)
    print_fields(
        [
            ("contact", f"{detail.contact_id} of campaign {detail.campaign_id} ({detail.campaign_status})"),
            ("place", detail.state),
            ("next call", f"{detail.state_text}: {why}" if why else detail.state_text),
            ("until", detail.until),
            ("numbers", ", ".join(detail.numbers)),
            ("priority", detail.priority),
            ("attempts", detail.attempts_counted),
            ("callback", _callback(detail)),
            ("shown as pending", detail.shown_pending_at),
            ("not confirmed", _news(detail)),
        ]
    )
    if detail.attempts:
        echo("")
        print_table(
            ["attempt", "number", "state", "disposition", "reserved", "sent", "answered", "ended", "call id"],
            [
                (
                    one.attempt,
                    one.number,
                    one.state,
                    one.disposition,
                    one.reserved_at,
                    one.sent_at,
                    one.answered_at,
                    one.ended_at,
                    one.call_id,
                )
                for one in detail.attempts
            ],
        )


def _callback(detail: ContactDetail) -> str | None:
    asked = detail.callback
    if asked is None:
        return None
    number = f" on {asked.number}" if asked.number else ""
    agent = f", for agent {asked.agent} until {asked.for_agent_until}" if asked.agent else ""
    return f"{asked.at}{number}{agent}"


def _news(detail: ContactDetail) -> str:
    news = detail.not_confirmed
    if news is None:
        return "nothing: the backend knows all"
    return news.status if news.attempts is None else f"{news.status}, attempt {news.attempts}"


async def _detail(settings: Settings, campaign: str, contact: str) -> ContactDetail:
    async with open_client(settings) as (client, keys):
        return await contact_detail(
            client, keys, campaign, contact, partial(fetch_calling_hours, settings, campaign)
        )
