"""The law: every registered plug keeps it, chains of them keep it, and each way to break it is caught."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from streamrnn import decoders, registry
from streamrnn.chunk import Chunk, Ended, Gap, Item, Opened
from streamrnn.decoders import Found, HysteresisConfig
from streamrnn.recognizer import ClassesConfig, FrameConfig, GruConfig, Recognizer, RecognizerConfig
from streamrnn.stage import Chain, Inputs, Stage, State, build, stack, unstack, where
from streamrnn.testing import LawBroken, check_decoder, check_source, check_step
from streamrnn.testing.torch import check_stage

# One thread: these arrays are tiny, and threads that wait for one another on a busy machine take 50 times as long.
torch.set_num_threads(1)

# What a stage takes in the tests: three sensor channels, unless it is one that takes windows of samples.
PLAIN = Inputs(width=3, rate=8000.0, sample_rate=8000)
WINDOWS = Inputs(width=256, rate=100.0, sample_rate=8000)
LEAD = Inputs(width=1, rate=120.0, sample_rate=120)
TAKES_WINDOWS = {"log_mel", "mfcc", "spectrum"}


def recognizer(columns: tuple[str, ...] = ("_background", "low", "high"), hop: int = 80) -> Recognizer:
    config = RecognizerConfig(
        name="tones",
        rate=8000,
        labels={"low": (), "high": ()},
        features=(FrameConfig(),),
        model=GruConfig(),
        head=ClassesConfig(),
        decoder=HysteresisConfig(),
    )
    return Recognizer(config=config, columns=columns, hop=hop, delay=0, warm_up=100)


def ids(plugs: list[registry.Plug]) -> dict[str, Any]:
    return {"argvalues": plugs, "ids": [f"{plug.role}-{plug.kind}" for plug in plugs]}


STAGES = registry.plugs("feature") + registry.plugs("model")


@pytest.mark.parametrize("plug", **ids(STAGES))
def test_every_registered_stage_keeps_the_law(plug: registry.Plug) -> None:
    inputs = LEAD if plug.kind == "beats" else WINDOWS if plug.kind in TAKES_WINDOWS else PLAIN
    torch.manual_seed(0)
    config = plug.config(frames=(3, 7)) if plug.kind == "lag" else plug.config()
    check_stage(build(config, inputs), inputs.width)


@pytest.mark.parametrize("plug", **ids(registry.plugs("head")))
def test_every_registered_head_keeps_the_law(plug: registry.Plug) -> None:
    torch.manual_seed(0)
    labels = ("unusual",) if plug.kind == "forecast" else ("low", "high")
    check_stage(plug.load()(plug.config(), 5, labels), 5)


@pytest.mark.parametrize("columns", [("_background", "low", "high"), ("low", "high"), ("low",)], ids=len)
# What takes forecasts has its law in test_alarms.py and test_novelty.py.
@pytest.mark.parametrize(
    "plug", **ids([plug for plug in registry.plugs("decoder") if plug.kind not in ("alarm", "novelty")])
)
def test_every_registered_decoder_keeps_the_law(plug: registry.Plug, columns: tuple[str, ...]) -> None:
    check_decoder(decoders.build(plug.config(), recognizer(columns)), len(columns), trials=3)


def chain(*kinds: str) -> Chain:
    """Registered stages one after another, each built for what the one before gives."""
    stages: list[tuple[str, Stage]] = []
    inputs = Inputs(width=1, rate=8000.0, sample_rate=8000)
    plugs = {plug.kind: plug for plug in STAGES}
    for kind in kinds:
        config = plugs[kind].config(hidden=8) if plugs[kind].role == "model" else plugs[kind].config()
        stage = build(config, inputs)
        stages.append((kind, stage))
        inputs = Inputs(stage.width, inputs.rate / stage.hop, inputs.sample_rate)
    return Chain(stages)


@pytest.mark.parametrize(
    "kinds",
    [
        ("frame", "log_mel", "scale", "delta", "stack", "gru"),
        ("frame", "mfcc", "lstm"),
        ("delta", "stack", "statistics", "rnn"),
    ],
    ids="-".join,
)
def test_a_chain_of_stages_keeps_the_law_with_its_computed_hop_and_delay(kinds: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    check_stage(chain(*kinds), 1, trials=1)


def test_a_chain_multiplies_hops_and_weighs_delays() -> None:
    whole = chain("frame", "log_mel", "delta", "stack")
    frame = whole.stages[0]
    assert whole.hop == 80 * 2
    assert whole.delay == frame.delay + 2 * 80


def test_stack_and_unstack_lose_nothing_and_where_begins_rows_anew() -> None:
    gru = chain("frame", "log_mel", "gru")
    torch.manual_seed(0)
    _, state = gru(torch.randn(3, 5 * gru.hop, 1), gru.initial_state(3))
    again = stack(unstack(state))
    assert all(torch.equal(again[name], state[name]) for name in state)
    first = torch.tensor([False, True, False])
    mixed = where(first, gru.initial_state(1), state)
    fresh = gru.initial_state(1)
    for name in state:
        assert torch.equal(mixed[name][1:2], fresh[name])
        assert torch.equal(mixed[name][0], state[name][0])


# Each of the following breaks the law in one way that has been seen in a real project, and must be caught by its name.


class Leaky:
    """A leaky integrator under the law, on numpy: the base from which the broken ones depart."""

    hop = 2

    def __init__(self) -> None:
        self.initial = {"level": np.zeros((1, 1), np.float32)}

    def __call__(self, x: np.ndarray, state: dict[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        level, out = state["level"], []
        for i in range(0, x.shape[1], 2):
            level = (0.9 * level + x[:, i : i + 2].mean(axis=(1, 2))[:, None]).astype(np.float32)
            out.append(level)
        return np.stack(out, axis=1), {"level": level}


class HiddenInSelf(Leaky):
    """Remembers the last call's level in the object, as stateful wrappers do."""

    def __init__(self) -> None:
        super().__init__()
        self.last = 0.0

    def __call__(self, x, state):  # type: ignore[no-untyped-def]
        y, after = super().__call__(x, state)
        y = y + 0.01 * self.last
        self.last = float(y.sum())
        return y, after


