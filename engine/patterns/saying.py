"""What was learnt of a neuron, in one sentence.

First the tokens at which it fires on average, as the token look-up says them; then what
stands before its strong activations, where in a text they are, and patterns of several
tokens.  What is not typical of the neuron is left out.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from engine.patterns.groups import Pattern
from engine.patterns.learning import Learned
from engine.sentence import Table, class_members, describe
from engine.token_words import Joins, Kind, kind_of, listing, quoted, sign_name, space_name

#: A place before the token is told of if it adds this share of what lifts strong
#: activations above the rest.
WORTH_TELLING = 0.12
#: A pattern of several places is told of if it holds this share of strong activations, and
#: was seen so often.
WORTH_SHOWING, SEEN = 0.12, 3
#: A class is told if it holds this share of what a place adds, and single tokens if those
#: few do.
CLASS, SINGLE = 0.55, 0.3
EXAMPLES = 3
#: How each table's tokens are told of; the bag's last.
_PLACES = (
    "",
    "mostly after {}",
    "often with {} two tokens before",
    "often with {} three tokens before",
    "in text with {}",
)


def sentence(learned: Learned, found: tuple[Pattern, ...], joins: Mapping[bytes, Joins]) -> str:
    """The sentence, without a final full stop.

    Args:
        found: Patterns of contexts, the largest share first.
        joins: How tokens joined up with their neighbours.
    """
    table = Table(learned.tokens, learned.counts, learned.means, learned.explained, joins)
    parts = [describe(table)]
    parts += _before(learned)
    parts += [one.name for one in learned.settings[:1]]
    shown = [
        one
        for one in found
        if len(one.places) > 1 and one.share >= WORTH_SHOWING and one.count >= SEEN
    ][:2]
    if shown:
        parts.append(f"as in {', or in '.join(one.words() for one in shown)}")
    return "; ".join(parts)


def _before(learned: Learned) -> list[str]:
    """What stands before strong activations, the two places that add most."""
    added = [
        counts * np.maximum(values, 0)
        for counts, values in zip(learned.strong, learned.heights, strict=True)
    ]
    total = sum(float(values.sum()) for values in added) or 1.0
    order = sorted(range(1, len(added)), key=lambda number: -float(added[number].sum()))
    said: list[str] = []
    for number in order:
        if float(added[number].sum()) / total < WORTH_TELLING or len(said) == 2:
            break
        words = brief(learned.tokens, added[number])
        if words:
            said.append(_PLACES[number].format(words))
    return said


def brief(tokens: tuple[bytes, ...], weights: NDArray[np.float64]) -> str:
    """The class or the few tokens that hold most of some weights; empty if none do.

    Args:
        weights: float64 [V], not negative.
    """
    total = float(weights.sum())
    if total <= 0:
        return ""
    order = np.argsort(-weights, kind="stable")
    classes = [
        (len(members), name)
        for name, members in class_members(tokens).items()
        if float(weights[members].sum()) >= CLASS * total
    ]
    names: dict[str, float] = {}
    for i in order[: 8 * EXAMPLES].tolist():
        if weights[i] > 0:
            name = _named(tokens[i])
            names[name] = names.get(name, 0.0) + float(weights[i])
    shown = sorted(names, key=lambda name: -names[name])[:EXAMPLES]
    held = sum(names[name] for name in shown)
    if classes and held < CLASS * total:
        _, name = min(classes)  # the narrowest
        members = class_members(tokens)[name]
        best = members[np.argsort(-weights[members], kind="stable")[: 4 * EXAMPLES]]
        examples = list(dict.fromkeys(_named(tokens[i]) for i in best if weights[i] > 0))
        return f"{name} ({', '.join(examples[:EXAMPLES])})" if len(examples) > 1 else name
    if held < SINGLE * total:
        return ""
    least = names[shown[0]] / 8
    return listing([name for name in shown if names[name] >= least])


def _named(token: bytes) -> str:
    kind = kind_of(token)
    if kind is Kind.SPACE:
        return space_name(token)
    if kind is Kind.BYTES:
        return "parts of characters beyond ASCII"
    return sign_name(token) or quoted(token)
