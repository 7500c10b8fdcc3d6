"""The engine: the same events as the whole recording at once, for any chunks, company, rates, gaps and backlog."""

from __future__ import annotations

import dataclasses
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrnn import decoders
from streamrnn.decoders import EndpointConfig, HysteresisConfig, SegmentsConfig
from streamrnn.engine import Engine, Serving
from streamrnn.errors import ConfigError, StreamError
from streamrnn.events import Event, Heard, Lost, same
from streamrnn.recognizer import ClassesConfig, FrameConfig, GruConfig, Recognizer, RecognizerConfig
from streamrnn.testing import check_step
from streamrnn.testing.signals import silence, tone

COLUMNS = ("_background", "loud", "soft")


class Loudness:
    """A step under the law: the energy of each hop through a leaky integrator, and how loud or soft that is."""

    def __init__(self, hop: int) -> None:
        self.hop = hop
        self.initial = {"level": np.zeros((1, 1), np.float32), "hops": np.zeros((1, 1), np.float32)}
        self.calls: list[tuple[int, ...]] = []

    def __call__(self, samples: np.ndarray, state: dict[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        self.calls.append(samples.shape)
        energy = (samples * samples).reshape(len(samples), -1, self.hop * samples.shape[2]).mean(axis=2)
        level, levels = state["level"][:, 0], []
        for hop in range(energy.shape[1]):
            level = (np.float32(0.7) * level + np.float32(0.3) * energy[:, hop]).astype(np.float32)
            levels.append(level)
        loud = np.stack(levels, axis=1) / np.float32(0.01)
        loud = loud / (1 + loud)
        soft = (1 - loud) * loud
        after = {"level": level[:, None], "hops": state["hops"] + np.float32(energy.shape[1])}
        return np.stack([1 - loud - soft, loud, soft], axis=2), after


def make(
    name: str = "bursts", *, rate: int = 8000, hop: int = 80, decoder: Any = None, delay: int = 0, channels: int = 1
) -> Serving:
    decoder = decoder or HysteresisConfig(smooth_ms=30, enter=0.5, leave=0.3, refractory_ms=50)
    config = RecognizerConfig(
        name=name,
        rate=rate,
        channels=channels,
        labels={"loud": (), "soft": ()},
        features=(FrameConfig(),),
        model=GruConfig(),
        head=ClassesConfig(),
        decoder=decoder,
    )
    recognizer = Recognizer(config=config, columns=COLUMNS, hop=hop, delay=delay, warm_up=100)
    step = Loudness(hop)
    return Serving(name, f"sha-{name}", recognizer, step, step.initial, decoders.build(decoder, recognizer))


def bursts(seed: int, rate: int = 8000, count: int = 4) -> np.ndarray:
    """Low tones `(time, 1)` that sound the same at any rate, in silence of which the last is of any length."""
    random = np.random.default_rng(seed)
    parts = [silence(0.2, rate)]
    for _ in range(count):
        parts += [tone(random.uniform(300, 700), 0.12, rate, random.uniform(0.25, 0.35)), silence(0.2, rate)]
    return np.concatenate([*parts, np.zeros((int(random.integers(0, 500)), 1), np.float32)])


def offline(serving: Serving, samples: np.ndarray, rate: int) -> list[tuple[str, str, int, int, int, float]]:
    """What the whole recording gives in one call, without the engine: kind, label, start, end, sample, score."""
    hop, model_rate = serving.recognizer.hop, serving.recognizer.rate
    total = len(samples)
    if rate != model_rate:
        stream = soxr.ResampleStream(rate, model_rate, samples.shape[1], dtype="float32", quality="MQ")
        samples = stream.resample_chunk(samples, last=True)
    if len(samples) < hop:
        return []
    frames = -(-len(samples) // hop) + -(-serving.recognizer.delay // hop) + serving.decoder.delay
    padded = np.zeros((1, frames * hop, samples.shape[1]), np.float32)
    padded[0, : len(samples)] = samples
    posteriors, _ = serving.step(padded, serving.initial)
    found, track = serving.decoder(posteriors, serving.decoder.initial_track(1))
    found = found + serving.decoder.finish(track)

    def source(frame: int) -> int:
        return min(total, int(frame * hop * rate / model_rate + 0.5))

    return [
        (
            each.kind,
            COLUMNS[each.column],
            min(source(each.start), source(each.end) - 1),
            source(each.end),
            source(each.frame + 1),
            round(each.score, 4),
        )
        for each in found
    ]


def plain(events: Sequence[Event], stream: str, bundle: str = "bursts") -> list[Any]:
    """Events of one stream and bundle as `offline` gives them; gaps as (kind, reason, start, end)."""
    listed: list[Any] = []
    for event in events:
        if event.stream == stream and event.bundle.name == bundle:
            body = event.body
            if isinstance(body, Heard):
                listed.append((event.kind, body.label, body.start, body.end, event.sample, body.score))
            else:
                listed.append((event.kind, body.reason, body.start, body.end))
    return listed


def agree(left: list[Any], right: list[Any]) -> bool:
    """Whether two lists as of `plain` are the same events: scores within 1e-4."""
    if [each[:-1] for each in left] != [each[:-1] for each in right]:
        return False
    return all(abs(one[-1] - other[-1]) < 2.5e-4 for one, other in zip(left, right, strict=True))


def heard_whole(serving: Serving, samples: np.ndarray, rate: int = 8000) -> list[Event]:
    engine = Engine([serving])
    engine.open("mic", rate, samples.shape[1])
    engine.push("mic", 0, samples)
    engine.finish("mic")
    return engine.run()


def assert_same(left: Sequence[Event], right: Sequence[Event]) -> None:
    assert len(left) == len(right), (left, right)
    for one, other in zip(left, right, strict=True):
        assert same(one, other), (one, other)
        assert (one.sample, one.readiness, one.id) == (other.sample, other.readiness, other.id)


DECODERS = [
    HysteresisConfig(smooth_ms=30, enter=0.5, leave=0.3, refractory_ms=50),
    EndpointConfig(smooth_ms=30, enter=0.5, leave=0.3, refractory_ms=0),
    SegmentsConfig(smooth_ms=30, enter=0.5, leave=0.3),
    SegmentsConfig(smooth_ms=30, enter=0.5, leave=0.3, hold_ms=70),
]


def test_the_step_of_these_tests_keeps_the_law() -> None:
    step = Loudness(10)
    check_step(step, step.initial, 10, 2)


@pytest.mark.parametrize("decoder", DECODERS, ids=lambda config: type(config).__name__)
@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100])
def test_a_stream_gives_what_the_whole_recording_gives(rate: int, decoder: Any) -> None:
    serving = make(decoder=decoder, delay=200)
    samples = bursts(1, rate)
    wanted = offline(serving, samples, rate)
    assert len(wanted) >= 4
    assert agree(plain(heard_whole(serving, samples, rate), "mic"), wanted)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 50),
    rate=st.sampled_from([8000, 16000, 44100]),
    sizes=st.lists(st.integers(1, 5000), min_size=1, max_size=5),
    decoder=st.sampled_from(DECODERS),
    eager=st.sampled_from([1, 3, 1000]),
)
def test_any_chunks_give_the_same_events(seed: int, rate: int, sizes: list[int], decoder: Any, eager: int) -> None:
    serving = make(decoder=decoder, delay=100)
    samples = bursts(seed, rate, count=2)
    engine = Engine([serving])
    engine.open("mic", rate, 1)
    events, start, turn = [], 0, 0
    while start < len(samples):
        chunk = samples[start : start + sizes[turn % len(sizes)]].copy()
        engine.push("mic", start, chunk)
        start, turn = start + len(chunk), turn + 1
        chunk[:] = np.nan  # the caller's array is the caller's
        if turn % eager == 0:
            events += engine.step()
    engine.finish("mic")
    assert_same(events + engine.run(), heard_whole(serving, samples, rate))


