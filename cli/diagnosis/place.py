"""The data directory and the addresses."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from cli.diagnosis import findings
from cli.diagnosis.findings import Finding
from cli.present import words
from cli.supervisor import plan, ports

_LITTLE_BYTES = 2 * 1024**3
_NOTHING_BYTES = 200 * 1024**2


def data_dir(folder: Path) -> Iterator[Finding]:
    """Whether everything can be kept there."""
    place = next(path for path in (folder, *folder.parents) if path.exists())
    yield _writable(folder, place)
    yield _length(folder)
    yield _space(place)


def addresses(wanted: Mapping[str, str]) -> Iterator[Finding]:
    """Whether each service ("api", …) can listen at its address."""
    for name, address in wanted.items():
        why = ports.why_not_free(address)
        if why is None:
            yield findings.good(f"{name}_svc", f"{address} is free")
        else:
            yield findings.missing(f"{name}_svc", f"{address} {why}", fix=f"protostar up --{name} HOST:PORT")


def _writable(folder: Path, place: Path) -> Finding:
    if place.is_dir() and os.access(place, os.W_OK | os.X_OK):
        return findings.good("data directory", f"{folder}{'' if place == folder else ' can be made'}")
    detail = f"{folder}: {place} is not ours to write to"
    return findings.missing("data directory", detail, fix="protostar up --data-dir DIR")


def _length(folder: Path) -> Finding:
    length = len(str(folder))
    if length <= plan.LONGEST_DATA_DIR:
        return findings.good("its length", f"{length} characters, sockets fit in it")
    detail = f"{length} characters; with more than {plan.LONGEST_DATA_DIR} QEMU's sockets do not fit in it"
    return findings.missing("its length", detail, fix="protostar up --data-dir DIR")


def _space(place: Path) -> Finding:
    free = shutil.disk_usage(place).free
    if free < _NOTHING_BYTES:
        return findings.missing("free space", f"{words.size(free)} at {place}", fix="protostar up --data-dir DIR")
    if free < _LITTLE_BYTES:
        return findings.warning("free space", f"{words.size(free)} at {place}; a few guests will fill it")
    return findings.good("free space", f"{words.size(free)} at {place}")
