"""Random teams that share too little, for tests of how far a budget may be overshot."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from random import Random
from threading import Lock
from typing import Any, Literal

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.utils import count_tokens_approximately

from guardgraph.agents import Agent
from guardgraph.guards import Budget
from guardgraph.models.offline import ScriptedModel
from guardgraph.state import Outcome, Plan, Request, Subtask
from tests.graphs.teams import WAYS, team

Shape = Literal["model", "threads", "batch", "generate", "gather", "abatch", "both", "team", "one call"]
SHAPES: tuple[Shape, ...] = ("model", "threads", "batch", "generate", "gather", "abatch", "both", "team", "one call")


@dataclass(frozen=True)
class Case:
    """One team, and how wrong what it counts is."""

    seed: int
    way: str
    shape: Shape
    workers: int
    """How many attempts there are."""
    concurrency: int
    calls: int
    """How many calls an attempt makes at once."""
    size: int
    """How many characters a goal has."""
    factor: float
    """How many times as many tokens are read as counted."""
    spread: float
    """By how much that differs from call to call: from `factor` to `factor * spread`."""
    written: int
    bounded: bool
    """Whether `max_tokens` is known."""
    declared: float | None
    """`expects`, as a part of what an attempt costs; `None` declares nothing."""
    paid: float
    """For how many attempts the budget pays."""
    delay: float


@dataclass
class Model:
    """What the model of a case has reported."""

    case: Case
    costs: list[int] = field(default_factory=list[int])
    lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self.random = Random(self.case.seed)

    def reply(self, messages: list[BaseMessage]) -> AIMessage:
        case = self.case
        with self.lock:
            factor = case.factor * self.random.uniform(1, case.spread)
            read = max(int(count_tokens_approximately(messages) * factor), 1)
            self.costs.append(read + case.written)
        usage = UsageMetadata(input_tokens=read, output_tokens=case.written, total_tokens=read + case.written)
        return AIMessage("said", usage_metadata=usage)

    @property
    def chat(self) -> ScriptedModel:
        most = self.case.written if self.case.bounded else None
        return ScriptedModel(replies=self.reply, max_tokens=most, delay=self.case.delay)


def case_of(seed: int, **facts: Any) -> Case:
    """Return a case; the same for the same seed."""
    random = Random(seed)
    drawn: dict[str, Any] = {
        "way": random.choice(tuple(WAYS)),
        "shape": random.choice(SHAPES),
        "workers": random.randint(1, 20),
        "concurrency": random.choice((1, 2, 4, 20)),
        "calls": random.choice((1, 2, 5, 20)),
        "size": random.choice((1, 100, 1_000, 10_000)),
        "factor": random.choice((0.5, 1, 2, 4, 10, 40)),
        "spread": 1,
        "written": random.choice((1, 20, 200, 2_000)),
        "bounded": random.random() < 0.5,
        "declared": random.choice((None, None, 1, 1.5)),
        "paid": random.choice((0.2, 0.9, 1.5, 3, 7, 15, 40)),
        "delay": random.choice((0, 0.001, 0.004)),
    }
    return Case(seed, **(drawn | facts))


def run(case: Case) -> tuple[Outcome, Model, int]:
    """Run a case; return its outcome, what its calls have cost, and the budget."""
    goal = "x" * case.size
    model = Model(case)
    calls = 1 if case.shape in ("model", "team", "one call") else case.calls
    counted = count_tokens_approximately([goal]) + 40
    each = max(int(calls * (counted * case.factor * (1 + case.spread) / 2 + case.written)), 1)
    budget = max(int(each * case.paid), 1)
    expects = None if case.declared is None else int(each * case.declared)
    plan = Plan(subtasks=tuple(Subtask(id=f"s-{n}", goal=goal) for n in range(case.workers)))
    worker = _worker(case, model, calls, expects)
    guards = [Budget(tokens=budget, reserve=0)]
    graph = team(plan, workers=[worker], guards=guards, concurrency=case.concurrency).compile()
    return WAYS[case.way](graph, "the task", None), model, budget


def _worker(case: Case, model: Model, calls: int, expects: int | None) -> Agent:
    chat, most = model.chat, case.written if case.bounded else None
    if case.shape == "model":
        return Agent("worker", model=chat, expected_cost=expects, max_tokens=most)
    if case.shape == "team":
        leaf = Agent("leaf", model=chat, max_tokens=most)
        inner = team(Plan(subtasks=(Subtask(id="x", goal="x" * case.size),)), workers=[leaf], guards=[]).compile()
        return Agent("worker", run=inner, expected_cost=expects)
    return Agent("worker", run=_FUNCTIONS[case.shape](chat, calls), expected_cost=expects)


def _one(chat: ScriptedModel, calls: int) -> Callable[[Request], Any]:
    return lambda request: chat.invoke(request.goal).text


def _threads(chat: ScriptedModel, calls: int) -> Callable[[Request], Any]:
    def work(request: Request) -> str:
        with ThreadPoolExecutor(calls) as pool:
            said = [pool.submit(copy_context().run, chat.invoke, request.goal) for _ in range(calls)]
        return said[0].result().text

    return work


def _batch(chat: ScriptedModel, calls: int) -> Callable[[Request], Any]:
    return lambda request: chat.batch([request.goal] * calls)[0].text


def _generate(chat: ScriptedModel, calls: int) -> Callable[[Request], Any]:
    from langchain_core.messages import HumanMessage

    return lambda request: chat.generate([[HumanMessage(request.goal)]] * calls).generations[0][0].text


def _gather(chat: ScriptedModel, calls: int) -> Callable[[Request], Any]:
    async def work(request: Request) -> str:
        return (await asyncio.gather(*(chat.ainvoke(request.goal) for _ in range(calls))))[0].text

    return work


def _abatch(chat: ScriptedModel, calls: int) -> Callable[[Request], Any]:
    async def work(request: Request) -> str:
        return (await chat.abatch([request.goal] * calls))[0].text

    return work


def _both(chat: ScriptedModel, calls: int) -> Callable[[Request], Any]:
    async def work(request: Request) -> str:
        in_threads = [asyncio.to_thread(chat.invoke, request.goal) for _ in range(calls // 2)]
        on_the_loop = [chat.ainvoke(request.goal) for _ in range(calls - calls // 2)]
        return (await asyncio.gather(*in_threads, *on_the_loop))[-1].text

    return work


_FUNCTIONS = {
    "one call": _one,
    "threads": _threads,
    "batch": _batch,
    "generate": _generate,
    "gather": _gather,
    "abatch": _abatch,
    "both": _both,
}