def test_one_sample_at_a_time_gives_the_same_events() -> None:
    serving, samples = make(), bursts(3, count=1)
    engine = Engine([serving])
    engine.open("mic", 8000, 1)
    events = []
    for start in range(len(samples)):
        engine.push("mic", start, samples[start : start + 1])
        events += engine.step()
    engine.finish("mic")
    assert_same(events + engine.run(), heard_whole(serving, samples))


@pytest.mark.parametrize("streams", [1, 7, 64])
def test_streams_of_any_number_and_rate_do_not_disturb_one_another(streams: int) -> None:
    rates = [8000, 16000, 44100]
    servings = [make(), make("slow", hop=160, delay=300), make("fast", rate=16000, hop=160, decoder=DECODERS[1])]
    material = {f"mic{i}": (rates[i % 3], bursts(i, rates[i % 3], count=2)) for i in range(streams)}
    engine = Engine(servings, rows_a_call=16)
    random = np.random.default_rng(streams)
    at = dict.fromkeys(material, 0)
    waiting = list(material)
    events: list[Event] = []
    opened: set[str] = set()
    while waiting:
        name = waiting[int(random.integers(len(waiting)))]
        rate, samples = material[name]
        if name not in opened:
            engine.open(name, rate, 1)
            opened.add(name)
        chunk = samples[at[name] : at[name] + int(random.integers(1, 5000))]
        engine.push(name, at[name], chunk)
        at[name] += len(chunk)
        if at[name] == len(samples):
            engine.finish(name)
            waiting.remove(name)
        if random.random() < 0.5:
            events += engine.step()
    events += engine.run()
    assert engine.streams == ()
    for name, (rate, samples) in material.items():
        for serving in servings:
            wanted = offline(serving, samples, rate)
            assert wanted
            assert agree(plain(events, name, serving.name), wanted), (name, serving.name)


