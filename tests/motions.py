"""A bundle that is made, not trained: of a sensor of three channels at 50 Hz it hears when the first one swings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from streamrnn.bundle import Bundle, Contents, Golden, open_step, write
from streamrnn.decoders import HysteresisConfig
from streamrnn.events import Channel
from streamrnn.recognizer import BACKGROUND, ClassesConfig, FrameConfig, GruConfig, Recognizer, RecognizerConfig

RATE, HOP = 50, 25
INPUTS = (Channel("ax", "g"), Channel("ay", "g"), Channel("temperature", "degC"))


def recognizer() -> Recognizer:
    """What the bundle takes and says."""
    config = RecognizerConfig(
        name="motion",
        rate=RATE,
        channels=len(INPUTS),
        labels={"swing": ()},
        features=(FrameConfig(window_ms=500, hop_ms=500),),
        model=GruConfig(),
        head=ClassesConfig(),
        decoder=HysteresisConfig(smooth_ms=500, enter=0.5, leave=0.3, refractory_ms=1000),
        inputs=INPUTS,
    )
    return Recognizer(config=config, columns=(BACKGROUND, "swing"), hop=HOP, delay=0, warm_up=2)


def graph() -> bytes:
    """Samples -> energy of channel 0 of each hop -> softmax; the state is the last posterior."""
    constants = {
        "first": np.array([0], np.int64),
        "hops": np.array([0, -1, HOP], np.int64),
        "slope": np.array([[0, 40]], np.float32),
        "bias": np.array([8, 0], np.float32),
        "last": np.array(-1, np.int64),
    }
    nodes = [
        helper.make_node("Gather", ["samples", "first"], ["swing"], axis=2),
        helper.make_node("Reshape", ["swing", "hops"], ["frames"]),
        helper.make_node("Mul", ["frames", "frames"], ["squares"]),
        helper.make_node("ReduceMean", ["squares"], ["energy"], axes=[2], keepdims=1),
        helper.make_node("MatMul", ["energy", "slope"], ["sloped"]),
        helper.make_node("Add", ["sloped", "bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["posteriors"], axis=2),
        helper.make_node("Gather", ["posteriors", "last"], ["memory.next"], axis=1),
    ]
    made = helper.make_graph(
        nodes,
        "motion",
        [
            helper.make_tensor_value_info("samples", TensorProto.FLOAT, ["batch", "time", len(INPUTS)]),
            helper.make_tensor_value_info("memory", TensorProto.FLOAT, ["batch", 2]),
        ],
        [
            helper.make_tensor_value_info("posteriors", TensorProto.FLOAT, ["batch", "frames", 2]),
            helper.make_tensor_value_info("memory.next", TensorProto.FLOAT, ["batch", 2]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    serialised: bytes = model.SerializeToString()
    return serialised


def write_bundle(path: Path) -> Bundle:
    """Write it, with its golden answer."""
    samples = np.random.default_rng(1).standard_normal((20 * HOP, len(INPUTS))).astype(np.float32)
    initial = {"memory": np.zeros((1, 2), np.float32)}
    nothing = Golden(samples, np.zeros((20, 2), np.float32))
    contents = Contents(recognizer(), initial, {"none": np.zeros(1, np.float32)}, graph(), nothing, {})
    posteriors, _ = open_step(write(path, contents), "onnx")(samples[None], initial)
    golden = Golden(samples, posteriors[0])
    return write(path, Contents(recognizer(), initial, contents.weights, contents.graph, golden, {}))


def motion(times: np.ndarray) -> np.ndarray:
    """What the sensor measures at moments in seconds, `(time, 3)`: it swings from 3 to 5 s, 9 to 11 s, and so on."""
    swings = ((times % 6 >= 3) & (times % 6 < 5)).astype(float)
    slow = 0.1 * np.sin(1.3 * times)
    return np.stack([swings * np.sin(2 * np.pi * 2 * times) + 0.1 * slow, slow, 20 + slow], axis=1).astype(np.float32)
