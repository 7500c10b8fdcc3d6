"""Cross-validation: exactly the named group is left out, trained without and judged on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import WORDS, job, plan

from streamrnn.cli import main
from streamrnn.errors import RecordingError
from streamrnn.evaluation.recordings import Dataset, Recording
from streamrnn.training import crossval

torch.set_num_threads(1)


def speaker(recording: Recording) -> str:
    return recording.group


def test_each_fold_leaves_out_one_group_and_nothing_else(words: Path, tmp_path: Path) -> None:
    whole = job(plan(), words, tmp_path)
    folds = crossval.folds(whole, speaker, tmp_path)
    assert [fold.name for fold in folds] == ["ann", "bob", "cid"]
    for fold in folds:
        assert {recording.group for recording in fold.judged} == {fold.name}
        trained_on = fold.job.data.recordings
        assert fold.name not in {recording.group for recording in trained_on}
        assert sorted([*fold.judged, *trained_on], key=str) == sorted(whole.data.recordings, key=str)
        assert fold.job.plan == whole.plan
    assert len({fold.job.out for fold in folds}) == 3


def test_recordings_of_other_splits_are_trained_on_where_that_is_asked_for(words: Path, tmp_path: Path) -> None:
    whole = job(plan(), words, tmp_path)
    parted = [replace(each, split="dev" if each.group == "bob" else "") for each in whole.data.recordings]
    data = Dataset(tuple(parted), ())
    assert {each.split for each in crossval.taken(data, ["train"]).recordings} == {"dev", ""}
    assert {each.split for each in crossval.taken(data, ["train", "dev"]).recordings} == {"train", ""}
    with pytest.raises(RecordingError, match="--split test: no recording is in it"):
        crossval.taken(data, ["test"])


@pytest.mark.parametrize("name", ["../../etc", "a/b", "", "ä ö"])
def test_whatever_a_group_is_called_its_bundle_stays_in_the_folder(words: Path, tmp_path: Path, name: str) -> None:
    whole = job(plan(), words, tmp_path)
    key = {"ann": name, "bob": "x", "cid": "y"}
    if not name:
        with pytest.raises(RecordingError, match="do not say whose they are"):
            crossval.folds(whole, lambda recording: key[recording.group], tmp_path)
        return
    folds = crossval.folds(whole, lambda recording: key[recording.group], tmp_path)
    assert {fold.job.out.parent for fold in folds} == {tmp_path}


def test_one_group_alone_cannot_be_left_out(words: Path, tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="at least two"):
        crossval.folds(job(plan(), words, tmp_path), lambda recording: "all", tmp_path)


def command(words: Path, tmp_path: Path, *more: str) -> list[str]:
    (tmp_path / "c.yaml").write_text(WORDS)
    return ["crossval", str(tmp_path / "c.yaml"), "--data", str(words), "--by", "speaker", *more]


def two_speakers(words: Path, folder: Path) -> Path:
    import csv

    folder.mkdir()
    rows = list(csv.reader((words / "manifest.csv").read_text().splitlines()))
    kept = [rows[0], *([str(words / row[0]), *row[1:]] for row in rows[1:] if row[2] != "cid")]
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows(kept)
    return folder


def test_the_command_reports_every_fold_and_their_mean(
    words: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = two_speakers(words, tmp_path / "two")
    few = ["--set", "training.steps=3", "--jobs", "1", "--json", "--out", str(tmp_path / "folds")]
    assert main(command(data, tmp_path, *few)) == 0
    document = json.loads(capsys.readouterr().out)
    assert set(document["folds"]) == {"ann", "bob"}
    values = [report["accuracy"] for report in document["folds"].values()]
    assert document["accuracy"] == pytest.approx(sum(values) / 2)
    assert (tmp_path / "folds" / "ann.bundle").is_file()


def test_what_is_wrong_with_one_fold_is_one_line(
    words: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = two_speakers(words, tmp_path / "two")
    assert main(command(data, tmp_path, "--set", "recognizer.labels.zoom=[]", "--jobs", "1")) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("streamrnn crossval: ")]
    assert lines == ["streamrnn crossval: label 'zoom': no recording in the data; add some or take the label out"]
    assert main(command(data, tmp_path, "--jobs", "0")) == 2
    assert "--jobs 0: at least 1" in capsys.readouterr().err


def test_what_stands_beside_is_trained_on_by_every_fold_and_judged_by_none(words: Path, tmp_path: Path) -> None:
    whole = job(plan(), words, tmp_path)
    recordings = whole.data.recordings
    beside = tuple(recording for recording in recordings if recording.group == "cid")
    rest = replace(whole, data=Dataset(tuple(r for r in recordings if r.group != "cid"), ()))
    folds = crossval.folds(rest, speaker, tmp_path, beside)
    assert [fold.name for fold in folds] == ["ann", "bob"]
    for fold in folds:
        assert set(beside) <= set(fold.job.data.recordings)
        assert not set(beside) & set(fold.judged)


def test_a_number_of_folds_leaves_out_several_at_a_time_and_each_once(words: Path, tmp_path: Path) -> None:
    whole = job(plan(), words, tmp_path)
    folds = crossval.folds(whole, speaker, tmp_path, count=2)
    left_out = [{recording.group for recording in fold.judged} for fold in folds]
    assert left_out == [{"ann", "cid"}, {"bob"}]
    for fold, names in zip(folds, left_out, strict=True):
        assert not names & {recording.group for recording in fold.job.data.recordings}
    with pytest.raises(RecordingError, match="only 3"):
        crossval.folds(whole, speaker, tmp_path, count=4)
