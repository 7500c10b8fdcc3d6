"""A daemon that is killed, stopped, frozen, slowed down, or whose clock is set."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from pathlib import Path

import judge
import pytest
from oracle import Oracle
from producer import Playing, Producer
from setting import Setting, by_form, injected
from supervisor import Supervisor

from streamrnn.client import Control

FAKETIME = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)


@pytest.fixture
def setting(tmp_path: Path, tiny_bundle: Path) -> Setting:
    with Setting(tmp_path, tiny_bundle) as made:
        yield made


def recognises(oracle: Oracle, producer: Producer, healed: float) -> float:
    """Seconds until a word is heard that was said after the fault was over, which is its law."""
    sample = next(at for when, at in reversed(producer.sent or [(0.0, producer.at)]) if when <= healed)
    word = oracle.word(producer.stream, max(sample, producer.at), since=healed)
    assert not judge.slow(oracle.records, producer.stream, max(sample, 1), healed)
    return word.at - healed


def test_after_a_kill_it_recognises_within_5_s_and_what_was_lost_is_declared(setting: Setting) -> None:
    with Supervisor(setting) as supervisor, Oracle(setting.results) as oracle:
        oracle.greeted()
        producers = [setting.producer(f"mic{i}", 1e3, seed=i, speed=2) for i in range(3)]
        with Playing(producers) as playing:
            for _ in range(by_form(2, 20)):
                oracle.word("mic0", producers[0].at)
                killed = time.monotonic()
                supervisor.daemon.process.kill()
                words = [recognises(oracle, each, killed) for each in producers]
                ready = supervisor.ready - killed
                print(f"ready {ready:.2f} s after the kill, words of all {max(words):.2f} s after it")
            playing.finish()
            for each in producers:
                oracle.over(each.stream, since=killed)
        assert not setting.verdict(oracle, *producers)
        assert judge.gaps(oracle.messages, "mic0")


def test_a_stop_under_load_is_clean_and_takes_2_s_at_most(setting: Setting) -> None:
    for _ in range(by_form(1, 20)):
        daemon = setting.start()
        with Oracle(setting.results) as oracle:
            oracle.greeted()
            with Playing([setting.producer(f"mic{i}", 1e3, speed=0) for i in range(8)]):
                oracle.word("mic7", 0)
                took = daemon.stop(signal.SIGTERM)
                print(f"stopped after {took:.2f} s")
                assert took < 2.0
                assert daemon.process.returncode == 0, daemon.said
                oracle.wait(lambda message: message.kind == "bye")
            assert not judge.duplicates(oracle.messages) + judge.left_out(oracle.messages)


def test_a_daemon_that_was_frozen_goes_on_and_declares_what_it_missed(setting: Setting) -> None:
    daemon = setting.start()
    with Oracle(setting.results) as oracle:
        oracle.greeted()
        producer = setting.producer("mic", 1e3)
        with Playing([producer]) as playing:
            oracle.word("mic", 0)
            daemon.process.send_signal(signal.SIGSTOP)
            time.sleep(by_form(5, 30))
            daemon.process.send_signal(signal.SIGCONT)
            recognises(oracle, producer, time.monotonic())
            ending = time.monotonic()
            playing.finish()
            oracle.over("mic", since=ending)
        assert judge.gaps(oracle.messages, "mic")
        messages = oracle.messages
        wanted = producer.content.wanted(setting.bundle, "mic", producer.at)
        assert not judge.duplicates(messages)
        assert not judge.undeclared(messages, producer.produced)
        assert not judge.different(messages, wanted, "mic", 4000)


def test_a_third_of_a_processor_delays_results_and_loses_none(setting: Setting) -> None:
    daemon = setting.start()
    done = threading.Event()

    def throttle() -> None:
        while not done.is_set():
            daemon.process.send_signal(signal.SIGSTOP)
            time.sleep(0.02)
            daemon.process.send_signal(signal.SIGCONT)
            time.sleep(0.01)

    with Oracle(setting.results) as oracle:
        oracle.greeted()
        thread = threading.Thread(target=throttle)
        thread.start()
        producers = [setting.producer(f"mic{i}", by_form(1, 60), seed=i, speed=0) for i in range(4)]
        with Playing(producers) as playing:
            playing.until(lambda: all(each.ended for each in producers), 120.0 * by_form(1, 10))
            for each in producers:
                oracle.over(each.stream)
        done.set()
        thread.join()
        assert not setting.verdict(oracle, *producers)
        assert not any(judge.gaps(oracle.messages, each.stream) for each in producers)


def test_an_interpreter_that_is_held_for_half_a_second_again_and_again_loses_nothing(setting: Setting) -> None:
    daemon = setting.start(env=injected(FAULT_STALLS="0.5 0.5"))
    waits = []
    with Oracle(setting.results) as oracle:
        oracle.greeted()
        producer = setting.producer("mic", 1e3)
        with Playing([producer]) as playing, Control(daemon.control) as control:
            for _ in range(by_form(20, 600)):
                asked = time.monotonic()
                control.call("ping")
                waits.append(time.monotonic() - asked)
                time.sleep(0.15)
            recognises(oracle, producer, time.monotonic())
            playing.finish()
            oracle.over("mic")
        assert not setting.verdict(oracle, producer)
        assert not judge.gaps(oracle.messages, "mic")
        beats = [record.at for record in oracle.records if record.message.kind == "heartbeat"]
    print(f"an answer took {max(waits):.2f} s at most")
    assert 0.3 < max(waits) < 2.0
    assert max(after - before for before, after in itertools.pairwise(beats)) < 3.0
    assert daemon.stop() < 2.0


@pytest.mark.skipif(FAKETIME is None, reason="libfaketime is not installed: apt-get install faketime")
def test_a_clock_set_a_day_on_and_back_changes_no_event_and_no_beat(setting: Setting, tmp_path: Path) -> None:
    clock = tmp_path / "clock"
    clock.write_text("+0\n")
    environment = {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    daemon = setting.start(env={**os.environ, **environment})
    with Oracle(setting.results) as oracle:
        oracle.greeted()
        producer = setting.producer("mic", 1e3, speed=2)
        with Playing([producer]) as playing:
            oracle.word("mic", 0)
            for day in ("+1d", "-1d", "+0"):
                clock.write_text(f"{day}\n")
                time.sleep(1.2)
                recognises(oracle, producer, time.monotonic())
            playing.finish()
            oracle.over("mic")
        assert not setting.verdict(oracle, producer)
        assert not judge.gaps(oracle.messages, "mic")
        heard = oracle.messages
    days = {round((message.t.utc_ns - heard[0].t.utc_ns) / 86400e9) for message in heard}
    assert days == {0, 1, -1}, "the clock was never set"
    assert [each.t.mono_ns for each in heard] == sorted(each.t.mono_ns for each in heard)
    beats = [record.at for record in oracle.records if record.message.kind == "heartbeat"]
    assert max(after - before for before, after in itertools.pairwise(beats)) < 6.0
    assert daemon.stop() < 2.0
