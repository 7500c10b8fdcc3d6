"""What other threads ask of the engine's is done between two hops, or not at all once nobody waits for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from streamrnn import sources
from streamrnn.errors import ConfigError, DeviceError, UserError
from streamrnn.handover import Handover
from streamrnn.reloading import Reloader
from streamrnn.sources.bell import Bell
from streamrnn.sources.csv import CsvConfig


@pytest.fixture
def bell() -> Iterator[Bell]:
    made = Bell()
    yield made
    made.close()


def reloader(handover: Handover, swapped: list[object], told: list[str]) -> Reloader:
    """One whose bundles are an empty list."""
    return Reloader(
        lambda: None,  # type: ignore[arg-type, return-value]
        lambda config: ([], []),
        swapped.append,
        tell=lambda status: told.append(status.state),
        handover=handover,
    )


def test_who_has_given_up_is_not_done_for_behind_its_back(bell: Bell, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reload of which its caller was told that it failed never takes place, and that it did not is told."""
    monkeypatch.setattr("streamrnn.handover._WAIT_S", 0.05)
    handover, swapped, told = Handover(bell), list[object](), list[str]()
    there = reloader(handover, swapped, told)
    with pytest.raises(UserError, match="in time"):
        there.reload()
    handover.work()
    assert (swapped, told, there.generation) == ([], ["kept"], 1)


@pytest.mark.parametrize("signals", [1, 3])
def test_a_signal_reloads_on_another_thread_and_waits_for_nothing(bell: Bell, signals: int) -> None:
    handover, swapped, told = Handover(bell), list[object](), list[str]()
    there = reloader(handover, swapped, told)
    for _ in range(signals):
        there.ask()
    while len(told) < signals:
        handover.work()
    assert (len(swapped), set(told), there.generation) == (signals, {"reloaded"}, 1 + signals)


def test_what_is_left_is_done_in_its_order_and_its_errors_are_nobodys(bell: Bell) -> None:
    handover, done = Handover(bell), list[str]()

    def fail() -> None:
        done.append("failed")
        raise DeviceError("no")

    handover.leave(fail)
    asking = threading.Thread(target=handover.ask, args=(lambda: done.append("asked"),))
    asking.start()
    while asking.is_alive():
        handover.work()
    assert done == ["failed", "asked"]


def test_the_bundles_of_a_source_are_served_wherever_it_comes_from() -> None:
    config = CsvConfig(path="x.csv", stream="x", rate=10, bundles=("digits", "wake"))
    assert sources.checked(config, ["wake", "digits"], "source") is config
    with pytest.raises(ConfigError, match=r"^sources\[2\]\.bundles: 'wake' is not served; known: digits$"):
        sources.checked(config, ["digits"], "sources[2]")
