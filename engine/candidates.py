"""Several explanations of one neuron, and which of them is kept.

Candidates are compared by their score on the valid split.  What was chosen by a number
is flattered by it, so the number that is reported comes from another split (test).
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from engine.errors import MethodError, NeuroglassError
from engine.events import (
    CandidateFailed,
    CandidateScored,
    CandidateStarted,
    Explained,
    PipelineEvent,
)
from engine.explanation import Evidence, Explanation, Preparing, Word
from engine.method import Method
from engine.models.faults import Fault, LanguageModelError
from engine.records import NeuronRecord, TokenMeans
from engine.scoring import score_records
from engine.simulate import calibrated, simulate_all
from engine.splits import Splits
from engine.streams import closing


async def candidates(
    record: NeuronRecord, means: TokenMeans, splits: Splits, method: Method
) -> AsyncGenerator[PipelineEvent, None]:
    """Draw the method's samples, revise the best, and yield it as Explained, last.

    A single candidate is not scored here. A revision is kept only where its score is
    higher; one that could not be written or scored leaves the one before it.

    Raises:
        NeuroglassError: no candidate could be written, or every request would fail.
    """
    revisions = method.revisions if method.reviser is not None else 0
    total = method.samples + revisions
    best: Explanation | None = None
    best_score = -math.inf
    for number in range(1, total + 1):
        evidence = evidence_of(record, means, splits, method, sample=number - 1)
        revising = number > method.samples
        if method.waiting() and revising:
            raise later()
        if total > 1:
            yield CandidateStarted(number, total, revising)
        if revising:
            assert best is not None
            assert method.reviser is not None
            stream: AsyncIterator[Preparing | Word | Explanation] = method.reviser.revise(
                best, evidence
            )
        else:
            stream = method.explainer.explain(evidence)
        written: Explanation | None = None
        try:
            async with closing(stream) as pieces:
                async for piece in pieces:
                    if isinstance(piece, Word | Preparing):
                        yield piece
                    else:
                        written = piece
            if written is None:
                raise MethodError(f"The explainer {method.explainer.name} gave no explanation.")
        except NeuroglassError as error:
            ends = isinstance(error, LanguageModelError) and error.ends_run
            if ends or (best is None and number >= method.samples):
                raise
            yield CandidateFailed(number, total, str(error))
            continue
        if total == 1:
            best = written
            break
        score = await _choosing_score(written, method, splits)
        better = best is None or (score is not None and score > best_score)
        if better:
            best = written
            best_score = -math.inf if score is None else score
        yield CandidateScored(number, total, written, score, better)
    if method.waiting():
        raise later()
    assert best is not None
    yield Explained(best)


def later() -> LanguageModelError:
    """What to raise where the next step would build on requests that were put off."""
    return LanguageModelError(Fault.LATER, "A batch has to be answered first.")


async def _choosing_score(explanation: Explanation, method: Method, splits: Splits) -> float | None:
    simulator, _ = await calibrated(explanation, method, splits)
    simulated = simulate_all(simulator, explanation, splits.valid, method.parallel)
    async with aclosing(simulated) as stream:
        records = [record async for record in stream]
    return score_records(records)[0].ev_correlation


def evidence_of(
    record: NeuronRecord, means: TokenMeans, splits: Splits, method: Method, sample: int
) -> Evidence:
    """What an explainer of this method may look at."""
    return Evidence(
        neuron=record.neuron,
        train=splits.train,
        others=splits.others,
        token_means=means,
        statistics=record.statistics,
        side=method.side,
        sample=sample,
    )
