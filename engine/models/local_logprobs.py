"""Exact distributions over a given text, from a local model's logits."""

from __future__ import annotations

import math
import time
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from engine.models.local_network import LocalNetwork, log_softmax, too_long
from engine.models.local_tokens import LocalTokens
from engine.models.request import PromptReply, PromptRequest, TokenLogprobs, Usage

if TYPE_CHECKING:
    import torch

#: A value of several tokens is followed up only where its first one is likelier.
NEGLIGIBLE = 1e-5
#: What is left of a probability that another value has used up.
_LEAST = 1e-12

Cut = tuple[int, ...]


def distributions(
    network: LocalNetwork, tokens: LocalTokens, request: PromptRequest, model: str
) -> PromptReply:
    """Carry out ``request`` in one pass, and short ones for values of several tokens.

    Blocks; for the model's own thread.

    Raises:
        LanguageModelError: ``TOO_LONG``.
    """
    started = time.perf_counter()
    text = tokens.encode(request.text)
    ids, lead = text.ids, text.lead
    if network.context is not None and len(ids) > network.context:
        raise too_long(len(ids), network.context)
    begin = lead + _holding(text.starts, request.start)
    # The distribution at a token's place stands after the token before it.
    first = max(begin - 1, 0)
    tops: list[dict[str, float]] = [{}] if begin == 0 and ids else []
    cached = 0
    if len(ids) > first + 1:
        logits, cached = network.read(ids[:-1], first)
        logprobs = log_softmax(logits)
        tops += top_entries(tokens, logprobs, request.top_logprobs)
        rows = tops[-len(logprobs) :]
        _add_values(network, tokens, request.values, ids, first, logprobs, rows)
    return PromptReply(
        tokens=tuple(
            TokenLogprobs(text.texts[place - lead], text.starts[place - lead], top)
            for place, top in zip(range(begin, len(ids)), tops, strict=True)
        ),
        usage=Usage(input_tokens=len(ids), cached_input_tokens=cached, requests=1),
        model=model,
        seconds=time.perf_counter() - started,
    )


def top_entries(tokens: LocalTokens, logprobs: torch.Tensor, count: int) -> list[dict[str, float]]:
    """The ``count`` likeliest tokens of each row, likeliest first, by text."""
    if not count:
        return [{} for _ in range(len(logprobs))]
    values, indices = logprobs.topk(min(count, logprobs.shape[1]), dim=1)
    result = []
    for some, others in zip(values.tolist(), indices.tolist(), strict=True):
        top: dict[str, float] = {}
        for value, token_id in zip(some, others, strict=True):
            # Of several tokens with one text, the likeliest stands for it.
            top.setdefault(tokens.token(token_id), value)
        result.append(top)
    return result


def _add_values(
    network: LocalNetwork,
    tokens: LocalTokens,
    values: Sequence[str],
    ids: Sequence[int],
    first: int,
    logprobs: torch.Tensor,
    tops: Sequence[dict[str, float]],
) -> None:
    """Put the wanted values into ``tops``; row ``i`` is what stands after ``ids[first + i]``."""
    cuts: dict[str, Cut] = {value: cut for value in values if (cut := tokens.value(value))}
    for value, cut in cuts.items():
        if len(cut) == 1:
            for top, logprob in zip(tops, logprobs[:, cut[0]].tolist(), strict=True):
                top[value] = logprob
        else:
            # Its text may be a token's after all, which the tokenizer never writes here.
            for top in tops:
                top.pop(value, None)
    several = {value: cut for value, cut in cuts.items() if len(cut) > 1}
    if not several or not network.cuts_back:
        return
    for row in range(len(tops) - 1, -1, -1):  # from the last, as the cache is cut back
        before = ids[: first + row + 1]
        for value, cut in several.items():
            logprob = float(logprobs[row, cut[0]])
            if logprob >= math.log(NEGLIGIBLE):
                tops[row][value] = logprob + network.follow(before, cut)
        _take_off(tops[row], cuts)


def _take_off(top: dict[str, float], cuts: Mapping[str, Cut]) -> None:
    """Make values exclude each other: ``1`` does not contain ``10``."""
    whole = {value: math.exp(top[value]) for value in cuts if value in top}
    for value, probability in whole.items():
        longer = [other for other in whole if _extends(cuts[other], cuts[value])]
        nearest = [
            other
            for other in longer
            if not any(_extends(cuts[other], cuts[between]) for between in longer)
        ]
        if nearest:
            left = probability - sum(whole[other] for other in nearest)
            top[value] = math.log(max(left, _LEAST))


def _extends(longer: Cut, shorter: Cut) -> bool:
    return len(longer) > len(shorter) and longer[: len(shorter)] == shorter


def _holding(starts: Sequence[int], character: int) -> int:
    """The first of the tokens that hold the character; the last token when it is beyond."""
    place = max(bisect_right(starts, character) - 1, 0)
    while place and starts[place - 1] == starts[place]:
        place -= 1  # one character may be several tokens
    return place