class BatchNormal(Leaky):
    """Centres by the mean of the batch."""

    def __call__(self, x, state):  # type: ignore[no-untyped-def]
        return super().__call__(x - x.mean(axis=0, keepdims=True), state)


class WritesInput(Leaky):
    """Scales its input in place."""

    def __call__(self, x, state):  # type: ignore[no-untyped-def]
        x *= 2.0
        return super().__call__(x, state)


class WritesState(Leaky):
    """Adds to the given state in place."""

    def __call__(self, x, state):  # type: ignore[no-untyped-def]
        y, after = super().__call__(x, state)
        state["level"] += 1.0
        return y, after


class Growing(Leaky):
    """Keeps all that it has heard."""

    def __init__(self) -> None:
        super().__init__()
        self.initial = {"heard": np.zeros((1, 0), np.float32)}

    def __call__(self, x, state):  # type: ignore[no-untyped-def]
        heard = np.concatenate([state["heard"], x[:, :, 0]], axis=1)
        means = [heard[:, : heard.shape[1] - x.shape[1] + i].mean(axis=1) for i in range(2, x.shape[1] + 1, 2)]
        return np.stack(means, axis=1)[..., None], {"heard": heard}


class RenamesState(Leaky):
    """Brings a name that was not there."""

    def __call__(self, x, state):  # type: ignore[no-untyped-def]
        y, after = super().__call__(x, state)
        return y, {**after, "cache": after["level"]}


class Widens(Leaky):
    """Turns its state to float64."""

    def __call__(self, x, state):  # type: ignore[no-untyped-def]
        y, after = super().__call__(x, state)
        return y, {"level": after["level"].astype(np.float64)}


class ForgetsBetweenCalls(Leaky):
    """Starts anew in every call, as recognizers that score clips do."""

    def __call__(self, x, state):  # type: ignore[no-untyped-def]
        y, _ = super().__call__(x, {"level": np.zeros_like(state["level"])})
        return y, state


class PeeksAhead(Leaky):
    """Normalises by the loudest sample of the chunk, which lies in the future of the first ones."""

    def __call__(self, x, state):  # type: ignore[no-untyped-def]
        return super().__call__(x / np.abs(x).max(axis=1, keepdims=True), state)


class PerCallNoise(Leaky):
    """Fills up with random noise, as some do on reset."""

    def __call__(self, x, state):  # type: ignore[no-untyped-def]
        y, after = super().__call__(x, state)
        return y + np.random.default_rng().normal(0, 0.1, y.shape), after


