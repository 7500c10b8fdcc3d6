"""Bundles that are read anew again and again while streams come as fast as they are taken."""

from __future__ import annotations

import time
from pathlib import Path

import judge
from oracle import Oracle
from producer import Playing
from setting import Setting, by_form, unmoved

from streamrnn.client import Control


def test_a_hundred_reloads_under_load_lose_nothing_and_leave_nothing(tmp_path: Path, tiny_bundle: Path) -> None:
    with Setting(tmp_path, tiny_bundle) as setting:
        daemon = setting.start()
        with Oracle(setting.results) as oracle, Control(daemon.control) as control:
            oracle.greeted()
            setting.witness(oracle, "before")
            control.call("reload", timeout=20.0)
            with unmoved(daemon, 8.0):
                producers = [setting.producer(f"mic{i}", 1e3, seed=i, speed=8) for i in range(4)]
                with Playing(producers) as playing:
                    begun = time.monotonic()
                    for i in range(by_form(100, 1000)):
                        assert control.call("reload", timeout=20.0) == {"generation": i + 3}
                    print(f"a reload took {(time.monotonic() - begun) / by_form(100, 1000):.3f} s")
                    playing.finish()
                    for each in producers:
                        oracle.over(each.stream)
            assert not setting.verdict(oracle, *producers)
            assert not any(judge.gaps(oracle.messages, each.stream) for each in producers)
