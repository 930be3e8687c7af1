"""Where in the tree of teams an agent works."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from guardgraph.state import DelegationScope

KNOWN = {"run_id": "r", "account": "r", "spending_account": "r/work", "started": "2030-01-01T00:00:00Z"}


@pytest.mark.parametrize("reserve", [0, 0.2, 1])
def test_a_reserve_from_0_to_1_passes(reserve: float) -> None:
    assert DelegationScope.model_validate({**KNOWN, "reserve": reserve}).reserve == reserve


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"depth": -1}, r"depth\n  Input should be greater than or equal to 0"),
        ({"reserve": -0.1}, r"reserve\n  Input should be greater than or equal to 0"),
        ({"reserve": 1.1}, r"reserve\n  Input should be less than or equal to 1"),
        ({"started": "2030-01-01T00:00:00"}, r"started\n  Input should have timezone info"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        DelegationScope.model_validate({**KNOWN, **fields})
