"""Phrases that sound like another and are not: what a recognizer of that phrase must be shown to tell them apart.

A phrase's phonemes are replaced, left out, added and exchanged, those first that are made alike (`speech.phonemes`);
it is cut to its beginning or its end, or goes on differently; and common words that sound like it join in. What comes
out as near to the phrase, in any of the accents, as two people's ways of saying it are, is left out.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence

from numpy.random import Generator

from streamrnn.errors import SpeechError
from streamrnn.speech import accents, espeak, vocabulary
from streamrnn.speech.accents import in_brackets, read
from streamrnn.speech.phonemes import (
    CONSONANTS,
    STRESSES,
    VOWELS,
    Sounds,
    bare,
    difference,
    distance,
    is_vowel,
    nearest,
    plain,
    total,
)
from streamrnn.speech.voices import ENGLISH, FOREIGN

Words = tuple[Sounds, ...]

# Nearer than this, as a distance and as a share of what the whole phrase weighs, it may be the phrase itself.
_SAME, _SAME_SHARE = 0.5, 0.15
# Changed further than this share of what the phrase weighs, it is another phrase; cuts may be shorter.
_FAR_SHARE = 0.6
# How much likelier a near substitute is than a far one: one e-fold each so much difference.
_NEARNESS = 0.25
_LONGEST_CLUSTER = 3
_WEAK_VOWELS = ("@", "3", "I", "I2", "a#")
_TRIES = 40  # a phrase that is asked for
_SOUND_ALIKE = 12

# What English words are made of; the rest of the tables are other names and other languages.
_CONSONANTS = tuple(name for name in CONSONANTS if name not in ("x", "?"))
_VOWELS = tuple(name for name in VOWELS if name not in ("aa", "e", "o", "O", "A", "u", "y", "Y:", "W"))


def near_misses(phrase: str, random: Generator, count: int, avoid: Sequence[str] = ()) -> list[str]:
    """Up to `count` different ones, as espeak-ng reads them: `[[dZ|'A@|m|I|s]]`. A short phrase may have fewer.

    None of them can be taken for the phrase, nor for another of `avoid`. Raises SpeechError for a phrase that is no
    English words, or if espeak-ng is missing.
    """
    words = spoken(phrase)
    judge = _Judge(phrase, [phrase, *avoid])
    found: dict[str, None] = dict.fromkeys(_alike(judge, min(_SOUND_ALIKE, count // 8)))
    for _ in range(_TRIES * count):
        if len(found) >= count:
            break
        change = _CHANGES[int(random.choice(len(_CHANGES), p=_SHARES))]
        made = change(words, random)
        if judge.accepts(made):
            found.setdefault(in_brackets(made))
    texts = list(found)
    return [texts[place] for place in random.permutation(len(texts))]


def spoken(phrase: str) -> Words:
    """The words of a phrase in American phonemes. Raises SpeechError for a phrase without any."""
    (words,) = espeak.pronounce([phrase])
    if not any(is_vowel(sound) for word in words for sound in word):
        raise SpeechError(f"{phrase!r}: espeak-ng finds no word in it; write it as it is spoken, in English letters")
    return words


class _Judge:
    """Knows how phrases are said in every accent, and what is too near to any of them or too far from the first."""

    def __init__(self, phrase: str, phrases: Sequence[str]) -> None:
        self.sounds = plain(sum(spoken(phrase), ()))
        self._whole = total(self.sounds)
        american = [sum(spoken(each), ()) for each in phrases]
        self._said: dict[str, tuple[Sounds, ...]] = {}
        for accent in (*ENGLISH, *FOREIGN):
            # The accent's own dictionary may have another pronunciation than its rendering of the American one.
            said = [plain(accents.render(sounds, accent)) for sounds in american]
            if accent in ENGLISH:
                said += [plain(sum(own, ())) for own in espeak.pronounce(phrases, accent)]
            self._said[accent] = tuple(dict.fromkeys(said))

    def accepts(self, made: Words) -> bool:
        """Whether it can be said, and is neither one of the phrases nor far from the first."""
        sounds = plain(sum(made, ()))
        if not made or not all(map(_pronounceable, made)) or _too_near(sounds, self.sounds):
            return False
        if distance(sounds, self.sounds) > max(_FAR_SHARE * self._whole, self._whole - total(sounds)) + 1e-9:
            return False
        # Many accents say the same of it.
        heard = {(plain(accents.render(sum(made, ()), accent)), said) for accent, said in self._said.items()}
        return not any(_too_near(sounds, said) for sounds, each in heard for said in each)


def _too_near(sounds: Sounds, said: Sounds) -> bool:
    # Any stretch of it: who says "jarvises" says the phrase and something more.
    return nearest(said, sounds) < max(_SAME, _SAME_SHARE * total(said)) - 1e-9


def _alike(judge: _Judge, count: int) -> list[str]:
    """The common words that sound most like the phrase."""
    near = sorted((distance(plain(sounds), judge.sounds), word) for word, sounds in pronounced().items())
    found = [in_brackets((pronounced()[word],)) for _, word in near[: 4 * count]]
    return [text for text in found if judge.accepts(read(text))][:count]


@functools.cache
def pronounced() -> dict[str, Sounds]:
    """Every common word with its phonemes. Raises SpeechError."""
    words = vocabulary.words()
    return {word: sum(said, ()) for word, said in zip(words, espeak.pronounce(words), strict=True)}


def _substitute(words: Words, random: Generator) -> Words:
    word, place = _somewhere(words, random)
    return _put(words, word, place, 1, (_like(words[word][place], random),))


def _substitute_twice(words: Words, random: Generator) -> Words:
    return _substitute(_substitute(words, random), random)


def _leave_out(words: Words, random: Generator) -> Words:
    word, place = _somewhere(words, random)
    return _put(words, word, place, 1, ())


def _add(words: Words, random: Generator) -> Words:
    word, place = _somewhere(words, random)
    place += int(random.integers(2))
    added = _CONSONANTS if random.random() < 0.6 else _VOWELS
    return _put(words, word, place, 0, (added[int(random.integers(len(added)))],))


def _exchange(words: Words, random: Generator) -> Words:
    """Two sounds of a kind in the place of one another: of a cluster, or the beginnings of two syllables."""
    word, place = _somewhere(words, random)
    others = [
        (w, p)
        for w, sounds in enumerate(words)
        for p, sound in enumerate(sounds)
        if is_vowel(sound) == is_vowel(words[word][place]) and bare(sound) != bare(words[word][place])
    ]
    if not others:
        return words
    other, there = others[int(random.integers(len(others)))]
    one, two = (_by_itself(sound) for sound in (words[word][place], words[other][there]))
    # The stress stays where it is.
    moved = _put(words, word, place, 1, (_stress(one) + bare(two),))
    return _put(moved, other, there, 1, (_stress(two) + bare(one),))


def _beginning(words: Words, random: Generator) -> Words:
    return _cut(words, 0, int(random.integers(2, max(3, _length(words)))))


def _end(words: Words, random: Generator) -> Words:
    return _cut(words, int(random.integers(1, max(2, _length(words) - 1))), _length(words))


def _without_a_word(words: Words, random: Generator) -> Words:
    if len(words) == 1:
        return _beginning(words, random)
    place = int(random.integers(len(words)))
    return words[:place] + words[place + 1 :]


def _goes_on(words: Words, random: Generator) -> Words:
    """The beginning of the phrase, and then the end of a common word."""
    begun = _beginning(words, random)
    tail = _common(random)
    return (*begun[:-1], begun[-1] + _unstressed(tail[len(tail) // 2 :]))


def _begins(words: Words, random: Generator) -> Words:
    """The beginning of a common word, and then the end of the phrase."""
    ending = _end(words, random)
    start = _common(random)
    return (start[: 1 + len(start) // 2] + ending[0], *ending[1:])


_CHANGES: tuple[Callable[[Words, Generator], Words], ...] = (
    _substitute, _substitute_twice, _leave_out, _add, _exchange, _beginning, _end, _without_a_word, _goes_on, _begins,
)  # fmt: skip
_SHARES = (0.3, 0.15, 0.07, 0.08, 0.07, 0.07, 0.07, 0.05, 0.07, 0.07)


def _like(sound: str, random: Generator) -> str:
    """Another sound of the same kind, likelier the more alike it is."""
    (own,) = plain((sound,))[:1] or ("@",)
    others = [each for each in (_VOWELS if is_vowel(sound) else _CONSONANTS) if each != bare(own)]
    chances = [math.exp(-difference(_stress(own) + each, own) / _NEARNESS) for each in others]
    drawn = random.choice(len(others), p=[chance / sum(chances) for chance in chances])
    return _stress(sound) + others[int(drawn)]


def _pronounceable(word: Sounds) -> bool:
    """Whether English could have such a word: a vowel, clusters as in English, no h, w, j or r where none can be."""
    names = [bare(sound) for sound in word]
    kinds = [is_vowel(name) for name in names]
    if not any(kinds):
        return False
    first = kinds.index(True)
    if not all(_begins_so(one, two) for one, two in itertools.pairwise(names[:first])):
        return False
    if any(sum(1 for _ in run) > _LONGEST_CLUSTER for vowel, run in itertools.groupby(kinds) if not vowel):
        return False
    for place, (name, vowel) in enumerate(zip(names, kinds, strict=True)):
        after_vowel = place > 0 and kinds[place - 1]
        if place and names[place - 1] == name:
            return False
        # Two vowels meet in "lion" and "going": one that ends high, and one without stress.
        if vowel and after_vowel and not (names[place - 1][-1] in "IU:" and word[place] in _WEAK_VOWELS):
            return False
        if name in ("h", "w", "j", "r") and not any(kinds[place + 1 : place + 2]):
            return False
        if name == "N" and not after_vowel:
            return False
    return True


def _begins_so(one: str, two: str) -> bool:
    """Whether two consonants can follow one another at the beginning of a word, as in "tree" and "sky"."""
    a, b = (CONSONANTS[each] for each in plain((one, two)))
    return (bool(b.approximant) and not a.approximant and not a.nasal) or (
        one == "s" and two in ("p", "t", "k", "m", "n")
    )


def _somewhere(words: Words, random: Generator) -> tuple[int, int]:
    at = int(random.integers(_length(words)))
    for word, sounds in enumerate(words):
        if at < len(sounds):
            return word, at
        at -= len(sounds)
    raise AssertionError("a place within the words")


def _put(words: Words, word: int, place: int, instead_of: int, sounds: Sounds) -> Words:
    changed = words[word][:place] + sounds + words[word][place + instead_of :]
    return tuple(each for i, old in enumerate(words) if (each := changed if i == word else old))


def _cut(words: Words, start: int, end: int) -> Words:
    """The sounds `[start, end)` of all, in their words."""
    kept: list[Sounds] = []
    for sounds in words:
        kept.append(sounds[max(0, start) : max(0, end)])
        start, end = start - len(sounds), end - len(sounds)
    return tuple(filter(None, kept))


def _common(random: Generator) -> Sounds:
    words = list(pronounced().values())
    return words[int(random.integers(len(words)))]


def _length(words: Words) -> int:
    return sum(map(len, words))


def _by_itself(sound: str) -> str:
    """A sound without the marks of what is beside it, as the flap of "water" is a t."""
    alone = plain((sound,))
    return alone[0] if len(alone) == 1 else sound


def _stress(sound: str) -> str:
    return sound[: len(sound) - len(bare(sound))]


def _unstressed(sounds: Sequence[str]) -> Sounds:
    return tuple(sound.lstrip(STRESSES) for sound in sounds)
