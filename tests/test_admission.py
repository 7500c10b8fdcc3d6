"""Who is let in: what a stream costs is measured, and one for which there is no room is refused with the reason."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from tones import RATE, write_bundle

from streamrnn.admission import Admission, cost
from streamrnn.bundle import Bundle
from streamrnn.daemon_config import LimitsConfig
from streamrnn.engine import Engine, serving
from streamrnn.errors import StreamError


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_bundle(tmp_path_factory.mktemp("admission") / "tones.bundle")


def test_a_dearer_step_costs_more_whatever_the_clock_says(bundle: Bundle) -> None:
    cheap = serving(bundle)

    def slow(samples, state):
        for _ in range(20):
            cheap.step(samples, state)
        return cheap.step(samples, state)

    assert 0 < 2 * cost(cheap) < cost(dataclasses.replace(cheap, step=slow))


def test_streams_come_in_until_they_take_what_they_may_and_one_always_does(bundle: Bundle) -> None:
    admission = Admission(LimitsConfig(max_load=0.5))
    made = dataclasses.replace(serving(bundle), cost=0.2)
    engine = Engine([made])
    assert admission.capacity([made]) == 2
    for name in ("a", "b"):
        admission.check(engine, name, ())
        engine.open(name, RATE, 1)
    with pytest.raises(StreamError, match=r"c: the 2 streams .* 0\.40 of a core.* max_load 0\.5"):
        admission.check(engine, "c", ())
    engine.push("a", 0, np.zeros((RATE, 1), np.float32))
    engine.finish("a")
    engine.run()
    admission.check(engine, "c", ())
    alone = Engine([dataclasses.replace(made, cost=3.0)])
    admission.check(alone, "a", ())


def test_what_was_not_measured_limits_nothing_but_the_count(bundle: Bundle) -> None:
    admission = Admission(LimitsConfig(max_streams=3, max_load=0))
    made = admission.measured(serving(bundle))
    engine = Engine([made])
    assert (made.cost, admission.capacity([made])) == (0.0, 3)
    for name in ("a", "b", "c"):
        admission.check(engine, name, ())
        engine.open(name, RATE, 1)
    with pytest.raises(StreamError, match="max_streams"):
        admission.check(engine, "d", ())
