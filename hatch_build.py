"""A wheel carries the stubs of its own protos: hatchling calls this before it packs one."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class GenerateStubs(BuildHookInterface):
    """Runs protos/generate.py. An editable install does without: there `make gen` keeps gen/ fresh."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Replace gen/ before the files of the wheel are collected."""
        if version == "standard":
            root = Path(self.root)
            runpy.run_path(str(root / "protos" / "generate.py"))["main"](root / "gen")
