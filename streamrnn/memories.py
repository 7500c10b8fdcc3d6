"""Features that look back far: values of a day or a week before, and a stream measured by its own past."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from streamrnn.recognizer import AnchorConfig, LagConfig, PastConfig, StandardiseConfig
from streamrnn.stage import Inputs, Stage, State

_FLAT = 1e-3  # the least deviation, as a share of the values: what is flatter is noise of the last digit


class Lag(Stage):
    """Each frame with copies of some that were before it; before the first frame they are zeros."""

    def __init__(self, config: LagConfig, inputs: Inputs) -> None:
        super().__init__()
        self.lags, self.longest, self.inputs = config.frames, max(config.frames), inputs.width
        self.width = inputs.width * (1 + len(config.frames))

    def initial_state(self, batch: int) -> State:
        """The frames before the first: zeros."""
        return {"tail": torch.zeros(batch, self.longest, self.inputs)}

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """(batch, frames, inputs) -> (batch, frames, inputs * (1 + lags)), the frame itself first."""
        joined = torch.cat([state["tail"], x], dim=1)
        frames, longest = x.shape[1], self.longest
        copies = [joined[:, longest - lag : longest - lag + frames] for lag in self.lags]
        return torch.cat([x, *copies], dim=-1), {"tail": joined[:, frames:]}


class Standardise(Stage):
    """Values over the mean and deviation of the stream's last frames, its present one with them."""

    def __init__(self, config: StandardiseConfig, inputs: Inputs) -> None:
        super().__init__()
        self.doublings, self.most, self.width = config.doublings, config.most, inputs.width
        self.window = 2**config.doublings

    def initial_state(self, batch: int) -> State:
        """Nothing was heard: `tail` has values, counted by its last column, `origin` the first of all."""
        return {
            "tail": torch.zeros(batch, self.window - 1, self.width + 1),
            "origin": torch.zeros(batch, self.width),
            "begun": torch.zeros(batch, 1),
        }

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """(batch, frames, inputs) -> the same shape."""
        # Counted from the first value, squares keep their digits where values are large and vary little.
        origin = torch.where(state["begun"] > 0, state["origin"], x[:, 0])
        moved = x - origin[:, None]
        joined = torch.cat([state["tail"], torch.cat([moved, torch.ones_like(x[..., :1])], dim=-1)], dim=1)
        values, there = joined[..., : self.width], joined[..., self.width :]
        sums = torch.cat([values, values * values, there], dim=-1)
        reach = 1
        for _ in range(self.doublings):
            # The sum over twice as many frames is that of two neighbours: the same order of sums for every split.
            sums = sums[:, reach:] + sums[:, : sums.shape[1] - reach]
            reach *= 2
        count = sums[..., 2 * self.width :]
        mean = sums[..., : self.width] / count
        variance = (sums[..., self.width : 2 * self.width] / count - mean * mean).clamp_min(0.0)
        least = _FLAT * (mean + origin[:, None]).abs() + 1e-6
        scaled = (moved - mean) / torch.maximum(variance.sqrt(), least)
        after = {"tail": joined[:, x.shape[1] :], "origin": origin, "begun": torch.ones_like(state["begun"])}
        return scaled.clamp(-self.most, self.most), after


class Past(Stage):
    """Each frame with means of those before it and itself, over several lengths."""

    def __init__(self, config: PastConfig, inputs: Inputs) -> None:
        super().__init__()
        self.doublings, self.inputs = config.doublings, inputs.width
        self.before = 2 ** max(config.doublings) - 1
        self.width = inputs.width * (1 + len(config.doublings))

    def initial_state(self, batch: int) -> State:
        """Nothing was heard: `tail` has values, counted by its last column."""
        return {"tail": torch.zeros(batch, self.before, self.inputs + 1)}

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """(batch, frames, inputs) -> (batch, frames, inputs * (1 + lengths)), the frame itself first."""
        joined = torch.cat([state["tail"], torch.cat([x, torch.ones_like(x[..., :1])], dim=-1)], dim=1)
        means = [x]
        for doublings in self.doublings:
            sums = sums_of(joined[:, self.before - 2**doublings + 1 :], doublings)
            means.append(sums[..., : self.inputs] / sums[..., self.inputs :])
        return torch.cat(means, dim=-1), {"tail": joined[:, x.shape[1] :]}


def sums_of(values: Tensor, doublings: int) -> Tensor:
    """(batch, frames, values) -> the sum of each `2 ** doublings` neighbours.

    Sums of near neighbours, and then of those so far apart: two nodes of the graph and a few products.
    """
    near, far = 2 ** (doublings // 2), 2 ** (doublings - doublings // 2)
    lines = values.transpose(1, 2).flatten(0, 1)[:, None]
    lines = functional.conv1d(lines, torch.ones(1, 1, near).to(values))
    lines = functional.conv1d(lines, torch.ones(1, 1, far).to(values), dilation=near)
    return lines[:, 0].reshape(values.shape[0], values.shape[2], -1).transpose(1, 2)


class Anchor(Stage):
    """Values over the mean and deviation of the stream's first frames; while it is young, of those that were heard."""

    def __init__(self, config: AnchorConfig, inputs: Inputs) -> None:
        super().__init__()
        self.frames, self.width = config.frames, inputs.width

    def initial_state(self, batch: int) -> State:
        """Nothing was heard: `origin` is the first frame, `sums` are of what lies off it and of its square."""
        return {
            "origin": torch.zeros(batch, self.width),
            "sums": torch.zeros(batch, 2 * self.width),
            "count": torch.zeros(batch, 1),
        }

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """(batch, frames, inputs) -> the same shape."""
        before = state["count"]
        # Counted from the first value, squares keep their digits where values are large and vary little.
        origin = torch.where(before > 0, state["origin"], x[:, 0])
        moved = x - origin[:, None]
        count = before[:, None] + torch.ones_like(x[..., :1]).cumsum(dim=1)
        taken = torch.cat([moved, moved * moved], dim=-1) * (count <= self.frames)
        sums = state["sums"][:, None] + taken.cumsum(dim=1)
        count = count.clamp_max(self.frames)
        mean, square = sums[..., : self.width] / count, sums[..., self.width :] / count
        deviation = (square - mean * mean).clamp_min(0.0).sqrt()
        least = _FLAT * (mean + origin[:, None]).abs() + 1e-6
        scaled = torch.asinh((moved - mean) / torch.maximum(deviation, least))
        return scaled, {"origin": origin, "sums": sums[:, -1], "count": count[:, -1]}
