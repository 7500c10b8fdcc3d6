"""Chunks: eval plays recordings twice, says that nothing changed, and names what did where a bundle breaks the law."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
from onnx import helper
from tones import RATE, graph, recognizer, write_bundle

from streamrnn import bundle, engine
from streamrnn.backends import Array, ArrayState
from streamrnn.evaluation.invariance import compare_chunks
from streamrnn.evaluation.recordings import read_folder
from streamrnn.testing.signals import sentence


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data" / "_talk").mkdir(parents=True)
    for number in range(15):
        samples, _ = sentence(["low", "high"], RATE, np.random.default_rng(number))
        soundfile.write(tmp_path / "data" / "_talk" / f"{number:02d}.wav", samples, RATE)
    return tmp_path / "data"


def test_a_sample_of_the_recordings_gives_the_same_events(tiny_bundle: Path, data: Path) -> None:
    serving = engine.serving(bundle.read(tiny_bundle))
    found = compare_chunks(serving, read_folder(data))
    assert (found.recordings, found.difference) == (8, "")
    assert found.events == 16
    assert compare_chunks(serving, []).recordings == 0


def test_a_step_that_looks_at_its_chunk_is_found_out(tiny_bundle: Path, data: Path) -> None:
    serving = engine.serving(bundle.read(tiny_bundle))

    def loudest(samples: Array, state: ArrayState) -> tuple[Array, ArrayState]:
        return serving.step(samples / (1e-3 + np.abs(samples).max()), state)

    found = compare_chunks(dataclasses.replace(serving, step=loudest), read_folder(data))
    assert "00.wav" in found.difference
    assert "in odd ones" in found.difference


def lawless(path: Path) -> Path:
    """A bundle whose graph divides each chunk by its loudest sample."""
    model = onnx.load_from_string(graph())
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            if name == "samples":
                node.input[place] = "scaled"
    before = [
        helper.make_node("Abs", ["samples"], ["absolute"]),
        helper.make_node("ReduceMax", ["absolute"], ["loudest"], keepdims=0),
        helper.make_node("Add", ["loudest", "floor"], ["above zero"]),
        helper.make_node("Div", ["samples", "above zero"], ["scaled"]),
    ]
    nodes = [*before, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    good = write_bundle(path.with_name("good.bundle"))
    contents = bundle.Contents(
        recognizer(), good.initial, good.weights, model.SerializeToString(), good.golden, good.passport
    )
    return bundle.write(path, contents).path


def test_the_command_says_so_and_its_exit_code_is_1(tmp_path: Path, data: Path) -> None:
    command = [sys.executable, "-m", "streamrnn", "eval", str(lawless(tmp_path / "bad.bundle")), "--data", str(data)]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["invariance"]["difference"]
