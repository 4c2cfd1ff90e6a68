"""From names to parts: the method that a set of choices describes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from engine.catalogue import Catalogue, index_of
from engine.chance import other_explanation
from engine.choices import RULES, Choices
from engine.explanation import Explainer, Explanation
from engine.index import Index
from engine.judgement import Scorer
from engine.lookup import TokenLookupExplainer, TokenLookupSimulator
from engine.method import Method, Reviser
from engine.neuron import NeuronId
from engine.records import NeuronRecord
from engine.sides import record_of
from engine.simulation import Simulator
from engine.spending import Spending
from engine.splits import Splits

if TYPE_CHECKING:
    from engine.lab import Lab
    from engine.models.model import LanguageModel
    from engine.patterns.reader import PatternReader
    from engine.senses.reader import SenseReader


class Labs(Protocol):
    """Where the subject model comes from."""

    async def lab(self, index: Index) -> Lab:
        """The subject model of an index, for experiments."""
        ...

    async def patterns(self, index: Index) -> PatternReader:
        """What learns an index's neurons."""
        ...

    async def senses(self, index: Index) -> SenseReader:
        """What finds the senses of an index's neurons."""
        ...


async def assemble(
    labs: Labs, index: Catalogue, neuron: NeuronId, choices: Choices, spending: Spending
) -> Method:
    """Connect and put together what the choices name; nothing is asked of a model yet.

    Raises:
        UsageError: a choice takes the subject model, and the index is a published dataset.
        UsageError: a model's name makes no sense.
        LanguageModelError: a model can't be had: no key, no such checkpoint.
    """
    models = {part: await spending.model(name) for part, name in choices.models_needed().items()}
    needs_lab = choices.revisions or choices.explainer == "output-aware"
    lab = await labs.lab(index_of(index)) if needs_lab or choices.scorers else None
    reader = await labs.patterns(index_of(index)) if choices.explainer == "patterns" else None
    senses = await labs.senses(index_of(index)) if choices.needs_senses else None
    method = Method(
        explainer=_explainer(choices, models, lab, reader, senses),
        simulator=_simulator(choices, models),
        split=choices.split,
        samples=choices.samples,
        reviser=_reviser(choices, models, lab),
        revisions=choices.revisions,
        calibration=choices.calibration,
        chance=await _chance(index, neuron, choices),
        side=choices.side,
        waiting=spending.waiting,
    )
    if not choices.scorers:
        return method
    record = record_of(index.neuron(neuron), choices.side)
    scorers = _scorers(record, choices, models, lab, method.report_split)
    return replace(method, scorers=scorers)


async def identity(
    labs: Labs, index: Index, choices: Choices, spending: Spending
) -> dict[str, Any]:
    """What two runs have in common whose results are of the same kind, as JSON values.

    Raises:
        UsageError: a model's name makes no sense.
        LanguageModelError: a model can't be had.
    """
    models = {part: await spending.model(name) for part, name in choices.models_needed().items()}
    lab = await labs.lab(index) if choices.explainer == "output-aware" else None
    reader = await labs.patterns(index) if choices.explainer == "patterns" else None
    senses = await labs.senses(index) if choices.needs_senses else None
    explainer = _explainer(choices, models, lab, reader, senses)
    simulator = _simulator(choices, models)
    return {
        "index": index.index_id,
        "explainer": explainer.name,
        "settings": dict(explainer.settings),
        "simulator": simulator.name,
        "simulator_settings": dict(simulator.settings),
        "split": "test" if choices.selects and choices.split == "valid" else choices.split,
        "side": choices.side,
        "samples": choices.samples,
        "revisions": choices.revisions,
        "calibration": choices.calibration,
        "scorers": sorted(choices.scorers),
    }


async def _chance(index: Catalogue, neuron: NeuronId, choices: Choices) -> Explanation | None:
    if not choices.chance:
        return None
    tables = choices.simulator in RULES
    return await other_explanation(index, neuron, choices.side, tables=tables)


def _explainer(
    choices: Choices,
    models: dict[str, LanguageModel],
    lab: Lab | None,
    reader: PatternReader | None,
    senses: SenseReader | None,
) -> Explainer:
    if senses is None:
        return _plain_explainer(choices, models, lab, reader)
    from engine.senses.explainer import BySense, SenseExplainer

    if choices.explainer == "senses":
        return SenseExplainer(senses)
    return BySense(_plain_explainer(choices, models, lab, reader), senses)


def _plain_explainer(
    choices: Choices,
    models: dict[str, LanguageModel],
    lab: Lab | None,
    reader: PatternReader | None,
) -> Explainer:
    match choices.explainer:
        case "patterns":
            from engine.patterns.explainer import PatternExplainer

            assert reader is not None
            return PatternExplainer(reader)
        case "token-activation-pairs":
            from engine.explainers.pairs import TokenActivationPairsExplainer

            return TokenActivationPairsExplainer(models["explainer"])
        case "summary":
            from engine.explainers.summary import SummaryExplainer

            return SummaryExplainer(models["explainer"])
        case "output-aware":
            from engine.explainers.output_aware import OutputAwareExplainer

            assert lab is not None
            return OutputAwareExplainer(models["explainer"], lab.promoted)
        case _:
            return TokenLookupExplainer()


def _simulator(choices: Choices, models: dict[str, LanguageModel]) -> Simulator:
    match choices.simulator:
        case "patterns":
            from engine.patterns.explainer import PatternSimulator

            return PatternSimulator()
        case "senses":
            from engine.senses.explainer import SenseSimulator

            return SenseSimulator()
        case "all-at-once":
            from engine.simulators.all_at_once import AllAtOnceSimulator

            return AllAtOnceSimulator(models["simulator"])
        case "one-token":
            from engine.simulators.one_token import OneTokenSimulator

            return OneTokenSimulator(models["simulator"])
        case "json":
            from engine.simulators.compact_json import CompactJsonSimulator

            return CompactJsonSimulator(models["simulator"])
        case _:
            return TokenLookupSimulator()


def _reviser(choices: Choices, models: dict[str, LanguageModel], lab: Lab | None) -> Reviser | None:
    if not choices.revisions:
        return None
    from engine.explainers.revise import CounterExampleReviser

    assert lab is not None
    return CounterExampleReviser(models["explainer"], lab)


def _scorers(
    record: NeuronRecord,
    choices: Choices,
    models: dict[str, LanguageModel],
    lab: Lab | None,
    split: str,
) -> Callable[[Simulator, Splits], Sequence[Scorer]]:
    def make(simulator: Simulator, splits: Splits) -> Sequence[Scorer]:
        if lab is None or not choices.scorers:
            return ()
        from engine.scorers.ablation import AblationScorer
        from engine.scorers.detection import DetectionScorer
        from engine.scorers.fuzzing import FuzzingScorer
        from engine.scorers.generation import GenerationScorer
        from engine.scorers.texts import TextPool

        pool = TextPool(record, splits, split, side=choices.side, lab=lab)
        mean = record.statistics.mean
        makers: dict[str, Callable[[], Scorer]] = {
            "detection": lambda: DetectionScorer(models["scorer"], pool),
            "fuzzing": lambda: FuzzingScorer(models["scorer"], pool),
            "generation": lambda: GenerationScorer(models["scorer"], lab, pool),
            "ablation": lambda: AblationScorer(lab, simulator, splits, split, mean=mean),
        }
        return [makers[name]() for name in choices.scorers]

    return make
