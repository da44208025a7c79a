"""Which command may work: the rules alone, against what they promise."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from compute_svc.domain.failure import Failure
from compute_svc.domain.journal import Admission, Command, Journal, Phase, Seen, Standing, admit, seen
from compute_svc.domain.steps import Verb
from compute_svc.domain.undo import DestroyGuest, RemoveDisks, RestoreDefinition, push
from svckit import errors
from svckit.errors import Aborted

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def a_command(operation: str, generation: int) -> Command:
    return Command(operation=operation, generation=generation, attempt=1, seconds=10)


def a_journal(**changes: object) -> Journal:
    values: dict[str, object] = {
        "uid": "u",
        "generation": 3,
        "operation": "a",
        "verb": Verb.START,
        "attempt": 1,
        "updated_at": NOW,
    }
    return Journal(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("standing", "operation", "generation", "expected"),
    [
        (Standing.RUNNING, "a", 3, Admission.JOIN),
        (Standing.INTERRUPTED, "a", 3, Admission.RESUME),
        (Standing.ENDED, "a", 3, Admission.ANSWER),
        (Standing.RUNNING, "b", 4, Admission.SUPERSEDE),
        (Standing.INTERRUPTED, "b", 4, Admission.SUPERSEDE),
        (Standing.ENDED, "b", 4, Admission.BEGIN),
        (Standing.RUNNING, "b", 3, None),
        (Standing.ENDED, "b", 3, None),
        (Standing.ENDED, "b", 2, None),
        (Standing.ENDED, "a", 2, None),
        (Standing.RUNNING, "a", 4, None),
    ],
)
def test_admission(standing: Standing, operation: str, generation: int, expected: Admission | None) -> None:
    newest = Seen(operation="a", generation=3, standing=standing)
    if expected is not None:
        assert admit(newest, a_command(operation, generation)) is expected
        return
    with pytest.raises(Aborted) as refused:
        admit(newest, a_command(operation, generation))
    assert refused.value.reason == "STALE_GENERATION"


def test_what_was_never_seen_may_begin() -> None:
    assert seen(None) is None
    assert admit(None, a_command("a", 1)) is Admission.BEGIN


@pytest.mark.parametrize("phase", Phase)
def test_a_journal_without_work_in_hand_is_interrupted_or_ended(phase: Phase) -> None:
    newest = seen(a_journal(phase=phase))
    assert newest is not None
    assert newest.standing is (Standing.ENDED if phase is Phase.ENDED else Standing.INTERRUPTED)


class Fence(RuleBasedStateMachine):
    """Commands in any order, doubled, late and lost; the service crashes when it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.newest: Seen | None = None
        self.begun: list[tuple[int, str]] = []
        self.resumable = 0

    @rule(generation=st.integers(1, 6), operation=st.sampled_from("abc"))
    def command(self, generation: int, operation: str) -> None:
        name = f"{operation}{generation}"
        try:
            admission = admit(self.newest, a_command(name, generation))
        except Aborted:
            assert self.newest is not None
            assert generation <= self.newest.generation
            return
        if admission in (Admission.BEGIN, Admission.SUPERSEDE):
            self.begun.append((generation, name))
        else:
            assert (generation, name) == self.begun[-1], "only the newest is joined, resumed or answered"
        if admission is not Admission.ANSWER:
            self.newest = Seen(operation=name, generation=generation, standing=Standing.RUNNING)

    @rule()
    def end(self) -> None:
        self._stand(Standing.ENDED)

    @rule()
    def crash(self) -> None:
        if self.newest is not None and self.newest.standing is Standing.RUNNING:
            self._stand(Standing.INTERRUPTED)

    @invariant()
    def each_operation_begins_once_and_generations_grow(self) -> None:
        generations = [generation for generation, _ in self.begun]
        assert generations == sorted(set(generations))

    def _stand(self, standing: Standing) -> None:
        if self.newest is not None:
            self.newest = Seen(operation=self.newest.operation, generation=self.newest.generation, standing=standing)


TestFence = Fence.TestCase


@given(st.lists(st.sampled_from([DestroyGuest(), RemoveDisks(names=("a",)), RestoreDefinition(xml=None)]), max_size=6))
def test_the_first_undo_of_a_kind_is_the_truth(entries: list[object]) -> None:
    stack: tuple[object, ...] = ()
    for entry in entries:
        stack = push(stack, entry)  # type: ignore[arg-type, assignment]
    assert list(stack) == list(dict.fromkeys(entries))
    later = push(stack, RemoveDisks(names=("b",)))  # type: ignore[arg-type]
    assert [e for e in later if isinstance(e, RemoveDisks)] == (
        [RemoveDisks(names=("a",))] if RemoveDisks(names=("a",)) in entries else [RemoveDisks(names=("b",))]
    )


def test_a_tombstone_expires_after_a_week_and_nothing_else_does() -> None:
    late, early = NOW + timedelta(days=8), NOW + timedelta(days=6)
    tombstone = a_journal(phase=Phase.ENDED, deleted=True)
    assert tombstone.expired(late)
    assert not tombstone.expired(early)
    assert not a_journal(phase=Phase.ENDED).expired(late)
    assert not a_journal(phase=Phase.WORKING, deleted=True).expired(late)


@pytest.mark.parametrize("kind", errors.ALL)
def test_an_error_is_the_same_after_it_was_kept(kind: type[errors.ProtostarError]) -> None:
    error = kind(
        "words",
        reason="WHY",
        metadata={"step": "xml"},
        violations=[errors.FieldViolation("a.b", "bad")],
        resource=errors.Resource("image", "x"),
        precondition=errors.Precondition("LOCK", "i", "unlock"),
        retry_after=1.5,
    )
    again = Failure.of(error).error()
    assert type(again) is kind
    assert vars(again) == vars(error)
