"""Chaos for as long as you like:  python -m tests.chaos --minutes 10 --seed 1 [--json PATH] [--backend test|embed]

Half of the time goes to libvirt's test driver, half to real QEMU. Prints a table and exits with 1 when a promise of
design.md §7 was broken.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.arena import Arena
from tests.chaos.hypervisors import of
from tests.chaos.invariants import Scene
from tests.chaos.ledger import Result, total
from tests.chaos.storm import WEATHER, Storm, image_for
from tests.client import Client

_RUN = ("backend", "seconds", "kills", "freezes", "boots")
_SIX = ("accepted", "ended", "lost", "doubled", "stuck", "longest_recovery_s")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the storms. 0 when every promise was kept."""
    parser = argparse.ArgumentParser(prog="tests.chaos", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the six numbers here")
    parser.add_argument("--backend", choices=[*WEATHER, "both"], default="both")
    options = parser.parse_args(argv)
    backends = list(WEATHER) if options.backend == "both" else [options.backend]
    results = [storm(backend, options.seed, 60 * options.minutes / len(backends)) for backend in backends]
    print(table(results))
    if options.json:
        options.json.write_text(json.dumps(total(results)) + "\n")
    return 0 if all(result.well for result in results) else 1


def storm(backend: str, seed: int, seconds: float) -> Result:
    """One storm on services of its own."""
    weather = WEATHER[backend]
    arena = Arena(libvirt_uri=weather.libvirt_uri, heavy_steps=0)
    with tempfile.TemporaryDirectory() as folder, arena:
        blowing = Storm(arena, Scene(arena.data, of(arena)), weather, seed)
        client = Client(arena.addresses["api_svc"])
        blowing.image = client.import_image(image_for(backend, Path(folder))).name
        client.close()
        return blowing.blow(backend, seconds)


def table(results: Sequence[Result]) -> str:
    """Rows for people, and every broken promise in words below."""
    rows = [[_cell(getattr(result, column)) for column in (*_RUN, *_SIX)] for result in results]
    numbers = total(results)
    rows.append(["total", *[""] * (len(_RUN) - 1), *(_cell(numbers[column]) for column in _SIX)])
    lines = [f"| {' | '.join(row)} |" for row in ((*_RUN, *_SIX), ["---"] * (len(_RUN) + len(_SIX)), *rows)]
    lines += [f"{result.backend}: {word}" for result in results for word in result.wrong]
    return "\n".join(lines)


def _cell(value: object) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
