"""Clips as one endless stream: each at its place with its label, and what is heard belongs to the clip it begins in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tones import RATE, write_bundle

from streamrnn.engine import serving
from streamrnn.errors import RecordingError
from streamrnn.evaluation.endless import Endless, clips_right
from streamrnn.evaluation.matching import Interval
from streamrnn.evaluation.recordings import Recording, read_data
from streamrnn.evaluation.run import evaluate
from streamrnn.testing.signals import tone

PAUSE = RATE // 2


@pytest.fixture
def clips(tmp_path: Path) -> tuple[Recording, ...]:
    for label, hz in (("low", 340.0), ("high", 2200.0)):
        (tmp_path / label).mkdir()
        for i in range(3):
            soundfile.write(tmp_path / label / f"{i}.wav", tone(hz, 0.4, RATE, 0.3), RATE)
    return tuple(read_data([tmp_path]).recordings)


def test_the_stream_is_the_clips_and_the_silence_between_whatever_the_blocks(clips: tuple[Recording, ...]) -> None:
    endless = Endless(clips, PAUSE)
    whole = endless.samples()
    assert len(whole) == endless.length == sum(clip.length + 2 * PAUSE for clip in clips)
    assert np.array_equal(np.concatenate(list(endless.blocks(777))), whole)
    for segment, clip in zip(endless.segments, clips, strict=True):
        assert segment.label == clip.segments[0].label
        assert np.array_equal(whole[segment.start : segment.end], clip.samples())
        assert not whole[segment.start - PAUSE : segment.start].any()


def test_every_clip_is_right_once_and_a_second_detection_makes_it_wrong(
    clips: tuple[Recording, ...], tmp_path: Path
) -> None:
    served = serving(write_bundle(tmp_path / "tones.bundle"))
    endless = Endless(clips, PAUSE)
    (stream,) = evaluate(served, [endless]).streams
    labels = [clip.segments[0].label for clip in clips]
    assert clips_right(stream, endless, labels) == [True] * len(clips)
    again = Interval(stream.heard[2].start + 0.01, stream.heard[2].end, labels[2])
    assert clips_right(replace(stream, heard=(*stream.heard, again)), endless, labels) == [
        place != 2 for place in range(len(clips))
    ]
    assert clips_right(replace(stream, heard=stream.heard[1:]), endless, labels) == [
        place != 0 for place in range(len(clips))
    ]


def test_clips_of_two_rates_do_not_follow_one_another(clips: tuple[Recording, ...]) -> None:
    with pytest.raises(RecordingError, match="16000 Hz with 1 channels; convert them"):
        Endless((*clips, replace(clips[0], rate=16000)), PAUSE)
