"""Starts the application: prepares the data folder and the database, makes the first log-ins, and serves."""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import django
import waitress
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader

from streamdialer.backend.data_folder import prepared
from streamdialer.errors import CannotBeDone, Unreachable

THREADS: Final = 4
MAX_BODY: Final = 64_000_000
MAX_CONNECTIONS: Final = 500
IDLE_CONNECTION_S: Final = 10
"""A connection that sends nothing for so long is closed, unless its request is being answered."""
CLEANUP_INTERVAL_S: Final = 2


def serve(
    host: str,
    port: int,
    folder: Path,
    say: Callable[[str], None],
    on_ready: Callable[[], None] = lambda: None,
    *,
    has_dialer: bool = False,
) -> None:
    """Serves until SIGTERM or SIGINT. Django's settings must be in the environment.

    `on_ready` is called when the database is there. `has_dialer`: the dialer gets its log-in without a person. Raises
    CannotBeDone for a database of a newer version, and Unreachable for one that cannot be reached.
    """
    os.environ["DJANGO_SETTINGS_MODULE"] = "streamdialer.backend.settings"
    os.umask(0o077)
    with prepared(folder):
        django.setup()
        call_command("check", stdout=io.StringIO())
        first = _prepare_database(folder)
    for name in ("waitress.queue", "django.request"):  # neither a busy backend nor an expired token is news
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("django.request").addFilter(_is_news)
    application = get_wsgi_application()
    server = waitress.create_server(
        application,
        host=host,
        port=port,
        threads=THREADS,
        max_request_body_size=MAX_BODY,
        connection_limit=MAX_CONNECTIONS,
        channel_timeout=IDLE_CONNECTION_S,
        cleanup_interval=CLEANUP_INTERVAL_S,
        asyncore_use_poll=True,
        ident=None,
    )
    url = f"http://{f'[{host}]' if ':' in host else host}:{server.effective_port}"
    say(f"backend: {url}/api/")
    say(f"pages:   {url}/admin/")
    if first is not None:
        say(f"log in as {first.name} with the password {first.password} (shown only now)")
        if not has_dialer:
            say(f"the dialer's log-in is in {folder / 'dialer.env'}: add it to the dialer's .env")
    on_ready()
    signal.signal(signal.SIGTERM, _stop)
    server.run()


def _is_news(record: logging.LogRecord) -> bool:
    """Not of a 503: `api/errors.py` has said why."""
    return getattr(record, "status_code", None) != 503


def _stop(*_: Any) -> None:
    sys.exit(0)  # waitress ends its loop and waits for the requests that are being answered


def _prepare_database(folder: Path) -> Any:
    from streamdialer.backend.first_logins import made_first_logins

    try:
        _refuse_newer_database()
        call_command("migrate", verbosity=0, interactive=False)
        return made_first_logins(folder)
    except DatabaseError as error:
        name = connection.settings_dict["NAME"]
        raise Unreachable(f"the database {name} cannot be used: {str(error).strip()}") from error
    finally:
        connection.close()


def _refuse_newer_database() -> None:
    """A database that a newer version has changed could be read wrongly."""
    ours = {key for key in MigrationLoader(None).disk_migrations if key[0] == "backend"}
    applied = MigrationExecutor(connection).loader.applied_migrations
    unknown = sorted(name for app, name in applied if app == "backend" and (app, name) not in ours)
    if unknown:
        raise CannotBeDone(
            f"the database was made by a newer version of streamdialer ({unknown[-1]} is not known here): "
            "install that version, or name another folder"
        )
