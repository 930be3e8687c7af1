"""Answers from a cache: equal requests are answered once, and a cache never fails a run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda
from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.schemas import Run
from langgraph.cache.base import BaseCache
from langgraph.cache.memory import InMemoryCache
from langgraph.cache.sqlite import SqliteCache
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt
from pydantic import BaseModel

from guardgraph.agents import Agent
from guardgraph.graphs import consensus, majority, pipeline
from guardgraph.guards import Budget, GuardContext, Retry, guard
from guardgraph.models.offline import ScriptedModel
from guardgraph.runs import Runner
from guardgraph.runtime.execution_context import KEY, ExecutionContext
from guardgraph.runtime.services import Services
from guardgraph.state import BadGraph, ContextItem, Reply, Request, RunEvent
from tests.graphs.teams import WAYS, ask_sync, plan_of, team, worker

CACHES: dict[str, Callable[[Path], BaseCache[Any]]] = {
    "memory": lambda _: InMemoryCache(),
    "sqlite": lambda folder: SqliteCache(path=str(folder / "cache.db")),
}
every_way = pytest.mark.parametrize("ask", WAYS.values(), ids=WAYS)


class Answers:
    """Replies that count how often they were asked for."""

    def __init__(self, *replies: Any) -> None:
        self.replies, self.count = replies, 0

    def __call__(self, _: Any) -> Any:
        self.count += 1
        return self.replies[min(self.count, len(self.replies)) - 1]


def results(graph: Any, given: Any) -> tuple[Any, ...]:
    state = list(graph.stream(given, stream_mode="values"))[-1]
    return tuple(state["results"])


@every_way
@pytest.mark.parametrize("made", CACHES.values(), ids=CACHES)
def test_an_equal_request_is_answered_once_and_then_costs_nothing(
    made: Callable[[Path], BaseCache[Any]], ask: Any, tmp_path: Path
) -> None:
    answers = Answers("Bern")
    model = ScriptedModel(replies=answers, input_tokens=100, output_tokens=1)
    agent = Agent("geographer", model=model, cache=made(tmp_path))
    graph = team(plan_of("capital"), workers=[agent], guards=[Budget(tokens=1_000)]).compile()

    first, second = ask(graph), ask(graph)

    assert answers.count == 1
    assert (first.value, first.usage.calls, first.usage.tokens) == (["Bern"], 1, 101)
    assert (second.value, second.usage.calls, second.usage.tokens) == (["Bern"], 0, 0)


def test_a_hit_is_an_attempt_of_its_own_with_all_that_was_answered() -> None:
    reply = Reply(value={"n": 1}, confidence=0.5, reasoning="so it is")
    graph = pipeline([Agent("a", run=lambda _: reply, cache=InMemoryCache())]).compile()

    (first,), (second,) = results(graph, {"task": "count"}), results(graph, {"task": "count"})

    assert first.id != second.id
    assert second.model_dump(exclude={"id", "usage"}) == first.model_dump(exclude={"id", "usage"})
    assert second.usage.microseconds == 0


class Price(BaseModel):
    usd: int


ITEM = ContextItem(kind="background", title="house", value=1)
GIVEN: dict[str, Any] = {"task": {"goal": "count", "inputs": {"n": 1}}, "background": [ITEM]}
BASE: dict[str, Any] = {"name": "a", "version": "1", "output": int}


@pytest.mark.parametrize(
    ("declared", "given", "is_hit"),
    [
        ({}, {}, True),
        ({}, {"task": {"goal": "count", "inputs": {"n": 1}, "id": "another"}}, True),
        ({"timeout": 5, "attempts": 3}, {}, True),
        ({"version": "2"}, {}, False),
        ({"name": "b"}, {}, False),
        ({"output": float}, {}, False),
        ({}, {"task": {"goal": "count", "inputs": {"n": 2}}}, False),
        ({}, {"task": {"goal": "add", "inputs": {"n": 1}}}, False),
        ({}, {"task": {"goal": "count", "inputs": {"n": 1}, "stakes": "high"}}, False),
        ({}, {"background": [ITEM.model_copy(update={"value": 2})]}, False),
        ({}, {"background": []}, False),
    ],
)
def test_the_key_is_what_declares_the_agent_and_what_it_is_given(
    declared: dict[str, Any], given: dict[str, Any], is_hit: bool
) -> None:
    answers, cache = Answers(1), InMemoryCache[Any]()
    pipeline([Agent(run=answers, cache=cache, **BASE)]).compile().invoke(GIVEN)

    pipeline([Agent(run=answers, cache=cache, **{**BASE, **declared})]).compile().invoke({**GIVEN, **given})

    assert answers.count == (1 if is_hit else 2)


@pytest.mark.parametrize(
    "change", [{"instructions": "Be brief."}, {"model": "other"}, {"max_tokens": 5}, {"tools": ["x"]}], ids=str
)
def test_another_model_or_instruction_is_another_key(change: dict[str, Any]) -> None:
    class Other(ScriptedModel):
        pass

    answers, cache = Answers("one"), InMemoryCache[Any]()

    def look(x: str) -> str:
        """Look it up."""
        return x

    changed: dict[str, Any] = {"model": Other(replies=answers)} if "model" in change else change
    changed = {"tools": [look]} if "tools" in change else changed
    for facts in ({}, changed):
        declared: dict[str, Any] = {"model": ScriptedModel(replies=answers), **facts}
        ask_sync(pipeline([Agent("a", cache=cache, **declared)]).compile())

    assert answers.count == 2


def test_another_order_of_models_is_another_key() -> None:
    """Where nothing else chooses, the first one answers."""
    models = {name: ScriptedModel(replies=Answers(name)) for name in ("cheap", "strong")}
    cache = InMemoryCache[Any]()
    orders = [models, dict(reversed(models.items()))]
    graphs = [pipeline([Agent("a", models=order, cache=cache)]).compile() for order in orders]

    assert [ask_sync(graph).value for graph in graphs] == ["cheap", "strong"]


def test_arguments_of_a_partial_and_the_code_around_a_graph_are_part_of_the_key() -> None:
    def answer(tenant: str, request: Request) -> str:
        return f"the price of {tenant}"

    def goal(request: Request) -> str:
        return request.goal

    cache, echo = InMemoryCache[Any](), RunnableLambda[Any, Any](lambda given: given)
    declared: list[dict[str, Any]] = [
        {"run": partial(answer, "north")},
        {"run": partial(answer, "south")},
        {"run": echo, "to_input": goal},
        {"run": echo, "to_input": goal, "from_output": str.upper},
        {"run": echo, "to_input": partial(answer, "east")},
    ]
    graphs = [pipeline([Agent("a", cache=cache, **facts)]).compile() for facts in declared]
    values = [graph.invoke({"task": "Count"})["outcome"].value for graph in graphs]

    assert values == ["the price of north", "the price of south", "Count", "COUNT", "the price of east"]


@every_way
def test_a_refused_answer_is_replaced_by_that_of_the_retry(ask: Any) -> None:
    @guard(at="handoff", on_trip=Retry(1))
    def has_a_price(view: GuardContext) -> str | None:
        return None if "USD" in str(view.subject.value) else "name the price in USD"

    answers = Answers("cheap", "2 USD")
    agent = Agent("a", run=answers, cache=InMemoryCache())
    graph = pipeline([agent], guards=[has_a_price]).compile()

    assert [ask(graph).value for _ in range(3)] == ["2 USD"] * 3
    assert answers.count == 2


@every_way
def test_only_whole_answers_are_stored(ask: Any) -> None:
    answers, cache = Answers(None), InMemoryCache[Any]()
    failing = pipeline([Agent("a", run=answers, cache=cache)], guards=[]).compile()
    missing = team(plan_of("x", "y"), workers=[worker(run=lambda r: r.goal if r.goal == "do x" else None)])
    nested = Agent("nested", run=missing.compile(), cache=cache)
    half = pipeline([nested]).compile()

    assert [ask(failing).status, ask(failing).status, ask(half).status] == ["failed", "failed", "degraded"]
    assert answers.count == 2
    assert not cache._cache  # pyright: ignore[reportPrivateUsage] - it has no public way to list what it holds


def test_a_whole_team_is_cached_as_one() -> None:
    answers = Answers("done")
    nested = pipeline([worker(run=answers)], name="low").compile()
    graph = pipeline([Agent("low", run=nested, cache=InMemoryCache())]).compile()

    assert [ask_sync(graph).value for _ in range(2)] == ["done", "done"]
    assert answers.count == 1


def test_a_hit_of_a_panel_names_those_who_dissent() -> None:
    panel = [Agent(name, run=lambda _, value=value: value) for name, value in zip("abc", "xyx", strict=True)]
    board = Agent("board", run=consensus(panel, vote=majority).compile(), cache=InMemoryCache())
    graph = pipeline([board]).compile()
    first, second = (ask_sync(graph) for _ in range(2))

    assert (first.value, first.dissent) == ("x", ("y",))
    assert (second.value, second.dissent, second.confidence) == (first.value, first.dissent, first.confidence)


class Faulty(InMemoryCache[Any]):
    """A cache that is down, in one way."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault

    def get(self, keys: Sequence[Any]) -> dict[Any, Any]:
        if self.fault == "hangs":
            time.sleep(5)
        if self.fault == "raises":
            raise OSError("no route to the cache")
        return {key: {"other": "{", "newer": '{"format": 99}', "unfit": _stored("x")}[self.fault] for key in keys}

    def set(self, keys: Mapping[Any, Any]) -> None:
        if self.fault == "raises":
            raise OSError("no route to the cache")


