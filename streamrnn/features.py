"""Samples into frames of features, as stages: windows, mel bands, cepstra, scaling, slopes, stacks and statistics."""

from __future__ import annotations

import math

import torch
import torchaudio.functional as audio
from torch import Tensor

from streamrnn.errors import ConfigError
from streamrnn.recognizer import (
    DeltaConfig,
    FrameConfig,
    LogMelConfig,
    MaskConfig,
    MfccConfig,
    ScaleConfig,
    StackConfig,
    StatisticsConfig,
)
from streamrnn.stage import Inputs, Stage, State


class Frame(Stage):
    """Windows of samples, one every hop; window k ends with sample (k + 1) * hop, and looks back on zeros at first."""

    def __init__(self, config: FrameConfig, inputs: Inputs) -> None:
        """Raises ConfigError if the hop is no whole number of samples or the window is shorter than the hop."""
        super().__init__()
        rate, width = inputs.rate, inputs.width
        hop, window = config.hop_ms * rate / 1000.0, config.window_ms * rate / 1000.0
        if abs(hop - round(hop)) > 1e-6 or round(hop) < 1:
            raise ConfigError(f"hop_ms: {config.hop_ms} ms are {hop:g} samples at {rate:g} Hz; choose a whole number")
        if round(window) < round(hop):
            raise ConfigError(f"window_ms: {config.window_ms} is shorter than hop_ms {config.hop_ms}; make it longer")
        self.hop, self.window, self.channels = round(hop), round(window), width
        self.delay = self.window - self.hop
        self.width = self.window * width
        # Windows are put together from whole hops: reshapes and slices export for any number of hops, unfold does not.
        self.pieces = -(-self.window // self.hop)

    def initial_state(self, batch: int) -> State:
        """The samples before the first: zeros."""
        return {"tail": torch.zeros(batch, (self.pieces - 1) * self.hop, self.channels)}

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """(batch, time, channels) -> (batch, time / hop, channels * window), channel after channel."""
        joined = torch.cat([state["tail"], x], dim=1)
        batch, time, channels = x.shape
        # Cut into hops once: each reshape for itself is a node of the graph, and a frame alone is mostly nodes.
        hops = joined.reshape(batch, -1, self.hop, channels)
        frames = hops.shape[1] - self.pieces + 1
        pieces = [hops[:, i : i + frames] for i in range(self.pieces)]
        windows = torch.cat(pieces, dim=2)[:, :, self.pieces * self.hop - self.window :]
        after = {"tail": joined[:, time:]}
        return windows.transpose(2, 3).flatten(2), after


class _MelBands(Stage):
    """Windows of one channel -> log energies of mel bands; a DFT by matrix product, so that it exports and batches."""

    def __init__(self, bands: int, low_hz: float, high_hz: float, floor_db: float, inputs: Inputs) -> None:
        """Raises ConfigError if the inputs are no windows of one channel or no band lies in them."""
        super().__init__()
        width, rate = inputs.width, inputs.sample_rate
        if inputs.channels != 1:
            raise ConfigError(f"kind: takes windows of one channel, not of {inputs.channels}; set `channels: 1`")
        # A window spans its hop at least; single samples, or features of a window, are none.
        if inputs.rate >= rate or width * inputs.rate < rate:
            raise ConfigError(
                f"kind: takes windows of samples, not {width} values a step; put {{kind: frame}} right before it"
            )
        high = high_hz or rate / 2
        if not low_hz < high <= rate / 2:
            raise ConfigError(f"high_hz: {high:g} must lie above low_hz {low_hz:g} and not above {rate / 2:g}")
        size = 2 ** math.ceil(math.log2(width))
        tones = torch.linspace(0, rate // 2, size // 2 + 1)
        if not ((tones > low_hz) & (tones < high)).any():
            raise ConfigError(
                f"high_hz: a window of {width} samples tells nothing between {low_hz:g} and {high:g} Hz; "
                "widen the span or the window"
            )
        mel = audio.melscale_fbanks(size // 2 + 1, low_hz, high, bands, rate)
        used = mel.amax(dim=1).nonzero()
        first, last = int(used.amin()), int(used.amax())
        # With the phase counted from the middle of the window, cosines are even and sines odd about it: samples that
        # mirror one another are added and subtracted first, which halves the products.
        self.pairs = (width + 1) // 2
        away = torch.arange(self.pairs).double() - (width - 1) / 2
        angle = 2 * math.pi * torch.outer(away, torch.arange(first, last + 1).double()) / size
        taper = torch.hann_window(width, periodic=False, dtype=torch.float64)
        # Scaled so that a full-scale sine has an energy near 1: floor_db is then relative to full scale.
        weight = taper[: self.pairs, None] * 2.0 / taper.sum()
        if width % 2:
            weight[-1] *= 0.5  # the middle sample mirrors itself and is added twice
        # What the configuration gives is not learnt, so it is no part of the weights.
        self.register_buffer("even", (angle.cos() * weight).float(), persistent=False)
        self.register_buffer("odd", (angle.sin() * weight).float(), persistent=False)
        self.register_buffer("mel", mel[first : last + 1], persistent=False)
        self.width = bands
        self.floor = 10.0 ** (floor_db / 10.0)
        self.even: Tensor
        self.odd: Tensor
        self.mel: Tensor

    def log_mel(self, x: Tensor) -> Tensor:
        """(batch, frames, window) -> (batch, frames, bands), logarithm of energy over the floor, 0 in silence."""
        left, right = x[..., : self.pairs], x.flip(-1)[..., : self.pairs]
        real, imaginary = (left + right) @ self.even, (left - right) @ self.odd
        energy = (real * real + imaginary * imaginary) @ self.mel
        return torch.log1p(energy / self.floor)


class LogMel(_MelBands):
    """Log-mel energies; hop and rate are those of the frames that come in."""

    def __init__(self, config: LogMelConfig, inputs: Inputs) -> None:
        """Raises ConfigError if the bands do not fit below half the rate."""
        super().__init__(config.bands, config.low_hz, config.high_hz, config.floor_db, inputs)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """(batch, frames, window) -> (batch, frames, bands)."""
        return self.log_mel(x), {}


class Mfcc(_MelBands):
    """Cepstral coefficients (Davis and Mermelstein 1980) of the log-mel bands."""

    def __init__(self, config: MfccConfig, inputs: Inputs) -> None:
        """Raises ConfigError if there are more coefficients than bands."""
        super().__init__(config.bands, config.low_hz, config.high_hz, config.floor_db, inputs)
        if config.coefficients > config.bands:
            raise ConfigError(f"coefficients: {config.coefficients} exceed the {config.bands} bands; lower it")
        self.register_buffer("dct", audio.create_dct(config.coefficients, config.bands, "ortho"), persistent=False)
        self.dct: Tensor
        self.width = config.coefficients

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """(batch, frames, window) -> (batch, frames, coefficients)."""
        return self.log_mel(x) @ self.dct, {}


class Scale(Stage):
    """Fixed standardisation; `measure` sets it once before training and it is saved with the weights."""

    def __init__(self, config: ScaleConfig, inputs: Inputs) -> None:
        super().__init__()
        self.width = inputs.width
        self.register_buffer("mean", torch.zeros(inputs.width))
        self.register_buffer("deviation", torch.ones(inputs.width))
        self.mean: Tensor
        self.deviation: Tensor

    def measure(self, x: Tensor) -> None:
        """(batch, frames, inputs) of typical material: take its mean and deviation."""
        flat = x.reshape(-1, x.shape[-1])
        self.mean.copy_(flat.mean(dim=0))
        self.deviation.copy_(flat.std(dim=0).clamp_min(1e-4))

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """(batch, frames, inputs) -> the same shape, near zero mean and unit deviation."""
        return (x - self.mean) / self.deviation, {}


class Delta(Stage):
    """Each frame with its regression slope over the frames around it (Furui 1986), `reach` frames late."""

    def __init__(self, config: DeltaConfig, inputs: Inputs) -> None:
        super().__init__()
        self.reach, self.inputs = config.reach, inputs.width
        self.delay = config.reach
        self.width = 2 * inputs.width

    def initial_state(self, batch: int) -> State:
        """The frames before the first: zeros."""
        return {"tail": torch.zeros(batch, 2 * self.reach, self.inputs)}

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """(batch, frames, inputs) -> (batch, frames, 2 * inputs): values and slopes a frame."""
        joined = torch.cat([state["tail"], x], dim=1)
        frames, reach = x.shape[1], self.reach
        slope = torch.zeros_like(x)
        for k in range(1, reach + 1):
            slope = slope + k * (joined[:, reach + k : reach + k + frames] - joined[:, reach - k : reach - k + frames])
        slope = slope / (2 * sum(k * k for k in range(1, reach + 1)))
        after = {"tail": joined[:, frames:]}
        return torch.cat([joined[:, reach : reach + frames], slope], dim=-1), after


class Stack(Stage):
    """Every `frames` frames joined into one, which thins the frame rate by as much."""

    def __init__(self, config: StackConfig, inputs: Inputs) -> None:
        super().__init__()
        self.hop = config.frames
        self.width = inputs.width * config.frames

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """(batch, frames, inputs) -> (batch, frames / hop, inputs * hop)."""
        return x.reshape(x.shape[0], -1, self.width), {}


class Mask(Stage):
    """Zeros over random bands and frames while training (SpecAugment, Park et al. 2019); put it after Scale."""

    def __init__(self, config: MaskConfig, inputs: Inputs) -> None:
        super().__init__()
        self.width = inputs.width
        self.bands, self.frames, self.share = config.bands, config.frames, config.share

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """(batch, frames, inputs) -> the same shape; the same values outside training."""
        if not self.training:
            return x, {}
        hidden = self._runs(x, x.shape[2], self.bands)[:, None, :] | self._runs(x, x.shape[1], self.frames)[:, :, None]
        return x.masked_fill(hidden, 0.0), {}

    def _runs(self, x: Tensor, size: int, longest: int) -> Tensor:
        """(batch, size) booleans: in a share of the rows one run of at most `longest` is true."""
        rows = x.shape[0]
        length = torch.rand(rows, 1) * (longest + 1) * (torch.rand(rows, 1) < self.share)
        start = torch.rand(rows, 1) * size
        place = torch.arange(size)
        return ((place >= start) & (place < start + length.floor())).to(x.device)


class Statistics(Stage):
    """Mean, deviation, least and greatest value of each input over a sliding run of frames."""

    def __init__(self, config: StatisticsConfig, inputs: Inputs) -> None:
        super().__init__()
        self.frames, self.inputs = config.frames, inputs.width
        self.delay = config.frames - 1
        self.width = 4 * inputs.width

    def initial_state(self, batch: int) -> State:
        """The frames before the first: zeros."""
        return {"tail": torch.zeros(batch, self.frames - 1, self.inputs)}

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """(batch, frames, inputs) -> (batch, frames, 4 * inputs)."""
        joined = torch.cat([state["tail"], x], dim=1)
        runs = torch.stack([joined[:, i : i + x.shape[1]] for i in range(self.frames)], dim=-1)
        mean = runs.mean(dim=-1)
        centred = runs - mean[..., None]
        deviation = torch.sqrt((centred * centred).mean(dim=-1) + 1e-8)
        after = {"tail": joined[:, x.shape[1] :]}
        return torch.cat([mean, deviation, runs.amin(dim=-1), runs.amax(dim=-1)], dim=-1), after
