"""Text to windows: tokenise, cut inside documents, deal documents to folds.

A window is a run of tokens of one document, 64 by default; the last one of a
document may be shorter.  No window crosses a document's end, since the model would
read an unrelated text as context and the heatmap would show a sentence nobody wrote.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import TextError
from engine.records import Excerpt, Fold
from engine.vocabulary import Vocabulary

if TYPE_CHECKING:
    from engine.text import Document

#: A tail shorter than this is dropped: too little context to rank it beside others.
MINIMUM_TOKENS = 8
_ENCODE_BATCH = 64
_ORDER = (Fold.EXPLAIN, Fold.SCORE)


@dataclass(frozen=True, slots=True)
class DocumentInfo:
    """What the index remembers of a document: its name, digest, size and fold."""

    name: str
    sha256: str
    tokens: int
    fold: Fold


@dataclass(frozen=True, slots=True, eq=False)
class WindowSet:
    """Every window of a corpus.

    Attributes:
        token_ids: uint32 [n, W], zero after a window's end.
        lengths: int32 [n].
        document: int32 [n], row in ``documents``.
        offset: int32 [n], first token's position inside its document.
        documents: In reading order.
        duplicates: Windows left out because the same tokens had been seen before.
        dropped_tokens: Tokens in tails too short to keep.
        corpus_id: Digest of all document texts' digests and the cut.
    """

    token_ids: NDArray[np.uint32]
    lengths: NDArray[np.int32]
    document: NDArray[np.int32]
    offset: NDArray[np.int32]
    documents: tuple[DocumentInfo, ...]
    duplicates: int
    dropped_tokens: int
    corpus_id: str

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def tokens(self) -> int:
        """How many tokens all windows hold."""
        return int(self.lengths.sum())

    def folds(self) -> NDArray[np.int8]:
        """int8 [n]: 0 where the window's document is in the explain fold, 1 in score."""
        by_document = np.array([_ORDER.index(d.fold) for d in self.documents], dtype=np.int8)
        return by_document[self.document]

    def excerpt(self, window: int, vocabulary: Vocabulary) -> Excerpt:
        """One window as an excerpt."""
        length = int(self.lengths[window])
        ids = self.token_ids[window, :length].astype(np.int32)
        number = int(self.document[window])
        info = self.documents[number]
        return Excerpt(
            window=window,
            document=number,
            document_name=info.name,
            offset=int(self.offset[window]),
            fold=info.fold,
            token_ids=ids,
            tokens=vocabulary.decode(ids),
        )

    def save(self, folder: Path) -> None:
        """Write arrays and ``documents.jsonl`` into an existing folder."""
        for name in ("token_ids", "lengths", "document", "offset"):
            np.save(folder / f"{name}.npy", getattr(self, name), allow_pickle=False)
        with (folder / "documents.jsonl").open("w", encoding="utf-8") as file:
            for info in self.documents:
                file.write(json.dumps(asdict(info)) + "\n")

    @classmethod
    def load(cls, folder: Path, facts: Mapping[str, Any]) -> WindowSet:
        """Map what :meth:`save` wrote; ``facts`` are the manifest's ``corpus`` entry.

        Raises OSError, ValueError or KeyError when a file is missing or damaged.
        """
        arrays = {
            name: np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False))
            for name in ("token_ids", "lengths", "document", "offset")
        }
        with (folder / "documents.jsonl").open(encoding="utf-8") as file:
            rows = [json.loads(line) for line in file]
        documents = tuple(
            DocumentInfo(row["name"], row["sha256"], row["tokens"], Fold(row["fold"]))
            for row in rows
        )
        return cls(
            **arrays,
            documents=documents,
            duplicates=int(facts["duplicates"]),
            dropped_tokens=int(facts["dropped_tokens"]),
            corpus_id=str(facts["id"]),
        )


def deal_folds(digests: list[str], tokens: list[int]) -> list[Fold]:
    """Deal whole documents to the two folds, evenly by tokens and independent of order.

    Documents are taken by digest, so that renaming or re-ordering files changes
    nothing, and each goes to the fold that has fewer tokens so far.
    """
    sums = dict.fromkeys(_ORDER, 0)
    folds: list[Fold] = [Fold.EXPLAIN] * len(digests)
    for i in sorted(range(len(digests)), key=lambda i: digests[i]):
        fold = min(_ORDER, key=lambda f: sums[f])
        folds[i] = fold
        sums[fold] += tokens[i]
    return folds


def _encoded(
    documents: Iterable[Document], tokenizer: Any
) -> Iterator[tuple[Document, NDArray[np.uint32]]]:
    iterator = iter(documents)
    while batch := list(islice(iterator, _ENCODE_BATCH)):
        encodings = tokenizer.encode_batch([d.text for d in batch], add_special_tokens=False)
        for document, encoding in zip(batch, encodings, strict=True):
            yield document, np.array(encoding.ids, dtype=np.uint32)


def cut(documents: Iterable[Document], tokenizer: Any, width: int = 64) -> WindowSet:
    """Tokenise documents and cut them into windows.

    Args:
        tokenizer: A ``tokenizers.Tokenizer`` with ``encode_special_tokens`` set, so
            that ``<|endoftext|>`` written in a text stays text.
        width: Tokens per window, the prepended end-of-text token not counted.

    Raises:
        TextError: if not a single window comes out.
    """
    rows: list[NDArray[np.uint32]] = []
    lengths: list[int] = []
    owners: list[int] = []
    offsets: list[int] = []
    names: list[str] = []
    digests: list[str] = []
    sizes: list[int] = []
    seen: set[bytes] = set()
    duplicates = dropped = 0
    for number, (document, ids) in enumerate(_encoded(documents, tokenizer)):
        names.append(document.name)
        digests.append(hashlib.sha256(document.text.encode("utf-8", "replace")).hexdigest())
        sizes.append(len(ids))
        for start in range(0, len(ids), width):
            piece = ids[start : start + width]
            if len(piece) < min(MINIMUM_TOKENS, width):
                dropped += len(piece)
                continue
            # Boilerplate repeated over files would fill a top list with one sentence.
            key = hashlib.blake2b(piece.tobytes(), digest_size=16).digest()
            if key in seen:
                duplicates += 1
                continue
            seen.add(key)
            row = np.zeros(width, dtype=np.uint32)
            row[: len(piece)] = piece
            rows.append(row)
            lengths.append(len(piece))
            owners.append(number)
            offsets.append(start)
    if not rows:
        raise TextError(
            "The text holds no window to scan.",
            f"Give at least one document of {MINIMUM_TOKENS} tokens.",
        )
    folds = deal_folds(digests, sizes)
    identity = hashlib.sha256(f"{width}\n".encode())
    for digest in digests:
        identity.update(digest.encode())
    return WindowSet(
        token_ids=np.stack(rows),
        lengths=np.array(lengths, dtype=np.int32),
        document=np.array(owners, dtype=np.int32),
        offset=np.array(offsets, dtype=np.int32),
        documents=tuple(
            DocumentInfo(*facts) for facts in zip(names, digests, sizes, folds, strict=True)
        ),
        duplicates=duplicates,
        dropped_tokens=dropped,
        corpus_id=identity.hexdigest()[:32],
    )
