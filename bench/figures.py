"""Arithmetic of the figures."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def p50(seconds: Sequence[float]) -> float:
    """The median."""
    return statistics.median(seconds)


def p95(seconds: Sequence[float]) -> float:
    """The 95th percentile, interpolated; the maximum's neighbourhood for short series."""
    return statistics.quantiles(seconds, n=20, method="inclusive")[-1]
