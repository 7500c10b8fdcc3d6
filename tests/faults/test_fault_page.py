"""docs/reliability.md: every test that it names exists, and every fault that is tested is named."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
# The faults that are to be injected, each with the tests that do so and stand in the table of faults.
FAULTS = {
    "SIGKILL": ["test_after_a_kill_it_recognises_within_5_s_and_what_was_lost_is_declared"],
    "SIGTERM under load": ["test_a_stop_under_load_is_clean_and_takes_2_s_at_most"],
    "SIGSTOP 30 s": ["test_a_daemon_that_was_frozen_goes_on_and_declares_what_it_missed"],
    "deadlocked inference (watchdog)": ["test_an_engine_that_hangs_gives_no_sign_of_life"],
    "kill at each fsync of journal and state": ["test_a_daemon_that_dies_at_each_step_of_keeping_loses_nothing"],
    "disk full and read-only": [
        "test_a_disk_that_is_full_costs_lines_that_are_counted_and_no_result_on_the_wire",
        "test_a_disk_that_is_read_only_is_one_line",
        "test_a_disk_that_takes_no_journal_and_no_state_is_told_and_costs_no_result",
    ],
    "bit-flipped and truncated journal, state and bundle": [
        "test_a_flipped_bit_makes_exactly_its_record_unreadable",
        "test_a_torn_tail_costs_only_itself",
        "test_a_damaged_state_file_is_announced_and_put_aside",
        "test_a_damaged_bundle_is_refused_or_the_same",
    ],
    "NaN, Inf, denormal and DC input": [
        "test_what_is_no_number_is_a_gap_and_what_is_odd_is_not_and_both_are_forgotten"
    ],
    "random bytes and half handshakes on every port": [
        "test_random_bytes_and_half_handshakes_on_every_port_leave_nothing"
    ],
    "50,000 subscriptions": ["test_very_many_subscriptions_slow_nobody_down_and_are_given_back"],
    "a 1 GB frame": ["test_a_frame_of_a_gigabyte_is_cut_off_when_it_is_announced"],
    "malformed JSON": ["test_malformed_headers_are_answered_and_touch_no_stream"],
    "wrong and revoked keys": [
        "test_each_door_lets_in_its_roles_and_no_one_else",
        "test_a_key_that_is_taken_out_of_the_list_is_refused_from_the_next_handshake_on",
    ],
    "one stalled subscriber of three": ["test_a_subscriber_that_does_not_read_costs_the_others_nothing"],
    "CPU throttled x3": ["test_a_third_of_a_processor_delays_results_and_loses_none"],
    "a 500 ms GIL stall": ["test_an_interpreter_that_is_held_for_half_a_second_again_and_again_loses_nothing"],
    "a silent or vanishing microphone": [
        "test_unplugged_it_is_offline_and_plugged_in_it_is_heard_again",
        "test_a_daemon_hears_words_through_a_microphone_before_and_after_it_was_unplugged",
    ],
    "half-open TCP": ["test_a_link_that_goes_down_leaves_half_open_connections_and_is_heard_again_within_5_s"],
    "packet loss": ["test_packets_that_the_network_drops_cost_time_and_nothing_else"],
    "reordered and duplicated ingest": ["test_chunks_out_of_order_or_twice_are_put_right_or_declared"],
    "wall clock +-1 day": ["test_a_clock_set_a_day_on_and_back_changes_no_event_and_no_beat"],
    "2^31 ms and 2^32 samples": ["test_samples_are_counted_beyond_32_bits"],
    "reload x100 under load": ["test_a_hundred_reloads_under_load_lose_nothing_and_leave_nothing"],
    "0, max, 0 streams x200": ["test_streams_that_come_all_at_once_and_go_again_and_again_leave_nothing"],
    "every parser": ["test_what_is_mutated_is_read_or_refused_by_a_user_error"],
}
# Those are about the harness and the page, or follow up on a test that is named.
_INSIDE = {
    "test_fault_judge",
    "test_fault_page",
    "test_fault_parsers",
    "test_fault_ids",
}


def existing() -> set[str]:
    return {name for path in (ROOT / "tests").rglob("test_*.py") for name in named_in(path)}


def named_in(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]


def test_every_test_that_the_page_names_exists() -> None:
    there = existing()
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(named) > 20
    assert not named - there


@pytest.mark.parametrize("path", sorted(Path(__file__).parent.glob("test_*.py")), ids=lambda path: path.stem)
def test_every_fault_stands_in_the_page(path: Path) -> None:
    if path.stem in _INSIDE:
        return
    missing = [name for name in named_in(path) if f"`{name}`" not in PAGE and "in_the_end" not in name]
    assert not missing


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_that_is_to_be_injected_has_its_tests_in_the_page(fault: str) -> None:
    there, page = existing(), PAGE.partition("## Guarantees")[0] + PAGE.partition("## Parsers")[2]
    for name in FAULTS[fault]:
        assert name in there
        assert f"`{name}`" in page
