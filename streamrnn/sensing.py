"""Features of sensors as stages: lengths of vectors, values less their slow part, and the spectrum of each channel."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from streamrnn.errors import ConfigError
from streamrnn.recognizer import CentreConfig, MagnitudeConfig, SpectrumConfig
from streamrnn.stage import Inputs, Stage, State


class Magnitude(Stage):
    """Appends the length of each vector: it is the same however the sensor is turned."""

    def __init__(self, config: MagnitudeConfig, inputs: Inputs) -> None:
        """Raises ConfigError if the inputs are no whole number of vectors."""
        super().__init__()
        if inputs.width % config.axes:
            raise ConfigError(f"axes: {inputs.width} values a step are no vectors of {config.axes}; choose a divisor")
        self.axes = config.axes
        self.width = inputs.width + inputs.width // config.axes

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """(batch, frames, inputs) -> (batch, frames, inputs + inputs / axes)."""
        vectors = x.reshape(x.shape[0], -1, x.shape[2] // self.axes, self.axes)
        lengths = torch.sqrt((vectors * vectors).sum(dim=-1) + 1e-8)
        return torch.cat([x, lengths], dim=-1), {}


class Centre(Stage):
    """Each input less its mean over the last `frames` frames, or over as many as there have been.

    What is left of an accelerometer is how the body moves, without gravity; of an electrocardiogram, the beats without
    the wandering of the baseline.
    """

    def __init__(self, config: CentreConfig, inputs: Inputs) -> None:
        super().__init__()
        self.frames, self.width = config.frames, inputs.width
        self.delay = config.frames - 1

    def initial_state(self, batch: int) -> State:
        """No frames before the first: zeros, and of each that it was not there."""
        before = self.frames - 1
        return {"tail": torch.zeros(batch, before, self.width), "there": torch.zeros(batch, before, 1)}

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """(batch, frames, inputs) -> the same shape."""
        frames = x.shape[1]
        joined = torch.cat([state["tail"], x], dim=1)
        there = torch.cat([state["there"], torch.ones_like(x[..., :1])], dim=1)
        means = (functional.avg_pool1d(each.transpose(1, 2), self.frames, 1) for each in (joined, there))
        total, share = (mean.transpose(1, 2) for mean in means)
        return x - total / share, {"tail": joined[:, frames:], "there": there[:, frames:]}


class Spectrum(Stage):
    """Windows of each channel -> its mean, and the logarithm of the energy in bands of what moves about the mean.

    Bands are triangles, narrow where a window can tell frequencies apart no better, wider above, as on the mel scale
    (Stevens, Volkmann and Newman 1937) but at the frequencies that the window has. The transform is a matrix product,
    so that it exports and batches.
    """

    def __init__(self, config: SpectrumConfig, inputs: Inputs) -> None:
        """Raises ConfigError if the inputs are no windows of each channel, or too short for the bands."""
        super().__init__()
        if inputs.rate >= inputs.sample_rate or inputs.width * inputs.rate < inputs.sample_rate:
            raise ConfigError(
                f"kind: takes windows of samples, not {inputs.width} values a step; put {{kind: frame}} right before it"
            )
        self.channels = inputs.channels
        if inputs.width % self.channels:
            raise ConfigError(f"kind: {inputs.width} values are no windows of {self.channels} channels")
        window = inputs.width // self.channels
        high = config.high_hz or inputs.sample_rate / 2
        if high > inputs.sample_rate / 2:
            raise ConfigError(f"high_hz: {high:g} is above half the rate, {inputs.sample_rate / 2:g}; lower it")
        step = inputs.sample_rate / window
        bins = math.floor(high / step)
        if bins < config.bands:
            raise ConfigError(
                f"bands: {config.bands} are more than the {bins} frequencies of a window of {window} samples below "
                f"{high:g} Hz; lower it or lengthen the window"
            )
        taper = torch.hann_window(window, periodic=False, dtype=torch.float64)
        angle = 2 * math.pi * torch.outer(torch.arange(window).double(), torch.arange(1, bins + 1).double()) / window
        weight = taper[:, None] * 2.0 / taper.sum()
        # What the configuration gives is not learnt, so it is no part of the weights.
        self.register_buffer("even", (angle.cos() * weight).float(), persistent=False)
        self.register_buffer("odd", (angle.sin() * weight).float(), persistent=False)
        self.register_buffer("bands", _triangles(bins, config.bands).float(), persistent=False)
        self.width = self.channels * (config.bands + 1)
        self.floor = config.floor * config.floor
        self.even: Tensor
        self.odd: Tensor
        self.bands: Tensor

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """(batch, frames, channels * window) -> (batch, frames, channels * (1 + bands)), channel after channel."""
        windows = x.reshape(x.shape[0], -1, self.channels, x.shape[2] // self.channels)
        mean = windows.mean(dim=-1, keepdim=True)
        moving = windows - mean
        real, imaginary = moving @ self.even, moving @ self.odd
        energy = (real * real + imaginary * imaginary) @ self.bands
        return torch.cat([mean, torch.log1p(energy / self.floor)], dim=-1).flatten(2), {}


def _triangles(bins: int, bands: int) -> Tensor:
    """(bins, bands): weights of frequencies 1 .. bins, so that neighbours share what lies between their centres."""
    # Evenly on an axis that is linear for the first frequencies and logarithmic above.
    warped = torch.log1p(torch.arange(1, bins + 1).double() / 2)
    centres = torch.linspace(float(warped[0]), float(warped[-1]), bands).double()
    if bands == 1:
        return torch.ones(bins, 1).double()
    apart = float(centres[1] - centres[0])
    weights = (1.0 - (warped[:, None] - centres[None]).abs() / apart).clamp_min(0.0)
    # Where bands are closer than frequencies a band takes the nearest one.
    nearest = (warped[:, None] - centres[None]).abs().argmin(dim=0)
    empty = weights.sum(dim=0) < 0.5
    weights[nearest[empty], torch.arange(bands)[empty]] = 1.0
    return weights
