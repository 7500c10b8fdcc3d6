"""The units in services/: systemd takes them, they are closed, and dashboards name metrics that exist."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from streamrnn.config import parse_yaml
from streamrnn.health import PREFIX
from streamrnn.metrics import METRICS

SERVICES = Path(__file__).parents[1] / "services"
UNITS = sorted(SERVICES.glob("*.service"))
EXPOSURE = 1.5
INSTALLED = "/opt/streamrnn/bin/streamrnn"
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed: apt-get install systemd"
)
# Keys that older systemd passes over with a warning.
NEW_KEYS = ("RestartSteps", "RestartMaxDelaySec")


def analyze(*words: object) -> subprocess.CompletedProcess[str]:
    words = tuple(str(word) for word in words)
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, timeout=60, check=False)


def test_there_is_one_without_devices_one_for_microphones_and_a_template() -> None:
    assert [path.name for path in UNITS] == ["streamrnn-audio.service", "streamrnn.service", "streamrnn@.service"]


@needs_systemd
@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_systemd_understands_every_line(unit: Path, tmp_path: Path) -> None:
    here = tmp_path / unit.name
    here.write_text(unit.read_text().replace(INSTALLED, sys.executable))
    done = analyze("verify", "--man=no", here)
    said = [line for line in done.stderr.splitlines() if unit.stem in line and not any(k in line for k in NEW_KEYS)]
    assert (done.returncode, said) == (0, [])


@needs_systemd
@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_a_unit_is_not_exposed(unit: Path) -> None:
    done = analyze("security", "--offline=yes", "--no-pager", f"--threshold={EXPOSURE * 10:g}", unit)
    if "offline" in done.stderr:
        pytest.skip("this systemd-analyze cannot judge a file: systemd 250 or newer can")
    found = re.search(r"exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found, done.stderr
    assert float(found[1]) <= EXPOSURE


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_a_unit_is_watched_and_started_again(unit: Path) -> None:
    lines = unit.read_text().splitlines()
    for line in ("Type=notify", "Restart=always", "NotifyAccess=main"):
        assert line in lines
    assert any(line.startswith("WatchdogSec=") for line in lines)
    # It breaks the callbacks of cffi, and so the microphone.
    assert not any(line.startswith("MemoryDenyWriteExecute") for line in lines)
    assert ("DeviceAllow=char-alsa rw" in lines) == ("audio" in unit.name)


def metrics_in(text: str) -> set[str]:
    return set(re.findall(rf"\b({PREFIX}[a-z_]+)", text))


def known() -> set[str]:
    suffixes = {"histogram": ("_bucket", "_sum", "_count")}
    return {PREFIX + each.name + suffix for each in METRICS.values() for suffix in suffixes.get(each.kind, ("",))}


def expressions(document: Any) -> list[str]:
    if isinstance(document, dict):
        own = [value for key, value in document.items() if key == "expr" and isinstance(value, str)]
        return own + [found for value in document.values() for found in expressions(value)]
    if isinstance(document, list):
        return [found for value in document for found in expressions(value)]
    return []


def test_every_metric_of_the_dashboard_exists() -> None:
    document = json.loads((SERVICES / "grafana-dashboard.json").read_text())
    found = expressions(document)
    assert len(found) >= 12
    assert metrics_in(" ".join(found)) <= known()
    assert len({panel["id"] for panel in document["panels"]}) == len(document["panels"])


def test_every_metric_of_the_alerts_exists_and_each_says_what_to_do() -> None:
    document = parse_yaml((SERVICES / "alerts.yaml").read_text())
    rules = [rule for group in document["groups"] for rule in group["rules"]]
    assert metrics_in(" ".join(rule["expr"] for rule in rules)) <= known()
    assert len(rules) == len({rule["alert"] for rule in rules}) >= 6
    for rule in rules:
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"]


def test_the_page_of_metrics_has_every_name_that_the_docs_have() -> None:
    page = (SERVICES.parent / "docs" / "operations.md").read_text()
    rows = set(re.findall(rf"^\| `{PREFIX}([a-z_]+)", page, re.MULTILINE))
    assert rows == set(METRICS)
    for each in METRICS.values():
        assert f"`{PREFIX}{each.name}" in page
