"""The protos: stubs that are imported are those that are written, and every field is explained."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parents[3]
PROTOS = sorted(path.relative_to(ROOT / "protos") for path in (ROOT / "protos").glob("protostar/**/*.proto"))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> FileDescriptorSet:
    """What the .proto files say now, with comments."""
    for path in PROTOS:  # first, so that options which are extensions are understood when the set is parsed
        importlib.import_module(str(path.with_suffix("")).replace("/", ".") + "_pb2")
    out = tmp_path_factory.mktemp("contract") / "contract.binpb"
    includes = [f"-I{ROOT / 'protos'}", f"-I{ROOT / 'gen/googleapis'}", f"-I{Path(protoc.__file__).parent / '_proto'}"]
    arguments = [*includes, f"--descriptor_set_out={out}", "--include_source_info", *map(str, PROTOS)]
    assert protoc.main(["protoc", *arguments]) == 0
    return FileDescriptorSet.FromString(out.read_bytes())


def test_stubs_are_not_stale(written: FileDescriptorSet) -> None:
    for file in written.file:
        imported = FileDescriptorProto()
        descriptor_pool.Default().FindFileByName(file.name).CopyToProto(imported)
        assert imported == stripped(file), f"the stubs of {file.name} are stale: run `make gen`"


def stripped(file: FileDescriptorProto) -> FileDescriptorProto:
    """Without what protoc leaves out of Python stubs: comments and JSON names."""
    file.ClearField("source_code_info")
    messages = list(file.message_type)
    while messages:
        message = messages.pop()
        messages.extend(message.nested_type)
        for field in message.field:
            field.ClearField("json_name")
    return file


def test_everything_public_is_commented() -> None:
    """`buf lint` with its COMMENTS rules on top of STANDARD: no message, field, enum value or call without a word."""
    config = (ROOT / "buf.yaml").read_text().replace("use: [STANDARD]", "use: [COMMENTS]")
    buf = Path(sys.executable).parent / "buf"
    run = subprocess.run([buf, "lint", "--config", config], cwd=ROOT, capture_output=True, text=True)
    uncommented = [line for line in run.stdout.splitlines() if "Oneof" not in line]
    assert not uncommented, "\n".join(uncommented)
