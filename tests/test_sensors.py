"""The sensor path: the same code learns motions from arrays and says the same of CSV, NPZ and a daemon's rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from streamrnn.bundle import Bundle
from streamrnn.config import load
from streamrnn.engine import serving
from streamrnn.evaluation.recordings import read_data
from streamrnn.evaluation.report import report
from streamrnn.evaluation.run import evaluate
from streamrnn.training import run
from streamrnn.training.plan import TrainingConfig

torch.set_num_threads(1)

MOTION = Path(__file__).parents[1] / "configs" / "motion.yaml"
RATE, SECONDS = 10, 10
# Of each motion: how fast and how far the wrist swings, and which way is down.
MOTIONS = {
    "Standing": (0.1, 0.05, 1.0),
    "Walking": (1.0, 1.0, 0.5),
    "Running": (2.5, 4.0, 0.0),
    "Badminton": (0.6, 9.0, -1),
}


def motion(name: str, random: np.random.Generator) -> np.ndarray:
    hertz, swing, down = MOTIONS[name]
    time = np.arange(SECONDS * RATE)[:, None] / RATE
    phase = random.uniform(0, 6, 6) + np.arange(6)
    wave = swing * random.uniform(0.8, 1.2) * np.sin(2 * np.pi * hertz * random.uniform(0.9, 1.1) * time + phase)
    return (wave + down + 0.1 * random.standard_normal(wave.shape)).astype(np.float32)


@pytest.fixture(scope="module")
def motions(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("motions")
    random = np.random.default_rng(0)
    for name in MOTIONS:
        (folder / name).mkdir()
        for clip in range(4):
            np.savez(folder / name / f"{clip}.npz", x=motion(name, random), fs=RATE)
    plan = load(
        MOTION, TrainingConfig, ["training.steps=60", "training.learning_rate=0.02", "training.warm_up_steps=5"]
    )
    return run.anew(run.Job(plan, (folder,), read_data([folder]), tmp_path_factory.mktemp("out") / "motion.bundle"))


def command(*words: object) -> str:
    line = [sys.executable, "-m", "streamrnn", *map(str, words)]
    return subprocess.run(line, capture_output=True, text=True, timeout=60, check=True).stdout


def segments(lines: str) -> list[tuple[str, int, int, float]]:
    bodies = [event.get("body") or event for event in map(json.loads, lines.splitlines())]
    return [(body["label"], body["start"], body["end"], body["score"]) for body in bodies if "label" in body]


def test_a_csv_an_npz_and_a_daemon_give_the_same_segments(motions: Bundle, tmp_path: Path) -> None:
    random = np.random.default_rng(9)
    order = ["Walking", "Standing", "Badminton", "Running"]
    x = np.concatenate([motion(name, random) for name in order])
    np.savez(tmp_path / "day.npz", x=x, fs=RATE)
    rows = [f"{i / RATE:.1f}," + ",".join(str(float(value)) for value in row) for i, row in enumerate(x)]
    (tmp_path / "day.csv").write_text("\n".join(["time,ax,ay,az,gx,gy,gz", *rows]) + "\n")
    by_array = segments(command("detect", motions.path, tmp_path / "day.npz", "--json"))
    assert [label for label, *_ in by_array] == [name.lower() for name in order]
    for place, (_, start, end, _) in enumerate(by_array):
        # A segment follows its motion by the smoothing and the second that the statistics look back on.
        assert abs(start - place * SECONDS * RATE) <= 3 * RATE
        assert abs(end - (place + 1) * SECONDS * RATE) <= 3 * RATE
    assert by_array[-1][2] == len(x)
    assert segments(command("detect", motions.path, tmp_path / "day.csv", "--json")) == by_array
    (tmp_path / "daemon.yaml").write_text(
        f"bundles: [{{path: {motions.path}}}]\n"
        f"sources: [{{kind: csv, path: {tmp_path}/day.csv, stream: wrist, pace: fastest}}]\n"
        f"sinks: [{{kind: jsonl, path: {tmp_path}/events.jsonl}}]\nuntil: finished\n"
    )
    command("serve", tmp_path / "daemon.yaml")
    assert segments((tmp_path / "events.jsonl").read_text()) == by_array


@pytest.mark.skipif("STREAMRNN_DATA" not in os.environ, reason="STREAMRNN_DATA names no folder of real recordings")
def test_real_motions_that_training_has_not_seen(tmp_path: Path) -> None:
    source = Path(os.environ["STREAMRNN_DATA"]) / "uea_BasicMotions"
    header, *rows = (source / "manifest.csv").read_text().splitlines()
    columns = header.split(",")
    split, path = columns.index("split"), columns.index("path")
    lines = [row.split(",") for row in rows]
    for i, line in enumerate(lines):
        line[split], line[path] = "dev" if i % 5 == 0 else "train", str(source / line[path])
    (tmp_path / "manifest.csv").write_text("\n".join([header, *map(",".join, lines)]) + "\n")
    data = read_data([tmp_path])
    plan = load(MOTION, TrainingConfig, ["training.steps=200"])
    served = serving(run.anew(run.Job(plan, (tmp_path,), data, tmp_path / "motion.bundle")))
    judged = [recording for recording in data.recordings if recording.split == "dev"]
    assert len(judged) == 8
    document = report(evaluate(served, judged), served, "dev", ())
    assert document["clip_accuracy"] == 1.0
    assert document["accuracy"] >= 0.75
