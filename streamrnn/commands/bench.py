"""What recognition costs on this machine: microseconds for 10 ms of one stream, samples to posterior, on one thread.

  streamrnn bench
  streamrnn bench mine.bundle --json
  streamrnn bench --capacity wakeword
  streamrnn bench --daemons
  streamrnn bench --loop
  streamrnn bench --results 1000000
  streamrnn bench --models configs/digits.yaml --data recordings/ --set training.steps=600
  streamrnn bench --carrying configs/digits.yaml --data recordings/ --set training.steps=600
  streamrnn bench --drift words.bundle --data recordings/ --data talk/ --hours 24 --out long-streams.md

The first two measure a bundle on the backends that can serve it. --capacity starts a daemon with a bundle on one core
and brings it more and more live streams over ZeroMQ until results come later than 50 ms: how many this machine holds,
in about a minute. --loop measures the backends and torch side by side with torchaudio's MelSpectrogram and nn.GRU in a
hand-written loop, and the GRU alone with nn.GRU. --models trains a recognizer of your config with each recurrent body,
GRU, LSTM and the plain RNN, and compares accuracy, gradients and cost. --carrying trains it without carried state,
with it, and with state carried over unrelated words, and plays each to the end of a stream. --results publishes so
many results to two subscribers that read and one that is stuck, and tells what each of the two got. --drift plays each
bundle hours that are composed of the data, as eval --hours does, and once more with a fresh state before every
utterance: hour by hour, recall, false accepts and the norm of the hidden state.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamrnn.errors import ConfigError, UserError

if TYPE_CHECKING:
    from streamrnn.bench import Cost


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument("bundle", nargs="?", default="digits", metavar="BUNDLE", help="a bundle; default %(default)s")
    what.add_argument("--loop", action="store_true", help="the backends against a hand-written loop; needs torch")
    what.add_argument(
        "--models", type=Path, metavar="CONFIG", help="train and compare the recurrent bodies; needs torch"
    )
    what.add_argument(
        "--carrying", type=Path, metavar="CONFIG", help="train and compare ways to carry the state; needs torch"
    )
    what.add_argument("--capacity", metavar="BUNDLE", help="how many live streams a daemon holds on one core")
    what.add_argument(
        "--daemons", action="store_true", help="a daemon beside one of torch and one without compute; needs torch"
    )
    what.add_argument("--results", type=int, metavar="N", help="publish N results, and count what arrives")
    parser.add_argument("--per-second", type=float, default=10_000.0, metavar="N", help="of --results; %(default)g")
    what.add_argument("--drift", nargs="+", metavar="BUNDLE", help="play hours with the state carried and with resets")
    parser.add_argument(
        "--data", type=Path, action="append", default=[], metavar="DIR", help="of all but costs; repeatable"
    )
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        metavar="KEY=VALUE",
        help="of --models and --carrying: change a key of the config",
    )
    parser.add_argument(
        "--split", default="dev", metavar="NAME", help="of all but costs: judge on it; default %(default)s"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="of all but costs: write the tables as a Markdown page"
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="of --models and --carrying: keep the bundles")
    parser.add_argument("--hours", type=float, default=24.0, metavar="H", help="of --drift; default %(default)g")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of --drift; default %(default)s")
    parser.add_argument("--batches", default="1,16,64,512", metavar="N,...", help="streams at once; %(default)s")
    parser.add_argument("--seconds", type=float, default=0.5, help="of each contestant at each size; %(default)s")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(arguments: argparse.Namespace) -> int:
    """Measure and print; the exit code."""
    if arguments.models is not None:
        return _trained(arguments, arguments.models, "compare", "GRU, LSTM and the plain RNN")
    if arguments.carrying is not None:
        return _trained(arguments, arguments.carrying, "carrying", "Carried state")
    if arguments.results is not None:
        return _results(arguments)
    if arguments.drift is not None:
        return _drift(arguments)
    if arguments.capacity is not None:
        return _capacity(arguments)
    if arguments.daemons:
        return _daemons(arguments)
    return _costs(arguments)


def _results(arguments: argparse.Namespace) -> int:
    """1 if any subscriber that reads lost a result."""
    import msgspec
    from tqdm import tqdm

    from streamrnn import flood

    if arguments.results < 1 or not arguments.per_second > 0:
        raise ConfigError(f"--results {arguments.results} --per-second {arguments.per_second}: write numbers above 0")
    with tqdm(total=arguments.results, unit="result", disable=None) as bar:
        flooded = flood.flood(arguments.results, arguments.per_second, subscribers=2, stuck=1, told=bar.update)
    print(json.dumps(msgspec.to_builtins(flooded), indent=1) if arguments.json else "\n".join(flood.lines(flooded)))
    return int(any(each.received != flooded.count or each.lost for each in flooded.subscribers))


def _capacity(arguments: argparse.Namespace) -> int:
    """1 if not even the first rung held."""
    import msgspec

    from streamrnn.bundle import locate, open_step, read
    from streamrnn.capacity import ladder

    bundle = read(locate(arguments.capacity))
    with tempfile.TemporaryDirectory(prefix="streamrnn-bench-") as folder:

        def told(rung: ladder.Rung) -> None:
            print(f"{rung.held.streams} streams: p99 {rung.held.p99_ms:.1f} ms", file=sys.stderr, flush=True)

        step = open_step(bundle, "auto")
        rungs = ladder.capacity(bundle, step, Path(folder), max(0.5, 8 * arguments.seconds), told)
    print(json.dumps(msgspec.to_builtins(rungs), indent=1) if arguments.json else "\n".join(ladder.lines(rungs)))
    return int(not rungs[0].good)


def _daemons(arguments: argparse.Namespace) -> int:
    """Side by side on the GRU of --loop: the start, 64 streams, what gathering saves, and how many each holds."""
    import msgspec

    from streamrnn import allocator, timelapse
    from streamrnn.bundle import with_decoder
    from streamrnn.capacity import contest, echo, ladder
    from streamrnn.capacity.daemons import module_command, serve_command
    from streamrnn.capacity.load import Plan, Stage
    from streamrnn.serving import serving

    try:
        from streamrnn.training import plain_daemon, plain_loop
    except ModuleNotFoundError as error:
        raise _needs(error) from None
    seconds = max(2.0, 8 * arguments.seconds)

    def told(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="streamrnn-bench-") as name:
        folder = Path(name)
        contestants = plain_loop.Contestants(folder, plain_loop.network(), plain_loop.PlainLoop)
        signal, chunk, decoder = ladder.prepare(folder, contestants.bundle, contestants.steps["onnx"])
        plan = Plan("", "", contestants.recognizer.rate, chunk, str(signal), (Stage(1, seconds, seconds / 3),))

        def served(**engine: float) -> list[str]:
            return serve_command(folder, contestants.bundle.path, decoder, {"max_load": 0, **engine})

        alone = {"echo": module_command(echo.__name__)}
        torch = {"torch": module_command(plain_daemon.__name__, decoder["enter"], decoder["leave"])}
        ours = {"streamrnn": served()}
        starts = contest.first_results({**torch, **ours}, plan, 3)
        few = contest.side_by_side({**alone, **torch, **ours}, plan, [64], 3, told)
        ticks = {"tick_ms: 0": served(tick_ms=0.0), "gathered": served()}
        gathered = contest.side_by_side(ticks, plan, [256, 512], 3, told)
        heard = serving(with_decoder(contestants.bundle, decoder, ""))
        allocator.leave_alone()  # as the daemon does once it is ready
        quiet = timelapse.medians(heard, [64, 256, 384, 512], [0.0, 4.0, 8.0], signal.read_bytes())
        climbing = msgspec.structs.replace(plan, stages=ladder.steps(seconds), most_late_ms=ladder.LATE_MS)
        most = contest.capacities({**torch, **ours}, climbing, 3, told)
    for first, second in starts.items():
        print(f"from start to first result, {first}: {second:.2f} s")
    for which, count in most.items():
        print(f"streams at p99 below {ladder.LATE_MS:g} ms, {which}: {count:g}")
    for title, table in (("64 streams", few), ("What gathering saves", gathered)):
        print("", *contest.lines(title, table), sep="\n")
    print("", "The same in the processor's own time", "", *timelapse.lines(quiet), sep="\n")
    return 0


def _costs(arguments: argparse.Namespace) -> int:
    from streamrnn import bench

    batches = _batches(arguments.batches)
    if arguments.loop:
        tables = _loops(batches, arguments.seconds)
        reference = "loop"
    else:
        from streamrnn.bundle import locate, open_steps, read

        bundle = read(locate(arguments.bundle))
        steps = open_steps(bundle)

        def alone(batch: int) -> dict[str, bench.Hearer]:
            return {name: bench.keeping(step, bundle.initial, batch) for name, step in steps.items()}

        tables = {"samples to posterior": bench.costs(bundle.recognizer, alone, batches, arguments.seconds)}
        reference = "onnx"
    if arguments.json:
        print(json.dumps([_row(cost, what) for what, table in tables.items() for cost in table], indent=1))
    else:
        print("\n\n".join("\n".join(bench.lines(table, reference, what)) for what, table in tables.items()))
    return 0


def _loops(batches: list[int], seconds: float) -> dict[str, list[Cost]]:
    """By what is measured: the backends against what one writes by hand."""
    from streamrnn import bench

    try:
        from streamrnn.training import plain_loop
    except ModuleNotFoundError as error:
        raise _needs(error) from None
    tables = {}
    for what, network, loop in (
        ("samples to posterior", plain_loop.network, plain_loop.PlainLoop),
        ("GRU 2 x 128 alone", plain_loop.cells, plain_loop.PlainCells),
    ):
        with tempfile.TemporaryDirectory(prefix="streamrnn-bench-") as folder:
            contestants = plain_loop.Contestants(Path(folder), network(), loop)
            tables[what] = bench.costs(contestants.recognizer, contestants, batches, seconds)
    return tables


def _row(cost: Cost, what: str) -> dict[str, Any]:
    return {"measured": what, "batch": cost.batch, "chunk_ms": cost.chunk_ms, "microseconds": cost.microseconds}


def _trained(arguments: argparse.Namespace, config: Path, room: str, title: str) -> int:
    """Train several recognizers by one config and print what the comparison in that room of training says."""
    from streamrnn.config import load
    from streamrnn.evaluation.recordings import read_data
    from streamrnn.evaluation.run import choose_split
    from streamrnn.training.plan import TrainingConfig

    if not arguments.data:
        raise ConfigError(f"{config}: training on it needs recordings; add --data DIR")
    plan = load(config, TrainingConfig, arguments.overrides)
    data = read_data(arguments.data)
    judged = choose_split(data.recordings, arguments.split)
    try:
        comparison = importlib.import_module(f"streamrnn.training.{room}")
        from streamrnn.training.run import Job
    except ModuleNotFoundError as error:
        raise _needs(error) from None
    with tempfile.TemporaryDirectory(prefix="streamrnn-compare-") as folder:
        job = Job(plan, tuple(arguments.data), data, _kept(arguments.keep) if arguments.keep else Path(folder))
        compared = comparison.compare(job, judged, lambda line: print(line, file=sys.stderr, flush=True))
    _tell(arguments, title, comparison.lines(compared, plan), comparison.document(compared, plan))
    return 0


def _drift(arguments: argparse.Namespace) -> int:
    """Play every bundle its hours and print what they say."""
    from streamrnn.evaluation import long_streams
    from streamrnn.evaluation.progress import Lines

    if not arguments.data:
        raise ConfigError("--drift: hours are composed of recordings; add --data DIR")
    if not 0 < arguments.hours < 1e4 or arguments.seed < 0:
        raise ConfigError(
            f"--hours {arguments.hours:g} --seed {arguments.seed}: hours above 0, and a seed of at least 0"
        )
    day = long_streams.Day(tuple(arguments.data), arguments.split, arguments.hours, arguments.seed)
    with Lines(2 * 3600 * arguments.hours * len(arguments.drift), "s") as progress:
        played = {name: long_streams.play(name, day, progress.update) for name in arguments.drift}
    _tell(arguments, "Long streams", long_streams.lines(played, day), long_streams.document(played, day))
    return 0


def _tell(arguments: argparse.Namespace, title: str, lines: list[str], document: dict[str, Any]) -> None:
    """On the page if one is asked for, and on the screen."""
    if arguments.out:
        page = "\n".join([f"# {title}", "", _made_by(arguments), "", *lines])
        try:
            arguments.out.parent.mkdir(parents=True, exist_ok=True)
            arguments.out.write_text(page + "\n", encoding="utf-8")
        except OSError as error:
            raise UserError(f"--out {arguments.out}: {error.strerror or error}; choose another file") from None
    print(json.dumps(document, indent=1) if arguments.json else "\n".join(lines))


def _kept(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--keep {folder}: {error.strerror or error}; choose another folder") from None
    return folder


def _made_by(arguments: argparse.Namespace) -> str:
    """What to type to make the page again; the name of a data folder is enough, wherever it lies."""
    whats = {"--models": arguments.models, "--carrying": arguments.carrying, "--drift": arguments.drift}
    what, given = next((what, given) for what, given in whats.items() if given is not None)
    words = [f"streamrnn bench {what}"]
    words += [Path(each).name for each in given] if what == "--drift" else [str(given)]
    words += [f"--data {folder.resolve().name}" for folder in arguments.data]
    words += [f"--hours {arguments.hours:g} --seed {arguments.seed}"] if what == "--drift" else []
    words += [f"--set {override}" for override in arguments.overrides or []]
    words += [f"--keep {arguments.keep}"] if arguments.keep else []
    return f"Made by `{' '.join(words)} --out {arguments.out}`, judged on the split `{arguments.split}`."


def _batches(text: str) -> list[int]:
    numbers = text.split(",")
    if not all(number.isdecimal() and int(number) for number in numbers):
        raise ConfigError(f"--batches {text}: write numbers from 1 up with commas between, as 1,16")
    return [int(number) for number in numbers]


def _needs(error: ModuleNotFoundError) -> ConfigError:
    return ConfigError(f"this needs {error.name}, which is not installed; pip install 'streamrnn[train]'")
