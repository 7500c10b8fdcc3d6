"""A bundle: one file that holds all that was trained, checked member by member when it is read. No torch, no pickle."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from streamrnn import operating
from streamrnn.backends import Array, ArrayState, Step
from streamrnn.config import Role, convert
from streamrnn.decoders import SmoothedConfig, settle
from streamrnn.errors import BundleError, ConfigError, did_you_mean
from streamrnn.operating import UNMEASURED, Det
from streamrnn.recognizer import Recognizer, encode
from streamrnn.registry import PlugConfig

SCHEMA = 2
BACKENDS = ("auto", "native", "onnx", "torch")
# Posteriors of the golden audio on another processor may differ in the last bits of every step, not by more than this.
GOLDEN_TOLERANCE = 1e-3
_MEMBERS = (
    "recognizer.json",
    "weights.safetensors",
    "initial.safetensors",
    "graph.onnx",
    "golden.safetensors",
    "passport.json",
)
# What the second schema added: a bundle of the first was never measured.
_SINCE_2 = ("det.json",)
BUDGET = "max_false_accepts_per_hour"  # the setting of a decoder
_LARGEST_MEMBER = 256 * 2**20
_SHIPPED = Path(__file__).parent / "bundles"


@dataclass(frozen=True, slots=True)
class Golden:
    """A synthesised recording `(time, channels)` and the posteriors `(frames, columns)` that it must give."""

    samples: Array
    posteriors: Array


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a bundle file holds; `sha` is the sha256 of its table of members and so of everything in it."""

    path: Path
    sha: str
    recognizer: Recognizer
    initial: ArrayState
    weights: ArrayState
    graph: bytes
    golden: Golden
    passport: dict[str, Any]
    det: Det


@dataclass(frozen=True, slots=True)
class Contents:
    """What goes into a bundle; `initial` holds `(1, ...)` arrays, the state of a stream that has heard nothing."""

    recognizer: Recognizer
    initial: ArrayState
    weights: ArrayState
    graph: bytes
    golden: Golden
    passport: dict[str, Any]
    det: Det = UNMEASURED


def write(path: Path, contents: Contents) -> Bundle:
    """Write a bundle whole or not at all. Raises BundleError if the place cannot be written."""
    golden = {"samples": contents.golden.samples, "posteriors": contents.golden.posteriors}
    members = {
        "recognizer.json": encode(contents.recognizer),
        "weights.safetensors": save_tensors(_contiguous(contents.weights)),
        "initial.safetensors": save_tensors(_contiguous(contents.initial)),
        "graph.onnx": contents.graph,
        "golden.safetensors": save_tensors(_contiguous(golden)),
        "passport.json": json.dumps(contents.passport, indent=1, sort_keys=True).encode(),
        "det.json": msgspec.json.format(msgspec.json.encode(contents.det), indent=1),
    }
    table = {"schema": SCHEMA, "members": {name: _sha(data) for name, data in members.items()}}
    members = {"bundle.json": json.dumps(table, indent=1, sort_keys=True).encode(), **members}
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            # A fixed date: the same contents are the same file, byte for byte.
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
    partial = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(memory.getvalue())
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise BundleError(f"{path}: cannot be written: {error.strerror}; choose another --out") from None
    return read(path)


def read(path: Path) -> Bundle:
    """Read and verify a bundle. Raises BundleError if it is missing, truncated, altered or of a newer schema."""
    return _read(path, path)


def read_from(contents: bytes, path: Path) -> Bundle:
    """The same of what was in the file `path` when it was read."""
    return _read(io.BytesIO(contents), path)


def _read(file: Path | io.BytesIO, path: Path) -> Bundle:
    sha, members = _verified_members(file, path)
    try:
        recognizer = convert(json.loads(members["recognizer.json"]), Recognizer)
        golden = load_tensors(members["golden.safetensors"])
        there = Bundle(
            path=path,
            sha=sha,
            recognizer=recognizer,
            initial=load_tensors(members["initial.safetensors"]),
            weights=load_tensors(members["weights.safetensors"]),
            graph=members["graph.onnx"],
            golden=Golden(golden["samples"], golden["posteriors"]),
            passport=json.loads(members["passport.json"]),
            det=msgspec.json.decode(members["det.json"], type=Det) if "det.json" in members else UNMEASURED,
        )
        _check_fit(there)
        return there
    except (ConfigError, SafetensorError, msgspec.MsgspecError, ValueError, KeyError, RecursionError) as error:
        raise BundleError(f"{path}: its contents do not fit this version: {error}; train it again") from None


