"""The qcow2 header from bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_svc.domain.qcow2 import parse
from tests.fakes.image_svc import qcow2_header

_PATHS = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=900)


@given(
    size=st.integers(0, 2**63),
    backing=_PATHS,
    kind=st.sampled_from(["raw", "qcow2", ""]),
    version=st.sampled_from([2, 3]),
)
def test_what_was_written_is_read(size: int, backing: str, kind: str, version: int) -> None:
    header = parse(qcow2_header(size, backing, backing_format=kind, version=version))
    assert header is not None
    assert (header.virtual_size_bytes, header.backing_file) == (size, backing)
    assert header.backing_format == (kind if backing else "")


@given(st.binary(max_size=600))
def test_any_bytes_give_a_header_or_none(content: bytes) -> None:
    parse(content)
    assert parse(b"QFI\xfa" + content) is None


@given(st.binary(max_size=300), st.integers(4, 103))
def test_a_damaged_header_gives_a_header_or_none(noise: bytes, position: int) -> None:
    whole = qcow2_header(2**30, "/base/x")
    parse(whole[:position] + noise + whole[position + len(noise) :])


@pytest.mark.parametrize("length", range(0, 104, 8))
def test_a_header_that_breaks_off_is_none(length: int) -> None:
    assert parse(qcow2_header(2**30)[:length]) is None


def test_a_backing_name_past_the_end_is_none() -> None:
    assert parse(qcow2_header(2**30, "/base/x")[:-1]) is None


@pytest.mark.parametrize(
    ("features", "corrupt", "data_file", "unknown"),
    [
        (0, False, False, False),
        (1, False, False, False),  # dirty: QEMU repairs that by itself
        (1 << 1, True, False, False),
        (1 << 2, False, True, False),
        (1 << 3, False, False, False),
        (1 << 4, False, False, False),
        (1 << 5, False, False, True),
        (1 << 63, False, False, True),
    ],
)
def test_feature_bits(features: int, corrupt: bool, data_file: bool, unknown: bool) -> None:
    header = parse(qcow2_header(2**30, features=features))
    assert header is not None
    assert (header.is_corrupt, header.has_data_file, header.has_unknown_features) == (corrupt, data_file, unknown)


def test_encryption_is_seen() -> None:
    header = parse(qcow2_header(2**30, encryption=2))
    assert header is not None
    assert header.is_encrypted
