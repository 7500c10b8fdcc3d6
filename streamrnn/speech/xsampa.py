"""English phonemes as the voices of SVOX Pico read them, in X-SAMPA: each language knows its own and drops others.

So every phoneme has substitutes, the nearest first, as in `speech.accents`, of which the first that it knows is spoken.
"""

from __future__ import annotations

import itertools

from streamrnn.speech.phonemes import STRESSES, Sounds, bare, plain

# Of several symbols those with spaces between them are known one by one. A backslash is written twice in markup.
_R = "r\\\\"
_SUBSTITUTES = {
    "p": ("p",), "b": ("b",), "t": ("t",), "d": ("d",), "k": ("k",), "g": ("g",), "?": (), "x": ("x", "k"),
    "tS": ("t_S",), "dZ": ("d_Z", "j"), "f": ("f",), "v": ("v", "b"), "T": ("T", "s"), "D": ("D", "d"),
    "s": ("s",), "z": ("z", "s"), "S": ("S", "s"), "Z": ("Z", "S", "s"), "h": ("h", "x"), "m": ("m",), "n": ("n",),
    "N": ("N",), "l": ("l",), "r": (_R, "R", "r"), "j": ("j", "i"), "w": ("w", "u"),
    "i:": ("i:", "i"), "i": ("i", "i:"), "I": ("I", "i"), "E": ("E", "e"), "a": ("{", "a"), "aa": ("{", "a"),
    "A:": ("A:", "a:", "a"), "0": ("Q", "O", "o"), "O:": ("O:", "O", "o"), "U": ("U", "u"), "u:": ("u:", "u"),
    "V": ("V", "a"), "@": ("@", "e"), "3:": ("3:", "9 R", "e r"), "3": (f"@ {_R}", "6", "9 R", "e r"),
    "A@": (f"A: {_R}", "a: R", "a R", "a r"), "O@": (f"O: {_R}", "O R", "O: r", "o r"),
    "U@": (f"U {_R}", "U R", "u R", "u r"), "e@": (f"E {_R}", "E R", "E r", "e r"),
    "i@": ("I_@", "I @", "i: 6", "i @", "i e"), "eI": ("e_I", "E I", "E j", "E i", "e i"), "aI": ("a_I", "a j", "a i"),
    "aU": ("a_U", "a u"), "oU": ("@_U", "o_U", "o: U", "o u"), "OI": ("O_I", "O_Y", "O j", "O: i", "o i"),
    "aI@": ("a_I @", "a j @", "a i e"),
    "e": ("e", "E"), "o": ("o", "O:"), "O": ("O", "Q", "O:", "o"), "A": ("Q", "a"), "u": ("u", "u:"),
    "y": ("y", "u:", "u"), "Y:": ("2", "3:", "e"), "W": ("9", "3:", "e"),
}  # fmt: skip

_ENGLISH = f"i: I E {{ A: Q O: U u: V @ 3: e_I a_I a_U O_I p b t d k g t_S d_Z f v T D s z S Z h m n N l j w {_R}"
# What changes the sound of the voices of ttspico 0.3.2.
_KNOWN = {
    "en-US": f"{_ENGLISH} o_U",
    "en-GB": f"{_ENGLISH} @_U I_@",
    "de-DE": "i i: I e e: E a a: O o o: U u u: @ y y: 2 9 6 a_I a_U O_Y "
    "p b t d k g t_S d_Z f v s z S Z x h m n N l R j",
    "es-ES": "i e a o u p b t d k g t_S f T D s x m n N l r j",
    "fr-FR": "i e E a O o u @ y 2 9 p b t d k g t_S d_Z f v s z S Z m n N l R j w",
    "it-IT": "i i: e e: E a a: O: o o: u u: p b t d k g t_S d_Z f v s z S m n N l r",
}
# What people say though they have a nearer one.
_OWN = {"de-DE": {"w": "v"}}
KNOWN = {language: frozenset(symbols.split()) for language, symbols in _KNOWN.items()}


def transcribed(word: Sounds, language: str) -> str:
    """The phonemes of an English word, as espeak-ng names them, in X-SAMPA; with their stress in English.

    Within a syllable the mark of stress breaks words in two in the other languages, which find a stress themselves.
    """
    english = language.startswith("en")
    said: list[str] = []
    for sound in plain(word):
        own = _own(bare(sound), language).split()
        if own and english and sound[0] in STRESSES:
            own[0] = f'"{own[0]}'
        said += own
    # A vowel that ends in r often stands before another.
    return " ".join(symbol for symbol, _ in itertools.groupby(said))


def _own(sound: str, language: str) -> str:
    choices, known = _SUBSTITUTES.get(sound, ()), KNOWN[language]
    nearest = next((each for each in choices if known.issuperset(each.split())), "")
    return _OWN.get(language, {}).get(sound, nearest)
