"""Recordings: every kind of file and folder that is read, and one line for each that cannot be."""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrnn import files
from streamrnn.errors import RecordingError
from streamrnn.evaluation.playable import Noise, Segment
from streamrnn.evaluation.recordings import Recording, read_audio, read_data, read_folder
from streamrnn.evaluation.summary import summary
from streamrnn.files import arrays
from streamrnn.recognizer import ClassesConfig, GruConfig, RecognizerConfig
from streamrnn.registry import find

RATE = 8000


def tone(seconds: float, channels: int = 1, rate: int = RATE) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    wave = 0.5 * np.sin(2 * np.pi * 440 * time)
    return np.stack([wave * (1 - 0.3 * c) for c in range(channels)], axis=1).astype(np.float32)


def write(path: Path, samples: np.ndarray, rate: int = RATE, subtype: str = "PCM_16") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


def manifest(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.csv").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("name", "subtype", "channels", "rate"),
    [
        ("a.wav", "PCM_16", 1, 8000),
        ("a.wav", "PCM_24", 1, 48000),
        ("a.wav", "FLOAT", 2, 44100),
        ("a.WAV", "PCM_16", 2, 16000),
        ("a.flac", "PCM_24", 1, 16000),
        ("a.ogg", "VORBIS", 1, 16000),
    ],
)
def test_sound_of_any_form_is_float_time_by_channels(
    tmp_path: Path, name: str, subtype: str, channels: int, rate: int
) -> None:
    wanted = tone(0.25, channels, rate)
    path = write(tmp_path / name, wanted, rate, subtype)
    samples, given_rate = read_audio(path)
    assert given_rate == rate
    assert samples.shape == wanted.shape
    assert samples.dtype == np.float32
    assert np.abs(samples - wanted).max() < (0.1 if subtype == "VORBIS" else 1e-4)


@pytest.mark.parametrize("name", ["a.wav", "a.npz", "a.csv"])
@settings(deadline=None, max_examples=20)
@given(length=st.integers(1, 900))
def test_blocks_are_the_whole_in_pieces(tmp_path_factory: pytest.TempPathFactory, name: str, length: int) -> None:
    path = tmp_path_factory.mktemp("blocks") / name
    samples = tone(0.1)
    if name.endswith("wav"):
        write(path, samples)
    elif name.endswith("npz"):
        np.savez(path, x=samples, fs=RATE)
    else:
        path.write_text("time,v\n" + "".join(f"{i / 100},{v}\n" for i, v in enumerate(samples[:, 0])))
    blocks = list(files.blocks(path, 0, 800, length))
    assert all(len(block) == length for block in blocks[:-1])
    np.testing.assert_array_equal(np.concatenate(blocks), read_audio(path)[0])


def test_sensor_arrays_keep_their_values(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.array([[1502, -3], [2215, 4]], np.int16), fs=np.float32(52.0))
    samples, rate = read_audio(tmp_path / "a.npz")
    assert rate == 52
    np.testing.assert_array_equal(samples, np.array([[1502, -3], [2215, 4]], np.float32))


def test_a_table_with_rounded_times_and_a_pause_has_its_rate(tmp_path: Path) -> None:
    times = np.round(np.concatenate([np.arange(200), 900 + np.arange(100)]) / 60, 2)
    (tmp_path / "a.csv").write_text("time,x,y\n" + "".join(f"{t},1,2\n" for t in times))
    header = files.header(tmp_path / "a.csv")
    assert (header.rate, header.channels, header.length) == (60, 2, 300)


def test_a_slow_table_is_counted_and_its_label_column_makes_segments(tmp_path: Path) -> None:
    rows = [("2015-02-02 14:19:00", 1, "empty"), ("2015-02-02 14:20:00", 2, "empty"), ("2015-02-02 14:21:00", 3, "")]
    (tmp_path / "a.csv").write_text("timestamp,co2,label\n" + "".join(f"{t},{v},{label}\n" for t, v, label in rows))
    (recording,) = read_folder(tmp_path)
    assert (recording.rate, recording.channels, recording.labelled) == (1, 1, "samples")
    assert recording.segments == (Segment(0, 2, "empty"),)


