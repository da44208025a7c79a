"""kill -9 of each service, and of all at once, at each point that each verb passes: then everything must be well."""

from __future__ import annotations

import pytest

from tests.chaos import points
from tests.chaos.arena import ALL
from tests.chaos.points import Verb
from tests.chaos.wave import Field

VICTIMS = {
    "compute": ("compute_svc",),
    "api": ("api_svc",),
    "image": ("image_svc",),
    "netblock": ("netblock_svc",),
    "all": ALL,
}
# Where image_svc and netblock_svc have no part, killing them tries nothing.
_STOPS = (Verb.STOP, Verb.GRACEFUL_STOP)
IRRELEVANT = {("image", Verb.SOFT_REBOOT), *((who, verb) for who in ("image", "netblock") for verb in _STOPS)}
MATRIX = [(who, verb) for who in VICTIMS for verb in Verb if (who, verb) not in IRRELEVANT]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("who", "verb"), MATRIX, ids=[f"{who}-{verb}" for who, verb in MATRIX])
def test_everything_ends_well_after_a_kill(ground: Field, who: str, verb: Verb) -> None:
    ground.wave(verb, points.passed(verb), VICTIMS[who])
