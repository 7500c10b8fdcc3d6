"""Recurrent bodies as stages: GRU, LSTM and the plain RNN, one torch layer each with its state `(batch, hidden)`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from streamrnn.recognizer import CellConfig
from streamrnn.stage import Inputs, Stage, State


class _Recurrent(Stage):
    """Layers of one kind of cell, an optional linear projection before them and dropout between them."""

    cell: type[nn.GRU | nn.LSTM | nn.RNN]
    memories: tuple[str, ...] = ("h",)

    def __init__(self, config: CellConfig, inputs: Inputs) -> None:
        super().__init__()
        width = config.projection or inputs.width
        self.project: nn.Module = nn.Linear(inputs.width, width) if config.projection else nn.Identity()
        # One module a layer: the state stays (batch, hidden) a layer, and the exporter accepts nothing else.
        self.layers = nn.ModuleList(
            [self.cell(config.hidden if i else width, config.hidden, batch_first=True) for i in range(config.layers)]
        )
        self.dropout = nn.Dropout(config.dropout)
        self.width = config.hidden

    def initial_state(self, batch: int) -> State:
        """Zeros, `(batch, hidden)` a layer and memory: `0.h`, `1.h`, ..."""
        return {
            f"{i}.{memory}": torch.zeros(batch, self.width) for i in range(len(self.layers)) for memory in self.memories
        }

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """(batch, time, inputs) -> (batch, time, hidden)."""
        x = self.project(x)
        after: State = {}
        for i, layer in enumerate(self.layers):
            before = tuple(state[f"{i}.{memory}"][None] for memory in self.memories)
            x, last = layer(self.dropout(x), before if len(before) > 1 else before[0])
            for memory, value in zip(self.memories, last if len(before) > 1 else (last,), strict=True):
                after[f"{i}.{memory}"] = value[0]
        return self.dropout(x), after


class Gru(_Recurrent):
    """Gated recurrent units (Cho et al. 2014): the default."""

    cell = nn.GRU


class Lstm(_Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber 1997), with a cell memory beside the hidden one."""

    cell = nn.LSTM
    memories = ("h", "c")


class Rnn(_Recurrent):
    """Elman's plain recurrent network (1990), with a hyperbolic tangent."""

    cell = nn.RNN