def _stored(value: Any) -> str:
    return json.dumps({"format": 1, "reply": {"value": value}})


@every_way
@pytest.mark.parametrize("fault", ["raises", "hangs", "other", "newer", "unfit"])
def test_a_cache_that_is_down_or_corrupt_is_a_miss_and_logged(
    fault: str, ask: Any, caplog: pytest.LogCaptureFixture
) -> None:
    agent = Agent("a", run=lambda _: 7, output=int, cache=Faulty(fault))
    graph, began = pipeline([agent]).compile(), time.monotonic()

    assert [ask(graph).value, ask(graph).value] == [7, 7]
    assert time.monotonic() - began < 3  # one that hangs is asked once
    assert "cache of agent a" in caplog.text


def test_an_expired_answer_is_not_used() -> None:
    answers = Answers("x")
    graph = pipeline([Agent("a", run=answers, cache=InMemoryCache(), cache_ttl=1)]).compile()
    ask_sync(graph)
    ask_sync(graph)
    assert answers.count == 1

    time.sleep(1.1)
    ask_sync(graph)

    assert answers.count == 2


def test_what_is_stored_is_json_under_the_name_of_the_agent() -> None:
    cache = InMemoryCache[Any]()
    graph = pipeline([Agent("a", run=lambda _: Price(usd=2), output=Price, cache=cache)]).compile()
    ask_sync(graph)

    ((namespace, stored),) = cache._cache.items()  # pyright: ignore[reportPrivateUsage]
    ((kind, data, _),) = stored.values()

    assert (namespace, kind) == (("guardgraph", "a"), "msgpack")
    assert cache.serde.loads_typed((kind, data)) == (
        '{"format": 1, "reply": {"value": {"usd": 2}, "evidence": [], "confidence": null, "reasoning": "", '
        '"subtasks": [], "events": []}, "dissent": [], "trusted": true}'
    )
    assert ask_sync(graph).value == {"usd": 2}
    cache.clear([("guardgraph", "a")])
    assert not cache._cache.get(namespace)  # pyright: ignore[reportPrivateUsage]


