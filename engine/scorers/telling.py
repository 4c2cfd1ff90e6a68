"""What detection and fuzzing share: texts in batches, two explanations, one judgement."""

from __future__ import annotations

import asyncio
import math
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from engine.explanation import Explanation
from engine.judgement import JudgedItem, Judgement, JudgeProgress
from engine.models.model import LanguageModel
from engine.models.request import Request, Usage
from engine.scorers.asking import (
    PARALLEL,
    PER_REQUEST,
    Answers,
    answered,
    ask,
    cost,
    question,
)
from engine.scorers.measures import told_apart
from engine.scorers.texts import Material, Text, TextPool
from engine.simulators.outcome import named


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """A text as the model sees it, and what would be right to say about it.

    Attributes:
        item: Without a prediction yet.
        text: Untrusted.
    """

    item: JudgedItem
    text: str


def batches(texts: Sequence[Shown], size: int, seed: int) -> list[tuple[Shown, ...]]:
    """Shuffle texts and cut them in batches as equal as can be, none above ``size``."""
    order = np.random.default_rng(seed).permutation(len(texts))
    parts = np.array_split(order, -(-len(texts) // size)) if len(texts) else []
    return [tuple(texts[i] for i in part) for part in parts]


class TextScorer(ABC):
    """Asks about a neuron's texts and measures how well the answers tell them apart.

    Args:
        pool: The neuron's texts.
        per_request: Texts in one request.
        parallel: Requests under way at the same time.
    """

    def __init__(
        self,
        model: LanguageModel,
        pool: TextPool,
        *,
        per_request: int = PER_REQUEST,
        parallel: int = PARALLEL,
    ) -> None:
        self._model = model
        self._pool = pool
        self._per_request = per_request
        self._parallel = parallel

    @property
    @abstractmethod
    def name(self) -> str:
        """See :class:`engine.judgement.Scorer`."""

    @property
    @abstractmethod
    def prompt(self) -> int:
        """Changes whenever the words or the layout of the prompt do."""

    @property
    @abstractmethod
    def task(self) -> str:
        """The system message: what is to be judged."""

    @abstractmethod
    def _batches(self, material: Material) -> list[tuple[Shown, ...]]:
        """The texts of each request."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """See :class:`engine.judgement.Scorer`."""
        return {
            "model": named(self._model),
            "prompt": self.prompt,
            "per_request": self._per_request,
            **self._pool.settings,
        }

    async def judge(
        self, explanation: Explanation, chance: Explanation | None
    ) -> AsyncGenerator[JudgeProgress | Judgement, None]:
        """See :class:`engine.judgement.Scorer`."""
        started = time.perf_counter()
        material = await self._pool.material()
        asked = await asyncio.to_thread(self._batches, material)
        texts = [explanation.text, *([chance.text] if chance is not None else [])]
        jobs = [
            partial(ask, self._model, self._question(text, batch), len(batch))
            for text in texts
            for batch in asked
        ]
        results: dict[int, Answers] = {}
        async with aclosing(answered(jobs, self._parallel)) as stream:
            async for place, answers in stream:
                results[place] = answers
                yield JudgeProgress(len(results), len(jobs))
        own = _items(asked, [results[i] for i in range(len(asked))])
        other = _items(asked, [results[i] for i in range(len(asked), len(jobs))])
        yield Judgement(
            scorer=self.name,
            model=named(self._model),
            settings={**self.settings, **material.settings},
            split=material.split,
            measures=told_apart(own),
            chance=told_apart(other) if chance is not None else (),
            chance_text=chance.text if chance is not None else "",
            items=tuple(own),
            usage=sum((one.usage for one in results.values()), Usage()),
            seconds=time.perf_counter() - started,
        )

    def estimate(self, explanation_text: str) -> tuple[int, int, int]:
        """Input tokens, output tokens and requests of one explanation.

        Counted on prompts of the texts that the scan kept, scaled to as many as are asked
        about; the answers are taken to be as short as they can be.

        Raises:
            MethodError: too few texts.
        """
        asked = self._batches(self._pool.kept())
        around, _, _ = cost(self._model, [self._question(explanation_text, ())])
        read, written, sent = cost(
            self._model, [self._question(explanation_text, batch) for batch in asked]
        )
        questions = sum(map(len, asked))
        share = self._pool.share(questions)
        requests = math.ceil(round(questions * share) / self._per_request)
        read = round((read - around * sent) * share) + around * requests
        return read, round(written * share), requests

    def _question(self, explanation: str, batch: Sequence[Shown]) -> Request:
        return question(self.task, explanation, [one.text for one in batch])


def judged_item(text: Text, *, right: bool, shown: str) -> JudgedItem:
    """A text before it is judged.

    Args:
        right: Whether yes is the right answer.
    """
    excerpt = text.record.excerpt
    return JudgedItem(
        window=excerpt.window,
        document_name=excerpt.document_name,
        text=shown,
        band=text.band,
        truth=float(right),
        prediction=None,
    )


def _items(asked: Sequence[tuple[Shown, ...]], results: Sequence[Answers]) -> list[JudgedItem]:
    items = []
    for batch, answers in zip(asked, results, strict=False):
        for shown, sure in zip(batch, answers.sure, strict=True):
            if sure is None:
                items.append(replace(shown.item, message=answers.message))
            else:
                said = replace(shown.item, prediction=float(sure > 0.5), probability=sure)
                items.append(said)
    return items
