"""What a config drive may hold, and its digest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_svc.domain import iso9660
from image_svc.domain.config_drive import check_files, digest_in, folders
from svckit.errors import InvalidArgument
from tests.unit.image_svc.given import descriptor

DIGEST = "0123456789abcdef" * 4


def test_novas_files_are_fine() -> None:
    check_files(["openstack/latest/meta_data.json", "openstack/latest/user_data", "ec2/2009-04-04/meta-data.json"])


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "a//b",
        "../x",
        "a/../b",
        "a/.",
        ".hidden",
        "a b",
        "a\0b",
        "a/b/c/d/e/f/g/h",
        "x" * 65,
        "a\\b",
        "ä",
    ],
)
def test_paths_that_are_refused(path: str) -> None:
    with pytest.raises(InvalidArgument):
        check_files([path])


def test_a_file_cannot_be_a_folder_too() -> None:
    with pytest.raises(InvalidArgument, match="file and a folder"):
        check_files(["a", "a/b"])


def test_folders_come_parents_first() -> None:
    assert folders(["b/c/d", "a/x", "top"]) == ["a", "b", "b/c"]


def test_the_digest_comes_back() -> None:
    assert digest_in(descriptor(10, application=DIGEST), 10 * 2048) == DIGEST


@pytest.mark.parametrize(
    ("content", "file_bytes"),
    [
        (descriptor(10, application=DIGEST), 10 * 2048 - 1),  # broken off
        (descriptor(10, label="cidata", application=DIGEST), 10 * 2048),
        (descriptor(10, application="PYCDLIB"), 10 * 2048),
        (descriptor(10, application=DIGEST)[:-1], 10 * 2048),
        (b"", 0),
    ],
)
def test_what_is_not_a_whole_drive_of_ours_has_no_digest(content: bytes, file_bytes: int) -> None:
    assert digest_in(content, file_bytes) == ""


@given(st.binary(max_size=iso9660.LENGTH + 10))
def test_any_bytes_are_read_without_harm(content: bytes) -> None:
    assert digest_in(content, len(content)) == ""
    iso9660.parse(b"\x01CD001\x01" + content)
