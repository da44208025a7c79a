"""From spans to rows: whatever is broken, every span is drawn once and in its place."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.traces import draw, files, fold, layout, spans, tree
from cli.traces.spans import CLIENT, SERVER, Span
from cli.traces.tree import Node

TRACE = "a" * 32
OTHER = "b" * 32
MS = 1_000_000


def span(span_id: str, parent: str = "", start: int = 0, end: int = 10, **fields: Any) -> Span:
    """A span; times in ms."""
    fields = {"trace_id": TRACE, "name": span_id, "service": "svc", **fields}
    return Span(span_id=span_id, parent_id=parent, start=start * MS, end=end * MS, **fields)


def outline(roots: Sequence[Node]) -> list[str]:
    return [">" * depth + node.span.name for root in roots for depth, node in root.walk()]


# Reading


def test_spans_are_read_as_the_exporter_writes_them() -> None:
    entry = {
        "traceId": TRACE,
        "spanId": "c" * 16,
        "parentSpanId": "d" * 16,
        "name": "step backing",
        "kind": 1,
        "startTimeUnixNano": "1795415845427873510",
        "endTimeUnixNano": "1795415845428873510",
        "attributes": [
            {"key": "protostar.step", "value": {"stringValue": "backing"}},
            {"key": "protostar.attempt", "value": {"intValue": "2"}},
        ],
        "links": [{"traceId": OTHER, "spanId": "e" * 16}],
        "status": {"code": 2, "message": "no space"},
    }
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "compute_svc"}}]}
    (read,) = spans.read(json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [entry]}]}]}))
    assert read == Span(
        trace_id=TRACE,
        span_id="c" * 16,
        parent_id="d" * 16,
        service="compute_svc",
        name="step backing",
        kind=1,
        start=1795415845427873510,
        end=1795415845428873510,
        failed=True,
        message="no space",
        attributes={"protostar.step": "backing", "protostar.attempt": 2},
        links=(OTHER,),
    )


def test_a_call_that_its_caller_left_has_not_failed() -> None:
    left = {"key": "rpc.response.status_code", "value": {"stringValue": "CANCELLED"}}
    entry = {"traceId": TRACE, "spanId": "1", "status": {"code": 2}, "attributes": [left]}
    (read,) = spans.read(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [entry]}]}]}))
    assert not read.failed


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'{"resourceSpans": 7}',
        b'{"resourceSpans": [null, {"scopeSpans": [{"spans": [{}]}]}]}',
    ],
)
def test_what_is_not_a_whole_line_is_passed_over(line: bytes) -> None:
    assert list(spans.read(line)) == []


KEYS = [
    "resourceSpans",
    "scopeSpans",
    "spans",
    "traceId",
    "spanId",
    "attributes",
    "key",
    "value",
    "status",
    "links",
    "resource",
]
json_values = st.recursive(
    st.none() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=20,
)


@given(json_values)
def test_no_json_breaks_the_reader(content: Any) -> None:
    for read in spans.read(json.dumps(content)):
        assert read.trace_id and read.span_id


def write(path: Path, *entries: Span) -> None:
    encoded = [
        {
            "traceId": entry.trace_id,
            "spanId": entry.span_id,
            "parentSpanId": entry.parent_id,
            "name": entry.name,
            "startTimeUnixNano": str(entry.start),
            "endTimeUnixNano": str(entry.end),
            "links": [{"traceId": link} for link in entry.links],
            "attributes": [{"key": k, "value": {"stringValue": v}} for k, v in entry.attributes.items()],
        }
        for entry in entries
    ]
    with path.open("a") as file:
        file.write(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": encoded}]}]}) + "\n")


def test_all_files_are_read_rotated_ones_too_and_linked_attempts_with_all_their_spans(tmp_path: Path) -> None:
    write(tmp_path / "api_svc.jsonl.1", span("1"))
    write(tmp_path / "api_svc.jsonl", span("2", "1"), span("elsewhere", trace_id="c" * 32))
    write(tmp_path / "compute_svc.jsonl", span("3", trace_id=OTHER, links=(TRACE,)))
    write(tmp_path / "compute_svc.jsonl", span("4", "3", trace_id=OTHER))
    (tmp_path / "compute_svc.jsonl").open("a").write('{"resourceSpans": [{"half a line ' + TRACE)
    assert {entry.span_id for entry in files.spans_of(tmp_path, TRACE)} == {"1", "2", "3", "4"}
    assert files.spans_of(tmp_path / "nothing", TRACE) == []


def test_a_span_that_was_written_twice_is_there_once(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", span("1"))
    write(tmp_path / "b.jsonl", span("1"))
    assert len(files.spans_of(tmp_path, TRACE)) == 1


def test_the_trace_of_an_operation_is_where_it_began(tmp_path: Path) -> None:
    about = {"protostar.operation": "operations/77"}
    write(
        tmp_path / "a.jsonl", span("2", start=9, trace_id=OTHER, attributes=about), span("1", start=3, attributes=about)
    )
    assert files.trace_of_operation(tmp_path, "operations/77") == TRACE
    assert files.trace_of_operation(tmp_path, "operations/7") == ""


# The tree


def test_children_are_in_their_parents_by_time() -> None:
    roots = tree.build([span("c", "a", 5, 6), span("b", "a", 1, 4), span("a"), span("d", "b", 2, 3)], TRACE)
    assert outline(roots) == ["a", ">b", ">>d", ">c"]


def test_a_span_without_its_parent_is_a_root() -> None:
    roots = tree.build([span("a", "callers-own"), span("b", "a"), span("c", "lost", 3)], TRACE)
    assert outline(roots) == ["a", ">b", "c"]
    assert tree.missing_parents([span("a", "callers-own"), span("b", "a")]) == {"callers-own"}


def test_a_linked_trace_is_a_later_attempt() -> None:
    later = span("b", start=20, end=30, trace_id=OTHER, links=(TRACE,), attributes={"protostar.attempt": 2})
    roots = tree.build([later, span("a"), span("c", "b", 21, 22, trace_id=OTHER)], TRACE)
    assert [(root.span.name, root.linked) for root in roots] == [("a", False), ("b", True)]
    assert [row.label for row in layout.lay_out(roots, 80).rows] == ["a", "b, attempt 2", "  c"]


def test_parents_in_a_ring_are_cut_open() -> None:
    roots = tree.build([span("a", "c"), span("b", "a"), span("c", "b"), span("d", "c"), span("self", "self")], TRACE)
    assert sorted(name.strip(">") for name in outline(roots)) == ["a", "b", "c", "d", "self"]


edges = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 14), st.integers(0, 50), st.integers(0, 50)), max_size=25)


@given(edges, st.integers(0, 200))
def test_every_span_is_drawn_once_inside_the_picture(entries: list[tuple[int, int, int, int]], width: int) -> None:
    built = {str(one): span(str(one), str(parent), start, end) for one, parent, start, end in entries}
    roots = tree.build(list(built.values()), TRACE)
    assert sorted(name.strip(">") for name in outline(roots)) == sorted(built)
    drawn = layout.lay_out(roots, width)
    for row in drawn.rows:
        assert 0 <= row.offset <= drawn.bar_width + 1e-6
        assert len(row.label) <= drawn.label_width
        for fancy in (True, False):
            assert len(draw.bar(row.offset, row.length, drawn.bar_width, fancy=fancy)) == drawn.bar_width
            assert draw.bar(row.offset, row.length, drawn.bar_width, fancy=fancy).strip()
    assert len(fold.fold(roots)) <= max(len(roots), 1)


def test_a_wrong_clock_is_put_right_for_everything_behind_the_call() -> None:
    calls = [
        span("call", start=100, end=140, kind=CLIENT, service="api_svc"),
        span("serve", "call", 5_000, 5_030, kind=SERVER, service="compute_svc"),
        span("step", "serve", 5_010, 5_020, service="compute_svc"),
    ]
    (root,) = tree.build(calls, TRACE)
    serve = root.children[0].span
    step = root.children[0].children[0].span
    assert (serve.start, serve.end) == (105 * MS, 135 * MS)
    assert (step.start, step.end) == (115 * MS, 125 * MS)
    assert step.attributes["protostar.clock_offset_ns"] == -4_895 * MS


def test_what_outlives_its_caller_by_design_is_left_where_it_is() -> None:
    accepted = [
        span("rpc", start=0, end=10, kind=SERVER, service="api_svc"),
        span("dispatch", "rpc", 11, 500, service="api_svc"),
    ]
    (root,) = tree.build(accepted, TRACE)
    assert (root.children[0].span.start, root.children[0].span.end) == (11 * MS, 500 * MS)


def test_a_huge_and_deep_trace_is_drawn() -> None:
    deep = [span(str(place), str(place - 1), place, 30_000) for place in range(20_000)]
    roots = tree.build(deep, TRACE)
    assert len(layout.lay_out(roots, 100).rows) == 20_000
    assert len(layout.lay_out(fold.fold(roots), 100).rows) == 20_000


# Folding


def test_both_ends_of_a_call_become_one_row_named_after_who_answers() -> None:
    name = "protostar.compute.v1.ComputeService/StartInstance"
    rpc = {"rpc.method": name}
    roots = tree.build(
        [
            span("1", start=0, end=20, name=name, kind=CLIENT, service="api_svc", attributes=rpc),
            span("2", "1", 1, 19, name=name, kind=SERVER, service="compute_svc", attributes=rpc),
            span("3", "2", 2, 18, name="step launch", service="compute_svc"),
        ],
        TRACE,
    )
    (root,) = fold.fold(roots)
    assert (root.span.service, root.span.start, root.span.end) == ("compute_svc", 0, 20 * MS)
    assert [row.label for row in layout.lay_out([root], 100).rows] == ["StartInstance", "  step launch"]
    assert outline(roots) == [name, ">" + name, ">>step launch"]


def test_reads_and_watching_disappear_and_transactions_stay() -> None:
    database = {"db.system.name": "sqlite"}
    roots = tree.build(
        [
            span("root"),
            span("1", "root", name="SELECT api", attributes={**database, "db.operation.name": "SELECT"}),
            span("2", "root", name="TRANSACTION api", attributes={**database, "db.operation.name": "TRANSACTION"}),
            span("3", "root", name="protostar.api.v1.OperationService/WatchOperation", kind=CLIENT),
            span("4", "root", name="SELECT api", failed=True, attributes={**database, "db.operation.name": "SELECT"}),
        ],
        TRACE,
    )
    assert outline(fold.fold(roots)) == ["root", ">TRANSACTION api", ">SELECT api"]


def test_many_of_a_kind_become_one_row() -> None:
    leaves = [span(str(place), "root", place, place + 1, name="qemu-img info") for place in range(40)]
    folded = fold.fold(tree.build([span("root", end=50), *leaves], TRACE))
    assert outline(folded) == ["root", ">qemu-img info ×40"]
    assert folded[0].children[0].span.end == 40 * MS


def test_a_trace_of_noise_alone_is_shown() -> None:
    watching = span("1", name="protostar.api.v1.OperationService/WatchOperation")
    assert len(fold.fold(tree.build([watching], TRACE))) == 1


# Rows


def test_bars_are_where_the_time_went() -> None:
    roots = tree.build([span("a", end=100), span("b", "a", 50, 75)], TRACE)
    drawn = layout.lay_out(roots, 100)
    first, second = drawn.rows
    assert (first.offset, first.length) == (0, drawn.bar_width)
    assert second.offset == pytest.approx(drawn.bar_width / 2)
    assert second.length == pytest.approx(drawn.bar_width / 4)
    assert drawn.seconds == pytest.approx(0.1)
    assert [seconds for _, seconds in drawn.ticks] == pytest.approx([0, 0.05, 0.1])


def test_a_failure_is_told_where_it_began() -> None:
    failed = {"failed": True, "message": "no space"}
    roots = tree.build([span("a", **failed), span("b", "a", **failed), span("c", "b", **failed), span("d", "b")], TRACE)
    rows = layout.lay_out(roots, 100).rows
    assert [(row.label.strip(), row.failed, row.message) for row in rows] == [
        ("a", True, ""),
        ("b", True, ""),
        ("c", True, "no space"),
        ("d", False, ""),
    ]


@pytest.mark.parametrize("width", [0, 10, 40, 80, 250])
def test_there_is_room_for_bars_at_every_width(width: int) -> None:
    roots = tree.build([span("a", name="n" * 300), span("b", "a")], TRACE)
    drawn = layout.lay_out(roots, width)
    assert drawn.bar_width >= 12
    assert drawn.label_width + drawn.bar_width + 26 <= max(width, 50)


@pytest.mark.parametrize(
    ("offset", "length", "expected"),
    [
        (0, 4, "████    "),
        (2, 1.5, "  █▌    "),
        (2, 0, "  ▏     "),
        (7.9, 0.01, "       ▏"),
        (8, 5, "       █"),
        (0, 99, "████████"),
    ],
)
def test_a_bar_is_drawn_to_an_eighth_of_a_cell(offset: float, length: float, expected: str) -> None:
    assert draw.bar(offset, length, 8, fancy=True) == expected


def test_a_bar_in_ascii() -> None:
    assert draw.bar(2, 3, 8, fancy=False) == "  ###   "