def _check_fit(bundle: Bundle) -> None:
    """Raises ValueError where members, each of them what was written, do not fit one another."""
    recognizer, golden = bundle.recognizer, bundle.golden
    hop, columns = recognizer.hop, recognizer.columns
    if hop < 1 or recognizer.delay < 0 or recognizer.warm_up < 0:
        raise ValueError(f"hop {hop}, delay {recognizer.delay} and warm_up {recognizer.warm_up} cannot be")
    lacking = [label for label in recognizer.config.labels if label not in columns]
    if lacking or len(set(columns)) != len(columns):
        raise ValueError(
            f"columns {', '.join(columns)} are not one for each label {', '.join(recognizer.config.labels)}"
        )
    frames = len(golden.posteriors)
    if not frames or golden.posteriors.shape != (frames, len(columns)):
        raise ValueError(f"golden posteriors {golden.posteriors.shape} are not frames of {len(columns)} columns")
    if golden.samples.shape != (frames * hop, recognizer.channels):
        raise ValueError(
            f"golden samples {golden.samples.shape} are not {frames} hops of {hop} and {recognizer.channels} channels"
        )
    alone = [name for name, array in bundle.initial.items() if array.shape[:1] != (1,)]
    if alone:
        raise ValueError(f"initial state {alone[0]} is not that of one stream")
    if not isinstance(bundle.passport, dict):
        raise ValueError("the passport is no mapping")


def _verified_members(file: Path | io.BytesIO, path: Path) -> tuple[str, dict[str, bytes]]:
    try:
        with zipfile.ZipFile(file) as archive:
            table_bytes = _member(archive, "bundle.json")
            table = json.loads(table_bytes)
            schema = table["schema"]
            if type(schema) is not int or schema < 1:
                raise ValueError(f"schema {schema!r} is none")
            if schema > SCHEMA:
                raise BundleError(f"{path}: schema {schema} is newer than {SCHEMA}; upgrade streamrnn")
            names = _MEMBERS if schema < 2 else (*_MEMBERS, *_SINCE_2)
            members = {name: _member(archive, name) for name in names}
            wrong = [name for name, data in members.items() if _sha(data) != table["members"].get(name)]
    except BundleError:
        raise
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror or error}; give the path of a bundle") from None
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise BundleError(f"{path}: not a bundle, or damaged ({error}); copy or train it again") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BundleError(f"{path}: damaged table of members ({error}); copy or train it again") from None
    except Exception as error:  # zlib.error has no base of its own
        raise BundleError(f"{path}: damaged ({error}); copy or train it again") from None
    if wrong:
        raise BundleError(f"{path}: the sha256 of {wrong[0]} differs from its table; copy or train it again")
    return _sha(table_bytes), members


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).file_size > _LARGEST_MEMBER:
        raise ValueError(f"{name} is larger than {_LARGEST_MEMBER} bytes")
    return archive.read(name)


def with_decoder(bundle: Bundle, settings: Mapping[str, Any], where: str) -> Bundle:
    """The bundle with settings of its decoder replaced and thresholds that keep its budget, if it then has one.

    This is the one place where a budget becomes thresholds. Thresholds among the settings take the place of the
    bundle's own budget; both at once, unknown settings and a budget without evidence raise ConfigError, naming `where`.
    """
    kept = msgspec.to_builtins(bundle.recognizer.config.decoder)
    thresholds = [key for key in ("enter", "leave") if key in settings]
    if thresholds and settings.get(BUDGET):
        raise ConfigError(f"{where}: {BUDGET} chooses {thresholds[0]}; give one of the two")
    if settings.get("kind", kept["kind"]) != kept["kind"]:
        kept = {}  # settings of one kind of decoder mean nothing to another
    elif thresholds and BUDGET in kept:
        kept[BUDGET] = 0.0
    decoder = convert({**kept, **settings}, Annotated[PlugConfig, Role("decoder")], where)
    try:
        decoder = settle(decoder, bundle.det)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}" if where else f"{bundle.path}: {error}") from None
    config = msgspec.structs.replace(bundle.recognizer.config, decoder=decoder)
    return replace(bundle, recognizer=msgspec.structs.replace(bundle.recognizer, config=config))


def with_budget(bundle: Bundle, budget: float) -> Bundle:
    """The bundle with thresholds for a budget of false accepts an hour; 0 leaves it its own. Raises ConfigError."""
    return with_decoder(bundle, {BUDGET: budget} if budget else {}, "--max-false-accepts-per-hour" if budget else "")


