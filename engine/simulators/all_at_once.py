"""All activations of a text from one pass over it (method: Bills et al. 2023, 1.7a).

The text ends in the record to simulate with the word ``unknown`` in place of every
activation.  What the model would have written at those places, given everything before
them, is its distribution over the activation of that token; the mean of it is the
simulated value.  Nothing is sampled, and one pass gives all of them.

The solved neurons before it each begin hidden in the same way and then go on with numbers,
so that a number is likely at every ``unknown``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.explanation import Explanation
from engine.few_shots import FEW_SHOTS, FewShot
from engine.models.faults import Fault, LanguageModelError
from engine.models.model import LanguageModel
from engine.models.request import PromptReply, PromptRequest, Usage
from engine.normalise import STEPS
from engine.prompt_records import record_lines, records_block, unknown_places
from engine.records import Excerpt
from engine.simulation import Simulation
from engine.simulators.examples import SolvedNeuron, solved
from engine.simulators.outcome import failed, give_up, named, one_line, outcome
from engine.simulators.places import place_tokens, read_values

NAME = "all-at-once"
#: Changes whenever the words or the layout of the prompt do.
PROMPT = 1
#: Shares of the solved records that are hidden, in turns: half, a fifth, nothing.
HIDDEN = (0.5, 0.2, 0.0)
TOP_LOGPROBS = 15

_TASK = (
    "Each section below is about one neuron of a language model. It says in a sentence what "
    "the neuron responds to, and goes on with texts that the neuron read: one token on each "
    "line, then a tab, then how strongly the neuron responded to that token in its context. "
    "The response is a whole number: 0 is none, and {highest} is the strongest. Most tokens "
    "have 0. Where a response is not shown the line has the word unknown in its place. "
    "A line break inside a token is written as a backslash and an n."
)

_NUMBERS = "a\t1\nb\t10\nc\t0\nd\t10\ne\t1\n"


@dataclass(frozen=True, slots=True)
class Prompt:
    """A text to be read by the model.

    Attributes:
        places: Character at which each token's activation would stand.
        start: Where the record to simulate begins.
    """

    text: str
    places: tuple[int, ...]
    start: int


class AllAtOnceSimulator:
    """Reads expected activations off the distributions over a text without them.

    It needs a backend with log-probabilities of a given text: a local model, or a server
    that echoes them.

    A tokenizer that has no token of its own for ``10`` would show the probability of 10 as
    that of 1.  So the model is first asked to read a few numbers: where it cuts 10 in two,
    and the backend does not put it together again as the local one does, the scale ends
    at 9 (9 and 10 are both shown as 9).

    Args:
        few_shots: Solved neurons; fewer are shown where the model's context is too short
            for all of them.
        highest: 10 or 9; None: as found by asking.
    """

    name = NAME

    def __init__(
        self,
        model: LanguageModel,
        *,
        few_shots: Sequence[FewShot] = FEW_SHOTS,
        top_logprobs: int = TOP_LOGPROBS,
        highest: int | None = None,
    ) -> None:
        self._model = model
        self._few_shots = tuple(few_shots)
        self._top = top_logprobs
        self._highest = highest
        self._context: int | None = None

    @property
    def settings(self) -> Mapping[str, Any]:
        """See :class:`engine.simulation.Simulator`."""
        return {
            "model": named(self._model),
            "prompt": PROMPT,
            "few_shots": len(self._few_shots),
            "top_logprobs": self._top,
            "highest": self._highest,
        }

    async def simulate(self, explanation: Explanation, excerpt: Excerpt) -> Simulation:
        """Predict one excerpt in one pass.

        Raises:
            LanguageModelError: of a kind that ends the run.
        """
        if not len(excerpt):
            return failed(excerpt, "the excerpt has no tokens", Usage())
        usage = Usage()
        try:
            if self._context is None:
                self._context = (await self._model.capabilities()).context
            if self._highest is None:
                self._highest, usage = await self._scale()
            prompt, reply = await self._read(explanation.text, excerpt, self._highest)
        except LanguageModelError as error:
            return give_up(error, excerpt, usage)
        values, message = read_values(
            prompt.text, prompt.places, reply.tokens, prompt.start, self._highest
        )
        return outcome(excerpt, values, message, usage + reply.usage)

    def estimate(self, explanation_text: str, excerpt: Excerpt) -> tuple[int, int, int]:
        """See :class:`engine.simulators.outcome.ModelSimulator`; nothing is written."""
        prompt = next(self._fitting(explanation_text, excerpt, self._highest or STEPS))
        return self._model.count_tokens(prompt.text), 0, 1

    async def _scale(self) -> tuple[int, Usage]:
        """The end of the scale, from the way the model's tokenizer cuts a 10.

        The text is always the same, so that a cache of replies knows it.
        """
        values = tuple(str(value) for value in range(STEPS + 1))
        reply = await self._model.prompt_logprobs(
            PromptRequest(_NUMBERS, top_logprobs=self._top, values=values)
        )
        ten = str(STEPS)
        first = place_tokens(_NUMBERS, reply.tokens).get(_NUMBERS.index(ten))
        cut = first is not None and first.text == ten[0]
        known = any(ten in token.top for token in reply.tokens)
        return (STEPS - 1 if cut and not known else STEPS), reply.usage

    async def _read(
        self, explanation: str, excerpt: Excerpt, highest: int
    ) -> tuple[Prompt, PromptReply]:
        """Have the longest prompt read that the model's context holds."""
        refusal: LanguageModelError | None = None
        for prompt in self._fitting(explanation, excerpt, highest):
            request = PromptRequest(
                prompt.text,
                start=prompt.start,
                top_logprobs=self._top,
                values=tuple(str(value) for value in range(highest + 1)),
            )
            try:
                return prompt, await self._model.prompt_logprobs(request)
            except LanguageModelError as error:
                if error.fault is not Fault.TOO_LONG:
                    raise
                refusal = error
        assert refusal is not None
        raise refusal

    def _fitting(self, explanation: str, excerpt: Excerpt, highest: int) -> Iterator[Prompt]:
        """Prompts of the same record, fewer and fewer examples; the last has none."""
        neurons = solved(self._few_shots, highest)
        while True:
            prompt = build_prompt(neurons, explanation, excerpt.tokens, highest)
            too_long = (
                self._context is not None and self._model.count_tokens(prompt.text) > self._context
            )
            if not (neurons and too_long):
                yield prompt
            if not neurons:
                return
            neurons = _fewer(neurons)