def test_streams_with_as_many_hops_share_one_call() -> None:
    serving = make()
    engine = Engine([serving])
    for i in range(7):
        engine.open(f"mic{i}", 8000, 1)
        engine.push(f"mic{i}", 0, bursts(i)[: 80 * (3 if i < 5 else 4) + i])
    engine.step()
    assert serving.step.calls == [(5, 240, 1), (2, 320, 1)]  # type: ignore[attr-defined]
    assert not engine.pending


def test_an_hour_of_backlog_does_not_starve_a_live_stream() -> None:
    serving = make()
    engine = Engine([serving], rows_a_call=2)
    engine.open("file", 8000, 1)
    engine.open("live", 8000, 1)
    engine.push("file", 0, np.zeros((8000 * 3600, 1), np.float32))
    live = bursts(4)
    wanted = plain(heard_whole(make(), live), "mic")
    events: list[Event] = []
    rounds = 0
    for start in range(0, len(live), 800):
        engine.push("live", start, live[start : start + 800])
        events += engine.step()
        rounds += 1
        # What is whole has been heard in the very next round: at most a part of a hop waits.
        assert engine.pending
    engine.finish("live")
    for _ in range(3):
        events += engine.step()
    assert plain(events, "live") == wanted
    # And no round was long: a second of each stream at most.
    assert max(shape[1] for shape in serving.step.calls) == 8000  # type: ignore[attr-defined]
    assert len(serving.step.calls) <= 2 * (rounds + 3)  # type: ignore[attr-defined]


def test_more_streams_than_rows_are_served_in_turn() -> None:
    serving = make()
    engine = Engine([serving], rows_a_call=3)
    for i in range(10):
        engine.open(f"mic{i}", 8000, 1)
        engine.push(f"mic{i}", 0, np.zeros((80 * 1000, 1), np.float32))
    for _ in range(4):
        engine.step()
    # 12 turns for 10 streams: each has been heard once before one is heard twice.
    assert [shape[0] for shape in serving.step.calls] == [3, 3, 3, 3]  # type: ignore[attr-defined]
    heard = [10 - sum(1 for listener in engine._served["bursts"].waiting if listener.todo[0].frames == 0)]  # type: ignore[union-attr]
    assert heard == [10]


@pytest.mark.parametrize("rate", [8000, 44100])
def test_a_gap_ends_what_was_heard_and_begins_an_epoch(rate: int) -> None:
    serving = make(decoder=DECODERS[1])
    # The first part ends with a burst that only its end can close.
    first, second = bursts(5, rate, count=2)[: round(0.63 * rate)], bursts(6, rate, count=2)
    engine = Engine([serving])
    engine.open("mic", rate, 1)
    engine.push("mic", 0, first)
    start = len(first) + 1234
    engine.push("mic", start, second)
    engine.finish("mic")
    events = engine.run()
    wanted = [*offline(serving, first, rate), ("gap", "missing", len(first), start)]
    wanted += [
        (k, name, s + start, e + start, at + start, x) for k, name, s, e, at, x in offline(serving, second, rate)
    ]
    assert plain(events, "mic") == wanted
    assert [event.epoch for event in events] == [0] * 2 + [1] * 3
    gap = events[2]
    assert (gap.sample, gap.readiness) == (start, "cold")
    assert len({event.id for event in events}) == len(events)


