"""A local model's tokenizer: raw texts with places, conversations, pieces of replies."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import dropwhile
from typing import Any

from engine.models.request import Message
from engine.vocabulary import Vocabulary

#: How a turn begins where the tokenizer has no chat template.
_SPEAKERS = {"user": "User:", "assistant": "Assistant:"}
#: A token of its own in every tokenizer: what follows it is cut as in the middle of a text.
_ANCHOR = "\t"


@dataclass(frozen=True, slots=True)
class Encoded:
    """A text as tokens.

    Attributes:
        ids: With the tokens that the tokenizer puts before every text.
        lead: How many of ``ids`` those are.
        starts: Character where each of the other tokens begins.
        texts: Their texts.
    """

    ids: tuple[int, ...]
    lead: int
    starts: tuple[int, ...]
    texts: tuple[str, ...]


class LocalTokens:
    """The tokenizer of one checkpoint; may be used by several threads.

    Args:
        tokenizer: A fast tokenizer of transformers.
        size: Rows of the model's output, which may exceed the tokenizer's entries.
    """

    def __init__(self, tokenizer: Any, size: int) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = tokenizer
        self._marked = tokenizer.backend_tokenizer
        facts = _untrimmed(json.loads(self._marked.to_str()))
        self._byte_level = "ByteLevel" in json.dumps(facts.get("decoder"))
        # Marks such as <|endoftext|> inside a text are only text here.
        self._plain = Tokenizer.from_str(json.dumps(facts))
        self._plain.encode_special_tokens = True
        for backend in (self._marked, self._plain):
            backend.no_truncation()
            backend.no_padding()
        marks = [t.content for t in self._plain.get_added_tokens_decoder().values() if t.special]
        self._marks = re.compile("|".join(map(re.escape, sorted(marks, key=len, reverse=True))))
        self._has_marks = bool(marks)
        self._vocabulary = Vocabulary.from_tokenizer(self._plain, size)

    @property
    def has_template(self) -> bool:
        """Whether the checkpoint says how its conversations are written."""
        return bool(self._tokenizer.chat_template)

    def count(self, text: str) -> int:
        """Tokens of a text, those put before it not counted."""
        return len(self._plain.encode(text, add_special_tokens=False).ids)

    def encode(self, text: str) -> Encoded:
        """A raw text, with what the tokenizer puts before it but not after it."""
        encoding = self._plain.encode(text, add_special_tokens=True)
        added = encoding.special_tokens_mask
        lead = len(added) - len(list(dropwhile(bool, added)))
        end = len(list(dropwhile(bool, reversed(added))))
        ids = encoding.ids[: max(lead, end)]
        offsets = encoding.offsets[lead : len(ids)]
        texts = [
            self.token(token_id) if self._byte_level else text[a:b] or self.token(token_id)
            for token_id, (a, b) in zip(ids[lead:], offsets, strict=True)
        ]
        return Encoded(tuple(ids), lead, tuple(a for a, _ in offsets), tuple(texts))

    def value(self, text: str) -> tuple[int, ...]:
        """The tokens of a short text in the middle of another; empty if it has none."""
        anchor = self._plain.encode(_ANCHOR, add_special_tokens=False).ids
        whole = self._plain.encode(_ANCHOR + text, add_special_tokens=False).ids
        if whole[: len(anchor)] != anchor:
            return tuple(self._plain.encode(text, add_special_tokens=False).ids)
        return tuple(whole[len(anchor) :])

    def token(self, token_id: int) -> str:
        r"""A token's own text; bytes that are no character by themselves as ``\xNN``."""
        if token_id >= len(self._vocabulary):
            return ""
        token = self._vocabulary.token(token_id)
        if not self._byte_level:
            text = token.decode("utf-8", "backslashreplace").replace("\u2581", " ")
            byte = re.fullmatch(r"<0x([0-9A-F]{2})>", text)
            if byte is None:
                return text
            token = bytes([int(byte[1], 16)])
        return token.decode("utf-8", "backslashreplace")

    def ends(self, settings: Mapping[str, Any]) -> frozenset[int]:
        """Tokens that end a reply, by the tokenizer and the generation settings."""
        given = settings.get("eos_token_id")
        several = given if isinstance(given, list) else [given]
        return frozenset(one for one in [*several, self._tokenizer.eos_token_id] if one is not None)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of consecutive tokens of a reply, without the tokenizer's own marks."""
        return str(self._marked.decode(list(ids), skip_special_tokens=True))

    def conversation(self, messages: Sequence[Message]) -> tuple[int, ...]:
        """A conversation by the chat template, or as a plain transcript, up to the reply.

        Marks of the template that occur inside a message stay text: they can't end the
        message or begin another speaker's.
        """
        if not self.has_template:
            said = (
                f"{_SPEAKERS[m.role]} {m.text}" if m.role in _SPEAKERS else m.text for m in messages
            )
            return self.encode("\n\n".join([*said, _SPEAKERS["assistant"]])).ids
        hidden: list[str] = []
        stand_in = _unused("".join(message.text for message in messages))

        def hide(match: re.Match[str]) -> str:
            hidden.append(match[0])
            return stand_in

        turns = [
            {
                "role": message.role,
                "content": self._marks.sub(hide, message.text) if self._has_marks else message.text,
            }
            for message in messages
        ]
        ids: list[int] = []
        for number, part in enumerate(self._rendered(turns).split(stand_in)):
            if number:
                ids += self._plain.encode(hidden[number - 1], add_special_tokens=False).ids
            ids += self._marked.encode(part, add_special_tokens=False).ids
        return tuple(ids)

    def _rendered(self, turns: list[dict[str, str]]) -> str:
        from jinja2 import TemplateError

        def render(some: list[dict[str, str]]) -> str:
            # Models that think aloud first would spend the whole reply on it.
            return str(
                self._tokenizer.apply_chat_template(
                    some, tokenize=False, add_generation_prompt=True, enable_thinking=False
                )
            )

        try:
            return render(turns)
        except TemplateError:
            first, *rest = turns
            if first["role"] != "system" or not rest:
                raise
            # Some templates know no system message.
            joined = {
                "role": rest[0]["role"],
                "content": f"{first['content']}\n\n{rest[0]['content']}",
            }
            return render([joined, *rest[1:]])

    @property
    def stop_texts(self) -> tuple[str, ...]:
        """What ends a reply besides the end-of-text token: the next turn of a transcript."""
        return () if self.has_template else (f"\n\n{_SPEAKERS['user']}", f"\n{_SPEAKERS['user']}")


