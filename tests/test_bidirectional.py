"""The offline labeller: it proposes where words are, knows the future, and is nowhere that serves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tiny import RATE, plan

from streamrnn import registry
from streamrnn.cli import main
from streamrnn.errors import ConfigError, RecordingError
from streamrnn.evaluation.recordings import read_folder, read_recording
from streamrnn.testing.signals import sentence
from streamrnn.training import bidirectional
from streamrnn.training.bidirectional import Labeller
from streamrnn.training.pieces import Piece

torch.set_num_threads(1)


def write_sentence(folder: Path, name: str, words: list[str], seed: int) -> list[tuple[str, int, int]]:
    folder.mkdir(exist_ok=True)
    samples, places = sentence(words, RATE, np.random.default_rng(seed))
    soundfile.write(folder / f"{name}.wav", samples, RATE)
    return places


@pytest.fixture(scope="module")
def labeller(tmp_path_factory: pytest.TempPathFactory) -> Labeller:
    folder = tmp_path_factory.mktemp("labelled")
    for seed in range(4):
        places = write_sentence(folder, f"s{seed}", ["low", "high", "low", "high"], seed)
        track = "".join(f"{start / RATE}\t{end / RATE}\t{label}\n" for label, start, end in places)
        (folder / f"s{seed}.txt").write_text(track)
    made = plan(
        recognizer__targets={"place": "whole"},
        training={"steps": 40, "lanes": 4, "learning_rate": 0.02},
    )
    return bidirectional.train(made, read_folder(folder))


def test_the_tracks_it_writes_are_labels_that_training_reads(labeller: Labeller, tmp_path: Path) -> None:
    places = write_sentence(tmp_path, "new", ["high", "low", "low"], 77)
    (track,) = bidirectional.label(labeller, [read_recording(tmp_path / "new.wav")], tmp_path)
    assert track == tmp_path / "new.txt"
    (recording,) = read_folder(tmp_path)
    assert [segment.label for segment in recording.segments] == ["high", "low", "low"]
    for segment, (_, start, end) in zip(recording.segments, places, strict=True):
        assert abs(segment.start - start) < 0.06 * RATE
        assert abs(segment.end - end) < 0.06 * RATE


def test_it_knows_the_future_which_is_why_it_cannot_serve(labeller: Labeller) -> None:
    hop = labeller.recognizer.hop
    sound = 0.1 * np.random.default_rng(0).standard_normal((20 * hop, 1)).astype(np.float32)
    other = sound.copy()
    other[-hop:] += 0.3
    said, changed = (
        bidirectional.posteriors(labeller, Piece(x, np.zeros((20, 2), np.float32), np.ones(20, np.float32), anew=True))
        for x in (sound, other)
    )
    assert np.abs(said[0] - changed[0]).max() > 0


def test_padding_of_a_batch_is_not_heard_on_the_way_back(labeller: Labeller) -> None:
    hop = labeller.recognizer.hop
    sound = torch.from_numpy(0.1 * np.random.default_rng(0).standard_normal((2, 20 * hop, 1)).astype(np.float32))
    with torch.inference_mode():
        together = labeller(sound, [20, 12])
        alone = labeller(sound[1:, : 12 * hop], [12])
    assert torch.allclose(together[1, :12], alone[0], atol=1e-6)


def test_recordings_of_one_name_are_not_written_over_one_another(labeller: Labeller, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_sentence(tmp_path / folder, "same", ["low"], 1)
    recordings = [read_recording(tmp_path / folder / "same.wav") for folder in ("a", "b")]
    with pytest.raises(RecordingError, match="two recordings"):
        bidirectional.label(labeller, recordings, tmp_path)


@pytest.mark.parametrize("kind", ["bi_gru", "bilstm", "bidirectional"])
def test_a_config_that_asks_for_one_is_told_why_not(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match="reads the future"):
        plan(recognizer__model={"kind": kind})
    assert not [plug.kind for plug in registry.plugs("model") if plug.kind.startswith("bi")]
    config = tmp_path / "c.yaml"
    config.write_text(f"recognizer: {{name: x, rate: 8000, labels: {{a: []}}, features: [], model: {{kind: {kind}}}}}")
    assert main(["train", str(config), "--data", str(tmp_path), "--out", str(tmp_path / "o.bundle")]) == 2
    said = capsys.readouterr().err
    assert "recognizer.model.kind" in said
    assert "no bundle of it exists and `serve` cannot run one" in said
    assert said.count("\n") == 1
