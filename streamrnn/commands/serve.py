"""Run the daemon: hear what its sources bring, publish it to its sinks. Ctrl-C or SIGTERM ends it within 2 seconds.

SIGHUP reads the config's bundles anew: they take over without a loss, or all stays as it was.

Example:
  streamrnn config --example daemon > daemon.yaml
  streamrnn serve daemon.yaml
"""

from __future__ import annotations

import argparse
from pathlib import Path

_FLUSH_S = 0.2  # for the last lines of the log


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The config, and what to change in it."""
    parser.add_argument("config", type=Path, metavar="CONFIG", help="a daemon's YAML")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change one key of the config")


def run(arguments: argparse.Namespace) -> int:
    """Serve until stopped; 2 if a source failed on the way."""
    from streamrnn import allocator

    allocator.share_one_arena()
    from streamrnn import config
    from streamrnn.daemon_config import DaemonConfig
    from streamrnn.logs import Log, LogSink, StandardError, stacks_on_request
    from streamrnn.overseeing import answer_log_level
    from streamrnn.service import Service
    from streamrnn.stopping import heed_signals, leave

    def read() -> DaemonConfig:
        return config.load(arguments.config, DaemonConfig, arguments.set)

    wanted = read()
    stacks_on_request()
    error = StandardError()  # standard output belongs to the sinks
    log = Log(error.write, wanted.log.format, wanted.log.level)
    service = Service(wanted, [LogSink(log)], reread=read)
    answer_log_level(service.control, log)
    with heed_signals(service.stop, service.reload):
        with config.naming(arguments.config):
            service.startup()
        for line in service.describe():
            log.say("info", "place", line)
        allocator.leave_alone()
        log.say("info", "ready", "ready; stop with Ctrl-C")
        service.main_loop()
        summary = service.shutdown()
    for trouble in summary.troubles:
        log.say("error", "trouble", trouble)
    log.say("info", "stopped", str(summary))
    log.finish()
    error.close(_FLUSH_S)
    leave(2 if summary.troubles and service.config.until == "finished" else 0)
