"""A bundle's step by torch, from its weights: the reference that the graph must agree with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from streamrnn.backends import Array, ArrayState
from streamrnn.errors import BundleError, ConfigError
from streamrnn.network import Network, Posteriors

if TYPE_CHECKING:
    from streamrnn.bundle import Bundle


class TorchStep:
    """Samples and state in, posteriors and state out, by the network that training ran."""

    def __init__(self, posteriors: Posteriors) -> None:
        self._posteriors = posteriors.eval()

    def __call__(self, samples: Array, state: ArrayState) -> tuple[Array, ArrayState]:
        """(batch, time, channels), state -> posteriors (batch, time / hop, columns), state."""
        with torch.inference_mode():
            tensors = {name: torch.tensor(array) for name, array in state.items()}
            result, after = self._posteriors(torch.tensor(samples), tensors)
        # Copies, so that what torch may hold a view of is never handed out.
        return result.numpy().copy(), {name: value.numpy().copy() for name, value in after.items()}


def network(bundle: Bundle) -> Network:
    """The trained network of a bundle. Raises BundleError if weights and recognizer do not fit each other."""
    try:
        built = Network(bundle.recognizer.config)
        built.load_state_dict({name: torch.tensor(array) for name, array in bundle.weights.items()})
    except (ConfigError, RuntimeError) as error:
        raise BundleError(f"{bundle.path}: weights do not fit the recognizer ({error}); train it again") from None
    return built.eval()


def open_step(bundle: Bundle) -> TorchStep:
    """The step of a bundle. Raises BundleError if weights and recognizer do not fit each other."""
    return TorchStep(Posteriors(network(bundle)))
