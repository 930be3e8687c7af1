"""Random trees of teams, and what every agent in them is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
from random import Random
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.tools import StructuredTool

from guardgraph.agents import Agent
from guardgraph.graphs import Parallel, pipeline, supervisor
from guardgraph.guards import Budget, Deadline, Depth, Guard, GuardContext, Limits, Schema, guard
from guardgraph.models.offline import ScriptedModel
from guardgraph.runtime.execution_context import execution_context
from guardgraph.state import ContextItem, DelegationScope, Plan, Request, Subtask

__all__ = ("Tree", "random_tree")

_RULES = (None, None, "untrusted", "inherits", "endorses")


class _Watched(ScriptedModel):
    """A scripted model that notes which tools it is offered."""

    tree: Any = None
    agent: str = ""

    def answer(self, messages: list[BaseMessage], options: Mapping[str, Any]) -> AIMessage:
        """Answer, and note the tools."""
        offered = [one.get("function", one)["name"] for one in options.get("tools") or ()]
        self.tree.offered.setdefault(self.agent, set()).update(offered)
        return super().answer(messages, options)


@dataclass(slots=True)
class Tree:
    """A team with teams in it, and what was seen of its delegations."""

    random: Random
    graph: Any = None
    given: dict[str, Any] = field(default_factory=dict[str, Any])
    positions: dict[str, DelegationScope] = field(default_factory=dict[str, DelegationScope])
    """The position of every team and of every function, by its account."""
    requests: list[tuple[str, Request, DelegationScope]] = field(default_factory=list[Any])
    """What each function was given: its name, the request, and its position."""
    rules: dict[str, Any] = field(default_factory=dict[str, Any])
    """The declared integrity of each agent, by its name."""
    tools: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    """The tools that each model agent declares."""
    offered: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    """The tools that each model was offered."""
    numbers: Any = field(default_factory=count)


def random_tree(random: Random) -> Tree:
    """Return a tree that `random` makes; nothing has run yet."""
    tree = Tree(random)
    tree.graph = _team(tree, depth=random.choice([1, 1, 2, 2, 3, 6]))
    trusted = random.random() < 0.5
    page = ContextItem(kind="background", title="page", value="a page", trusted=trusted)
    tree.given = {"task": "the task", "background": [page] if random.random() < 0.6 else []}
    return tree


def _team(tree: Tree, *, depth: int) -> Any:
    random, name = tree.random, f"team{next(tree.numbers)}"
    agents = [_agent(tree, depth=depth) for _ in range(random.choice([1, 2, 2, 3]))]
    guards = _guards(tree)
    if random.random() < 0.5:
        if len(agents) > 1 and random.random() < 0.4:
            return pipeline([Parallel(*agents[:2]), *agents[2:]], guards=guards, name=name)
        return pipeline(agents, guards=guards, name=name)
    ids = [f"s{number}" for number in range(random.randint(1, 3))]

    def plan(request: Request) -> Plan:
        note(tree, lead.name, request)
        if request.round > 1:
            return Plan()
        subtasks = [
            Subtask(id=one, goal=f"do {one}", share=shares[one], skill=skills[one], depends_on=tuple(ids[:n][-1:]))
            for n, one in enumerate(ids)
        ]
        return Plan(subtasks=tuple(subtasks))

    shares = {one: random.choice([None, None, 0.5, 0.1]) for one in ids}
    skills = {one: random.choice(agents).name for one in ids}
    lead = Agent(f"lead{next(tree.numbers)}", run=plan, integrity=_rule(tree))
    tree.rules[lead.name] = lead.integrity
    author = _function(tree) if random.random() < 0.5 else None
    return supervisor(planner=lead, workers=agents, synthesizer=author, guards=guards, name=name)


def _agent(tree: Tree, *, depth: int) -> Agent:
    kind = tree.random.random()
    if depth > 0 and kind < 0.4:
        name = f"nested{next(tree.numbers)}"
        share, rule = tree.random.choice([None, None, 0.5, 0.2]), _rule(tree)
        tree.rules[name] = rule
        inner = _team(tree, depth=depth - 1).compile()
        # a share and a timeout: the limits of the team below may be wider, and are to be narrowed
        return Agent(name, run=inner, budget_share=share or 1, timeout=10_000, integrity=rule)
    return _model(tree) if kind > 0.96 else _function(tree, depth=depth)


def _function(tree: Tree, *, depth: int = 0) -> Agent:
    name, rule = f"function{next(tree.numbers)}", _rule(tree)
    inner = _team(tree, depth=0).compile() if depth > 1 and tree.random.random() < 0.15 else None
    tree.rules[name] = rule

    def work(request: Request) -> Any:
        note(tree, name, request)
        return name if inner is None else inner.invoke({"task": "inner"})["outcome"].value

    return Agent(name, run=work, integrity=rule)


def _model(tree: Tree) -> Agent:
    name = f"model{next(tree.numbers)}"
    tools = [_tool(f"tool{number}") for number in range(tree.random.randint(0, 2))]
    tree.rules[name], tree.tools[name] = None, {one.name for one in tools}
    return Agent(name, model=_Watched(replies=lambda messages: name, tree=tree, agent=name), tools=tools)


def _tool(name: str) -> Any:
    return StructuredTool.from_function(lambda query: query, name=name, description="a tool", args_schema=_Query)


class _Query(Request):
    """The arguments of a tool: anything will do, no tool is called."""


def _guards(tree: Tree) -> list[Guard]:
    random = tree.random

    @guard(at="admission")
    def watch(context: GuardContext) -> None:
        position = context.state["position"]
        tree.positions[position.account] = position

    made: list[Any] = [watch, Schema(), Limits(subtasks=random.choice([None, 1_000, 50]), visits=20)]
    if random.random() < 0.5:
        usd = random.choice([None, Decimal(random.randint(1, 50))])
        made.append(Budget(tokens=random.randint(5_000, 10**6), calls=random.choice([None, 50]), usd=usd, reserve=0.1))
    if random.random() < 0.4:
        made.append(Deadline(random.randint(30, 5_000)))
    if random.random() < 0.4:
        made.append(Depth(random.randint(3, 12)))
    return made


def _rule(tree: Tree) -> Any:
    return tree.random.choice(_RULES)


def note(tree: Tree, name: str, request: Request) -> None:
    """Note what an agent is given, and where it works."""
    execution = execution_context(None)
    assert execution is not None
    assert execution.position is not None
    tree.positions[execution.position.account] = execution.position
    tree.requests.append((name, request, execution.position))
