"""What a forecast head says, made up: a recognizer of it, its columns for what was seen, and material for the law."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrnn.alarms import AlarmConfig
from streamrnn.recognizer import ForecastConfig, GruConfig, Recognizer, RecognizerConfig, ScaleConfig, forecast_columns
from streamrnn.registry import PlugConfig


def recognizer(
    channels: int = 2, units: tuple[tuple[float, float], ...] = (), features: tuple[PlugConfig, ...] = (ScaleConfig(),)
) -> Recognizer:
    config = RecognizerConfig(
        name="machine",
        rate=1,
        labels={"anomaly": ()},
        features=features,
        model=GruConfig(),
        head=ForecastConfig(channels=channels),
        decoder=AlarmConfig(),
        channels=channels,
    )
    return Recognizer(config, forecast_columns("anomaly", channels), 1, 0, 1, units)


def said(seen: NDArray[Any], deviation: float = 1.0) -> NDArray[np.float32]:
    """(batch, frames, channels) seen where 0 was expected -> what a forecast head says."""
    batch, frames, channels = seen.shape
    made = np.zeros((batch, frames, 2 + 5 * channels), np.float32)
    made[:, 1:, 1] = 1.0
    made[..., 2 + channels : 2 + 2 * channels] = deviation
    made[..., 2 + 2 * channels : 2 + 3 * channels] = seen
    made[..., 2 + 4 * channels :] = deviation
    return made


def wandering(batch: int, frames: int, columns: int, random: np.random.Generator) -> NDArray[np.float32]:
    seen = random.normal(0.0, 1.0, (batch, frames, (columns - 2) // 5))
    for row in range(batch):
        for _ in range(1 + frames // 30):
            at = int(random.integers(frames))
            seen[row, at : at + int(random.integers(1, 12))] += random.normal(0.0, 30.0)
    return said(seen)
