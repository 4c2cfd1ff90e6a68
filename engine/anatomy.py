"""Where a transformers model keeps the parts that the method names.

A neuron is one value that enters an MLP's output projection: after the activation
function and, in a gated MLP, after the product with the gate.  Families are recognised
by structure, a list of blocks that each hold such a projection, with one small table of
the names that it goes by; nothing here asks for a model's type, and no code that comes
with a checkpoint is run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.errors import ModelError

if TYPE_CHECKING:
    import torch

#: The output projection inside a block, and what reads the residual stream for it.
_MLPS = (
    ("mlp.c_proj", ("mlp.c_fc",)),  # GPT-2, GPT-Neo, StarCoder2
    ("mlp.dense_4h_to_h", ("mlp.dense_h_to_4h",)),  # GPT-NeoX and Pythia, Bloom
    ("mlp.down_proj", ("mlp.gate_proj", "mlp.up_proj")),  # Llama, Mistral, Qwen, Gemma
    ("mlp.down_proj", ("mlp.gate_up_proj",)),  # Phi-3
    ("mlp.down_proj", ("mlp.up_proj",)),  # Nemotron
    ("mlp.fc2", ("mlp.fc1",)),  # Phi
    ("mlp.fc_out", ("mlp.fc_in",)),  # GPT-J
    ("fc2", ("fc1",)),  # OPT
)
#: The norm whose output enters the MLP, the first that a block has; in blocks whose
#: attention and MLP run side by side the last two.
_NORMS = (
    "pre_feedforward_layernorm",
    "ln_2",
    "post_attention_layernorm",
    "final_layer_norm",
    "ln_1",
    "input_layernorm",
)
_FINAL_NORMS = ("ln_f", "final_layer_norm", "final_layernorm", "norm", "decoder.final_layer_norm")
_MIXTURES = ("experts", "router")


@dataclass(frozen=True, slots=True, eq=False)
class Anatomy:
    """The parts of one model, all of them torch modules.

    Attributes:
        body: The model without its language-model head.
        blocks: One for each layer.
        projections: Each layer's MLP output projection.
        readers: For each layer what reads the residual stream for its MLP: one module,
            or two with a gate, the gate first; Phi-3 has both in one.
        norms: Each layer's norm before the MLP, or None.
        final_norm: Before the head, or None.
        narrow: Between the final norm and a head of another width (small OPTs), or None.
        head: The output embedding.
        tokens: The input embedding.
        widen: Between an input embedding of another width (small OPTs) and the residual
            stream, or None.
    """

    body: Any
    blocks: tuple[Any, ...]
    projections: tuple[Any, ...]
    readers: tuple[tuple[Any, ...], ...]
    norms: tuple[Any | None, ...]
    final_norm: Any | None
    narrow: Any | None
    head: Any
    tokens: Any
    widen: Any | None

    @property
    def n_neurons(self) -> int:
        """Values that enter an output projection."""
        return written(self.projections[0]).shape[0]


def dissect(model: Any, name: str) -> Anatomy:
    """Find the parts of a causal language model.

    Raises:
        ModelError: an encoder, a mixture of experts, layers of different widths, or a
            structure that is not in the table.
    """
    body = model.base_model
    for blocks in _lists(body):
        for projection, readers in _MLPS:
            if not all(_has(block, projection, *readers) for block in blocks):
                continue
            anatomy = Anatomy(
                body=body,
                blocks=tuple(blocks),
                projections=tuple(block.get_submodule(projection) for block in blocks),
                readers=tuple(
                    tuple(block.get_submodule(reader) for reader in readers) for block in blocks
                ),
                norms=tuple(_first(block, _NORMS) for block in blocks),
                final_norm=_first(body, _FINAL_NORMS),
                narrow=_get(body, "decoder.project_out"),
                head=model.get_output_embeddings(),
                tokens=model.get_input_embeddings(),
                widen=_get(body, "decoder.project_in"),
            )
            widths = {written(part).shape[0] for part in anatomy.projections}
            if len(widths) > 1:
                raise ModelError(f"The layers of {name} have different numbers of neurons.")
            return anatomy
    if any(path.rsplit(".", 1)[-1] in _MIXTURES for path, _ in body.named_modules()):
        raise ModelError(
            f"{name} is a mixture of experts.", "Only models with one MLP in each block are read."
        )
    raise ModelError(
        f"The blocks of {name} have no MLP that neuroglass knows.",
        "It reads decoder-only models built like GPT-2, GPT-NeoX, OPT, Llama, Gemma or Phi.",
    )


def written(projection: Any) -> torch.Tensor:
    """What each neuron writes into the residual stream, [neuron, width].

    GPT-2's ``Conv1D`` keeps its weight that way round, ``Linear`` the other.
    """
    weight: torch.Tensor = projection.weight
    return weight if hasattr(projection, "nf") else weight.t()


def read(reader: Any) -> torch.Tensor:
    """What each neuron reads of the residual stream, [neuron, width]."""
    weight: torch.Tensor = reader.weight
    return weight.t() if hasattr(reader, "nf") else weight


def readings(anatomy: Anatomy, layer: int) -> dict[str, torch.Tensor]:
    """What each neuron of a layer reads of the residual stream, raw, [neuron, width].

    Under the empty name; a gated MLP reads twice, as ``gate`` and as ``up``.
    """
    readers, count = anatomy.readers[layer], anatomy.n_neurons
    if len(readers) == 2:
        return {"gate": read(readers[0]), "up": read(readers[1])}
    weight = read(readers[0])
    if len(weight) == 2 * count:  # Phi-3 keeps both in one
        return {"gate": weight[:count], "up": weight[count:]}
    return {"": weight}


def scale(norm: Any | None, width: int) -> torch.Tensor:
    """What a norm multiplies each direction by, float32 [width], on its device.

    Gemma keeps the difference to one in the weight; which it is, one input tells.
    """
    import torch

    weight = getattr(norm, "weight", None)
    if norm is None or weight is None:
        return torch.ones(width)
    with torch.inference_mode():
        # Mean 0 and variance 1: neither kind of norm changes it before it scales.
        signs = torch.ones(width, dtype=weight.dtype, device=weight.device)
        signs[1::2] = -1
        found = ((norm(signs) - norm(-signs)) / 2 * signs).float()
        plain: torch.Tensor = weight.detach().float()
        near = (found - plain).abs().mean() <= (found - plain - 1).abs().mean()
        return plain if near else plain + 1


def _lists(body: Any) -> list[Sequence[Any]]:
    import torch

    found: list[Any] = [m for m in body.modules() if isinstance(m, torch.nn.ModuleList) and len(m)]
    return sorted(found, key=len, reverse=True)


def _has(block: Any, *paths: str) -> bool:
    return all(_get(block, path) is not None for path in paths)


def _first(module: Any, paths: Sequence[str]) -> Any | None:
    for path in paths:
        found = _get(module, path)
        if found is not None:
            return found
    return None


def _get(module: Any, path: str) -> Any | None:
    try:
        found = module.get_submodule(path)
    except AttributeError:
        return None
    return found if hasattr(found, "weight") else None
