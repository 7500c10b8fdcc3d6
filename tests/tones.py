"""A bundle that is made, not trained: it hears the tone words "low" and "high" by the share of energy in two bands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from streamrnn.bundle import Bundle, Contents, Golden, open_step, write
from streamrnn.decoders import HysteresisConfig
from streamrnn.recognizer import BACKGROUND, ClassesConfig, FrameConfig, GruConfig, Recognizer, RecognizerConfig

RATE, HOP = 8000, 200
_BANDS_HZ = {"low": (240, 440), "high": (1960, 2560)}


def recognizer() -> Recognizer:
    """What the bundle takes and says."""
    config = RecognizerConfig(
        name="tones",
        rate=RATE,
        labels={"low": ("l",), "high": ()},
        features=(FrameConfig(),),
        model=GruConfig(),
        head=ClassesConfig(),
        decoder=HysteresisConfig(smooth_ms=100, enter=0.5, leave=0.3, refractory_ms=300),
    )
    return Recognizer(config=config, columns=(BACKGROUND, *_BANDS_HZ), hop=HOP, delay=0, warm_up=4)


def _constant(name: str, value: np.ndarray) -> onnx.TensorProto:
    return numpy_helper.from_array(value, name)


def graph() -> bytes:
    """Samples -> hops -> energy of each band over all energy -> softmax; the state is the smoothed posterior itself."""
    bins = np.arange(HOP // 2) * RATE / HOP
    time = np.arange(HOP) / RATE
    inside = np.array([(bins >= low) & (bins <= high) for low, high in _BANDS_HZ.values()])
    waves = 2 * np.pi * time[:, None] * bins[None]
    constants = [
        _constant("hops", np.array([0, -1, HOP], np.int64)),
        _constant("cosines", np.cos(waves).astype(np.float32)),
        _constant("sines", np.sin(waves).astype(np.float32)),
        _constant("bands", (inside.T * 2.0 / HOP).astype(np.float32)),
        _constant("floor", np.array(1e-1, np.float32)),
        _constant("slope", np.array([[0, 0, 0], [0, 16, 0], [0, 0, 16]], np.float32)[1:]),
        _constant("bias", np.array([8, 0, 0], np.float32)),
        _constant("last", np.array(-1, np.int64)),
    ]
    nodes = [
        helper.make_node("Reshape", ["samples", "hops"], ["frames"]),
        helper.make_node("MatMul", ["frames", "cosines"], ["real"]),
        helper.make_node("MatMul", ["frames", "sines"], ["imaginary"]),
        helper.make_node("Mul", ["real", "real"], ["real2"]),
        helper.make_node("Mul", ["imaginary", "imaginary"], ["imaginary2"]),
        helper.make_node("Add", ["real2", "imaginary2"], ["power"]),
        helper.make_node("MatMul", ["power", "bands"], ["band"]),
        helper.make_node("ReduceSumSquare", ["frames"], ["energy"], axes=[2], keepdims=1),
        helper.make_node("Add", ["energy", "floor"], ["loud"]),
        helper.make_node("Div", ["band", "loud"], ["share"]),
        helper.make_node("MatMul", ["share", "slope"], ["sloped"]),
        helper.make_node("Add", ["sloped", "bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["posteriors"], axis=2),
        helper.make_node("Gather", ["posteriors", "last"], ["memory.next"], axis=1),
    ]
    made = helper.make_graph(
        nodes,
        "tones",
        [
            helper.make_tensor_value_info("samples", TensorProto.FLOAT, ["batch", "time", 1]),
            helper.make_tensor_value_info("memory", TensorProto.FLOAT, ["batch", 3]),
        ],
        [
            helper.make_tensor_value_info("posteriors", TensorProto.FLOAT, ["batch", "frames", 3]),
            helper.make_tensor_value_info("memory.next", TensorProto.FLOAT, ["batch", 3]),
        ],
        constants,
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    serialised: bytes = model.SerializeToString()
    return serialised


def write_bundle(path: Path) -> Bundle:
    """Write it, with its golden answer."""
    random = np.random.default_rng(1)
    samples = (0.1 * random.standard_normal((20 * HOP, 1))).astype(np.float32)
    initial = {"memory": np.zeros((1, 3), np.float32)}
    nothing = Golden(samples, np.zeros((20, 3), np.float32))
    contents = Contents(recognizer(), initial, {"none": np.zeros(1, np.float32)}, graph(), nothing, {})
    posteriors, _ = open_step(write(path, contents), "onnx")(samples[None], initial)
    golden = Golden(samples, posteriors[0])
    return write(path, Contents(recognizer(), initial, contents.weights, contents.graph, golden, {}))