def test_lost_samples_are_a_gap_with_its_reason_and_told_once() -> None:
    engine = Engine([make(), make("other")])
    engine.open("mic", 8000, 1)
    engine.push("mic", 0, np.zeros((1000, 1), np.float32))
    engine.lose("mic", 1500, "dropped")
    engine.lose("mic", 1700, "dropped")
    engine.lose("mic", 1650, "dropped")  # known already
    engine.push("mic", 1800, np.zeros((100, 1), np.float32))
    events = engine.run()
    bodies = [(event.bundle.name, event.body) for event in events]
    wanted = [Lost(1000, 1700, 8000, "dropped"), Lost(1700, 1800, 8000, "missing")]
    assert sorted(bodies, key=lambda b: b[0]) == [(name, lost) for name in ("bursts", "other") for lost in wanted]
    assert {event.epoch for event in events} == {1}
    assert engine.counts("mic").lost == 800
    assert engine.counts("mic").expected == 1900


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 20),
    bad=st.lists(st.tuples(st.integers(0, 6000), st.integers(1, 900)), min_size=1, max_size=4),
    poison=st.sampled_from([np.nan, np.inf, -np.inf, 1e20]),
    sizes=st.lists(st.integers(1, 3000), min_size=1, max_size=4),
)
def test_samples_that_are_not_finite_are_a_gap_for_any_chunks(
    seed: int, bad: list[tuple[int, int]], poison: float, sizes: list[int]
) -> None:
    samples = bursts(seed, count=3)
    for start, count in bad:
        samples[start : start + count] = poison
    engine = Engine([make()])
    engine.open("mic", 8000, 1)
    start, turn, events = 0, 0, []
    while start < len(samples):
        chunk = samples[start : start + sizes[turn % len(sizes)]]
        engine.push("mic", start, chunk)
        start, turn = start + len(chunk), turn + 1
        events += engine.step()
    engine.finish("mic")
    events += engine.run()
    assert_same(events, heard_whole(make(), samples))
    lost = {
        place for event in events if isinstance(event.body, Lost) for place in range(event.body.start, event.body.end)
    }
    assert lost == set(np.flatnonzero(~(np.abs(samples[:, 0]) < 1e15)))
    assert all(np.isfinite(event.body.score) for event in events if isinstance(event.body, Heard))


def test_a_channel_that_is_never_finite_is_told_while_it_lasts() -> None:
    engine = Engine([make(channels=2)])
    engine.open("mic", 100, 2)
    spoilt = np.zeros((2500, 2), np.float32)
    spoilt[:, 1] = np.nan
    for start in range(0, 2500, 7):
        engine.push("mic", start, spoilt[start : start + 7])
    told = [event.body for event in engine.run()]
    assert told == [Lost(0, 1000, 100, "not finite"), Lost(1000, 2000, 100, "not finite")]
    engine.finish("mic")
    assert [(event.body, event.epoch) for event in engine.run()] == [(Lost(2000, 2500, 100, "not finite"), 1)]


def test_samples_that_come_twice_are_dropped_and_counted_and_told_once_a_run() -> None:
    serving, samples = make(), bursts(7)
    engine = Engine([serving])
    engine.open("mic", 8000, 1)
    engine.push("mic", 0, samples[:1000])
    engine.push("mic", 500, np.ones((300, 1), np.float32))  # all of it known
    engine.push("mic", 0, np.ones((50, 1), np.float32))
    events = engine.run()
    assert plain(events, "mic") == [("gap", "overlap", 500, 800)]
    assert events[0].epoch == 0
    changed = samples.copy()
    changed[900:1000] = 1.0
    engine.push("mic", 900, changed[900:3000])  # 100 known, the rest is new
    engine.push("mic", 3000, samples[3000:])
    engine.finish("mic")
    events = engine.run()
    assert [event for event in plain(events, "mic") if event[0] != "gap"] == offline(serving, samples, 8000)
    assert sum(event.kind == "gap" for event in events) == 0
    assert {event.epoch for event in events} == {0}


def test_an_overlap_with_a_backlog_is_told_in_its_place() -> None:
    samples = bursts(8)
    engine = Engine([make()])
    engine.open("mic", 8000, 1)
    engine.push("mic", 0, samples[:5000])
    engine.push("mic", 4000, samples[4000:])
    engine.finish("mic")
    assert engine.run() == sorted(engine_events := heard_with_overlap(samples), key=lambda event: event.sample)
    assert [event.kind for event in engine_events].count("gap") == 1


def heard_with_overlap(samples: np.ndarray) -> list[Event]:
    engine = Engine([make()])
    engine.open("mic", 8000, 1)
    events = []
    for start, chunk in ((0, samples[:5000]), (4000, samples[4000:])):
        engine.push("mic", start, chunk)
        events += engine.run()
    engine.finish("mic")
    return events + engine.run()


