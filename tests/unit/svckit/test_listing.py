"""Pages and filters."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svckit.errors import InvalidArgument
from svckit.listing import Comparison, decode_token, encode_token, page_size, parse_filter

FIELDS = {"vm_state", "host", "metadata.*"}


@pytest.mark.parametrize(("wanted", "given_"), [(0, 50), (1, 1), (1000, 1000), (1001, 1000), (2**31 - 1, 1000)])
def test_page_size(wanted: int, given_: int) -> None:
    assert page_size(wanted) == given_


def test_negative_page_size_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="page_size"):
        page_size(-1)


@given(st.lists(st.text(), min_size=1, max_size=3), st.text())
def test_token_is_bound_to_its_filter(key: list[str], filter_text: str) -> None:
    token = encode_token(key, filter_text)
    assert decode_token(token, filter_text, len(key)) == tuple(key)
    with pytest.raises(InvalidArgument, match="page_token"):
        decode_token(token, filter_text + "x", len(key))


@given(st.text(min_size=1))
def test_foreign_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidArgument, match="page_token"):
        decode_token(token, "", 2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("   ", []),
        ('vm_state = "ACTIVE"', [Comparison("vm_state", "ACTIVE")]),
        (
            'vm_state="ACTIVE" AND host!="h1"',
            [Comparison("vm_state", "ACTIVE"), Comparison("host", "h1", negated=True)],
        ),
        ('metadata.role = "we\\"b"', [Comparison("metadata.role", 'we"b')]),
    ],
)
def test_filter(text: str, expected: list[Comparison]) -> None:
    assert parse_filter(text, FIELDS) == expected


@pytest.mark.parametrize(
    "text",
    [
        "vm_state",
        'vm_state = "A" OR host = "b"',
        'nope = "x"',
        'vm_state = "A" host = "b"',
        'vm_state.x = "A"',
        'vm_state > "A"',
        'vm_state = "A" AND',
    ],
)
def test_bad_filter_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="filter"):
        parse_filter(text, FIELDS)


@given(st.text(max_size=60))
def test_no_filter_breaks_the_parser(text: str) -> None:
    with contextlib.suppress(InvalidArgument):
        parse_filter(text, FIELDS)
