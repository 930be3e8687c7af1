"""Every way of running gives the same outcome: all pairs of ways, storages, agents, behaviours and patterns.

GUARDGRAPH_CONFORMANCE=all runs every combination (`make conformance`), GUARDGRAPH_CONFORMANCE=2000 so many by chance.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby

import pytest

from guardgraph.testing import Storage
from tests.conformance.cases import ALL, Case, cases
from tests.conformance.trials import problems

GROUPS = [list(group) for _, group in groupby(cases(), key=(lambda case: case[:4]) if ALL else None)]
"""The cases; in the whole product all behaviours and patterns of the same four others at once."""


@pytest.mark.parametrize(
    "group", GROUPS, ids=lambda group: str(group[0]) if len(group) == 1 else ", ".join(group[0][:4])
)
def test_every_way_of_running_gives_the_same_outcome(group: list[Case], places: Mapping[str, Storage]) -> None:
    found = {str(case): problems(case, places) for case in group}

    assert not {case: why for case, why in found.items() if why}
