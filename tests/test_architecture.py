"""The house: imports point one way, each library has its rooms, files are small and say what they are."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "streamrnn"
LONGEST = 350

# Every room, in layers: a room imports from layers above it in this table and from itself, from nothing else.
# A new room needs its place here. "bundle" names the module or package and what is in it, "backends.torch" one module.
LAYERS = (
    ("errors", "chunk", "pacing", "notify", "limits", "closing", "summary", "release", "allocator", "instants"),
    ("cores", "registry", "events", "tape", "cutting", "files", "disk", "loopback", "places", "mistakes"),
    ("config", "wire", "stage", "examples", "vitals"),
    ("recognizer", "ingest", "operating", "calls", "security", "broker", "grid", "channels"),
    (
        "backends",
        "table",
        "resampling",
        "decoders",
        "targets",
        "sources",
        "features",
        "sensing",
        "convolution",
        "models",
        "heads",
    ),
    ("snapshot", "memories", "forecast", "watching", "placing"),
    ("alarms", "novelty"),
    ("stretch", "beating"),
    ("sessions", "sinks", "network", "bench", "testing", "speech"),
    ("pool", "logs", "backends.native", "backends.onnx", "backends.torch", "testing.torch"),
    ("bundle", "metrics"),
    ("serving",),
    ("engine", "health", "capacity"),
    ("detector",),
    ("control", "journal", "statefile", "hearing"),
    ("journaling", "clips"),
    ("history",),
    ("schema",),
    ("client", "evaluation", "daemon_config", "publisher", "intake", "stopping"),
    ("admission", "workers"),
    ("unclaimed",),
    ("streams", "handover"),
    ("watch", "sourcing", "shadowing", "timelapse"),
    ("assembly",),
    ("reloading",),
    ("overseeing",),
    ("service", "training", "flood", "doctor", "sensor_load"),
    ("commands",),
    ("cli",),
    ("__init__", "__main__"),
)
# What `import streamrnn` and `python -m streamrnn` lead to stands below them in the table, so nothing imports them.

DAEMON = (
    "service",
    "overseeing",
    "sourcing",
    "shadowing",
    "handover",
    "reloading",
    "statefile",
    "streams",
    "unclaimed",
    "control",
    "history",
    "journaling",
    "clips",
    "publisher",
    "intake",
    "stopping",
    "closing",
    "notify",
    "vitals",
    "health",
    "metrics",
    "watch",
    "logs",
    "flood",
    "pacing",
    "admission",
    "capacity",
    "timelapse",
    "sensor_load",
    "workers",
)
EDGES = (*DAEMON, "security", "doctor", "sources", "sinks", "client", "cli")
TORCH = (
    "stage",
    "features",
    "sensing",
    "beating",
    "convolution",
    "models",
    "heads",
    "memories",
    "forecast",
    "network",
    "training",
    "backends.torch",
    "testing.torch",
)
# Each library, and the only rooms that may import it.
LIBRARIES: dict[str, tuple[str, ...]] = {
    "torch": (*TORCH, "commands.train"),  # the command asks it for a GPU
    "torchaudio": ("features", "training"),
    "onnx": ("training",),
    "onnxscript": ("training",),
    "onnxruntime": ("backends.onnx",),
    "streamrnn_native": ("backends.native",),
    "scipy": ("training",),
    "matplotlib": ("training",),
    "soxr": ("resampling", "training"),
    "soundfile": ("files", "speech", "training", "commands", "testing.signals"),
    "safetensors": ("bundle", "training"),
    "yaml": ("config", "examples"),
    "tqdm": ("training", "commands"),
    "zmq": (*DAEMON, "security", "sources.zeromq", "sinks.zeromq", "client"),
    "paho": ("broker",),
    "serial": ("sources.serial",),
    "prometheus_client": ("health",),
    "sounddevice": ("sources.portaudio",),
    "ttspico": ("speech.pico",),
    "threading": EDGES,
    "queue": EDGES,
    "select": EDGES,
    "signal": EDGES,
    "socket": EDGES,
    "time": (*EDGES, "training", "bench", "evaluation"),
    "datetime": ("files",),  # reads dates that stand in tables
    "subprocess": (
        "speech",
        "commands",
        "sinks.command",
        "sources.portaudio",
        "flood",
        "capacity",
        "workers",
    ),
    "multiprocessing": ("training",),
    "concurrent": ("speech", "training"),
    "pickle": (),
    "asyncio": (),
    "logging": ("training",),
}
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "base", "manager", "common", "misc", "core", "lib"}
LIGHT = (
    "streamrnn",
    "streamrnn.bench",
    "streamrnn.bundle",
    "streamrnn.client",
    "streamrnn.detector",
    "streamrnn.engine",
    "streamrnn.service",
    "streamrnn.speech.recordings",
    "streamrnn.testing",
    "streamrnn.training.plan",
)


@dataclass(frozen=True)
class Import:
    """One imported module, and whether it is imported inside a function or for the type checker only."""

    name: str
    line: int
    inside: bool
    for_types: bool


@dataclass(frozen=True)
class Module:
    """A file of the package: its dotted name without `streamrnn.`, its text and what it imports."""

    name: str
    path: Path
    tree: ast.Module

    @property
    def room(self) -> str:
        return room_of(self.name)


def read(path: Path) -> Module:
    name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    return Module(name.removesuffix(".__init__"), path, ast.parse(path.read_text(encoding="utf-8")))


MODULES = [read(path) for path in sorted(PACKAGE.rglob("*.py"))]
NAMES = {module.name for module in MODULES}
ROOMS = {room: layer for layer, rooms in enumerate(LAYERS) for room in rooms}


def room_of(name: str) -> str:
    """The longest entry of the table that a module lies in; "" if it lies in none."""
    while name and name not in ROOMS:
        name = name.rpartition(".")[0]
    return name


def imports(module: Module) -> Iterator[Import]:
    """Every import, also those inside functions; relative ones are not used here."""

    def walk(node: ast.AST, *, inside: bool, for_types: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            deeper = inside or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef))
            typing = for_types or (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING")
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(alias.name, child.lineno, deeper, typing)
            elif isinstance(child, ast.ImportFrom):
                assert not child.level, f"{module.path}:{child.lineno}: relative import"
                for alias in child.names:
                    yield Import(f"{child.module}.{alias.name}", child.lineno, deeper, typing)
            yield from walk(child, inside=deeper, for_types=typing)

    return walk(module.tree, inside=False, for_types=False)


def within(module: Module, rooms: tuple[str, ...]) -> bool:
    return any(module.name == room or module.name.startswith(f"{room}.") for room in rooms)


def own(name: str) -> str:
    """`streamrnn.a.b.Thing` -> the module `a.b`, or "" for the package itself."""
    name = name.removeprefix("streamrnn").removeprefix(".")
    while name and name not in NAMES:
        name = name.rpartition(".")[0]
    return name


def test_every_room_stands_in_the_table_and_every_line_of_it_exists() -> None:
    homeless = [module.name for module in MODULES if not module.room]
    assert not homeless, f"give {homeless} a place in LAYERS"
    gone = [room for room in ROOMS if not any(n == room or n.startswith(f"{room}.") for n in NAMES)]
    assert not gone, f"take {gone} out of LAYERS"


def test_imports_point_one_way() -> None:
    wrong = []
    for module in MODULES:
        for each in imports(module):
            # What only the type checker follows does not run, and so ties nothing together.
            if each.name.split(".")[0] != "streamrnn" or each.for_types:
                continue
            other = room_of(own(each.name)) or "__init__"
            if other != module.room and ROOMS[other] >= ROOMS[module.room]:
                wrong.append(f"{module.path.relative_to(PACKAGE)}:{each.line}: {module.room} imports {other}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("library", LIBRARIES)
def test_each_library_stays_in_its_rooms(library: str) -> None:
    wrong = [
        f"{module.path.relative_to(PACKAGE)}:{each.line}"
        for module in MODULES
        for each in imports(module)
        if each.name.split(".")[0] == library and not within(module, LIBRARIES[library])
    ]
    assert not wrong, f"{library} may be imported in {LIBRARIES[library]} only: {wrong}"


def test_portaudio_is_looked_for_only_when_a_microphone_is_asked_for() -> None:
    early = [
        each.line
        for module in MODULES
        for each in imports(module)
        if each.name.split(".")[0] == "sounddevice" and not each.inside
    ]
    assert not early


def test_commands_import_what_they_need_when_they_run() -> None:
    heavy = (
        "torch",
        "torchaudio",
        "onnxruntime",
        "zmq",
        "soundfile",
        "soxr",
        "streamrnn.training",
        "streamrnn.service",
    )
    wrong = [
        f"{module.path.relative_to(PACKAGE)}:{each.line}"
        for module in MODULES
        for each in imports(module)
        if within(module, ("commands", "cli")) and not each.inside and not each.for_types
        if each.name.startswith(heavy)
    ]
    assert not wrong, f"import inside the function: {wrong}"


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_a_file_says_in_one_sentence_what_it_is(module: Module) -> None:
    docstring = ast.get_docstring(module.tree) or ""
    first = docstring.split("\n")[0]
    assert docstring, "no docstring"
    assert first.endswith((".", "?")), f"the first line is no whole sentence: {first!r}"


def test_names_say_what_is_in_a_file() -> None:
    vague = [module.name for module in MODULES if FORBIDDEN_NAMES & set(module.name.split("."))]
    assert not vague, f"{vague}: name the thing that is in it"


def test_files_are_small() -> None:
    long = {module.name: len(module.path.read_text(encoding="utf-8").splitlines()) for module in MODULES}
    assert not {name: count for name, count in long.items() if count > LONGEST}


def test_every_command_is_one_file_of_the_same_shape() -> None:
    from streamrnn.cli import COMMANDS

    files = {module.name.removeprefix("commands."): module for module in MODULES if module.name.startswith("commands.")}
    assert set(files) == set(COMMANDS)
    for name, module in files.items():
        functions = {node.name for node in module.tree.body if isinstance(node, ast.FunctionDef)}
        assert {"add_arguments", "run"} <= functions, name
        assert f"streamrnn {name}" in (ast.get_docstring(module.tree) or ""), f"{name}: --help shows no example"


_BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
import importlib
for name in {names!r}:
    importlib.import_module(name)
from streamrnn import registry
for role in ("source", "sink", "decoder"):
    for plug in registry.plugs(role):
        plug.load()
for role in registry.ROLES:
    registry.plugs(role)
print("light")
"""


def test_the_light_install_needs_nothing_of_the_training_side() -> None:
    """Torch and all that only training needs cannot be imported: every light room and every command still loads."""
    blocked = {"torch", "torchaudio", "onnx", "onnxscript", "matplotlib", "scipy"}
    names = [
        *LIGHT,
        *sorted(f"streamrnn.{name}" for name in NAMES if room_of(name) in ("commands", "evaluation", "cli")),
    ]
    done = subprocess.run(
        [sys.executable, "-c", _BLOCKED.format(blocked=blocked, names=names)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "light\n", done.stderr
