"""Names under _base: Nova's rules, so that an operator finds what he knows (nova-behaviour, section 4.3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_svc.domain.base_names import (
    GIB,
    MIB,
    base_name,
    ephemeral_template,
    file_system_for,
    swap_template,
    template_named,
)


def test_a_base_is_named_by_the_sha1_of_the_image_id() -> None:
    assert base_name("155d900f-4e14-4e4c-a73d-069cbf4541e6") == "f2d1a8250ed3d4b744a8250dab8f6840179d502a"


@pytest.mark.parametrize(("file_system", "mark"), [("ext4", "40d1d2c"), ("vfat", "0706d66"), ("ntfs", "68e98b8")])
def test_an_ephemeral_template_is_named_by_size_and_file_system(file_system: str, mark: str) -> None:
    template = ephemeral_template(20, file_system)
    assert (template.name, template.size_bytes) == (f"ephemeral_20_{mark}", 20 * GIB)


def test_a_swap_template_is_named_by_size() -> None:
    assert (swap_template(512).name, swap_template(512).size_bytes) == ("swap_512", 512 * MIB)


@pytest.mark.parametrize(
    ("os_type", "file_system"), [("linux", "ext4"), ("windows", "ntfs"), ("", "vfat"), ("freebsd", "vfat")]
)
def test_the_file_system_follows_the_os_type(os_type: str, file_system: str) -> None:
    assert file_system_for(os_type) == file_system


@given(gib=st.integers(1, 999_999), file_system=st.sampled_from(["ext4", "vfat", "ntfs"]))
def test_an_ephemeral_template_is_known_again_by_its_name(gib: int, file_system: str) -> None:
    template = ephemeral_template(gib, file_system)
    assert template_named(template.name) == template


@given(mib=st.integers(1, 9_999_999))
def test_a_swap_template_is_known_again_by_its_name(mib: int) -> None:
    assert template_named(swap_template(mib).name) == swap_template(mib)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "f2d1a8250ed3d4b744a8250dab8f6840179d502a",
        "swap_",
        "swap_0",
        "swap_-1",
        "ephemeral_20_0000000",
        "swap_1/../x",
    ],
)
def test_no_other_name_is_a_template(name: str) -> None:
    assert template_named(name) is None


def test_two_templates_never_share_a_uuid_and_one_never_changes_it() -> None:
    one, two = ephemeral_template(1, "ext4"), ephemeral_template(2, "ext4")
    assert one.volume_uuid != two.volume_uuid
    assert one.volume_uuid == ephemeral_template(1, "ext4").volume_uuid
