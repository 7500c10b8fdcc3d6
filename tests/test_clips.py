"""Clips: what was detected lies in them sample by sample, nothing is kept unasked, and no disk holds up a daemon."""

from __future__ import annotations

import itertools
import json
import os
import resource
import signal
import stat
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from daemons import INGEST, RESULTS, Daemon, command, write_config
from hypothesis import given, settings
from hypothesis import strategies as st
from listed import Heeder, Listed
from test_engine import bursts, make
from test_health import HEALTH, get, needs_prometheus, place_of, until, value
from test_service import RATE, subscriber, talk, until_ended

from streamrnn import files
from streamrnn.admission import Admission
from streamrnn.chunk import STOPPED, Chunk, Ended, Gap, Item, Opened
from streamrnn.client import Control as Caller
from streamrnn.client import Pusher
from streamrnn.clips import ClipsConfig
from streamrnn.clips.clip import Clip, Record
from streamrnn.clips.folder import Folder
from streamrnn.clips.keeping import Clips
from streamrnn.config import convert
from streamrnn.control import Control
from streamrnn.daemon_config import DaemonConfig, LimitsConfig
from streamrnn.engine import Serving
from streamrnn.errors import ConfigError, DeviceError
from streamrnn.events import BundleRef, Heard, event_id
from streamrnn.files import lossless
from streamrnn.hearing import Here
from streamrnn.intake import Intake
from streamrnn.metrics import Meter
from streamrnn.publisher import Publisher
from streamrnn.sources import SourceConfig
from streamrnn.statefile import Kept
from streamrnn.streams import Streams
from streamrnn.wire import Message, Moment

BEFORE, AFTER = 0.1, 0.15  # seconds
DAY_NS = 86_400 * 10**9
MINE = "mine"  # in files that are no clips


class Room:
    """Engine, streams, publisher and clips as a daemon wires them, without its loop."""

    def __init__(self, servings: Sequence[Serving], config: ClipsConfig) -> None:
        self.intake = Intake()
        self.control = Control(self.intake.bell)
        self.clips = Clips(config, Meter(), self.control)
        self.heeder = Heeder()
        self.engine = Here(servings)
        self.publisher = Publisher((self.heeder, *self.clips.open()), [each.ref for each in servings])
        self.streams = Streams(self.engine, self.publisher, Admission(LimitsConfig(max_streams=8)), Kept(1), self.clips)
        self.inlet = self.intake.add(Listed([]), SourceConfig())

    def hear(self, items: Sequence[Item]) -> None:
        """A turn of the daemon's loop."""
        for item in items:
            self.streams.hear(self.inlet, item)
        for event in self.engine.run():
            self.publisher.event(event)
        self.streams.settle()

    def close(self) -> str:
        loss = self.clips.close(5.0)
        self.control.close()
        self.intake.bell.close()
        return loss

    @property
    def told(self) -> list[Message]:
        return [each for each in self.heeder.messages if isinstance(each.body, Heard)]


def keep(directory: Path, **more: Any) -> ClipsConfig:
    return ClipsConfig(str(directory), before_s=BEFORE, after_s=AFTER, **{"longest_s": 1.0, **more})


def records(directory: Path) -> dict[str, tuple[Record, np.ndarray]]:
    """By the event's id: what is written of each clip, and its samples."""
    found = {}
    for path in [path for path in directory.glob("*.json") if path.is_file() and path.read_text() != MINE]:
        record = msgspec.json.decode(path.read_bytes(), type=Record)
        assert Path(record.file).stem == path.stem
        samples = files.read(directory / record.file, 0, record.end - record.first)
        found[json.loads(bytes(record.event))["id"]] = record, samples
    return found


