"""Naming one neuron: layer and index within the layer, both from zero."""

from __future__ import annotations

import re
from dataclasses import dataclass

from engine.errors import UsageError

_FORMS = re.compile(r"^\s*[lL]?(\d{1,6})\s*[:/_, nN]+\s*(\d{1,7})\s*$")


@dataclass(frozen=True, order=True, slots=True)
class NeuronId:
    """MLP neuron ``index`` of block ``layer``; written ``5:131``."""

    layer: int
    index: int

    def __str__(self) -> str:
        return f"{self.layer}:{self.index}"

    @classmethod
    def parse(cls, text: str) -> NeuronId:
        """Read ``5:131``, ``L5N131``, ``L5/N131``, ``5 131`` or ``5_131``.

        Raises:
            UsageError: if the text is none of these.
        """
        match = _FORMS.match(text)
        if match is None:
            raise UsageError(f"{text!r} is not a neuron.", "Write layer and index, such as 5:131.")
        return cls(int(match[1]), int(match[2]))
