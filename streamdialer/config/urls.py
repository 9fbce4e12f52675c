"""Addresses of servers: one parser of Redis URLs, one check of HTTP URLs, one masker for both.

A raw `/`, `?`, `#` in a password, or an `@` in a password of the query, is refused: such a URL can be read in two
ways. Percent-encoded, all of them work.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, cast
from typing import Literal as Choice
from urllib.parse import unquote, unquote_plus

import msgspec
from msgspec import Meta

from streamdialer.errors import SettingsError

MASK: Final = "****"

RedisScheme = Choice[
    "redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"
]

_FORMS: Final[dict[RedisScheme, str]] = {
    "redis": "redis://host:port/db",
    "rediss": "rediss://host:port/db",
    "unix": "unix:///path",
    "redis+sentinel": "redis+sentinel://host:port,host:port/service",
    "rediss+sentinel": "rediss+sentinel://host:port,host:port/service",
    "redis+cluster": "redis+cluster://host:port,host:port",
    "rediss+cluster": "rediss+cluster://host:port,host:port",
}
REDIS_URL_FORMS: Final = f"{', '.join(list(_FORMS.values())[:-1])} or {_FORMS['rediss+cluster']}"
HTTP_URL_FORMS: Final = "http://host:port or https://host:port"

_Whole = Annotated[int, Meta(ge=0)]
_Seconds = Annotated[float, Meta(gt=0)]
_OPTIONS: Final[dict[str, Any]] = {
    "db": _Whole,
    "username": str,
    "password": str,
    "protocol": Choice[2, 3],
    "client_name": str,
    "max_connections": Annotated[int, Meta(ge=1)],
    "socket_timeout": _Seconds,
    "socket_connect_timeout": _Seconds,
    "socket_keepalive": bool,
    "health_check_interval": _Whole,
    "ssl_ca_certs": str,
    "ssl_ca_path": str,
    "ssl_certfile": str,
    "ssl_cert_reqs": Choice["none", "optional", "required"],
    "ssl_check_hostname": bool,
    "ssl_ciphers": str,
    "ssl_keyfile": str,
    "ssl_password": str,
    "sentinel_username": str,
    "sentinel_password": str,
}
"""What may follow the `?`: options of the client library, those that begin with ssl_ only for rediss, and how to log in
to sentinels."""
_SECRET_OPTIONS: Final = {"username", "password", "ssl_password", "sentinel_username", "sentinel_password"}

_OF_SENTINELS: Final = "sentinel_"
_OPTION_NAME: Final = re.compile(r"[A-Za-z_]{1,40}=.*", re.DOTALL)

_URL: Final = re.compile(
    r"(?:(?P<scheme>[^:/?#]*)://)?(?:(?P<login>[^/?#]*)@)?(?P<hosts>[^/?#@]*)"
    r"(?P<tail>(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?:\#.*)?)",
    re.DOTALL,
)
"""Splits as RFC 3986 does it. All of the login may be a password."""
_HOST: Final = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[^\s:@,\[\]]+))(?::(?P<port>[0-9]{1,5}))?")
_NO_PORT: Final = re.compile(r":(?!\d{1,5}(?:,|$))[^,\]]*(?=,|$)")
"""What stands where a port belongs and is none: perhaps a password without its host."""


class RedisUrl(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a Redis URL, decoded."""

    scheme: RedisScheme
    hosts: list[tuple[str, int]]
    """The server, the sentinels or the nodes; none for a socket."""
    path: str = ""
    """Of a Unix socket; with sentinels, what they call the group of servers."""
    options: dict[str, str | int | float | bool]
    """Of the client library, `db`, `username` and `password` among them; what is not set is missing."""
    sentinel_options: dict[str, str | int | float | bool] = {}
    """`username` and `password` for the sentinels, as far as they are set."""

    @property
    def is_cluster(self) -> bool:
        return _is_cluster(self.scheme)

    @property
    def has_sentinels(self) -> bool:
        return _has_sentinels(self.scheme)

    @property
    def uses_tls(self) -> bool:
        return _uses_tls(self.scheme)


def _is_cluster(scheme: RedisScheme) -> bool:
    return scheme.endswith("+cluster")


def _has_sentinels(scheme: RedisScheme) -> bool:
    return scheme.endswith("+sentinel")


def _uses_tls(scheme: RedisScheme) -> bool:
    return scheme.startswith("rediss")


def split_url(text: str) -> dict[str, str]:
    """The parts of a URL by the names in `_URL`; not decoded."""
    return cast("re.Match[str]", _URL.fullmatch(text)).groupdict("")


def _is_ambiguous(parts: dict[str, str]) -> bool:
    """An @ stands behind the host, or there is a #: a password may reach to there."""
    return re.search("[@#]", parts["tail"]) is not None


def mask_url(text: str) -> str:
    """`text` without its password, also when it is no URL; a user without a password counts as a password."""
    parts = split_url(text)
    start = parts["scheme"] and parts["scheme"] + "://"
    if _is_ambiguous(parts):
        return start + MASK
    user, colon, _ = parts["login"].partition(":")
    login = (f"{user}:{MASK}@" if colon else f"{MASK}@") if parts["login"] else ""
    query = "?" + "&".join(map(_mask_option, parts["query"].split("&"))) if parts["query"] else ""
    return start + login + _NO_PORT.sub(f":{MASK}", parts["hosts"]) + parts["path"] + query


