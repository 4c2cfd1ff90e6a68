"""The pattern explainer, and the simulator that reads what it wrote."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from engine.errors import MethodError
from engine.explanation import Evidence, Explanation, Preparing, Word
from engine.lookup import NAME as LOOKUP
from engine.lookup import LookupTable
from engine.patterns.features import OFFSETS
from engine.patterns.groups import group
from engine.patterns.learning import Learned
from engine.patterns.model import ENTRIES, NAME, Patterns
from engine.patterns.reader import PatternReader
from engine.patterns.reading import TOKENS
from engine.patterns.saying import sentence
from engine.progress import with_progress
from engine.records import Excerpt
from engine.sentence import seen_joins
from engine.simulation import Scale, Simulation, SimulationStatus
from engine.streams import closing


class PatternExplainer:
    """Explains a neuron by patterns of context; needs the subject model, no language model.

    Args:
        reader: Learns the neurons of the index.
    """

    name = NAME

    def __init__(self, reader: PatternReader) -> None:
        self._reader = reader

    @property
    def settings(self) -> Mapping[str, Any]:
        """See :class:`engine.explanation.Explainer`."""
        return {"offsets": list(OFFSETS), "entries": ENTRIES, "tokens": TOKENS}

    async def explain(self, evidence: Evidence) -> AsyncIterator[Preparing | Word | Explanation]:
        """Stream how far it is, the sentence word by word, then the explanation.

        Raises:
            ModelError: the subject model can't be had.
        """
        started = time.perf_counter()
        learned: Learned | None = None
        learning = with_progress(
            lambda tell: self._reader.learn(evidence.neuron, evidence.side, tell)
        )
        async with closing(learning) as pieces:
            async for piece in pieces:
                if isinstance(piece, Preparing):
                    yield piece
                else:
                    learned = piece
        assert learned is not None
        vocabulary = self._reader.index.vocabulary
        found = group(learned.contexts, vocabulary.token)
        joins = seen_joins((*evidence.train, *evidence.others))
        text = await asyncio.to_thread(sentence, learned, found, joins)
        for word in re.findall(r"\S+\s*", text):
            yield Word(word)
            await asyncio.sleep(0)
        yield Explanation(
            neuron=evidence.neuron,
            text=text,
            explainer=self.name,
            settings=self.settings,
            rules={
                **learned.patterns.to_json(),
                "patterns": [one.to_json() for one in found],
                "settings": [one.to_json() for one in learned.settings],
            },
            windows=tuple(sorted(learned.windows.tolist())),
            seconds=time.perf_counter() - started,
            side=evidence.side,
        )


class PatternSimulator:
    """Expected activations by the patterns in an explanation's rules."""

    name = NAME

    def __init__(self) -> None:
        self._last: tuple[object, Patterns | LookupTable] | None = None

    @property
    def settings(self) -> Mapping[str, Any]:
        """See :class:`engine.simulation.Simulator`; there are none."""
        return {}

    async def simulate(self, explanation: Explanation, excerpt: Excerpt) -> Simulation:
        """Add up what the context contributes, token by token."""
        try:
            if self._last is None or self._last[0] is not explanation.rules:
                self._last = (explanation.rules, _rules(explanation.rules))
        except MethodError as error:
            return Simulation.failed(excerpt, Scale.NEURON, str(error))
        rules = self._last[1]
        if isinstance(rules, LookupTable):
            expected = rules.simulate(excerpt.token_ids)
        else:
            expected = rules.simulate(excerpt.token_ids, excerpt.tokens)
        return Simulation(excerpt, expected, Scale.NEURON, SimulationStatus.OK)


def _rules(rules: Mapping[str, Any] | None) -> Patterns | LookupTable:
    """Patterns; a token table is a pattern of one place, as other neurons' may be."""
    if rules is not None and rules.get("kind") == LOOKUP:
        return LookupTable.from_rules(rules)
    return Patterns.from_json(rules)
