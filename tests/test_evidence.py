"""What thresholds cost is measured after a training, on what was held out and on what is set apart for it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny import RATE, plan, tone_folder

from streamrnn.evaluation.recordings import read_data
from streamrnn.training.evidence import unrecorded
from streamrnn.training.loading import apart, hold_out
from streamrnn.training.run import Job, anew


def test_recordings_set_apart_are_measured_on_and_neither_trained_nor_judged_on(tmp_path: Path) -> None:
    words, talk = tone_folder(tmp_path / "words", clips=6), tmp_path / "talk"
    talk.mkdir()
    random = np.random.default_rng(1)
    for name in ("far", "near"):
        soundfile.write(str(talk / f"{name}.wav"), 0.1 * random.standard_normal(20 * RATE), RATE)
    (talk / "manifest.csv").write_text("path,label,split\nfar.wav,_speech,calibration\nnear.wav,_speech,train\n")
    made = plan(calibration={"hours": 0.05, "talk_minutes": 0}, validation={"share": 0.4})
    data = read_data([words, talk])
    (set_apart,) = apart(data.recordings)
    assert set_apart.path.name == "far.wav"
    kept, judged = hold_out(data.recordings, made.validation)
    assert set_apart not in kept
    assert set_apart not in judged
    bundle = anew(Job(made, (words, talk), data, tmp_path / "tiny.bundle"))
    assert bundle.det.points
    assert bundle.det.sources["talk"] > 10


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
def test_a_label_without_a_recording_is_judged_by_words_from_text_in_voices_that_training_does_not_use(
    tmp_path: Path,
) -> None:
    speech = {"texts": {"low": "low", "jarvis": "jarvis"}, "clips": 2, "near_misses": 0, "engines": ["espeak-ng"]}
    made = plan(recognizer__labels={"low": [], "jarvis": []}, material={"kind": "words", "speech": speech})
    words = tone_folder(tmp_path / "words", clips=2)
    spoken = unrecorded(made, read_data([words]).recordings, tmp_path / "text")
    assert {segment.label for each in spoken for segment in each.segments} == {"jarvis"}
    assert len(spoken) == 60
    assert {each.split for each in spoken} == {"dev"}