def _mask_option(option: str) -> str:
    """Only a value that can be no secret is shown, and only a name that we know."""
    name = option.partition("=")[0]
    known = unquote_plus(name).lower()
    if known not in _OPTIONS:
        return MASK
    return f"{name}={MASK}" if known in _SECRET_OPTIONS else option


def parse_redis_url(text: str) -> RedisUrl:
    """The parts of `text`; raises SettingsError that says what is wrong and what would be right."""
    try:
        return _parse(text)
    except ValueError as error:
        raise SettingsError(f"REDIS_URL: got {mask_url(text)!r}, takes {error}") from None


def validate_redis_url(text: str) -> str | None:
    """What REDIS_URL takes, when `text` is not that; None when it is fine."""
    try:
        _parse(text)
    except ValueError as error:
        return str(error)
    return None


def validate_http_url(text: str) -> str | None:
    """What a base URL takes, when `text` is not that; None when it is fine."""
    parts = split_url(text)
    is_fine = (
        parts["scheme"].lower() in ("http", "https")
        and not re.search(r"[\s?#]", text)
        and read_host(parts["hosts"], 80) is not None
    )
    return None if is_fine else HTTP_URL_FORMS


def _parse(text: str) -> RedisUrl:
    """Raises ValueError with what would be right, and in brackets what is wrong; never with a part of `text`."""
    parts = split_url(text)
    if parts["scheme"].lower() not in _FORMS:
        raise ValueError(REDIS_URL_FORMS)
    scheme = cast("RedisScheme", parts["scheme"].lower())
    try:
        return _parse_parts(text, scheme, parts)
    except ValueError as error:
        raise ValueError(f"{_FORMS[scheme]} ({error})") from None


def _parse_parts(text: str, scheme: RedisScheme, parts: dict[str, str]) -> RedisUrl:
    if re.search(r"\s", text):
        raise ValueError("it has a blank")
    if _is_ambiguous(parts):
        raise ValueError("write / ? # @ in a password as %2F %3F %23 %40")
    hosts = _read_hosts(parts, scheme)
    path, database = _read_path(parts["path"], scheme)
    user, _, password = parts["login"].partition(":")
    options: dict[str, Any] = {"db": database} if database else {}
    options |= _read_options(parts["query"], scheme)
    options |= {"username": unquote(user)} if user else {}
    options |= {"password": unquote(password)} if password else {}
    if _is_cluster(scheme) and options.pop("db", 0):
        raise ValueError("a cluster has database 0 only")
    of_sentinels = {name: options.pop(name) for name in list(options) if name.startswith(_OF_SENTINELS)}
    return RedisUrl(
        scheme=scheme,
        hosts=hosts,
        path=path,
        options=options,
        sentinel_options={name.removeprefix(_OF_SENTINELS): value for name, value in of_sentinels.items()},
    )


def _read_hosts(parts: dict[str, str], scheme: RedisScheme) -> list[tuple[str, int]]:
    if scheme == "unix":
        if parts["hosts"] or parts["path"] in ("", "/"):
            raise ValueError("the path of the socket begins with the third /")
        return []
    has_several = _has_sentinels(scheme) or _is_cluster(scheme)
    names = parts["hosts"].split(",") if has_several else [parts["hosts"]]
    hosts = [read_host(name, 26379 if _has_sentinels(scheme) else 6379) for name in names]
    if None in hosts:
        raise ValueError("a host is missing, or a port is no number from 1 to 65535")
    return [host for host in hosts if host]


def _read_path(path: str, scheme: RedisScheme) -> tuple[str, int]:
    """The path of the socket or the sentinels' service, and the database."""
    if scheme == "unix":
        return unquote(path), 0
    service, database = "", path.strip("/")
    if _has_sentinels(scheme):
        service, _, database = database.partition("/")
        if not service:
            raise ValueError("the service is missing")
    if database and not (database.isascii() and database.isdecimal()):
        raise ValueError("the database is no number")
    return unquote(service), int(database or 0)


def read_host(text: str, default_port: int) -> tuple[str, int] | None:
    """`host` or `host:port`; an IPv6 address stands in brackets."""
    match = _HOST.fullmatch(text)
    port = int(match["port"] or default_port) if match else 0
    return (match["v6"] or match["name"], port) if match and 0 < port < 65536 else None


def _read_options(query: str, scheme: RedisScheme) -> dict[str, Any]:
    options: dict[str, Any] = {}
    names = [
        name
        for name in _OPTIONS
        if (_uses_tls(scheme) or not name.startswith("ssl_"))
        and (_has_sentinels(scheme) or not name.startswith(_OF_SENTINELS))
    ]
    for option in filter(None, query.split("&")):
        name, _, value = (unquote_plus(part) for part in option.partition("="))
        if name not in names:
            # behind a secret with a raw &, it may be the rest of the secret
            is_no_secret = _OPTION_NAME.fullmatch(option) and not options.keys() & _SECRET_OPTIONS
            what = f"the option {name}" if is_no_secret else "an option"
            raise ValueError(f"{what} is not one of {', '.join(names)}")
        try:
            options[name] = msgspec.convert(value, _OPTIONS[name], strict=False)
        except msgspec.ValidationError:
            raise ValueError(f"the option {name} cannot be that") from None
    return options