def promise(bundle: Bundle) -> str:
    """What a bundle that `with_decoder` has given thresholds for a budget is expected to do; "" without a budget."""
    decoder = bundle.recognizer.config.decoder
    if not isinstance(decoder, SmoothedConfig) or not decoder.max_false_accepts_per_hour:
        return ""
    return f"budget {operating.told(operating.choose(bundle.det, decoder.max_false_accepts_per_hour))}"


def with_own_thresholds(bundle: Bundle) -> Bundle:
    """The bundle with the thresholds that its decoder was written with, whatever budget it has: to be measured with."""
    settings = msgspec.to_builtins(bundle.recognizer.config.decoder)
    return with_decoder(bundle, {BUDGET: 0.0}, "") if settings.get(BUDGET) else bundle


def measured(bundle: Bundle, det: Det) -> Contents:
    """The contents of a bundle with another DET, to be written."""
    return Contents(
        bundle.recognizer, bundle.initial, bundle.weights, bundle.graph, bundle.golden, bundle.passport, det
    )


def open_step(bundle: Bundle, backend: str) -> Step:
    """The step of a bundle on one of BACKENDS.

    Raises BundleError for another name, a broken graph, or a backend that is not installed or does not take the bundle.
    """
    backend = choose_backend(bundle, backend)
    if backend == "native":
        return _open_native(bundle)
    if backend == "onnx":
        from streamrnn.backends import onnx

        return onnx.open_step(bundle)
    if backend == "torch":
        try:
            from streamrnn.backends import torch
        except ModuleNotFoundError as error:
            raise BundleError(f"backend torch: {error.name} is not installed; pip install 'streamrnn[train]'") from None
        return torch.open_step(bundle)
    raise BundleError(f"backend {backend!r} is unknown; {did_you_mean(backend, BACKENDS)}")


def choose_backend(bundle: Bundle, backend: str) -> str:
    """What `auto` means for a bundle: `native` where that is installed and takes it, else `onnx`. Others stay."""
    if backend != "auto":
        return backend
    try:
        _open_native(bundle)
    except BundleError:
        return "onnx"
    return "native"


def open_steps(bundle: Bundle, *more: str) -> dict[str, Step]:
    """By backend: its step on the daemon's choice, on onnx and on `more`. Raises BundleError."""
    return {name: open_step(bundle, name) for name in dict.fromkeys((choose_backend(bundle, "auto"), "onnx", *more))}


def _open_native(bundle: Bundle) -> Step:
    try:
        from streamrnn.backends import native
    except ImportError:
        raise BundleError(
            "backend native: streamrnn_native is not installed; use onnx, or pip install ./native"
        ) from None
    return native.open_step(bundle)


def prove(bundle: Bundle, step: Step) -> None:
    """Play the golden audio in odd chunks. Raises BundleError if it gives other posteriors than in training."""
    hop = bundle.recognizer.hop
    samples, wanted = bundle.golden.samples, bundle.golden.posteriors
    state, parts, start, size = dict(bundle.initial), [], 0, 1
    while start < len(samples):
        chunk = samples[None, start : start + size * hop]
        posteriors, state = step(np.ascontiguousarray(chunk), state)
        parts.append(posteriors[0])
        start, size = start + size * hop, size % 7 + 2
    given = np.concatenate(parts)
    if given.shape != wanted.shape:
        raise BundleError(f"{bundle.path}: golden audio gives {given.shape}, not {wanted.shape}; train it again")
    difference = float(np.abs(given - wanted).max())
    if not difference <= GOLDEN_TOLERANCE:
        raise BundleError(
            f"{bundle.path}: golden audio differs by {difference:.2g} (at most {GOLDEN_TOLERANCE:g}); "
            "this machine computes something else: copy the bundle again or use another backend"
        )


def shipped(name: str) -> Path:
    """The path of a bundle inside the package. Raises BundleError with the names there are."""
    path = _SHIPPED / f"{name}.bundle"
    if not path.is_file():
        known = [file.stem for file in _SHIPPED.glob("*.bundle")]
        raise BundleError(f"{name}: no file and no shipped bundle; {did_you_mean(name, known)}")
    return path


def locate(name: str) -> Path:
    """The path that a user means: a file if there is one, else a shipped bundle. Raises BundleError."""
    path = Path(name)
    return path if path.exists() or path.suffix or len(path.parts) > 1 else shipped(name)


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _contiguous(arrays: ArrayState) -> ArrayState:
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}