@pytest.mark.parametrize("step", [2.0, 1.3, 0.7, 60.0])
def test_seconds_that_are_no_whole_rate_are_refused_unless_it_is_declared(tmp_path: Path, step: float) -> None:
    path = tmp_path / "a.csv"
    path.write_text("time,x\n" + "".join(f"{step * i},1\n" for i in range(9)))
    with pytest.raises(RecordingError, match=rf"a.csv: rows every {step:g} s are .* no whole number"):
        files.header(path)
    assert arrays.read_csv(path, 3).rate == 3


@pytest.mark.parametrize("rate", [1, 3, 1_000_001, 2_000_000_000])
def test_a_header_with_a_rate_that_no_sound_has_is_refused(tmp_path: Path, rate: int) -> None:
    write(tmp_path / "a.wav", tone(0.1))
    data = bytearray((tmp_path / "a.wav").read_bytes())
    data[24:28] = struct.pack("<I", rate)
    (tmp_path / "a.wav").write_bytes(data)
    with pytest.raises(RecordingError, match=rf"a.wav: .*{rate}"):
        files.header(tmp_path / "a.wav")
    np.savez(tmp_path / "a.npz", x=np.zeros(9), fs=rate if rate > 9 else 0)
    with pytest.raises(RecordingError, match=r"a.npz: fs is"):
        files.header(tmp_path / "a.npz")


def test_a_folder_per_label(tmp_path: Path) -> None:
    for label in ("yes", "no", "_noise"):
        write(tmp_path / label / "1.wav", tone(0.5))
    (tmp_path / "README.md").write_text("what this is")
    (tmp_path / ".cache").mkdir()
    recordings = read_folder(tmp_path)
    assert [(r.path.parent.name, r.segments) for r in recordings] == [
        (label, (Segment(0, 4000, label),)) for label in ("_noise", "no", "yes")
    ]


