"""What micro-wakeword costs, in an environment of its own: one JSON line with CPU seconds for a second of a stream.

python tests/contest/micro_wakeword.py [MODEL] [STREAMS] [SECONDS]
"""

import json
import sys
import time

import numpy as np
from pymicro_wakeword import MicroWakeWord, MicroWakeWordFeatures, Model

_RATE, _CHUNK_S = 16_000, 0.1


def main(model: str = "okay_nabu", streams: str = "64", seconds: str = "10") -> None:
    """Chunks of 100 ms go through each stream's own features and model in turn, on this thread alone."""
    samples = int(_RATE * _CHUNK_S)
    noise = np.random.default_rng(0).standard_normal(10 * samples)
    loud = np.where(np.arange(len(noise)) < samples, 0.2, 0.001)
    signal = np.rint(np.clip(noise * loud, -1, 1) * 32767).astype("<i2")
    chunks = [signal[i : i + samples].tobytes() for i in range(0, len(signal), samples)]
    those = [(MicroWakeWordFeatures(), MicroWakeWord.from_builtin(Model(model))) for _ in range(int(streams))]
    took = []
    for turn in range(round(float(seconds) / _CHUNK_S)):
        begun = time.thread_time()
        for features, word in those:
            for frame in features.process_streaming(chunks[turn % len(chunks)]):
                word.process_streaming(frame)
        took.append((time.thread_time() - begun) / (len(those) * _CHUNK_S))
    median = float(np.median(took))
    print(json.dumps({"peer": f"micro-wakeword, {model}", "cpu_s": median, "streams_a_core": 1 / median}))


if __name__ == "__main__":
    main(*sys.argv[1:])