def pieces(samples: np.ndarray, cuts: Sequence[int], stream: str = "a", start: int = 0) -> Iterator[Item]:
    for first, end in itertools.pairwise([0, *sorted({cut for cut in cuts if 0 < cut < len(samples)}), len(samples)]):
        yield Chunk(stream, start + first, samples[first:end])


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_a_clip_holds_the_samples_of_the_source_for_any_chunks_and_gaps(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    directory = tmp_path_factory.mktemp("clips")
    samples = bursts(data.draw(st.integers(0, 3)))
    if data.draw(st.booleans()):
        samples = samples.astype(np.float16).astype(np.float32)  # what FLAC can hold
    count = len(samples)
    spoilt = samples.copy()
    bad = data.draw(st.lists(st.integers(0, count - 1), max_size=2))
    spoilt[bad] = np.nan
    lost = sorted(data.draw(st.lists(st.integers(1, count - 1), min_size=2, max_size=2)))
    lost = lost if data.draw(st.booleans()) else [count, count]
    declared = data.draw(st.booleans())
    cuts = data.draw(st.lists(st.integers(1, count - 1), max_size=40))
    items: list[Item] = [Opened("a", 8000, 1), *pieces(spoilt[: lost[0]], cuts)]
    if lost[0] < lost[1]:
        items += [Gap("a", lost[0], lost[1], "dropped")] if declared else []
        items += pieces(spoilt[lost[1] :], cuts, start=lost[1])
    for _ in range(data.draw(st.integers(0, 3))):  # some come twice, with what comes next
        at = data.draw(st.integers(1, len(items) - 1))
        again = items[at]
        if isinstance(again, Chunk):
            items.insert(at + 1, again)
    items.append(Ended("a"))
    turns = sorted({*data.draw(st.lists(st.integers(1, len(items)), max_size=10)), len(items)})

    room = Room([make()], keep(directory))
    for first, end in itertools.pairwise([0, *turns]):
        room.hear(items[first:end])
    assert room.close() == ""
    found = records(directory)
    assert set(found) == {each.id for each in room.told}
    if not bad and lost[0] == count:
        assert len(found) == 4
    missing = np.isnan(spoilt[:, 0])
    missing[lost[0] : lost[1]] = True
    for message in room.told:
        heard = message.body
        assert isinstance(heard, Heard)
        record, kept = found[message.id]
        holes = np.flatnonzero(missing)
        run = max([0, *(int(hole) + 1 for hole in holes if hole < heard.start)])
        over = min([count, *(int(hole) for hole in holes if hole >= heard.start)])
        asked = heard.start - round(BEFORE * 8000), heard.end + round(AFTER * 8000)
        assert (record.first, record.end) == (max(asked[0], run), min(asked[1], over))
        np.testing.assert_array_equal(kept, samples[record.first : record.end])
        assert record.cut_before == ("" if record.first == asked[0] else "gap" if run else "start")
        assert record.cut_after == ("" if record.end == asked[1] else "gap" if over < count else "end")
        assert (record.rate, record.channels, record.sha) == (8000, 1, message.bundle.sha)
        assert msgspec.json.decode(record.event, type=dict)["body"]["start"] == heard.start
    assert room.clips._reserved == 0


@settings(max_examples=40, deadline=None)
@given(
    channels=st.integers(1, 4),
    rate=st.sampled_from([1, 50, 8000, 16_000, 48_000, 500_000]),
    kind=st.sampled_from(["int16", "int24", "float", "loud"]),
    count=st.integers(1, 200),
    seed=st.integers(0, 99),
)
def test_files_give_back_every_sample(
    tmp_path_factory: pytest.TempPathFactory, channels: int, rate: int, kind: str, count: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    samples = random.uniform(-1, 1, (count, channels)).astype(np.float32)
    steps = {"int16": 1 << 15, "int24": 1 << 23}.get(kind)
    if steps:
        samples = (random.integers(-steps, steps, (count, channels)) / steps).astype(np.float32)
    elif kind == "loud":
        samples *= np.float32(1e9)
    suffix, contents = lossless.encode(samples, rate)
    path = tmp_path_factory.mktemp("files") / f"x{suffix}"
    path.write_bytes(contents)
    there = files.header(path)
    assert (there.rate, there.channels, there.length) == (rate, channels, count)
    np.testing.assert_array_equal(files.read(path, 0, count), samples)
    if channels < 3 and 1000 <= rate <= 192_000 and steps:
        assert suffix == ".flac"


def test_an_event_that_was_told_late_is_cut_and_one_of_many_channels_is_kept(tmp_path: Path) -> None:
    samples = np.repeat(bursts(1), 6, axis=1)
    room = Room([make(channels=6)], keep(tmp_path, longest_s=0.01))
    room.hear([Opened("a", 8000, 6), *pieces(samples, range(0, len(samples), 700)), Ended("a")])
    room.close()
    found = records(tmp_path)
    assert len(found) == 4
    for message in room.told:
        record, kept = found[message.id]
        assert record.file.endswith(".npz")
        np.testing.assert_array_equal(kept, samples[record.first : record.end])
        assert record.cut_before == "longest"
        assert record.first == message.t.sample - round((BEFORE + 0.01) * 8000)


def test_streams_of_one_name_one_after_the_other_in_one_turn_keep_their_own_samples(tmp_path: Path) -> None:
    talks = [bursts(seed) for seed in range(3)]
    items: list[Item] = []
    for samples in talks:
        items += [Opened("a", 8000, 1), *pieces(samples, range(0, len(samples), 999)), Ended("a")]
    room = Room([make()], keep(tmp_path))
    room.hear(items)
    room.close()
    found = records(tmp_path)
    assert len(found) == 12
    for message in room.told:
        record, kept = found[message.id]
        np.testing.assert_array_equal(kept, talks[message.epoch][record.first : record.end])


def test_memory_and_what_it_cannot_hold_are_bounded(tmp_path: Path) -> None:
    room = Room([make(channels=6)], keep(tmp_path, memory_bytes=1 << 20, longest_s=3.5))
    samples = bursts(2)
    long = np.concatenate([np.repeat(samples, 6, axis=1)] * 8)
    room.hear([Opened("a", 8000, 6), Opened("b", 8000, 6)])  # one of them finds no room
    for stream in ("a", "b"):
        for item in pieces(long, range(0, len(long), 8000), stream):
            room.hear([item])
            held = sum(len(block) for block in room.clips._tapes[stream][-1]._runs[-1]._blocks)
            assert held * 6 * 4 <= room.clips._reserved <= 1 << 20
            until(lambda: room.clips._handed == room.clips._let_go)
        room.hear([Ended(stream)])
    by_stream = {stream: [each.id for each in room.told if each.stream == stream] for stream in ("a", "b")}
    assert len(by_stream["a"]) == len(by_stream["b"]) > 25
    room.close()
    kept = records(tmp_path)
    for record, there in kept.values():
        np.testing.assert_array_equal(there, long[record.first : record.end])
    assert [kept[each][0].cut_before for each in by_stream["a"]] == [""] * len(by_stream["a"])
    found = set(kept)
    assert set(by_stream["a"]) <= found
    # As soon as the first is over there is room for the other, from the end of its next chunk on.
    assert 0 < len(set(by_stream["b"]) - found) < 10

    small = Room([make()], keep(tmp_path / "small", memory_bytes=1 << 20, longest_s=60.0))
    small.hear([Opened("a", 8000, 1), *pieces(samples, [4000]), Ended("a")])
    assert small.close() == "4 clips lost: memory_bytes is used up"


def test_only_what_is_asked_for_is_kept(tmp_path: Path) -> None:
    samples = bursts(1)
    off = Room([make()], ClipsConfig())
    off.hear([Opened("a", 8000, 1), *pieces(samples, [4000]), Ended("a")])
    assert len(off.told) == 4
    assert off.close() == ""
    assert not off.clips.taps

    shadow = msgspec.structs.replace  # a shadow hears the same and none of it is kept
    asked = Room([make()], keep(tmp_path, start="when_asked"))
    asked.hear([Opened("a", 8000, 1), Opened("b", 8000, 1)])
    asked.clips._turn_on("b")
    for stream in ("a", "b"):
        asked.hear([*pieces(samples, range(0, len(samples), 800), stream)])
    last = [each for each in asked.told if each.stream == "b"][-1]
    ref = BundleRef(last.bundle.name, last.bundle.sha, shadow=True)
    asked.clips.publish(shadow(last, bundle=ref, id="0" * 16), [b"", b"{}"])
    asked.clips._turn_off("b")
    asked.hear([*pieces(samples, range(0, len(samples), 800), "b", start=len(samples)), Ended("a"), Ended("b")])
    asked.close()
    found = records(tmp_path)
    assert {json.loads(bytes(record.event))["stream"] for record, _ in found.values()} == {"b"}
    assert 3 <= len(found) <= 4  # what came after it was turned off is not kept, nor what waited then
    assert asked.clips._reserved == 0


def test_a_stream_that_is_suspended_ends_its_clips(tmp_path: Path) -> None:
    samples = bursts(1)
    room = Room([make()], keep(tmp_path))
    whole = Room([make()], ClipsConfig())
    whole.hear([Opened("a", 8000, 1), Chunk("a", 0, samples), Ended("a")])
    whole.close()
    end = whole.told[0].t.sample + 200
    room.hear([Opened("a", 8000, 1, run="r"), Chunk("a", 0, samples[:end])])
    assert not records(tmp_path)
    room.hear([Ended("a", STOPPED)])
    room.close()
    ((record, kept),) = records(tmp_path).values()
    assert (record.cut_after, record.end) == ("end", end)
    np.testing.assert_array_equal(kept, samples[record.first : end])


def clip(number: int, *, days_ago: float = 0.0, length: int = 1000, stream: str = "mic") -> Clip:
    """A clip of noise, told so long ago."""
    at = time.time_ns() - round(days_ago * DAY_NS)
    name = event_id(stream, "sha", 0, "low", number)
    message = Message(
        1, "detection", stream, BundleRef("b", "sha"), "run", 0, 1, Moment(number, 8000, 1, at), "warm", 0, name,
        Heard("low", number, number + 1, 8000, 0.9),
    )  # fmt: skip
    samples = np.random.default_rng(number).uniform(-1, 1, (length, 1)).astype(np.float32)
    return Clip(message, msgspec.json.encode(message), number, 8000, samples, "", "")


def test_the_oldest_go_by_number_by_bytes_and_by_age_and_other_files_stay(tmp_path: Path) -> None:
    others = ["notes.txt", "x.json", "99999999T999999.000000Z-mic-0123456789abcdef.json", ".hidden.part", "a.flac"]
    for other in others:
        (tmp_path / other).write_text(MINE)
    folder = Folder(keep(tmp_path, max_clips=3))
    for number in range(5):
        folder.write(clip(number, days_ago=1 - number / 100))
    folder.write(clip(4))  # told again: it is there
    assert (folder.count, folder.written, folder.removed) == (3, 5, 2)
    assert set(records(tmp_path)) == {clip(number).message.id for number in (2, 3, 4)}
    there = [path for path in tmp_path.iterdir() if path.name not in (*others, "lock")]
    assert len(there) == 6
    assert folder.bytes == sum(path.stat().st_size for path in there)
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in there)
    in_order = sorted(tmp_path.glob("2*.json"))
    assert [json.loads(path.read_text())["first"] for path in in_order] == [2, 3, 4]
    folder.close()

    # After a restart: what is there is counted, what was left half done goes, an age is kept and what is no file stays.
    stem = there[0].stem
    (tmp_path / f".{stem}.wav.part").write_text("half")
    alone = "20260101T000000.000000Z-mic-0123456789abcdef.wav"
    (tmp_path / alone).write_text("no record")
    (tmp_path / "20200101T000000.000000Z-mic-0123456789abcdef.json").mkdir()
    with_age = Folder(keep(tmp_path, max_age_days=0.965))
    assert with_age.count == 1
    assert set(records(tmp_path)) == {clip(4).message.id}
    assert not (tmp_path / alone).exists()
    assert all((tmp_path / other).read_text() == MINE for other in others)
    with pytest.raises(DeviceError, match="in use by another daemon; give each a directory"):
        Folder(keep(tmp_path))
    with_age.close()

    small = Folder(keep(tmp_path, max_bytes=1 << 20))
    for number in range(10, 40):
        small.write(clip(number, length=30_000))
        assert small.bytes <= 1 << 20
    assert 6 <= small.count < 30
    with pytest.raises(OSError, match="more than max_bytes"):
        small.write(clip(50, length=400_000))
    small.close()


def test_a_folder_that_is_made_is_its_owners_alone_and_one_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    Folder(keep(tmp_path / "a" / "b")).close()
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
    (tmp_path / "file").write_text("")
    with pytest.raises(DeviceError, match="choose a directory it may write to"):
        Folder(keep(tmp_path / "file"))


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder(keep(tmp_path))
    folder.write(clip(1))
    before = sorted(os.listdir(tmp_path))
    sync, left = os.fsync, [1]

    def full(handle: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, os.strerror(28))
        sync(handle)

    monkeypatch.setattr(os, "fsync", full)
    for room in range(3):  # at the samples, the record, and the folder itself
        left[0] = room
        with pytest.raises(OSError, match="No space left"):
            folder.write(clip(2))
        assert sorted(os.listdir(tmp_path)) == before
    left[0] = 99
    folder.write(clip(2))
    assert folder.count == 2
    folder.close()


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"directory": "c", "before_s": -1}, "clips.before_s: -1: write a number"),
        ({"directory": "c", "before": 1}, "clips.before: unknown key; did you mean 'before_s'"),
        ({"directory": "c", "kinds": []}, "clips.kinds: empty"),
        ({"directory": "c", "kinds": ["alarms"]}, r"clips.kinds\[0\]: 'alarms': use one of detection, segment, alarm"),
        ({"directory": "c", "max_bytes": 10}, "clips.max_bytes: 10"),
        ({"max_clips": 10}, "clips.directory: missing; name a folder"),
    ],
)
def test_a_section_that_is_wrong_is_one_line(section: dict[str, Any], told: str) -> None:
    document = {"bundles": [{"path": "x"}], "sources": [INGEST], "sinks": [{"kind": "console"}], "clips": section}
    with pytest.raises(ConfigError, match=told) as error:
        convert(document, DaemonConfig)
    assert "\n" not in str(error.value)


