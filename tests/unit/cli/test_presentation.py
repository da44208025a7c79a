"""Words, names, consoles and findings: the pure parts of what a user sees."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protostar.api.v1 import instance_pb2

from cli.client import resolve
from cli.diagnosis import findings, packages
from cli.diagnosis.findings import State
from cli.present import consoles, hints, words
from cli.present.tables import Column, fitting
from svckit.errors import InvalidArgument

UID = "0d5e1a3c-5a4b-4c0e-9f3a-0b6f0a7c1d2e"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 µs"),
        (-1, "0 µs"),
        (0.00074, "740 µs"),
        (0.0021, "2.1 ms"),
        (0.74, "740 ms"),
        (1.236, "1.24 s"),
        (12.36, "12.4 s"),
        (185, "3 min 5 s"),
        (7800, "2 h 10 min"),
        (100 * 3600, "4 d 4 h"),
    ],
)
def test_durations_have_about_three_figures(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (13 * 2**20, "13.0 MiB"), (2**50, "1024.0 TiB")],
)
def test_sizes(count: int, text: str) -> None:
    assert words.size(count) == text


@given(st.text())
def test_printable_text_has_nothing_that_a_terminal_obeys(text: str) -> None:
    clean = words.printable(text + "\x1b[31mred\x1b[0m\x9b1m\x07")
    assert not {chr(code) for code in (*range(9), *range(11, 32), *range(127, 160))} & set(clean)
    assert words.printable(clean) == clean


def test_escape_sequences_go_as_a_whole() -> None:
    assert words.printable("\x1b[2J\x1b[1;31mred\x1b[0m\x1b]0;title\x07 text\r\n") == "red text\n"


def test_enum_values_lose_their_prefix() -> None:
    instance = instance_pb2.Instance(vm_state=instance_pb2.VM_STATE_SOFT_DELETED)
    assert words.enum(instance, "vm_state") == "SOFT_DELETED"
    assert words.enum(instance, "power_state") == ""


def test_an_enum_value_of_a_newer_server_is_shown_as_its_number() -> None:
    instance = instance_pb2.Instance.FromString(b"\x30\x63")  # field 6, value 99
    assert words.enum(instance, "vm_state") == "99"


# Names


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (UID, f"instances/{UID}"),
        (UID.upper(), f"instances/{UID}"),
        (f"instances/{UID}", f"instances/{UID}"),
        (f"images/{UID}", None),
        ("web", None),
        ("instances/web", None),
        ("", None),
        ("00000000-0000-0000-0000-000000000000", None),
    ],
)
def test_what_is_a_name_already_and_what_must_be_looked_up(text: str, name: str | None) -> None:
    assert resolve.as_written("instances", text) == name


def test_several_with_one_name_are_listed() -> None:
    found = [instance_pb2.Instance(uid=str(place), display_name="web") for place in range(3)]
    with pytest.raises(InvalidArgument) as caught:
        resolve.the_one(resolve.INSTANCE, "web", found)
    assert caught.value.reason == "AMBIGUOUS_NAME"
    assert caught.value.message.splitlines()[1:] == ["  0", "  1", "  2"]


# Consoles


@given(st.text("ab\n", max_size=60), st.text("ab\n", max_size=20), st.integers(1, 80))
def test_a_growing_console_is_continued(before: str, more: str, window: int) -> None:
    """What was printed so far and what is printed now end as the console does."""
    previous, current = before[-window:], (before + more)[-window:]
    assert (previous + consoles.unseen(previous, current)).endswith(current)


@pytest.mark.parametrize(
    ("previous", "current", "new"),
    [
        ("", "hello", "hello"),
        ("hello", "hello", ""),
        ("hello", "hello world", " world"),
        ("hello world", "world and more", " and more"),
        ("abcdef", "uvwxyz", "uvwxyz"),
        ("x\ufffdcd", "\ufffdcd", ""),
        ("\ufffdbcd" * 500, "äbcd" + "\ufffdbcd" * 499 + "new", "new"),
    ],
)
def test_only_what_is_new_is_printed(previous: str, current: str, new: str) -> None:
    assert consoles.unseen(previous, current) == new


# Tables


def test_the_least_important_columns_go_first_from_the_right() -> None:
    columns = [
        Column("A", str),
        Column("B", str, importance=1),
        Column("C", str, importance=5),
        Column("D", str, importance=1),
    ]
    assert fitting([10, 10, 10, 10], columns, 46) == [0, 1, 2, 3]
    assert fitting([10, 10, 10, 10], columns, 45) == [0, 1, 2]
    assert fitting([10, 10, 10, 10], columns, 33) == [0, 2]
    assert fitting([10, 10, 10, 10], columns, 1) == [0]


# Hints


def test_a_hint_without_its_values_is_left_out() -> None:
    assert "operation wait operations/7 " in hints.hint("OPERATION_IN_PROGRESS", {"operation": "operations/7"})
    assert hints.hint("OPERATION_IN_PROGRESS", {}) == ""
    assert hints.hint("DOMAIN_DIED", {}, {"instance": "web"}).startswith("protostar instance console web ")
    assert hints.hint("DOMAIN_DIED", {}).startswith("protostar instance console INSTANCE ")
    assert hints.hint("NEVER_HEARD_OF", {}) == ""


# Doctor


@pytest.mark.parametrize(
    ("device", "usable", "flags", "state", "words_"),
    [
        (True, True, {"vmx"}, State.OK, "on the hardware"),
        (True, True, {"svm"}, State.OK, "on the hardware"),
        (True, True, set(), State.WARNING, "neither vmx nor svm"),
        (True, False, {"vmx"}, State.WARNING, "not ours to use"),
        (False, False, {"vmx"}, State.WARNING, "no /dev/kvm"),
    ],
)
def test_kvm_is_believed_only_with_what_it_needs(
    device: bool, usable: bool, flags: set[str], state: State, words_: str
) -> None:
    found = findings.kvm(device=device, usable=usable, cpu_flags=frozenset(flags))
    assert found.state is state
    assert words_ in found.detail


def test_one_command_installs_everything_that_is_missing_and_each_once() -> None:
    found = [
        findings.missing("qemu-img", "not installed", package="qemu-utils"),
        findings.missing("mkswap", "not installed", package="util-linux"),
        findings.missing("prlimit", "not installed", package="util-linux"),
        findings.missing("api_svc", "taken", fix="protostar up --api HOST:PORT"),
        findings.warning("KVM", "no", fix="not needed"),
        findings.good("Python", "3.11"),
    ]
    assert findings.commands(found, ["ca-certificates", "qemu-utils"], root=False) == [
        "sudo apt-get install --no-install-recommends qemu-utils util-linux ca-certificates",
        "protostar up --api HOST:PORT",
    ]
    assert findings.commands(found[4:], [], root=True) == []
    assert not findings.is_well(found)
    assert findings.is_well(found[4:])


def test_the_list_of_packages_is_read_by_group() -> None:
    text = "# group package\n\nrun   qemu-utils   # qemu-img\nbuild gcc\nrun e2fsprogs\n"
    assert packages.needed(text, ("run",)) == ["qemu-utils", "e2fsprogs"]
