"""A local model's weights and the cache of what it has read last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import ModelError
from engine.loading import LOADING
from engine.models.faults import Fault, LanguageModelError
from engine.subject import resolve_device

if TYPE_CHECKING:
    import torch

_DTYPES = ("auto", "float32", "bfloat16", "float16")
#: Places whose log-softmax is taken at once: bounds the memory of a large vocabulary.
_ROWS = 64


class LocalNetwork:
    """A causal model that reads token ids; for one thread at a time.

    Args:
        model: A transformers model for causal language modelling, in evaluation mode.
        context: Longest input in tokens; None when it has no limit of its own.
    """

    def __init__(self, model: Any, device: str, context: int | None) -> None:
        self.context = context
        self._model = model
        self._device = device
        self._ids: list[int] = []
        self._cache: Any = None
        #: Whether the cache can be cut back; a recurrent state can only go on.
        self.cuts_back = not getattr(model, "_is_stateful", False)

    @classmethod
    def load(cls, folder: Path, name: str, device: str, dtype: str) -> LocalNetwork:
        """Read the weights, from safetensors only; no code that comes with them is run.

        Args:
            dtype: ``auto``: the checkpoint's own on an accelerator, float32 on a CPU,
                where half precision is slower and less exact.

        Raises:
            LanguageModelError: unreadable, of no known kind, or no such device or dtype.
        """
        import torch

        with LOADING:  # its lazy imports are not safe side by side either
            from transformers import AutoModelForCausalLM
            from transformers.utils import logging as transformers_logging

        if dtype not in _DTYPES:
            raise _unusable(f"There is no dtype {dtype!r}.", f"Choose one of {', '.join(_DTYPES)}.")
        if not list(folder.glob("*.safetensors")):
            raise _unusable(
                f"{name} has no safetensors weights.",
                "Convert it first: only safetensors are read, since pickled weights can run code.",
            )
        try:
            device = resolve_device(device)
        except ModelError as error:
            raise _unusable(error.message, error.remedy) from error
        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
        if dtype == "auto":
            wanted: Any = torch.float32 if device == "cpu" else "auto"
        else:
            wanted = getattr(torch, dtype)
        try:
            with LOADING:
                model = AutoModelForCausalLM.from_pretrained(
                    folder,
                    dtype=wanted,
                    local_files_only=True,
                    use_safetensors=True,
                    trust_remote_code=False,
                )
            model = model.to(device).eval().requires_grad_(False)
        except Exception as error:  # transformers raises many kinds; all mean the same here
            raise _unusable(
                f"The model in {folder} can't be read: {_first_line(error)}.",
                "Choose a checkpoint for causal language modelling that transformers knows.",
            ) from error
        facts = model.config.get_text_config()
        context = getattr(facts, "max_position_embeddings", None)
        return cls(model, device, context if isinstance(context, int) and context > 0 else None)

    @property
    def vocabulary(self) -> int:
        """Rows of the output."""
        return int(self._model.config.get_text_config().vocab_size)

    @property
    def settings(self) -> Mapping[str, Any]:
        """The checkpoint's own defaults of generation."""
        found = self._model.generation_config
        return found.to_dict() if found is not None else {}

    def read(self, ids: Sequence[int], first: int, *, reuse: bool = True) -> tuple[Any, int]:
        """One forward pass over what the cache does not hold yet.

        The longest common start with what was read before is not read again.  Logits
        then equal those of a whole pass but for rounding (measured: 2e-6 in float32).

        Args:
            ids: The whole text.
            first: Position from which on logits are wanted.
            reuse: False for a result that does not depend on earlier calls to the last bit.

        Returns:
            Logits after ``ids[first]`` and every later one, [len(ids) - first,
            vocabulary] in the model's dtype, and how many tokens came from the cache.

        Raises:
            LanguageModelError: ``TOO_LONG``.
        """
        import torch

        if self.context is not None and len(ids) > self.context:
            raise too_long(len(ids), self.context)
        cache, kept = self._start(ids, first) if reuse else (self._empty(), 0)
        # Should the pass break, what the cache holds is not known.
        self._cache, self._ids = None, []
        wanted = len(ids) - first
        try:
            with torch.inference_mode():
                output = self._model(
                    input_ids=torch.tensor([list(ids[kept:])], device=self._device),
                    past_key_values=cache,
                    use_cache=True,
                    logits_to_keep=wanted,
                )
        except torch.OutOfMemoryError as error:
            raise LanguageModelError(
                Fault.TOO_LONG,
                f"{len(ids)} tokens don't fit into the memory of {self._device}.",
                "Choose fewer or shorter examples, a smaller model, or another device.",
            ) from error
        self._cache = getattr(output, "past_key_values", None)
        self._ids = list(ids) if self._cache is not None else []
        return output.logits[0, -wanted:], kept

    def follow(self, ids: Sequence[int], value: Sequence[int]) -> float:
        """Natural log-probability of ``value``'s tokens but the first, after it at ``ids``.

        The cache is cut back to ``ids``: follow up several places from the last to the
        first, and each costs a pass over ``value`` alone.
        """
        whole = [*ids, *value[:-1]]
        logits, _ = self.read(whole, len(ids))
        chosen = log_softmax(logits)
        return float(sum(chosen[i, token] for i, token in enumerate(value[1:])))

    def free(self) -> None:
        """Forget what was read."""
        self._cache, self._ids = None, []

    def _start(self, ids: Sequence[int], first: int) -> tuple[Any, int]:
        """The cache to begin with, and how many of ``ids`` it holds: at most ``first``."""
        kept = min(_common(self._ids, ids), first)
        if kept and kept == len(self._ids):
            return self._cache, kept
        if not kept or not self.cuts_back:
            return self._empty(), 0
        self._cache.crop(kept - len(self._ids))  # a negative number takes that many off
        return self._cache, kept

    def _empty(self) -> Any:
        """A cache of nothing; None lets the model make one of its own kind."""
        from transformers import DynamicCache

        # Without the configuration every layer keeps everything, sliding windows too,
        # so that it can be cut anywhere; the mask still slides.
        return DynamicCache() if self.cuts_back else None


def log_softmax(logits: Any) -> torch.Tensor:
    """float32 log-probabilities on the CPU, [rows, vocabulary]."""
    import torch

    rows = [
        logits[start : start + _ROWS].float().log_softmax(-1).cpu()
        for start in range(0, len(logits), _ROWS)
    ]
    return torch.cat(rows) if rows else torch.empty(0, 0)


def too_long(tokens: int, context: int) -> LanguageModelError:
    """The error of a text that does not fit, with both numbers."""
    return LanguageModelError(
        Fault.TOO_LONG,
        f"The text has {tokens} tokens, the model's context holds {context}.",
        "Choose fewer or shorter examples, or a model with a longer context.",
    )


def _unusable(message: str, remedy: str) -> LanguageModelError:
    return LanguageModelError(Fault.UNKNOWN_MODEL, message, remedy)


def _common(some: Sequence[int], others: Sequence[int]) -> int:
    if list(others[: len(some)]) == some:
        return len(some)
    for place, (one, other) in enumerate(zip(some, others, strict=False)):
        if one != other:
            return place
    return min(len(some), len(others))


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".")
