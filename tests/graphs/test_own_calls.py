"""What an agent's own code calls: teams under a cap on workers and money, and models with callbacks of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from threading import Barrier, Event
from time import sleep
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler, CallbackManager
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableConfig

from guardgraph.agents import Agent
from guardgraph.graphs import supervisor
from guardgraph.guards import Budget, Convergence, Guard
from guardgraph.models.offline import ScriptedModel
from guardgraph.state import Plan, Request, Subtask
from tests.graphs.teams import WAYS, plan_of, speaker, team

IDS = ("a", "b", "c", "d", "e", "f")
COST = 100


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("is_async", [False, True])
def test_functions_that_call_a_team_do_not_wait_for_money_with_a_slot_in_their_hands(
    way: str, concurrency: int, is_async: bool
) -> None:
    inner = team(plan_of("x", "y"), workers=[speaker("leaf", read=80, written=20, delay=0.005)]).compile()

    def calls(request: Request) -> str:
        return str(inner.invoke({"task": request.goal})["outcome"].value)

    async def acalls(request: Request) -> str:
        return str((await inner.ainvoke({"task": request.goal}))["outcome"].value)

    graph = team(
        plan_of(*IDS),
        workers=[Agent("worker", run=acalls if is_async else calls)],
        guards=[Budget(tokens=100 * COST)],
        concurrency=concurrency,
    ).compile()

    outcome = WAYS[way](graph, "the task", None)

    assert (outcome.status, outcome.value) == ("completed", ["['said', 'said']"] * 6), outcome.gaps
    assert outcome.usage.tokens == 12 * COST


class Listens(BaseCallbackHandler):
    """A user's own callback."""

    def __init__(self) -> None:
        self.heard = 0

    def on_chat_model_start(self, *_: Any, **__: Any) -> None:
        self.heard += 1


OWN: dict[str, Callable[[Listens], RunnableConfig]] = {
    "a list": lambda mine: {"callbacks": [mine]},
    "a manager": lambda mine: {"callbacks": CallbackManager([mine])},
    "with other config": lambda mine: {"callbacks": [mine], "run_name": "mine", "configurable": {"thread_id": "own"}},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("own", OWN)
def test_callbacks_that_a_call_is_given_are_heard_and_leave_the_meter_in_force(
    way: str, is_async: bool, own: str
) -> None:
    mine = Listens()
    model = ScriptedModel(replies=lambda _: "said", input_tokens=80, output_tokens=20, max_tokens=20)

    def calls(request: Request) -> str:
        return [model.invoke(request.goal, OWN[own](mine)) for _ in range(10)][-1].text

    async def acalls(request: Request) -> str:
        said = await asyncio.gather(*(model.ainvoke(request.goal, OWN[own](mine)) for _ in range(10)))
        return said[-1].text

    workers = [Agent("worker", run=acalls if is_async else calls, expected_cost=10 * COST)]
    graph = team(plan_of(*IDS), workers=workers, guards=[Budget(tokens=40 * COST, reserve=0.25)]).compile()

    outcome = WAYS[way](graph, "the task", None)

    assert (outcome.status, outcome.stopped_by, outcome.value) == ("degraded", "Budget", ["said"] * 3)
    assert (outcome.usage.tokens, mine.heard) == (30 * COST, 30)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["function", "team"])
@pytest.mark.parametrize(("budget", "expects"), [(20_000, None), (16_000, None), (2_000, 500), (2_000, 50)])
def test_agents_within_two_attempts_do_not_wait_for_each_others_ends(
    way: str, kind: str, budget: int, expects: int | None
) -> None:
    model = ScriptedModel(replies=lambda _: "thought", input_tokens=10, output_tokens=10, delay=0.02)

    def plan(request: Request) -> Plan:
        model.invoke("what is to do?")
        return Plan() if request.results or request.gaps else plan_of("x")

    inner = supervisor(
        planner=Agent("planner", run=plan), workers=[speaker("leaf", read=10, written=10)], guards=[]
    ).compile()

    def calls(request: Request) -> Any:
        return inner.invoke({"task": request.goal})["outcome"].value

    run = calls if kind == "function" else inner
    graph = team(
        plan_of("a", "b"), workers=[Agent("worker", run=run, expected_cost=expects)], guards=[Budget(tokens=budget)]
    ).compile()

    outcome = WAYS[way](graph, "the task", None)

    assert outcome.status == "completed", outcome.gaps
    assert outcome.usage.tokens == 2 * 3 * 20


