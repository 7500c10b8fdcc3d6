"""The long form of the fuzzers: `python tests/faults/fuzz.py N [PARSER...]` makes N inputs for each parser.

With `--seconds S` each has so long at most; how many inputs it had is printed. Inputs are seeds that were changed,
and changed again where they led somewhere new. An error that is no refusal of one line, an input that takes a second, a
memory that grows by more than 300 MB and a process that dies or hangs end it, with the input in a file.
"""

from __future__ import annotations

import argparse
import contextlib
import mmap
import os
import random
import resource
import select
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]

if TYPE_CHECKING:
    from parsing import Parser

SLOWEST_S = 1.0
MOST_MB = 300.0
_STRETCH = 100_000  # inputs of one process
_HANGS_S = 30.0  # without an input done
_LARGEST = 1 << 21


class Stretch(msgspec.Struct):
    """What became of the inputs of one process; `broke` says why it ended early."""

    done: int = 0
    taken: int = 0
    slowest_s: float = 0.0
    grown_mb: float = 0.0
    lines: int = 0
    found: list[bytes] = []
    broke: str = ""


def peak_mb() -> float:
    """The largest memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def cpu_s() -> float:
    """Seconds of processor that the processes before have had, which a busy machine does not change."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Slot:
    """The input at hand, in memory that is shared: who looks at it from outside knows it also when we die."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 16 + _LARGEST)

    def put(self, number: int, data: bytes) -> None:
        """The input of this number is next."""
        self._memory[:16] = number.to_bytes(8, "little") + len(data).to_bytes(8, "little")
        self._memory[16 : 16 + len(data)] = data

    def get(self) -> tuple[int, bytes]:
        """Its number, and the input."""
        number, length = (int.from_bytes(self._memory[i : i + 8], "little") for i in (0, 8))
        return number, self._memory[16 : 16 + length]


def fuzz(parser: Parser, count: int, until: float, chance: random.Random, found: list[bytes], slot: Slot) -> Stretch:
    """Inputs by chance, up to `count` of them and until the clock says so; ends with the first that breaks a rule."""
    from reaching import Corpus

    corpus, result, before = Corpus(parser.seeds, found), Stretch(), peak_mb()
    for result.done in range(1, count + 1):
        data = parser.mutate(chance, corpus.pick(chance))[:_LARGEST]
        slot.put(result.done, data)
        begun = time.process_time()
        try:
            with corpus.watch(result.done):
                refusal = parser.survives(data)
        except Exception as error:
            result.broke = f"{type(error).__name__}: {error}"
            break
        took = time.process_time() - begun
        result.taken += not refusal
        result.slowest_s = max(result.slowest_s, took)
        if took > SLOWEST_S:
            result.broke = f"took {took:.1f} s"
            break
        corpus.told(data, refusal)
        if not result.done % 64 and (time.monotonic() > until or os.getppid() == 1):
            break  # or whoever asked for it is gone
    result.grown_mb = peak_mb() - before
    if result.grown_mb > MOST_MB and not result.broke:
        result.broke = f"{result.grown_mb:.0f} MB more"
    result.found, result.lines = corpus.found, corpus.lines.reached
    return result


def apart(parser: Parser, count: int, until: float, chance: random.Random, found: list[bytes], slot: Slot) -> Stretch:
    """The same in a process of its own, which may die or hang."""
    reading, writing = os.pipe()
    slot.put(0, b"")
    child = os.fork()
    if not child:
        os.close(reading)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libmpg123 has much to say
        code = 1
        try:
            with open(writing, "wb") as file:
                file.write(msgspec.msgpack.encode(fuzz(parser, count, until, chance, found, slot)))
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    told, last, since = b"", -1, time.monotonic()
    with open(reading, "rb", buffering=0) as file:
        while True:
            if select.select([file], [], [], 1.0)[0]:
                part = file.read(1 << 20)
                if not part:
                    break
                told += part
            elif slot.get()[0] != last:
                last, since = slot.get()[0], time.monotonic()
            elif time.monotonic() - since > _HANGS_S:
                os.kill(child, signal.SIGKILL)
                break
    _, status = os.waitpid(child, 0)
    if told and not status:
        return msgspec.msgpack.decode(told, type=Stretch)
    return Stretch(slot.get()[0], found=found, broke=f"the process ended with {os.waitstatus_to_exitcode(status)}")


def main(count: int, names: list[str], seconds: float, seed: int) -> int:
    """So many inputs for each parser named, or for all, within so many seconds each; 1 if one of them broke it."""
    from parsers import every
    from tones import write_bundle

    warnings.simplefilter("error")
    broken, slot = 0, Slot()
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None  # a disk would be asked to keep a million files
    with tempfile.TemporaryDirectory(dir=memory) as folder, contextlib.ExitStack() as stack:
        made = write_bundle(Path(folder) / "made.bundle").path
        parsers = stack.enter_context(every(Path(folder), made))
        for parser in [each for each in parsers if not names or each.name in names]:
            all_of_it, cpu, until = Stretch(), cpu_s(), time.monotonic() + seconds
            while all_of_it.done < count and time.monotonic() < until and not all_of_it.broke:
                chance = random.Random(f"{seed} {parser.name} {all_of_it.done}")
                here = apart(parser, min(_STRETCH, count - all_of_it.done), until, chance, all_of_it.found, slot)
                all_of_it.done += here.done
                all_of_it.taken += here.taken
                all_of_it.slowest_s = max(all_of_it.slowest_s, here.slowest_s)
                all_of_it.grown_mb = max(all_of_it.grown_mb, here.grown_mb)
                all_of_it.lines, all_of_it.found, all_of_it.broke = here.lines, here.found, here.broke
                print(f"  {parser.name}: {all_of_it.done:,}", file=sys.stderr, flush=True)
            if all_of_it.broke:
                broken += 1
                place = Path(tempfile.gettempdir()) / f"fuzz-{parser.name.replace(' ', '-')}-{all_of_it.done}.bin"
                place.write_bytes(slot.get()[1])
                print(f"  {parser.name}: {all_of_it.broke} at input {all_of_it.done}, kept in {place}")
            print(
                f"{parser.name:<24} {all_of_it.done:>9,} inputs, {all_of_it.taken:>9,} taken, "
                f"{cpu_s() - cpu:7.1f} s of processor, slowest {all_of_it.slowest_s * 1000:.0f} ms, "
                f"{all_of_it.grown_mb:+.0f} MB, {all_of_it.lines} lines, {len(all_of_it.found)} found",
                flush=True,
            )
    return 1 if broken else 0


if __name__ == "__main__":
    asked = argparse.ArgumentParser()
    asked.add_argument("count", type=int, nargs="?", default=1_000_000)
    asked.add_argument("parsers", nargs="*")
    asked.add_argument("--seconds", type=float, default=float("inf"))
    asked.add_argument("--seed", type=int, default=0)
    words = asked.parse_args()
    sys.exit(main(words.count, words.parsers, words.seconds, words.seed))