@needs_prometheus
def test_a_daemon_keeps_clips_over_a_restart_and_a_full_disk_costs_only_them(tmp_path: Path, tiny_bundle: Path) -> None:
    directory = tmp_path / "clips"
    section = {"directory": str(directory), "before_s": 0.3, "after_s": 0.2}
    config = write_config(tmp_path / "d.yaml", tiny_bundle, [INGEST], [RESULTS], clips=section, health=HEALTH)
    samples = talk(3)

    def play(daemon: Daemon, stream: str) -> list[Message]:
        with subscriber(daemon) as listening:
            with Pusher(daemon.ingest, stream=stream, rate=RATE, dtype="int16") as pusher:
                for start in range(0, len(samples), 1000):
                    pusher.push(samples[start : start + 1000])
            return [each for each in until_ended(listening, 1) if each.kind == "detection"]

    def check(told: list[Message]) -> None:
        until(lambda: {each.id for each in told} <= set(records(directory)))
        found = records(directory)
        for message in told:
            record, kept = found[message.id]
            assert isinstance(message.body, Heard)
            assert record.first == max(0, message.body.start - round(0.3 * RATE))
            assert record.file.endswith(".flac")
            np.testing.assert_array_equal(kept, samples[record.first : record.end])
            assert bytes(record.event) == msgspec.json.encode(message)

    with Daemon(config) as daemon:
        assert any(line.endswith(f"results to clips in {directory}") for line in daemon.said)
        first = play(daemon, "one")
        assert len(first) == 4
        check(first)
        with Caller(daemon.control) as caller:
            told = caller.call("clips")
            assert (told["clips"], told["written"], told["lost"]) == (4, 4, 0)
            assert caller.call("clips_off", stream="mute") == {"stream": "mute", "clips": False}
            assert len(play(daemon, "mute")) == 4
            assert caller.call("clips")["clips"] == 4
        place = place_of(daemon)
        until(lambda: value(get(place, "/metrics")[1], 'streamrnn_clips_total{outcome="written"}') == 4)
        # A file may not grow beyond this: as on a full disk, and then there is room again.
        _, most = resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (100, most))
        assert len(play(daemon, "full")) == 4
        until(lambda: value(get(place, "/metrics")[1], 'streamrnn_clips_total{outcome="lost"}') == 4)
        resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (most, most))
        check(play(daemon, "two"))
        assert len(records(directory)) == 8
        assert daemon.stop() < 4
        assert any("4 clips lost: File too large" in line for line in daemon.said)
        assert not list(directory.glob(".*"))
    with Daemon(config) as daemon:
        check(play(daemon, "three"))
        with Caller(daemon.control) as caller:
            assert (caller.call("clips")["clips"], caller.call("clips")["written"]) == (12, 4)
        daemon.process.send_signal(signal.SIGKILL)
        daemon.process.wait()
    with Daemon(config) as daemon, Caller(daemon.control) as caller:
        assert caller.call("clips")["clips"] == 12


def test_without_the_section_a_daemon_keeps_nothing(tmp_path: Path, tiny_bundle: Path) -> None:
    config = write_config(tmp_path / "d.yaml", tiny_bundle, [INGEST], [RESULTS])
    with Daemon(config, cwd=tmp_path) as daemon, subscriber(daemon) as listening:
        with Pusher(daemon.ingest, stream="one", rate=RATE) as pusher:
            pusher.push(talk(3))
        until_ended(listening, 1)
        with Caller(daemon.control) as caller, pytest.raises(Exception, match="the config keeps no clips"):
            caller.call("clips_on", stream="one")
        daemon.stop()
    assert os.listdir(tmp_path) == ["d.yaml"]


def test_two_daemons_do_not_share_a_folder(tmp_path: Path, tiny_bundle: Path) -> None:
    section = {"directory": str(tmp_path / "clips")}
    config = write_config(tmp_path / "d.yaml", tiny_bundle, [INGEST], [RESULTS], clips=section)
    with Daemon(config):
        other = subprocess.run(command("serve", config), capture_output=True, text=True, timeout=20, check=False)
    assert other.returncode == 2
    assert "in use by another daemon; give each a directory" in other.stderr.splitlines()[-1]
