"""The torch module of a recognizer: features ▸ model ▸ head, one chain under the law."""

from __future__ import annotations

from collections import Counter

import msgspec
import torch
from torch import Tensor

from streamrnn import registry
from streamrnn.errors import ConfigError
from streamrnn.features import Scale
from streamrnn.forecast import Beside
from streamrnn.heads import Head
from streamrnn.recognizer import ForecastConfig, Recognizer, RecognizerConfig
from streamrnn.stage import Chain, Inputs, Stage, State, build

# Frames after which a fresh stream's posteriors no longer show that the state began as zeros: a second of them.
_WARM_UP_S = 1.0


class Network(Stage):
    """Samples in, logits out: the stages that a recognizer's configuration names, in their order."""

    def __init__(self, config: RecognizerConfig) -> None:
        """Raises ConfigError where the configuration cannot be built."""
        super().__init__()
        stages: list[tuple[str, Stage]] = []
        inputs = Inputs(config.channels, float(config.rate), config.rate, config.channels)
        used: Counter[str] = Counter()
        for i, plug in enumerate((*config.features, config.model)):
            kind = registry.of(plug).kind
            used[kind] += 1
            try:
                stage = build(plug, inputs)
                if plug is config.model and isinstance(config.head, ForecastConfig):
                    stage = Beside(stage, inputs)
            except ConfigError as error:
                raise ConfigError(f"{f'features[{i}]' if i < len(config.features) else 'model'}.{error}") from None
            stages.append((kind if used[kind] == 1 else f"{kind}{used[kind]}", stage))
            # As long as there is a step for every sample, each of its values is a channel.
            channels = stage.width if inputs.rate / stage.hop == config.rate else inputs.channels
            inputs = Inputs(stage.width, inputs.rate / stage.hop, config.rate, channels)
        head: Head = registry.of(config.head).load()(config.head, inputs.width, tuple(config.labels))
        self.head = head
        self.chain = Chain([*stages, ("head", head)])
        self.hop, self.delay, self.width = self.chain.hop, self.chain.delay, self.chain.width
        targets = round(config.targets.after_ms * config.rate / 1000.0)
        self.recognizer = Recognizer(
            config=config,
            columns=head.columns,
            hop=self.hop,
            delay=self.delay + targets,
            warm_up=max(1, round(_WARM_UP_S * config.rate / self.hop)),
        )

    def described(self) -> Recognizer:
        """The recognizer with the units of what it forecasts, where no feature after the last Scale changes values."""
        head = self.recognizer.config.head
        scales = [stage for stage in self.chain.stages if isinstance(stage, Scale)]
        changed = any(
            registry.of(plug).kind in ("standardise", "anchor", "delta") for plug in self.recognizer.config.features
        )
        if not isinstance(head, ForecastConfig) or not scales or changed:
            return self.recognizer
        last = scales[-1]
        pairs = zip(last.mean.tolist(), last.deviation.tolist(), strict=True)
        return msgspec.structs.replace(self.recognizer, units=tuple(pairs)[: head.channels])

    def initial_state(self, batch: int) -> State:
        """State of `batch` streams that have heard nothing."""
        return self.chain.initial_state(batch)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """(batch, samples, channels), state -> logits (batch, samples / hop, columns), state."""
        return self.chain(x, state)

    def measure(self, x: Tensor) -> None:
        """(batch, samples, channels) of training material: fix the statistics of every Scale on the way."""
        with torch.no_grad():
            for stage in self.chain.stages:
                assert isinstance(stage, Stage)
                if isinstance(stage, Scale):
                    stage.measure(x)
                x = x[:, : x.shape[1] // stage.hop * stage.hop]
                x, _ = stage(x, stage.initial_state(x.shape[0]))


class Posteriors(Stage):
    """A network with its posterior on top: the step that bundles export and backends run."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.hop, self.delay, self.width = network.hop, network.delay, network.width

    def initial_state(self, batch: int) -> State:
        """State of `batch` streams that have heard nothing."""
        return self.network.initial_state(batch)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """(batch, samples, channels), state -> posteriors (batch, samples / hop, columns), state."""
        logits, after = self.network(x, state)
        return self.network.head.posterior(logits), after
