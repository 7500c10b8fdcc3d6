"""A budget instead of a threshold: what the evidence supports is promised, all else is refused in one sentence."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrnn import bundle, engine, operating
from streamrnn.bundle import BUDGET, Bundle
from streamrnn.decoders import HysteresisConfig, SmoothedConfig, beside_thresholds
from streamrnn.errors import BundleError, ConfigError
from streamrnn.evaluation.metrics import rate_per_hour
from streamrnn.operating import UNMEASURED, WIDEST, Det, Point

HOURS = 20.0


def point(enter: float, false_accepts: int, hours: float = HOURS, missed: int = 5) -> Point:
    rate = rate_per_hour(false_accepts, hours, 1.644854)
    return Point(
        enter,
        enter / 2,
        false_accepts,
        rate.value,
        rate.low,
        rate.high,
        missed,
        missed / 100,
        missed / 200,
        missed / 50,
    )


def det_of(counts: list[int], hours: float = HOURS) -> Det:
    """Thresholds .05, .10, ... with so many false accepts each."""
    points = tuple(point(round(0.05 * (i + 1), 2), count, hours, 5 + i) for i, count in enumerate(counts))
    decoder = beside_thresholds(HysteresisConfig(smooth_ms=100, refractory_ms=300))
    return Det(100, hours, 30.0, {"talk": 1800.0}, points, decoder)


DET = det_of([400, 200, 60, 19, 10, 4, 0])


@given(st.lists(st.integers(0, 500), min_size=1, max_size=19), st.floats(0.01, 100.0))
def test_a_promise_is_the_lowest_threshold_that_keeps_it_and_has_evidence(counts: list[int], budget: float) -> None:
    det = det_of(counts)
    keeps = [all(later.per_hour <= budget for later in det.points[i:]) for i in range(len(counts))]
    try:
        chosen = operating.choose(det, budget)
    except ConfigError as error:
        refusal = str(error)
        assert refusal.startswith(f"{budget:g} false accepts an hour: ")
        assert "\n" not in refusal
        assert not any(keeps) or not 0 < det.points[keeps.index(True)].per_hour_high <= (
            WIDEST * det.points[keeps.index(True)].per_hour_low
        )
        return
    assert chosen == det.points[keeps.index(True)]
    assert chosen.per_hour_high <= WIDEST * chosen.per_hour_low


def test_what_is_refused_and_why() -> None:
    assert operating.choose(DET, 1.0).enter == pytest.approx(0.2)
    assert operating.choose(DET, 0.5).enter == pytest.approx(0.25)
    refused = [
        (UNMEASURED, 0.5, "0.5 false accepts an hour: the bundle was never measured; run streamrnn calibrate on it"),
        (DET, 0.2, "only 4 heard in 20 h at threshold 0.3 .* calibrate on 40 h, 20 h more"),
        (det_of([400, 0]), 0.1, "only 0 heard in 20 h at threshold 0.1 .* calibrate on 80 h, 60 h more"),
        (det_of([3], 200.0), 5.0, "only 3 heard .* calibrate on 534 h, 334 h more"),
        (det_of([0], 200.0), 5.0, "only 0 heard in 200 h .* far below what was asked for"),
        (det_of([50, 40]), 1.0, "the highest threshold, 0.1, still gives 2; ask for more"),
    ]
    for det, budget, why in refused:
        with pytest.raises(ConfigError, match=why):
            operating.choose(det, budget)


def test_what_comes_from_few_recordings_promises_nothing_for_others() -> None:
    lumped = msgspec.structs.replace(point(0.5, 40), per_hour_low=0.0, per_hour_high=6.0)
    det = msgspec.structs.replace(DET, points=(lumped,))
    with pytest.raises(ConfigError, match=r"a few recordings give most of the 40 .* 46 min of other material beside"):
        operating.choose(det, 2.0)


def rewritten(source: Bundle, place: Path, det: Det) -> Bundle:
    return bundle.write(place, bundle.measured(source, det))


@pytest.fixture
def measured(tiny_bundle: Path, tmp_path: Path) -> Bundle:
    return rewritten(bundle.read(tiny_bundle), tmp_path / "measured.bundle", DET)


def decoder_of(read: Bundle) -> SmoothedConfig:
    config = read.recognizer.config.decoder
    assert isinstance(config, SmoothedConfig)
    return config


def test_a_bundle_carries_its_det(tiny_bundle: Path, measured: Bundle) -> None:
    before = bundle.read(tiny_bundle)
    assert before.det == UNMEASURED
    assert measured.det == DET
    assert bundle.read(measured.path).det == DET
    assert measured.sha != before.sha
    assert measured.recognizer == before.recognizer
    bundle.prove(measured, bundle.open_step(measured, "onnx"))


def test_a_bundle_of_the_first_schema_was_never_measured(measured: Bundle, tmp_path: Path) -> None:
    def write(place: Path, schema: int, *, with_det: bool) -> Path:
        with zipfile.ZipFile(measured.path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        table = json.loads(members["bundle.json"])
        table["schema"] = schema
        if not with_det:
            del members["det.json"], table["members"]["det.json"]
        members["bundle.json"] = json.dumps(table).encode()
        memory = io.BytesIO()
        with zipfile.ZipFile(memory, "w") as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        place.write_bytes(memory.getvalue())
        return place

    assert bundle.read(write(tmp_path / "old.bundle", 1, with_det=False)).det == UNMEASURED
    with pytest.raises(BundleError, match=r"det\.json"):
        bundle.read(write(tmp_path / "torn.bundle", 2, with_det=False))
    assert bundle.read(bundle.shipped("digits")).det is not None


def test_a_budget_becomes_thresholds_in_one_place(measured: Bundle) -> None:
    chosen = bundle.with_budget(measured, 1.0)
    assert (decoder_of(chosen).enter, decoder_of(chosen).leave) == (DET.points[3].enter, DET.points[3].leave)
    assert bundle.with_budget(measured, 0.0) == measured
    served = engine.serving(chosen)
    assert decoder_of(chosen) == served.recognizer.config.decoder
    # A budget of the bundle itself, as a training config writes it, is kept by whatever serves it.
    own = msgspec.structs.replace(decoder_of(measured), max_false_accepts_per_hour=1.0)
    config = msgspec.structs.replace(measured.recognizer.config, decoder=own)
    recognizer = msgspec.structs.replace(measured.recognizer, config=config)
    contents = bundle.measured(measured, DET)
    there = bundle.write(measured.path, bundle.Contents(**{**_fields(contents), "recognizer": recognizer}))
    assert decoder_of(there).enter == 0.5
    assert engine.serving(there).recognizer.config.decoder == decoder_of(chosen)
    assert decoder_of(bundle.with_own_thresholds(there)).max_false_accepts_per_hour == 0.0
    assert engine.serving(bundle.with_own_thresholds(there)).recognizer.config.decoder.enter == 0.5  # type: ignore[attr-defined]
    written = bundle.with_decoder(there, {"enter": 0.7}, "x")
    assert (decoder_of(written).enter, decoder_of(written).max_false_accepts_per_hour) == (0.7, 0.0)


def _fields(contents: bundle.Contents) -> dict[str, object]:
    return {name: getattr(contents, name) for name in contents.__dataclass_fields__}


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({BUDGET: 1.0, "enter": 0.4}, f"here: {BUDGET} chooses enter; give one of the two"),
        ({BUDGET: 1.0, "smooth_ms": 50}, "here: the bundle's DET was measured with smooth_ms 100 and not 50.0"),
        ({BUDGET: 1.0, "refractory_ms": 50}, "measured with refractory_ms 300 and not 50.0; take refractory_ms out"),
        ({BUDGET: 1.0, "kind": "endpoint"}, "measured with kind hysteresis and not endpoint"),
        ({BUDGET: 0.01}, "here: 0.01 false accepts an hour: only 0 heard"),
        ({BUDGET: -1}, f"here.{BUDGET}: -1: write a number >= 0.0"),
        ({"max_false_accept_per_hour": 1.0}, f"did you mean '{BUDGET}'"),
    ],
)
def test_what_a_decoder_s_settings_may_not_say(measured: Bundle, settings: dict[str, object], why: str) -> None:
    with pytest.raises(ConfigError, match=why.replace("?", r"\?")):
        bundle.with_decoder(measured, settings, "here")


def test_another_kind_of_decoder_needs_no_det(measured: Bundle) -> None:
    other = bundle.with_decoder(measured, {"kind": "endpoint", "enter": 0.4}, "here")
    assert decoder_of(other).__struct_config__.tag == "endpoint"
