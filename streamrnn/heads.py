"""What the network says in each frame: layer, loss and posterior of a head in one place."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from streamrnn.errors import ConfigError, did_you_mean
from streamrnn.recognizer import BACKGROUND, ClassesConfig, LabelsConfig
from streamrnn.stage import Stage, State


class Head(Stage):
    """A linear layer to logits, the loss that trains it and the posterior that it means.

    A target is `(batch, frames, labels)`, 1 where a label holds and 0 elsewhere; `teaches` `(batch, frames)` is 1 where
    the frame counts and 0 where nobody knows.

    Logits are divided by the `temperature` (1,) before they become posteriors (Guo et al. 2017, On calibration of
    modern neural networks). It is fitted after training and no part of the loss.
    """

    columns: tuple[str, ...]
    temperature: Tensor

    def __init__(self, width: int, columns: tuple[str, ...]) -> None:
        super().__init__()
        self.columns = columns
        self.width = len(columns)
        self.layer = nn.Linear(width, len(columns))
        self.register_buffer("temperature", torch.ones(1))

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """(batch, frames, hidden) -> logits (batch, frames, columns)."""
        logits: Tensor = self.layer(x)
        return logits, {}

    def loss(self, logits: Tensor, target: Tensor, teaches: Tensor) -> Tensor:
        """The mean loss of the frames that teach, a scalar; 0 where none does."""
        raise NotImplementedError

    def surprise(self, logits: Tensor, target: Tensor) -> Tensor:
        """Negative log-likelihood of the target under the posterior, in nats, a number a frame: (batch, frames).

        Smoothing and weights of the loss are no part of it: they are not what the posterior claims.
        """
        raise NotImplementedError

    def posterior(self, logits: Tensor) -> Tensor:
        """Logits -> posteriors in [0, 1], of the same shape."""
        raise NotImplementedError

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *more: Any) -> None:
        # Weights from before there was a temperature were served without one, which is a temperature of 1.
        state_dict.setdefault(f"{prefix}temperature", torch.ones(1))
        super()._load_from_state_dict(state_dict, prefix, *more)


class Classes(Head):
    """One of background and the labels: softmax, cross-entropy with label smoothing and a weight of each column."""

    def __init__(self, config: ClassesConfig, width: int, labels: tuple[str, ...]) -> None:
        """Raises ConfigError if a weight is one of no label."""
        super().__init__(width, (BACKGROUND, *labels))
        for label in config.weights:
            if label not in labels:
                raise ConfigError(f"head.weights.{label}: no label; {did_you_mean(label, labels)}")
        self.smoothing = config.smoothing
        weights = [config.background_weight, *(config.weights.get(label, 1.0) for label in labels)]
        # What the configuration gives is not learnt, so it is no part of the weights of the network.
        self.register_buffer("each", torch.tensor(weights), persistent=False)
        self.each: Tensor

    def loss(self, logits: Tensor, target: Tensor, teaches: Tensor) -> Tensor:
        """Cross-entropy against background or the one label that holds, a scalar."""
        wanted = _with_background(target)
        smooth = wanted * (1.0 - self.smoothing) + self.smoothing / self.width
        each = -(smooth * functional.log_softmax(logits, dim=-1)).sum(dim=-1)
        weight = teaches * (wanted @ self.each.to(wanted))
        return (each * weight).sum() / weight.sum().clamp_min(1.0)

    def surprise(self, logits: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy of each frame at the temperature."""
        return -(_with_background(target) * functional.log_softmax(logits / self.temperature, dim=-1)).sum(dim=-1)

    def posterior(self, logits: Tensor) -> Tensor:
        """Softmax over the columns."""
        return torch.softmax(logits / self.temperature, dim=-1)


def _with_background(target: Tensor) -> Tensor:
    """(batch, frames, labels) -> (batch, frames, columns): 1 in the background's column where no label holds."""
    return torch.cat([1.0 - target.amax(dim=-1, keepdim=True), target], dim=-1)


class Labels(Head):
    """Any of the labels: a sigmoid a column and no column for background."""

    def __init__(self, config: LabelsConfig, width: int, labels: tuple[str, ...]) -> None:
        super().__init__(width, labels)
        self.positive_weight = config.positive_weight

    def loss(self, logits: Tensor, target: Tensor, teaches: Tensor) -> Tensor:
        """Binary cross-entropy a column, averaged, a scalar."""
        weight = logits.new_full((self.width,), self.positive_weight)
        each = functional.binary_cross_entropy_with_logits(logits, target, pos_weight=weight, reduction="none")
        return (each.mean(dim=-1) * teaches).sum() / teaches.sum().clamp_min(1.0)

    def surprise(self, logits: Tensor, target: Tensor) -> Tensor:
        """Binary cross-entropy of each frame at the temperature, averaged over the columns."""
        each = functional.binary_cross_entropy_with_logits(logits / self.temperature, target, reduction="none")
        return each.mean(dim=-1)

    def posterior(self, logits: Tensor) -> Tensor:
        """A sigmoid of each logit."""
        return torch.sigmoid(logits / self.temperature)
