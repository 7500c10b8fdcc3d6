"""Names of channels: from the columns of the data into the bundle, and every file in the order of the bundle."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from motions import INPUTS, RATE, motion, recognizer, write_bundle

from streamrnn.cli import main
from streamrnn.config import convert
from streamrnn.errors import ConfigError, RecordingError
from streamrnn.evaluation.recordings import read_data, read_recording
from streamrnn.events import Channel
from streamrnn.recognizer import RecognizerConfig
from streamrnn.training.naming import named
from streamrnn.training.plan import TrainingConfig

NAMES = [each.name for each in INPUTS]
TIMES = np.arange(10 * RATE) / RATE


def write(path: Path, names: list[str]) -> Path:
    path.parent.mkdir(exist_ok=True)
    columns = motion(TIMES)[:, [NAMES.index(name) if name in NAMES else 0 for name in names]]
    rows = [f"{time:.2f},{','.join(map(str, row))}" for time, row in zip(TIMES, columns.tolist(), strict=True)]
    path.write_text("\n".join([f"time,{','.join(names)}", *rows, ""]))
    return path


def plan() -> TrainingConfig:
    config = msgspec.to_builtins(recognizer().config)
    del config["inputs"]
    return convert({"recognizer": config, "material": {"kind": "recordings"}}, TrainingConfig)


def test_the_columns_of_the_data_name_the_channels_in_whatever_order(tmp_path: Path) -> None:
    write(tmp_path / "swing" / "a.csv", NAMES)
    write(tmp_path / "swing" / "b.csv", NAMES[::-1])
    recordings = read_data([tmp_path]).recordings
    made, ordered = named(plan(), recordings)
    assert made.recognizer.inputs == tuple(Channel(name) for name in NAMES)
    for each in ordered:
        np.testing.assert_array_equal(each.samples(), motion(TIMES))
        np.testing.assert_array_equal(np.concatenate(list(each.blocks(70))), motion(TIMES))
    # Where the files do not agree nothing is known, and what a config says stands.
    write(tmp_path / "swing" / "c.csv", ["ax", "ay", "az"])
    assert named(plan(), read_data([tmp_path]).recordings)[0] == plan()
    assert named(made, recordings)[0] == made


def test_a_bundle_reads_its_files_by_name_and_refuses_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = str(write_bundle(tmp_path / "motion.bundle").path)
    said = []
    for names in (NAMES, NAMES[1:] + NAMES[:1]):
        path = write(tmp_path / "x" / "motion.csv", names)
        assert main(["detect", bundle, str(path)]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]
    assert "swing" in said[0]
    other = write(tmp_path / "x" / "other.csv", ["ax", "ay", "heat"])
    with pytest.raises(RecordingError, match="no channel 'temperature' among ax, ay, heat"):
        read_recording(other).in_order(INPUTS, "motion")
    assert main(["detect", bundle, str(other)]) == 2
    assert "temperature" in capsys.readouterr().err
    assert main(["check", bundle]) == 0
    assert "channel 2: temperature (degC)" in capsys.readouterr().out


def test_each_channel_is_named_once() -> None:
    config = msgspec.to_builtins(recognizer().config)
    with pytest.raises(ConfigError, match="inputs: 2 for 3 channels"):
        convert({**config, "inputs": [{"name": "a"}, {"name": "b"}]}, RecognizerConfig)
