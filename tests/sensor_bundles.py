"""Bundles of sensors that are made, not trained: a GRU of random weights that remembers, under three kinds of heads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from streamrnn.alarms import AlarmConfig
from streamrnn.bundle import Bundle, Contents, Golden, open_step, write
from streamrnn.decoders import HysteresisConfig, SegmentsConfig
from streamrnn.recognizer import (
    BACKGROUND,
    ClassesConfig,
    ForecastConfig,
    FrameConfig,
    GruConfig,
    Recognizer,
    RecognizerConfig,
    forecast_columns,
)

HIDDEN = 8
# Of each: rate of the recognizer and of the source, channels, hop, labels, head and decoder.
MAKES: dict[str, tuple[int, int, int, int, tuple[str, ...], Any, Any]] = {
    "activity": (
        50, 50, 6, 16, ("sitting", "walking"), ClassesConfig(),
        SegmentsConfig(smooth_ms=500, enter=0.5, leave=0.35, min_frames=3),
    ),
    "ecg": (
        120, 360, 1, 6, ("normal", "ventricular"), ClassesConfig(),
        HysteresisConfig(smooth_ms=100, enter=0.6, leave=0.4, refractory_ms=3000),
    ),
    "alarm": (
        10, 10, 2, 1, ("anomaly",), ForecastConfig(channels=2),
        AlarmConfig(enter=0.5, leave=0.3, memory_ms=30_000, probation_ms=10_000, hold_ms=1000, smooth_ms=300),
    ),
}  # fmt: skip


def recognizer(kind: str) -> Recognizer:
    """What the bundle takes and says."""
    rate, _, channels, hop, labels, head, decoder = MAKES[kind]
    config = RecognizerConfig(
        name=kind,
        rate=rate,
        channels=channels,
        labels=dict.fromkeys(labels, ()),
        features=(FrameConfig(),),
        model=GruConfig(),
        head=head,
        decoder=decoder,
    )
    columns = forecast_columns(labels[0], channels) if kind == "alarm" else (BACKGROUND, *labels)
    return Recognizer(config=config, columns=columns, hop=hop, delay=0, warm_up=4)


def graph(kind: str) -> bytes:
    """Hops -> a GRU -> softmax; or, for alarms, a forecast of the next hop, which waits in the state until it comes."""
    _, _, channels, hop, labels, _, _ = MAKES[kind]
    random, width = np.random.default_rng(5), hop * channels
    columns = channels if kind == "alarm" else 1 + len(labels)

    def weights(*shape: int, scale: float) -> np.ndarray:
        return (scale * random.standard_normal(shape)).astype(np.float32)

    constants = {
        "W": weights(1, 3 * HIDDEN, width, scale=1.5 / np.sqrt(width)),
        "R": weights(1, 3 * HIDDEN, HIDDEN, scale=0.5),
        "out": weights(HIDDEN, columns, scale=0.2 if kind == "alarm" else 3.0),
        "hops": np.array([0, -1, width], np.int64),
        "direction": np.array([0], np.int64),
        "begin": np.array([0], np.int64),
        "but_last": np.array([-1], np.int64),
        "second": np.array([1], np.int64),
        "last": np.array(-1, np.int64),
    }
    nodes = [
        helper.make_node("Reshape", ["samples", "hops"], ["frames"]),
        helper.make_node("Transpose", ["frames"], ["in_time"], perm=[1, 0, 2]),
        helper.make_node("Unsqueeze", ["memory", "direction"], ["h"]),
        helper.make_node("GRU", ["in_time", "W", "R", "", "", "h"], ["said4", "h_last"], hidden_size=HIDDEN),
        helper.make_node("Squeeze", ["said4", "second"], ["said_in_time"]),
        helper.make_node("Transpose", ["said_in_time"], ["said"], perm=[1, 0, 2]),
        helper.make_node("Squeeze", ["h_last", "direction"], ["memory.next"]),
        helper.make_node("MatMul", ["said", "out"], ["y"]),
    ]
    state = {"memory": HIDDEN}
    if kind == "alarm":
        state |= {"waiting": 1 + channels}  # whether there is a forecast, and it
        ones = np.ones((1, channels), np.float32)
        constants |= {"ones": ones, "first": np.array([[[1.0] + [0.0] * channels]], np.float32)}
        constants |= {"place": np.concatenate([np.zeros((channels, 1)), np.eye(channels)], 1).astype(np.float32)}
        nodes += [
            helper.make_node("MatMul", ["y", "place"], ["placed"]),
            helper.make_node("Add", ["placed", "first"], ["made"]),  # 1 and the forecast
            helper.make_node("Gather", ["made", "last"], ["waiting.next"], axis=1),
            helper.make_node("Slice", ["made", "begin", "but_last", "second"], ["earlier"]),
            helper.make_node("Unsqueeze", ["waiting", "second"], ["before"]),
            helper.make_node("Concat", ["before", "earlier"], ["due"], axis=1),
            helper.make_node("Mul", ["frames", "zero"], ["nothing"]),
            helper.make_node("Add", ["nothing", "ones"], ["deviation"]),
            helper.make_node("Slice", ["nothing", "begin", "second", "last_axis"], ["label"]),
            helper.make_node(
                "Concat", ["label", "due", "deviation", "frames", "y", "deviation"], ["posteriors"], axis=2
            ),
        ]
        constants |= {"zero": np.array(0, np.float32), "last_axis": np.array([2], np.int64)}
    else:
        nodes.append(helper.make_node("Softmax", ["y"], ["posteriors"], axis=2))
    made = helper.make_graph(
        nodes,
        kind,
        [
            helper.make_tensor_value_info("samples", TensorProto.FLOAT, ["batch", "time", channels]),
            *(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", n]) for name, n in state.items()),
        ],
        [
            helper.make_tensor_value_info("posteriors", TensorProto.FLOAT, ["batch", "frames", None]),
            *(
                helper.make_tensor_value_info(f"{name}.next", TensorProto.FLOAT, ["batch", n])
                for name, n in state.items()
            ),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.checker.check_model(model)
    serialised: bytes = model.SerializeToString()
    return serialised


def write_bundle(path: Path, kind: str) -> Bundle:
    """Write it, with its golden answer."""
    made, random = recognizer(kind), np.random.default_rng(1)
    samples = random.standard_normal((20 * made.hop, made.channels)).astype(np.float32)
    initial = {"memory": np.zeros((1, HIDDEN), np.float32)}
    if kind == "alarm":
        initial |= {"waiting": np.zeros((1, 1 + made.channels), np.float32)}
    nothing = Golden(samples, np.zeros((20, len(made.columns)), np.float32))
    weights = {"none": np.zeros(1, np.float32)}
    contents = Contents(made, initial, weights, graph(kind), nothing, {})
    posteriors, _ = open_step(write(path, contents), "onnx")(samples[None], initial)
    return write(path, Contents(made, initial, weights, contents.graph, Golden(samples, posteriors[0]), {}))


def recording(kind: str, seed: int = 0) -> np.ndarray:
    """(time, channels) of the source, float32: states, beats or readings that change now and then; two minutes."""
    _, rate, channels, _, _, _, _ = MAKES[kind]
    random, count = np.random.default_rng(seed), 120 * rate
    time = np.arange(count)[:, None] / rate
    state = np.repeat(random.integers(0, 3, count // (5 * rate) + 1), 5 * rate)[:count, None]
    wave = (0.3 + state) * np.sin(2 * np.pi * (0.5 + state) * time + np.arange(channels))
    if kind == "alarm":
        wave = 0.2 * np.sin(2 * np.pi * 0.05 * time + np.arange(channels))
        for at in (40, 55, 70, 90):
            wave[at * rate : at * rate + 8, at % 2] += 6.0
    samples: np.ndarray = (wave + 0.05 * random.standard_normal(wave.shape)).astype(np.float32)
    return samples
