r"""A language model on this machine: any causal model that transformers can load.

Log-probabilities are exact: they are read off the model's own logits, in one forward
pass, of which only what differs from the previous text is computed.

**Values of several tokens.** Some tokenizers have no token ``10``; its first token is
then ``1``, and the probability of ``1`` contains that of ``10``, so that a sure 10 would
look like a sure 1.  So the rest of such a value is scored too, by one short pass per
place where its first token has a probability of at least 1e-5, and what belongs to the
longer value is taken off the shorter one.  At other places the value is left out: its
probability is less than 1e-5.  With a model whose state can't be cut back (Mamba and
others) each of these passes would be a whole one; there they are left out
everywhere, and :meth:`LocalModel.unscored` names them.

A half-read character of a byte-level tokenizer is written ``\xNN`` in a token's text.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from engine.errors import ModelError
from engine.models.faults import Fault, LanguageModelError
from engine.models.local_generation import generate
from engine.models.local_logprobs import distributions
from engine.models.local_network import LocalNetwork
from engine.models.local_tokens import LocalTokens
from engine.models.model import Capabilities
from engine.models.request import (
    Delta,
    PromptReply,
    PromptRequest,
    Reply,
    Request,
)
from engine.subject import locate

T = TypeVar("T")

#: Bytes of each weight file that take part in a checkpoint's identity, and how often.
_SAMPLE, _SAMPLES = 1 << 16, 16


class LocalModel:
    """A checkpoint as a language model; loaded in its own thread when first used.

    Everything is computed in that one thread, in the order asked for; any number of
    callers may await.  What is being generated stops within a token once its stream is
    closed; a forward pass over a prompt can't be interrupted.

    Sampling takes its temperature, top_p and top_k from the checkpoint's own generation
    settings where the request says nothing; where those do not sample, the likeliest
    token is taken.  With a seed the same request gives the same reply.

    Args:
        checkpoint: ``demo``, a checkpoint directory, or the id of a model in the
            Hugging Face cache; only an id that is not there is fetched.
        device: ``auto`` (CUDA when present, else CPU) or a torch device.
        dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``.
    """

    provider = "local"

    def __init__(
        self, checkpoint: str = "demo", *, device: str = "auto", dtype: str = "auto"
    ) -> None:
        self.model = checkpoint
        self._device = device
        self._dtype = dtype
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="local-model")
        self._loading = threading.Lock()
        self._loaded: tuple[LocalNetwork, LocalTokens] | None = None
        self._identity = ""
        self._closed = threading.Event()

    @classmethod
    def load(
        cls, checkpoint: str = "demo", *, device: str = "auto", dtype: str = "auto"
    ) -> LocalModel:
        """Make one and load it now; blocks for seconds. Raises LanguageModelError."""
        model = cls(checkpoint, device=device, dtype=dtype)
        try:
            model._thread.submit(model._parts).result()
        except BaseException:
            model._thread.shutdown(wait=False)
            raise
        return model

    @property
    def identity(self) -> str:
        """Tells checkpoints apart that have the same name; reads about 1 MB per file.

        Raises:
            LanguageModelError: ``UNKNOWN_MODEL`` if the checkpoint is not there.
        """
        if not self._identity:
            self._identity = f"local {_digest(_located(self.model))} {self._dtype}"
        return self._identity

    async def capabilities(self) -> Capabilities:
        """Loads the model. A schema is put in words, and the reply is looked for in it."""
        network, _ = await self._run(self._parts)
        return Capabilities(
            schema=False,
            top_logprobs=network.vocabulary,
            prompt_logprobs=True,
            context=network.context,
            models=(self.model,),
        )

    async def stream(self, request: Request) -> AsyncGenerator[Delta | Reply, None]:
        """Generate token by token. See :class:`engine.models.model.LanguageModel`.

        With a schema, the pieces are what the model writes and the reply is the JSON
        in it, at which generation ends.
        """
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[str | None] = asyncio.Queue()
        cancel = threading.Event()

        def emit(piece: str) -> None:
            with contextlib.suppress(RuntimeError):  # the loop may be gone, its caller too
                loop.call_soon_threadsafe(pieces.put_nowait, piece)

        def work() -> Reply:
            network, tokens = self._parts()
            return generate(network, tokens, request, self.model, emit, cancel.is_set)

        future = asyncio.ensure_future(self._run(work))
        # However it ends, even before it began: the loop keeps pieces before the end.
        future.add_done_callback(lambda _: pieces.put_nowait(None))
        try:
            while (piece := await pieces.get()) is not None:
                yield Delta(piece)
            yield await future
        finally:
            cancel.set()
            future.cancel()

    async def complete(self, request: Request) -> Reply:
        """The whole reply at once."""
        cancel = threading.Event()

        def work() -> Reply:
            network, tokens = self._parts()
            return generate(network, tokens, request, self.model, lambda _: None, cancel.is_set)

        try:
            return await self._run(work)
        finally:
            cancel.set()

    async def prompt_logprobs(self, request: PromptRequest) -> PromptReply:
        """Exact distributions over a text, in one pass. The module says what of ``values``.

        Raises:
            LanguageModelError: ``TOO_LONG`` with both numbers.
        """

        def work() -> PromptReply:
            network, tokens = self._parts()
            return distributions(network, tokens, request, self.model)

        return await self._run(work)

    def count_tokens(self, text: str) -> int:
        """Exact. The first call waits until the model is loaded."""
        return self._parts()[1].count(text)

    def unscored(self, values: Sequence[str]) -> tuple[str, ...]:
        """Those of ``values`` that :meth:`prompt_logprobs` leaves out everywhere."""
        network, tokens = self._parts()
        lengths = {value: len(tokens.value(value)) for value in values}
        return tuple(v for v, n in lengths.items() if n == 0 or (n > 1 and not network.cuts_back))

    async def close(self) -> None:
        """Free the model; what is under way ends first, what waits is given up."""
        self._closed.set()
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._loaded = None

    async def _run(self, work: Callable[[], T]) -> T:
        if self._closed.is_set():
            raise self._gone()
        task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, work)
        except LanguageModelError:
            raise
        except asyncio.CancelledError:
            if self._closed.is_set() and not (task and task.cancelling()):
                raise self._gone() from None
            raise
        except (RuntimeError, ValueError, TypeError, IndexError, MemoryError) as error:
            # Whatever a checkpoint's own code and numbers may lead to.
            line = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
            raise LanguageModelError(
                Fault.BAD_REQUEST,
                f"The local model {self.model} failed: {line}.",
                "Try a smaller model, or another device.",
            ) from error

    def _gone(self) -> LanguageModelError:
        return LanguageModelError(
            Fault.UNSUPPORTED, f"The local model {self.model} has been closed.", "Open it again."
        )

    def _parts(self) -> tuple[LocalNetwork, LocalTokens]:
        with self._loading:
            if self._loaded is None:
                folder = _located(self.model)
                network = LocalNetwork.load(folder, self.model, self._device, self._dtype)
                self._loaded = (network, _tokenizer(folder, self.model, network.vocabulary))
            return self._loaded


def _located(checkpoint: str) -> Path:
    try:
        return locate(checkpoint)
    except ModelError as error:
        raise LanguageModelError(Fault.UNKNOWN_MODEL, error.message, error.remedy) from error


def _tokenizer(folder: Path, name: str, vocabulary: int) -> LocalTokens:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, use_fast=True
        )
        return LocalTokens(tokenizer, vocabulary)
    except Exception as error:  # transformers raises many kinds; all mean the same here
        line = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise LanguageModelError(
            Fault.UNKNOWN_MODEL,
            f"The tokenizer of {name} can't be read: {line}.",
            "Only checkpoints with a fast tokenizer (tokenizer.json) can be used.",
        ) from error


def _digest(folder: Path) -> str:
    """Of the configuration, the tokenizer, and samples of all weights; 32 hex digits.

    Training changes weights everywhere, so samples tell checkpoints apart, and a file of
    many gigabytes need not be read to answer from a cache.
    """
    digest = hashlib.sha256()
    for path in sorted((*folder.glob("*.json"), *folder.glob("*.safetensors"))):
        size = path.stat().st_size
        digest.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as file:
            for number in range(_SAMPLES):
                file.seek(max(0, (size - _SAMPLE) * number // (_SAMPLES - 1)))
                digest.update(file.read(_SAMPLE))
    return digest.hexdigest()[:32]
