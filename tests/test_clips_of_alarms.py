"""Clips of alarms, as of words: the samples of all channels around what was unexpected; and what a dashboard shows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from test_clips import Room, keep, records
from test_engine import make
from test_units import SERVICES, expressions

from streamrnn.chunk import Chunk, Ended, Opened
from streamrnn.events import Alarm, Blame, Event, event_id


@pytest.mark.parametrize(("kinds", "clips"), [(("alarm",), 1), (("detection", "segment"), 0)])
def test_an_alarm_has_a_clip_if_it_is_asked_for(tmp_path: Path, kinds: tuple[str, ...], clips: int) -> None:
    samples = np.random.default_rng(1).normal(size=(8000, 3)).astype(np.float32)
    room = Room([make()], keep(tmp_path, kinds=kinds))
    room.hear([Opened("pump", 8000, 3), Chunk("pump", 0, samples)])
    ref = room.engine.servings[0].ref
    body = Alarm("unexpected", 3000, 3400, 8000, 0.8, (Blame(1, 0.0, 9.0, 9.0),))
    name = event_id("pump", ref.sha, 0, "alarm unexpected", 3000)
    room.publisher.event(Event("alarm", "pump", ref, 0, 3400, 8000, "warm", name, body))
    room.hear([Ended("pump")])
    assert room.close() == ""
    found = {key: each for key, each in records(tmp_path).items() if key == name}
    assert len(found) == clips
    for record, kept in found.values():
        assert (record.first, record.end) == (3000 - 800, 3400 + 1200)
        np.testing.assert_array_equal(kept, samples[record.first : record.end])
        assert json.loads(bytes(record.event))["body"]["channels"][0]["channel"] == 1


def test_the_dashboard_shows_clips_and_what_is_wrong_with_what_is_kept() -> None:
    shown = " ".join(expressions(json.loads((SERVICES / "grafana-dashboard.json").read_text())))
    for name in ("clips_total", "store_trouble", "store_unreadable", "source_away"):
        assert f"streamrnn_{name}" in shown
