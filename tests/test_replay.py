"""Replay: a clip with its state gives its event again, whatever came before; one that is not whole is one line."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_bundles import MAKES, recording, write_bundle
from test_clips import Room, keep, pieces
from test_engine import bursts, make

from streamrnn import bundle, cli, engine
from streamrnn.chunk import Chunk, Ended, Gap, Item, Opened
from streamrnn.clips import replaying
from streamrnn.decoders import EndpointConfig, HysteresisConfig, SegmentsConfig
from streamrnn.detector import as_samples
from streamrnn.engine import Serving
from streamrnn.errors import UserError

EVERY_S = 0.1
DECODERS: list[Any] = [
    HysteresisConfig(smooth_ms=30, enter=0.5, leave=0.3, refractory_ms=50),
    SegmentsConfig(smooth_ms=30, enter=0.5, leave=0.3, min_frames=2),
    EndpointConfig(smooth_ms=30, enter=0.5, leave=0.3),
]


def remembering(directory: Path, **more: Any) -> Any:
    return keep(directory, kinds=("detection", "segment", "alarm"), state_every_s=EVERY_S, **more)


def heard_again(directory: Path, serving: Serving) -> list[str]:
    """The ids of the events whose clips have a state; each of them is heard again."""
    ids = []
    for path in sorted(directory.glob("*.json")):
        if json.loads(path.read_text())["state"]:
            evidence = replaying.read(path)
            heard = replaying.hear(evidence, serving)
            assert replaying.again(evidence.told, heard), (evidence.told, heard)
            ids.append(evidence.told.id)
    return ids


@pytest.fixture(scope="module", autouse=True)
def _quick_disk() -> Iterator[None]:
    """What is synced to the disk, and when, test_clips.py sees to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_every_event_is_heard_again_for_any_chunks_gaps_resets_and_rates(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    directory = tmp_path_factory.mktemp("clips")
    rate = data.draw(st.sampled_from([8000, 16_000, 11_025]))
    delay = data.draw(st.sampled_from([0, 130]))
    serving = make(decoder=data.draw(st.sampled_from(DECODERS)), delay=delay)
    samples = bursts(data.draw(st.integers(0, 3)), rate)
    count = len(samples)
    samples[data.draw(st.lists(st.integers(0, count - 1), max_size=2))] = np.nan
    lost = sorted(data.draw(st.lists(st.integers(1, count - 1), min_size=2, max_size=2)))
    lost = lost if data.draw(st.booleans()) else [count, count]
    cuts = data.draw(st.lists(st.integers(1, count - 1), max_size=40))
    items: list[Item] = [Opened("a", rate, 1), *pieces(samples[: lost[0]], cuts)]
    if lost[0] < lost[1]:
        items += [Gap("a", lost[0], lost[1], "dropped")] if data.draw(st.booleans()) else []
        items += pieces(samples[lost[1] :], cuts, start=lost[1])
    items.append(Ended("a"))
    turns = sorted({*data.draw(st.lists(st.integers(1, len(items)), max_size=20)), len(items)})
    reset = data.draw(st.sampled_from(turns)) if data.draw(st.booleans()) else 0
    room = Room([serving], remembering(directory, longest_s=data.draw(st.sampled_from([0.01, 1.0]))))
    begun = 0
    for end in turns:
        room.hear(items[begun:end])
        begun = end
        if end == reset and room.engine.streams:
            room.streams.reset("a")
    assert room.close() == ""
    ids = heard_again(directory, serving)
    # Without a longest time that is too short to be kept each event has a state.
    told = [each.id for each in room.told]
    assert set(ids) == set(told) or room.clips._config.longest_s < 1.0
    assert room.clips._reserved == 0


def test_what_is_remembered_is_bounded_with_the_samples(tmp_path: Path) -> None:
    """A stream that finds no room for its state has clips without one."""
    samples = bursts(2)
    serving = make()
    # A tape of one stream, and hardly more.
    room = Room([serving], remembering(tmp_path, longest_s=25.0, memory_bytes=1 << 20))
    serving.initial["level"] = np.zeros((1, 1), np.float32)
    room.hear([Opened("a", 8000, 1)])
    (tape,) = room.clips._tapes["a"]
    limit = room.clips._config.memory_bytes
    assert tape.nbytes == room.clips._reserved <= limit
    for item in pieces(np.concatenate([samples] * 8), range(0, 8 * len(samples), 800)):
        room.hear([item])
        assert room.clips._reserved == tape.nbytes <= limit
    kept = [each.expected for each in tape.snapshots._kept]
    assert all(800 <= later - earlier <= 1600 for earlier, later in itertools.pairwise(kept))
    assert kept[0] >= tape._counts.expected - tape.spans.room(8000) - 800
    room.hear([Ended("a")])
    room.close()
    assert room.clips._reserved == 0


def kept(directory: Path, kind: str) -> tuple[Path, Serving]:
    """A folder of clips of a made bundle, and what tells of it."""
    there = write_bundle(directory / f"{kind}.bundle", kind)
    serving = engine.serving(there)
    room = Room([serving], remembering(directory / "clips", longest_s=30.0))
    room.clips.know([there])
    samples = as_samples(recording(kind))
    _, rate, channels, *_ = MAKES[kind]
    room.hear([Opened("s", rate, channels)])
    for start in range(0, len(samples), 997):
        room.hear([Chunk("s", start, samples[start : start + 997])])
    room.hear([Ended("s")])
    room.close()
    return directory / "clips", serving


@pytest.mark.parametrize("kind", MAKES)
def test_a_kept_event_is_the_same_by_the_command(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clips, serving = kept(tmp_path, kind)
    assert len(heard_again(clips, serving)) > 6
    clip = sorted(clips.glob("*.json"))[-1]
    assert cli.main(["replay", str(clip)]) == 0
    assert capsys.readouterr().out.endswith("the same event\n")
    assert cli.main(["replay", str(clip.with_suffix(".npz" if kind != "ecg" else ".state")), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["same"]
    assert document["told"]["id"] in [each["id"] for each in document["heard"]]


def refused(words: Sequence[object], capsys: pytest.CaptureFixture[str]) -> str:
    """What a command says that is refused, in one line."""
    assert cli.main([str(word) for word in words]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = shown.err.splitlines()
    return line


def test_why_it_cannot_be_heard_again_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clips, _ = kept(tmp_path, "alarm")
    clip = sorted(clips.glob("*.json"))[-1]
    other = write_bundle(tmp_path / "other.bundle", "activity").path
    line = refused(["replay", clip, "--bundle", other], capsys)
    assert f"is bundle {bundle.read(other).sha[:12]}, and the event was told by alarm" in line
    moved = (tmp_path / "alarm.bundle").rename(tmp_path / "moved.bundle")
    assert "No such file" in refused(["replay", clip], capsys)
    assert cli.main(["replay", str(clip), "--bundle", str(moved)]) == 0
    capsys.readouterr()
    renamed = clip.with_name("mine.json")
    renamed.write_bytes(clip.read_bytes())
    assert "it was renamed or altered" in refused(["replay", renamed], capsys)
    assert "give the .json of a clip" in refused(["replay", tmp_path / "nothing.json"], capsys)
    assert "no record of a clip" in refused(["replay", moved], capsys)
    without = Room([make()], keep(tmp_path / "without"))
    samples = bursts(1)
    without.hear([Opened("a", 8000, 1), *pieces(samples, [4000]), Ended("a")])
    without.close()
    line = refused(["replay", next((tmp_path / "without").glob("*.json"))], capsys)
    assert "set clips.state_every_s in the daemon's config" in line


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_file_that_is_cut_or_flipped_is_refused_by_a_user_error(
    replayable: tuple[Path, Serving], data: st.DataObject
) -> None:
    clip, _ = replayable
    path = clip.with_suffix(data.draw(st.sampled_from([".json", ".npz", ".state"])))
    whole = path.read_bytes()
    damaged = bytearray(whole)
    if data.draw(st.booleans()):
        del damaged[data.draw(st.integers(0, len(whole) - 1)) :]
    else:
        for _ in range(data.draw(st.integers(1, 3))):
            damaged[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        path.write_bytes(damaged)
        if bytes(damaged) != whole:
            with pytest.raises(UserError) as error:
                replaying.read(clip)
            assert "\n" not in str(error.value)
            assert str(path.stem) in str(error.value)
    finally:
        path.write_bytes(whole)


@pytest.fixture(scope="module")
def replayable(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Serving]:
    clips, serving = kept(tmp_path_factory.mktemp("kept"), "alarm")
    return sorted(clips.glob("*.json"))[-1], serving


def test_another_answer_is_told_and_is_no_success(
    replayable: tuple[Path, Serving], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A machine that computes something else: here one that hears every sample a little louder."""
    clip, _ = replayable
    opened = bundle.open_step

    def louder(there: Any, backend: str) -> Any:
        step = opened(there, backend)
        return lambda samples, state: step(samples * np.float32(1.3), state)

    monkeypatch.setattr(bundle, "open_step", louder)
    assert cli.main(["replay", str(clip)]) == 1
    assert "another event: nothing of what was heard is the one that was told" in capsys.readouterr().out


def test_a_bundle_of_forecasts_is_held_to_the_law_by_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its decoder takes forecasts, which no random posteriors are, and is on probation for long."""
    there = write_bundle(tmp_path / "alarm.bundle", "alarm")
    assert cli.main(["check", str(there.path)]) == 0
    assert capsys.readouterr().out.count("ok  ") == 3
