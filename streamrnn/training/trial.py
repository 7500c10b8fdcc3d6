"""A training config tried without data: what its stages, head and decoder say of one another."""

from __future__ import annotations

from pathlib import Path

from streamrnn import config, decoders
from streamrnn.errors import ConfigError
from streamrnn.network import Network
from streamrnn.training.plan import TrainingConfig, WordsConfig


def load(path: Path, overrides: list[str] | None = None) -> TrainingConfig:
    """The plan of a file of which everything can be built. Raises ConfigError with the file and the key."""
    plan = config.load(path, TrainingConfig, overrides)
    with config.naming(path):
        build(plan)
    return plan


def build(plan: TrainingConfig) -> None:
    """Build the network and the decoder of a plan. Raises ConfigError with the key where they do not fit."""
    channels = plan.recognizer.channels
    if isinstance(plan.material, WordsConfig) and channels != 1:
        raise ConfigError(f"material.kind: words are sound of 1 channel, not {channels}; use recordings")
    try:
        decoders.build(plan.recognizer.decoder, Network(plan.recognizer).recognizer)
    except ConfigError as error:
        raise ConfigError(f"recognizer.{error}") from None
