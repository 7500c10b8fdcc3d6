"""The law: everything that carries memory is a pure function `y, state = stage(x, state)`, and dim 0 is the stream."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from streamrnn import registry
from streamrnn.registry import PlugConfig

State = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a stage is built for: steps of `width` values at `rate` Hz, made from samples at `sample_rate` Hz.

    `channels` are those of the samples.
    """

    width: int
    rate: float
    sample_rate: int
    channels: int = 1


class Stage(nn.Module):
    """A step with memory as data.

    `hop` input steps make one output step; `delay` input steps pass before an input has left all its traces in the
    output; `width` is the size of an output step. For every split of the input at a multiple of `hop`:
    `stage(a ‖ b, s) == stage(a, s) ‖ stage(b, s')`. A stage never writes to its arguments.
    """

    hop: int = 1
    delay: int = 0
    width: int = 0

    def initial_state(self, batch: int) -> State:
        """State of `batch` streams that have heard nothing; empty for a stage without memory."""
        return {}

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """(batch, time, inputs), state -> (batch, time / hop, width), state."""
        raise NotImplementedError

    def __call__(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """The same as `forward`, with the type of it."""
        result: tuple[Tensor, State] = super().__call__(x, state)
        return result

    def finish(self, state: State, like: Tensor) -> tuple[Tensor, State]:
        """Feed the zeros that bring out what is pending; `like` is any input `(batch, time, inputs)` of the stream."""
        if not self.delay:
            return like.new_zeros(like.shape[0], 0, self.width), state
        zeros = like.new_zeros(like.shape[0], -(-self.delay // self.hop) * self.hop, like.shape[2])
        return self(zeros, state)


class Chain(Stage):
    """Stages one after another as one: hops multiply, delays add in input steps, states are prefixed by the stage."""

    def __init__(self, stages: Sequence[tuple[str, Stage]]) -> None:
        """Raises ValueError if two stages share a name."""
        super().__init__()
        names = [name for name, _ in stages]
        if len(set(names)) != len(names):
            raise ValueError(f"stages share a name: {names}")
        self.names = tuple(names)
        self.stages = nn.ModuleList([stage for _, stage in stages])
        hops = [stage.hop for _, stage in stages]
        self.hop = math.prod(hops)
        self.delay = sum(stage.delay * math.prod(hops[:i]) for i, (_, stage) in enumerate(stages))
        self.width = stages[-1][1].width if stages else 0

    def initial_state(self, batch: int) -> State:
        """The states of all stages, prefixed by their names."""
        merged: State = {}
        for name, stage in zip(self.names, cast(Iterable[Stage], self.stages), strict=True):
            merged.update({f"{name}.{key}": value for key, value in stage.initial_state(batch).items()})
        return merged

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """(batch, time, inputs), state -> (batch, time / hop, width), state."""
        merged: State = {}
        for name, stage in zip(self.names, self.stages, strict=True):
            x, after = stage(x, part(state, name))
            merged.update({f"{name}.{key}": value for key, value in after.items()})
        return x, merged


def part(state: State, name: str) -> State:
    """The part of a chain's state that belongs to one stage, without its prefix."""
    return {key[len(name) + 1 :]: value for key, value in state.items() if key.startswith(f"{name}.")}


def where(first: Tensor, initial: State, state: State) -> State:
    """(batch,) booleans: rows that begin anew take `initial` (batch or one row), the others go on."""
    return {
        key: torch.where(first.view(-1, *[1] * (value.dim() - 1)), initial[key], value) for key, value in state.items()
    }


def detach(state: State) -> State:
    """The same values with no gradient through them: what truncated backpropagation carries on."""
    return {key: value.detach() for key, value in state.items()}


def stack(states: Iterable[State]) -> State:
    """States of separate streams as the rows of one."""
    listed = list(states)
    return {key: torch.cat([state[key] for state in listed]) for key in listed[0]}


def unstack(state: State) -> list[State]:
    """The rows of a state, each as a state of one stream."""
    rows = len(next(iter(state.values()))) if state else 0
    return [{key: value[row : row + 1] for key, value in state.items()} for row in range(rows)]


def build(config: PlugConfig, inputs: Inputs) -> Stage:
    """The stage that a registered config describes. Raises ConfigError where it does not fit its inputs."""
    stage: Stage = registry.of(config).load()(config, inputs)
    return stage