def test_counts_say_what_came() -> None:
    engine = Engine([make()])
    engine.open("mic", 8000, 1)
    engine.push("mic", 0, np.zeros((100, 1), np.float32))
    engine.push("mic", 50, np.zeros((100, 1), np.float32))
    engine.push("mic", 200, np.full((10, 1), np.nan, np.float32))
    counts = engine.counts("mic")
    assert dataclasses.astuple(counts) == (210, 1, 150, 60, 50, 150)


def test_readiness_grows_with_the_frames_of_an_epoch() -> None:
    engine = Engine([make(decoder=SegmentsConfig(smooth_ms=10, enter=0.5, leave=0.3))])
    engine.open("mic", 8000, 1)
    samples = np.concatenate([bursts(i, count=3) for i in range(2)])
    engine.push("mic", 0, samples)
    engine.push("mic", len(samples) + 10, samples)
    engine.finish("mic")
    events = engine.run()
    assert {(event.readiness, event.sample < 8000) for event in events if event.epoch == 0} == {
        ("warming", True),
        ("warm", False),
    }
    assert [event.readiness for event in events if event.epoch == 1][:2] == ["cold", "warming"]


def test_no_event_reaches_beyond_the_last_true_sample() -> None:
    for cut in range(1700, 2600, 37):
        samples = bursts(9)[:cut]
        for event in heard_whole(make(decoder=DECODERS[2], delay=800), samples):
            assert isinstance(event.body, Heard)
            assert 0 <= event.body.start < event.body.end <= event.sample <= cut


def test_a_stream_without_samples_ends_without_a_word() -> None:
    serving = make()
    engine = Engine([serving])
    engine.open("mic", 8000, 1)
    engine.finish("mic")
    assert engine.run() == []
    engine.open("mic", 8000, 1)
    engine.push("mic", 0, np.ones((79, 1), np.float32))  # less than a hop
    engine.finish("mic")
    assert engine.run() == []
    assert serving.step.calls == []  # type: ignore[attr-defined]
    assert not engine.pending


def test_a_name_is_free_as_soon_as_its_stream_is_finished_and_the_old_one_is_heard_first() -> None:
    serving = make()
    engine = Engine([serving])
    takes = [bursts(seed, count=8) for seed in (10, 11, 12)]
    for epoch, samples in enumerate(takes):
        engine.open("mic", 8000, 1, epoch=epoch)
        engine.push("mic", 0, samples)
        engine.finish("mic")
    events = engine.run()
    assert [event.epoch for event in events] == sorted(event.epoch for event in events)
    for epoch, samples in enumerate(takes):
        assert plain([e for e in events if e.epoch == epoch], "mic") == offline(serving, samples, 8000)
    engine.open("mic", 8000, 1)
    assert engine.streams == ("mic",)
    assert not engine.pending


def test_rows_are_used_again_and_begin_fresh() -> None:
    serving, samples = make(), bursts(13)
    engine = Engine([serving])
    wanted = offline(serving, samples, 8000)
    for i in range(30):
        engine.open(f"mic{i}", 8000, 1)
        engine.push(f"mic{i}", 0, samples)
        engine.finish(f"mic{i}")
        assert plain(engine.run(), f"mic{i}") == wanted
    assert [pool._rows for pool in engine._pools.values()] == [1]


def test_many_streams_at_once_grow_the_table() -> None:
    serving, samples = make(), bursts(14, count=1)
    engine = Engine([serving])
    wanted = offline(serving, samples, 8000)
    for i in range(50):
        engine.open(f"mic{i}", 8000, 1)
        engine.push(f"mic{i}", 0, samples[: 100 * i + 1])
        engine.step()
    for i in range(50):
        engine.push(f"mic{i}", 100 * i + 1, samples[100 * i + 1 :]) if 100 * i + 1 < len(samples) else None
        engine.finish(f"mic{i}")
    events = engine.run()
    short = [i for i in range(50) if 100 * i + 1 >= len(samples)]
    assert all(plain(events, f"mic{i}") == wanted for i in range(10))
    assert len(short) < 50


def test_a_stream_is_heard_only_by_the_bundles_it_is_attached_to() -> None:
    engine = Engine([make("a"), make("b"), make("c")])
    engine.open("mic", 8000, 1, ["c", "a"])
    engine.push("mic", 0, bursts(15))
    engine.finish("mic")
    assert {event.bundle.name for event in engine.run()} == {"a", "c"}


