"""What was lost of a stream is counted on, and told if it was not yet, when the daemon is started again."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest
from daemons import INGEST, RESULTS, Daemon, write_config
from test_restart import Bringer, collect, has, talk, wait_until_kept
from test_service import subscriber

from streamrnn.events import Lost

RATE = 8000


@pytest.mark.parametrize("decoder", ["", "{smooth_ms: 70}"])
def test_what_was_lost_before_a_kill_is_told_and_counted_after_it(
    tmp_path: Path, tiny_bundle: Path, decoder: str
) -> None:
    """The last gap is in the midst when it is killed; another decoder then forgets all but the counts."""
    state = {"directory": str(tmp_path / "state"), "every_s": 0.1}
    config = write_config(tmp_path / "daemon.yaml", tiny_bundle, [INGEST], [RESULTS], state=state)
    samples = talk(RATE)
    spoiled = samples.copy()
    spoiled[4000:5000] = np.nan
    with Daemon(config) as daemon:
        bringer = Bringer(daemon, RATE)
        bringer.bring(samples, 0, 1000)
        bringer.bring(samples, 3000, 4000)
        bringer.bring(spoiled, 4000, 5000)
        wait_until_kept(tmp_path / "state", 5000, seconds=10)
        daemon.stop(signal.SIGKILL)
        bringer.close()
    if decoder:
        text = config.read_text()
        config.write_text(text.replace("bundles:\n- path:", f"bundles:\n- decoder: {decoder}\n  path:"))
        assert config.read_text() != text
    with Daemon(config) as daemon, subscriber(daemon) as listening:
        bringer = Bringer(daemon, RATE, first=5000)
        assert bringer.next == 5000
        bringer.bring(samples, 5000, len(samples))
        bringer.end()
        heard = [each for each in collect(listening, has("ended")) if each.kind in ("gap", "detection")]
        bringer.close()
    gaps = [(each.body, each.gap) for each in heard if isinstance(each.body, Lost)]
    again = [(Lost(5000, 5000, RATE, "restart"), 3000)] if decoder else []
    assert gaps == [(Lost(4000, 5000, RATE, "not finite"), 3000), *again]
    assert len(heard) > len(gaps)
    assert {each.gap for each in heard} == {3000}
