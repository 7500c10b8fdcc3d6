"""Every config in configs/ says something that holds: daemons are checked, trainings trained for a few steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from streamrnn import bundle, cli, config
from streamrnn.testing.signals import chirp, noise
from streamrnn.training.plan import TrainingConfig

torch.set_num_threads(1)

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.yaml"))
# Enough to go through every part of a training once, and small enough for seconds.
FEW = ("training.steps=6", "training.lanes=4", "training.judge_every=3", "training.warm_up_steps=2")
SHORT_UNROLL = "training.unroll_ms=600"
CLIPS = 3


def is_training(path: Path) -> bool:
    return "recognizer" in document(path)


def document(path: Path) -> dict[str, Any]:
    parsed = config.parse_yaml(path.read_text(encoding="utf-8"))
    assert isinstance(parsed, dict)
    return parsed


def write_recordings(folder: Path, plan: TrainingConfig) -> Path:
    """A folder per label, named as the data names it: glides of their own for sound, sines and levels for sensors."""
    recognizer = plan.recognizer
    random = np.random.default_rng(0)
    names = [(aliases or (label,))[0] for label, aliases in recognizer.labels.items()]
    for place, name in enumerate([*names, "_quiet"]):
        (folder / name).mkdir(parents=True)
        for clip in range(CLIPS):
            if recognizer.channels == 1 and recognizer.rate >= 4000:
                low, high = 200.0 + 120.0 * place, 3000.0 - 150.0 * place
                samples = chirp(low, high, 0.4, recognizer.rate, 0.3 if name in names else 0.01)
                samples = samples + noise(0.4, recognizer.rate, random, 0.005)
                soundfile.write(folder / name / f"{clip}.wav", samples, recognizer.rate)
            else:
                time = np.arange(6 * recognizer.rate) / recognizer.rate
                wave = np.sin(2 * np.pi * (0.5 + 0.4 * place) * time + clip)
                x = np.tile(wave[:, None], (1, recognizer.channels)) * (1.0 + np.arange(recognizer.channels)) + place
                x = (x + 0.1 * random.standard_normal(x.shape)).astype(np.float32)
                np.savez(folder / name / f"{clip}.npz", x=x, fs=recognizer.rate)
    return folder


def lighter_material(path: Path) -> list[str]:
    """Fewer variants, less speech from text and fewer hours to measure, where the config has any."""
    material = document(path)["material"]
    few = ["material.variants=1"] if material["kind"] == "words" else []
    if "speech" in material:
        few += ["material.speech.clips=1", "material.speech.others=[hello]"]
        few += ["material.speech.near_misses=2", "material.speech.talk=2"]
        few += [f"material.speech.sentences.{label}=2" for label in material["speech"].get("sentences", {})]
    if "scratches" in material:
        few.append("material.scratches=1")
    if "calibration" in document(path):
        few += ["calibration.hours=0.05", "calibration.talk_minutes=0.5"]
    return few


def test_there_are_configs_of_both_kinds() -> None:
    assert {is_training(path) for path in CONFIGS} == {True, False}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_is_valid_by_the_command_that_users_have(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = cli.main(["config", str(path)])
    shown = capsys.readouterr()
    assert code == 0, shown.err
    assert "it is valid" in shown.out


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_begins_with_what_it_is_for(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# ")
    assert "streamrnn " in first


@pytest.mark.parametrize("path", [p for p in CONFIGS if is_training(p)], ids=lambda path: path.stem)
def test_a_training_config_trains(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = config.load(path, TrainingConfig)
    data, out = write_recordings(tmp_path / "data", plan), tmp_path / "made.bundle"
    few = [*FEW, *lighter_material(path), *([SHORT_UNROLL] if plan.training.unroll_ms else [])]
    changes = [word for override in few for word in ("--set", override)]
    code = cli.main(["train", str(path), "--data", str(data), "--out", str(out), *changes])
    assert code == 0, capsys.readouterr().err
    made = bundle.read(out)
    assert list(made.recognizer.config.labels) == list(plan.recognizer.labels)
    assert made.passport["metrics"]["steps"] == 6
    # A config that asks for it has its thresholds measured: the bundle then says what they cost.
    assert bool(made.det.points) == bool(plan.calibration.hours)
    assert made.det.hours == pytest.approx(0.05 if plan.calibration.hours else 0.0)
    bundle.prove(made, bundle.open_step(made, "torch"))
    assert cli.main(["eval", str(out), "--data", str(data)]) == 0
