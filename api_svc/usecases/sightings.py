"""The latest that hosts said of guests, before it is written."""

from __future__ import annotations

from api_svc.domain.observation import Observation


class Sightings:
    """By instance; one is there until it was written or found to change nothing."""

    def __init__(self) -> None:
        self._latest: dict[str, Observation] = {}

    def note(self, seen: Observation) -> None:
        """Keep it, unless a later one is kept already."""
        known = self._latest.get(seen.uid)
        if known is None or known.observed_at <= seen.observed_at:
            self._latest[seen.uid] = seen

    def latest(self, uid: str) -> Observation | None:
        """Of one instance."""
        return self._latest.get(uid)

    def waiting(self) -> list[Observation]:
        """All that are kept."""
        return list(self._latest.values())

    def settle(self, seen: Observation) -> None:
        """It was written, or changed nothing; a later one stays."""
        if self._latest.get(seen.uid) == seen:
            del self._latest[seen.uid]
