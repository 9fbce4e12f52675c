"""Who may log in to the dashboard, and in which role. A comparison takes the same time whatever is wrong."""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Final, Literal, cast, get_args

import msgspec

Role = Literal["operator", "viewer"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)
MIN_PASSWORD_CHARS: Final = 8
_NAME: Final = re.compile(r"[\w.@-]{1,64}")
_FORM: Final = "role:name:password, separated by commas"


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """A user with a name and a password, or a token."""

    name: str
    role: Role
    secret: str
    """Password or token."""
    is_token: bool = False
    """The secret alone logs in."""


class DashboardUsers:
    def __init__(self, users: str, token: str, view_token: str) -> None:
        """`validate_users` has checked `users`; an empty text means none."""
        self.logins = [
            Login(name=name, role=cast("Role", role), secret=password)
            for role, name, password in map(_split, _entries(users))
        ]
        tokens = (
            Login(name="token", role="operator", secret=token, is_token=True),
            Login(name="view token", role="viewer", secret=view_token, is_token=True),
        )
        self.logins += [login for login in tokens if login.secret]

    @property
    def has_named_users(self) -> bool:
        return any(not login.is_token for login in self.logins)

    def authenticate(self, name: str, secret: str) -> Login | None:
        """The user with this name and password or, without a name, the token; None when there is none."""
        match = None
        for login in self.logins:
            is_named = not name if login.is_token else _is_same(name, login.name)
            if _is_same(secret, login.secret) and is_named:
                match = login
        return match

    def find(self, name: str, *, is_token: bool) -> Login | None:
        """The login of that name; None when the settings no longer have it."""
        return next(
            (login for login in self.logins if login.name == name and login.is_token == is_token), None
        )


def validate_users(text: str) -> str | None:
    """What the setting takes, when `text` is not that; None when it is right. Never names a password."""
    names = set()
    for number, entry in enumerate(_entries(text), 1):
        role, name, password = _split(entry)
        if role not in ROLES:
            return f"{_FORM} (entry {number}: the role is operator or viewer)"
        if not _NAME.fullmatch(name):
            return f"{_FORM} (entry {number}: the name is 1–64 letters, digits, _ . @ -)"
        if name in names:
            return f"{_FORM} (entry {number}: each name stands once)"
        if len(password) < MIN_PASSWORD_CHARS:
            return f"{_FORM} (entry {number}: the password has at least {MIN_PASSWORD_CHARS} characters)"
        names.add(name)
    return None if names else _FORM


def _entries(users: str) -> list[str]:
    return [entry.strip() for entry in users.split(",") if entry.strip()]


def _split(entry: str) -> tuple[str, str, str]:
    role, _, rest = entry.partition(":")
    name, _, password = rest.partition(":")
    return role, name, password


def _is_same(text: str, other: str) -> bool:
    """Compares digests, which hide the length of the text."""
    digests = (hashlib.sha256(each.encode(errors="surrogateescape")).digest() for each in (text, other))
    return hmac.compare_digest(*digests)
