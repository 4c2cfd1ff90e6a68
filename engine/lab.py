"""The lab: the subject model, held ready for experiments on single neurons.

A scan reads every neuron over a corpus once; here one neuron is read on texts that did
not exist then, or replaced while the model reads, or followed to the tokens it writes.

The model is loaded on first use.  Everything runs on one thread of the lab's own, so
that the event loop never waits; a cancelled call lets go at its next batch.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import MethodError, ModelError
from engine.explanation import Side
from engine.index import Index
from engine.neuron import NeuronId
from engine.records import ActivationRecord, Excerpt, Fold

if TYPE_CHECKING:
    import torch

    from engine.subject import SubjectModel

#: ``window`` and ``document`` of a text that is in no index.
WRITTEN = -1
#: Texts per forward pass.
BATCH = 16
#: Positions whose whole next-token distributions are in memory together: with GPT-2's
#: 50257 tokens and float64 about 26 MB for each of some five temporaries.
POSITIONS = 64

T = TypeVar("T")
Stop = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Promoted:
    """The tokens that a neuron writes and those it writes against.

    Attributes:
        promoted: Token and weight, the largest weight first.
        suppressed: The same, the most negative weight first.
    """

    promoted: tuple[tuple[bytes, float], ...]
    suppressed: tuple[tuple[bytes, float], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Divergence:
    """How far a replaced neuron moves the next-token distribution, at every token.

    Attributes:
        kl: Kullback-Leibler divergence of the replaced distribution from the original,
            ``KL(original || replaced)``, float64 [T], nats.
        js: Jensen-Shannon divergence of the two, float64 [T], nats, 0 to ln 2.
    """

    kl: NDArray[np.float64]
    js: NDArray[np.float64]


class Lab:
    """The subject model of one index. Use :meth:`of`; close it with :meth:`close`."""

    def __init__(self, index: Index, device: str) -> None:
        self.model_id = index.model_id
        self._index = index
        self._device = device
        settings = index.manifest["settings"]
        self.window: int = settings["window"]
        self._dtype: str = settings["dtype"]
        self._prepend = bool(settings["prepend_end_of_text"])
        self._thread: ThreadPoolExecutor | None = None
        self._subject: SubjectModel | None = None
        self._closed = False

    @classmethod
    def of(cls, index: Index, *, device: str = "auto") -> Lab:
        """The lab of an index's model; cheap, nothing is loaded yet.

        Args:
            device: ``auto`` (CUDA when present, else CPU) or a torch device.
        """
        return cls(index, device)

    async def activations(
        self,
        neuron: NeuronId,
        texts: Sequence[str],
        *,
        side: Side = "positive",
        limit: int | None = None,
    ) -> list[ActivationRecord]:
        """Read a neuron on texts of any origin.

        Texts are read as the scan reads windows: each from the start of a document, the
        end-of-text token before it left out of the result.

        Args:
            side: The ``negative`` one turns the sign of every value.
            limit: Tokens read of each text; None: the scan's window, which the neuron's
                statistics are about.

        Returns:
            A record for each text; its window and document are -1, and its fold is the
            score fold: no explainer of the pipeline reads it.

        Raises:
            UsageError: the model has no such neuron.
            ModelError: it can't be loaded, or has changed since the scan.
            MethodError: a text without a single token.
        """
        self._index.check(neuron)

        def work(subject: SubjectModel, stop: Stop) -> list[ActivationRecord]:
            most = min(limit or self.window, subject.facts.positions - int(self._prepend))
            encodings = subject.tokenizer.encode_batch(list(texts), add_special_tokens=False)
            excerpts = []
            for number, encoding in enumerate(encodings):
                ids = np.array(encoding.ids[:most], dtype=np.int32)
                if not len(ids):
                    raise MethodError(f"Text {number + 1} is empty: there is nothing to read.")
                tokens = subject.vocabulary.decode(ids)
                excerpts.append(Excerpt(WRITTEN, WRITTEN, "", 0, Fold.SCORE, ids, tokens))
            return self._read(subject, neuron, excerpts, side, stop)

        return await self._run(work)

    async def sample(
        self, neuron: NeuronId, count: int, *, seed: int = 0, side: Side = "positive"
    ) -> list[ActivationRecord]:
        """Read a neuron on random windows of the index's score fold, without replacement.

        The scan keeps a handful of random windows of each neuron; this gets more of them.

        Returns:
            ``count`` records, fewer where the fold has not got so many windows, in
            random order. The same for the same seed, whatever the neuron.

        Raises:
            UsageError, ModelError: see :meth:`activations`.
        """
        self._index.check(neuron)

        def work(subject: SubjectModel, stop: Stop) -> list[ActivationRecord]:
            windows = self._index.windows_of(Fold.SCORE)
            rng = np.random.default_rng([seed, len(windows)])
            drawn = rng.permutation(windows)[:count]
            excerpts = [self._index.excerpt(int(window)) for window in drawn]
            return self._read(subject, neuron, excerpts, side, stop)

        return await self._run(work)

    async def promoted(self, neuron: NeuronId, count: int = 10) -> Promoted:
        """Which tokens the neuron makes likelier and unlikelier when it fires.

        The direct path alone, on raw weights (:meth:`SubjectModel.output_weights`).

        Args:
            count: Tokens of each kind.

        Raises:
            UsageError, ModelError: see :meth:`activations`.
        """
        self._index.check(neuron)

        def work(subject: SubjectModel, _stop: Stop) -> Promoted:
            from engine.effects import ranked_tokens

            weights = subject.output_weights(neuron.layer, neuron.index).numpy()
            return Promoted(*ranked_tokens(subject.vocabulary, weights, count))

        return await self._run(work)

    async def replaced(
        self,
        neuron: NeuronId,
        excerpts: Sequence[Excerpt],
        variants: Mapping[str, Sequence[ArrayLike]],
    ) -> dict[str, tuple[Divergence, ...]]:
        """Replace the neuron's activations and compare what the model then predicts.

        The model reads each excerpt once as it is and once per variant; memory is bounded
        by :data:`BATCH` texts and :data:`POSITIONS` distributions.

        Args:
            variants: By name, for each excerpt the activations to put in place of the
                neuron's own, float [T] in activation units; NaN leaves a token as it is.

        Returns:
            By name, a divergence for each excerpt.

        Raises:
            UsageError, ModelError: see :meth:`activations`.
            MethodError: a variant has not one value for each token.
        """
        self._index.check(neuron)
        given = {
            name: [np.asarray(one, dtype=np.float32) for one in rows]
            for name, rows in variants.items()
        }
        for name, rows in given.items():
            if [one.shape for one in rows] != [(len(excerpt),) for excerpt in excerpts]:
                raise MethodError(f"{name} has not one value for each token of its texts.")

        def work(subject: SubjectModel, stop: Stop) -> dict[str, tuple[Divergence, ...]]:
            found: dict[str, list[Divergence]] = {name: [] for name in given}
            for start in range(0, len(excerpts), BATCH):
                part = slice(start, start + BATCH)
                rows = {name: values[part] for name, values in given.items()}
                compared = self._compare(subject, neuron, excerpts[part], rows, stop)
                for name, several in compared.items():
                    found[name].extend(several)
            return {name: tuple(several) for name, several in found.items()}

        return await self._run(work)

    async def run(self, work: Callable[[SubjectModel, Stop], T]) -> T:
        """Do something else with the model, on its own thread.

        Args:
            work: Gets the model, and a function that says whether nobody waits any more.

        Raises:
            ModelError: the model can't be loaded, or has changed since the scan.
        """
        return await self._run(work)

    async def close(self) -> None:
        """Let go of the model; what is under way stops at its next batch."""
        self._closed = True
        thread, self._thread, self._subject = self._thread, None, None
        if thread is not None:
            await asyncio.to_thread(thread.shutdown, cancel_futures=True)

    # -- on the lab's own thread

    async def _run(self, work: Callable[[SubjectModel, Stop], T]) -> T:
        if self._closed:
            raise ModelError("The lab is closed.")
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="lab")
        left = threading.Event()

        def stopped() -> bool:
            return left.is_set() or self._closed

        def job() -> T:
            if self._subject is None:
                self._subject = self._load()
            return work(self._subject, stopped)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, job)
        except _LeftError:
            raise ModelError("The lab was closed while it was at work.") from None
        finally:
            left.set()

    def _load(self) -> SubjectModel:
        from engine.subject import SubjectModel

        name = self._index.model_name
        subject = SubjectModel.load(name, device=self._device, dtype=self._dtype)
        facts = subject.facts
        # An index may be of a part of a model's neurons, never of more than it has.
        fits = facts.n_layers >= self._index.n_layers and facts.n_neurons >= self._index.n_neurons
        if facts.model_id != self.model_id or not fits:
            raise ModelError(
                f"The weights of {name} are not those that were scanned.",
                "Scan again with these weights, or bring the scanned ones back.",
            )
        return subject

    def _padded(self, subject: SubjectModel, excerpts: Sequence[Excerpt]) -> torch.Tensor:
        import torch

        skip = int(self._prepend)
        width = max(len(excerpt) for excerpt in excerpts) + skip
        ids = torch.full((len(excerpts), width), subject.end_of_text, dtype=torch.int64)
        for row, excerpt in enumerate(excerpts):
            tokens = torch.from_numpy(excerpt.token_ids.astype(np.int64))
            ids[row, skip : skip + len(tokens)] = tokens
        return ids

    def _read(
        self,
        subject: SubjectModel,
        neuron: NeuronId,
        excerpts: Sequence[Excerpt],
        side: Side,
        stop: Stop,
    ) -> list[ActivationRecord]:
        sign = -1 if side == "negative" else 1
        skip = int(self._prepend)
        records: list[ActivationRecord] = []
        for start in range(0, len(excerpts), BATCH):
            go_on(stop)
            part = excerpts[start : start + BATCH]
            values: list[NDArray[np.float32]] = []

            def keep(
                layer: int, activations: torch.Tensor, into: list[NDArray[np.float32]] = values
            ) -> None:
                if layer == neuron.layer:
                    into.append(activations[:, skip:, neuron.index].float().cpu().numpy().copy())

            subject.run(self._padded(subject, part), keep)
            for excerpt, row in zip(part, values[0], strict=True):
                records.append(ActivationRecord(excerpt, sign * row[: len(excerpt)]))
        return records

    def _compare(
        self,
        subject: SubjectModel,
        neuron: NeuronId,
        excerpts: Sequence[Excerpt],
        variants: Mapping[str, Sequence[NDArray[np.float32]]],
        stop: Stop,
    ) -> dict[str, list[Divergence]]:
        import torch

        skip = int(self._prepend)
        ids = self._padded(subject, excerpts)
        inside = torch.zeros(ids.shape, dtype=torch.bool)
        for row, excerpt in enumerate(excerpts):
            inside[row, skip : skip + len(excerpt)] = True
        where = inside.to(subject.device)
        original = subject.hidden(ids)[where]
        bounds = np.cumsum([len(excerpt) for excerpt in excerpts])[:-1]
        found = {}
        for name, rows in variants.items():
            go_on(stop)
            values = torch.full(ids.shape, torch.nan)
            values[inside] = torch.from_numpy(np.concatenate(rows))
            states = subject.hidden(ids, layer=neuron.layer, neuron=neuron.index, values=values)
            kl, js = _divergences(subject, original, states[where], stop)
            parts = zip(np.split(kl, bounds), np.split(js, bounds), strict=True)
            found[name] = [Divergence(*part) for part in parts]
        return found


def _divergences(
    subject: SubjectModel, original: torch.Tensor, replaced: torch.Tensor, stop: Stop
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """KL and JS divergence for each row of hidden states, float64 [n], nats."""
    import torch

    kls, jss = [], []
    for start in range(0, len(original), POSITIONS):
        go_on(stop)
        rows = slice(start, start + POSITIONS)
        p = subject.log_probabilities(original[rows])
        q = subject.log_probabilities(replaced[rows])
        middle = torch.logaddexp(p, q) - float(np.log(2))
        to_p = (p.exp() * (p - middle)).sum(-1)
        to_q = (q.exp() * (q - middle)).sum(-1)
        kls.append((p.exp() * (p - q)).sum(-1))
        jss.append((to_p + to_q) / 2)
    # Rounding can leave a divergence of two equal distributions just below zero.
    kl, js = (torch.cat(part).clamp(min=0).cpu().numpy() for part in (kls, jss))
    return kl, js


class _LeftError(Exception):
    """Nobody waits for the result any more."""


def go_on(stop: Stop) -> None:
    """Call it between steps of :meth:`Lab.run`'s work: ends it when nobody waits any more."""
    if stop():
        raise _LeftError
