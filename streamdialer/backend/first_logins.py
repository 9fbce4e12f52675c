"""The first accounts: one for the person who starts it, one for the dialer. No password is a default."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final

import msgspec
from django.contrib.auth.models import Group, User

from streamdialer.config.private_file import write_private

ADMINISTRATOR: Final = "admin"
DIALER: Final = "dialer"
DIALER_FILE: Final = "dialer.env"


class FirstLogin(msgspec.Struct, frozen=True):
    name: str
    password: str


def made_first_logins(folder: Path) -> FirstLogin | None:
    """The administrator's log-in, if no account was there; the dialer's is in a file of the folder."""
    if User.objects.exists():
        return None
    dialer = FirstLogin(DIALER, secrets.token_urlsafe(24))
    lines = (f"BACKEND_USERNAME={dialer.name}", f"BACKEND_PASSWORD={dialer.password}", "")
    write_private(folder / DIALER_FILE, "\n".join(lines))
    _make(dialer, "dialer")
    administrator = FirstLogin(ADMINISTRATOR, secrets.token_urlsafe(12))
    _make(administrator, "administrator")
    return administrator


def _make(login: FirstLogin, role: str) -> None:
    user = User.objects.create_user(login.name, password=login.password)
    user.groups.add(Group.objects.get(name=role))
