"""Where a run's results come from: neuron by neuron, or from a few processes at once."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from engine.choices import Choices
from engine.errors import NeuroglassError
from engine.events import PipelineEvent, PipelineFailed, Scored, Spent
from engine.index import Index
from engine.models.faults import LanguageModelError
from engine.neuron import NeuronId
from engine.spending import Spending
from engine.store import Triaged
from engine.workbench import Workbench

#: Neurons that are prepared together, and handed to a helper at a time.
CHUNK = 16
#: A language model that fails so often in a row will not answer the next time either.
FAILURES_IN_A_ROW = 10


class Ending(NeuroglassError):
    """A failure that every further neuron would meet, too."""

    def __init__(self, message: str, remedy: str, exit_code: int) -> None:
        super().__init__(message, remedy)
        self.exit_code = exit_code


async def explained(
    events: AsyncGenerator[PipelineEvent, None],
    neuron: NeuronId,
    tell: Callable[[Spent], None] = lambda _spent: None,
) -> tuple[Triaged, PipelineFailed | None]:
    """Run one neuron's stream to its end.

    Args:
        tell: Takes what language models have used.
    """
    async with aclosing(events) as stream:
        async for event in stream:
            match event:
                case Spent():
                    tell(event)
                case PipelineFailed():
                    text = f"{event.message} {event.remedy}".strip()
                    return Triaged(neuron, message=text), event
                case Scored(explanation, card, judgements):
                    return Triaged(neuron, explanation, card, judgements), None
    raise AssertionError("a stream ended without a terminal event")


async def one_by_one(
    bench: Workbench,
    index: Index,
    neurons: Sequence[NeuronId],
    choices: Choices,
    spending: Spending,
    tell: Callable[[Spent], None],
    *,
    offline: bool,
) -> AsyncGenerator[Triaged, None]:
    """Explain one neuron after the other, whatever the choices.

    Raises:
        Ending: every further neuron would fail alike.
        NeuroglassError: the choices can't be carried out, or the index is damaged.
    """
    in_a_row = 0
    for number, neuron in enumerate(neurons):
        if number % CHUNK == 0:
            await bench.prepare(index, neurons[number : number + CHUNK], choices)
        events = bench.explain(index, neuron, choices, offline=offline, spending=spending)
        result, failure = await explained(events, neuron, tell)
        of_model = failure is not None and failure.exit_code == LanguageModelError.exit_code
        in_a_row = in_a_row + 1 if of_model else 0
        if failure is not None and (failure.everywhere or in_a_row >= FAILURES_IN_A_ROW):
            raise Ending(failure.message, failure.remedy, failure.exit_code)
        yield result
