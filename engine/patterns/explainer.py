"""The pattern explainer, and the simulator that reads what it wrote."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import numpy as np

from engine.errors import MethodError
from engine.explanation import Evidence, Explanation, Preparing, Word
from engine.lookup import NAME as LOOKUP
from engine.lookup import LookupTable
from engine.patterns.features import OFFSETS
from engine.patterns.groups import Pattern, group
from engine.patterns.model import ENTRIES, NAME, Patterns
from engine.patterns.reader import Learned, PatternReader
from engine.patterns.reading import TOKENS
from engine.records import Excerpt
from engine.sentence import Table, describe, seen_joins
from engine.simulation import Scale, Simulation, SimulationStatus
from engine.streams import closing
from engine.vocabulary import Vocabulary

#: A place before the token is told of if it moves the sum by this share of what all do.
WORTH_TELLING = 0.15
#: A pattern of several places is told of if it holds this share of strong activations.
WORTH_SHOWING = 0.12


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
        async with closing(self._learn(evidence)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Preparing):
                    yield piece
                else:
                    learned = piece
        assert learned is not None
        vocabulary = self._reader.index.vocabulary
        found = group(learned.contexts, vocabulary.token)
        text = await asyncio.to_thread(sentence, learned, found, evidence, vocabulary)
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

    async def _learn(self, evidence: Evidence) -> AsyncIterator[Preparing | Learned]:
        """Learn in the reader's own thread, and hear from it how far it is."""
        loop = asyncio.get_running_loop()
        heard: asyncio.Queue[Preparing | None] = asyncio.Queue()

        def tell(what: str, share: float) -> None:
            loop.call_soon_threadsafe(heard.put_nowait, Preparing(what, share))

        task = asyncio.create_task(self._reader.learn(evidence.neuron, evidence.side, tell))
        task.add_done_callback(lambda _task: heard.put_nowait(None))
        try:
            while (piece := await heard.get()) is not None:
                yield piece
            yield await task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


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


def sentence(
    learned: Learned, found: tuple[Pattern, ...], evidence: Evidence, vocabulary: Vocabulary
) -> str:
    """What the token itself must be, what before it, where in a text; then patterns."""
    joins = seen_joins((*evidence.train, *evidence.others))
    texts = vocabulary.decode(learned.columns.seen)
    heights = learned.heights()
    weights = [1.0 if table.offset is not None else 0.5 for table in learned.patterns.tables]
    moved = [
        weight * float(learned.counts @ values**2)
        for weight, values in zip(weights, heights, strict=True)
    ]
    total = sum(moved) or 1.0

    def told(number: int, *, rising: bool) -> str:
        values = np.maximum(heights[number], 0) if rising else heights[number]
        return describe(Table(texts, learned.counts, values, explained=1.0, joins=joins))

    parts = [told(0, rising=False)] if moved[0] else []
    words = {1: "most after", 2: "two tokens after", 3: "three tokens after", None: "in text with"}
    further = sorted(range(1, len(moved)), key=lambda number: -moved[number])
    for number in further[:2]:
        if moved[number] / total >= WORTH_TELLING and (heights[number] > 0).any():
            offset = learned.patterns.tables[number].offset
            parts.append(f"{words[offset]} {told(number, rising=True)}")
    parts += [one.name for one in learned.settings[:1]]
    shown = [one for one in found if len(one.places) > 1 and one.share >= WORTH_SHOWING][:2]
    if shown:
        parts.append(f"as in {', or in '.join(one.words() for one in shown)}")
    return "; ".join(parts) or "nothing: it does the same everywhere"
