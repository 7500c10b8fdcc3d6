"""Recurrent layers as ONNX operators for the export: the same weights, in the order that ONNX wants.

torch 2.14 takes an `nn.GRU` apart into its time steps when it exports, and so fixes their number; the operator keeps
it open. The bundle's golden proof holds the two against each other.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

# The gates of torch in the order of ONNX: update, reset, new for GRU; input, output, forget, cell for LSTM.
_GATES = {"GRU": (1, 0, 2), "LSTM": (0, 3, 1, 2), "RNN": (0,)}


class OnnxCell(nn.Module):
    """Stands in for one torch layer while the graph is drawn: `(x, h) -> (y, h)` with batch first."""

    def __init__(self, layer: nn.RNNBase) -> None:
        super().__init__()
        self.operator = layer.mode.split("_")[0]
        self.hidden = layer.hidden_size
        order = _GATES[self.operator]
        w, r, w_bias, r_bias = (self._ordered(getattr(layer, f"{name}_l0"), order) for name in _WEIGHTS)
        self.w: Tensor
        self.r: Tensor
        self.bias: Tensor
        self.register_buffer("w", w[None])
        self.register_buffer("r", r[None])
        self.register_buffer("bias", torch.cat([w_bias, r_bias])[None])

    def _ordered(self, weight: Tensor, order: tuple[int, ...]) -> Tensor:
        gates = torch.split(weight.detach(), self.hidden)
        return torch.cat([gates[i] for i in order])

    def forward(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """(batch, time, inputs), (1, batch, hidden) -> (batch, time, hidden), same; LSTM: pairs of state."""
        batch, time, _ = x.shape
        before = state if isinstance(state, tuple) else (state,)
        attributes: dict[str, Any] = {"hidden_size": self.hidden}
        if self.operator == "GRU":
            attributes["linear_before_reset"] = 1  # as torch computes the new gate
        after = (1, batch, self.hidden)
        outputs = torch.onnx.ops.symbolic_multi_out(
            self.operator,
            (x.transpose(0, 1), self.w, self.r, self.bias, None, *before),
            attributes,
            dtypes=(x.dtype,) * (1 + len(before)),
            shapes=((time, 1, batch, self.hidden), *[after] * len(before)),
            version=14,
        )
        y = outputs[0][:, 0].transpose(0, 1)
        return y, tuple(outputs[1:]) if len(before) > 1 else outputs[1]


_WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def replace_cells(module: nn.Module) -> None:
    """Put an OnnxCell in place of every recurrent layer in a module, which is then good for drawing a graph only."""
    for name, child in module.named_children():
        if isinstance(child, nn.RNNBase):
            setattr(module, name, OnnxCell(child))
        else:
            replace_cells(child)
