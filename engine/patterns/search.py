"""Finding neurons by what their saved patterns say: a token, a class, what is before, where."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.errors import UsageError
from engine.neuron import NeuronId
from engine.patterns.settings import NAMES

if TYPE_CHECKING:
    from engine.store import Store


@dataclass(frozen=True, slots=True)
class PatternQuery:
    """What a pattern must have; what is empty may be anything.

    Tokens are compared whole, without their spaces and in any case; of classes and
    settings a part of the name is enough.

    Attributes:
        token: Stands where the neuron fires.
        kind: The class of what stands there, such as ``numbers``.
        before: A token or a class that must stand before.
        setting: Where in a text, such as ``inside quotation marks``.
    """

    token: str = ""
    kind: str = ""
    before: str = ""
    setting: str = ""

    def check(self) -> None:
        """UsageError when it asks for nothing, or for a setting that there is not."""
        if not any((self.token, self.kind, self.before, self.setting)):
            raise UsageError(
                "A search by pattern needs a token, a class or a place.",
                "Such as: neuroglass search --class numbers --after '$'",
            )
        if self.setting and not any(self.setting.casefold() in name for name in NAMES):
            raise UsageError(
                f"No pattern has the place {self.setting!r}.", f"Places are: {', '.join(NAMES)}."
            )

    def of_pattern(self, pattern: Mapping[str, Any]) -> bool:
        """Whether one pattern has what is asked for, the setting aside."""
        own, *further = pattern["places"]
        return (
            (not self.token or _has_token(own, self.token))
            and (not self.kind or _has_class(own, self.kind))
            and (
                not self.before
                or any(
                    _has_token(one, self.before) or _has_class(one, self.before) for one in further
                )
            )
        )


@dataclass(frozen=True, slots=True)
class PatternHit:
    """A pattern that was found.

    Attributes:
        explanation: Row in the store.
        text: Of the explanation.
        score: Its top-and-random correlation; None when undefined or not scored.
        words: The pattern, or the setting where that is all that was asked for. Untrusted.
        share: Of the neuron's strong activations, 0 to 1.
        activation: Expected there, activation units; None for a setting.
    """

    neuron: NeuronId
    explanation: int
    text: str
    score: float | None
    words: str
    share: float
    activation: float | None
    pattern: Mapping[str, Any]


def search_patterns(
    store: Store, query: PatternQuery, *, limit: int = 50, model: str | None = None
) -> list[PatternHit]:
    """Patterns of all saved explanations, the largest share first, the newest of a neuron only.

    Reads every saved pattern: about a second for the 6,144 neurons of the demo model.

    Args:
        model: Hash of one model; None: all.

    Raises:
        UsageError: the query asks for nothing, or for a place that there is not.
    """
    query.check()
    hits: dict[tuple[str, NeuronId], PatternHit] = {}
    for row in store.saved_patterns(model):
        key = (row.model, row.neuron)
        best = max(_hits(row.patterns, row.settings, query), key=lambda hit: hit[1], default=None)
        if best is None:
            hits.pop(key, None)  # an older explanation of it may have had one
            continue
        words, share, activation, pattern = best
        hits[key] = PatternHit(
            row.neuron, row.explanation, row.text, row.score, words, share, activation, pattern
        )
    return sorted(hits.values(), key=lambda hit: (-hit.share, hit.neuron))[:limit]


_Hit = tuple[str, float, float | None, Mapping[str, Any]]


def _hits(patterns: str, settings: str, query: PatternQuery) -> Iterator[_Hit]:
    """Of one explanation, given as JSON; what is damaged has none."""
    try:
        places = json.loads(settings) or []
        name = query.setting.casefold()
        there = [one for one in places if name in str(one["name"])]
        if name and not there:
            return
        if not (query.token or query.kind or query.before):
            for one in there:
                yield str(one["name"]), float(one["share"]), None, one
            return
        for one in json.loads(patterns) or []:
            if query.of_pattern(one):
                yield str(one["words"]), float(one["share"]), float(one["activation"]), one
    except (KeyError, TypeError, ValueError, AttributeError):
        return


def _has_token(place: Mapping[str, Any], token: str) -> bool:
    wanted = token.strip().casefold() or token
    return any((str(one).strip().casefold() or one) == wanted for one in place["tokens"])


def _has_class(place: Mapping[str, Any], name: str) -> bool:
    """The class that was told, or one that every token seen there has."""
    return name.casefold() in str(place["class"]).casefold() or _all_of(place["tokens"], name)


def _all_of(tokens: list[str], name: str) -> bool:
    from engine.token_words import classes_of

    wanted: Callable[[str], bool] = lambda token: any(  # noqa: E731
        name.casefold() in one.casefold() for one in classes_of(token.encode("utf-8", "replace"))
    )
    return bool(tokens) and all(wanted(token) for token in tokens)