def build_prompt(
    neurons: Sequence[SolvedNeuron], explanation: str, tokens: Sequence[bytes], highest: int
) -> Prompt:
    """The whole text for one record of one neuron."""
    parts = [_TASK.format(highest=highest)]
    shown = 0
    for number, neuron in enumerate(neurons, start=1):
        starts = []
        for record in neuron.records:
            starts.append(int(len(record.tokens) * HIDDEN[shown % len(HIDDEN)]))
            shown += 1
        records = [(record.tokens, record.values) for record in neuron.records]
        block = records_block(records, hidden_before=starts)
        parts.append(_section(number, neuron.explanation, block))
    block = records_block([(tokens, None)])
    text = "".join(parts) + _section(len(neurons) + 1, one_line(explanation), block)
    begin = len(text) - len(block) + block.index(record_lines(tokens, None))
    places = tuple(begin + place for place in unknown_places(tokens))
    return Prompt(text, places, begin)


def _section(number: int, explanation: str, block: str) -> str:
    return f"\n\nNeuron {number}\nResponds to: {explanation}\nResponses:{block}"


def _fewer(neurons: tuple[SolvedNeuron, ...]) -> tuple[SolvedNeuron, ...]:
    """First one record less of the neuron that has most, then one neuron less."""
    most = max(range(len(neurons)), key=lambda i: (len(neurons[i].records), i))
    if len(neurons[most].records) > 1:
        less = SolvedNeuron(neurons[most].explanation, neurons[most].records[:-1])
        return (*neurons[:most], less, *neurons[most + 1 :])
    return neurons[:-1]
