"""A stream that goes on in another engine, from a snapshot, gives what it would have given in the first."""

from __future__ import annotations

import dataclasses

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_engine import DECODERS, bursts, make

from streamrnn import snapshot
from streamrnn.engine import Engine, Serving
from streamrnn.errors import StreamError
from streamrnn.events import Event, Lost, same
from streamrnn.resampling import open_resampler, resume_resampler
from streamrnn.snapshot import Snapshot


def servings() -> list[Serving]:
    """Bundles of other rates, hops, delays and decoders, two of which share an input."""
    return [
        make(decoder=DECODERS[1]),
        make("slow", hop=160, delay=300, decoder=DECODERS[2]),
        make("fast", rate=16000, hop=160, decoder=DECODERS[0], delay=100),
    ]


def carried(taken: Snapshot) -> Snapshot:
    """The snapshot as it comes back from its bytes."""
    return snapshot.decode(snapshot.encode(taken))


def assert_same(left: list[Event], right: list[Event]) -> None:
    def order(event: Event) -> tuple[str, int, str]:
        return event.bundle.name, event.sample, event.id

    left, right = sorted(left, key=order), sorted(right, key=order)
    assert [(each.bundle, each.id, each.sample) for each in left] == [
        (each.bundle, each.id, each.sample) for each in right
    ]
    assert all(same(one, other) for one, other in zip(left, right, strict=True))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 50),
    rate=st.sampled_from([8000, 11025, 16000, 44100, 44101]),
    channels=st.sampled_from([1, 2]),
    cuts=st.lists(st.floats(0, 1), min_size=1, max_size=4),
    holes=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 4000), st.sampled_from(["gap", "nan"])), max_size=2),
    sizes=st.lists(st.integers(1, 7000), min_size=1, max_size=3),
)
def test_a_stream_goes_on_in_another_engine_as_if_nothing_had_been(
    seed: int,
    rate: int,
    channels: int,
    cuts: list[float],
    holes: list[tuple[float, int, str]],
    sizes: list[int],
) -> None:
    samples = np.repeat(bursts(seed, rate, count=2), channels, axis=1)
    pieces: list[tuple[int, np.ndarray]] = []
    at = turn = 0
    missing = np.zeros(len(samples), bool)
    for where, count, how in holes:
        first = int(where * len(samples))
        if how == "nan":
            samples[first : first + count] = np.nan
        else:
            missing[first : first + count] = True
    while at < len(samples):
        end = min(len(samples), at + sizes[turn % len(sizes)])
        pieces.append((at, samples[at:end]))
        at, turn = end, turn + 1
    # A chunk of which anything is missing does not come at all.
    pieces = [(start, chunk) for start, chunk in pieces if not missing[start : start + len(chunk)].any()]
    stops = {int(cut * len(pieces)) for cut in cuts}

    def heard(*, resumed: bool) -> list[Event]:
        engine, events = Engine(servings()), []
        engine.open("mic", rate, channels)
        for turn, (start, chunk) in enumerate(pieces):
            if resumed and turn in stops:
                events += engine.run()
                taken = carried(engine.snapshot("mic"))
                engine = Engine(servings())
                engine.open("another", 8000, 1)  # so that it gets another row
                engine.restore(taken)
            engine.push("mic", start, chunk)
            if resumed and turn % 2:
                # What was said once before is not said again: a repeat is counted on as well.
                events += engine.step()
        counts = engine.counts("mic")
        engine.finish("mic")
        events += engine.run()
        tally.append(counts)
        return events

    tally: list[object] = []
    assert_same(heard(resumed=True), heard(resumed=False))
    assert tally[0] == tally[1]


