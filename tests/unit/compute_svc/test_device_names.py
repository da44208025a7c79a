"""Names of disks: nova-behaviour, section 3.3."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute_svc.domain import device_names
from svckit.errors import FailedPrecondition


@pytest.mark.parametrize(
    ("index", "letters"), [(0, "a"), (25, "z"), (26, "aa"), (27, "ab"), (701, "zz"), (702, "aaa"), (18277, "zzz")]
)
def test_letters_are_bijective_base_26(index: int, letters: str) -> None:
    assert device_names.letters(index) == letters
    assert device_names.index_of("vd" + letters) == index


@given(st.integers(min_value=0, max_value=18277))
def test_a_name_tells_its_place(index: int) -> None:
    assert device_names.index_of("sd" + device_names.letters(index)) == index


@given(st.integers(min_value=0, max_value=10**6), st.integers(min_value=0, max_value=10**6))
def test_two_places_have_two_names(one: int, other: int) -> None:
    assert (device_names.letters(one) == device_names.letters(other)) == (one == other)


@pytest.mark.parametrize(
    ("bus", "first"),
    [("ide", "hda"), ("virtio", "vda"), ("scsi", "sda"), ("usb", "sda"), ("sata", "sda"), ("fdc", "fda")],
)
def test_the_first_name_of_a_bus(bus: str, first: str) -> None:
    assert device_names.first_free(bus, set()) == first


@pytest.mark.parametrize(("dev", "bus"), [("hda", "ide"), ("sda", "scsi"), ("vdb", "virtio"), ("fda", "fdc")])
def test_a_name_suggests_a_bus(dev: str, bus: str) -> None:
    assert device_names.bus_of(dev) == bus


def test_the_lowest_free_name_is_taken() -> None:
    assert device_names.first_free("virtio", {"vda", "vdc"}) == "vdb"


@pytest.mark.parametrize(("bus", "maximum"), [("ide", 4), ("fdc", 2), ("virtio", 26), ("scsi", 26), ("sata", 26)])
def test_a_full_bus_is_refused(bus: str, maximum: int) -> None:
    taken = {device_names.PREFIXES[bus] + device_names.letters(index) for index in range(maximum)}
    last = device_names.PREFIXES[bus] + device_names.letters(maximum - 1)
    assert device_names.first_free(bus, taken - {last}) == last
    with pytest.raises(FailedPrecondition) as refused:
        device_names.first_free(bus, taken)
    assert refused.value.reason == "TOO_MANY_DISK_DEVICES"
    assert refused.value.metadata == {"bus": bus, "maximum": str(maximum)}


@pytest.mark.parametrize(("text", "dev"), [("/dev/vdb", "vdb"), ("vdb", "vdb"), ("/dev/sdaa", "sdaa"), ("", "")])
def test_a_path_is_stripped(text: str, dev: str) -> None:
    assert device_names.strip(text) == dev


@pytest.mark.parametrize(
    "text", ["/dev/", "/dev/xvda", "/dev/vda1", "vd", "/dev/vdaaaa", "../vda", "vda\n", "/dev/VDA"]
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(FailedPrecondition) as refused:
        device_names.strip(text)
    assert refused.value.reason == "UNSUPPORTED_HARDWARE"
