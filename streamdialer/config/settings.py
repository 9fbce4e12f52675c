"""The settings themselves: one typed field each, with its default, its bounds and a line of documentation.

A field's environment name is in `NAMES`: the names other programs share, otherwise `STREAMDIALER_` + the
field in capitals. Where the values come from is `config.py`.
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
        str, Meta(description="Redis server (redis, rediss, unix, redis+sentinel, redis+cluster)")
    ] = ""
    backend_url: Annotated[str, Meta(description="Django backend")] = "http://django:8000"
    dialer_api_url: Annotated[str, Meta(description="Dialer API")] = "http://dialer-api:8001"
    backend_token: Annotated[str, Meta(description="bearer token for the backend")] = ""
    backend_username: Annotated[str, Meta(description="backend user, logs in for a SimpleJWT token")] = ""
    backend_password: Annotated[str, Meta(description="backend password")] = ""
    dialer_api_token: Annotated[str, Meta(description="bearer token for the Dialer API")] = ""
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"], Meta(description="least level that is logged")
    ] = "INFO"
    log_format: Annotated[
        Literal["auto", "text", "json"], Meta(description="auto is text on a terminal, else json")
    ] = "auto"

    # pacing and attempts
    pacing: Annotated[
        Literal["fixed", "adaptive"], Meta(description="pacing of predictive campaigns that do not name one")
    ] = "fixed"
    pacing_shadow: Annotated[
        Literal["none", "adaptive"],
        Meta(
            description="adaptive: campaigns with another pacing record what adaptive pacing would have placed"
        ),
    ] = "none"
    pacing_time_scale: Annotated[
        float,
        Meta(
            gt=0,
            description="seconds of life per second, for a call centre that is simulated faster than life",
        ),
    ] = 1.0
    ring_timeout_s: Annotated[Seconds, Meta(description="how long a call may ring")] = 30.0
    uncertain_margin_s: Annotated[
        Seconds, Meta(description="after the ring time-out, how much longer a silent attempt is waited for")
    ] = 15.0
    max_call_duration_s: Annotated[
        Seconds, Meta(description="longest conversation; later a call without an end is closed")
    ] = 7200.0
    events: Annotated[
        Literal["required", "optional"],
        Meta(description="required: nothing is dialed without call events; optional: deadlines end attempts"),
    ] = "required"
    dialer_api_idempotent: Annotated[
        bool,
        Meta(
            description="the Dialer API honours Idempotency-Key: a request nobody knows the fate of is sent again"
        ),
    ] = False
    timezone: Annotated[str, Meta(description="IANA zone of campaigns with no zone of their own")] = "UTC"
    rule_pack: Annotated[str, Meta(description="rule pack of campaigns that do not name one")] = "none"
    country: Annotated[
        str,
        Meta(
            description="whose numbers those without + are, where the campaign does not say: ISO 3166, such as CO"
        ),
    ] = ""
    originate_context: Annotated[str, Meta(description="dialplan context of originated calls")] = (
        "dialer-outbound"
    )

    # trunks
    trunk_channels: Annotated[
        int,
        Meta(ge=0, description="live calls one trunk carries, of all campaigns that name it; 0 is no limit"),
    ] = 0
    trunk_calls_per_second: Annotated[
        float,
        Meta(ge=0, description="calls placed per second on one trunk, of all those campaigns; 0 is no limit"),
    ] = 0.0

    # callbacks and previews
    callback_agent_window_s: Annotated[
        Seconds, Meta(description="how long a due callback is kept for the agent it was asked for")
    ] = 900.0
    preview_timeout_s: Annotated[
        Seconds, Meta(description="how long a contact is kept for the agent it is shown to in preview")
    ] = 120.0

    # ticks
    dial_interval_s: Annotated[Seconds, Meta(description="dial ticks per active campaign")] = 10.0
    retry_interval_s: Annotated[Seconds, Meta(description="retry ticks per active campaign")] = 300.0
    stats_interval_s: Annotated[Seconds, Meta(description="statistics ticks per active campaign")] = 60.0
    cleanup_after_s: Annotated[
        Seconds, Meta(description="how long after a campaign is completed or cancelled its keys are removed")
    ] = 3600.0
    sample_interval_s: Annotated[
        Seconds,
        Meta(description="shortest time between two samples of a campaign, of which the last 31 are kept"),
    ] = 60.0
    scan_keys_per_s: Annotated[
        Count, Meta(description="keys the producer looks at per second to find active campaigns")
    ] = 20_000
    result_ttl_s: Annotated[Seconds, Meta(description="how long a tick's result is kept")] = 3600.0
    wakeup_result_ttl_s: Annotated[Seconds, Meta(description="the same for ticks that events woke")] = 60.0
    decisions_maxlen: Annotated[Count, Meta(description="decision records kept per campaign")] = 200

    # agents, campaigns, contacts
    agents_cache_ttl_s: Annotated[Seconds, Meta(description="agent lists older than this are read again")] = (
        1.0
    )
    campaign_cache_ttl_s: Annotated[
        Seconds, Meta(description="campaign settings older than this are read again")
    ] = 5.0
    refill_threshold: Annotated[
        Count, Meta(description="fewer ready contacts than this: read more from the backend")
    ] = 250
    refill_interval_s: Annotated[
        Seconds, Meta(description="even with enough ready contacts, how often the head of the list is read")
    ] = 30.0
    pending_check_after_s: Annotated[
        Seconds,
        Meta(
            description="a ready contact the backend has not shown for longer is looked up before it is dialed"
        ),
    ] = 60.0
    page_size: Annotated[int, Meta(ge=1, le=500, description="contacts per page asked of the backend")] = 500
    refill_max_pages: Annotated[Count, Meta(description="most pages one refill reads")] = 20
    reservation_lease_s: Annotated[
        Seconds, Meta(description="how long a reserved call may wait to be placed")
    ] = 60.0
    final_ttl_s: Annotated[
        Seconds, Meta(description="how long a finished contact is remembered after the backend confirmed it")
    ] = 600.0
    sweep_interval_s: Annotated[
        Seconds, Meta(description="how often due leases, deadlines and retries are looked for")
    ] = 0.25

    # streams
    concurrency: Annotated[Count, Meta(description="entries handled at once per stage")] = 64
    calls_concurrency: Annotated[
        Count, Meta(description="originate requests open at once in the calls stage")
    ] = 400
    read_block_s: Annotated[float, Meta(gt=0, le=2, description="longest wait of one stream read")] = 0.5
    claim_min_idle_s: Annotated[
        Seconds, Meta(description="entries silent for this long are taken over from their consumer")
    ] = 15.0
    max_deliveries: Annotated[
        Count, Meta(description="deliveries after which an entry goes to the dead letters")
    ] = 5
    idle_consumer_ttl_s: Annotated[
        Seconds, Meta(description="idle consumers without pending entries are removed after this")
    ] = 600.0
    dead_letters_maxlen: Annotated[Count, Meta(description="dead letters kept")] = 10_000
    shutdown_timeout_s: Annotated[Seconds, Meta(description="how long a stopping replica may take")] = 8.0

    # http
    backend_timeout_s: Annotated[Seconds, Meta(description="backend requests")] = 10.0
    backend_login_path: Annotated[str, Meta(description="SimpleJWT obtain path; refresh is below it")] = (
        "/api/token/"
    )
    originate_timeout_s: Annotated[
        Seconds, Meta(description="originate requests; the API may hold a reply for the ring time")
    ] = 40.0
    dialer_api_timeout_s: Annotated[Seconds, Meta(description="other Dialer API requests")] = 10.0
    breaker_failure_threshold: Annotated[
        Count, Meta(description="unclear replies in a row after which the Dialer API is given a rest")
    ] = 10
    breaker_max_open_s: Annotated[Seconds, Meta(description="longest rest of the Dialer API")] = 30.0

    # health
    health_port: Annotated[
        int, Meta(ge=0, le=65535, description="port of /metrics, /live and /ready; 0: none")
    ] = 0
    health_host: Annotated[str, Meta(description="address that port is opened at")] = "127.0.0.1"
    health_file: Annotated[str, Meta(description="file a healthy replica touches every few seconds")] = ""

    # dashboard
    dashboard_users: Annotated[
        str,
        Meta(
            description="who may log in: role:name:password, separated by commas; roles are operator, viewer"
        ),
    ] = ""
    dashboard_token: Annotated[Token, Meta(description="whoever has it may log in as an operator")] = ""
    dashboard_viewer_token: Annotated[Token, Meta(description="whoever has it may log in as a viewer")] = ""
    dashboard_secret: Annotated[
        Token, Meta(description="signs the sessions; without it they end when the dashboard does")
    ] = ""
    dashboard_session_ttl_s: Annotated[Seconds, Meta(description="how long a log-in lasts")] = 43200.0
    dashboard_behind_proxy: Annotated[
        bool, Meta(description="behind a reverse proxy: X-Forwarded-For and -Proto are believed")
    ] = False


_SHARED: Final = {
    "redis_url",
    "backend_url",
    "dialer_api_url",
    "backend_token",
    "backend_username",
    "backend_password",
    "dialer_api_token",
    "log_level",
    "log_format",
}
NAMES: Final[dict[str, str]] = {
    field: field.upper() if field in _SHARED else f"STREAMDIALER_{field.upper()}"
    for field in Settings.__struct_fields__
}
SECRETS: Final = {
    "backend_token",
    "backend_password",
    "dialer_api_token",
    "dashboard_users",
    "dashboard_token",
    "dashboard_viewer_token",
    "dashboard_secret",
}
