"""Generate the Python stubs of the contract, with types, into gen/.

    python protos/generate.py [OUT]

gen/ is never committed; `make gen` runs this whenever a .proto is newer, wheels run it at build time, and a unit test
compares what is imported with what is written, so that stubs cannot be stale.
"""

from __future__ import annotations

import shutil
import sys
from importlib.resources import files
from pathlib import Path

import google.longrunning
from grpc_tools import protoc

PROTOS = Path(__file__).resolve().parent
GOOGLE = (
    "api/annotations",
    "api/client",
    "api/field_behavior",
    "api/http",
    "api/launch_stage",
    "longrunning/operations",
    "rpc/code",
    "rpc/error_details",
    "rpc/status",
)


def copy_googleapis(out: Path) -> None:
    """Lay Google's own protos out under the paths by which they are imported.

    The wheel ships google/longrunning/operations.proto under another file name.
    """
    wheel = Path(next(iter(google.longrunning.__path__))).parent
    for stem in GOOGLE:
        source = wheel / f"{stem}.proto"
        if not source.exists():
            source = wheel / f"{stem}_proto.proto"
        target = out / "google" / f"{stem}.proto"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def run_protoc(out: Path, googleapis: Path) -> None:
    """Compile every proto of ours, and type stubs for the one Google module that has none."""
    includes = [f"-I{PROTOS}", f"-I{googleapis}", f"-I{files('grpc_tools') / '_proto'}"]
    ours = sorted(str(p.relative_to(PROTOS)) for p in PROTOS.glob("protostar/**/*.proto"))
    stubs = out / "stubs"
    stubs.mkdir()
    code = [f"--python_out={out}", f"--grpc_python_out={out}"]
    for arguments in ([*code, *_typed(out), *ours], [*_typed(stubs), "google/longrunning/operations.proto"]):
        if protoc.main(["protoc", *includes, *arguments]) != 0:
            raise SystemExit("protoc failed; see above")


def _typed(out: Path) -> list[str]:
    return [f"--mypy_out=quiet:{out}", f"--mypy_grpc_out=quiet:{out}"]


def main(out: Path) -> None:
    """Replace `out` with freshly generated stubs."""
    fresh = out.with_name(out.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    copy_googleapis(fresh / "googleapis")
    run_protoc(fresh, fresh / "googleapis")
    for package in [p for p in (fresh / "protostar").rglob("*") if p.is_dir()] + [fresh / "protostar"]:
        (package / "__init__.py").touch()
    shutil.rmtree(out, ignore_errors=True)
    fresh.rename(out)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else PROTOS.parent / "gen")
