"""`config` and `doctor`: which settings are used, and whether they work."""

from __future__ import annotations

import typer

from streamdialer.cli.common import AsJson, echo, load_settings, print_json, print_rows, run_async

commands = typer.Typer()


@commands.command(epilog="Example: streamdialer config --json")
def config(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Show the effective settings and where each came from; secrets are masked."""
    from streamdialer.config import loading

    rows = loading.describe(loading.load(ctx.obj))
    columns = ["setting", "value", "from", "meaning"]
    cells = [(row.name, row.value, row.origin, row.description) for row in rows]
    print_rows(rows, columns, cells, as_json=as_json)


@commands.command(epilog="Example: streamdialer doctor")
def doctor(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Check Redis, the backend, the Dialer API and Asterisk; each finding says what to do."""
    from streamdialer.operations.doctor import run_checks

    diagnosis = run_async(run_checks, load_settings(ctx))
    if as_json:
        print_json(diagnosis.findings)
    else:
        for finding in diagnosis.findings:
            colour = {"ok": "green", "warn": "yellow", "fail": "red"}[finding.level]
            typer.secho(f"{finding.level:<4} ", fg=colour, nl=False)
            echo(f"{finding.check}: {finding.text}")
            if finding.remedy:
                echo(f"     → {finding.remedy}")
    if not diagnosis.redis_reachable:
        raise typer.Exit(3)
    if not diagnosis.is_healthy:
        raise typer.Exit(1)