@settings(max_examples=25, deadline=None)
@given(
    rates=st.sampled_from([(16000, 8000), (44100, 8000), (8000, 16000), (11025, 16000), (100, 50), (44101, 16000)]),
    cuts=st.lists(st.integers(0, 30000), min_size=1, max_size=3),
    total=st.integers(1, 30000),
)
def test_a_primed_resampler_goes_on_within_the_last_bits(rates: tuple[int, int], cuts: list[int], total: int) -> None:
    noise = np.random.default_rng(total).uniform(-1, 1, (total, 1)).astype(np.float32)
    whole = open_resampler(*rates, 1)
    wanted = np.concatenate([whole.push(noise), whole.finish()])
    resampler, out, at = open_resampler(*rates, 1), [], 0
    for cut in sorted(cuts):
        if at < cut < total:
            out.append(resampler.push(noise[at:cut]))
            resampler, beyond = resume_resampler(*rates, 1, resampler.primer())
            out.append(beyond)
            at = cut
    given = np.concatenate([*out, resampler.push(noise[at:]), resampler.finish()])
    assert len(given) == len(wanted)
    assert np.abs(given - wanted).max(initial=0) < 1e-4
    assert len(resampler.primer().samples) < 2 * (rates[0] + 4000 * max(1, rates[0] // rates[1]))


def stopped(samples: np.ndarray, at: int) -> Snapshot:
    engine = Engine([make()])
    engine.open("mic", 8000, 1, epoch=3)
    engine.push("mic", 0, samples[:at])
    engine.run()
    return engine.snapshot("mic")


def test_a_warm_stream_is_restored_until_it_has_warmed_up_again() -> None:
    samples = np.concatenate([bursts(1, count=6), bursts(2, count=6)])
    taken = stopped(samples, 12000)  # 150 frames, of which 100 are its warm-up
    engine = Engine([make()])
    engine.restore(taken)
    engine.push("mic", 12000, samples[12000:])
    engine.finish("mic")
    events = engine.run()
    assert {each.epoch for each in events} == {3}
    restored = [each.sample for each in events if each.readiness == "restored"]
    assert restored
    assert max(restored) <= 20000 < min(each.sample for each in events if each.readiness == "warm")
    # One that was not warm is not called restored.
    engine = Engine([make()])
    engine.restore(stopped(samples, 4000))
    engine.push("mic", 4000, samples[4000:])
    assert {each.readiness for each in engine.run()} == {"warming", "warm"}


def test_samples_that_do_not_follow_are_a_gap_and_a_new_epoch() -> None:
    samples = bursts(4)
    engine = Engine([make()])
    engine.restore(stopped(samples, 5000))
    engine.push("mic", 5500, samples[5500:])
    engine.finish("mic")
    events = engine.run()
    gaps = [each for each in events if each.kind == "gap"]
    assert [(each.body, each.epoch) for each in gaps] == [(Lost(5000, 5500, 8000, "missing"), 4)]


def test_what_another_bundle_remembers_is_refused_and_nothing_is_opened() -> None:
    taken = stopped(bursts(4), 5000)
    listener = taken.listeners[0]
    other_settings = make(decoder=DECODERS[0])
    spoilt = {name: np.full_like(array, np.nan) for name, array in listener.state.items()}
    larger = {name: np.repeat(array, 2, axis=1) for name, array in listener.state.items()}
    for serving, offered in [
        (dataclasses.replace(make(), sha="other"), taken),
        (make("named"), taken),
        (make(decoder=DECODERS[1]) if other_settings.made == make().made else other_settings, taken),
        (make(), msgspec.structs.replace(taken, listeners=(msgspec.structs.replace(listener, state=spoilt),))),
        (make(), msgspec.structs.replace(taken, listeners=(msgspec.structs.replace(listener, state=larger),))),
    ]:
        engine = Engine([serving])
        with pytest.raises(StreamError, match="cannot be restored"):
            engine.restore(offered)
        assert engine.streams == ()


def test_only_a_stream_that_has_been_heard_can_be_taken() -> None:
    engine = Engine([make()])
    engine.open("mic", 8000, 1)
    engine.push("mic", 0, bursts(1))
    with pytest.raises(StreamError, match="step until"):
        engine.snapshot("mic")
    engine.run()
    engine.snapshot("mic")
    with pytest.raises(StreamError, match="already open"):
        engine.restore(engine.snapshot("mic"))


def test_a_reset_forgets_and_says_so() -> None:
    samples = bursts(9)
    engine = Engine([make()])
    engine.open("mic", 8000, 1)
    engine.push("mic", 0, samples[:3000])
    engine.run()
    engine.forget("mic", "reset")
    engine.push("mic", 3000, samples[3000:])
    engine.finish("mic")
    events = engine.run()
    assert [(each.body, each.epoch) for each in events if each.kind == "gap"] == [(Lost(3000, 3000, 8000, "reset"), 1)]
    alone = Engine([make()])
    alone.open("mic", 8000, 1, epoch=1, start=3000)
    alone.push("mic", 3000, samples[3000:])
    alone.finish("mic")
    assert_same([each for each in events if each.kind != "gap"], alone.run())


@settings(max_examples=100, deadline=None)
@given(cut=st.integers(0, 5000), flip=st.integers(0, 255), junk=st.binary(max_size=50))
def test_bytes_that_are_no_snapshot_are_refused(cut: int, flip: int, junk: bytes) -> None:
    whole = snapshot.encode(stopped(bursts(4, count=1), 2000))
    cut %= len(whole)
    for spoilt in (whole[:cut], whole[:cut] + bytes([whole[cut] ^ flip]) + whole[cut + 1 :], junk):
        try:
            given = snapshot.decode(spoilt)
        except StreamError:
            continue
        engine = Engine([make()])
        try:
            engine.restore(given)
        except StreamError:
            assert engine.streams == ()
