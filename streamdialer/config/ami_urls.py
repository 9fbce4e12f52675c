"""ASTERISK_AMI_URL: the address and the log-in of each Asterisk server, separated by commas."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl, unquote

import msgspec

from streamdialer.config.urls import mask_url, read_host, split_url
from streamdialer.errors import SettingsError

AMI_URL_FORMS: Final = "ami://user:secret@host:5038 or amis:// for TLS, several separated by commas"
CHANNEL_FORM: Final = "text with {number}, and no other name than {trunk}; a Local channel ends in /n"
_BETWEEN: Final = re.compile(r"\s*,\s*(?=[A-Za-z]+://)")
_DEFAULT_PORTS: Final = {"ami": 5038, "amis": 5039}


class AmiUrl(msgspec.Struct, frozen=True, kw_only=True):
    """One Asterisk server, decoded."""

    host: str
    port: int
    username: str
    secret: str
    uses_tls: bool = False
    trunks: frozenset[str] = frozenset()
    """The trunks whose calls it places; none: those of trunks that no server names."""
    ca_certs: str = ""
    """A file of certificates to trust, for a server that signs its own; '' means the system's."""

    @property
    def name(self) -> str:
        """What logs and events call the server."""
        return f"{self.host}:{self.port}"


def parse_ami_urls(text: str) -> list[AmiUrl]:
    """The servers, each once; raises SettingsError without any part of a secret."""
    try:
        return _parse(text)
    except ValueError as error:
        raise SettingsError(f"ASTERISK_AMI_URL: got {mask_ami_urls(text)!r}, takes {error}") from None


def validate_ami_urls(text: str) -> str | None:
    """What ASTERISK_AMI_URL takes, when `text` is not that; None when it is fine."""
    try:
        _parse(text)
    except ValueError as error:
        return str(error)
    return None


def is_channel_template(text: str) -> bool:
    """Whether STREAMDIALER_ASTERISK_CHANNEL holds `{number}`, and no other name but `{trunk}`.

    A Local channel needs `/n`: without it, Asterisk takes it out of the answered call, and with it the attempt's id.
    """
    rest = text.replace("{number}", "").replace("{trunk}", "")
    technology, _, device = text.partition("/")
    stays = technology.lower() != "local" or "n" in device.partition("/")[2]
    return "{number}" in text and "/" in rest and stays and not re.search(r"[{}\s]", rest)


def mask_ami_urls(text: str) -> str:
    return ",".join(map(mask_url, _BETWEEN.split(text)))


def _parse(text: str) -> list[AmiUrl]:
    servers = [_parse_one(each) for each in _BETWEEN.split(text.strip())]
    if len({each.name for each in servers}) < len(servers):
        raise ValueError(f"{AMI_URL_FORMS} (a server stands in it twice)")
    return servers


def _parse_one(text: str) -> AmiUrl:
    parts = split_url(text)
    scheme = parts["scheme"].lower()
    user, _, secret = parts["login"].partition(":")
    host = read_host(parts["hosts"], _DEFAULT_PORTS.get(scheme, 0))
    options = dict(parse_qsl(parts["query"], keep_blank_values=True))
    problem = ""
    if scheme not in _DEFAULT_PORTS:
        raise ValueError(AMI_URL_FORMS)
    if re.search(r"[\s#]", text) or "@" in parts["tail"]:
        problem = "write / ? # @ in a secret as %2F %3F %23 %40"
    elif not user or not secret:
        problem = "a user and a secret are missing"
    elif re.search(r"[\r\n\0]", unquote(user) + unquote(secret)):
        problem = "a user or a secret has a line break"
    elif host is None or parts["path"] not in ("", "/"):
        problem = "the host is missing, or the port is no number from 1 to 65535"
    elif options.keys() - {"trunks", *(["ssl_ca_certs"] if scheme == "amis" else [])}:
        problem = "the options are trunks and, of amis://, ssl_ca_certs"
    if problem or host is None:
        raise ValueError(f"{AMI_URL_FORMS} ({problem})")
    return AmiUrl(
        host=host[0],
        port=host[1],
        username=unquote(user),
        secret=unquote(secret),
        uses_tls=scheme == "amis",
        trunks=frozenset(filter(None, options.get("trunks", "").split(","))),
        ca_certs=options.get("ssl_ca_certs", ""),
    )
