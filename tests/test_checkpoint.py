"""Checkpoints: a run that is killed at any moment and resumed ends in the same bundle, byte for byte."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny import WORDS, job, plan

from streamrnn.bundle import Bundle, read
from streamrnn.errors import BundleError
from streamrnn.training import checkpoint, run
from streamrnn.training.checkpoint import Checkpoint, Progress
from streamrnn.training.fit import Report
from streamrnn.training.judge import Judgement
from streamrnn.training.lanes import Cursor
from streamrnn.training.progress import Teller

torch.set_num_threads(1)

ONE = Checkpoint(
    plan="plan",
    progress=Progress(7, (Cursor(1, 2), Cursor(0, 5)), 0.25, 0.5, 6),
    network={"a": torch.arange(6.0).reshape(2, 3), "b.c": torch.ones(1)},
    average={"a": torch.zeros(2, 3), "b.c": torch.ones(1)},
    best={"a": torch.zeros(2, 3), "b.c": torch.ones(1)},
    optimiser={"0.step": torch.tensor(7.0), "0.exp_avg": torch.ones(2, 3)},
    state={"gru.0.h": torch.full((2, 4), 0.5)},
    mined={"scores": torch.rand(3)},
)


def train(config: Path, data: Path, out: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "streamrnn", "train", str(config), "--data", str(data), "--out", str(out), *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def kill_when_it_says(process: subprocess.Popen[str], words: str, wait_s: float) -> None:
    """SIGKILL `wait_s` after a line of its progress begins with `words`."""
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(words):
            time.sleep(wait_s)
            break
    else:
        raise AssertionError(f"it never said {words!r}: exit code {process.wait()}")
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_killed_at_any_moment_and_resumed_it_ends_in_the_same_bundle(
    trained: Bundle, words: Path, tmp_path: Path
) -> None:
    config, out = tmp_path / "tiny.yaml", tmp_path / "killed.bundle"
    config.write_text(WORDS)
    folder = tmp_path / "killed.bundle.training"
    # It says each judgement just before it writes the checkpoint: these kills fall around and into the writing.
    random.seed()
    waits = [random.uniform(0, 0.01) for _ in range(3)]
    moments = [("preparing", waits[0]), ("step 3/", waits[1]), ("step 9/", waits[2]), ("exporting", 0.3)]
    for words_said, wait_s in moments:
        process = train(config, words, out, "--resume")
        kill_when_it_says(process, words_said, wait_s)
        assert not out.exists(), f"killed too late, after {words_said!r}"
        # What a kill in the middle of a write leaves behind.
        folder.mkdir(exist_ok=True)
        (folder / "checkpoint.tmp").write_bytes(b"half a check")
        with (folder / "metrics.jsonl").open("a") as metrics:
            metrics.write('{"step": 11, "lo')
    said, errors = train(config, words, out, "--resume").communicate()
    assert "killed.bundle" in said, (errors, waits)
    assert read(out).sha == trained.sha, waits
    assert out.read_bytes() == trained.path.read_bytes()
    steps = [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    whole = trained.path.with_name(trained.path.name + ".training") / "metrics.jsonl"
    assert steps == [3, 4, 6, 8, 9, 10, 12]
    assert steps == [json.loads(line)["step"] for line in whole.read_text().splitlines()]


def test_another_seed_is_another_model_and_a_finished_run_resumes_to_itself(
    trained: Bundle, words: Path, tmp_path: Path
) -> None:
    other = plan(training__seed=1)
    assert run.anew(job(other, words, tmp_path / "other.bundle")).sha != trained.sha
    again = run.resume(job(plan(), words, trained.path))
    assert again.sha == trained.sha


def test_another_config_data_or_start_is_not_resumed(trained: Bundle, words: Path) -> None:
    for made, start in (
        (plan(training__seed=1), run.RANDOM),
        (plan(), run.weights_of(trained.path, plan())),
    ):
        with pytest.raises(BundleError, match="made with another config, data or --from; train without --resume"):
            run.resume(job(made, words, trained.path), start)


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "new" / "c.safetensors"
    checkpoint.save(path, ONE)
    checkpoint.save(path, ONE)
    got = checkpoint.load(path)
    assert (got.plan, got.progress) == (ONE.plan, ONE.progress)
    for part in ("network", "average", "best", "optimiser", "state"):
        saved, loaded = getattr(ONE, part), getattr(got, part)
        assert saved.keys() == loaded.keys()
        assert all(torch.equal(saved[name], loaded[name]) for name in saved)
    assert [file.name for file in path.parent.iterdir()] == ["c.safetensors"]


def test_a_best_loss_that_nobody_has_measured_yet_survives(tmp_path: Path) -> None:
    import dataclasses
    import math

    none = dataclasses.replace(ONE, progress=Progress(0, (), math.inf, 0.0, 0), optimiser={})
    checkpoint.save(tmp_path / "c", none)
    assert checkpoint.load(tmp_path / "c").progress == none.progress


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(0, 1, exclude_max=True))
def test_a_damaged_checkpoint_is_one_line(tmp_path: Path, share: float) -> None:
    path = tmp_path / "c"
    checkpoint.save(path, ONE)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(BundleError, match=r"damaged .* train without --resume"):
        checkpoint.load(path)


DIES_WHILE_SAVING = """
import dataclasses, resource, signal, sys
from pathlib import Path
import torch
from streamrnn.training import checkpoint
path = Path(sys.argv[1])
one = checkpoint.load(path)
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
checkpoint.save(path, dataclasses.replace(one, network={"a": torch.ones(1 << 20)}))
"""


def test_a_process_that_dies_in_the_middle_of_writing_leaves_the_one_before(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "c", ONE)
    command = [sys.executable, "-c", DIES_WHILE_SAVING, str(tmp_path / "c")]
    assert subprocess.run(command, check=False).returncode == -signal.SIGXFSZ
    assert checkpoint.load(tmp_path / "c").progress == ONE.progress


def test_metrics_behind_the_checkpoint_and_half_a_line_are_dropped(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text("".join(f'{{"step": {step}}}\n' for step in (5, 10, 15, 20)) + '{"step": 2')
    teller = Teller(metrics, 20, 10, io.StringIO())
    for step in range(11, 21):
        teller(Report(step, 1.0, 1.0, 0.1, 1.0, Judgement(0.5, 0.5, 9) if step % 5 == 0 else None))
    teller.close()
    assert [json.loads(line)["step"] for line in metrics.read_text().splitlines()] == [5, 10, 15, 20]


def test_a_place_that_is_full_or_gone_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match="cannot be written"):
        checkpoint.save(tmp_path / "file" / "c", ONE)
    with pytest.raises(BundleError, match="nothing to resume"):
        checkpoint.load(tmp_path / "none")
