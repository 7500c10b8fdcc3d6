"""Random sentences of common and invented words, in which certain phrases never occur, nor anything that sounds so."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

from numpy.random import Generator

from streamrnn.errors import SpeechError
from streamrnn.speech import espeak
from streamrnn.speech.phonemes import Sounds, nearest, plain, total
from streamrnn.speech.vocabulary import CODAS, KINDS, NUCLEI, ONSETS, SHAPES

# No stretch of a sentence comes nearer to a phrase than this share of what the phrase weighs.
_APART_SHARE = 0.25
_TRIES = 50  # a sentence that is asked for
_SYLLABLES = (1, 2, 2, 3)


def sentences(random: Generator, count: int, avoid: Sequence[str] = ()) -> list[str]:
    """`count` sentences of 1 to 14 words, about one word in fifteen invented, without the phrases of `avoid`.

    A phrase counts as there when the phonemes of some stretch come within a quarter of it. Raises SpeechError if that
    leaves too few sentences, as a phrase of one sound does, or if espeak-ng is missing.
    """
    phrases = [plain(sum(said, ())) for said in espeak.pronounce(avoid)]
    found: list[str] = []
    tried = 0
    while len(found) < count:
        batch = [_sentence(random) for _ in range(count - len(found))]
        tried += len(batch)
        found += [text for text, said in zip(batch, _sounds(batch), strict=True) if not _any(phrases, said)]
        if tried > _TRIES * count:
            told = ", ".join(map(repr, avoid))
            raise SpeechError(f"{told}: nearly every sentence has something like it; choose a longer phrase")
    return found


def invented(random: Generator) -> str:
    """A word that is none, as English might spell it: "blorten"."""
    return "".join(_syllable(random) for _ in range(int(random.choice(_SYLLABLES))))


def _sentence(random: Generator) -> str:
    shape = SHAPES[int(random.integers(len(SHAPES)))]
    said = ""
    for part in shape.split():
        if part in (",", ".", "?"):
            said += part
            continue
        word = invented(random) if part == "W" else _one(random, KINDS[part]) if part in KINDS else part
        said += f" {word}"
    return said[1:2].upper() + said[2:]


def _syllable(random: Generator) -> str:
    return _one(random, ONSETS) + _one(random, NUCLEI) + (_one(random, CODAS) if random.random() < 0.6 else "")


def _sounds(texts: Sequence[str]) -> Iterator[Sounds]:
    """The phonemes of sentences, word by word: most words have been looked up before."""
    split = [[word.strip(",.?").lower() for word in text.split()] for text in texts]
    known = _pronounced()
    unknown = sorted({word for each in split for word in each} - known.keys())
    own = {**known, **dict(zip(unknown, map(_plain, espeak.pronounce(unknown)), strict=True))}
    return (sum((own[word] for word in each), ()) for each in split)


@functools.cache
def _pronounced() -> dict[str, Sounds]:
    spelled = sorted({word.lower() for each in KINDS.values() for text in each for word in text.split()})
    return dict(zip(spelled, map(_plain, espeak.pronounce(spelled)), strict=True))


def _plain(said: espeak.Pronunciation) -> Sounds:
    return plain(sum(said, ()))


def _any(phrases: Sequence[Sounds], said: Sounds) -> bool:
    return any(nearest(phrase, said) < _APART_SHARE * total(phrase) for phrase in phrases)


def _one(random: Generator, choices: Sequence[str]) -> str:
    return choices[int(random.integers(len(choices)))]
