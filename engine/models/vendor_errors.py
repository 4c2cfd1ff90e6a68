"""What a vendor's SDK raises, as one of our faults with a line that says what to do.

Both SDKs raise classes of the same shape: a status code, the response's headers, and the
vendor's own error body.  They are read by shape, so that neither has to be imported here.
"""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Mapping
from typing import Any

from engine.models.faults import Fault, LanguageModelError

#: A vendor's sentence is quoted this far.
QUOTED = 200
_TOO_LONG = (
    "context length",
    "context_length",
    "context window",
    "maximum context",
    "too long",
    "too many tokens",
    "exceeds the context",
    "prompt is too large",
)
_NO_MODEL = (
    "no such model",
    "model not found",
    "unknown model",
    "not a valid model identifier",
    "is not a local folder",
    "server is pinned to",
)
_NO_CREDIT = ("credit balance", "insufficient_quota", "insufficient quota", "exceeded your current")
_BY_STATUS = {
    401: Fault.WRONG_KEY,
    402: Fault.NO_CREDIT,
    403: Fault.FORBIDDEN,
    404: Fault.UNKNOWN_MODEL,
    408: Fault.TIMEOUT,
    409: Fault.CONFLICT,
    413: Fault.TOO_LONG,
    429: Fault.RATE_LIMIT,
    529: Fault.SERVER,
}
_BY_TYPE = {
    "authentication_error": Fault.WRONG_KEY,
    "billing_error": Fault.NO_CREDIT,
    "permission_error": Fault.FORBIDDEN,
    "not_found_error": Fault.UNKNOWN_MODEL,
    "model_not_found": Fault.UNKNOWN_MODEL,
    "request_too_large": Fault.TOO_LONG,
    "rate_limit_error": Fault.RATE_LIMIT,
    "rate_limit_exceeded": Fault.RATE_LIMIT,
    "timeout_error": Fault.TIMEOUT,
    "overloaded_error": Fault.SERVER,
    "api_error": Fault.SERVER,
    "server_error": Fault.SERVER,
}
_LINES: Mapping[Fault, tuple[str, str]] = {
    Fault.WRONG_KEY: (
        "{who} does not accept the key.",
        "Check the key in the environment or the keyring; it may have been revoked.",
    ),
    Fault.FORBIDDEN: (
        "The key may not use {model} of {who}.",
        "Choose another model, or give the key the right to it.",
    ),
    Fault.NO_CREDIT: ("{who} says that the account has no credit left.", "Top up the account."),
    Fault.UNKNOWN_MODEL: (
        "{who} has no model {model}.",
        "`neuroglass models check PROVIDER:MODEL` lists the models that a provider has.",
    ),
    Fault.TOO_LONG: (
        "The request is longer than {model} can read.",
        "Choose a model with a longer context, or scan with a smaller window.",
    ),
    Fault.RATE_LIMIT: ("{who} asks for fewer requests.", "Wait a little, then start again."),
    Fault.CONFLICT: ("{who} has a conflict with another request.", "Start again."),
    Fault.SERVER: ("{who} has a fault of its own.", "Start again a little later."),
    Fault.UNREACHABLE: (
        "{who} can't be reached.",
        "Check the network and the address; what is done is kept.",
    ),
    Fault.TIMEOUT: ("{who} took too long.", "Start again a little later."),
    Fault.BROKEN_STREAM: ("The reply of {who} broke off.", "Start again; what is done is kept."),
    Fault.BAD_REQUEST: ("{who} refuses the request.", "Choose another model or simulator."),
    Fault.MALFORMED: (
        "{who} answered with something that is no reply.",
        "Check that the address is that of a language model.",
    ),
}


def fault(
    kind: Fault, who: str, model: str, said: str = "", *, retry_after: float | None = None
) -> LanguageModelError:
    """A fault with its line, and the vendor's own words behind it where they help."""
    line, remedy = _LINES[kind]
    text = line.format(who=who, model=model)
    if said and kind is not Fault.WRONG_KEY:  # vendors quote a part of the key there
        text = f"{text.removesuffix('.')}: {said}"
    return LanguageModelError(kind, text, remedy, retry_after=retry_after)