class OneScale(Leaky):
    """Rounds to 8 bits with one scale for the whole batch, as dynamic quantisation does."""

    def __call__(self, x, state):  # type: ignore[no-untyped-def]
        scale = np.nanmax(np.abs(x)) / 127
        return super().__call__((np.round(x / scale) * scale).astype(np.float32), state)


class WrongFrames(Leaky):
    """Swallows the last frame."""

    def __call__(self, x, state):  # type: ignore[no-untyped-def]
        y, after = super().__call__(x, state)
        return y[:, :-1], after


class InPlaceView(Leaky):
    """Gives the memory of its argument back as the new state."""

    def __call__(self, x, state):  # type: ignore[no-untyped-def]
        y, after = super().__call__(x, state)
        state["level"][...] = after["level"]
        return y, {"level": state["level"]}


def test_the_leaky_integrator_keeps_the_law() -> None:
    leaky = Leaky()
    check_step(leaky, leaky.initial, leaky.hop, 1, trials=5)


BROKEN: list[tuple[Callable[[], Leaky], str]] = [
    (HiddenInSelf, "same input and state"),
    (PerCallNoise, "same input and state"),
    (BatchNormal, "any batch|neighbours"),
    (OneScale, "any batch|neighbours|every split"),
    (WritesInput, "input was changed in place"),
    (WritesState, "state 'level' was changed in place"),
    (InPlaceView, "state 'level' was changed in place"),
    (Growing, "shape of the state never changes"),
    (Widens, "shape of the state never changes"),
    (RenamesState, "names of the state"),
    (ForgetsBetweenCalls, "every split"),
    (PeeksAhead, "every split"),
    (WrongFrames, "a hop makes one frame"),
]


@pytest.mark.parametrize(("broken", "law"), BROKEN, ids=[broken.__name__ for broken, _ in BROKEN])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_step_that_breaks_a_law_is_told_which(broken: Callable[[], Leaky], law: str, seed: int) -> None:
    step = broken()
    with pytest.raises(LawBroken, match=law) as told:
        check_step(step, step.initial, step.hop, 1, seed=seed)
    assert "\n" not in str(told.value)


