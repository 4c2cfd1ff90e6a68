"""What the vendors' batch APIs have in common: many requests at once, answered within a day.

A batch costs half of what its requests cost one by one, at OpenAI and at Anthropic alike.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from engine.models.faults import Fault, LanguageModelError
from engine.models.request import Reply, Request, Usage

#: What a request costs in a batch, as a share of its price one by one.
PRICE_SHARE = 0.5
#: Requests of one batch are held in memory while it is sent, in bytes; the vendors allow
#: 200 MB and more.
MOST_BYTES = 64 << 20
#: Seconds for sending a batch or reading its results, which may be large.
TIMEOUT = 600.0


@dataclass(frozen=True, slots=True)
class Looked:
    """How far a batch is.

    Attributes:
        ended: Nothing more will come; its results can be read.
        answered, failed: Of its ``total`` requests, as far as the vendor tells before the
            end.
        refused: Why the vendor took none of them; None if it did.
    """

    ended: bool
    total: int
    answered: int
    failed: int
    refused: LanguageModelError | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request of a batch: a reply, or an error.

    Attributes:
        again: The request was not dealt with (canceled, expired, a fault of the server),
            so it is worth sending once more.
        canceled: Nobody has tried it.
        usage: What it cost, whether the reply is of use or not.
        status, body: The vendor's own error, for :meth:`BatchApi.learn`.
    """

    reply: Reply | None = None
    error: LanguageModelError | None = None
    again: bool = False
    canceled: bool = False
    usage: Usage = field(default_factory=Usage)
    status: int | None = None
    body: Mapping[str, Any] = field(default_factory=dict)


class BatchApi(Protocol):
    """The batch API of one model's vendor; the model says what a request is on the wire.

    Every method that asks the vendor raises LanguageModelError.

    Attributes:
        most_requests, most_bytes: Of one batch.
        certain: :meth:`find` knows a batch by what we wrote on it. Where it does not,
            only the results tell.
    """

    most_requests: int
    most_bytes: int
    certain: bool

    def endpoint(self, request: Request) -> str:
        """Where a request goes; those of one batch go to the same place."""
        ...

    def line(self, custom_id: str, request: Request) -> dict[str, Any]:
        """A request as the batch has it."""
        ...

    async def marker(self) -> str:
        """Something that is before the next batch in the vendor's list; may be empty."""
        ...

    async def submit(self, token: str, endpoint: str, lines: Sequence[Mapping[str, Any]]) -> str:
        """Send a batch once; the vendor's name for it."""
        ...

    async def find(self, token: str, marker: str, requests: int, since: float) -> list[str]:
        """Batches that may be the one of that token, the likeliest first.

        Args:
            marker: What :meth:`marker` gave before it was sent.
            requests: How many it has.
            since: Seconds since 1970 when it was sent.
        """
        ...

    async def look(self, batch: str) -> Looked:
        """How far it is."""
        ...

    def results(self, batch: str) -> AsyncGenerator[tuple[str, Mapping[str, Any]], None]:
        """Custom ids with what became of each, in any order, once it has ended."""
        ...

    @property
    def room(self) -> int:
        """Tokens beyond their limit that replies get from now on."""
        ...

    def read(self, request: Request, raw: Mapping[str, Any], room: int) -> Outcome:
        """What a result says.

        Args:
            room: What :attr:`room` was when it was sent.
        """
        ...

    async def cancel(self, batch: str) -> None:
        """Ask the vendor to stop; what is answered by then can still be read."""
        ...

    def learn(self, status: int | None, body: Mapping[str, Any]) -> bool:
        """Leave out next time what this error complains of; whether there is such a thing."""
        ...


class VendorError(Exception):
    """An error of a single request, in the shape of the SDKs' own."""

    def __init__(self, status: int | None, body: Mapping[str, Any]) -> None:
        super().__init__(str(body.get("message") or ""))
        self.status_code = status
        self.body = dict(body)


def outcome_of_error(
    error: LanguageModelError,
    status: int | None,
    body: Mapping[str, Any],
    usage: Usage | None = None,
) -> Outcome:
    """The outcome of a request that has no reply of use."""
    again = error.retried or error.ends_run
    return Outcome(error=error, again=again, usage=usage or Usage(), status=status, body=dict(body))


def canceled(who: str) -> Outcome:
    """A request that nobody has tried, since the batch was canceled."""
    error = LanguageModelError(Fault.CONFLICT, f"{who} was asked to cancel the batch.")
    return Outcome(error=error, again=True, canceled=True)


def expired(who: str) -> Outcome:
    """A request that was not reached within a day."""
    error = LanguageModelError(
        Fault.TIMEOUT, f"{who} did not get to this request within a day.", "Resume the run."
    )
    return Outcome(error=error, again=True)


def lost(who: str, batch: str) -> LanguageModelError:
    """The vendor does not know a batch."""
    return LanguageModelError(
        Fault.BAD_REQUEST,
        f"{who} does not know the batch {batch}, by this key at least.",
        "Use the key that it was submitted with; or give it up: neuroglass triage --cancel",
    )


def seconds(moment: datetime | int | float) -> float:
    """Seconds since 1970."""
    return moment.timestamp() if isinstance(moment, datetime) else float(moment)
