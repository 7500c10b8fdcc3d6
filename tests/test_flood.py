"""Subscribers that keep up lose nothing, whoever else is stuck: the short form of `streamrnn bench --results`."""

from __future__ import annotations

from streamrnn.flood import flood, lines


def test_who_keeps_up_loses_nothing_beside_one_that_is_stuck() -> None:
    count = 50_000
    flooded = flood(count, 5_000, subscribers=2, stuck=1, told=lambda more: None)
    for each in flooded.subscribers:
        assert (each.received, each.in_order, each.lost) == (count, True, 0)
    assert flooded.memory_mb < 40
    assert len(lines(flooded)) == 3