def test_label_tracks_beside_recordings(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", tone(2.0))
    (tmp_path / "a.txt").write_text("1.250000\t1.500000\ttwo words\n\\\t100.0\t200.0\n0.5\t0.5\tclick\n")
    write(tmp_path / "b.wav", tone(1.0))
    data = read_data([tmp_path])
    assert data.recordings[0].segments == (Segment(4000, 4001, "click"), Segment(10000, 12000, "two words"))
    assert [left.path.name for left in data.left_out] == ["b.wav"]
    assert "no label track b.txt" in data.left_out[0].reason


def test_a_manifest_with_words_inside_longer_clips(tmp_path: Path) -> None:
    write(tmp_path / "w" / "a.wav", tone(2.0))
    write(tmp_path / "w" / "b.wav", tone(1.0))
    folder = manifest(
        tmp_path, "path,label,speaker,split,start,end\nw/a.wav,hey,ann,dev,0.5,1.0\nw/b.wav,_noise,,train,,\n"
    )
    assert [(r.split, r.group, r.segments) for r in read_folder(folder)] == [
        ("dev", "ann", (Segment(4000, 8000, "hey"),)),
        ("train", "", (Segment(0, 8000, "_noise"),)),
    ]


def test_rows_of_one_file_are_its_segments_and_speech_at_once_is_joined(tmp_path: Path) -> None:
    write(tmp_path / "m.wav", tone(3.0))
    folder = manifest(
        tmp_path,
        "path,label,speaker,start,end\nm.wav,speech,ann,2,3\nm.wav,speech,ann,0.5,1\nm.wav,speech,bob,0.75,1.5\nm.wav,door,,0.9,1\n",
    )
    (recording,) = read_folder(folder)
    assert recording.segments == (
        Segment(4000, 12000, "speech"),
        Segment(7200, 8000, "door"),
        Segment(16000, 24000, "speech"),
    )
    assert (recording.group, recording.labelled) == ("", "events")


def test_rows_that_fill_a_file_and_repeat_a_label_are_recordings_of_their_own(tmp_path: Path) -> None:
    x = np.arange(12, dtype=np.float32).reshape(6, 2)
    np.savez(tmp_path / "all.npz", x=x, fs=10.0)
    folder = manifest(tmp_path, "path,label,start,end\nall.npz,a,0,0.2\nall.npz,a,0.2,0.5\nall.npz,b,0.5,0.6\n")
    recordings = read_folder(folder)
    assert [r.span for r in recordings] == [(0, 2), (2, 5), (5, 6)]
    assert [r.segments for r in recordings] == [(Segment(0, n, label),) for n, label in ((2, "a"), (3, "a"), (1, "b"))]
    np.testing.assert_array_equal(np.concatenate([r.samples() for r in recordings]), x)


def test_rows_that_fill_a_file_in_turns_are_its_segments(tmp_path: Path) -> None:
    np.savez(tmp_path / "one.npz", x=np.zeros((6, 2)), y=np.array([1, 1, 2, 2, 1, 1]), fs=10.0)
    folder = manifest(tmp_path, "path,label,start,end\none.npz,a,0,0.2\none.npz,b,0.2,0.4\none.npz,a,0.4,0.6\n")
    (recording,) = read_folder(folder)
    assert (len(recording.segments), recording.span, recording.labelled) == (3, (0, 6), "samples")


@pytest.mark.parametrize("column", ["case", "split"])
def test_a_case_or_split_of_its_own_makes_a_recording_of_its_own(tmp_path: Path, column: str) -> None:
    write(tmp_path / "m.wav", tone(3.0))
    folder = manifest(tmp_path, f"path,label,start,end,{column}\nm.wav,a,0.5,1,p\nm.wav,b,1.5,2,q\n")
    assert [r.span for r in read_folder(folder)] == [(4000, 8000), (12000, 16000)]


def test_labels_per_sample_are_named_and_unlabelled_ones_are_not_known(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", x=np.zeros((5, 1)), y=np.array([0, 1, 1, 2, 0]), fs=50)
    (tmp_path / "classes.csv").write_text("label_id,label\n0,UNLABELLED\n1,walk\n2,sit\n")
    folder = manifest(tmp_path, "path,label,subject,split\ns.npz,,7,dev\n")
    (recording,) = read_folder(folder)
    assert recording.segments == (Segment(1, 3, "walk"), Segment(3, 4, "sit"))
    assert (recording.labelled, recording.group) == ("samples", "7")


def test_a_file_of_events(tmp_path: Path) -> None:
    write(tmp_path / "s.wav", tone(2.0))
    (tmp_path / "s.labels.csv").write_text("start,end,label,source\n0.5,0.75,hey,x\n1.0,1.5,_speech,y\n")
    folder = manifest(tmp_path, "path,label,split,labels\ns.wav,,dev,s.labels.csv\n")
    (recording,) = read_folder(folder)
    assert recording.segments == (Segment(4000, 6000, "hey", "x"), Segment(8000, 12000, "_speech", "y"))


def test_times_that_were_rounded_up_are_cut_at_the_end_of_the_file(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", tone(0.5))
    folder = manifest(tmp_path, "path,label,start,end\na.wav,hey,0,0.501\n")
    assert read_folder(folder)[0].segments == (Segment(0, 4000, "hey"),)


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("a.wav,hey,-1,0.2", "start -1 s"),
        ("a.wav,hey,0.4,0.2", "write 0 <= start <= end"),
        ("a.wav,hey,0.1,3", "lies outside of the recording"),
        ("a.wav,hey,0.7,0.8", "lies outside of the recording"),
        ("a.wav,hey,soon,0.8", "start is 'soon'"),
        ("a.wav,hey,nan,0.8", "start is 'nan'"),
        ("a.wav,hey,0", "3 values under 4 columns"),
        ("gone.wav,hey,0,0.1", "which is missing"),
        (",hey,0,0.1", "no path"),
    ],
)
def test_a_wrong_row_is_named_by_its_line(tmp_path: Path, row: str, complaint: str) -> None:
    write(tmp_path / "a.wav", tone(0.5))
    folder = manifest(tmp_path, f"path,label,start,end\na.wav,hey,0,0.1\n{row}\n")
    with pytest.raises(RecordingError, match=r"manifest\.csv line 3") as caught:
        read_folder(folder)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("file,label\n", "no column 'path'"),
        ("path,lable\na.wav,x\n", "did you mean 'lable'"),
        ("path,label\n", "no rows"),
    ],
)
def test_a_manifest_without_its_columns(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(RecordingError, match=complaint):
        read_folder(manifest(tmp_path, text))


def lying_wav(path: Path) -> Path:
    write(path, tone(0.1))
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.index(b"data") + 4, 1_000_000)
    path.write_bytes(data)
    return path


