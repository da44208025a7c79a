"""What hosts said of guests, between being heard and being written."""

from __future__ import annotations

from api_svc.domain.observation import Observation
from api_svc.domain.states import PowerState


class Sightings:
    """The latest of each instance, until it was written or found to change nothing.

    It also remembers what this replica wrote last, so that the end of a start, which tells of the running guest, is not
    followed by another look into the database when the host's own report of the same arrives.
    """

    def __init__(self) -> None:
        self._latest: dict[str, tuple[Observation, float]] = {}
        self._written: dict[str, tuple[PowerState, int]] = {}

    def note(self, seen: Observation, at: float) -> bool:
        """Keep it, unless a later one is kept already, or it says what was written last; whether it was kept."""
        known = self._latest.get(seen.uid)
        if known is not None and seen.is_older_than(known[0].observed_at):
            return False
        if self._written.get(seen.uid) == (seen.power_state, seen.generation):
            self._latest.pop(seen.uid, None)
            return False
        self._latest[seen.uid] = (seen, known[1] if known else at)
        return True

    def latest(self, uid: str) -> Observation | None:
        """Of one instance, if it is not written yet."""
        known = self._latest.get(uid)
        return known[0] if known else None

    def waiting(self) -> list[tuple[Observation, float]]:
        """All that are kept, and since when."""
        return list(self._latest.values())

    def settle(self, seen: Observation) -> None:
        """It was written, or changed nothing; a later one that says something else stays."""
        self._written[seen.uid] = said = (seen.power_state, seen.generation)
        known = self._latest.get(seen.uid)
        if known is None:
            return
        if not known[0].is_later_than(seen.observed_at) or (known[0].power_state, known[0].generation) == said:
            del self._latest[seen.uid]

    def forget(self, uid: str) -> None:
        """What was known of it counts no more; whatever is heard next is written."""
        self._latest.pop(uid, None)
        self._written.pop(uid, None)
