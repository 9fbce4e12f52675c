"""The errors streamdialer raises on purpose. Each message says what was tried, what came back and what to do.

StreamdialerError
├── SettingsError        a setting or option is wrong                        (exit code 2)
├── CampaignError        a campaign's own settings cannot be used: it is not dialed
├── Unreachable          a server gave no usable answer: Redis, backend, Dialer API (exit code 3)
│   ├── CredentialsRefused   … because of our token or password
│   └── Throttled            … because it asks for fewer requests
├── RefusedByServer      a server answered, and the answer is final for this request
└── CannotBeDone         a command is understood but cannot be carried out    (exit code 1)
"""


class StreamdialerError(Exception):
    """Base of all errors that you can mend; the commands show them as one line, without a traceback.

    Example::

        from streamdialer import Producer, StreamdialerError

        try:
            async with Producer.from_url("redis://127.0.0.1:6379/0") as producer:
                await producer.event("call_answered", campaign_id=1, contact_id=123)
        except StreamdialerError as error:
            print(f"the event was not written: {error}")
    """


class SettingsError(StreamdialerError):
    """A setting or an option has a value it cannot take."""


class CampaignError(StreamdialerError):
    """A campaign's settings are missing, unreadable or out of bounds."""


class Unreachable(StreamdialerError):
    """A server could not be reached, or its answer is not in its protocol."""


class CredentialsRefused(Unreachable):
    """A server refuses our token or password: a setting has to be corrected."""


class Throttled(Unreachable):
    """A server asks for fewer requests: it gets none until the time it names."""


class RefusedByServer(StreamdialerError):
    """A server refused this request; repeating it will not help."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class CannotBeDone(StreamdialerError):
    """A command is refused; the message has the reason."""