def translate(error: Exception, who: str, model: str, *, secret: str) -> LanguageModelError:
    """Any exception of the SDKs, or of what they use, as one of ours.

    Args:
        who: The provider.
        secret: The key, which is cut out of whatever is quoted.
    """
    if isinstance(error, LanguageModelError):
        return error
    body = _body(error)
    said = _said(body, error, secret)
    status = getattr(error, "status_code", None)
    name = type(error).__name__
    if status is None:
        if "Timeout" in name:
            return fault(Fault.TIMEOUT, who, model)
        if name in ("APIConnectionError", "ConnectError"):
            cause = error.__cause__
            # Once a reply has begun, the connection was there.
            read = type(cause).__name__ in ("ReadError", "RemoteProtocolError")
            return fault(Fault.BROKEN_STREAM if read else Fault.UNREACHABLE, who, model)
        if name in ("ReadError", "RemoteProtocolError", "StreamError", "ConnectionResetError"):
            return fault(Fault.BROKEN_STREAM, who, model)
        if isinstance(error, json.JSONDecodeError) or "Validation" in name:
            return fault(Fault.MALFORMED, who, model)
        if name not in ("APIError", "APIStatusError"):
            return fault(Fault.MALFORMED, who, model, name)
    return fault(_kind(status, body, said), who, model, said, retry_after=_retry_after(error))


def _kind(status: int | None, body: Mapping[str, Any], said: str) -> Fault:
    low = f"{said} {body.get('code') or ''} {body.get('type') or ''}".lower()
    if any(words in low for words in _NO_CREDIT):
        return Fault.NO_CREDIT
    if any(words in low for words in _TOO_LONG):
        return Fault.TOO_LONG
    if any(words in low for words in _NO_MODEL):
        return Fault.UNKNOWN_MODEL
    if status is not None and status in _BY_STATUS:
        return _BY_STATUS[status]
    for field in ("code", "type"):  # an error inside a stream comes with status 200, or none
        if str(body.get(field)) in _BY_TYPE:
            return _BY_TYPE[str(body[field])]
    if status is None or status >= 500 or status == 200:
        return Fault.SERVER
    return Fault.BAD_REQUEST


def _body(error: Exception) -> Mapping[str, Any]:
    """The vendor's error object, whether it is wrapped in ``error`` or not."""
    body = getattr(error, "body", None)
    if isinstance(body, Mapping):
        inner = body.get("error", body)
        if isinstance(inner, Mapping):
            return inner
    return {}


def _said(body: Mapping[str, Any], error: Exception, secret: str) -> str:
    # FastAPI's own errors, as of ``transformers serve``, come under ``detail``.
    text = (
        body.get("message")
        or body.get("detail")
        or (str(error) if getattr(error, "status_code", None) else "")
    )
    line = (str(text).strip().splitlines() or [""])[0].strip()
    if secret:
        line = line.replace(secret, "(key)")
    return line if len(line) <= QUOTED else line[: QUOTED - 1] + "…"


def parameter(error: Exception, sent: set[str]) -> str | None:
    """The parameter that a vendor refuses, if it names one of those that were sent."""
    body = _body(error)
    named = str(body.get("param") or "").split(".")[0].split("[")[0]
    if named in sent:
        return named
    text = str(body.get("message") or error)
    found = [name for name in sent if name in text]
    return max(found, key=len) if found else None


def _retry_after(error: Exception) -> float | None:
    """Seconds to wait, from ``retry-after-ms`` or ``retry-after`` (seconds or a date)."""
    headers = getattr(getattr(error, "response", None), "headers", None)
    if headers is None:
        return None
    try:
        if "retry-after-ms" in headers:
            return max(0.0, float(headers["retry-after-ms"]) / 1000)
        value = headers.get("retry-after")
        if value is None:
            return None
        if value.strip().replace(".", "", 1).isdigit():
            return float(value)
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
