"""A network that drops packets, and a link that goes down under connections that stand: in a namespace of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from setting import by_form

LINKS = Path(__file__).parent / "links.py"
UNSHARE = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
PROBE = [*UNSHARE, "tc", "qdisc", "add", "dev", "lo", "root", "tbf", "rate", "2mbit", "burst", "6k", "limit", "6k"]
TOOLS = all(shutil.which(each) for each in ("unshare", "ip", "tc"))

pytestmark = pytest.mark.skipif(
    not TOOLS or subprocess.run(PROBE, capture_output=True, check=False).returncode != 0,
    reason="no network namespace can be made here: that takes root, or user namespaces, and apt-get install iproute2",
)


def in_a_namespace(what: str, folder: Path, bundle: Path, seconds: int) -> None:
    path = os.pathsep.join([str(LINKS.parent), str(LINKS.parents[1]), os.environ.get("PYTHONPATH", "")])
    words = [*UNSHARE, sys.executable, str(LINKS), what, str(folder), str(bundle), str(seconds)]
    environment, most = {**os.environ, "PYTHONPATH": path}, 120 + 10 * seconds
    done = subprocess.run(words, capture_output=True, text=True, timeout=most, check=False, env=environment)
    print(done.stdout)
    assert done.returncode == 0, done.stderr


def test_packets_that_the_network_drops_cost_time_and_nothing_else(tmp_path: Path, tiny_bundle: Path) -> None:
    in_a_namespace("loss", tmp_path, tiny_bundle, by_form(14, 140))


def test_a_link_that_goes_down_leaves_half_open_connections_and_is_heard_again_within_5_s(
    tmp_path: Path, tiny_bundle: Path
) -> None:
    in_a_namespace("down", tmp_path, tiny_bundle, by_form(4, 30))
