"""The linters are tests: what they find is a defect like any other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
BIN = Path(sys.executable).parent

LINTERS = {
    "ruff": ["ruff", "check", "."],
    "ruff-format": ["ruff", "format", "--check", "."],
    "mypy": ["mypy"],
    "buf-lint": ["buf", "lint"],
    "buf-format": ["buf", "format", "--exit-code", "--diff", "protos"],
    "import-contracts": ["lint-imports"],
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", LINTERS)
def test_linter_finds_nothing(name: str) -> None:
    program, *arguments = LINTERS[name]
    # The editable install and the tools' caches must not depend on who runs the tests.
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run([BIN / program, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, f"{name} says:\n{run.stdout}\n{run.stderr}"
