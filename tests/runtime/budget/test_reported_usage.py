from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, Generation, LLMResult

from guardgraph.models.prices import price_of
from guardgraph.runtime.budget.reported_usage import CACHED, UsageReport, report_of

RUN, OTHER = UUID(int=1), UUID(int=2)


def message(read: Any = 80, written: Any = 20, *, id: str | None = f"lc_run--{RUN}-0", **facts: Any) -> AIMessage:
    """Return an answer of the call `RUN` with a report and other facts about it."""
    extra = facts.pop("usage", {})
    said = AIMessage("said", id=id, response_metadata=facts)
    total = {"input_tokens": read, "output_tokens": written, "total_tokens": 0, **extra}
    said.usage_metadata = total  # type: ignore[assignment] - as some clients do, past LangChain's own check
    return said


def report(*messages: AIMessage) -> UsageReport | None:
    return report_of(LLMResult(generations=[[ChatGeneration(message=one) for one in messages]]), RUN)


def test_a_call_reports_what_it_read_and_wrote() -> None:
    assert report(message(model_name="m")) == UsageReport(80, 20, {}, "m")


def test_generations_that_repeat_the_report_of_the_whole_call_are_counted_once() -> None:
    assert report(message(id="a"), message(id="b")) == UsageReport(80, 20, {}, None)


@pytest.mark.parametrize(
    "other", [message(80, 30), message(81, 20), message(80, 20, id="x"), message(80, 20, usage={"total_tokens": 1})]
)
def test_generations_with_reports_of_their_own_are_added_up(other: AIMessage) -> None:
    other.response_metadata = {"id": "another response"}

    found = report(message(), other)

    assert found is not None
    assert other.usage_metadata is not None
    assert (found.read, found.written) == (
        80 + other.usage_metadata["input_tokens"],
        20 + other.usage_metadata["output_tokens"],
    )


@pytest.mark.parametrize("given", ["80 tokens", [80, 20], 80])
def test_a_report_of_another_shape_is_none(given: Any) -> None:
    answer, partly = message(), message(usage={"input_token_details": given})
    answer.usage_metadata = given

    assert report(answer) is None
    assert report(partly) == UsageReport(80, 20, {}, None)


@pytest.mark.parametrize("cost", [0, 0.0])
@pytest.mark.parametrize("id_", [None, f"lc_run--{OTHER}-0"])
def test_an_answer_out_of_a_cache_is_known_by_the_id_of_another_call(cost: float, id_: str | None) -> None:
    assert report(message(id=id_, usage={"total_cost": cost})) is CACHED


def test_an_answer_with_an_id_of_the_provider_is_out_of_a_cache_when_it_comes_again() -> None:
    first, again = message(id=f"msg_{uuid4()}"), None
    assert report(first) == UsageReport(80, 20, {}, None)

    again = report_of(
        LLMResult(generations=[[ChatGeneration(message=message(id=first.id, usage={"total_cost": 0}))]]), uuid4()
    )

    assert again is CACHED


@pytest.mark.parametrize("id_", [f"lc_run--{RUN}-0", "msg_never_seen"])
def test_a_provider_that_reports_a_cost_of_zero_has_read_and_written_all_the_same(id_: str) -> None:
    assert report(message(id=id_, usage={"total_cost": 0})) == UsageReport(80, 20, {}, None)


def test_an_answer_of_another_call_that_has_no_cost_of_zero_counts() -> None:
    assert report(message(id=f"lc_run--{OTHER}-0")) == UsageReport(80, 20, {}, None)


def test_tokens_with_prices_of_their_own_are_named_as_the_table_of_prices_names_them() -> None:
    details = {
        "input_token_details": {"cache_read": 50, "cache_creation": 10, "audio": 0, "other": 9},
        "output_token_details": {"reasoning": 15},
    }

    found = report(message(usage=details))

    assert found is not None
    assert found.parts == {"cache_read_tokens": 50, "cache_write_tokens": 10, "output_reasoning_tokens": 15}


@pytest.mark.parametrize("in_all", [0, 800])
def test_what_is_kept_in_a_providers_cache_for_an_hour_costs_more(in_all: int) -> None:
    details = {"input_token_details": {"cache_creation": in_all, "ephemeral_1h_input_tokens": 800}}
    price = price_of("anthropic", "claude-sonnet-4-5")

    found = report(message(1_000, 100, usage=details))

    assert found is not None
    assert price is not None
    assert price.usd(found.read, found.written, found.parts) == Decimal("0.0069")


@pytest.mark.parametrize(
    ("read", "written"), [(0, 0), (None, None), (-5_000, 20), (80, -1), (80, "many"), (10**30, 1), (80, None)]
)
def test_what_cannot_be_is_no_report(read: Any, written: Any) -> None:
    assert report(message(read, written)) is None


def test_a_text_model_reports_nothing() -> None:
    assert report_of(LLMResult(generations=[[Generation(text="said")]]), RUN) is None
