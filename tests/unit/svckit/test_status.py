"""An error is the same on both sides of the wire."""

from __future__ import annotations

import pytest
from google.rpc import error_details_pb2
from hypothesis import given
from hypothesis import strategies as st

from svckit import errors, status

TEXT = st.text(max_size=30)


@st.composite
def any_error(draw: st.DrawFn) -> errors.ProtostarError:
    kind = draw(st.sampled_from(errors.ALL))
    return kind(
        draw(TEXT),
        reason=draw(st.from_regex(r"[A-Z][A-Z_]{0,20}", fullmatch=True)),
        metadata=draw(st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), TEXT, max_size=3)),
        violations=[errors.FieldViolation(f, d) for f, d in draw(st.lists(st.tuples(TEXT, TEXT), max_size=3))],
        resource=draw(st.none() | st.builds(errors.Resource, TEXT, TEXT)),
        precondition=draw(st.none() | st.builds(errors.Precondition, TEXT, TEXT, TEXT)),
        retry_after=draw(st.none() | st.integers(0, 10**6).map(lambda ms: ms / 1000)),
    )


@given(any_error())
def test_survives_the_wire(error: errors.ProtostarError) -> None:
    back = status.from_status(status.to_status(error, trace_id="a" * 32))
    assert type(back) is type(error)
    for part in ("message", "reason", "metadata", "violations", "resource", "precondition", "retry_after"):
        assert getattr(back, part) == getattr(error, part), part


@given(any_error())
def test_carries_exactly_one_error_info_with_the_trace(error: errors.ProtostarError) -> None:
    packed = status.to_status(error, trace_id="b" * 32).details
    kinds = [any_.TypeName() for any_ in packed]
    assert kinds.count("google.rpc.ErrorInfo") == 1
    assert len(set(kinds)) == len(kinds), "each detail type at most once (AIP-193)"
    info = error_details_pb2.ErrorInfo()
    packed[0].Unpack(info)
    assert (info.domain, info.metadata["trace_id"]) == ("protostar", "b" * 32)


@pytest.mark.parametrize("code", range(1, 17))
def test_every_code_has_a_class_or_becomes_internal(code: int) -> None:
    back = status.from_status(status.Status(code=code, message="m"))
    assert back.code == (code if code in errors.BY_CODE else errors.Internal.code)
