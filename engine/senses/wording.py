"""One sense in a sentence: the token that fires, and what must stand before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from engine.patterns.groups import Pattern
from engine.senses.material import Material
from engine.senses.occlusion import Occlusion
from engine.sentence import Table, describe
from engine.token_words import Joins, listing, quoted

#: Below this loss on average a token hardly matters.
MATTERS = 0.3
#: Tokens of the context are named if they make up this share of what all of it does.
WORTH_NAMING = 0.4
#: A pattern of several places is told of if it holds this share of the activation.
WORTH_SHOWING = 0.12
NAMED = 3


def worded(
    material: Material,
    texts: Sequence[bytes],
    tokens: NDArray[np.int64],
    occlusion: Occlusion,
    patterns: Sequence[Pattern],
    joins: Mapping[bytes, Joins],
    decode: Callable[[int], bytes],
) -> str:
    """The sentence, without a final full stop.

    Args:
        texts: Of each row of the material's embeddings.
        tokens: int64, the sense's strong tokens.
        occlusion: Of some of them.
        patterns: Contexts seen to be needed, the largest share first.
        joins: See :func:`engine.sentence.seen_joins`.
        decode: The bytes of a token id.
    """
    own = float(occlusion.losses[:, 0].mean())
    after = float(occlusion.losses[:, 1].mean())
    before = float(occlusion.before.mean())
    parts = [_at(material, texts, tokens, 0, joins) if own >= MATTERS else "any token"]
    if after >= MATTERS:
        parts[0] += f", after {_at(material, texts, tokens, 1, joins)}"
    elif before >= MATTERS and (named := _context(occlusion, decode)):
        parts[0] += f", with {named} before"
    shown = [one for one in patterns if len(one.places) > 1 and one.share >= WORTH_SHOWING]
    if shown:
        parts.append(f"as in {shown[0].words()}")
    return "; ".join(parts)


def _at(
    material: Material,
    texts: Sequence[bytes],
    tokens: NDArray[np.int64],
    offset: int,
    joins: Mapping[bytes, Joins],
) -> str:
    """What stands so far before the sense's tokens, by how much of it goes with them."""
    ids = material.before(tokens, offset)
    inside = ids >= 0
    weights = material.activations[tokens[inside]].astype(np.float64)
    mass = np.bincount(ids[inside], weights, minlength=len(texts))
    counts = np.bincount(material.ids, minlength=len(texts)).astype(np.float64)
    if not mass.any():
        return "the start of a text"
    return describe(Table(tuple(texts), counts, mass / np.maximum(counts, 1), 1.0, joins))


def _context(occlusion: Occlusion, decode: Callable[[int], bytes]) -> str:
    """The context tokens that most is lost without, if they are few."""
    lost: dict[str, float] = {}
    for losses, tokens in zip(occlusion.losses[:, 1:], occlusion.tokens[:, 1:], strict=True):
        for loss, token in zip(losses.tolist(), tokens.tolist(), strict=True):
            if token >= 0 and loss > MATTERS:
                name = quoted(decode(token))
                lost[name] = lost.get(name, 0.0) + loss
    ranked = sorted(lost, key=lambda name: (-lost[name], name))[:NAMED]
    if sum(lost[name] for name in ranked) < WORTH_NAMING * sum(lost.values()):
        return ""
    return listing(ranked)