@settings(max_examples=15, deadline=None)
@given(leak=st.floats(0.0, 0.999), touch=st.floats(0.001, 1.0), seed=st.integers(0, 1000))
def test_any_touch_between_neighbours_is_caught(leak: float, touch: float, seed: int) -> None:
    def step(x: np.ndarray, state: dict[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        level = state["level"]
        out = []
        for i in range(x.shape[1]):
            level = leak * level + x[:, i] + touch * x[:, i].mean(axis=0, keepdims=True)
            out.append(level)
        return np.stack(out, axis=1).astype(np.float32), {"level": level.astype(np.float32)}

    with pytest.raises(LawBroken, match=r"any batch|neighbours"):
        check_step(step, {"level": np.zeros((1, 1), np.float32)}, 1, 1, seed=seed, atol=1e-4)


class Detached(Stage):
    """Carries its state over, but not its gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.width = 1
        self.leak = torch.nn.Parameter(torch.tensor(0.9))

    def initial_state(self, batch: int) -> State:
        return {"level": torch.zeros(batch, 1)}

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        level, out = state["level"], []
        for i in range(x.shape[1]):
            level = self.leak * level + x[:, i]
            out.append(level)
        return torch.stack(out, dim=1), {"level": level.detach()}


class Late(Stage):
    """Lags by two steps and declares none."""

    def __init__(self) -> None:
        super().__init__()
        self.width = 1

    def initial_state(self, batch: int) -> State:
        return {"tail": torch.zeros(batch, 2, 1)}

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        joined = torch.cat([state["tail"], x], dim=1)
        return joined[:, : x.shape[1]], {"tail": joined[:, x.shape[1] :]}


@pytest.mark.parametrize(("broken", "law"), [(Detached, "gradient of chunks"), (Late, "last input is heard")])
def test_a_stage_that_breaks_a_law_of_torch_is_told_which(broken: type[Stage], law: str) -> None:
    with pytest.raises(LawBroken, match=law):
        check_stage(broken(), 1)


class Rising:
    """A decoder under the law: a detection where a column rises over one half, ten frames apart at least."""

    delay = 0

    def initial_track(self, batch: int) -> dict[str, np.ndarray]:
        return {"frame": np.zeros(batch, np.int64), "muted": np.zeros(batch, np.int64)}

    def __call__(self, posteriors: np.ndarray, track: dict[str, np.ndarray]) -> tuple[list[Found], Any]:
        after = {name: array.copy() for name, array in track.items()}
        found = []
        for row, rows in enumerate(posteriors):
            for scores in rows:
                frame = int(after["frame"][row])
                column = int(np.argmax(scores))
                if scores[column] > 0.5 and frame >= after["muted"][row]:
                    found.append(Found(row, "detection", column, frame, frame + 1, frame, float(scores[column])))
                    after["muted"][row] = frame + 10
                after["frame"][row] += 1
        return found, after

    def finish(self, track: dict[str, np.ndarray]) -> list[Found]:
        return []


class FramesOfTheCall(Rising):
    """Counts frames from the begin of each call."""

    def __call__(self, posteriors, track):  # type: ignore[no-untyped-def]
        return super().__call__(posteriors, {**track, "frame": np.zeros_like(track["frame"])})


class OneRefractory(Rising):
    """Mutes all rows when one speaks."""

    def __call__(self, posteriors, track):  # type: ignore[no-untyped-def]
        found, after = super().__call__(posteriors, track)
        after["muted"][:] = after["muted"].max()
        return found, after


class BestOfTheCall(Rising):
    """Tells one event a call."""

    def __call__(self, posteriors, track):  # type: ignore[no-untyped-def]
        found, after = super().__call__(posteriors, track)
        return found[:1], after


class WritesTrack(Rising):
    """Counts in the given track."""

    def __call__(self, posteriors, track):  # type: ignore[no-untyped-def]
        found, after = super().__call__(posteriors, track)
        track["frame"] += 1
        return found, after


class Deaf(Rising):
    """Finds nothing, which proves nothing."""

    def __call__(self, posteriors, track):  # type: ignore[no-untyped-def]
        return [], super().__call__(posteriors, track)[1]


class EndsByItself(Rising):
    """Says at the end how many calls there were."""

    calls = 0

    def __call__(self, posteriors, track):  # type: ignore[no-untyped-def]
        self.calls += 1
        return super().__call__(posteriors, track)

    def finish(self, track):  # type: ignore[no-untyped-def]
        return [Found(0, "segment", 0, 0, self.calls, self.calls, 1.0)]


def test_the_rising_decoder_keeps_the_law() -> None:
    check_decoder(Rising(), 3)


@pytest.mark.parametrize(
    ("broken", "law"),
    [
        (FramesOfTheCall, "every split|leaves with the frame"),
        (OneRefractory, "every split|any batch|neighbours|joining"),
        (BestOfTheCall, "every split|any batch"),
        (WritesTrack, "'frame' was changed in place"),
        (Deaf, "seen to find something"),
        (EndsByItself, "same end|any batch"),
    ],
)
def test_a_decoder_that_breaks_a_law_is_told_which(broken: Callable[[], Rising], law: str) -> None:
    with pytest.raises(LawBroken, match=law) as told:
        check_decoder(broken(), 3)
    assert "\n" not in str(told.value)


def chunk(start: int, count: int = 5, stream: str = "mic") -> Chunk:
    return Chunk(stream, start, np.zeros((count, 1), np.float32))


OPENED = Opened("mic", 8000, 1)


def test_a_source_with_a_declared_gap_keeps_the_law() -> None:
    items: list[Item] = [OPENED, chunk(0), Gap("mic", 5, 9, "dropped"), chunk(9), Ended("mic")]
    assert check_source(lambda: items) == items


@pytest.mark.parametrize(
    ("items", "law"),
    [
        ([], "at least one stream"),
        ([chunk(0)], "before it is opened"),
        ([OPENED, OPENED], "opened once"),
        ([OPENED, chunk(0), Ended("mic"), chunk(5)], "after its end"),
        ([OPENED, chunk(0)], "never ended"),
        ([OPENED, chunk(0), chunk(9), Ended("mic")], "declared"),
        ([OPENED, chunk(0), chunk(3), Ended("mic")], "declared"),
        ([OPENED, chunk(0), Gap("mic", 6, 9, "dropped")], "gap starts"),
        ([OPENED, chunk(0, 0)], "not empty"),
        ([OPENED, Chunk("mic", 0, np.zeros((5, 2), np.float32))], "are \\(time, 1\\)"),
        ([OPENED, Chunk("mic", 0, np.zeros((5, 1)))], "are float32"),  # type: ignore[arg-type]
    ],
)
def test_a_source_that_breaks_a_law_is_told_which(items: list[Item], law: str) -> None:
    with pytest.raises(LawBroken, match=law):
        check_source(lambda: items)
