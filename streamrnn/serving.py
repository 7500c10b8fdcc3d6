"""From a bundle to what the engine serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamrnn import decoders
from streamrnn.pool import Serving

if TYPE_CHECKING:
    from streamrnn.bundle import Bundle


def serving(bundle: Bundle, backend: str = "auto") -> Serving:
    """A bundle ready to serve on a backend, with thresholds that keep its decoder's budget if it has one.

    Raises BundleError or ConfigError if it cannot be.
    """
    from streamrnn.bundle import open_step, with_decoder

    bundle = with_decoder(bundle, {}, "")
    recognizer = bundle.recognizer
    return Serving(
        name=recognizer.name,
        sha=bundle.sha,
        recognizer=recognizer,
        step=open_step(bundle, backend),
        initial=bundle.initial,
        decoder=decoders.build(recognizer.config.decoder, recognizer),
    )
