"""Where a bundle comes from: data with hashes and licences, seed, versions, config and what was measured."""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from streamrnn.evaluation.recordings import Recording
from streamrnn.speech import together
from streamrnn.training.plan import TrainingConfig, WordsConfig

# As people write them in running text.
_LICENCES = re.compile(r"\b(?:CC BY(?:-[A-Z]{2})* \d\.\d|CC0|Apache-2\.0|MIT|BSD-\d-Clause)\b")
_VERSIONS = ("streamrnn", "torch", "torchaudio", "onnx", "onnxruntime", "numpy", "soxr")


def passport(plan: TrainingConfig, folders: Sequence[Path], recordings: Sequence[Recording]) -> dict[str, Any]:
    """What is known before training; metrics are added after it. No path of this machine is in it."""
    data = []
    for folder in folders:
        used = [recording for recording in recordings if recording.path.is_relative_to(folder)]
        files = sorted({recording.path for recording in used})
        data.append(
            {
                "name": folder.resolve().name,
                "recordings": len(used),
                "sha256": _hash(folder, files),
                "licence": _licence(folder),
            }
        )
    made = {
        "data": data,
        "seed": plan.training.seed,
        "config": msgspec.to_builtins(plan),
        "python": platform.python_version(),
    }
    made["versions"] = {name: version(name) for name in _VERSIONS}
    if isinstance(plan.material, WordsConfig) and plan.material.speech is not None:
        engines = plan.material.speech.engines
        spoken = engines or together.installed()
        made["synthesis"] = (
            together.named(engines, "training").name() if spoken else "left out: espeak-ng is not installed"
        )
    return made


def plan_hash(plan: TrainingConfig, recordings: Iterable[Recording], origin: str) -> str:
    """What a checkpoint must have been made for, to be resumed: config, labels and beginning."""
    said = [
        # What a stretch was composed from teaches nothing.
        (r.path.name, r.span, r.split, [{"start": s.start, "end": s.end, "label": s.label} for s in r.segments])
        for r in recordings
    ]
    text = msgspec.json.encode([msgspec.to_builtins(plan), said, origin])
    return hashlib.sha256(text).hexdigest()


def _hash(folder: Path, files: Sequence[Path]) -> str:
    total = hashlib.sha256()
    for file in files:
        total.update(file.relative_to(folder).as_posix().encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


def _licence(folder: Path) -> str:
    """The licence that a folder names itself by, in SOURCE.md, or else in the first line of a LICENSE file."""
    source = folder / "SOURCE.md"
    if source.is_file():
        named = re.search(r"[Ll]icen[cs]e:\s*([^\n]*?)(?:\.\s|\.?$)", source.read_text(errors="replace"), re.MULTILINE)
        if named:
            return named.group(1).strip()
        mentioned = dict.fromkeys(_LICENCES.findall(source.read_text(errors="replace")))
        if mentioned:
            return ", ".join(mentioned)
    for name in ("LICENSE", "LICENSE.txt", "LICENCE"):
        if (folder / name).is_file():
            return (folder / name).read_text(errors="replace").strip().splitlines()[0][:120]
    return "not stated"
