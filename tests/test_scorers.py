"""Scorers on the demo model and a real scan, with language models that know or don't."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from engine.chance import other_explanation
from engine.errors import MethodError
from engine.explanation import Evidence, Explanation
from engine.index import Index
from engine.judgement import Judgement, JudgeProgress, Measured, Scorer
from engine.lab import Lab
from engine.lookup import TokenLookupExplainer, TokenLookupSimulator
from engine.models.faults import Fault, LanguageModelError
from engine.models.model import Capabilities
from engine.models.request import Delta, Finish, PromptReply, PromptRequest, Reply, Request, Usage
from engine.neuron import NeuronId
from engine.paths import read_pointer
from engine.records import ActivationRecord, Excerpt, Fold, Group, NeuronRecord
from engine.score import ScoreStatus
from engine.scorers.ablation import AblationScorer
from engine.scorers.detection import DetectionScorer
from engine.scorers.fuzzing import CLOSE, OPEN, FuzzingScorer, elsewhere, marked, runs
from engine.scorers.generation import GenerationScorer
from engine.scorers.telling import TextScorer
from engine.scorers.texts import TextPool, choose
from engine.sides import record_of
from engine.simulation import Scale, Simulation, SimulationStatus
from engine.splits import HELD_OUT, Splits, split_records

NEURON = NeuronId(3, 276)
EXPLANATION = Explanation(NEURON, "places where\nit rains", "hand-written")
OTHER = Explanation(NeuronId(3, 5), "the names of ships", "hand-written")


@dataclass
class Brain:
    """A language model whose replies come from a function of the conversation."""

    think: Callable[[str], str]
    seen: list[Request] = field(default_factory=list)
    provider: str = "test"
    model: str = "brain"

    async def capabilities(self) -> Capabilities:
        return Capabilities()

    async def stream(self, request: Request) -> AsyncIterator[Delta | Reply]:
        yield await self.complete(request)

    async def complete(self, request: Request) -> Reply:
        self.seen.append(request)
        await asyncio.sleep(0)
        text = self.think(request.messages[-1].text)
        return Reply(text, Finish.STOP, Usage(100, 10, requests=1), "brain-1")

    async def prompt_logprobs(self, request: PromptRequest) -> PromptReply:
        raise LanguageModelError(Fault.UNSUPPORTED, "no")

    def count_tokens(self, text: str) -> int:
        return len(text) // 4

    async def close(self) -> None:
        """Nothing is open."""


def shown(question: str) -> dict[str, str]:
    """The numbered texts of a question, read from its words."""
    lines = re.findall(r"^(\d+): (\".*\")$", question, re.MULTILINE)
    return {number: json.loads(text) for number, text in lines}


def always(value: object) -> Callable[[str], str]:
    return lambda question: json.dumps(dict.fromkeys(shown(question), value))


def oracle(key: dict[str, float]) -> Callable[[str], str]:
    return lambda question: json.dumps(
        {number: round(10 * key[text]) for number, text in shown(question).items()}
    )


@pytest.fixture(scope="module")
def index(demo_home: Path) -> Index:
    path = read_pointer(demo_home)
    assert path is not None
    return Index.open(path)


@pytest.fixture(scope="module")
def lab(index: Index) -> Iterator[Lab]:
    lab = Lab.of(index)
    yield lab
    asyncio.run(lab.close())


@pytest.fixture(scope="module")
def record(index: Index) -> NeuronRecord:
    return index.neuron(NEURON)


@pytest.fixture(scope="module")
def splits(record: NeuronRecord) -> Splits:
    return split_records(record)


@pytest.fixture(scope="module")
def pool(record: NeuronRecord, splits: Splits, lab: Lab) -> TextPool:
    return TextPool(record, splits, "valid", lab=lab)


async def judged(
    scorer: Scorer, explanation: Explanation = EXPLANATION, chance: Explanation | None = None
) -> Judgement:
    pieces = [piece async for piece in scorer.judge(explanation, chance)]
    *progress, last = pieces
    assert isinstance(last, Judgement)
    assert all(isinstance(piece, JudgeProgress) for piece in progress)
    dones = [piece.done for piece in progress if isinstance(piece, JudgeProgress)]
    assert dones == sorted(dones)
    assert isinstance(progress[-1], JudgeProgress)
    assert progress[-1].done == progress[-1].total
    json.dumps(last.settings)
    return last


# ---------------------------------------------------------------- texts


async def test_texts_are_held_out_and_on_either_side_of_a_gap(
    pool: TextPool, splits: Splits
) -> None:
    material = await pool.material()
    where = material.thresholds
    assert where.silent < where.firing
    assert len(material.firing) == len(material.silent) == 20
    texts = (*material.firing, *material.silent)
    assert len({text.record.excerpt.window for text in texts}) == len(texts)
    assert len({" ".join(text.record.excerpt.text.split()) for text in texts}) == len(texts)
    assert all(text.record.excerpt.fold is Fold.SCORE for text in texts)
    assert all(text.record.peak >= where.firing for text in material.firing)
    assert all(text.record.peak < where.silent for text in material.silent)
    assert {text.band for text in material.silent} == {"0-.5"}
    assert len({text.band for text in material.firing}) >= 2
    documents = {text.record.excerpt.document for text in texts}
    assert not documents & {held.record.excerpt.document for held in splits.calibration}


def test_a_test_split_sees_nothing_that_the_choice_was_made_by(
    record: NeuronRecord, splits: Splits
) -> None:
    material = choose(record, splits, "test")
    documents = {one.record.excerpt.document for one in (*material.firing, *material.silent)}
    for name in ("calibration", "valid"):
        assert not documents & {held.record.excerpt.document for held in splits.held_out(name)}


def test_a_text_of_the_explain_fold_is_refused(record: NeuronRecord, splits: Splits) -> None:
    seen = record.records[Fold.EXPLAIN, Group.TOP]
    with pytest.raises(MethodError, match="may have seen"):
        choose(record, splits, "valid", more=seen)


def test_bands_are_named_by_their_quantiles(record: NeuronRecord, splits: Splits) -> None:
    where = choose(record, splits, "valid").thresholds
    half, nine, ninety_nine, thousand = record.statistics.quantile_boundaries.tolist()
    assert (where.silent, where.firing) == (half, nine)
    found = [where.band(peak) for peak in (-1, half, nine, ninety_nine, thousand, 1e9)]
    assert found == ["0-.5", ".5-.9", ".9-.99", ".99-.999", ".999-1", ".999-1"]


async def test_the_negative_side_has_texts_of_its_own(index: Index, lab: Lab) -> None:
    record = record_of(index.neuron(NEURON), "negative")
    pool = TextPool(record, split_records(record), "valid", side="negative", lab=lab)
    material = await pool.material()
    assert material.thresholds.firing > material.thresholds.silent
    window = material.firing[0].record.excerpt
    [again] = await lab.activations(NEURON, [window.text])
    assert material.firing[0].record.peak == pytest.approx(-again.trough, abs=0.02)


def test_a_neuron_that_never_changes_tells_nothing_apart(
    record: NeuronRecord, splits: Splits
) -> None:
    flat = np.zeros(4, dtype=np.float32)
    dead = replace(record, statistics=replace(record.statistics, quantile_boundaries=flat))
    with pytest.raises(MethodError, match="the same in every text"):
        choose(dead, splits, "valid")


def test_too_few_texts_are_an_error_with_a_remedy(record: NeuronRecord, splits: Splits) -> None:
    few = {
        (Fold.SCORE, Group.TOP): record.records[Fold.SCORE, Group.TOP][:1],
        (Fold.SCORE, Group.RANDOM): record.records[Fold.SCORE, Group.RANDOM],
    }
    with pytest.raises(MethodError, match="at least 3") as failure:
        choose(replace(record, records=few), splits, "valid")
    assert failure.value.remedy


# ---------------------------------------------------------------- detection and fuzzing

TELLING: list[type[TextScorer]] = [DetectionScorer, FuzzingScorer]


@pytest.mark.parametrize("kind", TELLING)
async def test_a_model_that_always_says_the_same_is_at_chance(
    kind: type[TextScorer], pool: TextPool
) -> None:
    for value in (0, 5, 10):
        found = await judged(kind(Brain(always(value)), pool))
        assert {measure.value for measure in found.measures} == {0.5}
        assert found.headline.coverage == 1
        assert found.headline.status is ScoreStatus.OK
        between = found.headline.interval
        assert between is not None
        assert between.low < 0.5 < between.high


@pytest.mark.parametrize("kind", TELLING)
async def test_an_oracle_is_right_and_its_opposite_wrong(
    kind: type[TextScorer], pool: TextPool
) -> None:
    blind = await judged(kind(Brain(always(5)), pool))
    key = {item.text: item.truth for item in blind.items}
    brain = Brain(oracle(key))
    found = await judged(kind(brain, pool), chance=OTHER)
    assert {measure.value for measure in found.measures} == {1.0}
    assert {measure.value for measure in found.chance} == {1.0}
    assert {m.measured for m in found.measures} == {Measured.BALANCED_ACCURACY, Measured.AUC}
    assert found.chance_text == OTHER.text
    assert found.usage == Usage(100 * len(brain.seen), 10 * len(brain.seen), 0, len(brain.seen))
    assert all(item.prediction == item.truth == item.probability for item in found.items)
    wrong = await judged(kind(Brain(oracle({t: 1 - v for t, v in key.items()})), pool))
    assert {measure.value for measure in wrong.measures} == {0.0}


@pytest.mark.parametrize("kind", TELLING)
async def test_each_explanation_is_shown_with_the_same_texts(
    kind: type[TextScorer], pool: TextPool
) -> None:
    brain = Brain(always(3))
    scorer = kind(brain, pool)
    await judged(scorer, chance=OTHER)
    asked = [request.messages[-1].text for request in brain.seen]
    own = [question for question in asked if '"places where it rains"' in question]
    other = [question for question in asked if '"the names of ships"' in question]
    assert len(own) == len(other) == 8
    assert sorted(map(str, map(shown, own))) == sorted(map(str, map(shown, other)))
    assert all(len(shown(question)) == 5 for question in own)
    read, written, requests = scorer.estimate(EXPLANATION.text)
    assert requests == pytest.approx(8, abs=1)
    sent = sum(len(m.text) for r in brain.seen for m in r.messages) / 4 / 2
    assert read == pytest.approx(sent, rel=0.15)
    assert 0 < written < read


@pytest.mark.parametrize("kind", TELLING)
async def test_garbage_is_no_answer(kind: type[TextScorer], pool: TextPool) -> None:
    for reply in ("I would rather not.", "", '{"1": "yes"}', "[1, 2]", '{"1": 11, "2": -1}'):
        brain = Brain(lambda _question, reply=reply: reply)  # type: ignore[misc]
        found = await judged(kind(brain, pool))
        assert found.headline.value is None
        assert found.headline.coverage == 0
        assert found.headline.status is ScoreStatus.FAILED
        assert all(item.prediction is None and item.message for item in found.items)
        assert len(brain.seen) == 16  # each batch once more, and not again
        assert {request.sample for request in brain.seen} == {0, 1}


async def test_what_a_reply_leaves_out_is_asked_again_and_then_missing(pool: TextPool) -> None:
    def partly(question: str) -> str:
        return "Sure: ```json\n" + json.dumps({"1": 9, "2": True, "3": 2.5, "4": 0}) + "\n```"

    found = await judged(DetectionScorer(Brain(partly), pool))
    assert found.headline.coverage == 0.4
    assert found.headline.status is ScoreStatus.PARTIAL
    assert found.headline.value is not None
    assert sum(item.prediction is None for item in found.items) == 24
    calls = 0

    def better(question: str) -> str:
        nonlocal calls
        calls += 1
        return always(4)(question) if calls > 8 else partly(question)

    found = await judged(DetectionScorer(Brain(better), pool, parallel=100))
    assert found.headline.coverage == 1


async def test_a_last_batch_may_be_short(pool: TextPool) -> None:
    brain = Brain(always(7))
    found = await judged(DetectionScorer(brain, pool, per_request=7))
    assert found.headline.coverage == 1
    assert sorted(len(shown(r.messages[-1].text)) for r in brain.seen) == [6, 6, 7, 7, 7, 7]


async def test_one_failed_request_is_missing_answers_with_its_message(pool: TextPool) -> None:
    calls = 0

    def once(question: str) -> str:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise LanguageModelError(Fault.REFUSED, "The model refused.", "Ask another.")
        return always(9)(question)

    found = await judged(DetectionScorer(Brain(once), pool))
    assert found.headline.coverage == 35 / 40
    assert "The model refused." in found.headline.message
    assert calls == 8


@pytest.mark.parametrize("fault", [Fault.MALFORMED, Fault.EMPTY])
async def test_a_reply_that_the_backend_could_not_read_is_asked_for_once_more(
    fault: Fault, pool: TextPool, lab: Lab
) -> None:
    calls = 0

    def second(question: str) -> str:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise LanguageModelError(fault, "Nothing to read.")
        return always(9)(question) if "Texts:" in question else '{"texts": ["a", "b"]}'

    found = await judged(DetectionScorer(Brain(second), pool))
    assert (found.headline.coverage, calls) == (1, 9)
    calls = 0
    found = await judged(GenerationScorer(Brain(second), lab, pool, count=2))
    assert (found.headline.coverage, calls) == (1, 2)


@pytest.mark.parametrize("fault", [Fault.WRONG_KEY, Fault.BUDGET, Fault.OFFLINE])
async def test_what_ends_a_run_ends_the_judgement(fault: Fault, pool: TextPool, lab: Lab) -> None:
    def fail(_question: str) -> str:
        raise LanguageModelError(fault, "No.")

    for make in (DetectionScorer, FuzzingScorer, lambda m, p: GenerationScorer(m, lab, p)):
        brain = Brain(fail)
        with pytest.raises(LanguageModelError) as failure:
            await judged(make(brain, pool))
        assert failure.value.fault is fault
        assert len(brain.seen) <= 4  # no more than were under way


async def test_no_more_requests_than_allowed_at_a_time_and_closing_ends_all(
    pool: TextPool,
) -> None:
    running = most = 0
    never = asyncio.Event()

    class Slow(Brain):
        async def complete(self, request: Request) -> Reply:
            nonlocal running, most
            running += 1
            most = max(most, running)
            try:
                if len(self.seen) >= 3:
                    await never.wait()
                await asyncio.sleep(0.01)
                return await super().complete(request)
            finally:
                running -= 1

    stream = DetectionScorer(Slow(always(1)), pool, parallel=3).judge(EXPLANATION, None)
    async with aclosing(stream) as pieces:
        async for _piece in pieces:
            break
    assert most == 3
    assert running == 0


# ---------------------------------------------------------------- marks


async def test_marks_are_on_tokens_that_fire_or_on_silent_ones(pool: TextPool) -> None:
    material = await pool.material()
    brain = Brain(always(5))
    found = await judged(FuzzingScorer(brain, pool))
    records = {text.record.excerpt.window: text.record for text in material.firing}
    by_window: dict[int, list[float]] = {}
    for item in found.items:
        by_window.setdefault(item.window, []).append(item.truth)
        record = records[item.window]
        fires = runs(record.activations >= material.thresholds.firing)
        if item.truth:
            assert item.text == marked(record, fires)
        else:
            assert item.text.count(OPEN) == len(fires)
            assert item.text != marked(record, fires)
        assert item.text.replace(OPEN, "").replace(CLOSE, "") == record.excerpt.text
    assert all(sorted(both) == [0.0, 1.0] for both in by_window.values())
    for request in brain.seen:
        plain = [
            t.replace(OPEN, "").replace(CLOSE, "") for t in shown(request.messages[1].text).values()
        ]
        assert len(set(plain)) == len(plain)  # both versions are never in one request


def test_wrong_runs_are_as_long_and_as_many_and_on_quiet_tokens() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        quiet = rng.random(64) < 0.8
        lengths = [int(n) for n in rng.integers(1, 4, size=4)]
        placed = elsewhere(lengths, quiet, rng)
        assert placed is not None
        assert sorted(end - start for start, end in placed) == sorted(lengths)
        chosen = np.zeros(64, dtype=bool)
        for start, end in placed:
            chosen[start:end] = True
        assert quiet[chosen].all()
        assert runs(chosen) == placed
    assert elsewhere([3], np.array([True, True, False, True, True]), rng) is None


def _record(tokens: tuple[bytes, ...]) -> ActivationRecord:
    ids = np.zeros(len(tokens), dtype=np.int32)
    excerpt = Excerpt(1, 1, "d", 0, Fold.SCORE, ids, tokens)
    return ActivationRecord(excerpt, np.zeros(len(tokens), dtype=np.float32))


def test_marks_keep_characters_whole_and_escape_what_looks_like_them() -> None:
    euro = (b"a", b"\xe2\x82", b"\xac", b" b", OPEN.encode(), b"c")
    assert marked(_record(euro), [(1, 2)]) == f"a{OPEN}€{CLOSE} b\\u27e6c"
    assert marked(_record(euro), [(2, 3), (4, 5)]) == f"a{OPEN}€{CLOSE} b{OPEN}\\u27e6{CLOSE}c"
    assert marked(_record(euro), [(0, 1), (2, 3)]) == f"{OPEN}a€{CLOSE} b\\u27e6c"


# ---------------------------------------------------------------- generation


def writing(texts: list[str]) -> Callable[[str], str]:
    return lambda _question: json.dumps({"texts": texts})


async def test_written_texts_fire_or_not_as_the_subject_model_says(
    pool: TextPool, lab: Lab
) -> None:
    material = await pool.material()
    loud = [text.record.excerpt.text for text in material.firing]
    read = await lab.activations(NEURON, loud)
    # A window's text may be cut into other tokens than in its document.
    loud = [t for t, r in zip(loud, read, strict=True) if r.peak >= material.thresholds.firing]
    quiet = [text.record.excerpt.text for text in material.silent[:10]]
    assert len(loud) >= 10

    def writer(question: str) -> str:
        return writing(loud[:10] if "rains" in question else quiet)(question)

    brain = Brain(writer)
    found = await judged(GenerationScorer(brain, lab, pool), chance=OTHER)
    assert found.headline.measured is Measured.FIRING_SHARE
    assert found.headline.value == 1
    assert found.chance[0].value is not None
    assert found.chance[0].value <= 0.1
    assert found.headline.interval is not None
    assert found.headline.interval.low < 0.8
    assert found.headline.chance is not None
    assert 0.02 < found.headline.chance < 0.3  # a tenth of all windows fires, by definition
    assert found.headline.items == len(found.items) == 10
    assert len(brain.seen) == 2
    assert {(item.window, item.band) for item in found.items} == {(-1, "generated")}


async def test_texts_that_are_not_written_are_missing(pool: TextPool, lab: Lab) -> None:
    same = ["Snow fell.", "Snow fell. ", "", "It rained."]
    brain = Brain(writing(same))
    found = await judged(GenerationScorer(brain, lab, pool, count=4))
    assert found.headline.coverage == 0.5
    assert found.headline.status is ScoreStatus.PARTIAL
    assert len(brain.seen) == 2
    assert [item.prediction for item in found.items] == [1, 1, None, None]
    nothing = await judged(GenerationScorer(Brain(lambda _q: '{"texts": 3}'), lab, pool))
    assert nothing.headline.value is nothing.headline.interval is None
    assert nothing.headline.coverage == 0
    assert nothing.headline.status is ScoreStatus.FAILED
    many = await judged(GenerationScorer(Brain(writing([f"{n}." for n in range(99)])), lab, pool))
    assert many.headline.items == 10


# ---------------------------------------------------------------- ablation


@dataclass
class Knowing:
    """A simulator that knows the truth of every window, and makes of it what it is told to."""

    truth: dict[int, ActivationRecord]
    make: Callable[[np.ndarray], np.ndarray]
    scale: Scale = Scale.NORMALISED
    name: str = "knowing"
    settings: dict[str, object] = field(default_factory=dict)

    async def simulate(self, explanation: Explanation, excerpt: Excerpt) -> Simulation:
        values = self.make(self.truth[excerpt.window].activations.copy()).astype(np.float32)
        missing = np.isnan(values)
        if missing.all():
            return Simulation.failed(excerpt, self.scale, "it does not know")
        status = SimulationStatus.PARTIAL if missing.any() else SimulationStatus.OK
        return Simulation(excerpt, values, self.scale, status, "holes" if missing.any() else "")


def knowing(splits: Splits, make: Callable[[np.ndarray], np.ndarray]) -> Knowing:
    held = [held.record for name in HELD_OUT for held in splits.held_out(name)]
    return Knowing({record.excerpt.window: record for record in held}, make)


def ablation(lab: Lab, simulator: object, splits: Splits, record: NeuronRecord) -> AblationScorer:
    return AblationScorer(lab, simulator, splits, "valid", mean=record.statistics.mean)  # type: ignore[arg-type]


async def test_a_perfect_simulation_keeps_the_whole_effect(
    lab: Lab, splits: Splits, record: NeuronRecord
) -> None:
    perfect = knowing(splits, lambda values: 3 * values + 1)  # on any scale: it is calibrated
    found = await judged(ablation(lab, perfect, splits, record))
    assert found.headline.measured is Measured.EFFECT_KEPT
    assert found.headline.value == pytest.approx(1, abs=1e-3)
    assert found.headline.interval is not None
    assert found.headline.interval.low > 0.99
    assert found.headline.status is ScoreStatus.OK
    zero = found.measures[1]
    assert (zero.of, zero.items) == ("zero ablation", found.headline.items)
    assert zero.value == pytest.approx(0, abs=0.2)


async def test_the_negative_side_is_put_back_with_its_sign(index: Index, lab: Lab) -> None:
    record = record_of(index.neuron(NEURON), "negative")
    splits = split_records(record)
    perfect = knowing(splits, lambda values: values)
    explanation = replace(EXPLANATION, side="negative")
    found = await judged(ablation(lab, perfect, splits, record), explanation)
    assert found.headline.value == pytest.approx(1, abs=1e-3)


async def test_knowing_nothing_keeps_nothing(
    lab: Lab, splits: Splits, record: NeuronRecord
) -> None:
    constant = knowing(splits, lambda values: np.full_like(values, 4))
    found = await judged(ablation(lab, constant, splits, record))
    assert found.headline.value == pytest.approx(0, abs=0.15)
    assert found.headline.chance == 0
    half = await judged(ablation(lab, knowing(splits, _blurred), splits, record))
    assert half.headline.value is not None
    assert found.headline.value + 0.1 < half.headline.value < 0.95


def _blurred(values: np.ndarray) -> np.ndarray:
    return np.where(np.arange(len(values)) % 3 == 0, 0, values)


async def test_missing_values_are_left_out_of_both_runs(
    lab: Lab, splits: Splits, record: NeuronRecord
) -> None:
    def holes(values: np.ndarray) -> np.ndarray:
        return np.where(np.arange(len(values)) % 4 == 0, np.nan, values)

    found = await judged(ablation(lab, knowing(splits, holes), splits, record))
    assert found.headline.value == pytest.approx(1, abs=1e-3)
    assert found.headline.coverage == pytest.approx(0.75, abs=0.01)
    assert found.headline.status is ScoreStatus.PARTIAL
    assert "holes" in found.headline.message
    lost = splits.valid[0].record

    def without_one(values: np.ndarray) -> np.ndarray:
        same = len(values) == len(lost.activations) and (values == lost.activations).all()
        return np.full_like(values, np.nan) if same else values

    found = await judged(ablation(lab, knowing(splits, without_one), splits, record))
    assert found.headline.value == pytest.approx(1, abs=1e-3)
    assert found.headline.coverage < 1
    assert sum(item.prediction is None for item in found.items) == 1


@pytest.mark.parametrize(("split", "other"), [("calibration", "valid"), ("valid", "calibration")])
async def test_it_is_never_calibrated_on_what_it_is_judged_on(
    split: str, other: str, lab: Lab, splits: Splits, record: NeuronRecord
) -> None:
    asked: list[int] = []

    class Watched(Knowing):
        async def simulate(self, explanation: Explanation, excerpt: Excerpt) -> Simulation:
            asked.append(excerpt.window)
            return await super().simulate(explanation, excerpt)

    simulator = Watched(knowing(splits, lambda values: values).truth, lambda values: values)
    mean = record.statistics.mean
    await judged(AblationScorer(lab, simulator, splits, split, mean=mean))
    assert asked == [
        held.record.excerpt.window for name in (other, split) for held in splits.held_out(name)
    ]


async def test_nothing_simulated_is_an_error(
    lab: Lab, splits: Splits, record: NeuronRecord
) -> None:
    with pytest.raises(MethodError, match="nothing to calibrate on"):
        await judged(ablation(lab, knowing(splits, lambda v: v * np.nan), splits, record))


async def test_token_tables_keep_more_than_another_neurons_do(index: Index, lab: Lab) -> None:
    """The whole thing without a language model, on neurons of every layer."""
    own, other = [], []
    for layer in range(0, index.n_layers, 2):
        neuron = NeuronId(layer, 100 + layer)
        record = index.neuron(neuron)
        splits = split_records(record)
        evidence = Evidence(
            neuron, splits.train, splits.others, index.token_means(neuron), record.statistics
        )
        [explanation] = [
            piece
            async for piece in TokenLookupExplainer().explain(evidence)
            if isinstance(piece, Explanation)
        ]
        scorer = ablation(lab, TokenLookupSimulator(), splits, record)
        chance = await other_explanation(index, neuron, "positive")
        found = await judged(scorer, explanation, chance)
        assert found.headline.value is not None
        assert found.chance[0].value is not None
        own.append(found.headline.value)
        other.append(found.chance[0].value)
    assert np.mean(own) > 0.2 + np.mean(other)
    assert abs(np.mean(other)) < 0.2
