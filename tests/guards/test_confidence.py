"""Results of which their agent is not sure enough are refused."""

from __future__ import annotations

from typing import Any

import pytest

from guardgraph.guards import Confidence, Finish
from guardgraph.state import BadGraph
from tests.guards.views import view_of_result


@pytest.mark.parametrize(
    ("stated", "action"), [(0.0, "trip"), (0.69, "trip"), (0.7, "pass"), (0.71, "pass"), (1.0, "pass")]
)
def test_trips_below_its_threshold(stated: float, action: str) -> None:
    verdict = Confidence(0.7)(view_of_result("so", confidence=stated))

    assert verdict.action == action
    assert (verdict.measured, verdict.limit) == (stated, 0.7)
    assert verdict.reason == ("" if action == "pass" else f"its confidence is {stated}, at least 0.7 is needed")


@pytest.mark.parametrize(("missing", "action"), [("pass", "pass"), ("trip", "trip")])
def test_what_is_not_stated_is_handled_as_declared(missing: Any, action: str) -> None:
    verdict = Confidence(0.7, missing=missing)(view_of_result("so"))

    assert verdict.action == action
    assert verdict.reason == ("" if action == "pass" else "it states no confidence; at least 0.7 is needed")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"at_least": -0.1}, "`at_least` must be from 0 to 1, got -0.1"),
        ({"at_least": 1.1}, "`at_least` must be from 0 to 1, got 1.1"),
        ({"at_least": float("nan")}, "`at_least` must be from 0 to 1, got nan"),
        ({"at_least": "high"}, "`at_least` must be float, got 'high'"),
        ({"at_least": True}, "`at_least` must be float"),
        ({"at_least": 0}, "`at_least=0` refuses nothing"),
        ({"missing": "maybe"}, '`missing` must be "pass" or "trip", got \'maybe\''),
        ({"missing": []}, '`missing` must be "pass" or "trip"'),
        ({"on_trip": "retry"}, "`on_trip` must be"),
    ],
)
def test_odd_fields_are_refused(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadGraph, match=reason):
        Confidence(**fields)


def test_a_threshold_of_zero_demands_that_something_is_stated() -> None:
    guard = Confidence(0, missing="trip", on_trip=Finish())

    assert guard(view_of_result("so", confidence=0)).action == "pass"
    assert guard(view_of_result("so")).action == "trip"


@pytest.mark.parametrize(("least", "stated", "action"), [(1, 0.99, "trip"), (1, 1.0, "pass"), (0, 0.0, "pass")])
def test_thresholds_from_nothing_to_certainty(least: float, stated: float, action: str) -> None:
    assert Confidence(least, missing="trip")(view_of_result("so", confidence=stated)).action == action
