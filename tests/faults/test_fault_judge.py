"""The judge is judged: a record that keeps the laws passes, and one that breaks any of them is seen."""

from __future__ import annotations

from collections.abc import Sequence

import judge
import msgspec
import pytest
from content import Produced
from footprint import Footprint
from oracle import Record

from streamrnn.events import BundleRef, Event, Heard, Lost, event_id
from streamrnn.wire import NOBODY, Beat, Body, Hello, Message, Moment, Status

RATE, MEMORY = 8000, 100
TONES = BundleRef("tones", "5b")
WORDS = (Heard("low", 4000, 6000, RATE, 0.9), Heard("high", 20_000, 22_000, RATE, 0.8))
GAP = Lost(9000, 12_000, RATE, "missing")


def message(kind: str, body: Body, seq: int, *, epoch: int = 0, sample: int = 0, name: str = "") -> Message:
    bundle = TONES if isinstance(body, Heard | Lost) else BundleRef(NOBODY, "")
    stream = NOBODY if isinstance(body, Hello | Beat) else "mic"
    return Message(1, kind, stream, bundle, "run", epoch, seq, Moment(sample, RATE, 0, 0), "", 0, name, body)


def word(body: Heard, seq: int, epoch: int = 0) -> Message:
    name = event_id("mic", TONES.sha, epoch, body.label, body.start)
    return message("detection", body, seq, epoch=epoch, sample=body.end, name=name)


def sound() -> list[Message]:
    """What is heard of a stream of 30,000 samples with one gap."""
    return [
        message("hello", Hello("0", (TONES,), (), {}), 1),
        message("status", Status("opened", ""), 1),
        word(WORDS[0], 1),
        message("gap", GAP, 1, epoch=1, name="a gap"),
        word(WORDS[1], 2, 1),
        message("heartbeat", Beat({"v1/detection/mic/tones/": 2, "v1/gap/mic/tones/": 1}), 1),
        message("status", Status("ended", ""), 2, sample=30_000),
    ]


PRODUCED = Produced("mic", 0, 30_000, [(9600, 11_200)])


def wanted(*words: Heard) -> list[Event]:
    return [Event("detection", "mic", TONES, 0, each.end, RATE, "warm", "", each) for each in words]


def test_a_record_that_keeps_the_laws_passes() -> None:
    heard = sound()
    assert not judge.duplicates(heard)
    assert not judge.left_out(heard)
    assert not judge.undeclared(heard, PRODUCED)
    assert not judge.different(heard, wanted(*WORDS, Heard("low", 9100, 11_000, RATE, 0.9)), "mic", MEMORY)


def test_what_is_sent_again_is_no_conflict() -> None:
    assert not judge.duplicates([*sound(), *sound()])


@pytest.mark.parametrize(
    "conflicting",
    [
        msgspec.structs.replace(word(WORDS[0], 1), body=Heard("low", 4000, 6200, RATE, 0.9)),
        msgspec.structs.replace(word(WORDS[0], 1), seq=3, body=Heard("low", 4000, 6000, RATE, 0.7)),
        word(Heard("low", 4200, 6000, RATE, 0.9), 3),
        word(WORDS[0], 3, 1),
    ],
    ids=["same id, other end", "same id, other score", "the same word, other start", "the same word, other epoch"],
)
def test_a_conflicting_duplicate_is_seen(conflicting: Message) -> None:
    assert judge.duplicates([*sound(), conflicting])


@pytest.mark.parametrize("missing", [2, 3, 4])
def test_a_message_that_never_came_is_seen(missing: int) -> None:
    heard = sound()
    del heard[missing]
    assert judge.left_out(heard)


@pytest.mark.parametrize("lost", [(8000, 9000), (8999, 9001), (11_000, 12_800), (29_000, 30_000)])
def test_a_sample_that_is_missing_and_not_declared_is_seen(lost: tuple[int, int]) -> None:
    assert judge.undeclared(sound(), Produced("mic", 0, 30_000, [lost]))


def test_samples_that_are_not_counted_at_the_end_are_seen() -> None:
    assert judge.undeclared(sound(), Produced("mic", 0, 30_400, []))
    assert judge.undeclared(sound()[:-1], PRODUCED)


@pytest.mark.parametrize(
    "words",
    [
        (WORDS[0],),
        (*WORDS, Heard("low", 13_000, 14_000, RATE, 0.9)),
        (WORDS[0], Heard("high", 20_200, 22_000, RATE, 0.8)),
    ],
    ids=["one too many", "one too few", "elsewhere"],
)
def test_an_event_that_is_not_of_the_run_without_faults_is_seen(words: Sequence[Heard]) -> None:
    assert judge.different(sound(), wanted(*words), "mic", MEMORY)


def test_a_word_that_comes_too_late_or_never_is_seen() -> None:
    records = [Record(float(i), each) for i, each in enumerate(sound())]
    assert not judge.slow(records, "mic", 12_000, 0.0)
    assert judge.slow(records, "mic", 12_000, -2.0)
    assert judge.slow(records, "mic", 23_000, 0.0)


def test_a_process_that_keeps_what_it_took_is_seen() -> None:
    before = Footprint(80.0, 30, 9)
    assert not judge.grown(before, Footprint(83.0, 29, 9))
    for after in (Footprint(90.0, 30, 9), Footprint(80.0, 31, 9), Footprint(80.0, 30, 10)):
        assert judge.grown(before, after)
