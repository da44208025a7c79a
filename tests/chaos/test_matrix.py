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
_STOPS = (Verb.STOP, Verb.GRACEFUL_STOP)
# Where image_svc and netblock_svc have no part, killing them tries nothing.
_IRRELEVANT = {("image", Verb.SOFT_REBOOT), *((who, verb) for who in ("image", "netblock") for verb in _STOPS)}
# What `make test` has time for: the worker everywhere, the others where most can go wrong.
_SHORT = {
    *(("compute", verb) for verb in Verb),
    *(("all", verb) for verb in (Verb.CREATE, Verb.START, Verb.DELETE)),
    *((who, verb) for who in ("api", "image") for verb in (Verb.CREATE, Verb.DELETE)),
    ("netblock", Verb.CREATE),
}
MATRIX = [
    pytest.param(who, verb, id=f"{who}-{verb}", marks=() if (who, verb) in _SHORT else pytest.mark.full)
    for who in VICTIMS
    for verb in Verb
    if (who, verb) not in _IRRELEVANT
]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("who", "verb"), MATRIX)
def test_everything_ends_well_after_a_kill(ground: Field, who: str, verb: Verb) -> None:
    ground.wave(verb, points.passed(verb), VICTIMS[who])
