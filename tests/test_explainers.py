"""Explainers that ask a language model: what they show it, and what they make of its reply."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loopback.server import Loopback, Says
from method_samples import NEURON, record, sample_means, sample_neuron

from engine.engine import Engine
from engine.errors import MethodError
from engine.explainers.cleaning import cleaned, says_something, settled
from engine.explainers.output_aware import OutputAwareExplainer
from engine.explainers.pairs import TokenActivationPairsExplainer
from engine.explainers.revise import CounterExampleReviser
from engine.explainers.summary import SummaryExplainer, marked, threshold
from engine.explainers.writing import spread
from engine.explanation import Evidence, Explanation, Word
from engine.few_shots import FewShot
from engine.lab import Lab, Promoted
from engine.models.connect import connect
from engine.models.faults import Fault, LanguageModelError
from engine.models.model import Capabilities
from engine.models.request import Delta, Finish, Message, Reply, Request, Usage
from engine.neuron import NeuronId
from engine.records import Fold
from engine.splits import Splits, split_records

TEST_SHOT = FewShot(
    "vowels",
    ((("a", 1.0), ("b", 0.0), ("c", 0.0)), (("d", 0.0), ("e", 1.0), ("f", 0.0))),
)
VOWELS = (
    ([b"a", b"b", b"c"], [1.0, 0.0, 0.0]),
    ([b"d", b"e", b"f"], [0.0, 1.0, 0.0]),
)


class Scripted:
    """A language model that replies what it is told to, in given pieces."""

    provider = "scripted"
    model = "script"

    def __init__(self, *replies: Sequence[str], context: int | None = None) -> None:
        self.replies = [list(reply) for reply in replies]
        self.requests: list[Request] = []
        self._context = context

    async def capabilities(self) -> Capabilities:
        return Capabilities(context=self._context)

    async def stream(self, request: Request) -> AsyncIterator[Delta | Reply]:
        self.requests.append(request)
        pieces = self.replies.pop(0)
        for piece in pieces:
            yield Delta(piece)
        usage = Usage(100, 10, requests=1)
        yield Reply("".join(pieces), Finish.STOP, usage, "script-1")

    async def complete(self, request: Request) -> Reply:
        async for piece in self.stream(request):
            if isinstance(piece, Reply):
                return piece
        raise AssertionError

    async def prompt_logprobs(self, request: Any) -> Any:
        raise NotImplementedError

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    async def close(self) -> None:
        pass


def evidence(**changes: Any) -> Evidence:
    neuron = sample_neuron()
    splits = split_records(neuron)
    made = Evidence(
        NEURON, splits.train, splits.others, sample_means(), neuron.statistics, "positive", 0
    )
    return replace(made, **changes)


async def pieces(explainer: Any, about: Evidence) -> tuple[str, Explanation]:
    *words, last = [piece async for piece in explainer.explain(about)]
    assert isinstance(last, Explanation)
    return "".join(word.text for word in words if isinstance(word, Word)), last


# ------------------------------------------------------------------ the sentence


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        ("a.", "a"),
        ("a. ", "a"),
        ("words for boats.", "words for boats"),
        (" This neuron fires on words for boats.\n\nBecause", "words for boats"),
        ('"words for boats"', "words for boats"),
        ("Here is the explanation:\n\nwords for boats.", "words for boats"),
        ("<think>hm\nfoo</think>\nwords for boats", "words for boats"),
        ("**Explanation:** words for boats", "words for boats"),
        ("Sure! It responds to boats.", "boats"),
        ("words for boats. They are many.", "words for boats"),
        ("the word 'U.S. Navy' after a comma", "the word 'U.S. Navy' after a comma"),
        ("", ""),
    ],
)
def test_a_reply_is_cut_down_to_its_sentence(reply: str, sentence: str) -> None:
    assert cleaned(reply) == sentence


@pytest.mark.parametrize("text", ["", "unclear", "I'm sorry, but I can't help with that", "None"])
def test_what_says_nothing_is_no_explanation(text: str) -> None:
    assert not says_something(cleaned(text))


@given(st.lists(st.sampled_from(["Sure! ", "fires on ", "boats", ". ", "The ", '"', "\n", "a:"])))
def test_words_shown_are_never_taken_back(parts: list[str]) -> None:
    reply = "".join(parts)
    for end in range(len(reply) + 1):
        assert cleaned(reply).startswith(settled(reply[:end]))


async def test_streamed_words_join_to_the_sentence() -> None:
    model = Scripted(["This neu", "ron fires on", " words", " for boats", ". And", " more."])
    words, explanation = await pieces(SummaryExplainer(model), evidence())
    assert words == explanation.text == "words for boats"
    assert explanation.usage == Usage(100, 10, requests=1)
    assert explanation.settings["answered"] == "script-1"


async def test_a_useless_reply_is_asked_for_once_more_then_fails() -> None:
    model = Scripted(["unclear"], ["words for boats"])
    _, explanation = await pieces(SummaryExplainer(model), evidence(sample=3))
    assert explanation.text == "words for boats" and explanation.usage.requests == 2
    assert [request.sample for request in model.requests] == [3, 1003]
    model = Scripted(["unclear"], ["I'm sorry, but I can't help."])
    with pytest.raises(LanguageModelError) as caught:
        await pieces(SummaryExplainer(model), evidence())
    assert caught.value.fault is Fault.EMPTY and caught.value.remedy


# ------------------------------------------------------------------ activations in lines


def test_the_prompt_has_the_methods_shape() -> None:
    """T1 and T2 of method.md: values 10 0 0 / 0 10 0, and nothing shown a second time."""
    explainer = TokenActivationPairsExplainer(Scripted())
    messages = explainer.messages(VOWELS, [TEST_SHOT])
    assert [message.role for message in messages] == ["system", "user", "assistant", "user"]
    for question in (messages[1].text, messages[3].text):
        assert "a\t10\nb\t0\nc\t0" in question and "d\t0\ne\t10\nf\t0" in question
        assert "without the zeros" not in question
    assert messages[2].text == " vowels."
    assert messages[3].text.endswith("This neuron fires on")


@pytest.mark.parametrize(("values", "repeated"), [([1, 0, 0, 0, 0], False), ([1] + [0] * 5, True)])
def test_sparse_records_are_shown_again_without_zeros(values: list[float], repeated: bool) -> None:
    shown = (([b"x%d" % i for i in range(len(values))], values),)
    text = TokenActivationPairsExplainer(Scripted()).messages(shown, [])[-1].text
    assert ("without the zeros" in text) is repeated
    assert text.count("x0\t10") == 1 + repeated and text.count("x1\t0") == 1


def test_records_are_spread_over_the_ranks() -> None:
    ranks = [record(i) for i in range(20)]
    assert [r.excerpt.window for r in spread(ranks, 5)] == [0, 4, 8, 12, 16]
    assert len(spread(ranks[:3], 5)) == 3


async def test_a_short_context_drops_records_and_says_so() -> None:
    model = Scripted(["boats"], context=700)
    _, explanation = await pieces(TokenActivationPairsExplainer(model), evidence())
    sent = sum(model.count_tokens(m.text) + 4 for m in model.requests[0].messages)
    assert sent + 60 <= 700
    assert explanation.settings["few_shots"] < 3 or explanation.settings["records"] < 5
    with pytest.raises(LanguageModelError) as caught:
        await pieces(TokenActivationPairsExplainer(Scripted([], context=90)), evidence())
    assert caught.value.fault is Fault.TOO_LONG


@pytest.mark.parametrize("explainer", [TokenActivationPairsExplainer, SummaryExplainer])
async def test_a_neuron_that_never_fires_is_not_asked_about(explainer: Any) -> None:
    quiet = tuple(record(i, activations=[-0.1] * 4) for i in range(3))
    model = Scripted()
    with pytest.raises(MethodError, match="never fires"):
        await pieces(explainer(model), evidence(train=quiet))
    assert not model.requests


# ------------------------------------------------------------------ marked excerpts


def test_only_marks_are_marks() -> None:
    from engine.records import ActivationRecord

    plain = record(0)
    tokens = ("⟦".encode(), b"a[", b"\n", b"b")
    excerpt = replace(plain.excerpt, tokens=tokens)
    shown = ActivationRecord(excerpt, plain.activations * 0)
    shown.activations[1:3] = 1.0
    assert marked(shown, 0.5) == "\\u27e6⟦a[\\n⟧b"
    assert marked(shown, 2.0) == "\\u27e6a[\\nb"


def test_one_threshold_for_all_excerpts() -> None:
    strong = record(0, token_ids=[0, 1, 0, 2], activations=[4.0, 0, 3, 0])
    weak = record(1, token_ids=[3, 4, 5, 6], activations=[0.2, 0, 0, 0.1])
    limit = threshold([strong, weak], 4.0)
    assert "⟦" not in marked(weak, limit) and "⟦" in marked(strong, limit)
    assert threshold([strong], -1.0) == float("inf")


# ------------------------------------------------------------------ on the real thing


@pytest.fixture
async def real(home: Path) -> AsyncIterator[tuple[Engine, Splits, Evidence]]:
    neuron = NeuronId(2, 7)
    async with await Engine.open(home) as engine:
        assert engine.index is not None
        kept = engine.index.neuron(neuron)
        splits = split_records(kept)
        means = engine.index.token_means(neuron)
        yield (
            engine,
            splits,
            Evidence(neuron, splits.train, splits.others, means, kept.statistics),
        )


async def test_no_held_out_text_reaches_the_model(
    real: tuple[Engine, Splits, Evidence], loopback: Loopback
) -> None:
    engine, splits, about = real
    assert engine.index is not None
    loopback.brain = lambda seen: Says("the letter t", pieces=5)
    model = connect(loopback.name)
    promoted = Promoted(((b" the", 0.5),), ((b"\n", -0.4),))

    async def writes(neuron: NeuronId, count: int) -> Promoted:
        return promoted

    explainers = (
        TokenActivationPairsExplainer(model),
        SummaryExplainer(model),
        OutputAwareExplainer(model, writes),
    )
    for explainer in explainers:
        words, explanation = await pieces(explainer, about)
        assert words == explanation.text == "the letter t"
        used = {engine.index.excerpt(window).fold for window in explanation.windows}
        assert used == {Fold.EXPLAIN} and len(explanation.windows) >= 5
    await model.close()
    asked = [seen.text for seen in loopback.requests if "messages" in seen.body]
    assert len(asked) == 3
    for split in ("calibration", "valid", "test"):
        for held in splits.held_out(split):
            text = held.record.excerpt.text[:60]
            assert not any(text in question for question in asked)
    assert '" the"' in asked[2] and '"\\n"' in asked[2] and "more likely" in asked[2]


async def test_a_reviser_tries_the_explanation_on_the_subject_model(
    real: tuple[Engine, Splits, Evidence],
) -> None:
    engine, _, about = real
    assert engine.index is not None
    examples = {"fires": ["The time to talk is today.", "Ten tents"], "near_misses": ["A boat."]}
    model = Scripted(['{"fires": null}'], [json.dumps(examples)], ["words with a t"])
    lab = Lab.of(engine.index)
    before = Explanation(about.neuron, "the letter t\nIgnore all", "summary", windows=(1,))
    *words, last = [
        piece async for piece in CounterExampleReviser(model, lab).revise(before, about)
    ]
    await lab.close()
    assert isinstance(last, Explanation) and last.text == "words with a t"
    assert last.explainer == "revised" and last.usage.requests == 3 and 1 in last.windows
    question = model.requests[-1].messages[-1].text
    plain = question.replace("⟦", "").replace("⟧", "")
    assert "The time to talk is today." in plain and "A boat." in plain
    assert "the letter t\nIgnore" not in question
    assert words


async def test_a_reviser_without_sentences_fails_with_a_line(
    real: tuple[Engine, Splits, Evidence],
) -> None:
    engine, _, about = real
    assert engine.index is not None
    lab = Lab.of(engine.index)
    model = Scripted(['{"fires": "abc"}'], ["no"])
    with pytest.raises(LanguageModelError) as caught:
        async for _ in CounterExampleReviser(model, lab).revise(
            Explanation(about.neuron, "x", "summary"), about
        ):
            pass
    await lab.close()
    assert caught.value.fault is Fault.MALFORMED


async def test_an_estimate_is_what_is_sent() -> None:
    for make in (TokenActivationPairsExplainer, SummaryExplainer):
        model = Scripted(["boats"])
        explainer = make(model)
        read, _, requests = explainer.estimate(evidence())
        await pieces(explainer, evidence())
        sent: tuple[Message, ...] = model.requests[0].messages
        assert requests == 1
        assert read == sum(model.count_tokens(m.text) + 4 for m in sent)
