"""The head that says what comes next: a Gaussian a channel, judged by the samples when they come."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from streamrnn.errors import ConfigError
from streamrnn.heads import Head
from streamrnn.recognizer import ForecastConfig, forecast_columns
from streamrnn.stage import Inputs, Stage, State

_LEAST, _MOST = -9.0, 4.0  # of the logarithm of the variance: a deviation of 0.01 to 7.4 of the usual one


class Beside(Stage):
    """What goes into a stage beside what comes out of it, for a head that needs both."""

    def __init__(self, stage: Stage, inputs: Inputs) -> None:
        """Raises ConfigError for a stage that thins or delays frames, which no longer stand beside its own."""
        super().__init__()
        if stage.hop != 1 or stage.delay:
            raise ConfigError("kind: a forecast needs a model with a frame for every frame")
        self.stage = stage
        self.width = inputs.width + stage.width

    def initial_state(self, batch: int) -> State:
        """That of the stage."""
        return self.stage.initial_state(batch)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """(batch, frames, inputs) -> (batch, frames, inputs + width of the stage)."""
        y, after = self.stage(x, state)
        return torch.cat([x, y], dim=-1), after


class Forecast(Head):
    """The first features `steps` frames ahead; a forecast waits in the state until the frame comes that it is of.

    Logits of a frame: whether a forecast of it was there, the mean and log variance that it had, what was seen, and the
    mean and log variance of the frame `steps` ahead. So the target is in them, and `target` is not looked at.
    """

    def __init__(self, config: ForecastConfig, width: int, labels: tuple[str, ...]) -> None:
        """Raises ConfigError for other labels than one, or fewer features than channels."""
        if len(labels) != 1:
            raise ConfigError(f"labels: a forecast takes one, the name of its alarms, not {len(labels)}; name one")
        super().__init__(width, labels)
        if config.channels > width:
            raise ConfigError(f"head.channels: {config.channels} of {width} features; lower it")
        self.columns = forecast_columns(labels[0], config.channels)
        self.channels, self.steps, self.beta = config.channels, config.steps, config.beta
        self.width = 1 + 5 * config.channels
        self.layer = nn.Linear(width, 2 * config.channels)
        with torch.no_grad():
            self.layer.weight.mul_(0.1)
            self.layer.bias.zero_()
        # To begin with, what comes is what is: a network has only to learn how it differs from this.
        self.register_buffer("linear", torch.eye(width, config.channels))
        self.register_buffer("offset", torch.zeros(config.channels))
        self.linear: Tensor
        self.offset: Tensor

    def stand_on(self, linear: Tensor, offset: Tensor, log_variance: Tensor) -> None:
        """(inputs, channels), (channels,) twice: a linear forecast of the inputs, and how far it is off.

        It stays as it is: what is learnt is only how what comes differs from it, and begins at nothing.
        """
        with torch.no_grad():
            self.layer.weight.zero_()
            self.layer.bias[self.channels :] = log_variance
            self.linear.zero_()
            self.linear[: len(linear)] = linear
            self.offset.copy_(offset)

    def initial_state(self, batch: int) -> State:
        """No forecast waits: `(batch, steps, 1 + 2 * channels)` zeros; a first column of 1 says that one does."""
        return {"pending": torch.zeros(batch, self.steps, 1 + 2 * self.channels)}

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """(batch, frames, inputs + hidden) -> logits (batch, frames, 1 + 5 * channels)."""
        said = self.layer(x)
        mean = said[..., : self.channels] + x @ self.linear + self.offset
        made = torch.cat([mean, said[..., self.channels :].clamp(_LEAST, _MOST)], dim=-1)
        joined = torch.cat([state["pending"], torch.cat([torch.ones_like(made[..., :1]), made], dim=-1)], dim=1)
        frames = x.shape[1]
        logits = torch.cat([joined[:, :frames], x[..., : self.channels], made], dim=-1)
        return logits, {"pending": joined[:, frames:]}

    def loss(self, logits: Tensor, target: Tensor, teaches: Tensor) -> Tensor:
        """The mean negative log-likelihood of what was seen; in training by the variance to the power of beta."""
        ready, mean, log, seen = self._due(logits)
        each = 0.5 * (log + (seen - mean) ** 2 * torch.exp(-log))
        if self.training:
            # The weight is for the gradient: its value says nothing of how good a forecast is.
            each = each * torch.exp(self.beta * log).detach()
        weight = teaches * ready
        return (each.mean(dim=-1) * weight).sum() / weight.sum().clamp_min(1.0)

    def surprise(self, logits: Tensor, target: Tensor) -> Tensor:
        """Negative log-likelihood of each frame, deviations at the temperature; the mean over the channels."""
        ready, mean, log, seen = self._due(logits)
        log = log + 2.0 * torch.log(self.temperature)
        return ready * 0.5 * (log + (seen - mean) ** 2 * torch.exp(-log)).mean(dim=-1)

    def posterior(self, logits: Tensor) -> Tensor:
        """How unlikely the frame was by its worst channel, and what was expected, seen and comes, as `columns` say."""
        count = self.channels
        ready, mean, log, seen = self._due(logits)
        deviation = self._deviation(log)
        worst = ((seen - mean) / deviation).abs().amax(dim=-1)
        unlikely = ready * torch.erf(worst / 2.0**0.5)
        coming = logits[..., 1 + 3 * count :]
        rest = (mean, deviation, seen, coming[..., :count], self._deviation(coming[..., count:]))
        return torch.cat([unlikely[..., None], ready[..., None], *rest], dim=-1)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *more: Any) -> None:
        # Weights from before what is linear stood apart have it in the layer.
        for name, kept in (("linear", self.linear), ("offset", self.offset)):
            state_dict.setdefault(f"{prefix}{name}", torch.zeros_like(kept))
        super()._load_from_state_dict(state_dict, prefix, *more)

    def _deviation(self, log: Tensor) -> Tensor:
        return torch.exp(0.5 * log) * self.temperature

    def _due(self, logits: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Whether there was a forecast (batch, frames), and its mean, log variance and what came, each by channel."""
        count = self.channels
        parts = (logits[..., 1 + i * count : 1 + (i + 1) * count] for i in range(3))
        mean, log, seen = parts
        return logits[..., 0], mean, log, seen
