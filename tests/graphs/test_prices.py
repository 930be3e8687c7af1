"""Prices of one's own, and models whose price is unknown."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models import GenericFakeChatModel

from guardgraph.agents import Agent, GuardMiddleware
from guardgraph.graphs import Assumptions, estimate, guarded, pipeline, supervisor
from guardgraph.guards import Budget, Guard
from guardgraph.models.offline import ScriptedModel
from guardgraph.state import BadGraph, Outcome, Price, Request

PRICE = Price(input="2", output="10")
ONE_CALL = Decimal("0.003")
"""What a call costs that reads 1,000 tokens and writes 100."""


class Named(ScriptedModel):
    """A model of a provider that is in no table."""

    provider: str = "inhouse"
    named: str | None = "large"

    def _get_ls_params(self, stop: Any = None, **kwargs: Any) -> Any:
        return {"ls_provider": self.provider, **({"ls_model_name": self.named} if self.named else {})}


def model(**fields: Any) -> Named:
    return Named(replies=lambda _: "said", input_tokens=1_000, output_tokens=100, **fields)


def money() -> Budget:
    return Budget(usd="1", reserve=0)


def outcome_of(graph: Any) -> Outcome:
    return graph.compile().invoke({"task": "Do it"})["outcome"]


def a_team(used: Any, *guards: Guard, name: str = "team") -> Any:
    return pipeline([Agent("a", model=used, max_tokens=100)], guards=guards, name=name)


@pytest.mark.parametrize("key", ["large", "inhouse:large", "inhouse:*"])
def test_a_declared_price_is_counted(key: str) -> None:
    outcome = outcome_of(a_team(model(), Budget(usd="1", prices={key: PRICE})))

    assert (outcome.status, outcome.usage.usd) == ("completed", ONE_CALL)


def test_the_exact_name_comes_before_that_of_all_models_of_a_provider() -> None:
    prices = {"inhouse:*": Price(50, 50), "large": PRICE}

    assert outcome_of(a_team(model(), Budget(usd="1", prices=prices))).usage.usd == ONE_CALL


def test_it_comes_before_the_table() -> None:
    listed = model(provider="openai", named="gpt-5-mini")

    assert outcome_of(a_team(listed, money())).usage.usd != ONE_CALL
    assert outcome_of(a_team(listed, Budget(usd="1", prices={"gpt-5-mini": PRICE}))).usage.usd == ONE_CALL


def test_it_is_counted_where_only_tokens_are_limited() -> None:
    assert outcome_of(a_team(model(), Budget(tokens=10_000))).usage.usd is None
    assert outcome_of(a_team(model(), Budget(tokens=10_000, prices={"large": PRICE}))).usage.usd == ONE_CALL


def test_calls_are_stopped_before_the_money_is_spent() -> None:
    used = model()

    def calls(request: Request) -> str:
        return " ".join(used.invoke("Write.", max_tokens=100).text for _ in range(9))

    team = pipeline([Agent("a", run=calls)], guards=[Budget(usd="0.010", reserve=0, prices={"large": PRICE})])
    outcome = outcome_of(team)

    assert outcome.usage.usd == 3 * ONE_CALL
    assert used.calls == 3
    assert outcome.status != "completed"


def test_the_price_of_the_outer_team_holds_in_the_team_below() -> None:
    inner = a_team(model(), Budget(usd="0.5", prices={"large": Price(0, 0), "other": PRICE}), name="inner").compile()
    outer = pipeline([Agent("inner", run=inner)], guards=[Budget(usd="1", prices={"large": PRICE})])

    assert outcome_of(outer).usage.usd == ONE_CALL


def test_a_team_below_declares_what_the_outer_one_does_not() -> None:
    inner = a_team(model(), Budget(tokens=9_000, prices={"large": PRICE}), name="inner").compile()

    assert outcome_of(pipeline([Agent("inner", run=inner)], guards=[money()])).usage.usd == ONE_CALL


def test_it_holds_inside_one_agent_and_around_any_graph() -> None:
    budget = Budget(usd="1", reserve=0, prices={"large": PRICE})
    alone = create_agent(model(), middleware=[GuardMiddleware([budget], max_tokens=100)])
    plain = guarded(create_agent(model()), [budget]).compile()

    graphs: list[Any] = [alone, plain]
    for graph in graphs:
        output = graph.invoke({"messages": [("user", "Do it")]})
        assert (output["outcome"].status, output["outcome"].usage.usd) == ("completed", ONE_CALL)


def test_an_agent_with_guards_of_its_own_has_the_prices_of_its_team() -> None:
    loop = create_agent(model(), middleware=[GuardMiddleware([Budget(usd="1", reserve=0)], max_tokens=100)])
    team = pipeline([Agent("a", run=loop)], guards=[Budget(usd="1", reserve=0, prices={"large": PRICE})])

    assert outcome_of(team).usage.usd == ONE_CALL


def test_an_estimate_has_it() -> None:
    assumed = Assumptions(input_tokens=1_000, output_tokens=100)
    inner = pipeline([Agent("deep", model=model())], guards=[Budget(calls=9, prices={"large": Price(0, 0)})])
    team = pipeline(
        [Agent("a", model=model()), Agent("inner", run=inner.compile())],
        guards=[Budget(usd="1", prices={"large": PRICE})],
    )

    assert estimate(team, assumed).expected.usd == 2 * ONE_CALL
    assert estimate(inner, assumed).expected.usd == 0


def test_money_without_a_price_is_refused_when_the_team_is_built() -> None:
    with pytest.raises(BadGraph) as caught:
        a_team(model(), Budget(usd="1"))

    assert str(caught.value) == (
        "team: `Budget(usd=…)` limits money, and the model 'inhouse:large' of agent 'a' has no price in the table of "
        "`genai-prices`: declare it by `Budget(prices={'inhouse:large': Price(…)})`, with `Price(0, 0)` for a model "
        "that costs nothing, or limit `tokens` instead of `usd`"
    )


@pytest.mark.parametrize(
    ("used", "key"),
    [
        (GenericFakeChatModel(messages=iter([])), "genericfakechatmodel:*"),
        (model(named=None), "inhouse:*"),
        (model(provider="openai", named="gpt-99"), "openai:gpt-99"),
    ],
)
def test_the_error_has_the_name_under_which_the_price_is_declared(used: Any, key: str) -> None:
    with pytest.raises(BadGraph) as caught:
        a_team(used, Budget(usd="1", tokens=9_000))

    assert f"prices={{'{key}': Price(…)}}" in str(caught.value)
    a_team(used, Budget(usd="1", tokens=9_000, prices={key: Price(0, 0)}))


@pytest.mark.parametrize(
    "budget", [Budget(usd="1", per="agent"), Budget(usd="1") | Budget(usd="2"), Budget(calls=1) & Budget(usd=1)]
)
def test_every_budget_of_money_is_meant(budget: Guard) -> None:
    with pytest.raises(BadGraph, match="'inhouse:large' of agent 'a'"):
        a_team(model(), budget)


def test_one_for_some_tasks_alone_is_not() -> None:
    a_team(model(), Budget(usd="1").only(categories={"financial"}))
    a_team(model(), Budget(tokens=9))


def test_an_agent_of_a_team_below_is_named_with_its_path() -> None:
    inner = a_team(model(), Budget(tokens=9_000), name="inner").compile()

    with pytest.raises(BadGraph, match="of agent 'inner/a'"):
        pipeline([Agent("inner", run=inner)], guards=[Budget(usd="1")])


def test_each_of_several_models_and_every_fallback_needs_one() -> None:
    cheap = Agent("a", models={"cheap": ScriptedModel(replies=["x"]), "strong": model()})
    with pytest.raises(BadGraph, match="'inhouse:large' of agent 'a'"):
        pipeline([cheap], guards=[Budget(usd="1")])
    with pytest.raises(BadGraph, match="'inhouse:large' of agent 'spare'"):
        pipeline([Agent("a", run=len, fallback=Agent("spare", model=model()))], guards=[Budget(usd="1")])
    with pytest.raises(BadGraph, match="'inhouse:large' of agent 'p'"):
        supervisor(planner=Agent("p", model=model()), workers=[Agent("w", run=len)], guards=[Budget(usd="1")])


def test_a_call_in_code_whose_price_is_unknown_is_not_made_and_named() -> None:
    used = model()
    team = pipeline([Agent("a", run=lambda request: used.invoke("Write.").text)], guards=[money()])
    outcome = outcome_of(team)

    assert (used.calls, outcome.status, outcome.usage.usd) == (0, "failed", 0)
    assert outcome.gaps[0].reason.endswith(
        "the price of the model 'inhouse:large' is unknown, so money cannot be limited; give it by "
        "`Budget(prices={'inhouse:large': Price(…)})`, or limit tokens instead"
    )


@pytest.mark.parametrize(
    ("prices", "says"),
    [
        ([], "`prices` must map names of models to prices"),
        ("large", "`prices` must map names of models to prices"),
        ({"large": "2"}, "what 'large' has is no `Price`: '2'"),
        ({"large": 2}, "what 'large' has is no `Price`: 2"),
        ({1: PRICE}, "a name is that of a model, or `provider:model`; got 1"),
        ({"": PRICE}, "a name is that of a model"),
        ({":large": PRICE}, "a name is that of a model"),
        ({"inhouse:": PRICE}, "a name is that of a model"),
        ({" large": PRICE}, "a name is that of a model"),
    ],
)
def test_what_is_no_table_of_prices_is_refused(prices: Any, says: str) -> None:
    with pytest.raises(BadGraph) as caught:
        Budget(usd="1", prices=prices)

    assert says in str(caught.value)


def test_two_prices_for_one_model_in_one_team_are_refused() -> None:
    with pytest.raises(BadGraph, match="`prices` of two Budgets give 'large' different prices"):
        a_team(model(), Budget(usd="1", prices={"large": PRICE}), Budget(calls=9, prices={"large": Price(0, 0)}))

    a_team(model(), Budget(usd="1", prices={"large": PRICE}), Budget(calls=9, prices={"large": PRICE}))
