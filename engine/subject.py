"""The subject model: loading a decoder-only transformer and reading its MLP neurons.

A neuron's activation is the value that enters the MLP's output projection, after the
model's own activation function and gate (:mod:`engine.anatomy` finds it).  For GPT-2's
``gelu_new`` that is the tanh form,
``0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))``; torch's fused tanh GELU is the
same function in one pass.  (OpenAI's public activations were made with a cruder
approximation, so they differ from these by up to about 0.2.)
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.anatomy import Anatomy, dissect, scale, written
from engine.demo import MODEL_DIR
from engine.errors import ModelError
from engine.loading import LOADING
from engine.vocabulary import Vocabulary

if TYPE_CHECKING:
    import torch

    from engine.forward import Forward

#: Called for every layer of a forward pass with float32 [batch, position, neuron].
OnLayer = Callable[[int, "torch.Tensor"], None]

_DTYPES = ("float32", "bfloat16", "float16", "float64")
#: A model that names no longest input is taken to read so many tokens.
_POSITIONS = 2048
_REMEDY = (
    "Give 'demo', a checkpoint directory, or the id of a model in the Hugging Face cache "
    "(fetch it once with: hf download ID)."
)


@dataclass(frozen=True, slots=True)
class SubjectFacts:
    """Who the subject model is.

    Attributes:
        name: As the user named it, for people.
        model_id: Digest of the weight files: the same weights, the same id.
        n_layers, n_neurons: Blocks, and MLP neurons in each.
        vocabulary: Rows of the embedding.
        positions: Longest input in tokens.
        activation: The configuration's name of the activation function.
    """

    name: str
    model_id: str
    n_layers: int
    n_neurons: int
    vocabulary: int
    positions: int
    activation: str


class SubjectModel:
    """A loaded subject model. Use :meth:`load`; one thread at a time."""

    def __init__(
        self,
        facts: SubjectFacts,
        model: Any,
        anatomy: Anatomy,
        tokenizer: Any,
        end_of_text: int,
        device: str,
    ) -> None:
        self.facts = facts
        self.tokenizer = tokenizer
        self.end_of_text = end_of_text
        self.device = device
        self._model = model
        self._anatomy = anatomy
        self.vocabulary = Vocabulary.from_tokenizer(tokenizer, facts.vocabulary)

    @classmethod
    def load(
        cls, name: str = "demo", *, device: str = "auto", dtype: str = "float32"
    ) -> SubjectModel:
        """Load the demo model, a checkpoint directory, or a Hugging Face id.

        An id is looked for in the local cache first; the network is asked only if it
        is not there and ``HF_HUB_OFFLINE`` is not set.  Weights are read from
        safetensors only, and no code that comes with a model is run.

        Args:
            device: ``auto`` (CUDA when present, else CPU) or a torch device.
            dtype: ``float32``, ``bfloat16``, ``float16`` or ``float64``, of weights and
                arithmetic.

        Raises:
            ModelError: missing, unreachable, unreadable, or of a kind that is not read.
        """
        if dtype not in _DTYPES:
            raise ModelError(
                f"There is no dtype {dtype!r}.", f"Choose one of {', '.join(_DTYPES)}."
            )
        import torch

        with LOADING:  # its lazy imports are not safe side by side either
            from transformers import AutoModelForCausalLM, AutoTokenizer
            from transformers.utils import logging as transformers_logging

        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
        device = resolve_device(device)
        folder = locate(name)
        config = _read_config(folder, name)
        if not list(folder.glob("*.safetensors")):
            raise ModelError(
                f"{name} has no safetensors weights.",
                "Convert it first: only safetensors are read, since pickled weights can run code.",
            )
        try:
            with LOADING:
                model = AutoModelForCausalLM.from_pretrained(
                    folder,
                    dtype=getattr(torch, dtype),
                    local_files_only=True,
                    use_safetensors=True,
                    trust_remote_code=False,
                )
            tokenizer = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False, use_fast=True
            )
            backend = tokenizer.backend_tokenizer
        except Exception as error:  # transformers raises many kinds; all mean the same here
            raise ModelError(
                f"The model in {folder} can't be read: {_first_line(error)}.",
                "The download may be incomplete; fetch it again.",
            ) from error
        backend.encode_special_tokens = True
        anatomy = dissect(model, name)
        model = model.to(device).eval().requires_grad_(False)
        _fuse_gelu(model)
        facts = SubjectFacts(
            name=name,
            model_id=_weights_digest(folder),
            n_layers=len(anatomy.blocks),
            n_neurons=anatomy.n_neurons,
            vocabulary=model.get_input_embeddings().weight.shape[0],
            positions=getattr(model.config, "max_position_embeddings", None) or _POSITIONS,
            activation=_activation(config),
        )
        first = _first_token(tokenizer, config)
        return cls(facts, model, anatomy, backend, first, device)

    @property
    def width(self) -> int:
        """Of the residual stream."""
        return written(self._anatomy.projections[0]).shape[1]

    @property
    def bytes(self) -> int:
        """What the weights take; tied ones once."""
        return sum(parameter.nbytes for parameter in self._model.parameters())

    @property
    def anatomy(self) -> Anatomy:
        """The model's parts, for what is computed on raw weights."""
        return self._anatomy

    def into_forward(self, first: int | None) -> Forward:
        """The fastest pass over windows; nothing else can be asked of this model after.

        Args:
            first: The token before every window, or None for none.
        """
        from engine.forward import open_forward

        model, self._model = self._model, None
        return open_forward(model, self._anatomy, self.device, first)

    def run(self, token_ids: torch.Tensor, on_layer: OnLayer) -> None:
        """One forward pass without the language-model head.

        Args:
            token_ids: int64 [batch, position], the end-of-text token included if wanted.
            on_layer: Called in layer order with the post-activation values, in the
                model's dtype, [batch, position, neuron]. The tensor may be reused by
                the pass after the call returns: copy what must be kept.
        """
        import torch

        def hook(layer: int) -> Callable[..., None]:
            def before_projection(_module: Any, inputs: tuple[Any, ...]) -> None:
                on_layer(layer, inputs[0].view(*token_ids.shape, -1))

            return before_projection

        handles = [
            projection.register_forward_pre_hook(hook(layer))
            for layer, projection in enumerate(self._anatomy.projections)
        ]
        try:
            with torch.inference_mode():
                self._anatomy.body(input_ids=token_ids.to(self.device), use_cache=False)
        finally:
            for handle in handles:
                handle.remove()

    def hidden(
        self,
        token_ids: torch.Tensor,
        *,
        layer: int = 0,
        neuron: int = 0,
        values: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The last hidden states, after the final norm; [batch, position, width].

        Args:
            token_ids: int64 [batch, position]. What follows a shorter text in its row
                may be anything: no position reads a later one.
            layer, neuron: The neuron whose activation is replaced.
            values: float [batch, position] to put in its place; NaN leaves a position as
                it is. None replaces nothing.
        """
        import torch

        handle = None
        if values is not None:
            given = values

            def before_projection(_module: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
                activations = inputs[0].view(*token_ids.shape, -1).clone()
                own, new = activations[:, :, neuron], given.to(activations)
                activations[:, :, neuron] = torch.where(torch.isnan(new), own, new)
                return (activations.view_as(inputs[0]), *inputs[1:])

            projection = self._anatomy.projections[layer]
            handle = projection.register_forward_pre_hook(before_projection)
        try:
            with torch.inference_mode():
                states: torch.Tensor = self._anatomy.body(
                    input_ids=token_ids.to(self.device), use_cache=False
                ).last_hidden_state
        finally:
            if handle is not None:
                handle.remove()
        return states

    def log_probabilities(self, states: torch.Tensor, *, exact: bool = True) -> torch.Tensor:
        """Next-token log-probabilities of hidden states, [..., vocabulary].

        Args:
            exact: In float64, since the difference that one neuron makes can be as small
                as what float32 rounds away; else in float32, in less than half the time.
        """
        import torch

        config = self._model.config
        with torch.inference_mode():
            logits = self._anatomy.head(states)
            logits = logits.double() if exact else logits.float()
            if cap := getattr(config, "final_logit_softcapping", None):  # Gemma 2
                logits = torch.tanh(logits / cap) * cap
            logits = logits * (getattr(config, "logit_scale", None) or 1.0)  # Cohere
            return torch.log_softmax(logits, dim=-1)

    def output_weights(self, layer: int, neuron: int) -> torch.Tensor:
        """How strongly a neuron writes each token; float32 [vocabulary], on the CPU.

        ``sum_i Wpr[n, i] gf[i] E[t, i]`` on the raw weights: no biases, no centring and
        no division by a norm (method: Bills et al. 2023, 1.11).
        """
        import torch

        anatomy = self._anatomy
        with torch.inference_mode():
            own = written(anatomy.projections[layer])[neuron].float()
            scaled = own * scale(anatomy.final_norm, len(own)).to(own)
            if anatomy.narrow is not None:
                scaled = anatomy.narrow.weight.float() @ scaled
            weights: torch.Tensor = anatomy.head.weight.float() @ scaled
        return weights.cpu()


def resolve_device(device: str) -> str:
    """``auto`` to ``cuda`` or ``cpu``; ModelError for a device that is not there."""
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise ModelError(f"There is no device {device!r}.", "Choose auto, cpu or cuda.") from error
    if kind == "cuda" and not torch.cuda.is_available():
        raise ModelError("This machine has no usable CUDA device.", "Choose --device cpu.")
    return device


def locate(name: str) -> Path:
    """The local folder of a model: embedded, a directory, or a Hugging Face snapshot.

    Raises:
        ModelError: if it is not on this machine and can't be fetched.
    """
    if name == "demo":
        return MODEL_DIR
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if path.exists() or name.startswith((".", "/", "~")):
        raise ModelError(f"There is no checkpoint directory {name}.", _REMEDY)
    from huggingface_hub import snapshot_download

    wanted = ["*.json", "*.safetensors", "merges.txt"]
    try:
        return Path(str(snapshot_download(name, allow_patterns=wanted, local_files_only=True)))
    except Exception as cached:  # not cached: any of several error classes
        if os.environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "yes", "on"}:
            raise ModelError(
                f"{name} is not in the Hugging Face cache, and HF_HUB_OFFLINE is set.", _REMEDY
            ) from cached
    try:
        return Path(str(snapshot_download(name, allow_patterns=wanted, etag_timeout=5)))
    except Exception as error:
        raise ModelError(
            f"{name} is not in the Hugging Face cache and can't be fetched: {_first_line(error)}.",
            _REMEDY,
        ) from error


def _read_config(folder: Path, name: str) -> Mapping[str, Any]:
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{name} has no readable config.json in {folder}.", _REMEDY) from error
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    kind = config.get("model_type") if isinstance(config, dict) else None
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES or config.get("is_encoder_decoder"):
        raise ModelError(
            f"{name} is a model of type {kind!r}.",
            "Only decoder-only language models that transformers itself knows can be read.",
        )
    return config


def _fuse_gelu(model: Any) -> None:
    """Put torch's tanh GELU, one pass, in the place of transformers' seven."""
    import torch

    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child).__name__ == "NewGELUActivation":
                setattr(module, name, torch.nn.GELU(approximate="tanh"))


def _activation(config: Mapping[str, Any]) -> str:
    names = ("activation_function", "hidden_activation", "hidden_act")
    return next((str(config[name]) for name in names if config.get(name)), "gelu_new")


def _first_token(tokenizer: Any, config: Mapping[str, Any]) -> int:
    """What every document began with in training: beginning of text, or GPT-2's end of it."""
    for token in (tokenizer.bos_token_id, config.get("bos_token_id"), tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    end = config.get("eos_token_id", 0)
    return int(end[0] if isinstance(end, list) else end)


def _weights_digest(folder: Path) -> str:
    """SHA-256 over the safetensors files in name order, 32 hex digits."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:32]


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".")