class Wraps(BaseChatModel):
    """A chat model that asks another one."""

    inner: ScriptedModel

    @property
    def _llm_type(self) -> str:
        return "wraps"

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        said = self.inner.invoke(messages)
        return ChatResult(
            generations=[ChatGeneration(message=AIMessage(said.text, usage_metadata=said.usage_metadata))]
        )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("guards", [[], [Budget(calls=2, reserve=0)]], ids=["no guard of its own", "a budget"])
@pytest.mark.parametrize("share", [None, 0.5])
def test_a_team_goes_on_while_calls_beside_it_hold_the_whole_budget(
    way: str, guards: list[Guard], share: float | None
) -> None:
    all_there, ended = Barrier(3), Event()

    def wait(_: Any) -> str:
        all_there.wait(5)
        return f"the team had ended: {ended.wait(5)}"

    model = ScriptedModel(replies=wait)

    def hold(request: Request) -> list[str]:
        return [reply.text for reply in model.batch(["one", "two"])]

    def plan(request: Request) -> Plan:
        if request.results or request.gaps:
            return Plan()
        all_there.wait(5)
        return plan_of("x")

    def leaf(request: Request) -> str:
        return "done"

    def gathered(request: Request) -> list[Any]:
        ended.set()
        return [result.value for result in request.results]

    inner = supervisor(
        planner=Agent("planner", run=plan, expected_cost=0),
        workers=[Agent("leaf", run=leaf, expected_cost=0)],
        synthesizer=Agent("writer", run=gathered, expected_cost=0),
        guards=guards,
    )
    both = Plan(
        subtasks=(
            Subtask(id="a", goal="hold", skill="holder"),
            Subtask(id="b", goal="go on", skill="team", share=share),
        )
    )
    graph = team(
        both,
        workers=[Agent("holder", run=hold), Agent("team", run=inner.compile(), expected_cost=0)],
        guards=[Budget(calls=2, reserve=0), Convergence(1)],
    ).compile()

    outcome = WAYS[way](graph, "the task", None)

    assert (outcome.status, outcome.value) == ("completed", [["the team had ended: True"] * 2, ["done"]]), outcome.gaps


def model(**facts: Any) -> ScriptedModel:
    return ScriptedModel(replies=lambda _: "said", input_tokens=10, output_tokens=10, **facts)


def reads(request: Request) -> str:
    """Ask something else while an answer is being read."""
    speaks = model()
    return "".join(f"{part.text}{speaks.invoke('and?').text}" for part in speaks.stream("hello"))


async def areads(request: Request) -> str:
    speaks = model()
    said = [f"{part.text}{(await speaks.ainvoke('and?')).text}" async for part in speaks.astream("hello")]
    return "".join(said)


WITHIN = {
    "a model within a model": Agent("worker", model=Wraps(inner=model())),
    "a call while a stream is read": Agent("worker", run=reads),
    "a call while an asynchronous stream is read": Agent("worker", run=areads),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("agent", WITHIN)
@pytest.mark.parametrize(("budget", "status"), [(3_000, "failed"), (8_000, "failed"), (100_000, "completed")])
def test_a_call_within_a_call_does_not_wait_for_the_one_around_it(
    way: str, agent: str, budget: int, status: str
) -> None:
    graph = team(plan_of("a"), workers=[WITHIN[agent]], guards=[Budget(tokens=budget)], synthesizer=None).compile()

    outcome = WAYS[way](graph, "the task", None)

    assert outcome.status == status, outcome.gaps
    assert outcome.usage.tokens <= budget
    assert status == "completed" or "tokens wanted" in outcome.gaps[0].reason


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["function", "team"])
def test_below_an_agent_whose_time_was_over_nobody_begins_and_nothing_is_spent(way: str, kind: str) -> None:
    began, speaks = list[str](), model()

    def leaf(request: Request) -> str:
        began.append(request.goal)
        sleep(0.1)
        return speaks.invoke("a word").text

    inner = team(plan_of(*IDS), workers=[Agent("leaf", run=leaf)], concurrency=1, guards=[]).compile()

    def calls(request: Request) -> Any:
        return inner.invoke({"task": request.goal})["outcome"].value

    worker = Agent("worker", run=calls if kind == "function" else inner, timeout=0.25)
    graph = team(plan_of("a"), workers=[worker], guards=[Budget(tokens=100_000)]).compile()

    outcome = WAYS[way](graph, "the task", None)
    at_the_end, spoken = len(began), speaks.calls
    sleep(0.5)

    assert outcome.status == "failed"
    assert (len(began), speaks.calls) == (at_the_end, spoken)
    assert outcome.usage.calls == spoken