def test_a_bundle_of_one_channel_hears_the_mean_of_all() -> None:
    samples = bursts(16)
    wide = np.concatenate([samples * 1.5, samples * 0.5], axis=1).astype(np.float32)
    mono, both = make(), make("both", channels=2)
    engine = Engine([mono, both])
    engine.open("mic", 8000, 2)
    engine.push("mic", 0, wide)
    engine.finish("mic")
    events = engine.run()
    assert agree(plain(events, "mic"), offline(mono, samples, 8000))
    assert agree(plain(events, "mic", "both"), offline(both, wide, 8000))


def test_positions_stay_exact_beyond_32_bits() -> None:
    serving, samples = make(), bursts(17)
    start = 2**40 + 3
    engine = Engine([serving])
    engine.open("mic", 8000, 1)
    engine.push("mic", np.int64(start), samples)  # type: ignore[arg-type]
    engine.finish("mic")
    events = engine.run()
    assert events[0].body == Lost(0, start, 8000, "missing")
    moved = [
        (k, label, s + start, e + start, at + start, score)
        for k, label, s, e, at, score in offline(serving, samples, 8000)
    ]
    assert plain(events[1:], "mic") == moved


def test_memory_does_not_grow_with_time() -> None:
    engine = Engine([make(), make("fast", rate=16000, hop=160)])
    engine.open("mic", 8000, 1)
    chunk = bursts(18)[:800]
    at = 0

    def hear(seconds: int) -> int:
        nonlocal at
        for _ in range(10 * seconds):
            engine.push("mic", at, chunk)
            at += len(chunk)
            engine.run()
            for serving in engine._pools.values():
                serving.serving.step.calls.clear()  # type: ignore[attr-defined]
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        hear(20)
        before = hear(20)
        after = hear(120)
    finally:
        tracemalloc.stop()
    assert after - before < 20_000


def test_a_backlog_is_let_go_when_it_has_been_heard() -> None:
    engine = Engine([make()])
    engine.open("mic", 8000, 1)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        engine.push("mic", 0, np.zeros((8000 * 300, 1), np.float32))
        engine.run()
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert after - before < 100_000


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (
            lambda e: e.push("mik", 0, np.zeros((5, 1), np.float32)),
            "mik: no such stream is open; did you mean 'mic'?",
        ),
        (lambda e: e.push("mic", 0, np.zeros((5, 2), np.float32)), r"shape \(5, 2\), not \(time, 1\)"),
        (lambda e: e.push("mic", 0, np.zeros(5, np.float32)), r"shape \(5,\), not \(time, 1\)"),
        (lambda e: e.push("mic", 0, np.zeros((0, 1), np.float32)), "no samples were pushed"),
        (lambda e: e.push("mic", -1, np.zeros((5, 1), np.float32)), "counted from 0"),
        (lambda e: e.push("mic", 0, np.zeros((5, 1), np.int16)), "int16, not float32"),
        (lambda e: e.open("mic", 8000, 1), "already open"),
        (lambda e: e.open("new", 0, 1), "must be at least 1"),
        (lambda e: e.open("new", 8000, 0), "must be at least 1"),
        (lambda e: e.open("new", 8000, 1, ["burst"]), "'burst' is not served; did you mean 'bursts'?"),
        (lambda e: e.open("new", 8000, 1, []), "attached to no bundle"),
        (lambda e: e.open("new", 8000, 1, ["six"]), "has 1 channels and six takes 6"),
        (lambda e: e.finish("mik"), "no such stream"),
        (lambda e: e.lose("mik", 5, "dropped"), "no such stream"),
        (lambda e: e.counts("mik"), "no such stream"),
    ],
)
def test_a_stream_used_against_its_rules_is_told_in_one_line_and_others_go_on(
    act: Callable[[Engine], Any], told: str
) -> None:
    serving, samples = make(), bursts(19)
    engine = Engine([serving, make("six", channels=6)])
    engine.open("mic", 8000, 1, ["bursts"])
    engine.push("mic", 0, samples[:3000])
    with pytest.raises(StreamError, match=told) as error:
        act(engine)
    assert "\n" not in str(error.value)
    engine.push("mic", 3000, samples[3000:])
    engine.finish("mic")
    assert plain(engine.run(), "mic") == offline(serving, samples, 8000)


def test_two_bundles_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="two are named 'bursts'"):
        Engine([make(), make()])
