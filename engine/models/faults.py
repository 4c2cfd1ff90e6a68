"""What can go wrong with a language model, and what the user can do about each."""

from __future__ import annotations

from enum import StrEnum

from engine.errors import NeuroglassError


class Fault(StrEnum):
    """Kinds of failure. Only those in :data:`RETRIED` are worth another try."""

    NO_KEY = "no key"
    WRONG_KEY = "wrong key"
    FORBIDDEN = "forbidden"
    NO_CREDIT = "no credit"
    UNKNOWN_MODEL = "unknown model"
    BAD_REQUEST = "bad request"
    TOO_LONG = "context too long"
    REFUSED = "refused"
    RATE_LIMIT = "rate limit"
    CONFLICT = "conflict"
    SERVER = "server error"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    STALLED = "stalled"
    BROKEN_STREAM = "broken stream"
    MALFORMED = "malformed reply"
    EMPTY = "empty reply"
    NO_ROOM = "no room to answer"
    UNSUPPORTED = "unsupported"
    BUDGET = "budget"
    OFFLINE = "offline"
    LATER = "waits for a batch"


#: 408, 409, 429, 5xx, and streams or connections that broke; and a model that thought
#: until its reply was full, which gets more room the next time.
RETRIED = frozenset(
    {
        Fault.RATE_LIMIT,
        Fault.CONFLICT,
        Fault.SERVER,
        Fault.UNREACHABLE,
        Fault.TIMEOUT,
        Fault.STALLED,
        Fault.BROKEN_STREAM,
        Fault.NO_ROOM,
    }
)


#: After one of these every further request would fail alike, so the run ends at once.
ENDING = frozenset(
    {
        Fault.NO_KEY,
        Fault.WRONG_KEY,
        Fault.FORBIDDEN,
        Fault.NO_CREDIT,
        Fault.UNKNOWN_MODEL,
        Fault.BUDGET,
        Fault.OFFLINE,
    }
)


class LanguageModelError(NeuroglassError):
    """A language model could not do what was asked.

    Attributes:
        fault: What kind of failure.
        retry_after: Seconds the backend asked to wait; None when it didn't say.
    """

    exit_code = 9

    def __init__(
        self, fault: Fault, message: str, remedy: str = "", *, retry_after: float | None = None
    ) -> None:
        super().__init__(message, remedy)
        self.fault = fault
        self.retry_after = retry_after

    @property
    def retried(self) -> bool:
        """Whether another try may help."""
        return self.fault in RETRIED

    @property
    def ends_run(self) -> bool:
        """Whether every further request would fail alike."""
        return self.fault in ENDING
