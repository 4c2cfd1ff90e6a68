"""Explaining a neuron sense by sense: by itself, or through a language model."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

from engine.errors import MethodError
from engine.explanation import Evidence, Explainer, Explanation, Preparing, Word
from engine.models.request import Usage
from engine.patterns.explainer import PatternSimulator
from engine.records import ActivationRecord, Excerpt
from engine.senses.grouping import FIRINGS, MOST
from engine.senses.model import NAME, Sense, Senses, combined, held_out_json, whole_rules
from engine.senses.reader import SenseReader
from engine.simulation import Scale, Simulation
from engine.streams import closing

#: The rules of an explanation whose senses are sentences, which a language model simulates.
IN_WORDS = "senses-in-words"
_SETTINGS = {"most": MOST, "firings": FIRINGS}


class SenseExplainer:
    """Explains each sense of a neuron; needs the subject model, no language model.

    Args:
        reader: Finds the senses.
    """

    name = NAME

    def __init__(self, reader: SenseReader) -> None:
        self._reader = reader

    @property
    def settings(self) -> Mapping[str, Any]:
        """See :class:`engine.explanation.Explainer`."""
        return _SETTINGS

    async def explain(self, evidence: Evidence) -> AsyncIterator[Preparing | Word | Explanation]:
        """Stream how far it is, the sentence word by word, then the explanation.

        Raises:
            ModelError: the subject model can't be had.
            MethodError: the neuron never fires in the explain fold.
        """
        started = time.perf_counter()
        senses: Senses | None = None
        async with closing(self._reader.finding(evidence)) as found:
            async for step in found:
                if isinstance(step, Preparing):
                    yield step
                else:
                    senses = step
        assert senses is not None
        for piece in re.findall(r"\S+\s*", senses.text):
            yield Word(piece)
            await asyncio.sleep(0)
        yield Explanation(
            neuron=evidence.neuron,
            text=senses.text,
            explainer=self.name,
            settings=self.settings,
            rules=senses.to_json(),
            windows=senses.windows,
            seconds=time.perf_counter() - started,
            side=evidence.side,
        )


class SenseSimulator:
    """Expected activations by the patterns in an explanation's rules.

    The senses say what the neuron is about; the patterns of the whole predict it better
    than patterns of single senses do (:class:`engine.senses.model.Senses`).
    """

    name = NAME

    def __init__(self) -> None:
        self._patterns = PatternSimulator()

    @property
    def settings(self) -> Mapping[str, Any]:
        """See :class:`engine.simulation.Simulator`."""
        return self._patterns.settings

    async def simulate(self, explanation: Explanation, excerpt: Excerpt) -> Simulation:
        """Add up what the context contributes, token by token."""
        try:
            whole = whole_rules(explanation.rules)
        except MethodError as error:
            return Simulation.failed(excerpt, Scale.NEURON, str(error))
        return await self._patterns.simulate(replace(explanation, rules=whole), excerpt)


@runtime_checkable
class _Estimates(Protocol):
    def estimate(self, evidence: Evidence) -> tuple[int, int, int]: ...


class BySense:
    """Has a language model explain each sense by itself, then puts the sentences together.

    Args:
        explainer: Asked once for each sense, with that sense's excerpts.
        reader: Finds the senses.
    """

    def __init__(self, explainer: Explainer, reader: SenseReader) -> None:
        self._explainer = explainer
        self._reader = reader
        self.name: str = explainer.name

    @property
    def settings(self) -> Mapping[str, Any]:
        """See :class:`engine.explanation.Explainer`."""
        return {**self._explainer.settings, "by_sense": _SETTINGS}

    async def explain(self, evidence: Evidence) -> AsyncIterator[Preparing | Word | Explanation]:
        """Stream how far it is, the numbered sentences, then the combined explanation.

        Raises:
            ModelError: the subject model can't be had.
            MethodError: the neuron never fires in the explain fold.
            LanguageModelError: the language model could not explain a sense.
        """
        started = time.perf_counter()
        senses: Senses | None = None
        async with closing(self._reader.finding(evidence)) as found:
            async for step in found:
                if isinstance(step, Preparing):
                    yield step
                else:
                    senses = step
        assert senses is not None
        several = len(senses.senses) > 1
        written: list[Sense] = []
        windows: set[int] = set()
        usage = Usage()
        for number, sense in enumerate(senses.senses, start=1):
            if several:
                yield Word(f"{'; ' if number > 1 else ''}{number}) ")
            stream = self._explainer.explain(evidence_of_sense(evidence, sense))
            async with closing(stream) as pieces:
                async for piece in pieces:
                    if isinstance(piece, Word | Preparing):
                        yield piece
                    else:
                        written.append(replace(sense, text=piece.text))
                        windows.update(piece.windows)
                        usage += piece.usage
            if several:
                yield Word(f" ({sense.share:.0%})")
        yield Explanation(
            neuron=evidence.neuron,
            text=combined([(one.text, one.share) for one in written]),
            explainer=self.name,
            settings=self.settings,
            rules=_rules(senses, written),
            windows=tuple(sorted(windows)),
            seconds=time.perf_counter() - started,
            side=evidence.side,
            usage=usage,
        )

    async def prepare(self, evidence: Evidence) -> None:
        """Find the senses, so that :meth:`estimate` knows how many there are."""
        await self._reader.find(evidence)

    def estimate(self, evidence: Evidence) -> tuple[int, int, int]:
        """Input tokens, output tokens and requests, after :meth:`prepare`."""
        senses = self._reader.found(evidence)
        if senses is None or not isinstance(self._explainer, _Estimates):
            return 0, 0, 0
        needs = [
            self._explainer.estimate(evidence_of_sense(evidence, one)) for one in senses.senses
        ]
        read, wrote, requests = (sum(column) for column in zip(*needs, strict=True))
        return read, wrote, requests


def evidence_of_sense(evidence: Evidence, sense: Sense) -> Evidence:
    """What an explainer sees of one sense: its excerpts, silent where another sense fires."""
    train = []
    for record, foreign in zip(sense.excerpts, sense.foreign, strict=True):
        silent = np.where(foreign, np.float32(0), record.activations)
        train.append(ActivationRecord(record.excerpt, silent))
    train.sort(key=lambda record: -record.peak)
    shown = {record.excerpt.window for record in train}
    # The strongest of the rest may be of another sense; the bands below are for contrast.
    limit = min((record.peak for record in train), default=0.0)
    others = [r for r in evidence.others if r.excerpt.window not in shown and r.peak < limit]
    return replace(evidence, train=tuple(train), others=tuple(others))


def _rules(senses: Senses, written: list[Sense]) -> dict[str, Any]:
    return {
        "kind": IN_WORDS,
        "senses": [one.to_json() for one in written],
        "held_out": held_out_json(senses.held_out),
    }