def test_what_a_human_has_answered_is_not_stored() -> None:
    asked: list[str] = []

    def confirm(request: Request) -> str:
        asked.append(request.goal)
        return str(interrupt("really?"))

    agent = Agent("a", run=confirm, cache=InMemoryCache())
    graph = pipeline([agent]).compile(checkpointer=InMemorySaver())
    for thread, answer in (("1", "yes"), ("2", "no")):
        config: Any = {"configurable": {"thread_id": thread}}
        assert "__interrupt__" in graph.invoke({"task": "delete it"}, config)
        assert graph.invoke(Command(resume=answer), config)["outcome"].value == answer

    assert len(asked) == 4


class Metadata(BaseTracer):
    """Keeps the metadata of the attempts of agent `a`."""

    def __init__(self) -> None:
        super().__init__()
        self.cached: list[Any] = []

    def _persist_run(self, run: Run) -> None:
        for one in _runs(run):
            if one.name == "a" and set(one.inputs or ()) == {"request"}:
                self.cached.append((one.extra or {}).get("metadata", {}).get("cached"))


def _runs(run: Run) -> Iterator[Run]:
    yield run
    for child in run.child_runs:
        yield from _runs(child)


@every_way
def test_events_and_the_trace_show_a_hit(ask: Any) -> None:
    agent, tracer = Agent("a", run=lambda _: "x", cache=InMemoryCache()), Metadata()
    graph = pipeline([agent]).compile()

    for _ in range(2):
        ask(graph, config={"callbacks": [tracer]})

    assert tracer.cached == [None, True]


def test_the_events_of_a_run_show_a_hit(tmp_path: Path) -> None:
    events: list[RunEvent] = []
    graph = pipeline([Agent("a", run=lambda _: "x", cache=InMemoryCache())])
    with Runner(f"sqlite:///{tmp_path}/runs.db", on_event=events.append) as runner:
        runner.run(graph, "go")
        runner.run(graph, "go")

    agents = [(event.kind, event.data.get("cached")) for event in events if event.kind.startswith("agent")]
    assert agents == [
        ("agent_started", None),
        ("agent_finished", None),
        ("agent_started", True),
        ("agent_finished", True),
    ]


def test_a_hit_needs_no_budget_and_its_cost_is_not_learned() -> None:
    model = ScriptedModel(replies=lambda _: "x", input_tokens=90, output_tokens=5)
    cache, services = InMemoryCache[Any](), Services()
    first, second = (Agent(name, model=model, cache=cache) for name in ("a", "b"))
    ask_sync(pipeline([first]).compile())

    both = pipeline([first, second], guards=[Budget(tokens=150)]).compile()
    outcome = ask_sync(both, config={"configurable": {KEY: ExecutionContext(services)}})

    assert (outcome.status, outcome.usage.tokens) == ("completed", 95)
    assert services.costs.expected("pipeline/a") is None
    assert services.costs.expected("pipeline/b") is not None


@pytest.mark.parametrize(
    ("declared", "why"),
    [
        ({"cache": {}}, "`cache` must be a cache of LangGraph"),
        ({"cache_ttl": 5}, "`cache_ttl` must be at least 1 and beside a `cache`"),
        ({"cache": InMemoryCache(), "cache_ttl": 0}, "`cache_ttl` must be at least 1"),
        ({"cache": InMemoryCache(), "cache_ttl": "1"}, "`cache_ttl` must be int"),
    ],
)
def test_what_is_no_cache_is_refused_when_built(declared: dict[str, Any], why: str) -> None:
    with pytest.raises(BadGraph, match=why):
        Agent("a", run=str, **declared)
