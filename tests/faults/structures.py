"""Inputs that are wrong beneath what is sound: values of a tree exchanged, and checksums made right again after it."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import random
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from mutations import mutate, mutate_archive

from streamrnn import config, journal, statefile, wire
from streamrnn.errors import UserError

Mutator = Callable[[random.Random, Sequence[bytes]], bytes]

_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    2**31,
    2**53,
    2**62,
    2**63 - 1,
    2**63,
    2**64 - 1,
    -(2**63),
    10**40,
    0.5,
    -0.0,
    1e308,
    5e-324,
    float("nan"),
    float("inf"),
    "",
    "_",
    ".",
    "/",
    "\0",
    "\ud800",
    "9" * 400,
    "a" * 70,
    "NaN",
    "float32",
    "mic",
    "tcp://127.0.0.1:1",
    b"",
    b"\xff" * 9,
    [],
    {},
    [0],
    {"": 0},
)
_MOST_PLACES = 2000


def change(chance: random.Random, tree: Any) -> Any:
    """A tree of dicts and lists, changed in one to three places."""
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        places = _places(tree)
        if not places:
            return chance.choice(_VALUES)
        holder, key = chance.choice(places)
        how = chance.randrange(8)
        if how == 0:
            del holder[key]
        elif how == 1:
            other, place = chance.choice(places)
            holder[key] = _copied(other[place]) if place in other or isinstance(other, list) else None
        elif how == 2:
            holder[key] = [holder[key]] if chance.random() < 0.5 else {"a": holder[key]}
        elif how == 3 and isinstance(holder, dict):
            holder[chance.choice(("a", "kind", str(key)[:-1], str(key) + "_", ""))] = holder.pop(key)
        elif how == 4 and isinstance(holder, list):
            holder[:] = holder * chance.choice((0, 2, 20))
        else:
            holder[key] = _near(chance, holder[key])
    return tree


def _near(chance: random.Random, value: Any) -> Any:
    """A value of the same kind, or one that hurts."""
    if chance.random() < 0.4:
        if isinstance(value, bool):
            return not value
        if isinstance(value, int):
            return value + chance.choice((-1, 1, 7, -value, 1 << chance.randrange(66), -(1 << chance.randrange(64))))
        if isinstance(value, float):
            return value * chance.choice((-1.0, 1e-9, 1e9, 1.5, 1e300))
        if isinstance(value, str):
            return mutate(chance, [value.encode(errors="replace")]).decode(errors="replace")[:500]
        if isinstance(value, bytes):
            return mutate(chance, [value])[:5000]
    return _copied(chance.choice(_VALUES))


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(each) for key, each in value.items()}
    return [_copied(each) for each in value] if isinstance(value, list) else value


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """Every container of a tree with every key in it."""
    found: list[tuple[Any, Any]] = []
    waiting = [tree]
    while waiting and len(found) < _MOST_PLACES:
        one = waiting.pop()
        if isinstance(one, (dict, list)):
            keys = list(one) if isinstance(one, dict) else range(len(one))
            found += [(one, key) for key in keys]
            waiting += [one[key] for key in keys]
    return found


def _json(chance: random.Random, tree: Any) -> bytes:
    """JSON, mostly the quick way; the slow one also writes NaN, numbers of any length and half characters."""
    if chance.random() < 0.8:
        with contextlib.suppress(msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError):
            return msgspec.json.encode(tree)
    return json.dumps(tree, default=lambda value: value.decode("latin-1"), skipkeys=True).encode()


def mutate_json(chance: random.Random, seeds: Sequence[bytes]) -> bytes:
    """A JSON text with other values; or with other bytes."""
    if chance.random() < 0.3:
        return mutate(chance, seeds)
    try:
        return _json(chance, change(chance, msgspec.json.decode(chance.choice(seeds))))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return mutate(chance, seeds)


def mutate_lines(*inner: Mutator) -> Mutator:
    """Inputs of which each line has a mutator of its own, the last for all that is left; one of them is changed."""

    def mutated(chance: random.Random, seeds: Sequence[bytes]) -> bytes:
        if chance.random() < 0.2:
            return mutate(chance, seeds)
        lines = chance.choice(seeds).split(b"\n", len(inner) - 1)
        which = chance.randrange(len(lines))
        lines[which] = inner[which](chance, [lines[which]])
        return b"\n".join(lines)

    return mutated


def mutate_message(chance: random.Random, seeds: Sequence[bytes]) -> bytes:
    """A topic and a message that are changed, the topic mostly so that it is that of the message."""
    topic, _, text = chance.choice(seeds).partition(b"\n")
    text = mutate_json(chance, [text])
    if chance.random() < 0.8:
        try:
            told = msgspec.json.decode(text)
            topic = wire.topic_of(told["kind"], told["stream"], told["bundle"]["name"]).encode(errors="replace")
        except (msgspec.MsgspecError, ValueError, KeyError, TypeError, RecursionError):
            topic = mutate(chance, [topic])
    return topic + b"\n" + text


def mutate_msgpack(chance: random.Random, seeds: Sequence[bytes]) -> bytes:
    """MessagePack with other values; or with other bytes."""
    if chance.random() < 0.3:
        return mutate(chance, seeds)
    try:
        return msgspec.msgpack.encode(change(chance, msgspec.msgpack.decode(chance.choice(seeds))))
    except (msgspec.MsgspecError, ValueError, OverflowError, TypeError, RecursionError):
        return mutate(chance, seeds)


def mutate_state(chance: random.Random, seeds: Sequence[bytes]) -> bytes:
    """A state file, mostly with a digest that is right."""
    if chance.random() < 0.2:
        return mutate(chance, seeds)
    begins = len(statefile.MAGIC) + hashlib.sha256().digest_size
    rest = mutate_msgpack(chance, [chance.choice(seeds)[begins:]])
    return statefile.MAGIC + hashlib.sha256(rest).digest() + rest


def mutate_journal(chance: random.Random, seeds: Sequence[bytes]) -> bytes:
    """A segment of a journal: its records changed, doubled, exchanged and framed anew; or its bytes changed."""
    if chance.random() < 0.4:
        return mutate(chance, seeds)
    records = list(journal.scan(chance.choice(seeds), []))
    if not records:
        return mutate(chance, seeds)
    frames = [journal.encode(each.number, each.payload) for each in records]
    at = chance.randrange(len(frames))
    how = chance.randrange(5)
    if how == 0:
        frames[at] = journal.encode(records[at].number, mutate_json(chance, [records[at].payload]))
    elif how == 1:
        frames[at] = journal.encode(chance.choice((0, 1, 2**62, 2**64 - 1)), records[at].payload)
    elif how == 2:
        frames[at] = mutate(chance, [frames[at]])
    elif how == 3:
        header = bytearray(frames[at][:20])
        struct.pack_into("<I", header, 12, chance.choice((0, 1, 30, 1 << 20, 2**32 - 1)))
        frames[at] = bytes(header) + zlib.crc32(header).to_bytes(4, "little") + frames[at][24:]
    else:
        chance.shuffle(frames)
    data = journal.MAGIC + b"".join(frames)
    return data[: chance.randrange(len(data))] if chance.random() < 0.1 else data


@functools.lru_cache(1024)
def _document(text: bytes) -> str:
    """What a YAML text says, as JSON; "" if it says nothing."""
    try:
        return json.dumps(config.parse_yaml(text.decode()))
    except (UserError, UnicodeDecodeError, ValueError, TypeError, RecursionError):
        return ""


def mutate_yaml(chance: random.Random, seeds: Sequence[bytes]) -> bytes:
    """A YAML text with other bytes; or with other values, written as JSON is, which is YAML."""
    document = "" if chance.random() < 0.5 else _document(chance.choice(seeds))
    return _json(chance, change(chance, json.loads(document))) if document else mutate(chance, seeds)


def mutate_tensors(chance: random.Random, seeds: Sequence[bytes]) -> bytes:
    """A safetensors file whose header says something else, its length as it is."""
    data = chance.choice(seeds)
    length = int.from_bytes(data[:8], "little")
    if chance.random() < 0.3 or not 0 < length <= len(data) - 8:
        return mutate(chance, [data])
    header = mutate_json(chance, [data[8 : 8 + length]])
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


def mutate_bundle(chance: random.Random, seeds: Sequence[bytes]) -> bytes:
    """A bundle of which one member says something else, under sums that are right."""
    return mutate_archive(chance, seeds, "bundle.json", {".json": mutate_json, ".safetensors": mutate_tensors})


_OGG_TABLE: list[int] = []


def _ogg_sum(page: bytes) -> int:
    """The checksum of an OGG page (RFC 3533, 0x04c11db7, not reflected)."""
    if not _OGG_TABLE:
        for i in range(256):
            word = i << 24
            for _ in range(8):
                word = (word << 1) ^ (0x04C11DB7 if word & 0x80000000 else 0)
            _OGG_TABLE.append(word & 0xFFFFFFFF)
    total = 0
    for byte in page:
        total = ((total << 8) & 0xFFFFFFFF) ^ _OGG_TABLE[(total >> 24) ^ byte]
    return total


def mutate_ogg(chance: random.Random, seeds: Sequence[bytes]) -> bytes:
    """An OGG file whose pages have, half of the time, sums that are right."""
    data = mutate(chance, seeds)
    if chance.random() < 0.5:
        return data
    parts = data.split(b"OggS")
    for i, part in enumerate(parts[1:], start=1):
        if len(part) > 22:
            blank = part[:18] + b"\0\0\0\0" + part[22:]
            parts[i] = part[:18] + _ogg_sum(b"OggS" + blank).to_bytes(4, "little") + part[22:]
    return b"OggS".join(parts)


_Z85 = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"


def mutate_keys(chance: random.Random, seeds: Sequence[bytes]) -> bytes:
    """A certificate or a list: bytes changed, or a key exchanged for letters that a key may have."""
    data = chance.choice(seeds)
    if chance.random() < 0.6:
        return mutate(chance, [data])
    words = data.split()
    keys = [word for word in words if len(word.strip(b'"')) == 40]
    if keys:
        data = data.replace(chance.choice(keys), b'"%s"' % bytes(chance.choices(_Z85, k=40)), 1)
    lines = data.split(b"\n")
    chance.shuffle(lines)
    return b"\n".join(lines if chance.random() < 0.3 else data.split(b"\n"))
