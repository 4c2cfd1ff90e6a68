"""What to scan: the one value that the app, the command line and Python hand over."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, ClassVar

from engine.errors import UsageError
from engine.keep import Keep

if TYPE_CHECKING:
    from engine.index import Index


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """What to scan, with what, and what to keep.

    Attributes:
        model: ``demo``, a checkpoint directory, or a Hugging Face id.
        sources: ``demo``, files, directories, JSON Lines, ``-`` for standard input.
        window: Tokens per window.
        prepend_end_of_text: Start every window with ``<|endoftext|>``, as every
            document began in training. Its own activations are never ranked, summed or
            shown: the first position of a GPT-2 collects huge values that say nothing
            about text, and without the token that oddity would fall on each window's
            first word instead.
        device, dtype: Of the subject model.
        batch: Windows per forward pass.
        keep: Slots per neuron.
        store_dtype: ``float16`` (relative rounding error at most 2^-11) or ``float32``
            for the kept activations; ranking and statistics always use float32.
        index: Folder of the index; None: named by model and identity in ``indexes``.
        shard: Scan only part ``i`` of ``n``, counted from 1; :mod:`engine.merge` puts the
            parts together. None scans all.
        background: Run at low priority, so that a front end stays quick.
    """

    #: The fields that change what an index holds, and so belong to its identity.
    IDENTITY: ClassVar[tuple[str, ...]] = (
        "window",
        "prepend_end_of_text",
        "dtype",
        "batch",
        "store_dtype",
    )

    model: str = "demo"
    sources: tuple[str, ...] = ("demo",)
    window: int = 64
    prepend_end_of_text: bool = True
    device: str = "auto"
    dtype: str = "float32"
    batch: int = 64
    keep: Keep = field(default_factory=Keep)
    store_dtype: str = "float16"
    index: str | None = None
    shard: tuple[int, int] | None = None
    background: bool = False

    def check(self) -> None:
        """UsageError when the request makes no sense."""
        if not 2 <= self.window <= 4096:
            raise UsageError(f"Can't scan windows of {self.window} tokens.", "Use 2 to 4096.")
        if self.batch < 1:
            raise UsageError(f"Can't scan batches of {self.batch} windows.", "Use 1 or more.")
        if not 1 <= self.keep.top <= 1000:
            raise UsageError(f"Can't keep {self.keep.top} top windows.", "Use 1 to 1000.")
        if self.store_dtype not in ("float16", "float32"):
            raise UsageError(f"Can't store {self.store_dtype!r}.", "Use float16 or float32.")
        if self.shard and not 1 <= self.shard[0] <= self.shard[1]:
            number, of = self.shard
            raise UsageError(f"There is no shard {number} of {of}.", "Count them from 1: 1/2, 2/2.")

    def made(self, index: Index) -> bool:
        """True if the index is complete and was made by such a request.

        Judged by names, without reading the text or the weights again: cheap enough to
        ask at every start. A scan judges by content.
        """
        settings = index.manifest["settings"]
        return (
            index.complete
            and index.model_name == self.model
            and index.sources == self.sources
            and all(settings[name] == getattr(self, name) for name in self.IDENTITY)
            and settings["keep"] == asdict(self.keep)
        )

    def to_json(self) -> str:
        """One line of JSON, which :meth:`from_json` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ScanRequest:
        """Read what :meth:`to_json` wrote."""
        facts = json.loads(text)
        facts["sources"] = tuple(facts["sources"])
        facts["keep"] = Keep(**facts["keep"])
        facts["shard"] = tuple(facts["shard"]) if facts["shard"] else None
        return cls(**facts)
