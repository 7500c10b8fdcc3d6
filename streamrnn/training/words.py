"""Words at random places in endless lanes: clips, pauses, noise and rooms put together anew from the seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.random import Generator

from streamrnn.errors import ConfigError, RecordingError
from streamrnn.recognizer import Recognizer
from streamrnn.speech import espeak
from streamrnn.speech.speaking import speak
from streamrnn.training import augment
from streamrnn.training.pieces import Clip, Piece, Samples, Span, Supply, targets
from streamrnn.training.plan import SpeechConfig, WordsConfig
from streamrnn.training.whole import whole_piece

_TAIL_S = 0.1
_SHORTEST_S = 0.01  # what is marked over less is an instant, not a word
Word = tuple[Samples, int]  # a variant of a clip, and where what is said in it ends


class Words:
    """The material of a keyword: every clip in several variants, from which pieces of a few words are composed."""

    def __init__(self, config: WordsConfig, recognizer: Recognizer, clips: Sequence[Clip], supply: Supply) -> None:
        """Raises RecordingError if a label has no clip, recorded or from text; ConfigError for many channels."""
        if recognizer.channels != 1:
            raise ConfigError(f"material.kind: words are sound of 1 channel, not {recognizer.channels}; use recordings")
        self._config, self._recognizer, self._seed = config, recognizer, supply.seed
        random = np.random.default_rng([supply.seed, 1])
        rate = recognizer.rate
        self._labels = list(recognizer.config.labels)
        words = [(clip, span) for clip in clips for span in clip.spans if span.end - span.start >= rate * _SHORTEST_S]
        self._groups = sorted({clip.group for clip, _ in words})
        # By group and label: the variants of each clip.
        self._real: dict[tuple[str, int], list[Word]] = {}
        sounds = [clip.samples[span.start : span.end, 0] for clip, span in words]
        for (clip, span), sound in zip(words, sounds, strict=True):
            self._real.setdefault((clip.group, span.label), []).extend(self._variants(sound, random))
        self._spoken: list[list[Word]] = [[] for _ in self._labels]
        self._others: list[Word] = []
        for clip in clips:
            if not clip.spans and not clip.background.startswith("_noise") and len(clip.samples) > rate // 10:
                self._others.extend(self._variants(clip.samples[:, 0], random))
        if config.speech is not None and espeak.available():
            self._speak(config.speech, random)
        for label, name in enumerate(self._labels):
            if not self._spoken[label] and not any(key[1] == label for key in self._real):
                raise RecordingError(f"label {name!r}: no recording in the data; add some or take the label out")
        self._noises = augment.noises(random, rate, sounds)
        self._noises += [
            clip.samples[:, 0] / max(1e-6, float(np.sqrt(np.mean(clip.samples**2))))
            for clip in clips
            if clip.background.startswith("_noise")
        ]

    def _variants(self, sound: Samples, random: Generator) -> list[Word]:
        return [
            augment.variant(sound, random, self._config, self._recognizer.rate) for _ in range(self._config.variants)
        ]

    def _speak(self, speech: SpeechConfig, random: Generator) -> None:
        texts = [text for text in speech.texts.values() for _ in range(speech.clips)]
        spoken = speak(texts, random, self._recognizer.rate)
        for i, name in enumerate(speech.texts):
            if name in self._labels:
                for sound in spoken[i * speech.clips : (i + 1) * speech.clips]:
                    self._spoken[self._labels.index(name)].extend(self._variants(sound, random)[:2])
        for sound in speak([text for text in speech.others for _ in range(8)], random, self._recognizer.rate):
            self._others.extend(self._variants(sound, random)[:2])

    def piece(self, lane: int, index: int) -> Piece:
        """The piece `index` of `lane`: a few words, the pauses between them and the noise under them."""
        random = np.random.default_rng([self._seed, 2, lane, index])
        config, rate, hop = self._config, self._recognizer.rate, self._recognizer.hop
        one_group = self._groups[int(random.integers(len(self._groups)))] if random.random() < 0.5 else ""
        placed: list[tuple[int, Word, int]] = []
        at = int(random.uniform(config.pause_ms.least, config.pause_ms.most) * rate / 1000)
        for _ in range(int(random.integers(2, 8))):
            word, label = self._word(random, one_group)
            placed.append((at, word, label))
            at += word[1] + self._pause(random)
        length = max(start + len(word[0]) for start, word, _ in placed) + int(_TAIL_S * rate)
        tail = round(self._recognizer.config.targets.after_ms * rate / 1000)
        frames = -(-max(length, at + tail) // hop)
        sound = np.zeros(frames * hop, np.float32)
        spans = []
        for start, (samples, end), label in placed:
            # Neighbouring words differ in loudness by a little, streams by a lot.
            sound[start : start + len(samples)] += samples * np.float32(10 ** (random.uniform(-4, 4) / 20))
            if label >= 0:
                spans.append(Span(start, start + end, label))
        sound = self._in_noise(sound, random)
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
        ]
        return [whole_piece(self._recognizer, clip) for clip in padded]

    def _word(self, random: Generator, group: str) -> tuple[Word, int]:
        if self._others and random.random() < self._config.background:
            return self._others[int(random.integers(len(self._others)))], -1
        label = int(random.integers(len(self._labels)))
        if self._spoken[label] and (not self._groups or random.random() < self._share()):
            return self._pick(self._spoken[label], random), label
        groups = [group] if (group, label) in self._real else [g for g in self._groups if (g, label) in self._real]
        if not groups:
            return self._pick(self._spoken[label], random), label
        return self._pick(self._real[groups[int(random.integers(len(groups)))], label], random), label

    def _share(self) -> float:
        return self._config.speech.share if self._config.speech is not None else 0.0

    @staticmethod
    def _pick(words: list[Word], random: Generator) -> Word:
        return words[int(random.integers(len(words)))]

    def _pause(self, random: Generator) -> int:
        config = self._config
        if random.random() < config.connected:
            milliseconds = random.uniform(-config.overlap_ms, config.pause_ms.least)
        else:
            milliseconds = random.uniform(config.pause_ms.least, config.pause_ms.most)
        return int(milliseconds * self._recognizer.rate / 1000)

    def _in_noise(self, sound: Samples, random: Generator) -> Samples:
        config = self._config
        if random.random() >= config.clean:
            noise = self._noises[int(random.integers(len(self._noises)))]
            start = int(random.integers(len(noise)))
            under = np.take(noise, np.arange(start, start + len(sound)), mode="wrap")
            sound = sound + under * np.float32(10 ** (-random.uniform(config.snr_db.least, config.snr_db.most) / 20))
        peak = max(1e-6, float(np.abs(sound).max()))
        return sound * np.float32(10 ** (random.uniform(config.gain_db.least, config.gain_db.most) / 20) / peak)