def damaged(path: Path) -> Path:
    write(path, tone(1.0))
    data = bytearray(path.read_bytes())
    data[len(data) // 3 :] = b"\x55" * 40
    path.write_bytes(data)
    return path


def bad_files(folder: Path) -> dict[str, Path]:
    """One file of each kind that cannot be read."""
    nan = tone(0.1)
    nan[37] = np.nan
    text = folder / "text.wav"
    text.write_text("this is no sound")
    np.savez(folder / "pickle.npz", x=np.array([{}, {}], dtype=object), fs=10)
    np.savez(folder / "no_fs.npz", x=np.zeros((4, 2)))
    np.savez(folder / "odd_fs.npz", x=np.zeros((4, 2)), fs=0.25)
    np.savez(folder / "inf.npz", x=np.array([[0.0], [np.inf]]), fs=10)
    (folder / "no_zip.npz").write_bytes(b"PK no")
    (folder / "no_time.csv").write_text("x,y\n1,2\n")
    (folder / "words.csv").write_text("time,y\n0,1\n1,two\n")
    (folder / "back.csv").write_text("time,y\n3,1\n2,1\n1,1\n")
    (folder / "song.mp3").write_bytes(b"ID3")
    return {
        "the header promises 1000000 bytes": lying_wav(folder / "lying.wav"),
        "0 samples": write(folder / "empty.wav", tone(0.0)),
        "sample 37 is nan": write(folder / "nan.wav", nan, subtype="FLOAT"),
        "text.wav: not readable as sound": text,
        "damaged.flac: not readable": damaged(folder / "damaged.flac"),
        "No such file": folder / "gone.wav",
        "x cannot be read": folder / "pickle.npz",
        "no array 'fs' (it holds x)": folder / "no_fs.npz",
        "fs is 0.25": folder / "odd_fs.npz",
        "sample 1 is inf": folder / "inf.npz",
        "not an NPZ": folder / "no_zip.npz",
        "the first column is 'x'": folder / "no_time.csv",
        "line 3: '1,two' is not all numbers": folder / "words.csv",
        "line 3: the time does not grow": folder / "back.csv",
        ".mp3 is not read": folder / "song.mp3",
    }


def test_a_file_that_cannot_be_read_is_one_line_that_names_it(tmp_path: Path) -> None:
    for complaint, path in bad_files(tmp_path).items():
        with pytest.raises(RecordingError) as caught:
            read_audio(path)
        assert complaint in str(caught.value)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def config(**labels: tuple[str, ...]) -> RecognizerConfig:
    return RecognizerConfig(
        name="test",
        rate=RATE,
        labels=labels,
        features=(),
        model=GruConfig(),
        head=ClassesConfig(),
        decoder=find("decoder", "hysteresis").config(),
    )


def test_bad_files_among_good_ones_are_left_out_with_their_reasons(tmp_path: Path) -> None:
    (tmp_path / "yes").mkdir()
    there = {complaint: path for complaint, path in bad_files(tmp_path / "yes").items() if path.exists()}
    write(tmp_path / "yes" / "good.wav", tone(0.5))
    result = summary(read_data([tmp_path]), config(yes=()))
    assert [recording.path.name for recording in result.usable] == ["good.wav"]
    reasons = "\n".join(result.lines())
    for complaint, path in there.items():
        assert any(complaint in line and str(path) in line for line in reasons.splitlines()), complaint


@pytest.mark.parametrize("name", [".", "gone", "file.txt"])
def test_no_recordings_at_all(tmp_path: Path, name: str) -> None:
    (tmp_path / "file.txt").write_text("")
    with pytest.raises(RecordingError, match=r"no recordings|no such folder|not a folder"):
        read_folder(tmp_path / name)


def test_the_summary_counts_and_warns(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    noise = [rng.uniform(-0.5, 0.5, (4000, 1)).astype(np.float32) for _ in range(4)]
    write(tmp_path / "a.wav", noise[0])
    soundfile.write(tmp_path / "b.flac", soundfile.read(tmp_path / "a.wav", dtype="int16")[0], RATE)
    write(tmp_path / "c.wav", np.clip(noise[1] * 3, -1, 1))
    write(tmp_path / "d.wav", noise[2] * 1e-4)
    write(tmp_path / "e.wav", noise[3])
    manifest(
        tmp_path,
        "path,label,speaker,split\na.wav,0,ann,train\nb.flac,0,ann,dev\nc.wav,0,bob,train\nd.wav,huh,,train\ne.wav,_noise,,train\n",
    )
    result = summary(read_data([tmp_path]), config(zero=("0",), one=("1",)))
    assert [(c.label, c.split, c.segments, c.groups) for c in result.labels] == [
        ("zero", "dev", 1, 1),
        ("zero", "train", 2, 2),
        ("_background", "train", 1, 0),
        ("_noise", "train", 1, 0),
    ]
    text = "\n".join(result.warnings)
    for part in (
        "'one' has no",
        "huh are no labels",
        "two splits",
        "1 recordings are clipped",
        "1 recordings are silent",
    ):
        assert part in text
    assert "ann stand in several splits" in text
    assert "different labels" not in text


@pytest.mark.parametrize("name", ["fsdd", "wakewords", "stream_kws_dev", "ami_vad", "hapt", "chest_accel", "mitbih"])
def test_real_folders_read_whole(name: str) -> None:
    root = os.environ.get("STREAMRNN_DATA")
    if not root or not (Path(root) / name).is_dir():
        pytest.skip(f"STREAMRNN_DATA does not hold {name}")
    data = read_data([Path(root) / name])
    assert not data.left_out
    assert all(isinstance(recording, Recording) and recording.segments for recording in data.recordings)
    for recording in data.recordings[:3]:
        assert recording.samples().shape == (recording.length, recording.channels)


def noisy_folder(folder: Path, table: str, recordings: int = 1) -> Path:
    for name in ("a.wav", "b.wav")[:recordings]:
        write(folder / name, tone(1.0))
    rows = "".join(f"{name},hey,0.2,0.4\n" for name in ("a.wav", "b.wav")[:recordings])
    (folder / "noise.csv").write_text(table)
    return manifest(folder, f"path,label,start,end\n{rows}")


def test_noise_of_the_only_recording_needs_no_path(tmp_path: Path) -> None:
    table = "start,end,noise,snr_db\n0.5,,fan,5\n0.0,0.5,none,\n"
    (recording,) = read_folder(noisy_folder(tmp_path, table))
    assert recording.noises == (Noise(0, 4000, "", math.inf), Noise(4000, 8000, "fan", 5.0))


def test_noise_of_several_recordings_says_of_which(tmp_path: Path) -> None:
    table = "path,start,end,noise,snr_db\nb.wav,0.25,0.75,fan,-3.5\n"
    by_name = {r.path.name: r.noises for r in read_folder(noisy_folder(tmp_path, table, recordings=2))}
    assert by_name == {"a.wav": (), "b.wav": (Noise(2000, 6000, "fan", -3.5),)}


def test_noise_belongs_to_the_cut_it_lies_in(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", tone(1.0))
    (tmp_path / "noise.csv").write_text("start,end,noise,snr_db\n0.25,0.75,fan,5\n")
    folder = manifest(tmp_path, "path,label,case,start,end\na.wav,hey,1,0,0.5\na.wav,hey,2,0.5,1.0\n")
    assert [r.noises for r in read_folder(folder)] == [(Noise(2000, 4000, "fan", 5.0),), (Noise(0, 2000, "fan", 5.0),)]


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (",0,1,fan,loud", "snr_db is 'loud'; write decibels, as 10"),
        (",0,1,none,5", "snr_db 5 under no noise"),
        (",1,0.5,fan,5", "write 0 <= start <= end"),
        ("c.wav,0,1,fan,5", "which is no recording here"),
        (",0,1,fan,5", "no path, and there are 2 recordings"),
    ],
)
def test_a_wrong_row_of_noise_is_named_by_its_line(tmp_path: Path, row: str, complaint: str) -> None:
    folder = noisy_folder(tmp_path, f"path,start,end,noise,snr_db\n{row}\n", recordings=2)
    with pytest.raises(RecordingError, match=r"noise\.csv line 2") as caught:
        read_folder(folder)
    assert complaint in str(caught.value)
