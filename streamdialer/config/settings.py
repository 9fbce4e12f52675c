"""The settings themselves: one typed field each, with its default, its bounds and a line of documentation.

`NAMES` has the environment variable of each field: a name that other programs share, otherwise `STREAMDIALER_` and the
field in capitals. `loading.py` reads the values.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

Seconds = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]
Token = Annotated[str, Meta(min_length=16)]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings, with defaults right for most installations.

    Example::

        from streamdialer import Settings

        settings = Settings(redis_url="redis://127.0.0.1:6379/0", ring_timeout_s=25)
    """

    redis_url: Annotated[
        str, "Redis server: redis, rediss (TLS), unix, or redis, rediss with +sentinel or +cluster"
    ] = ""
    namespace: Annotated[
        str, "one tenant: all its keys and streams begin with {name}: and share one slot of a Redis Cluster"
    ] = ""
    backend_url: Annotated[str, "URL of the Django backend"] = "http://django:8000"
    dialer_api_url: Annotated[str, "URL of the Dialer API"] = "http://dialer-api:8001"
    backend_token: Annotated[str, "bearer token for the backend"] = ""
    backend_username: Annotated[str, "backend user; logs in for a SimpleJWT token"] = ""
    backend_password: Annotated[str, "password of the backend user"] = ""
    dialer_api_token: Annotated[str, "bearer token for the Dialer API"] = ""
    database_url: Annotated[
        str, "database of `streamdialer backend`, such as postgresql://user:secret@host/name; none: SQLite"
    ] = ""
    asterisk_ami_url: Annotated[
        str, "Asterisk's manager interface: ami://user:secret@host:5038, amis:// for TLS, separated by commas"
    ] = ""
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], "lowest level that is logged"] = "INFO"
    log_format: Annotated[Literal["auto", "text", "json"], "auto: text on a terminal, else json"] = "auto"

    # pacing and attempts
    pacing: Annotated[Literal["fixed", "adaptive"], "pacing of predictive campaigns that name none"] = "fixed"
    auto_pause: Annotated[
        bool, "campaigns pause themselves when half of their calls fail within two minutes"
    ] = True
    pacing_shadow: Annotated[
        Literal["none", "adaptive"],
        "adaptive: campaigns with another pacing also record what adaptive pacing would have placed",
    ] = "none"
    pacing_take_back: Annotated[
        bool,
        "adaptive pacing hangs up ringing calls that no agent will be free for, after the min_ring of the rule pack",
    ] = False
    pacing_time_scale: Annotated[
        float, Meta(gt=0), "seconds of simulated time per real second, for a simulated call centre"
    ] = 1.0
    ring_timeout_s: Annotated[Seconds, "how long a call of a campaign without a ring_timeout may ring"] = 30.0
    uncertain_margin_s: Annotated[
        Seconds, "how long an attempt without news is waited for after the ring time-out"
    ] = 15.0
    max_call_duration_s: Annotated[
        Seconds, "longest conversation; a call without an end event is closed after it"
    ] = 7200.0
    events: Annotated[
        Literal["required", "optional"],
        "required: nothing is dialed without call events; optional: deadlines end attempts",
    ] = "required"
    contact_ids: Annotated[
        Literal["shared", "per-campaign"],
        "shared: contacts of different campaigns with one id are one person; "
        "per-campaign: ids are the campaign's own",
    ] = "shared"
    dialer_api_idempotent: Annotated[
        bool, "the Dialer API honours Idempotency-Key: a request without a clear reply is sent again"
    ] = False
    timezone: Annotated[str, "IANA time zone of campaigns that name none"] = "UTC"
    rule_pack: Annotated[str, "rule pack of campaigns that name none"] = "none"
    country: Annotated[
        str, "country of numbers without a +, for campaigns that name none: an ISO 3166 code such as CO"
    ] = ""
    originate: Annotated[
        Literal["dialer-api", "asterisk"], "who places calls: the Dialer API, or Asterisk directly, over AMI"
    ] = "dialer-api"
    originate_context: Annotated[str, "dialplan context that the Dialer API is given"] = "dialer-outbound"

    # Asterisk
    asterisk_channel: Annotated[
        str,
        "how Asterisk reaches a number: {number}, and {trunk} for the campaign's trunk; Local/… ends in /n",
    ] = "PJSIP/{number}@{trunk}"
    asterisk_context: Annotated[str, "dialplan context that an answered call goes to"] = "sd-outbound"
    asterisk_wrapup_s: Annotated[
        str, "seconds agents have after a call; then of queues and agents: 10,sales=30,PJSIP/7=5"
    ] = ""
    asterisk_agent_id: Annotated[
        Literal["interface", "name"], "what agents are called: a queue member's interface, or its name"
    ] = "interface"

    # trunks
    trunk_channels: Annotated[
        int, Meta(ge=0), "live calls per trunk, over all campaigns that name it; 0: no limit"
    ] = 0
    trunk_calls_per_second: Annotated[
        float, Meta(ge=0), "calls placed per second and trunk, over all campaigns that name it; 0: no limit"
    ] = 0.0

    # callbacks and previews
    callback_agent_window_s: Annotated[Seconds, "how long a due callback is kept for the requested agent"] = (
        900.0
    )
    preview_timeout_s: Annotated[Seconds, "how long a contact is kept for the agent who previews it"] = 120.0

    # ticks
    dial_interval_s: Annotated[Seconds, "time between dial ticks of an active campaign"] = 10.0
    retry_interval_s: Annotated[Seconds, "time between retry ticks of an active campaign"] = 300.0
    stats_interval_s: Annotated[Seconds, "time between statistics ticks of an active campaign"] = 60.0
    cleanup_after_s: Annotated[Seconds, "how long the keys of a completed or cancelled campaign are kept"] = (
        3600.0
    )
    sample_interval_s: Annotated[
        Seconds, "shortest time between two samples of a campaign; the last 31 samples are kept"
    ] = 60.0
    scan_keys_per_s: Annotated[Count, "keys the producer scans per second to find active campaigns"] = 20_000
    result_ttl_s: Annotated[Seconds, "how long a tick's result is kept"] = 3600.0
    wakeup_result_ttl_s: Annotated[Seconds, "how long the result of a tick that an event started is kept"] = (
        60.0
    )
    decisions_maxlen: Annotated[Count, "decision records kept per campaign"] = 200

    # agents, campaigns, contacts
    agents_cache_ttl_s: Annotated[Seconds, "an agent list older than this is read again"] = 1.0
    agents_distrust_s: Annotated[
        Seconds, "how long an agent list must contradict what events and calls say of an agent to be believed"
    ] = 10.0
    campaign_cache_ttl_s: Annotated[Seconds, "campaign settings older than this are read again"] = 5.0
    refill_threshold: Annotated[
        Count, "with fewer ready contacts than this, more are read from the backend"
    ] = 250
    refill_interval_s: Annotated[
        Seconds, "how often the head of the contact list is read, even with enough ready contacts"
    ] = 30.0
    pending_check_after_s: Annotated[
        Seconds, "a ready contact the backend has not listed for longer is looked up before the call"
    ] = 60.0
    page_size: Annotated[int, Meta(ge=1, le=500), "contacts per page requested from the backend"] = 500
    refill_max_pages: Annotated[Count, "most pages one refill reads"] = 20
    reservation_lease_s: Annotated[Seconds, "how long a reserved call may wait to be placed"] = 60.0
    final_ttl_s: Annotated[
        Seconds, "how long a final contact is kept after the backend confirmed its status"
    ] = 600.0
    backend_list_lag_s: Annotated[
        Seconds,
        "how long the backend's lists may lag behind its answers, because of caches and read replicas",
    ] = 2.0
    sweep_interval_s: Annotated[
        Seconds, "how often expired leases, passed deadlines and due retries are looked for"
    ] = 0.25

    # streams
    concurrency: Annotated[Count, "entries handled at once per stage"] = 64
    calls_concurrency: Annotated[Count, "originate requests open at once in the calls stage"] = 400
    read_block_s: Annotated[float, Meta(gt=0, le=2), "longest wait of one stream read"] = 0.5
    claim_min_idle_s: Annotated[Seconds, "entries idle for longer are taken over from their consumer"] = 15.0
    max_deliveries: Annotated[Count, "deliveries after which an entry becomes a dead letter"] = 5
    idle_consumer_ttl_s: Annotated[
        Seconds, "how long a consumer may idle without pending entries before it is removed"
    ] = 600.0
    dead_letters_maxlen: Annotated[
        Count, "dead letters kept; the oldest of the reason with the most goes first"
    ] = 10_000
    dead_letters_max_bytes: Annotated[Count, "bytes of all dead letters together"] = 16_000_000
    events_retention_s: Annotated[
        Seconds, "how long events stay for other consumer groups of dialer:events that have not read them"
    ] = 900.0
    outcomes_maxlen: Annotated[
        Count,
        "ended attempts kept in dialer:outcomes, about 400 bytes each; a slower reader misses the oldest",
    ] = 100_000
    shutdown_timeout_s: Annotated[Seconds, "how long a replica may take to stop"] = 8.0

    # http
    backend_timeout_s: Annotated[Seconds, "time-out of a backend request"] = 10.0
    backend_login_path: Annotated[
        str, "path that gives a SimpleJWT token; refresh/ below it renews the token"
    ] = "/api/token/"
    originate_timeout_s: Annotated[
        Seconds, "time-out of an originate request; the API may hold a reply for the ring time"
    ] = 40.0
    dialer_api_timeout_s: Annotated[Seconds, "time-out of other Dialer API requests"] = 10.0
    breaker_failure_threshold: Annotated[
        Count, "unclear replies in a row after which requests to the Dialer API pause"
    ] = 10
    breaker_max_open_s: Annotated[Seconds, "longest pause of requests to the Dialer API"] = 30.0

    # our own backend
    backend_data: Annotated[str, "folder of `streamdialer backend` for its database and secret key"] = (
        "streamdialer-data"
    )
    backend_history_days: Annotated[
        int, Meta(ge=0), "days that `streamdialer backend` keeps attempts and blocks; 0: for ever"
    ] = 366
    backend_hosts: Annotated[
        str, "host names of `streamdialer backend` besides localhost, separated by commas"
    ] = ""
    backend_behind_proxy: Annotated[
        bool, "a proxy with TLS stands before `streamdialer backend`: trust X-Forwarded-Proto"
    ] = False
    backend_token_ttl_s: Annotated[Seconds, "how long an access token of `streamdialer backend` is valid"] = (
        300.0
    )

    # webhooks
    webhooks_url: Annotated[str, "where `streamdialer webhooks` posts how calls ended"] = ""
    webhooks_secrets: Annotated[
        str, "secrets that sign what is posted, whsec_ and base64, separated by commas: each of them signs"
    ] = ""
    webhooks_private_addresses: Annotated[
        bool, "webhooks may go to addresses of private networks and of this machine"
    ] = False
    webhooks_timeout_s: Annotated[Seconds, "time-out of a request of `streamdialer webhooks`"] = 15.0
    webhooks_retry_for_s: Annotated[Seconds, "how long an outcome is posted again before it is given up"] = (
        86400.0
    )

    # health
    health_port: Annotated[int, Meta(ge=0, le=65535), "port of /metrics, /live and /ready; 0: no port"] = 0
    health_host: Annotated[str, "address the health port listens on"] = "127.0.0.1"
    health_names: Annotated[
        str, "host names with a dot under which /metrics may be asked for, separated by commas"
    ] = ""
    health_file: Annotated[str, "file a healthy replica touches every few seconds"] = ""

    # dashboard
    dashboard_users: Annotated[
        str, "who may log in: role:name:password, separated by commas; a role is operator or viewer"
    ] = ""
    dashboard_token: Annotated[Token, "token that logs in as an operator"] = ""
    dashboard_viewer_token: Annotated[Token, "token that logs in as a viewer"] = ""
    dashboard_secret: Annotated[
        Token, "key that signs sessions; without it, sessions end when the dashboard stops"
    ] = ""
    dashboard_session_ttl_s: Annotated[Seconds, "how long a log-in lasts"] = 43200.0
    dashboard_behind_proxy: Annotated[
        bool, "behind a reverse proxy: trust X-Forwarded-For and X-Forwarded-Proto"
    ] = False
    dashboard_admin_url: Annotated[
        str, "where browsers find the pages of `streamdialer backend`: campaigns link there; empty: no links"
    ] = ""

    @property
    def may_repeat_originate(self) -> bool:
        """Whether a request to place a call may be sent twice: the Dialer API then places it once."""
        return self.dialer_api_idempotent and self.originate == "dialer-api"


_SHARED: Final = {
    "redis_url",
    "backend_url",
    "dialer_api_url",
    "backend_token",
    "backend_username",
    "backend_password",
    "dialer_api_token",
    "database_url",
    "asterisk_ami_url",
    "log_level",
    "log_format",
}
NAMES: Final[dict[str, str]] = {
    field: field.upper() if field in _SHARED else f"STREAMDIALER_{field.upper()}"
    for field in Settings.__struct_fields__
}
SECRETS: Final = {
    "webhooks_url",
    "webhooks_secrets",
    "backend_token",
    "backend_password",
    "dialer_api_token",
    "dashboard_users",
    "dashboard_token",
    "dashboard_viewer_token",
    "dashboard_secret",
}
MAY_BE_IN_FILES: Final = {*SECRETS, "redis_url", "backend_username", "database_url", "asterisk_ami_url"}
"""Secrets, and what may contain one: `NAME_FILE` in the environment names a file with the value."""
