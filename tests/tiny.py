"""Trainings that take a second: tiny networks on tone words, as plans, as YAML and as data folders."""

from __future__ import annotations

from pathlib import Path

from streamrnn.config import convert, parse_yaml
from streamrnn.evaluation.recordings import read_data
from streamrnn.testing.signals import write_tone_words
from streamrnn.training.plan import TrainingConfig
from streamrnn.training.run import Job

RATE = 8000
# Features that the configs of sensors have, which test_configs.py trains, exports and proves on ONNX Runtime.
SENSORS = {"anchor", "beats", "centre", "lag", "magnitude", "past", "spectrum", "standardise"}
WORDS = """
recognizer:
  name: tiny
  rate: 8000
  labels: {low: [], high: []}
  features:
    - {kind: frame, window_ms: 25, hop_ms: 20}
    - {kind: log_mel, bands: 8}
    - {kind: scale}
    - {kind: mask, bands: 2, frames: 2}
  model: {kind: gru, layers: 1, hidden: 8, dropout: 0.1}
  head: {kind: classes, smoothing: 0.05}
  targets: {place: end, before_ms: 80, after_ms: 120, ignore_ms: 60}
  decoder: {kind: hysteresis}
material: {kind: words, variants: 1, broken: 0.1, silent: 0.1, talking: 0.1, babble: 0.3, stretched: 0.3}
training: {steps: 12, lanes: 4, unroll_ms: 400, judge_every: 3, mine_every: 4, warm_up_steps: 2, learning_rate: 0.01}
"""


def document(text: str = WORDS) -> dict:
    parsed = parse_yaml(text)
    assert isinstance(parsed, dict)
    return parsed


def plan(**changes: object) -> TrainingConfig:
    """The plan with `section__key=value` changed."""
    made = document()
    for path, value in changes.items():
        section, _, key = path.partition("__")
        if key:
            made[section][key] = value
        else:
            made[section] = value
    return convert(made, TrainingConfig)


def tone_folder(folder: Path, clips: int = 3) -> Path:
    return write_tone_words(folder, clips=clips).parent


def job(made: TrainingConfig, folder: Path, out: Path) -> Job:
    return Job(made, (folder,), read_data([folder]), out)
