"""The compiled kernel: it says what torch says, and every row gets the same bits in any batch and for any split."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from tiny import SENSORS, plan

from streamrnn import bundle, load, registry
from streamrnn.backends import Array, ArrayState, Step
from streamrnn.backends.torch import TorchStep
from streamrnn.bundle import Bundle, Golden
from streamrnn.engine import Engine, serving
from streamrnn.errors import BundleError, ConfigError
from streamrnn.events import Event
from streamrnn.network import Network, Posteriors
from streamrnn.operating import UNMEASURED
from streamrnn.testing import check_step

kernel = pytest.importorskip("streamrnn_native", reason="no compiled kernel here; pip install ./native")
from streamrnn.backends import native  # noqa: E402

torch.set_num_threads(1)
INSTRUCTIONS = kernel.available()
DEMO = Path(bundle.__file__).parent / "recordings" / "demo.flac"

FRAME = {"kind": "frame", "window_ms": 25, "hop_ms": 10}
LOG_MEL = {"kind": "log_mel", "bands": 13}
CASES: dict[str, tuple[int, list[dict[str, Any]], dict[str, Any], str]] = {
    # channels, features, model, head
    "gru": (1, [FRAME, LOG_MEL, {"kind": "scale"}], {"kind": "gru", "layers": 2, "hidden": 37}, "classes"),
    "convolution": (
        1,
        [
            FRAME,
            LOG_MEL,
            {"kind": "scale"},
            {"kind": "mask"},
            {"kind": "convolution", "maps": 5, "frames": 5, "bands": 7, "hop_frames": 2, "hop_bands": 2},
            {"kind": "convolution", "inputs": 5, "maps": 17, "frames": 2, "bands": 4, "hop_frames": 2},
        ],
        {"kind": "gru", "layers": 1, "hidden": 20, "projection": 19},
        "labels",
    ),
    "lstm": (
        1,
        [FRAME, {"kind": "mfcc", "bands": 12, "coefficients": 6}, {"kind": "delta", "reach": 3}],
        {"kind": "lstm", "layers": 2, "hidden": 35, "projection": 18},
        "labels",
    ),
    "rnn": (
        3,
        [{"kind": "statistics", "frames": 6}, {"kind": "stack", "frames": 4}],
        {"kind": "rnn", "layers": 2, "hidden": 70},
        "classes",
    ),
    "windows": (3, [{"kind": "frame", "window_ms": 3.5, "hop_ms": 2}], {"kind": "lstm", "hidden": 16}, "classes"),
    "stacked": (1, [{"kind": "stack", "frames": 100}, LOG_MEL], {"kind": "rnn", "hidden": 16, "layers": 1}, "labels"),
    "bare": (2, [], {"kind": "gru", "layers": 1, "hidden": 3}, "labels"),
}


def made(channels: int, features: list[dict[str, Any]], model: dict[str, Any], head: str) -> tuple[Bundle, Step]:
    """A bundle with random weights and no graph, and its step on torch. Raises ConfigError."""
    chosen = plan(
        recognizer__channels=channels,
        recognizer__features=features,
        recognizer__model=model,
        recognizer__head={"kind": head},
    )
    torch.manual_seed(2)
    network = Network(chosen.recognizer).eval()
    network.measure(0.1 * torch.randn(1, 40 * network.hop, channels))
    network.head.temperature.fill_(1.3)
    posteriors = Posteriors(network)
    there = Bundle(
        path=Path("made.bundle"),
        sha="",
        recognizer=network.recognizer,
        initial={name: value.numpy() for name, value in posteriors.initial_state(1).items()},
        weights={name: value.numpy() for name, value in network.state_dict().items()},
        graph=b"",
        golden=Golden(np.zeros((0, channels), np.float32), np.zeros((0, network.width), np.float32)),
        passport={},
        det=UNMEASURED,
    )
    return there, TorchStep(posteriors)


@pytest.fixture(scope="module", params=list(CASES))
def case(request: pytest.FixtureRequest) -> tuple[Bundle, Step]:
    return made(*CASES[request.param])


def sound(there: Bundle, batch: int, hops: int, seed: int = 0) -> Array:
    random = np.random.default_rng(seed)
    loud = 10.0 ** random.uniform(-3, 0, (batch, 1, 1))
    shape = (batch, hops * there.recognizer.hop, there.recognizer.channels)
    return (loud * random.standard_normal(shape)).astype(np.float32)


def fresh(there: Bundle, batch: int) -> ArrayState:
    return {name: np.repeat(array, batch, axis=0) for name, array in there.initial.items()}


def assert_near(left: tuple[Array, ArrayState], right: tuple[Array, ArrayState]) -> None:
    np.testing.assert_allclose(left[0], right[0], atol=1e-5)
    assert list(left[1]) == list(right[1])
    for name, array in left[1].items():
        np.testing.assert_allclose(array, right[1][name], atol=1e-4, rtol=1e-4, err_msg=name)


def test_the_cases_hold_every_feature_cell_and_head_that_is_registered_but_those_of_sensors() -> None:
    kinds = {each["kind"] for _, features, model, _ in CASES.values() for each in (*features, model)}
    assert kinds | SENSORS == {plug.kind for role in ("feature", "model") for plug in registry.plugs(role)}
    assert {case[3] for case in CASES.values()} | {"forecast"} == {plug.kind for plug in registry.plugs("head")}


@pytest.mark.parametrize("instructions", INSTRUCTIONS)
def test_it_says_what_torch_says(case: tuple[Bundle, Step], instructions: str) -> None:
    there, reference = case
    step = native.open_step(there, instructions)
    assert step.instructions == instructions
    samples = sound(there, 3, 12)
    assert_near(step(samples, fresh(there, 3)), reference(samples, fresh(there, 3)))


@pytest.mark.parametrize("instructions", INSTRUCTIONS)
def test_it_keeps_the_law_to_the_bit(case: tuple[Bundle, Step], instructions: str) -> None:
    there, _ = case
    step = native.open_step(there, instructions)
    check_step(step, there.initial, there.recognizer.hop, there.recognizer.channels, trials=2, atol=0.0)


@settings(max_examples=40, deadline=None)
@given(
    case=st.sampled_from(list(CASES)),
    instructions=st.sampled_from(INSTRUCTIONS),
    batch=st.integers(1, 140),
    hops=st.integers(1, 40),
    random=st.randoms(use_true_random=False),
)
def test_any_company_and_any_split_give_the_same_bits(
    case: str, instructions: str, batch: int, hops: int, random: Any
) -> None:
    there, _ = _MADE.setdefault(case, made(*CASES[case]))
    step = _STEPS.setdefault((case, instructions), native.open_step(there, instructions))
    hop = there.recognizer.hop
    samples = sound(there, batch, hops, seed=1)
    whole, after = step(samples, fresh(there, batch))
    state, at, parts = fresh(there, batch), 0, []
    rows = list(range(batch))
    while at < hops:
        now = random.randint(1, hops - at)
        # The rows in another order and in two calls, each time.
        random.shuffle(rows)
        cut = random.randint(0, batch)
        part = np.empty((batch, now, whole.shape[2]), np.float32)
        for some in (rows[:cut], rows[cut:]):
            chunk = samples[some, at * hop : (at + now) * hop]
            part[some], moved = step(chunk, {name: array[some] for name, array in state.items()})
            for name, array in moved.items():
                state[name][some] = array
        parts.append(part)
        at += now
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)
    for name, array in after.items():
        np.testing.assert_array_equal(state[name], array)


_MADE: dict[str, tuple[Bundle, Step]] = {}
_STEPS: dict[tuple[str, str], native.NativeStep] = {}

COUNT = st.integers(1, 5)
FEATURES = st.lists(
    st.one_of(
        st.builds(lambda reach: {"kind": "delta", "reach": reach}, COUNT),
        st.builds(lambda frames: {"kind": "stack", "frames": frames}, COUNT),
        st.builds(lambda frames: {"kind": "statistics", "frames": 1 + frames}, COUNT),
        st.just({"kind": "scale"}),
        st.builds(
            lambda *numbers: {
                "kind": "convolution",
                **dict(zip(("maps", "inputs", "frames", "bands", "hop_frames", "hop_bands"), numbers, strict=True)),
            },
            *[COUNT] * 6,
        ),
    ),
    max_size=3,
)
FIRST = st.one_of(
    st.just([]),
    st.builds(
        lambda window, hop, bands: [
            {"kind": "frame", "window_ms": window / 8, "hop_ms": hop / 8},
            {"kind": "log_mel", "bands": bands, "low_hz": 0},
        ],
        st.integers(3, 300),
        st.integers(1, 150),
        st.integers(1, 20),
    ),
)


@pytest.mark.filterwarnings("ignore:At least one mel filterbank")  # torchaudio, of bands between two bins
@settings(max_examples=60, deadline=None)
@given(
    first=FIRST,
    features=FEATURES,
    channels=st.integers(1, 3),
    cell=st.sampled_from(["gru", "lstm", "rnn"]),
    hidden=st.integers(1, 50),
    head=st.sampled_from(["classes", "labels"]),
    batch=st.integers(1, 9),
    hops=st.integers(1, 9),
)
def test_any_recognizer_that_can_be_built_says_what_torch_says(
    first: list[dict[str, Any]],
    features: list[dict[str, Any]],
    channels: int,
    cell: str,
    hidden: int,
    head: str,
    batch: int,
    hops: int,
) -> None:
    model = {"kind": cell, "layers": 1, "hidden": hidden}
    try:
        there, reference = made(1 if first else channels, [*first, *features], model, head)
    except ConfigError:
        reject()
    samples = sound(there, batch, hops)
    step = native.open_step(there)
    assert_near(step(samples, fresh(there, batch)), reference(samples, fresh(there, batch)))


@pytest.mark.parametrize(("batch", "hops"), [(0, 0), (0, 3), (2, 0), (65, 5), (130, 3), (1, 600)])
def test_batches_of_any_size(case: tuple[Bundle, Step], batch: int, hops: int) -> None:
    there, reference = case
    samples = sound(there, batch, hops)
    posteriors, after = native.open_step(there)(samples, fresh(there, batch))
    assert posteriors.shape == (batch, hops, len(there.recognizer.columns))
    if hops and batch:
        assert_near((posteriors, after), reference(samples, fresh(there, batch)))
    else:
        for name, array in fresh(there, batch).items():
            np.testing.assert_array_equal(after[name], array)


def test_samples_and_states_may_be_laid_out_in_any_way(case: tuple[Bundle, Step]) -> None:
    there, _ = case
    step = native.open_step(there)
    samples = sound(there, 4, 3)
    odd = np.asfortranarray(samples)
    odd.setflags(write=False)
    want, _ = step(samples, fresh(there, 4))
    state = {name: np.asfortranarray(array) for name, array in fresh(there, 4).items()}
    np.testing.assert_array_equal(step(odd, state)[0], want)
    with pytest.raises(ValueError, match="floats"):
        step(samples, fresh(there, 3))


@pytest.mark.parametrize("instructions", INSTRUCTIONS)
def test_hyperbolic_tangent_and_sigmoid_are_right_to_the_last_digits(instructions: str) -> None:
    one, none = np.ones((1, 1), np.float32), np.zeros((1, 1), np.float32)
    stages = (
        ("rnn", (1,), (one, none, none[0], none[0])),
        ("dense", (1,), (one, none[0])),
        ("sigmoid", (), (np.ones(1, np.float32),)),
    )
    cell = kernel.Plan(instructions, 1, stages)
    sigmoid = kernel.Plan(instructions, 1, stages[1:])
    random = np.random.default_rng(0)
    x = np.concatenate([random.uniform(-30, 30, 20000), 10.0 ** random.uniform(-30, 2, 20000)]).astype(np.float32)
    posterior, hidden = np.empty_like(x), np.empty_like(x)
    cell.step(len(x), 1, x, posterior, (np.zeros_like(x),), (hidden,))
    exact = np.tanh(x.astype(np.float64))
    assert np.max(np.abs(hidden - exact) / np.abs(exact)) < 1e-6
    sigmoid.step(len(x), 1, x, posterior, (), ())
    exact = 1 / (1 + np.exp(-x.astype(np.float64)))
    assert np.max(np.abs(posterior - exact) / exact) < 1e-6


@pytest.mark.parametrize("window", [32, 400, 1000])
@pytest.mark.parametrize("instructions", INSTRUCTIONS)
def test_log_energies_are_those_of_a_transform_in_double_precision(window: int, instructions: str) -> None:
    size = 1 << (window - 1).bit_length()
    bins = size // 2 + 1
    taper = np.hanning(window).astype(np.float32) / np.float32(window)
    # A band a bin, over a floor; the frames before the last are what the slope remembers.
    stages = (
        ("mel", (0, window, size, 0, bins, bins), (taper, np.eye(bins, dtype=np.float32))),
        ("delta", (1,), ()),
        ("sigmoid", (), (np.ones(1, np.float32),)),
    )
    plan = kernel.Plan(instructions, window, stages)
    loud = 10.0 ** np.arange(-4, 4)[:, None, None]
    samples = (loud * np.random.default_rng(0).standard_normal((8, 2, window))).astype(np.float32)
    samples[0] = 0
    tail = np.zeros((8, 2, bins), np.float32)
    posteriors, after = np.empty((8, 2, 2 * bins), np.float32), np.empty_like(tail)
    plan.step(8, 2, samples, posteriors, (tail,), (after,))
    exact = np.log1p(np.abs(np.fft.rfft(2 * samples.astype(np.float64) * taper, size)) ** 2)
    assert np.all(after[0] == 0)
    scale = np.maximum(1e-30, exact.max(axis=-1, keepdims=True))
    assert np.max(np.abs(after - exact) / scale) < 2e-6


def test_two_threads_may_use_one_step(case: tuple[Bundle, Step]) -> None:
    there, _ = case
    step = native.open_step(there)
    samples = [sound(there, 2, 9, seed) for seed in range(2)]
    wanted = [step(each, fresh(there, 2))[0] for each in samples]
    wrong: list[int] = []

    def hear(which: int) -> None:
        heard = [step(samples[which], fresh(there, 2))[0] for _ in range(50)]
        wrong.extend(which for each in heard if not np.array_equal(each, wanted[which]))

    threads = [threading.Thread(target=hear, args=(which,)) for which in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_small_numbers_outside_a_step_are_left_alone(case: tuple[Bundle, Step]) -> None:
    there, _ = case
    native.open_step(there)(sound(there, 1, 1), fresh(there, 1))
    assert np.float32(1e-38) * np.float32(0.1) > 0


def test_shipped_bundles_are_taken_and_their_golden_answers_proved() -> None:
    for name in ("digits", "wakeword"):
        there = bundle.read(bundle.shipped(name))
        assert bundle.choose_backend(there, "auto") == "native"
        bundle.prove(there, bundle.open_step(there, "auto"))
        samples = sound(there, 2, 25)
        onnx = bundle.open_step(there, "onnx")(samples, fresh(there, 2))
        posteriors, state = bundle.open_step(there, "native")(samples, fresh(there, 2))
        np.testing.assert_allclose(posteriors, onnx[0], atol=1e-5)
        assert {name: array.shape for name, array in state.items()} == {n: a.shape for n, a in onnx[1].items()}


def test_a_stream_goes_on_by_the_other_backend_and_hears_the_same() -> None:
    there = bundle.read(bundle.shipped("digits"))
    talk, rate = soundfile.read(DEMO, dtype="float32", always_2d=True)
    whole = load("digits", "onnx").detect(talk, rate, "talk")
    assert len(whole) > 5
    engines = [Engine([serving(there, backend)]) for backend in ("native", "onnx", "native")]
    engines[0].open("talk", rate, 1)
    cuts = np.linspace(0, len(talk), len(engines) + 1).astype(int)
    heard: list[Event] = []
    for i, engine in enumerate(engines):
        if i:
            engine.restore(engines[i - 1].snapshot("talk"))
        engine.push("talk", int(cuts[i]), talk[cuts[i] : cuts[i + 1]])
        heard += engine.run()
    engines[-1].finish("talk")
    heard += engines[-1].run()
    assert [event.id for event in heard] == [event.id for event in whole]
    for one, other in zip(whole, heard, strict=True):
        assert one.sample == other.sample
        assert one.body.score == pytest.approx(other.body.score, abs=1.5e-4)  # type: ignore[union-attr]


def test_a_bundle_that_is_not_what_its_config_says_is_left_to_onnx(tiny_bundle: Path) -> None:
    there = bundle.read(tiny_bundle)  # it has a graph of its own and no weights
    with pytest.raises(BundleError, match="native backend does not take it"):
        bundle.open_step(there, "native")
    assert bundle.choose_backend(there, "auto") == "onnx"
    bundle.prove(there, bundle.open_step(there, "auto"))


def test_without_the_kernel_onnx_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    there = bundle.read(bundle.shipped("digits"))
    monkeypatch.setitem(__import__("sys").modules, "streamrnn.backends.native", None)
    monkeypatch.delattr("streamrnn.backends.native")
    assert bundle.choose_backend(there, "auto") == "onnx"
    with pytest.raises(BundleError, match="pip install"):
        bundle.open_step(there, "native")


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ({"chain.stages.3.layers.0.weight_hh_l0": np.zeros((111, 36), np.float32)}, "floats"),
        ({"chain.stages.2.mean": np.zeros(3, np.float32)}, "floats"),
        ({"chain.stages.4.layer.weight": np.zeros((40, 37), np.float32)}, "floats"),
    ],
)
def test_weights_that_do_not_fit_are_refused(weights: ArrayState, said: str) -> None:
    there, _ = made(*CASES["gru"])
    there.weights.update(weights)
    with pytest.raises(BundleError, match=said):
        native.open_step(there)
    there.weights.clear()
    with pytest.raises(BundleError, match="does not take it"):
        native.open_step(there)


STAGE = st.tuples(
    st.sampled_from(
        ["frame", "mel", "scale", "delta", "stack", "statistics", "convolution", "dense", "gru", "softmax"]
    ),
    st.lists(st.integers(-2, 40) | st.sampled_from([2**20, 2**31, 2**62]), max_size=6).map(tuple),
    st.lists(st.integers(0, 300).map(lambda size: np.zeros(size, np.float32)), max_size=4).map(tuple),
)


@settings(max_examples=300, deadline=None)
@given(st.integers(-1, 40), st.lists(STAGE, max_size=4).map(tuple))
def test_any_description_is_built_or_refused(channels: int, stages: tuple[Any, ...]) -> None:
    try:
        built = kernel.Plan("", channels, stages)
    except (ValueError, OverflowError):
        return
    states = [np.zeros(size, np.float32) for size in built.states]
    samples = np.zeros(built.hop * channels, np.float32)
    built.step(1, 1, samples, np.zeros(built.columns, np.float32), tuple(states), tuple(s.copy() for s in states))
