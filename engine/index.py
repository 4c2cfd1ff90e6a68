"""Reading an index: one folder, memory-mapped, opened in milliseconds.

The layout is described in :mod:`engine.generation`, which writes it.  Nothing here
imports torch: browsing a scanned model costs no more than numpy.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import IndexFormatError, UsageError
from engine.keep import Keep
from engine.neuron import NeuronId
from engine.records import (
    ActivationRecord,
    Excerpt,
    Fold,
    Group,
    NeuronRecord,
    NeuronStatistics,
    TokenMeans,
)
from engine.vocabulary import Vocabulary
from engine.windows import WindowSet

if TYPE_CHECKING:
    from engine.store import IndexFacts

FORMAT = "neuroglass-index"
VERSION = 1
MANIFEST = "manifest.json"
CORPUS = "corpus"
#: Sums of the token table are int64 on a grid of ``2**-TOKEN_GRID`` while they grow: a
#: token's mean is float16 in the end, and 2**39 is the sum of 1e10 activations of 50.
TOKEN_GRID = 24


@dataclass(frozen=True, slots=True, eq=False)
class LayerStatistics:
    """One layer's neurons as columns, each float64 [n_neurons], activation units.

    ``skewness`` and ``kurtosis`` are NaN for a constant neuron; ``kurtosis`` of a
    normal distribution is 3.
    """

    maximum: NDArray[np.float64]
    minimum: NDArray[np.float64]
    mean: NDArray[np.float64]
    variance: NDArray[np.float64]
    skewness: NDArray[np.float64]
    kurtosis: NDArray[np.float64]
    fraction_active: NDArray[np.float64]


def read_manifest(folder: Path) -> dict[str, Any]:
    """An index folder's manifest.

    Raises:
        IndexFormatError: missing, unreadable, foreign, or of another version.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise IndexFormatError(
            f"There is no index in {folder}.", "Make one with: neuroglass scan"
        ) from None
    except OSError as error:
        raise IndexFormatError(
            f"{path} can't be read: {error.strerror}.", "Check the file's permissions."
        ) from error
    except ValueError:
        raise IndexFormatError(f"{path} is damaged.", f"Remove {folder} and scan again.") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise IndexFormatError(f"{folder} is not a neuroglass index.", "Name another folder.")
    if manifest.get("version") != VERSION:
        raise IndexFormatError(
            f"{folder} is an index of version {manifest.get('version')}; this neuroglass reads "
            f"version {VERSION}.",
            "Scan again, or use the neuroglass that made it.",
        )
    return manifest


def checksum(path: Path) -> int:
    """CRC-32 of a whole file."""
    crc = 0
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            crc = zlib.crc32(block, crc)
    return crc


