"""Token id to bytes, without a tokenizer.

An index carries its own vocabulary, so that browsing it needs neither the model nor
``tokenizers``.  Byte-level BPE tokens are byte strings, not text: one token may be a
third of a character.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-in for each byte, reversed (Radford et al. 2019)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    alphabet = {chr(byte): byte for byte in printable}
    alphabet.update({chr(256 + i): byte for i, byte in enumerate(others)})
    return alphabet


#: SentencePiece's stand-in for a space, and its tokens for single bytes.
_SPACE = "\u2581"
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


class Vocabulary:
    """The bytes of every token id.

    Args:
        tokens: One byte string per id, ids from zero without gaps.
    """

    def __init__(self, tokens: Sequence[bytes]) -> None:
        self._tokens = tuple(tokens)

    def __len__(self) -> int:
        return len(self._tokens)

    def token(self, token_id: int) -> bytes:
        """The bytes of one token. IndexError outside the vocabulary."""
        return self._tokens[token_id]

    def decode(self, token_ids: Iterable[int]) -> tuple[bytes, ...]:
        """The bytes of each token, in order."""
        tokens = self._tokens
        # Numpy's scalars are slow, one by one: a neuron's excerpts hold thousands of them.
        ids = token_ids.tolist() if isinstance(token_ids, np.ndarray) else map(int, token_ids)
        return tuple([tokens[i] for i in ids])

    @classmethod
    def from_tokenizer(cls, tokenizer: Any, size: int) -> Vocabulary:
        """Read a ``tokenizers.Tokenizer``; ids it lacks become empty.

        Its entries stand for bytes, as GPT-2's do, or for pieces of text with spaces
        written as ``▁`` and single bytes as ``<0x0A>``, as SentencePiece does.

        Args:
            size: Rows of the model's embedding; may exceed the tokenizer's entries.
        """
        alphabet = _byte_alphabet()
        pieces = _writes_pieces(tokenizer)
        special = {t.content for t in tokenizer.get_added_tokens_decoder().values()}
        tokens = [b""] * size
        for text, token_id in tokenizer.get_vocab(with_added_tokens=True).items():
            if token_id >= size:
                continue
            if text in special:
                tokens[token_id] = text.encode()
            elif pieces:
                byte = _BYTE.fullmatch(text)
                text = text.replace(_SPACE, " ")
                tokens[token_id] = bytes.fromhex(byte[1]) if byte else text.encode()
            elif any(char not in alphabet for char in text):
                tokens[token_id] = text.encode()
            else:
                tokens[token_id] = bytes(alphabet[char] for char in text)
        return cls(tokens)

    def save(self, path: Path) -> None:
        """Write one uint8 ``.npz`` with all bytes end to end and int64 offsets."""
        offsets = np.cumsum([0, *map(len, self._tokens)], dtype=np.int64)
        joined = np.frombuffer(b"".join(self._tokens), dtype=np.uint8)
        with path.open("wb") as file:
            np.savez(file, joined=joined, offsets=offsets)

    @classmethod
    def load(cls, path: Path) -> Vocabulary:
        """Read what :meth:`save` wrote. OSError, ValueError or KeyError if damaged."""
        with np.load(path, allow_pickle=False) as file:
            joined: bytes = file["joined"].tobytes()
            offsets: NDArray[np.int64] = file["offsets"]
        bounds = offsets.tolist()
        return cls([joined[a:b] for a, b in pairwise(bounds)])


def _writes_pieces(tokenizer: Any) -> bool:
    """Whether the decoder turns SentencePiece's spaces back, and not bytes."""
    decoder = json.dumps(json.loads(tokenizer.to_str())["decoder"], ensure_ascii=False)
    return '"ByteLevel"' not in decoder and ('"Metaspace"' in decoder or _SPACE in decoder)
