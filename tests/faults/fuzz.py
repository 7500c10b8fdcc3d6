"""The long form of the fuzzers: `python tests/faults/fuzz.py N [PARSER...]` makes N inputs for each parser.

With `--seconds S` each parser has so long at most; how many inputs it had is printed. An error that is no UserError, an
input that takes longer than 5 s and a memory that grows by more than 300 MB end it with the input in a file.
"""

from __future__ import annotations

import argparse
import faulthandler
import random
import resource
import sys
import tempfile
import time
import warnings
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

SLOWEST_S = 5.0
MOST_MB = 300.0


def peak_mb() -> float:
    """The largest memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(count: int, names: list[str], seconds: float, seed: int = 0) -> int:
    """So many inputs for each parser named, or for all, within so many seconds each; 1 if one of them broke it."""
    from parsers import every
    from tones import write_bundle

    warnings.simplefilter("error")
    broken = 0
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        for parser in every(Path(folder), write_bundle(Path(folder) / "made.bundle").path):
            if names and parser.name not in names:
                continue
            chance = random.Random(f"{seed} {parser.name}")
            begun, before, taken, slowest, done = time.monotonic(), peak_mb(), 0, 0.0, 0
            for done in range(1, count + 1):
                data = parser.make(chance)
                if done % 1000 == 1:
                    faulthandler.dump_traceback_later(600, exit=True)  # a hang shows where
                one = time.process_time()
                try:
                    taken += parser.survives(data)
                except Exception as error:
                    print(f"  {parser.name}: {type(error).__name__}: {error}")
                    reason = "broke"
                else:
                    reason = "slow" if time.process_time() - one > SLOWEST_S else ""
                    reason = reason or ("memory" if peak_mb() > before + MOST_MB else "")
                slowest = max(slowest, time.process_time() - one)
                if reason:
                    broken += 1
                    place = Path(tempfile.gettempdir()) / f"fuzz-{parser.name.replace(' ', '-')}-{done}.bin"
                    place.write_bytes(data)
                    print(f"  {parser.name}: {reason} at input {done}, kept in {place}")
                    break
                if time.monotonic() - begun > seconds:
                    break
            faulthandler.cancel_dump_traceback_later()
            print(
                f"{parser.name:<24} {done:>9} inputs, {taken:>8} taken, {done - taken:>8} refused, "
                f"{time.monotonic() - begun:7.1f} s, slowest {slowest * 1000:.0f} ms, {peak_mb() - before:+.0f} MB",
                flush=True,
            )
    return 1 if broken else 0


if __name__ == "__main__":
    asked = argparse.ArgumentParser()
    asked.add_argument("count", type=int, nargs="?", default=1_000_000)
    asked.add_argument("parsers", nargs="*")
    asked.add_argument("--seconds", type=float, default=float("inf"))
    words = asked.parse_args()
    sys.exit(main(words.count, words.parsers, words.seconds))
