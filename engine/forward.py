"""A forward pass for the scan alone: nothing of it but the MLP activations is wanted.

Left out against the model's own pass: the language-model head, the last LayerNorm, the
last block's output projection, caches, dropout and hooks.  Every window of a scan
begins with the same token, which no later one can change: its keys and values are
computed once, and the pass reads the window's own tokens only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
import torch.nn.functional as F

from engine.anatomy import Anatomy
from engine.linear import FUSED, Linear, make_linear

#: Called for every layer, in order, and there for one run of windows after the other,
#: while its activations are still in the processor's cache: the layer, the number of the
#: first window, and [window, token, neuron] in the model's dtype.
OnPiece = Callable[[int, int, torch.Tensor], None]
#: Tokens in a piece, about: fewer, and the products would wait for their weights.
ROWS = 512


class Forward(Protocol):
    """One pass of a model over windows.

    Attributes:
        neurons: Of each layer.
    """

    neurons: int

    def run(self, token_ids: torch.Tensor, on_piece: OnPiece) -> None:
        """Read windows, int64 [window, token], without the token before every window."""


def open_forward(model: Any, anatomy: Anatomy, device: str, first: int | None) -> Forward:
    """The fastest pass for a transformers model, which is used up by it.

    Args:
        anatomy: Of the model.
        first: The token before every window, or None for none.
    """
    if Gpt2Forward.reads(model):
        return Gpt2Forward(model, device, first)
    return HookedForward(anatomy, device, first)


class HookedForward:
    """The model's own pass, cut off at the last layer's activations."""

    def __init__(self, anatomy: Anatomy, device: str, first: int | None) -> None:
        self._body = anatomy.body
        self._projections = anatomy.projections
        self._device = device
        self._first = first
        self.neurons = anatomy.n_neurons

    def run(self, token_ids: torch.Tensor, on_piece: OnPiece) -> None:
        """One pass; see :class:`Forward`."""
        skip = int(self._first is not None)
        ids = F.pad(token_ids, (skip, 0), value=self._first or 0).to(self._device)
        last = len(self._projections) - 1

        def hook(layer: int) -> Callable[..., None]:
            def before_projection(_module: Any, inputs: tuple[Any, ...]) -> None:
                on_piece(layer, 0, inputs[0].view(*ids.shape, -1)[:, skip:])
                if layer == last:
                    raise _Enough

            return before_projection

        handles = [
            projection.register_forward_pre_hook(hook(layer))
            for layer, projection in enumerate(self._projections)
        ]
        try:
            with torch.inference_mode():
                self._body(input_ids=ids, use_cache=False)
        except _Enough:
            pass
        finally:
            for handle in handles:
                handle.remove()


class _Enough(Exception):
    """Nothing after the last layer's activations is wanted."""


class _Block:
    """One transformer block's weights, laid out for the pass."""

    def __init__(self, block: Any, device: str, *, last: bool) -> None:
        def linear(module: Any) -> Linear:
            # GPT-2 keeps its weights transposed, [in, out].
            weight = module.weight.detach().to(device).t()
            made = make_linear(weight, module.bias.detach().to(device))
            module.weight = None  # the packed copy takes its place in memory
            return made

        self.norm1, self.norm2 = block.ln_1.to(device).float(), block.ln_2.to(device).float()
        self.qkv = linear(block.attn.c_attn)
        self.out = linear(block.attn.c_proj)
        self.up = linear(block.mlp.c_fc)
        self.down = None if last else linear(block.mlp.c_proj)
        self.heads: int = block.attn.num_heads


class Gpt2Forward:
    """GPT-2 over the weights of a transformers model, which is used up by it.

    Args:
        model: A ``GPT2LMHeadModel`` that :func:`reads` accepts. Its weights move here.
        first: The token before every window, or None for none.
    """

    def __init__(self, model: Any, device: str, first: int | None) -> None:
        transformer = model.transformer
        self._function: str = model.config.activation_function
        self._tokens = transformer.wte.weight.detach().to(device)
        self._places = transformer.wpe.weight.detach().to(device).float()
        self._dtype = self._tokens.dtype
        self._device = device
        last = len(transformer.h) - 1
        self.neurons: int = transformer.h[0].mlp.c_fc.weight.shape[1]
        self._blocks = [
            _Block(block, device, last=number == last) for number, block in enumerate(transformer.h)
        ]
        self._first: list[torch.Tensor] | None = None
        if first is not None:
            self._first = self._keys_and_values(first)

    @staticmethod
    def reads(model: Any) -> bool:
        """Whether this pass computes the same as the model's own."""
        config = model.config
        return bool(
            config.model_type == "gpt2"
            and config.activation_function in FUSED
            and config.scale_attn_weights
            and not config.scale_attn_by_inverse_layer_idx
            and not config.add_cross_attention
        )

    def run(self, token_ids: torch.Tensor, on_piece: OnPiece) -> None:
        """One pass.

        Args:
            token_ids: int64 [window, token], without the token before every window.
            on_piece: Gets the activations.
        """
        with torch.inference_mode():
            self._run(token_ids, on_piece, None)

    def _keys_and_values(self, token: int) -> list[torch.Tensor]:
        """Of one token at the first place; for each layer [2, heads, 1, width of a head]."""
        kept: list[torch.Tensor] = []
        with torch.inference_mode():
            self._run(torch.tensor([[token]]), lambda *_: None, kept)
        return kept

    def _run(
        self, token_ids: torch.Tensor, on_piece: OnPiece, kept: list[torch.Tensor] | None
    ) -> None:
        windows, width = token_ids.shape
        skip = int(self._first is not None)
        ids = token_ids.to(self._device)
        # What the blocks add up stays float32 in any dtype: it is a small part of the
        # work, and a sum of many small terms is where bfloat16 would lose most.
        hidden = F.embedding(ids, self._tokens).float() + self._places[skip : skip + width]
        hidden = hidden.flatten(0, 1)
        step = max(1, ROWS // width)
        # Row i sees the token before the window and the tokens 0 to i.
        seen = torch.ones(width, width + skip, dtype=torch.bool, device=self._device).tril(skip)
        for number, block in enumerate(self._blocks):
            states = block.norm1(hidden).to(self._dtype)
            qkv = block.qkv(states).view(windows, width, 3, block.heads, -1)
            query, key, value = qkv.permute(2, 0, 3, 1, 4)
            if kept is not None:
                kept.append(torch.stack([key[0], value[0]]).clone())
            if self._first is not None:
                before = self._first[number][:, None].expand(-1, windows, -1, -1, -1)
                key, value = torch.cat([before[0], key], 2), torch.cat([before[1], value], 2)
            mixed = F.scaled_dot_product_attention(query, key, value, seen)
            hidden += block.out(mixed.transpose(1, 2).reshape(windows * width, -1))
            states = block.norm2(hidden).to(self._dtype)
            for start in range(0, windows, step):
                rows = slice(start * width, (start + step) * width)
                active = block.up.activated(states[rows], self._function)
                on_piece(number, start, active.view(-1, width, self.neurons))
                if block.down is not None:
                    hidden[rows] += block.down(active)
