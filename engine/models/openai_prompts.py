"""Reading an echoed prompt with its log-probabilities."""

from __future__ import annotations

from typing import Any

from engine.models.request import PromptRequest, TokenLogprobs, Usage


def echoed(reply: Any, request: PromptRequest) -> tuple[tuple[TokenLogprobs, ...] | None, Usage]:
    """The tokens of the prompt, each with the distribution at its place.

    Offsets are the server's where it gives them, in characters of the text; a token that
    the server itself wrote behind the prompt is left out.

    Returns:
        None for the tokens if the server did not echo, or gave no log-probabilities.
    """
    used = reply.usage
    usage = Usage(
        used.prompt_tokens if used else 0,
        used.completion_tokens if used else 0,
        requests=1,
        measured=used is not None,
    )
    choice = reply.choices[0] if reply.choices else None
    logprobs = choice.logprobs if choice is not None else None
    if logprobs is None or not logprobs.tokens or not logprobs.top_logprobs:
        return None, usage
    offsets = logprobs.text_offset or [-1] * len(logprobs.tokens)
    written = used.completion_tokens if used else 0
    end = len(logprobs.tokens) - (written or 0)
    found = []
    for token, start, top in list(
        zip(logprobs.tokens, offsets, logprobs.top_logprobs, strict=False)
    )[:end]:
        if start >= len(request.text):
            break
        if 0 <= start + len(token) <= request.start and start >= 0:
            continue
        found.append(TokenLogprobs(token, start, dict(top or {})))
    if len(found) < 1 or (request.start == 0 and len(found) < 2):
        return None, usage  # only what it wrote: nothing was echoed
    return tuple(found), usage
