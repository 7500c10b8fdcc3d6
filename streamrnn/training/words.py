"""Words at random places in endless lanes: clips, talk, pauses, noise and rooms put together anew from the seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.random import Generator

from streamrnn.errors import ConfigError, RecordingError
from streamrnn.recognizer import Recognizer
from streamrnn.speech import together
from streamrnn.speech.near_misses import near_misses
from streamrnn.speech.sentences import sentences
from streamrnn.speech.speaking import speak
from streamrnn.training import augment
from streamrnn.training.pieces import Clip, Piece, Samples, Span, Supply, targets
from streamrnn.training.plan import SpeechConfig, WordsConfig
from streamrnn.training.sounds import Sound, Suspects, cut, faded, half, levelled, stretch, words
from streamrnn.training.whole import whole_piece

_TAIL_S = 0.1
_SHORTEST_S = 0.01  # what is marked over less is an instant, not a word
_LONG_S = 4.0  # a recording that is longer is talk, not a word
_HOURS_S, _HOURS_VARIANTS = 60.0, 3  # longer ones come in fewer variants: they vary in themselves, and fill the memory
_SILENT_S = (2.0, 12.0)
_TALK_S = (3.0, 8.0)
_ROOM, _NOISE = "_impulse_response", "_noise"
_NOISE_VARIANTS = 3
# Pieces in a row that one noise, one distance and one gain last for.
_CONDITION = 3


class Words:
    """The material of keywords: every clip in several variants, from which pieces of a few words are composed."""

    def __init__(self, config: WordsConfig, recognizer: Recognizer, clips: Sequence[Clip], supply: Supply) -> None:
        """Raises RecordingError if a label has no clip, recorded or from text; ConfigError for many channels."""
        if recognizer.channels != 1:
            raise ConfigError(f"material.kind: words are sound of 1 channel, not {recognizer.channels}; use recordings")
        self._config, self._recognizer, self._seed = config, recognizer, supply.seed
        random = np.random.default_rng([supply.seed, 1])
        rate = recognizer.rate
        self._labels = list(recognizer.config.labels)
        self._rooms = [
            augment.measured_room(clip.samples[:, 0], rate) for clip in clips if clip.background.startswith(_ROOM)
        ]
        noises = [clip.samples[:, 0] for clip in clips if clip.background.startswith(_NOISE)]
        heard = [clip for clip in clips if not clip.background.startswith((_ROOM, _NOISE))]
        margin = int(config.margin_ms * rate / 1000)
        cuts = [(clip.group, word) for clip in heard for word in words(clip, int(rate * _SHORTEST_S), margin)]
        self._groups = sorted({group for group, _ in cuts})
        # By group and label: the variants of each clip.
        self._real: dict[tuple[str, int], list[Sound]] = {}
        for group, word in cuts:
            self._real.setdefault((group, word.spans[0].label), []).extend(self._variants(word, random))
        self._spoken: list[list[Sound]] = [[] for _ in self._labels]
        # What must not be recognised, as it was recorded and in variants, and recordings of minutes.
        others = [
            self._known(Sound(clip.samples[:, 0]), random)
            for clip in heard
            if not clip.spans and len(clip.samples) > rate // 10
        ]
        self._long = [
            sound
            for clip in heard
            if clip.spans and len(clip.samples) > rate * _LONG_S
            for sound in self._variants(Sound(clip.samples[:, 0], clip.spans), random)
        ]
        self._long += [sound for variants in others for sound in variants if len(sound.samples) > rate * _LONG_S]
        spoken: list[list[Sound]] = []
        if config.speech is not None and (config.speech.engines or together.installed()):
            spoken = self._speak(config.speech, random)
        self._suspects = [Suspects(sounds, rate) for sounds in (others, spoken) if sounds]
        for label, name in enumerate(self._labels):
            if not self._spoken[label] and not any(key[1] == label for key in self._real):
                raise RecordingError(f"label {name!r}: no recording in the data; add some or take the label out")
        self._noises = augment.noises(random, rate, [word.samples for _, word in cuts], config.voices)
        self._noises += augment.scratches(random, rate, config.scratches)
        # Recorded noises are few and would be learnt by heart: they come at other speeds and in other colours as well.
        noises += [augment.another_noise(noise, random) for noise in noises for _ in range(_NOISE_VARIANTS)]
        self._noises += [noise / np.float32(max(1e-6, float(np.sqrt(np.mean(noise**2))))) for noise in noises]

    def _variants(self, sound: Sound, random: Generator) -> list[Sound]:
        rate, config = self._recognizer.rate, self._config
        many = len(sound.samples) <= rate * _HOURS_S
        count = config.variants if many else min(config.variants, _HOURS_VARIANTS)
        return [augment.variant(sound, random, config, rate, self._rooms) for _ in range(count)]

    def _known(self, sound: Sound, random: Generator) -> list[Sound]:
        """As it was recorded, at loudness 1, and its variants."""
        return [levelled(sound, self._recognizer.rate), *self._variants(sound, random)[1:]]

    def _speak(self, speech: SpeechConfig, random: Generator) -> list[list[Sound]]:
        """Words from text into `_spoken`; what must not be recognised, in its variants, comes back."""
        rate = self._recognizer.rate
        said = [(name, text) for name, text in speech.texts.items() for _ in range(speech.clips)]
        said += [(name, text) for name, count in speech.sentences.items() for text in sentences(random, count)]
        engine = together.named(speech.engines, "training")
        for (name, _), sound in zip(said, speak([text for _, text in said], random, rate, engine), strict=True):
            label = self._labels.index(name)
            word = Sound(sound, (Span(0, len(sound), label),))
            self._spoken[label].extend(self._variants(word, random)[:2])
        phrases = list(speech.texts.values())
        others = [text for text in speech.others for _ in range(8)]
        for phrase in phrases if speech.near_misses else ():
            others += near_misses(phrase, random, speech.near_misses, phrases)
        if speech.talk:
            others += sentences(random, speech.talk, phrases)
        return [self._known(Sound(sound), random)[:2] for sound in speak(others, random, rate, engine) if len(sound)]

    def piece(self, lane: int, index: int) -> Piece:
        """The piece `index` of `lane`: a few words and the pauses between them, or talk, or none; noise under it."""
        random = np.random.default_rng([self._seed, 2, lane, index])
        config, rate, hop = self._config, self._recognizer.rate, self._recognizer.hop
        kind = random.random()
        if kind < config.silent:
            placed, length = [], int(random.uniform(*_SILENT_S) * rate)
        elif kind < config.silent + config.talking and self._long:
            talk = self._talk(random)
            placed, length = [(0, talk)], len(talk.samples)
        else:
            placed, length = self._sentence(random)
        frames = -(-length // hop)
        sound = np.zeros(frames * hop, np.float32)
        spans = []
        for start, each in placed:
            # Neighbouring words differ in loudness by a little, streams by a lot.
            gain = np.float32(10 ** (random.uniform(-4, 4) / 20))
            sound[start : start + len(each.samples)] += each.samples * gain
            spans += [Span(start + s.start, start + s.end, s.label) for s in each.spans]
        sound = self._in_noise(sound, random, np.random.default_rng([self._seed, 3, lane, index // _CONDITION]))
        target, teaches = targets(self._recognizer, frames, spans)
        return Piece(sound[:, None], target, teaches, bool(random.random() < config.anew))

    def judged(self, clips: Sequence[Clip]) -> list[Piece]:
        """Pieces to judge a network on: each clip as it is, with half a second of silence before and after it."""
        pad = self._recognizer.rate // 2
        silence = np.zeros((pad, self._recognizer.channels), np.float32)
        padded = [
            replace(
                clip,
                samples=np.concatenate([silence, clip.samples, silence]),
                spans=tuple(Span(span.start + pad, span.end + pad, span.label) for span in clip.spans),
                known=((0, 2 * pad + len(clip.samples)),),
            )
            for clip in clips
            if not clip.background.startswith(_ROOM)
        ]
        return [whole_piece(self._recognizer, clip) for clip in padded]

    def suspects(self, step: int) -> Iterator[Samples]:
        """Windows of everything in which nothing may be recognised, each in a noise that a lane might have."""
        # Without noise next to nothing fools a network that is half trained: talk does that noise hides in part.
        random = np.random.default_rng([self._seed, 4, step])
        return (self._in_noise(window, random, random) for pool in self._suspects for window in pool.windows())

    def weigh(self, scores: Samples) -> None:
        """Let what fooled the network come more often."""
        start = 0
        for pool in self._suspects:
            pool.weigh(scores[start : start + len(pool)])
            start += len(pool)

    def _sentence(self, random: Generator) -> tuple[list[tuple[int, Sound]], int]:
        """A few words one after another: where each begins, and how long it all is."""
        config, rate = self._config, self._recognizer.rate
        together = random.random() < 0.5 and self._groups  # none if all words are made from text
        one_group = self._groups[int(random.integers(len(self._groups)))] if together else ""
        placed: list[tuple[int, Sound]] = []
        at = int(random.uniform(config.pause_ms.least, config.pause_ms.most) * rate / 1000)
        for _ in range(int(random.integers(int(config.words.least), int(config.words.most) + 1))):
            word = self._word(random, one_group)
            placed.append((at, word))
            at += word.end + self._pause(random)
        length = max(start + len(word.samples) for start, word in placed) + int(_TAIL_S * rate)
        tail = round(self._recognizer.config.targets.after_ms * rate / 1000)
        return placed, max(length, at + tail)

    def _word(self, random: Generator, group: str) -> Sound:
        if self._suspects and random.random() < self._config.background:
            return self._suspects[int(random.integers(len(self._suspects)))].draw(random)
        label = int(random.integers(len(self._labels)))
        word = self._labelled(random, label, group)
        return half(word, random, self._recognizer.rate) if random.random() < self._config.broken else word

    def _labelled(self, random: Generator, label: int, group: str) -> Sound:
        if self._spoken[label] and (not self._groups or random.random() < self._share()):
            return self._pick(self._spoken[label], random)
        groups = [group] if (group, label) in self._real else [g for g in self._groups if (g, label) in self._real]
        if not groups:
            return self._pick(self._spoken[label], random)
        return self._pick(self._real[groups[int(random.integers(len(groups)))], label], random)

    def _share(self) -> float:
        return self._config.speech.share if self._config.speech is not None else 0.0

    def _talk(self, random: Generator) -> Sound:
        """A few seconds of a long recording, with the labels in them."""
        rate, whole = self._recognizer.rate, self._recognizer.config.targets.place == "whole"
        # Where a label holds for long, such recordings are the material, and each second of them counts the same.
        sound = self._by_length(self._long, random) if whole else self._pick(self._long, random)
        length = min(len(sound.samples), int(random.uniform(*_TALK_S) * rate))
        start = int(random.integers(len(sound.samples) - length + 1))
        # Half a word is none; half a stretch of what holds all along is a shorter one.
        piece = (stretch if whole else cut)(sound, start, start + length)
        return Sound(faded(piece.samples, rate), piece.spans)

    @staticmethod
    def _pick(sounds: list[Sound], random: Generator) -> Sound:
        return sounds[int(random.integers(len(sounds)))]

    @staticmethod
    def _by_length(sounds: list[Sound], random: Generator) -> Sound:
        sums = np.cumsum([len(sound.samples) for sound in sounds])
        return sounds[int(np.searchsorted(sums, random.integers(sums[-1]), side="right"))]

    def _pause(self, random: Generator) -> int:
        config = self._config
        if random.random() < config.connected:
            milliseconds = random.uniform(-config.overlap_ms, config.pause_ms.least)
        else:
            milliseconds = random.uniform(config.pause_ms.least, config.pause_ms.most)
        return int(milliseconds * self._recognizer.rate / 1000)

    def _in_noise(self, sound: Samples, random: Generator, condition: Generator) -> Samples:
        """In the noise and at the level of its lane; `condition` is the same for a few pieces in a row."""
        config = self._config
        clean, level = condition.random() < config.clean, condition.uniform(config.snr_db.least, config.snr_db.most)
        gain = condition.uniform(config.gain_db.least, config.gain_db.most)
        neighbour = self._long and condition.random() < config.babble
        pool = [each.samples for each in self._long] if neighbour else self._noises
        noise = pool[int(condition.integers(len(pool)))]
        if not clean:
            start = int(random.integers(len(noise)))
            under = np.take(noise, np.arange(start, start + len(sound)), mode="wrap")
            sound = sound + under * np.float32(10 ** (-level / 20))
        peak = max(1e-2, float(np.abs(sound).max()))
        return sound * np.float32(10 ** (gain / 20) / peak)
