"""What README and docs show works: their blocks are run, their commands and links exist.

A page is one session in a folder of its own: blocks are run in their order, against a small folder of recordings.
Trainings take a few steps, ports are ones that are free. A block of `console microphone` needs a microphone or goes on
for ever: only its commands and flags are looked up.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
from daemons import INGEST, RESULTS, Daemon, write_config

from streamrnn import cli
from streamrnn.config import parse_yaml
from streamrnn.testing.signals import chirp, noise

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
DEMO = ROOT / "streamrnn" / "recordings" / "demo.flac"
RESULTS_SHOWN, INGEST_SHOWN = "tcp://127.0.0.1:5560", "tcp://127.0.0.1:5561"
DIGITS = [str(digit) for digit in range(10)]

# Stands in for `streamrnn` in the blocks: the same program, with short trainings and the daemon of the test.
_STREAMRNN = """\
import os, sys
from pathlib import Path
import yaml
from streamrnn.cli import main
from streamrnn.config import parse_yaml

words = sys.argv[1:] if __name__ == "__main__" else [""]
if words[0] in ("train", "crossval") and not os.environ.get("AS_IT_STANDS"):
    document = parse_yaml(Path(words[1]).read_text())
    for section in ("training", "finetuning"):
        few = {"steps": 4, "lanes": 4, "judge_every": 2, "warm_up_steps": 1}
        document[section] = {**document.get(section, {}), **few}
    document["material"]["variants"] = 1
    document["material"].pop("speech", None)
    Path("short.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    words[1] = "short.yaml"
if words[0] == "synth":
    words += ["--count", "4", "--talk", "0.1"]
if words[0] == "push":
    words += ["--endpoint", os.environ["INGEST"]]
if __name__ == "__main__":
    sys.exit(main(words))
"""


@dataclass(frozen=True)
class Block:
    """A fenced block: what stands after the fence, and its text."""

    info: str
    text: str


def blocks(page: Path) -> list[Block]:
    found = re.findall(r"^```([^\n]*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [Block(info.strip(), text) for info, text in found]


def run_here(page: Path) -> list[Block]:
    return [block for block in blocks(page) if block.info in ("python", "console", "sh")]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a reader has: recordings, a talk, the configs, and the commands on the path."""
    folder = tmp_path_factory.mktemp("reader")
    random = np.random.default_rng(0)
    for data, labels in (("recordings", ["yes", "no", "_other"]), ("digits-of-mine", DIGITS)):
        for place, label in enumerate(labels):
            (folder / data / label).mkdir(parents=True)
            for clip in range(3):
                word = chirp(300.0 + 150 * place, 2400.0 - 130 * place, 0.4, 8000) + noise(0.4, 8000, random, 0.003)
                soundfile.write(folder / data / label / f"{clip}.wav", word, 8000)
    # Two speakers, so that one can be left out.
    rows = [f"{label}/{clip}.wav,{label},{('ann', 'bob')[clip % 2]}" for label in ("yes", "no") for clip in range(3)]
    (folder / "recordings" / "manifest.csv").write_text("\n".join(["path,label,speaker", *rows, ""]))
    (folder / "talk" / "_talk").mkdir(parents=True)
    for clip in range(4):
        glide = chirp(500.0 + 100 * clip, 900.0, 5.0, 8000) + noise(5.0, 8000, random, 0.01)
        soundfile.write(folder / "talk" / "_talk" / f"{clip}.wav", glide, 8000)
    talk, rate = soundfile.read(DEMO, dtype="float32", frames=4 * soundfile.info(DEMO).samplerate)
    soundfile.write(folder / "talk.wav", talk, rate)
    take = np.concatenate([np.concatenate([noise(0.8, 16000, random, 0.001), chirp(400, 900, 0.4, 16000)])] * 5)
    soundfile.write(folder / "take.wav", np.concatenate([take, noise(1.0, 16000, random, 0.001)]), 16000)
    shutil.copytree(ROOT / "configs", folder / "configs")
    tools = folder / "bin"
    tools.mkdir()
    (tools / "shortened.py").write_text(_STREAMRNN)
    for name, line in (
        ("streamrnn", f'exec {shlex.quote(sys.executable)} "{tools}/shortened.py" "$@"'),
        # That the target exists is all that can be shown here.
        ("make", f'exec {shutil.which("make")} -n -C {shlex.quote(str(ROOT))} "$@" >/dev/null'),
    ):
        (tools / name).write_text(f"#!/bin/sh\n{line}\n")
        (tools / name).chmod(0o755)
    return folder


def free_endpoint() -> str:
    """A port that nobody listens at now."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return f"tcp://127.0.0.1:{found.getsockname()[1]}"


@contextlib.contextmanager
def daemon_for(block: Block, folder: Path) -> Iterator[tuple[str, str]]:
    """The endpoints of results and ingest of a daemon, if the block talks to one; free ones if it starts its own."""
    if "streamrnn serve" in block.text:
        yield free_endpoint(), free_endpoint()
        return
    if RESULTS_SHOWN in block.text:
        source = {"kind": "wav", "path": str(folder / "talk.wav"), "stream": "talk", "pace": "fastest"}
        config = write_config(
            folder / "d.yaml", Path("digits"), [source], [{**RESULTS, "wait_for": 1}], until="finished"
        )
    elif INGEST_SHOWN in block.text or "streamrnn push" in block.text:
        config = write_config(folder / "d.yaml", Path("digits"), [INGEST], [RESULTS])
    else:
        yield "", ""
        return
    with Daemon(config) as daemon:
        yield daemon.results, daemon.ingest


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", [page for page in PAGES if run_here(page)], ids=lambda page: page.stem)
def test_every_block_of_a_page_runs(page: Path, sandbox: Path, tmp_path: Path) -> None:
    if "streamrnn synth" in page.read_text(encoding="utf-8") and shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed")
    folder = tmp_path / "session"
    shutil.copytree(sandbox, folder)
    for block in run_here(page):
        with daemon_for(block, folder) as (results, ingest):
            text = block.text.replace(RESULTS_SHOWN, results).replace(INGEST_SHOWN, ingest)
            command = (
                [sys.executable, "-c", text] if block.info == "python" else ["bash", "-euo", "pipefail", "-c", text]
            )
            environment = {**os.environ, "INGEST": ingest, "OMP_NUM_THREADS": "1"}
            # Tutorials are of trainings that take seconds as they are.
            environment["AS_IT_STANDS"] = "yes" if page.stem.startswith("tutorial") else ""
            environment["PATH"] = f"{sandbox / 'bin'}:{environment['PATH']}"
            done = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True, timeout=200, check=False
            )
        assert done.returncode == 0, f"{page.name}:\n{text}\n{done.stdout}\n{done.stderr}"
        if block.info == "python":
            assert done.stdout or INGEST_SHOWN in block.text, f"{page.name}: printed nothing:\n{text}"


def shown_commands() -> Iterator[tuple[str, list[str]]]:
    """The words of every `streamrnn` and `make` command in a block that is for a shell."""
    for page in PAGES:
        for block in blocks(page):
            if block.info.split(" ")[0] not in ("console", "sh"):
                continue
            for line in block.text.splitlines():
                words = shlex.split(line.split(" | ")[-1], comments=True)
                if words:
                    ends = [place for place, word in enumerate(words) if word in (">", "2>", "&")]
                    yield page.name, words[: ends[0]] if ends else words


COMMANDS = [(page, words) for page, words in shown_commands() if words[0] == "streamrnn"]


@pytest.mark.parametrize(("page", "words"), COMMANDS, ids=[f"{p}: {' '.join(w[1:])}" for p, w in COMMANDS])
def test_every_command_and_flag_that_is_shown_exists(page: str, words: list[str]) -> None:
    assert words[1] in cli.COMMANDS
    parser = argparse.ArgumentParser(exit_on_error=False)
    importlib.import_module(f"streamrnn.commands.{words[1]}").add_arguments(parser)
    parser.parse_args(words[2:])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    gone = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not gone


def test_the_readme_names_its_two_commands_first() -> None:
    first = blocks(ROOT / "README.md")[0]
    assert [words[:2] for _, words in shown_commands()][:2] == [["make", "run"], ["make", "test"]]
    assert first.info == "console"


def test_yaml_in_the_docs_is_yaml() -> None:
    for page in PAGES:
        for block in blocks(page):
            if block.info == "yaml":
                assert parse_yaml(block.text), page.name