class ReplyText:
    """A reply's tokens to text as they come, held back where it may still change.

    Args:
        stops: Texts before which the reply ends.
    """

    def __init__(self, tokens: LocalTokens, stops: Sequence[str]) -> None:
        self._tokens = tokens
        self._stops = [stop for stop in stops if stop]
        self._ids: list[int] = []
        self._read = self._settled = 0
        self._given = 0
        self.text = ""
        self.stopped = False

    def add(self, token_id: int) -> str:
        """The text that is now certain; empty while part of a character or a stop is open."""
        self._ids.append(token_id)
        before = self._tokens.decode(self._ids[self._settled : self._read])
        after = self._tokens.decode(self._ids[self._settled :])
        if len(after) > len(before) and not after.endswith("\ufffd"):
            self._settled, self._read = self._read, len(self._ids)
            self._append(after[len(before) :])
        return self._give(len(self.text) - (0 if self.stopped else self._open()))

    def end(self) -> str:
        """What was still held back."""
        if not self.stopped:
            before = self._tokens.decode(self._ids[self._settled : self._read])
            self._append(self._tokens.decode(self._ids[self._settled :])[len(before) :])
        return self._give(len(self.text))

    def _append(self, piece: str) -> None:
        self.text += piece
        found = [at for stop in self._stops if (at := self.text.find(stop)) >= 0]
        if found:
            self.text = self.text[: min(found)]
            self.stopped = True

    def _open(self) -> int:
        """Length of the longest end of the text that begins a stop."""
        longest = 0
        for stop in self._stops:
            for length in range(min(len(stop), len(self.text)), longest, -1):
                if self.text.endswith(stop[:length]):
                    longest = length
                    break
        return longest

    def _give(self, end: int) -> str:
        piece = self.text[self._given : end]
        self._given = max(self._given, end)
        return piece


def _untrimmed(facts: Any) -> Any:
    """A tokenizer's description with places that cover the spaces of every token."""
    if isinstance(facts, dict):
        return {
            key: value
            if key == "model"
            else (False if key == "trim_offsets" else _untrimmed(value))
            for key, value in facts.items()
        }
    return [_untrimmed(one) for one in facts] if isinstance(facts, list) else facts


def _unused(text: str) -> str:
    """A short text that occurs nowhere in ``text``."""
    number = 0
    while (stand_in := f"\ue000{number}\ue001") in text:
        number += 1
    return stand_in
