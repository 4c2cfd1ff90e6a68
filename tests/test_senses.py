"""The senses of a neuron: planted ones are told apart and counted, real ones are explained."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from loopback.server import Loopback, Seen
from numpy.typing import NDArray

from engine.choices import Choices
from engine.demo import demo_documents
from engine.engine import Engine
from engine.errors import MethodError, UsageError
from engine.events import Scored
from engine.explanation import Word
from engine.neuron import NeuronId
from engine.patterns.reading import embeddings
from engine.records import Fold
from engine.senses.explainer import SenseSimulator
from engine.senses.grouping import MOST, Grouping, find_groups, firings_of
from engine.senses.material import Material, directions
from engine.senses.occlusion import REACH, Occlusion, occlude
from engine.simulation import SimulationStatus
from engine.subject import SubjectModel
from engine.triage import Filter
from tui.cli.root import cli
from tui.triage_filter import parse

#: One that has several senses in the shared scan.
NEURON = NeuronId(1, 840)

LAYER = 3
Ids = NDArray[np.int64]
Rule = Callable[[Ids], bool]


@dataclass(frozen=True)
class World:
    """Real text, and what the real model makes of it."""

    subject: SubjectModel
    texts: list[Ids]
    documents: list[int]
    states: NDArray[np.float32]

    def number_of(self, token: bytes) -> int:
        vocabulary = self.subject.vocabulary
        return next(i for i in range(len(vocabulary)) if vocabulary.token(i) == token)

    def those(self, wanted: Callable[[bytes], bool]) -> set[int]:
        vocabulary = self.subject.vocabulary
        return {i for i in range(len(vocabulary)) if wanted(vocabulary.token(i))}


@pytest.fixture(scope="module")
def world() -> World:
    """Demo text in windows, with money and speech in it, read up to a layer."""
    subject = SubjectModel.load("demo")
    written = [document.text[:1200] for document in list(demo_documents())[::6]]
    written += [f"It costs ${n} a day, or {n}{n} pounds for {n} of them." for n in range(2, 60)]
    words = " ".join(written).replace('"', "").split()
    for n in range(80):
        said, then = words[n * 97 :][:10], words[n * 61 + 20 :][:25]
        written.append(f'{" ".join(then[:5])} "{" ".join(said)}" {" ".join(then[5:])}')
    texts, documents = [], []
    for document, text in enumerate(written):
        ids = np.array(subject.tokenizer.encode(text, add_special_tokens=False).ids, np.int64)
        pieces = [ids[i : i + 64] for i in range(0, len(ids), 64) if len(ids) - i > 7]
        texts += pieces
        documents += [document] * len(pieces)
    # Causal: what pads a short text is read by none of its tokens.
    padded = np.full((len(texts), 65), subject.end_of_text, dtype=np.int64)
    for row, text in zip(padded, texts, strict=True):
        row[1 : len(text) + 1] = text
    states: list[NDArray[np.float32]] = []

    def before(_module: Any, inputs: tuple[Any, ...]) -> None:
        states.append(inputs[0].view(-1, 65, inputs[0].shape[-1]).float().numpy())

    handle = subject.anatomy.readers[LAYER][0].register_forward_pre_hook(before)
    for part in torch.from_numpy(padded).split(64):
        with torch.inference_mode():
            subject.anatomy.body(input_ids=part, use_cache=False)
    handle.remove()
    every = np.concatenate(states)
    read = [rows[1 : len(text) + 1] for rows, text in zip(every, texts, strict=True)]
    return World(subject, texts, documents, np.concatenate(read))


def planted(kind: str, world: World) -> tuple[Rule, int]:
    """Whether a neuron fires at the last token of a text, and how many senses it has."""
    digits = world.those(lambda token: token.strip().isdigit())
    quotes = world.those(lambda token: b'"' in token)
    opening, dollar = world.number_of(b' "'), world.number_of(b" $")
    the = world.number_of(b" the")
    three = {world.number_of(token) for token in (b" was", b" not", b"()")}

    def quoted(ids: Ids) -> bool:
        marks = [int(i) for i in ids if int(i) in quotes]
        return bool(marks) and marks[-1] == opening and int(ids[-1]) != opening

    rules: dict[str, tuple[Rule, int]] = {
        "a token": (lambda ids: int(ids[-1]) == the, 1),
        "three unrelated tokens": (lambda ids: int(ids[-1]) in three, 3),
        "digits after a currency sign": (
            lambda ids: len(ids) > 1 and int(ids[-1]) in digits and int(ids[-2]) == dollar,
            1,
        ),
        "text inside quotes": (quoted, 1),
    }
    return rules[kind]


def grouped(world: World, rule: Rule) -> tuple[Material, Grouping, Occlusion]:
    """A neuron of the rule, grouped as a real one is."""
    fires = np.array([rule(text[: i + 1]) for text in world.texts for i in range(len(text))])
    ids = np.concatenate(world.texts)
    lengths = np.array([len(text) for text in world.texts])
    seen, rows, counts = np.unique(ids, return_inverse=True, return_counts=True)
    rng = np.random.default_rng(0)
    heights = rng.uniform(2.5, 3.5, len(ids))
    material = Material(
        ids=rows,
        starts=np.repeat(np.cumsum(lengths) - lengths, lengths),
        documents=np.repeat(world.documents, lengths),
        activations=np.where(fires, heights, 0.0).astype(np.float32),
        parts=world.states - world.states.mean(0),
        embeddings=directions(embeddings(world.subject)[seen], counts),
    )

    def probe(several: Sequence[Ids]) -> NDArray[np.float32]:
        return np.array([3.0 if rule(one) else 0.0 for one in several], dtype=np.float32)

    firings = firings_of(material, rng)
    starts = material.starts
    texts = [ids[max(starts[t], t - REACH + 1) : t + 1] for t in firings]
    occlusion = occlude(texts, material.activations[firings], rng.choice(ids, 3), probe)
    return material, find_groups(material, firings, occlusion, rng), occlusion


KINDS = ["a token", "three unrelated tokens", "digits after a currency sign", "text inside quotes"]


@pytest.mark.parametrize("kind", KINDS)
def test_planted_senses_are_counted(kind: str, world: World) -> None:
    rule, count = planted(kind, world)
    material, found, occlusion = grouped(world, rule)
    assert found.count == count, found.held_out
    if kind == "three unrelated tokens":
        # Each sense is one of the tokens.
        tokens = material.ids[found.strong].tolist()
        by_token = set(zip(tokens, found.members.tolist(), strict=True))
        assert len(by_token) == 3
    if kind == "digits after a currency sign":
        assert occlusion.losses[:, 1].min() == 1.0
        contexts = [occlusion.context(row, 3.0) for row in range(len(occlusion))]
        assert {one.needed for one in contexts} == {(0, 1)}


def test_a_neuron_that_never_fires_has_nothing_to_group() -> None:
    material = Material(
        ids=np.zeros(8, dtype=np.int64),
        starts=np.repeat(np.array([0, 4]), 4),
        documents=np.zeros(8, dtype=np.int64),
        activations=np.full(8, -0.1, dtype=np.float32),
        parts=np.ones((8, 2), dtype=np.float32),
        embeddings=np.ones((1, 2), dtype=np.float32),
    )
    assert not len(firings_of(material, np.random.default_rng(0)))


SENSES = Choices(explainer="senses", simulator="senses", chance=False)
PATTERNS = Choices(explainer="patterns", simulator="patterns", chance=False)


async def explained(engine: Engine, choices: Choices) -> Scored:
    events = [event async for event in engine.explain(NEURON, choices)]
    assert isinstance(events[-1], Scored), events[-1]
    words = "".join(event.text for event in events if isinstance(event, Word))
    assert words == events[-1].explanation.text
    return events[-1]


async def test_the_senses_of_a_real_neuron(home: Path) -> None:
    async with await Engine.open(home) as engine:
        assert engine.index is not None
        senses = await engine.senses(NEURON)
        assert 2 <= len(senses.senses) <= MOST
        shares = [one.share for one in senses.senses]
        assert shares == sorted(shares, reverse=True) and sum(shares) == pytest.approx(1)
        assert len(senses.held_out) == MOST and senses.held_out[0].error == 0
        for one in senses.senses:
            assert one.text and one.excerpts and all(0 <= need <= 1 for need in one.needs)
            for record, place, foreign in zip(one.excerpts, one.places, one.foreign, strict=True):
                assert record.excerpt.fold is Fold.EXPLAIN
                assert record.activations[place] > 0 and not foreign[place]
        scored = await explained(engine, SENSES)
        assert scored.explanation.text == senses.text
        assert all(f"{number}) " in senses.text for number in range(1, len(shares) + 1))
        # The whole is predicted by its patterns: as well as they predict it alone.
        plain = await explained(engine, PATTERNS)
        assert scored.card.scores == plain.card.scores
        number = await engine.save(scored.explanation, scored.card)
        kept = engine.store.explanation(number).explanation
        assert kept.rules is not None
        assert [one["share"] for one in kept.rules["senses"]] == pytest.approx(shares, abs=1e-3)
        await check_board(engine, len(shares))
        again = await engine.senses(NEURON, "negative")
        assert again.side == "negative" and again.senses
        silent = await SenseSimulator().simulate(
            replace(kept, rules={"kind": "senses"}), senses.senses[0].excerpts[0].excerpt
        )
        assert silent.status is SimulationStatus.FAILED and "damaged" in silent.message


async def check_board(engine: Engine, count: int) -> None:
    """The leaderboard limits by senses, and by the tokens that neurons promote."""
    triages = engine.triages()
    for board in (triages.board(), triages.board()):  # the second reads what the first kept
        board.refresh()
        [row], _ = board.page(Filter(senses_low=2))
        assert row.neuron == NEURON and row.senses == count
        assert board.page(Filter(senses_high=1)) == ([], 0)
        assert board.promoted is None
        token = (await engine.effects(NEURON)).output.promoted[0][0]
        only = Filter(promotes=token.decode("utf-8", "replace").upper())
        with pytest.raises(MethodError):
            board.page(only)
        await triages.ready_for(board, only)
        assert board.page(only)[1] == 1
        assert board.page(Filter(promotes="no such token")) == ([], 0)
        assert board.promoted is not None and engine.index is not None
        width = engine.index.n_neurons
        for neuron in (NEURON, NeuronId(5, 131), NeuronId(0, 0)):
            effects = await engine.effects(neuron)
            ids = board.promoted[neuron.layer * width + neuron.index]
            promoted = [engine.index.vocabulary.token(int(i)) for i in ids]
            assert promoted == [token for token, _ in effects.output.promoted]


def test_filters_of_the_leaderboard_as_a_line() -> None:
    assert parse("senses > 1 promotes=the") == Filter(senses_low=2, promotes="the")
    assert parse("senses<=3 senses>=2") == Filter(senses_low=2, senses_high=3)
    for nonsense in ("senses>some", "promotes>the"):
        with pytest.raises(UsageError):
            parse(nonsense)


def run(*args: str) -> Result:
    return CliRunner().invoke(cli, list(args))


def test_senses_on_the_command_line(home: Path) -> None:
    result = run("senses", str(NEURON), "--json", "--limit", "2")
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert facts["layer"] == NEURON.layer and len(facts["held_out"]) == MOST
    for one in facts["senses"]:
        assert one["text"] and 1 <= len(one["records"]) <= 2
        for record in one["records"]:
            assert len(record["tokens"]) == len(record["activations"]) > record["place"]
    shown = run("senses", str(NEURON), "--no-color")
    assert shown.exit_code == 0 and f"{len(facts['senses'])} senses" in shown.stdout
    assert facts["senses"][0]["text"] in shown.stdout
    assert run("senses", "9:9").exit_code == 2


def test_a_language_model_explains_sense_by_sense(home: Path, loopback: Loopback) -> None:
    def brain(seen: Seen) -> str:
        if "Predict how strongly" in seen.text:
            return json.dumps({"activations": [[3, 7]]})
        return "words that begin with the letter t"

    loopback.brain = brain
    wanted = ("--explainer", "summary", "--simulator", "json", "--model", loopback.name)
    args = ("explain", str(NEURON), *wanted, "--by-sense", "--no-chance", "--json")
    count = len(json.loads(run("senses", str(NEURON), "--json").stdout)["senses"])
    estimate = run(*args, "--estimate")
    assert estimate.exit_code == 0, estimate.output
    result = run(*args)
    assert result.exit_code == 0, result.output
    questions = [seen.text for seen in loopback.requests if "Excerpt 1:" in seen.text]
    assert len(questions) == count == len(set(questions))
    events = [json.loads(line) for line in result.stdout.splitlines()]
    text = next(event for event in events if event["event"] == "Explained")["text"]
    assert text.startswith("1) words that begin with the letter t (")
    assert text.count("letter t") == count
    [step] = [one for one in json.loads(estimate.stdout)["steps"] if one["step"] == "explain"]
    assert step["requests"] == count
    saved = json.loads(run("show", str(NEURON), "--json").stdout)["explanations"]
    assert [one["text"] for one in saved] == [text]
    ranked = run("leaderboard", "--min-senses", str(count), "--json")
    assert [json.loads(line)["senses"] for line in ranked.stdout.splitlines()] == [count]
    refused = run("explain", str(NEURON), "--explainer", "patterns", "--by-sense")
    assert refused.exit_code == 2 and "sense by sense" in refused.output
