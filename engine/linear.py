"""A linear layer with what follows it fused in: the scan spends nine tenths here.

torch hands float32 products on a CPU to MKL, which takes its AVX-512 kernels only on
the CPUs it knows; oneDNN, which torch carries too, asks the CPU itself what it can do.
Its fused layers also apply the activation function while a tile of the product is still
in the cache.  Where they are missing, and on other devices, both forms are plain torch.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

#: The activation functions that can be fused, by transformers' names: oneDNN's name of
#: each, and its variant.
FUSED = {
    "gelu_new": ("gelu", "tanh"),
    "gelu_pytorch_tanh": ("gelu", "tanh"),
    "gelu": ("gelu", "none"),
    "relu": ("relu", ""),
}
#: oneDNN lays weights out for a number of rows; any other number works as well.
_ROWS = 512


class PackedLinear:
    """A linear layer in oneDNN's own layout of the weights.

    Args:
        weight: [out, in], float32 or bfloat16, on the CPU.
        bias: [out].
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        ops: Any = torch.ops.mkldnn
        self._op = ops._linear_pointwise
        self._weight = ops._reorder_linear_weight(weight.contiguous(), _ROWS)
        self._bias = bias

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """``x W' + b``; x is [rows, in], contiguous."""
        result: torch.Tensor = self._op(x, self._weight, self._bias, "none", [], "")
        return result

    def activated(self, x: torch.Tensor, function: str) -> torch.Tensor:
        """``f(x W' + b)``; the function by its name in :data:`FUSED`."""
        kind, variant = FUSED[function]
        result: torch.Tensor = self._op(x, self._weight, self._bias, kind, [], variant)
        return result


class PlainLinear:
    """The same by plain torch, on any device and in any dtype."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        self._weight = weight
        self._bias = bias

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """``x W' + b``."""
        return F.linear(x, self._weight, self._bias)

    def activated(self, x: torch.Tensor, function: str) -> torch.Tensor:
        """``f(x W' + b)``; the function by its name in :data:`FUSED`."""
        kind, variant = FUSED[function]
        inner = self(x)
        return F.gelu(inner, approximate=variant) if kind == "gelu" else F.relu_(inner)


Linear = PackedLinear | PlainLinear


def make_linear(weight: torch.Tensor, bias: torch.Tensor | None) -> Linear:
    """The fastest form this machine has for a weight [out, in].

    The choice hangs on the machine and the dtype alone, never on a measurement, so that
    two scans on one machine agree bit for bit.
    """
    return PackedLinear(weight, bias) if packs(weight) else PlainLinear(weight, bias)


def packs(weight: torch.Tensor) -> bool:
    """Whether oneDNN's fused layers take this weight."""
    ops: Any = torch.ops.mkldnn
    if weight.device.type != "cpu" or not torch._C._has_mkldnn:
        return False
    if not (hasattr(ops, "_linear_pointwise") and hasattr(ops, "_reorder_linear_weight")):
        return False
    if weight.dtype == torch.bfloat16:
        return bool(ops._is_mkldnn_bf16_supported())
    return weight.dtype == torch.float32
