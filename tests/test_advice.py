"""Advice: each rule speaks up for numbers that call for it, keeps quiet for others, and follows the intervals."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from streamrnn.evaluation.advice.finding import Finding
from streamrnn.evaluation.advice.rules import findings
from streamrnn.evaluation.metrics import proven_per_hour, rate_per_hour, share


def document(**changes: Any) -> dict[str, Any]:
    """A judgement of which nothing is bad: a thousand words in ten hours, all by one voice."""
    made: dict[str, Any] = {
        "split": "dev",
        "judged": {"clips": 0, "streams": 2, "words": 1000},
        "estimates": {"miss_rate": missed(20, 1000), "false_accepts_per_hour": rate(0, 10.0)},
        "spreads": {},
        "proven": {"below_per_hour": proven_per_hour(10.0), "sentence": ""},
        "delay_s": {"p50": 0.1, "p95": 0.2, "p99": 0.3},
        "labels": {},
        "groups": {},
        "noises": {},
        "hours": [],
        "false_under": {},
        "confusion": {"streams": {"five": {"five": 490}, "nine": {"nine": 490}}},
        "reliability": {},
        "left_out": [],
        "invariance": {"recordings": 3, "difference": ""},
    }
    return {**made, **changes}


def missed(count: int, of: int) -> dict[str, Any]:
    return dict(msgspec.to_builtins(share(count, of)))


def rate(count: int, hours: float) -> dict[str, Any]:
    return dict(msgspec.to_builtins(rate_per_hour(count, hours)))


def noisy(count: int, hours: float, **under: int) -> dict[str, Any]:
    made = document(false_under={name: {"false_accepts": times} for name, times in under.items()})
    made["estimates"]["false_accepts_per_hour"] = rate(count, hours)
    del made["proven"]
    return made


def test_where_all_is_well_nothing_is_to_be_done() -> None:
    found = findings(document())
    assert {finding.verdict for finding in found} == {"works"}
    assert not [finding for finding in found if finding.advice]
    assert len(found) == 4  # misses, quiet, quick, chunks


def bins(posterior: float, right: float) -> dict[str, Any]:
    row = {"frames": 100, "posterior": posterior, "right": right}
    part = {"error": {"value": abs(posterior - right)}, "diagram": [row]}
    return {**part, "labels": part}


def hour(number: int, found: int, of: int, false: int) -> dict[str, Any]:
    recall, heard = missed(found, of), rate(false, 1.0)
    return {"hour": number, "seconds": 3600.0, "recall": recall, "false_accepts_per_hour": heard}


LONG = {"path": "day.wav", "hours": [hour(1, 98, 100, 0), hour(2, 80, 100, 0), hour(3, 60, 100, 1)], "drift": {}}
STEADY = {"path": "day.wav", "hours": [hour(k, 90, 100, 0) for k in (1, 2, 3)]}
SINKING = {"trend": {"change": -0.05, "low": -0.08, "high": -0.02}}
CASES: dict[str, tuple[dict[str, Any], str, str]] = {
    "noise": (
        document(noises={"no noise": {"miss_rate": missed(2, 300)}, "fan at 5 dB": {"miss_rate": missed(60, 300)}}),
        "20.0\u00a0% are missed with fan at 5 dB",
        "more noise",
    ),
    "confusions": (
        document(confusion={"streams": {"five": {"five": 400, "nine": 12}, "nine": {"five": 9, "nine": 400}}}),
        "five and nine (21 times)",
        "Record more of five and nine",
    ),
    "talk": (noisy(40, 10.0, _speech=30, fan=10), "75.0\u00a0% of them where _speech was", "labelled _speech"),
    "unlabelled": (noisy(40, 10.0, **{"(nothing labelled)": 40}), "speaks up falsely", "Listen to the places"),
    "too short": (
        document(
            estimates={"miss_rate": missed(20, 1000), "false_accepts_per_hour": rate(0, 0.2)},
            proven={"below_per_hour": 15.0, "sentence": ""},
        ),
        "proves only fewer than 15 an hour",
        "6 hours of talk",
    ),
    "slow": (document(delay_s={"p50": 0.3, "p95": 0.6, "p99": 0.9}), "later than 0.60 s", "smooth_ms"),
    "few words": (
        document(judged={"clips": 0, "streams": 1, "words": 20}, estimates={"miss_rate": missed(2, 20)}),
        "20 words are too few",
        "by more people",
    ),
    "speakers": (
        document(groups={"ann": {"accuracy": missed(99, 100)}, "bob": {"accuracy": missed(70, 100)}}),
        "70.0\u00a0% right for bob",
        "--from",
    ),
    "labels": (
        document(labels={"five": {"said": 100, "missed": 30, "miss_rate": 0.3, "miss_low": 0.2, "miss_high": 0.4}}),
        "five (30.0\u00a0%)",
        "Record more of these",
    ),
    "thresholds": (
        document(
            estimates={"miss_rate": missed(200, 1000), "false_accepts_per_hour": rate(0, 10.0)},
            confusion={"streams": {"five": {"five": 800, "(nothing)": 180}}},
        ),
        "180 gave no detection",
        "lower enter",
    ),
    "drift": (document(hours=[LONG]), "worse in hour 3 than in hour 1", "drifts"),
    "trend": (document(hours=[{**STEADY, "drift": {"recall": SINKING}}]), "gets a little worse in day.wav", "drifts"),
    "bold": (document(reliability=bins(0.9, 0.7)), "too bold, by 20.0", "temperature"),
    "modest": (document(reliability=bins(0.7, 0.9)), "too modest, by 20.0", "temperature"),
    "heard before": (document(split=""), "training has heard flatter", "--split dev"),
    "chunks": (document(invariance={"recordings": 3, "difference": "a.wav: low"}), "a.wav: low", "streamrnn check"),
    "left out": (document(left_out=[{"path": "x", "reason": "y"}]), "1 file could not be used", "end of this page"),
    "twice": (
        document(
            judged={"clips": 100, "streams": 0, "words": 100},
            estimates={"accuracy": missed(90, 100), "miss_rate": missed(1, 1000)},
            confusion={"clips": {"five": {"five": 90, "(several)": 10}}},
        ),
        "10 clips of one word gave several",
        "refractory_ms",
    ),
    "clips only": (
        document(
            judged={"clips": 100, "streams": 0, "words": 100},
            estimates={"accuracy": missed(99, 100)},
            confusion={"clips": {"five": {"five": 99, "nine": 1}}},
        ),
        "clips only",
        "begin with '_'",
    ),
    "frames": (
        document(labels={"walk": {"frames": 100, "f1": 0.5, "precision": 0.5, "recall": 0.5}}),
        "walk (F1 0.50)",
        "join labels",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_numbers_that_call_for_advice_get_it_and_others_do_not(name: str) -> None:
    made, says, advice = CASES[name]

    def those(found: list[Finding]) -> list[Finding]:
        return [finding for finding in found if says in finding.says and advice in finding.advice]

    (finding,) = those(findings(made))
    assert finding.verdict != "works"
    assert not those(findings(document()))


def test_what_is_broken_stands_first_and_what_works_last() -> None:
    made = document(invariance={"recordings": 1, "difference": "x"}, split="", delay_s={"p95": 1.0})
    assert [finding.verdict for finding in findings(made)] == ["broken", "weak", "unsure", "works", "works"]


@pytest.mark.parametrize(("count", "verdict"), [(10, "works"), (55, "unsure"), (100, "weak")])
def test_a_verdict_needs_a_bound_of_the_interval_on_its_side(count: int, verdict: str) -> None:
    made = document()
    made["estimates"]["miss_rate"] = missed(count, 1000)
    (finding,) = [finding for finding in findings(made) if "in longer recordings were missed" in finding.says]
    assert finding.verdict == verdict


def test_the_wider_interval_is_believed() -> None:
    made = document(spreads={"miss_rate": {"low": 0.0, "high": 0.3, "units": 4}})
    (finding,) = [finding for finding in findings(made) if "in longer recordings were missed" in finding.says]
    assert finding.verdict == "unsure"
    assert "0\u00a0% to 30.0\u00a0%" in finding.says