class Index:
    """An open index, complete or still growing. Use :meth:`open`.

    An index object shows one generation; a growing index is followed by opening it
    again. Reading is safe from any thread.
    """

    def __init__(self, path: Path, manifest: Mapping[str, Any]) -> None:
        self.path = path
        self.manifest = manifest
        model, corpus = manifest["model"], manifest["corpus"]
        self.model_name: str = model["name"]
        self.model_id: str = model["model_id"]
        self.n_layers: int = model["n_layers"]
        self.n_neurons: int = model["n_neurons"]
        self.index_id: str = manifest["index_id"]
        self.corpus_id: str = corpus["id"]
        self.sources: tuple[str, ...] = tuple(corpus["sources"])
        self.complete: bool = manifest["complete"]
        self.generation: int = manifest["generation"]
        self.windows_scanned: int = manifest["windows_done"]
        self.windows_total: int = corpus["windows"]
        self.tokens_scanned: int = manifest["tokens_done"]
        keep = Keep(**manifest["settings"]["keep"])
        self._slots = keep.slots()
        folder = path / manifest["folder"]
        try:
            self._arrays = {
                name: self._map(folder / f"{name}.npy", entry)
                for name, entry in manifest["arrays"].items()
            }
            self._windows = WindowSet.load(path / CORPUS, corpus)
            self.vocabulary = Vocabulary.load(path / CORPUS / "vocabulary.npz")
            self._table: NDArray[np.int32] = np.load(path / CORPUS / "token_table.npy")
            self._edges: NDArray[np.float32] = np.load(path / CORPUS / "histogram_edges.npy")
        except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
            raise IndexFormatError(
                f"The index in {path} is damaged: {error}.", f"Remove {path} and scan again."
            ) from error

    @classmethod
    def open(cls, path: Path) -> Index:
        """Open an index folder.

        Raises:
            IndexFormatError: there is none, or it is damaged, foreign, or of another
                version. Sizes are checked here; checksums by :meth:`verify`.
        """
        for attempt in range(3):
            manifest = read_manifest(path)
            try:
                return cls(path, manifest)
            except KeyError as error:
                raise IndexFormatError(
                    f"{path / MANIFEST} is damaged: {error} is missing.",
                    f"Remove {path} and scan again.",
                ) from error
            except IndexFormatError:
                # A scan may have published a newer generation between the two reads.
                if attempt == 2 or read_manifest(path)["generation"] == manifest["generation"]:
                    raise
        raise AssertionError("unreachable")

    @classmethod
    def find(cls, index_id: str, path: Path, home: Path) -> Path:
        """Where the index of a hash lies: at a path known from before, or in a home.

        Raises:
            IndexFormatError: it is gone, damaged, or another one is there now.
        """
        for place in (path, home / "indexes" / path.name):
            if (place / MANIFEST).exists() and read_manifest(place)["index_id"] == index_id:
                return place
        raise IndexFormatError(
            f"The index it was made from is gone: {path}.", "Scan the same text again to open it."
        )

    @staticmethod
    def _map(path: Path, entry: Mapping[str, Any]) -> NDArray[Any]:
        if path.stat().st_size != entry["bytes"]:
            raise ValueError(f"{path.name} has {path.stat().st_size} of {entry['bytes']} bytes")
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        if list(array.shape) != entry["shape"] or array.dtype.name != entry["dtype"]:
            raise ValueError(f"{path.name} has another shape than the manifest says")
        # A plain array over the same pages: every slice of a memmap costs ten times one of it.
        return np.asarray(array)

    def verify(self) -> None:
        """Compare every checksum of a complete index.

        Raises:
            IndexFormatError: naming the first file that differs.
        """
        for name, entry in self.manifest["arrays"].items():
            path = self.path / self.manifest["folder"] / f"{name}.npy"
            if "crc32" in entry and checksum(path) != entry["crc32"]:
                raise IndexFormatError(
                    f"{path} is damaged: its checksum differs.",
                    f"Remove {self.path} and scan again.",
                )

    def check(self, neuron: NeuronId) -> int:
        """The neuron's row in every array. UsageError if the model has no such neuron."""
        if not (0 <= neuron.layer < self.n_layers and 0 <= neuron.index < self.n_neurons):
            raise UsageError(
                f"There is no neuron {neuron} in {self.model_name}.",
                f"Layers are 0 to {self.n_layers - 1}, neurons 0 to {self.n_neurons - 1}.",
            )
        return neuron.layer * self.n_neurons + neuron.index

    # -- what every catalogue has (:mod:`engine.catalogue`)

    def present(self, layer: int) -> Sequence[int]:
        """All neurons of a layer. UsageError if there is no such layer."""
        self.check(NeuronId(layer, 0))
        return range(self.n_neurons)

    def at_hand(self, neuron: NeuronId) -> bool:
        """True: all of an index is on this disk."""
        return True

    async def prepare(self, neuron: NeuronId) -> None:
        """Nothing to wait for. UsageError if there is no such neuron."""
        self.check(neuron)

    def facts(self) -> IndexFacts:
        """What the store remembers of the index."""
        from engine.store import IndexFacts

        return IndexFacts(
            model_id=self.model_id,
            model_name=self.model_name,
            n_layers=self.n_layers,
            n_neurons=self.n_neurons,
            index_id=self.index_id,
            corpus_id=self.corpus_id,
            path=str(self.path),
            tokens=self.tokens_scanned,
            windows=self.windows_scanned,
            settings=dict(self.manifest["settings"]),
        )

    # -- reading

    def layer(self, layer: int) -> LayerStatistics:
        """Columns for one layer. UsageError if there is no such layer."""
        first = self.check(NeuronId(layer, 0))
        rows = slice(first, first + self.n_neurons)
        mean, variance, skewness, kurtosis = _moments(self._arrays["powers"][rows])
        tokens = np.maximum(self._arrays["powers"][rows, 0], 1)
        extremes = self._arrays["extremes"][rows].astype(np.float64)
        return LayerStatistics(
            maximum=extremes[:, 1],
            minimum=extremes[:, 0],
            mean=mean,
            variance=variance,
            skewness=skewness,
            kurtosis=kurtosis,
            fraction_active=self._arrays["active"][rows] / tokens,
        )

    def statistics(self, neuron: NeuronId) -> NeuronStatistics:
        """One neuron's statistics."""
        row = self.check(neuron)
        powers = np.array(self._arrays["powers"][row : row + 1])
        mean, variance, skewness, kurtosis = (float(column[0]) for column in _moments(powers))
        low, high = self._arrays["extremes"][row].tolist()
        return NeuronStatistics(
            tokens=int(powers[0, 0]),
            mean=mean,
            variance=variance,
            skewness=skewness,
            kurtosis=kurtosis,
            fraction_active=float(self._arrays["active"][row] / max(powers[0, 0], 1)),
            maximum=high,
            minimum=low,
            histogram=self._arrays["histogram"][row].astype(np.int64),
            histogram_edges=self._edges,
            quantile_boundaries=np.array(self._arrays["boundaries"][row]),
            windows_in_band=np.array(self._arrays["in_band"][row]),
        )

    def excerpt(self, window: int) -> Excerpt:
        """One window's text. UsageError if there is no such window."""
        if not 0 <= window < len(self._windows):
            raise UsageError(f"There is no window {window} in this index.")
        return self._windows.excerpt(window, self.vocabulary)

    def windows_of(self, fold: Fold) -> NDArray[np.int64]:
        """Every window of a fold, whether it has been scanned yet or not; int64 [n]."""
        folds = self._windows.folds()
        return np.flatnonzero(folds == list(Fold).index(fold))

    def neuron(self, neuron: NeuronId) -> NeuronRecord:
        """All that was kept of one neuron. UsageError if there is no such neuron."""
        row = self.check(neuron)
        windows: list[int] = self._arrays["windows"][row].tolist()
        values = self._arrays["values"][row].astype(np.float32)
        records = {}
        for key, part in self._slots.items():
            kept = []
            for slot in range(part.start, part.stop):
                if windows[slot] >= 0:
                    excerpt = self.excerpt(windows[slot])
                    kept.append(ActivationRecord(excerpt, values[slot, : len(excerpt)]))
            records[key] = tuple(kept)
        return NeuronRecord(neuron, self.statistics(neuron), records, self.windows_scanned)

    def token_means(self, neuron: NeuronId) -> TokenMeans:
        """The token look-up table of one neuron, over the explain fold scanned so far."""
        row = self.check(neuron)
        counts, seen = self._seen_tokens
        total = max(self.manifest["explain_tokens"], 1)
        ids, texts = self._seen_texts
        one = slice(neuron.index, neuron.index + 1)
        return TokenMeans(
            token_ids=ids,
            counts=counts[seen],
            means=self._token_means(neuron.layer, one, counts)[0, seen],
            mean=float(self._arrays["explain_sum"][row]) / total,
            texts=texts,
        )

    def token_counts(self) -> NDArray[np.int64]:
        """How often each tabled token was seen, without those that never were; int64 [M]."""
        counts, seen = self._seen_tokens
        return counts[seen]

    def table_token(self, place: int) -> bytes:
        """The bytes of the token at a place of :meth:`token_counts`."""
        _, seen = self._seen_tokens
        return self.vocabulary.token(int(self._table[seen][place]))

    def token_means_of(self, layer: int, neurons: slice) -> NDArray[np.float32]:
        """The look-up tables of some neurons of a layer, float32 [n, M].

        M as in :meth:`token_means`, in the same order. UsageError if there is no such layer.
        """
        self.check(NeuronId(layer, 0))
        counts, seen = self._seen_tokens
        return self._token_means(layer, neurons, counts)[:, seen]

    @cached_property
    def _seen_texts(self) -> tuple[NDArray[np.int32], tuple[bytes, ...]]:
        ids = self._table[self._seen_tokens[1]]
        return ids, self.vocabulary.decode(ids)

    @cached_property
    def _seen_tokens(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        counts = np.array(self._arrays["token_counts"][:-1])
        return counts, counts > 0

    def _token_means(
        self, layer: int, neurons: slice, counts: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        if "token_means" in self._arrays:
            first = layer * self.n_neurons
            rows = range(self.n_neurons)[neurons]
            kept = self._arrays["token_means"][first + rows.start : first + rows.stop]
            return np.asarray(kept, dtype=np.float32)
        sums = self._arrays["token_sums"][layer, :-1, neurons]
        # Fixed point; indexes begun by the first version hold floating-point sums.
        scale = 2.0**-TOKEN_GRID if sums.dtype == np.int64 else 1.0
        means = sums * scale / np.maximum(counts, 1)[:, None]
        return np.ascontiguousarray(means.T, dtype=np.float32)

    def top_windows(self, neuron: NeuronId) -> frozenset[int]:
        """The windows that the neuron fires most in, as far as they were kept."""
        row = self.check(neuron)
        parts = [self._slots[fold, Group.TOP] for fold in Fold]
        found = [self._arrays["windows"][row, part] for part in parts]
        return frozenset(int(window) for window in np.concatenate(found) if window >= 0)

    @cached_property
    def bytes_on_disk(self) -> int:
        """Size of the whole folder."""
        return sum(path.stat().st_size for path in self.path.rglob("*") if path.is_file())


def _moments(powers: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Mean, variance, skewness, kurtosis from [n, 5] sums of x^0 .. x^4."""
    count = np.maximum(powers[:, :1], 1)
    m1, m2, m3, m4 = (powers[:, 1:] / count).T
    variance = np.maximum(m2 - m1**2, 0)
    third = m3 - 3 * m1 * m2 + 2 * m1**3
    fourth = m4 - 4 * m1 * m3 + 6 * m1**2 * m2 - 3 * m1**4
    # Below this the cancellation in float32 sums leaves nothing of a third moment.
    defined = variance > 1e-12
    safe = np.where(defined, variance, 1.0)
    skewness = np.where(defined, third / safe**1.5, np.nan)
    kurtosis = np.where(defined, fourth / safe**2, np.nan)
    return m1, variance, skewness, kurtosis
