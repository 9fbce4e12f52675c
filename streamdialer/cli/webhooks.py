"""`webhooks`: posts how calls ended to another program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from streamdialer.cli.common import load_settings, run_service, start_logging, stopped_by_signals

if TYPE_CHECKING:
    from streamdialer.config.settings import Settings

commands = typer.Typer()


@commands.command(epilog="Example: streamdialer webhooks --url https://crm.example/calls --health-port 9103")
def webhooks(
    ctx: typer.Context,
    url: Annotated[
        str | None, typer.Option(help="Address to post to; overrides STREAMDIALER_WEBHOOKS_URL.")
    ] = None,
    secret: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SECRET",
            help="Signs each message; several sign together. Others on this machine can read an option: "
            "STREAMDIALER_WEBHOOKS_SECRETS is safer.",
        ),
    ] = None,
    health_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of /metrics, /live and /ready.")
    ] = None,
) -> None:
    """Post every outcome to a URL, signed (Standard Webhooks), in order per contact, retried for a day.

    Any number may run: one of them posts, and another takes over when it ends. It begins with outcomes that are written
    after its first start with a URL.
    """
    from streamdialer.gateways.webhook import read_secrets, read_webhook_url
    from streamdialer.operations.session import require_port

    settings = load_settings(
        ctx, webhooks_url=url, webhooks_secrets=",".join(secret or ()), health_port=health_port
    )
    read_webhook_url(settings.webhooks_url)
    read_secrets(settings.webhooks_secrets)
    if settings.health_port:
        require_port(settings.health_host, settings.health_port, "--health-port")
    start_logging(settings)
    run_service(_post, settings)


async def _post(settings: Settings) -> None:
    from streamdialer.broker.background_duty import running
    from streamdialer.broker.outcome_group import OutcomeGroup
    from streamdialer.broker.scripts import Scripts
    from streamdialer.broker.shutdown import ShutdownSignal
    from streamdialer.consumers.background import background_duties, systemd_duties
    from streamdialer.consumers.replica import replica_name
    from streamdialer.consumers.webhook_posting import CONNECTIONS
    from streamdialer.consumers.webhooks import WebhookDelivery, group_name
    from streamdialer.gateways.webhook import WebhookEndpoint
    from streamdialer.operations.session import open_client

    shutdown = ShutdownSignal()
    endpoint = WebhookEndpoint(
        settings.webhooks_url,
        settings.webhooks_secrets,
        private_addresses=settings.webhooks_private_addresses,
        timeout_s=settings.webhooks_timeout_s,
        connections=CONNECTIONS,
    )
    async with open_client(settings) as (client, keys), Scripts(client) as scripts, endpoint:
        duties = background_duties(settings, scripts, keys, shutdown, name=replica_name(), role="webhooks")
        delivery = WebhookDelivery(
            OutcomeGroup(client, keys, group_name(settings.webhooks_url)),
            endpoint,
            shutdown,
            retry_for_s=settings.webhooks_retry_for_s,
            stop_within_s=settings.shutdown_timeout_s,
        )
        async with (
            stopped_by_signals(shutdown),
            running(*duties, *systemd_duties(shutdown.wait_stopping)),
        ):
            await delivery.run()
