"""What looks into an untrusted file: a process of its own, under limits, that prints JSON and is gone.

    python -m image_svc.adapters.inspection_child PATH

A parser that can be made to hang or to eat memory takes nobody with it, and oslo's 20 MB are needed for a moment only.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from oslo_utils.imageutils import format_inspector

_CHUNK = 4096


def inspect(path: Path) -> dict[str, Any]:
    """The formats its content matches, each with what is wrong with it and the virtual size it claims."""
    with path.open("rb") as file:
        wrapper = format_inspector.InspectWrapper(file)
        while wrapper.formats is None and wrapper.read(_CHUNK):
            pass
        wrapper.close()
    matches = wrapper.formats or []
    return {
        "contents": sorted(str(match) for match in matches),
        "violations": {str(match): problems for match in matches if (problems := _problems(match))},
        "virtual_sizes": {str(match): match.virtual_size for match in matches},
    }


def _problems(match: format_inspector.FileInspector) -> list[str]:
    try:
        match.safety_check()
    except format_inspector.SafetyCheckFailed as error:
        return sorted(str(failure) for failure in error.failures.values())
    except format_inspector.ImageFormatError as error:
        return [str(error)]
    return []


if __name__ == "__main__":
    print(json.dumps(inspect(Path(sys.argv[1]))))
