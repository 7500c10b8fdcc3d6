"""What is recorded of phrases: each of them many times, phrases that sound like it, and talk without any of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from streamrnn.speech import talk
from streamrnn.speech.engines import Engine, Take
from streamrnn.speech.espeak import Samples
from streamrnn.speech.folder import Said
from streamrnn.speech.near_misses import near_misses
from streamrnn.speech.speaking import perform
from streamrnn.speech.spelling import spelled
from streamrnn.speech.talk import Talk

NEAR_MISS, SPEECH = "_near_miss", "_speech"


@dataclass(frozen=True, slots=True)
class Order:
    """Phrases with the label of each, how many recordings of one and of what sounds like it, and seconds of talk."""

    phrases: tuple[str, ...]
    labels: tuple[str, ...]
    count: int
    near_misses: int
    talk_s: float
    seed: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Texts with their labels, dealt to voices, and the talk: nothing is spoken yet."""

    lines: tuple[tuple[str, str], ...]
    takes: tuple[Take, ...]
    talks: tuple[Talk, ...]

    @property
    def recordings(self) -> int:
        """How many there will be."""
        return len(self.lines) + len(self.talks)


def plan(order: Order, engine: Engine) -> Plan:
    """All that the seed decides. Raises SpeechError for a phrase that cannot be said."""
    lines: list[tuple[str, str]] = []
    for place, (phrase, label) in enumerate(zip(order.phrases, order.labels, strict=True)):
        lines += [(phrase, label)] * order.count
        if order.near_misses:
            # A generator for each, so that one more phrase or more talk does not change the others.
            random = np.random.default_rng([order.seed, 1, place])
            others = [other for other in order.phrases if other != phrase]
            lines += [(text, NEAR_MISS) for text in _in_turn(phrase, order.near_misses, random, others)]
    takes = engine.deal([text for text, _ in lines], np.random.default_rng([order.seed, 2]))
    talks: Sequence[Talk] = ()
    if order.talk_s:
        talks = talk.plan(order.talk_s, np.random.default_rng([order.seed, 3]), order.phrases, engine)
    return Plan(tuple(lines), tuple(takes), tuple(talks))


def record(made: Plan, rate: int) -> Iterator[tuple[Samples, Said]]:
    """Every recording, (time,) at `rate` Hz, with what is known of it. Raises SpeechError."""
    for take, sounds in perform(made.takes, rate):
        for place, sound in zip(take.places, sounds, strict=True):
            text, label = made.lines[place]
            yield sound, _said(label, take, spelled(text))
    for each, sound in talk.tell(made.talks, rate):
        yield sound, _said(SPEECH, each.take, "")


def _in_turn(phrase: str, count: int, random: np.random.Generator, others: Sequence[str]) -> list[str]:
    different = near_misses(phrase, random, count, others)
    return [different[i % len(different)] for i in range(count)] if different else []


def _said(label: str, take: Take, text: str) -> Said:
    return Said(label, take.voice, "dev" if take.held_out else "train", text, take.engine)
