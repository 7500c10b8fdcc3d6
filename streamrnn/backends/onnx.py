"""A bundle's step by ONNX Runtime on one thread: where there is no compiled kernel; no torch in the process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnxruntime

from streamrnn.backends import Array, ArrayState
from streamrnn.errors import BundleError

if TYPE_CHECKING:
    from streamrnn.bundle import Bundle


class OnnxStep:
    """Samples and state in, posteriors and state out, by one call of the graph."""

    def __init__(self, session: onnxruntime.InferenceSession, names: list[str]) -> None:
        self._session = session
        self._names = names
        self._outputs = ["posteriors", *(f"{name}.next" for name in names)]

    def __call__(self, samples: Array, state: ArrayState) -> tuple[Array, ArrayState]:
        """(batch, time, channels), state -> posteriors (batch, time / hop, columns), state."""
        feeds = {"samples": samples, **{name: state[name] for name in self._names}}
        posteriors, *after = self._session.run(self._outputs, feeds)
        return posteriors, dict(zip(self._names, after, strict=True))


def open_step(bundle: Bundle) -> OnnxStep:
    """The step of a bundle. Raises BundleError if its graph does not load or has another state than its `initial`."""
    options = onnxruntime.SessionOptions()
    # One thread: a small network gains nothing from two, and a daemon shares its machine.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = False
    try:
        session = onnxruntime.InferenceSession(bundle.graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors share no base class
        reason = " ".join(str(error).split())[:200]
        raise BundleError(f"{bundle.path}: its graph does not load ({reason}); train it again") from None
    names = [value.name for value in session.get_inputs() if value.name != "samples"]
    if sorted(names) != sorted(bundle.initial):
        raise BundleError(f"{bundle.path}: the graph's state {sorted(names)} is not its initial state; train it again")
    return OnnxStep(session, names)
