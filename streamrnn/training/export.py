"""A trained network into a bundle: one ONNX graph with samples and state in, posteriors and state out."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from streamrnn.backends import Array, ArrayState
from streamrnn.bundle import Bundle, Contents, Golden, open_step, prove, read, write
from streamrnn.errors import BundleError
from streamrnn.network import Network, Posteriors
from streamrnn.stage import State
from streamrnn.training.onnx_cells import replace_cells

_OPSET = 18
_GOLDEN_S = 2.0


class _Positional(nn.Module):
    """The step with its state as a tuple of arrays: torch.export takes a trailing dict for keyword arguments."""

    def __init__(self, posteriors: Posteriors, names: list[str]) -> None:
        super().__init__()
        self.posteriors = posteriors
        self.names = names

    def forward(self, samples: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        posteriors, after = self.posteriors(samples, dict(zip(self.names, state, strict=True)))
        return (posteriors, *(after[name] for name in self.names))


def graph(network: Network) -> bytes:
    """The network's step as an ONNX graph for any batch and any number of hops."""
    drawn = copy.deepcopy(network)
    replace_cells(drawn)
    posteriors = Posteriors(drawn).eval()
    # Two rows and two hops: torch.export takes a size of one for a constant.
    state: State = posteriors.initial_state(2)
    names = list(state)
    samples = torch.zeros(2, 2 * network.hop, network.recognizer.channels)
    batch, hops = torch.export.Dim("batch"), torch.export.Dim("hops")
    shapes: Any = ({0: batch, 1: network.hop * hops}, tuple({0: batch} for _ in names))
    exporter = logging.getLogger("torch.onnx")
    level = exporter.level
    exporter.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            # The exporter of torch warns of its own deprecations on every call.
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                _Positional(posteriors, names),
                (samples, *state.values()),
                dynamo=True,
                opset_version=_OPSET,
                dynamic_shapes=shapes,
                input_names=["samples", *names],
                output_names=["posteriors", *(f"{name}.next" for name in names)],
                verbose=False,
            )
    finally:
        exporter.setLevel(level)
    assert program is not None
    return _bare(program.model_proto)


def _bare(model: onnx.ModelProto) -> bytes:
    """The graph without the exporter's notes: they hold paths of this machine, and most of the bytes."""
    del model.graph.metadata_props[:]
    for part in (*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.value_info):
        del part.metadata_props[:]
        part.ClearField("doc_string")
    for weight in model.graph.initializer:
        del weight.metadata_props[:]
    serialised: bytes = model.SerializeToString(deterministic=True)
    return serialised


def golden(network: Network) -> Golden:
    """Two seconds of synthesised sound, a rising chirp in noise that swells, and the posteriors it gives."""
    recognizer = network.recognizer
    frames = max(8, round(_GOLDEN_S * recognizer.frame_rate))
    time = np.arange(frames * recognizer.hop) / recognizer.rate
    random = np.random.default_rng(20)
    sweep = np.sin(2 * np.pi * (0.02 + 0.1 * time / time[-1]) * recognizer.rate * time)
    noise = random.standard_normal((len(time), recognizer.channels))
    swell = np.sin(np.pi * time / time[-1]) ** 2
    samples = (0.3 * swell[:, None] * (sweep[:, None] + 0.3 * noise)).astype(np.float32)
    step = Posteriors(network).eval()
    with torch.inference_mode():
        posteriors, _ = step(torch.from_numpy(samples)[None], step.initial_state(1))
    return Golden(samples, posteriors[0].numpy())


def export(network: Network, path: Path, passport: dict[str, Any]) -> Bundle:
    """Write a bundle that the graph has proved. Raises BundleError, and leaves `path` as it was, if it does not."""
    network = network.eval().cpu()
    unproven = path.with_name(path.name + ".unproven")
    bundle = write(
        unproven,
        Contents(
            recognizer=network.described(),
            initial=_arrays(network.initial_state(1)),
            weights=_arrays(network.state_dict()),
            graph=graph(network),
            golden=golden(network),
            passport=passport,
        ),
    )
    try:
        prove(bundle, open_step(bundle, "onnx"))
        unproven.replace(path)
    except OSError as error:
        raise BundleError(f"{path}: cannot be written: {error.strerror}; choose another --out") from None
    finally:
        unproven.unlink(missing_ok=True)
    return read(path)


def _arrays(tensors: dict[str, Tensor]) -> ArrayState:
    arrays: dict[str, Array] = {name: value.detach().cpu().numpy() for name, value in tensors.items()}
    return arrays
