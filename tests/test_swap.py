"""Bundles change under open streams: the same one loses nothing, another hears beside until it is warm."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_engine import DECODERS, bursts, make

from streamrnn.engine import Engine, Serving
from streamrnn.errors import ConfigError
from streamrnn.events import Event, same
from streamrnn.resampling import to_source

BUNDLES = {
    "bursts": {"decoder": DECODERS[1]},
    "slow": {"hop": 160, "delay": 300, "decoder": DECODERS[2]},
    "fast": {"rate": 16000, "hop": 160, "decoder": DECODERS[0], "delay": 100},
}


def servings(**changed: Any) -> list[Serving]:
    """As new objects each time, as a reload makes them; `changed` gives bundles another sha."""
    made = [make(name, **settings) for name, settings in BUNDLES.items()]
    return [dataclasses.replace(each, sha=changed.get(each.name, each.sha)) for each in made]


def by_bundle(events: list[Event]) -> dict[str, list[Event]]:
    return {name: [each for each in events if each.bundle.name == name] for name in BUNDLES}


def assert_same(left: list[Event], right: list[Event]) -> None:
    assert [(each.id, each.sample) for each in left] == [(each.id, each.sample) for each in right]
    assert all(same(one, other) for one, other in zip(left, right, strict=True))


def play(engine: Engine, samples: np.ndarray, sizes: list[int], swaps: dict[int, list[Serving]]) -> list[Event]:
    """Push in chunks; before chunk `i` the bundles of `swaps[i]` take over, whatever waits."""
    start, turn, events = 0, 0, []
    while start < len(samples):
        if turn in swaps:
            engine.swap(swaps[turn])
        chunk = samples[start : start + sizes[turn % len(sizes)]]
        engine.push("mic", start, chunk)
        start, turn = start + len(chunk), turn + 1
        if turn % 3:
            events += engine.step()
    engine.finish("mic")
    return events + engine.run()


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 50),
    rate=st.sampled_from([8000, 16000, 44100]),
    sizes=st.lists(st.integers(1, 3000), min_size=1, max_size=3),
)
def test_the_same_bundles_again_and_again_change_nothing(seed: int, rate: int, sizes: list[int]) -> None:
    samples = bursts(seed, rate, count=2)
    given = []
    for swaps in ({}, {turn: servings() for turn in range(100)}):
        engine = Engine(servings())
        engine.open("mic", rate, 1)
        given.append(by_bundle(play(engine, samples, sizes, swaps)))
    for name in BUNDLES:
        assert_same(given[0][name], given[1][name])


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 50),
    rate=st.sampled_from([8000, 16000, 44100]),
    size=st.integers(100, 3000),
    turn=st.integers(0, 12),
    name=st.sampled_from(sorted(BUNDLES)),
)
def test_another_bundle_tells_once_it_is_warm_and_the_one_before_until_then(
    seed: int, rate: int, size: int, turn: int, name: str
) -> None:
    samples = bursts(seed, rate, count=8)
    engine = Engine(servings())
    engine.open("mic", rate, 1)
    told = by_bundle(play(engine, samples, [size], {turn: servings(**{name: "another"})}))
    alone = Engine(servings())
    alone.open("mic", rate, 1)
    before = by_bundle(play(alone, samples, [size], {}))
    for other in BUNDLES:
        if other != name:
            assert_same(told[other], before[other])
    old = [each for each in told[name] if each.bundle.sha != "another"]
    new = [each for each in told[name] if each.bundle.sha == "another"]
    recognizer = engine._served[name].serving.recognizer
    joined = min(turn * size, len(samples))
    earliest = joined + to_source(recognizer.warm_up * recognizer.hop, rate, recognizer.rate) if joined else 0
    # The one before says what it would have said, up to a sample; the other from there on, and it is warm by then.
    assert_same(old, before[name][: len(old)])
    last, first = (old[-1].sample if old else 0), (new[0].sample if new else len(samples) + 1)
    assert last <= first
    if joined:
        assert all(each.readiness == "warm" for each in new)
        waits = 0 if rate == recognizer.rate else rate  # a resampler that is shared is behind
        left_out = [each for each in before[name][len(old) :] if each.sample <= earliest - waits]
        assert not left_out
    # A loud burst is told by one of the two, if it does not lie across the change.
    missed = [
        each
        for each in before[name]
        if not any(each.body.start < one.body.end and one.body.start < each.body.end for one in told[name])  # type: ignore[union-attr]
    ]
    assert len(missed) <= 1
    assert set(engine._pools) == {pool.key for pool in engine._served.values()}


def test_a_bundle_that_comes_or_goes_leaves_the_others_alone() -> None:
    samples = bursts(3, count=6)
    engine = Engine(servings())
    engine.open("mic", 8000, 1)
    first, second, third = servings()
    told = by_bundle(
        play(engine, samples, [700], {4: [first, third], 9: [third, make("slow", **BUNDLES["slow"]), first]})
    )
    alone = Engine(servings())
    alone.open("mic", 8000, 1)
    wanted = by_bundle(play(alone, samples, [700], {}))
    for name in ("bursts", "fast"):
        assert_same(told[name], wanted[name])
    gone = [each.sample for each in told["slow"]]
    assert not any(4 * 700 < sample <= 9 * 700 for sample in gone)
    with pytest.raises(ConfigError, match="two are named"):
        engine.swap([second, second])


def test_a_snapshot_while_another_takes_over_is_of_the_one_to_come() -> None:
    samples = bursts(3, count=6)
    engine = Engine([make()])
    engine.open("mic", 8000, 1)
    engine.push("mic", 0, samples[:4000])
    engine.run()
    engine.swap([dataclasses.replace(make(), sha="another")])
    engine.push("mic", 4000, samples[4000:5000])
    engine.run()
    assert [each.sha for each in engine.snapshot("mic").listeners] == ["another"]
    engine.push("mic", 5000, samples[5000:])
    engine.run()
    assert [each.sha for each in engine.snapshot("mic").listeners] == ["another"]
    assert len(engine._pools) == 1
