"""`make bench`: the first five rows of the budget (design, section 10), from one run."""

from __future__ import annotations

import json
import os
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import control_plane, real_start
from bench.figures import p50, p95

GUEST = Path(__file__).resolve().parents[1] / "build/guest.qcow2"


def main() -> None:
    """Measure, print the table, and write BENCH_JSON if it names a file."""
    console = Console()
    with console.status("measuring") as status:
        real = real_start.measure(GUEST, int(os.environ.get("BENCH_ROUNDS", "15")), status.update)
        plane = control_plane.measure(GUEST, singles=100, rounds=4, say=status.update)
    console.print(_table(real, plane))
    if path := os.environ.get("BENCH_JSON"):
        Path(path).write_text(json.dumps(_figures(real, plane), indent=2) + "\n")


def _figures(real: real_start.RealStart, plane: control_plane.ControlPlane) -> dict[str, float]:
    return {
        "start_over_libvirt_p50": round(p50(real.ours) / p50(real.libvirt), 4),
        "start_over_libvirt_p95": round(p95(real.ours) / p95(real.libvirt), 4),
        "control_plane_ms_p50": round(p50(plane.single) * 1e3, 2),
        "control_plane_ms_p95": round(p95(plane.single) * 1e3, 2),
        "starts_per_second_50": round(plane.per_second, 1),
        "transactions_per_start": plane.price.transactions,
        "statements_per_start": plane.price.statements,
        "rpcs_per_start": plane.price.rpcs,
        "idle_rss_mb": round(sum(plane.idle_rss_mb.values()), 1),
    }


def _table(real: real_start.RealStart, plane: control_plane.ControlPlane) -> Table:
    f = _figures(real, plane)
    table = Table("what", "measured", "must", "aim", title=f"{len(real.ours)} rounds of real starts, interleaved")
    seconds = f"ours {p50(real.ours):.3f} s, libvirt {p50(real.libvirt):.3f} s"
    full = p50(real.repair) / p50(real.libvirt)
    table.add_row("start over bare libvirt, p50", f"{f['start_over_libvirt_p50']:.2f}×  ({seconds})", "1.10×", "1.00×")
    table.add_row("the same, p95", f"{f['start_over_libvirt_p95']:.2f}×", "", "")
    table.add_row("the same with repair (undefine, define), p50", f"{full:.2f}×", "", "")
    table.add_row("control plane alone, p50", f"{f['control_plane_ms_p50']:.1f} ms", "25 ms", "10 ms")
    table.add_row("control plane alone, p95", f"{f['control_plane_ms_p95']:.1f} ms", "", "")
    table.add_row("starts per second, 50 in flight", f"{f['starts_per_second_50']:.0f}", "60", "150")
    price = plane.price
    counted = f"{price.transactions} / {price.statements} / {price.rpcs}"
    table.add_row("transactions / statements / RPCs per start", counted, "3 / 10 / 4", "2 / 6 / 3")
    each = ", ".join(f"{name} {size:.0f}" for name, size in plane.idle_rss_mb.items())
    table.add_row("memory of the four services, idle", f"{f['idle_rss_mb']:.0f} MB  ({each})", "350 MB", "220 MB")
    return table


if __name__ == "__main__":
    main()
