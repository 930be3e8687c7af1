"""Values fit what was declared, or go back with the reason."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from guardgraph.guards import Retry, Schema, evaluate_guards
from guardgraph.state import AgentError, BadGraph, ResultStatus
from tests.guards.views import view_of_result


class Offer(BaseModel):
    vendor: str
    price: int


class Exact(BaseModel):
    model_config = ConfigDict(strict=True)

    until: date
    price: Decimal
    pages: tuple[int, ...]


def dear(offer: Offer) -> str | None:
    return f"{offer.price} is too dear" if offer.price > 100 else None


@pytest.mark.parametrize(("price", "action"), [(99, "pass"), (100, "pass"), (101, "trip")])
def test_a_check_is_given_the_model_and_returns_the_reason(price: int, action: str) -> None:
    verdict = Schema(Offer, check=dear)(view_of_result({"vendor": "A", "price": price}))

    assert verdict.action == action
    assert verdict.reason == ("101 is too dear" if action == "trip" else "")


def test_without_a_model_a_check_is_given_the_bare_value() -> None:
    assert Schema(check=lambda value: f"got {value!r}")(view_of_result([1, 2])).reason == "got [1, 2]"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"vendor": "A"}, "the value does not fit: price: Field required"),
        ({"price": 1, "vendor": 2}, "the value does not fit: vendor: Input should be a valid string"),
        (None, "the value does not fit: value: Input should be an object"),
        ("A", "the value does not fit: value: Input should be an object"),
    ],
)
def test_what_does_not_fit_goes_back_with_the_place_of_the_fault(value: Any, reason: str) -> None:
    verdict = Schema(Offer)(view_of_result(value))

    assert (verdict.action, verdict.reason) == ("trip", reason)


def test_a_thousand_faults_give_a_reason_that_can_be_read() -> None:
    verdict = Schema(list[Offer])(view_of_result([{"vendor": "secret" * 100}] * 1_000))

    assert verdict.reason.endswith("and 995 more")
    assert len(verdict.reason) < 500
    assert "secret" not in verdict.reason


def test_json_data_fits_a_strict_model() -> None:
    value = Exact(until=date(2030, 1, 1), price=Decimal("1.10"), pages=(1, 2)).model_dump(mode="json")

    assert Schema(Exact)(view_of_result(value)).action == "pass"


@pytest.mark.parametrize(("model", "value"), [(int, 3), (list[str], ["a"]), (dict[int, str], {"1": "a"}), (None, None)])
def test_any_type_may_be_declared(model: Any, value: Any) -> None:
    assert Schema(model)(view_of_result(value)).action == "pass"


def test_a_value_unfit_for_the_agents_own_output_is_refused_without_any_argument() -> None:
    error = AgentError(kind="invalid", message="price: Field required")

    verdict = Schema()(view_of_result(status="failed", error=error))

    assert (verdict.action, verdict.reason) == ("trip", "price: Field required")


@pytest.mark.parametrize("status", ["failed", "timeout", "skipped"])
def test_a_result_without_a_value_is_left_to_others(status: ResultStatus) -> None:
    error = AgentError(kind="raised", message="boom")

    assert Schema(Offer, check=dear)(view_of_result(status=status, error=error)).action == "pass"


@pytest.mark.parametrize("status", ["ok", "partial", "provisional"])
def test_every_value_must_fit_also_a_partial_one(status: ResultStatus) -> None:
    assert Schema(Offer)(view_of_result("half a", status=status)).action == "trip"


def test_a_check_that_raises_trips() -> None:
    told = evaluate_guards([Schema(check=lambda value: value["absent"])], view_of_result({}))

    assert told.trip is not None
    assert told.trip.reason == "guard 'Schema' raised KeyError: 'absent'"
    assert told.on_trip == Retry(1)


@pytest.mark.parametrize("answer", [True, False])
def test_a_check_that_answers_yes_or_no_is_an_error(answer: Any) -> None:
    with pytest.raises(TypeError, match=f"`check` must return None or a reason, got {answer}"):
        Schema(check=lambda value: answer)(view_of_result(1))


def test_it_asks_to_see_failures_too() -> None:
    assert Schema.judges_failures


@pytest.mark.parametrize("model", [3, object()], ids=["number", "object"])
def test_a_model_that_is_no_type_is_refused_when_it_is_declared(model: Any) -> None:
    with pytest.raises(BadGraph, match="`model` must be a type that pydantic can check, got"):
        Schema(model)


def test_an_agent_that_compensates_has_a_name() -> None:
    assert Schema(compensate="clerk").compensate == "clerk"
    with pytest.raises(BadGraph, match="`compensate` is empty"):
        Schema(compensate=" ")
