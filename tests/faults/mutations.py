"""Inputs for parsers: what was once right, with pieces cut out, doubled, exchanged or taken from what hurts."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import random
import zipfile
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

_TOKENS = (
    b"null",
    b"-1",
    b"1e999",
    b"NaN",
    b"-0.0",
    b"9223372036854775808",
    b"18446744073709551616",
    b'"\\ud800"',
    b'""',
    b"{}",
    b"[]",
    b"[[[[",
    b"&a ",
    b"*a",
    b"!!python/object:os.system ",
    b"<<: ",
    b": ",
    b"- ",
    b"\t",
    b"\n",
    b"\r",
    b",",
    b'"',
    b"'",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xf0\x9f\x8e\xa4",
    b"\xff\xff\xff\x7f",
    b"\xff\xff\xff\xff",
    b"\0\0\0\x80",
    b"\0" * 8,
    b"9" * 400,
    b"0x10",
    b"1_0",
    b"inf",
    b"2024-02-30",
    b"2024-01-01T25:00:00",
)
_DEEP = (b"[", b"{", b'{"a":', b"- ", b"? ", b"\x91", b"\x81\xa1a")


def mutate(chance: random.Random, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds, changed in up to six places; now and then something that was never right."""
    if chance.random() < 0.02:
        return chance.randbytes(chance.randrange(200))
    if chance.random() < 0.001:
        return chance.choice(_DEEP) * chance.randrange(3000)  # which takes long to refuse
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
        start = _place(chance, data)
        length = chance.choice((1, 1, 2, 4, 8, chance.randint(1, 64)))
        how = chance.randrange(7)
        if how == 0:
            del data[start : start + length]
        elif how == 1:
            data[start:start] = data[start : start + length] * chance.choice((1, 1, 2, 20))
        elif how == 2 and data:
            data[min(start, len(data) - 1)] ^= 1 << chance.randrange(8)
        elif how == 3:
            data[start : start + length] = chance.randbytes(length)
        elif how == 4:
            data[start : start + chance.choice((0, length))] = chance.choice(_TOKENS)
        elif how == 5:
            other = chance.choice(seeds)
            place = _place(chance, other)
            data[start:start] = other[place : place + chance.randint(1, 64)]
        elif chance.random() < 0.3:
            del data[start:]
    return bytes(data)


@functools.lru_cache(64)
def _members(data: bytes) -> dict[str, bytes]:
    """The members of an archive; none of what is damaged."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    except Exception:  # zipfile and zlib have errors of their own
        return {}


def mutate_archive(
    chance: random.Random,
    seeds: Sequence[bytes],
    table: str = "",
    inner: Mapping[str, Callable[[random.Random, Sequence[bytes]], bytes]] = MappingProxyType({}),
) -> bytes:
    """An archive of which one member is changed and packed again, so that what reads the member gets to see it.

    `table` names a member of JSON with the sha256 of the others, which are made to agree again. Members whose names end
    as a key of `inner` have the mutator there.
    """
    members = dict(_members(chance.choice(seeds)))
    if chance.random() < 0.3 or not members:
        return mutate(chance, seeds)
    name = chance.choice(list(members))
    how = next((each for ending, each in inner.items() if name.endswith(ending)), mutate)
    members[name] = how(chance, [members[name]])
    if chance.random() < 0.05:
        del members[chance.choice(list(members))]
    if table and name != table and table in members:
        with contextlib.suppress(ValueError, TypeError):
            written = json.loads(members[table])
            others = {each: data for each, data in members.items() if each != table}
            written["members"] = {each: hashlib.sha256(data).hexdigest() for each, data in others.items()}
            members[table] = json.dumps(written).encode()
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_STORED) as archive:
        for each, data in members.items():
            archive.writestr(each, data)
    return memory.getvalue()


def _place(chance: random.Random, data: Sequence[int]) -> int:
    """Anywhere, and half of the time near the beginning, where headers are."""
    return chance.randint(0, min(len(data), 80) if chance.random() < 0.5 else len(data))
