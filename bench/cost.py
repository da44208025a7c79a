"""What one start costs, counted from its own trace, and what the services weigh."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CLIENT = 3  # SpanKind in OTLP


@dataclass(frozen=True)
class Price:
    """Of one StartInstance and the WaitOperation that follows it, over all services."""

    transactions: int
    statements: int
    rpcs: int


def price(spans: Sequence[dict[str, Any]]) -> Price:
    """Count BEGIN…COMMIT transactions, all SQL statements (reads run in autocommit), and calls between services."""
    database = [span["attributes"] for span in spans if "db.operation.name" in span["attributes"]]
    rpcs = [s for s in spans if s["kind"] in (CLIENT, "SPAN_KIND_CLIENT") and "rpc.method" in s["attributes"]]
    return Price(
        transactions=sum(a["db.operation.name"] == "TRANSACTION" for a in database),
        statements=sum(int(a["protostar.statements"]) for a in database),
        rpcs=len(rpcs),
    )


def rss_mb(pid: int) -> float:
    """Resident memory of a process in MB (10^6 bytes)."""
    match = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(match[1]) * 1024 / 1e6 if match else 0.0
