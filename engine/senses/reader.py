"""Finds the senses of a neuron: reads it, occludes it, groups it, fits each group."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engine.anatomy import readings
from engine.errors import MethodError
from engine.explanation import Evidence, Preparing, Side
from engine.lab import go_on
from engine.neuron import NeuronId
from engine.patterns.groups import group
from engine.patterns.model import Patterns
from engine.patterns.reader import PatternReader, Stop
from engine.patterns.reading import Reading, Text, embeddings, last_activations
from engine.progress import Progress, with_progress
from engine.records import ActivationRecord, Excerpt
from engine.senses.grouping import Grouping, find_groups, firings_of
from engine.senses.material import Floats, Material, directions
from engine.senses.model import Sense, Senses
from engine.senses.occlusion import REACH, SWAPS, Occlusion, occlude
from engine.senses.wording import worded
from engine.sentence import seen_joins
from engine.subject import SubjectModel

#: Excerpts kept of each sense; half are the strongest.
EXCERPTS = 12
#: Neurons whose senses are kept for the next question about them.
REMEMBERED = 16


class SenseReader:
    """Finds the senses of neurons of one index.

    Args:
        patterns: Reads layers, and fits.
    """

    def __init__(self, patterns: PatternReader) -> None:
        self.patterns = patterns
        self._skip = int(patterns.index.manifest["settings"]["prepend_end_of_text"])
        self._found: OrderedDict[tuple[NeuronId, Side], Senses] = OrderedDict()

    def found(self, evidence: Evidence) -> Senses | None:
        """The senses of a neuron if they were found of late."""
        return self._found.get((evidence.neuron, evidence.side))

    async def find(self, evidence: Evidence, tell: Progress = lambda _what, _share: None) -> Senses:
        """The senses of a neuron.

        The first neuron of a layer costs a pass over the explain fold, the next ones some
        seconds.

        Args:
            tell: Takes what is being done and the share that is, in another thread.

        Raises:
            UsageError: no such neuron.
            ModelError: the subject model can't be had.
            MethodError: the neuron never fires in the explain fold.
        """
        neuron = evidence.neuron
        self.patterns.index.check(neuron)
        known = self.found(evidence)
        if known is not None:
            return known
        learned = await self.patterns.learn(neuron, evidence.side, tell)
        tell("telling its senses apart", 0.0)
        senses = await self.patterns.run(
            neuron.layer,
            lambda subject, stop, text, reading: self._find(
                subject, stop, text, reading, evidence, learned.patterns
            ),
        )
        self._found[neuron, evidence.side] = senses
        while len(self._found) > REMEMBERED:
            self._found.popitem(last=False)
        return senses

    def finding(self, evidence: Evidence) -> AsyncIterator[Preparing | Senses]:
        """Stream how far :meth:`find` is, then what it found; raises the same."""
        return with_progress(lambda tell: self.find(evidence, tell))

    def _find(
        self,
        subject: SubjectModel,
        stop: Stop,
        text: Text,
        reading: Reading,
        evidence: Evidence,
        whole: Patterns,
    ) -> Senses:
        neuron = _Neuron(subject, text, reading, evidence, self._skip)
        excerpts, material = neuron.material([*evidence.train, *evidence.others])
        rng = np.random.default_rng([evidence.neuron.layer, evidence.neuron.index])
        firings = firings_of(material, rng)
        if not len(firings):
            raise MethodError(
                f"Neuron {evidence.neuron} never fires in the text that explanations are "
                "written from.",
                "Try its other side, or scan more text.",
            )
        go_on(stop)
        starts, real = material.starts, material.activations
        ids = np.concatenate([one.token_ids for one in excerpts]).astype(np.int64)
        texts = [ids[max(starts[t], t - REACH + 1) : t + 1] for t in firings.tolist()]
        strangers = rng.choice(ids, SWAPS)

        def probe(several: Sequence[NDArray[np.int64]]) -> Floats:
            return neuron.last(several, stop)

        occlusion = occlude(texts, real[firings], strangers, probe)
        found = find_groups(material, firings, occlusion, rng, lambda: go_on(stop))
        go_on(stop)
        names = self.patterns.index.vocabulary.decode(np.unique(ids))
        return Senses(
            evidence.neuron,
            evidence.side,
            tuple(
                self._sense(number, found, occlusion, material, excerpts, evidence, names)
                for number in range(found.count)
            ),
            whole,
            found.held_out,
        )

    def _sense(
        self,
        number: int,
        found: Grouping,
        occlusion: Occlusion,
        material: Material,
        excerpts: list[Excerpt],
        evidence: Evidence,
        texts: Sequence[bytes],
    ) -> Sense:
        """One group in words, with its excerpts."""
        own = found.strong[found.members == number]
        mass = float(material.activations[own].sum())
        rows = np.flatnonzero(found.labels == number)
        contexts = [
            occlusion.context(row, float(material.activations[found.firings[row]]))
            for row in rows.tolist()
        ]
        decode = self.patterns.index.vocabulary.token
        patterns = group(contexts, decode)
        joins = seen_joins((*evidence.train, *evidence.others))
        kept = _shown(material, own)
        foreign = np.zeros(len(material.ids), dtype=np.bool_)
        foreign[found.strong[found.members != number]] = True
        ends = np.cumsum([len(one) for one in excerpts])
        needs = occlusion[rows] if len(rows) else occlusion
        records = tuple(_record(material, excerpts, ends, token) for token in kept)
        return Sense(
            text=worded(material, texts, own, needs, patterns, joins, decode),
            share=mass / float(material.activations[found.strong].sum()),
            tokens=len(own),
            excerpts=records,
            places=tuple(int(token - material.starts[token]) for token in kept),
            foreign=tuple(
                foreign[material.starts[token] :][: len(record.activations)].copy()
                for token, record in zip(kept, records, strict=True)
            ),
            needs=(
                float(needs.losses[:, 0].mean()),
                float(needs.losses[:, 1].mean()),
                float(needs.before.mean()),
            ),
            patterns=patterns,
        )


def _shown(material: Material, tokens: NDArray[np.int64]) -> list[int]:
    """The strongest tokens of their windows, then others spread over the rest."""
    order = tokens[np.argsort(-material.activations[tokens], kind="stable")]
    _, first = np.unique(material.starts[order], return_index=True)
    peaks: list[int] = order[np.sort(first)].tolist()
    top, rest = peaks[: EXCERPTS // 2], peaks[EXCERPTS // 2 :]
    count = min(EXCERPTS - len(top), len(rest))
    return top + [rest[i * len(rest) // count] for i in range(count)]


def _record(
    material: Material, excerpts: list[Excerpt], ends: NDArray[np.int64], token: int
) -> ActivationRecord:
    excerpt = excerpts[int(np.searchsorted(ends, token, side="right"))]
    start = int(material.starts[token])
    return ActivationRecord(excerpt, material.activations[start : start + len(excerpt)].copy())


class _Neuron:
    """One side of a neuron, with the model at hand."""

    def __init__(
        self, subject: SubjectModel, text: Text, reading: Reading, evidence: Evidence, skip: int
    ) -> None:
        self._subject = subject
        self._text = text
        self._states = reading.states
        self._layer, self._index = evidence.neuron.layer, evidence.neuron.index
        self._sign = np.float32(-1.0 if evidence.side == "negative" else 1.0)
        self._skip = skip

    def _activations(self, states: torch.Tensor) -> Floats:
        """The side at some states, float32 [T]."""
        inner, link = Reading(self._layer, states).inner(self._subject, [self._index])
        found: Floats = self._sign * link.value(inner)[:, 0]
        return found

    def material(self, kept: Sequence[ActivationRecord]) -> tuple[list[Excerpt], Material]:
        """The text of the layer's reading, and the kept windows that are not in it."""
        text, states = self._text, self._states
        known = {one.window for one in text.excerpts}
        further = {r.excerpt.window: r.excerpt for r in kept if r.excerpt.window not in known}
        excerpts = [*text.excerpts, *further.values()]
        if further:
            more = self._read([one.token_ids.astype(np.int64) for one in further.values()])
            states = torch.cat([states, *more])
        ids = np.concatenate([one.token_ids for one in excerpts]).astype(np.int64)
        lengths = np.array([len(one) for one in excerpts])
        seen, rows, counts = np.unique(ids, return_inverse=True, return_counts=True)
        return excerpts, Material(
            ids=rows.astype(np.int64),
            starts=np.repeat(np.cumsum(lengths) - lengths, lengths),
            documents=np.repeat(np.array([one.document for one in excerpts]), lengths),
            activations=self._activations(states),
            parts=self._parts(states),
            embeddings=directions(embeddings(self._subject)[seen], counts),
        )

    def _parts(self, states: torch.Tensor) -> Floats:
        """The centred states times what the neuron reads from them."""
        weights = readings(self._subject.anatomy, self._layer)
        values = states.float()
        values -= values.mean(0)
        with torch.inference_mode():
            scale = sum(weight[self._index].float().cpu().abs() for weight in weights.values())
            found: Floats = (values * scale).numpy()
        return found

    def last(self, texts: Sequence[NDArray[np.int64]], stop: Stop) -> Floats:
        """The side of the neuron at the last token of each text, float32."""
        found: Floats = self._sign * last_activations(
            self._subject,
            self._layer,
            texts,
            np.full(len(texts), self._index),
            prepend=bool(self._skip),
            stop=stop,
        )
        return found

    def _read(self, texts: Sequence[NDArray[np.int64]]) -> list[torch.Tensor]:
        """What enters the layer's MLP in some texts, float16 [T, width] each."""
        anatomy = self._subject.anatomy
        width = max(len(text) for text in texts) + self._skip
        ids = torch.full((len(texts), width), self._subject.end_of_text, dtype=torch.int64)
        for row, text in enumerate(texts):
            ids[row, self._skip : self._skip + len(text)] = torch.from_numpy(text)
        entered: list[torch.Tensor] = []

        def before(_module: Any, inputs: tuple[Any, ...]) -> None:
            entered.append(inputs[0])
            raise _Enough

        handle = anatomy.readers[self._layer][0].register_forward_pre_hook(before)
        try:
            with contextlib.suppress(_Enough), torch.inference_mode():
                anatomy.body(input_ids=ids.to(self._subject.device), use_cache=False)
        finally:
            handle.remove()
        states = entered[0].view(len(texts), width, -1)[:, self._skip :].to("cpu", torch.float16)
        return [rows[: len(text)] for rows, text in zip(states, texts, strict=True)]


class _Enough(Exception):
    """Nothing after this layer's MLP input is wanted."""
