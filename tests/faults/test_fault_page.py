"""docs/reliability.md: every test that it names exists, and every fault that is tested is named."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
# Those are about the harness and the page, or follow up on a test that is named.
_INSIDE = {
    "test_fault_judge",
    "test_fault_page",
    "test_fault_parsers",
    "test_fault_ids",
}


def named_in(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]


def test_every_test_that_the_page_names_exists() -> None:
    there = {name for path in (ROOT / "tests").rglob("test_*.py") for name in named_in(path)}
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(named) > 20
    assert not named - there


@pytest.mark.parametrize("path", sorted(Path(__file__).parent.glob("test_*.py")), ids=lambda path: path.stem)
def test_every_fault_stands_in_the_page(path: Path) -> None:
    if path.stem in _INSIDE:
        return
    missing = [name for name in named_in(path) if f"`{name}`" not in PAGE and "in_the_end" not in name]
    assert not missing
