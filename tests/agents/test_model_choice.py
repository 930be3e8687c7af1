"""Several models of one agent: which one answers a request, what it costs, and where its name is shown."""

from __future__ import annotations

import csv
import gzip
import os
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from langgraph.cache.memory import InMemoryCache

from guardgraph.agents import Agent
from guardgraph.agents.model_choice import chosen_model
from guardgraph.graphs import pipeline, supervisor
from guardgraph.guards import Budget, GuardContext, Retry, guard
from guardgraph.models.offline import ScriptedModel
from guardgraph.models.prices import price_of
from guardgraph.runs import Runner
from guardgraph.state import BadGraph, Plan, Request, RunEvent, Subtask, Task
from tests import loopback
from tests.graphs.teams import WAYS, ask_sync

every_way = pytest.mark.parametrize("ask", WAYS.values(), ids=WAYS)


def saying(text: str) -> ScriptedModel:
    return ScriptedModel(replies=lambda _: text)


BOTH: dict[str, Any] = {"cheap": saying("cheap"), "strong": saying("strong")}


def by_skill(request: Request) -> str:
    return "strong" if request.subtask and request.subtask.skill == "law" else "cheap"


@every_way
@pytest.mark.parametrize("tools", [[], [str]], ids=["alone", "with tools"])
def test_high_stakes_go_to_the_last_model_by_default(tools: list[Any], ask: Any) -> None:
    def look(at: str) -> str:
        """Look closer."""
        return at

    graph = pipeline([Agent("a", models=BOTH, tools=[look] if tools else [])]).compile()

    stakes = [ask(graph, {"goal": "go", "stakes": stakes}).value for stakes in ("low", "normal", "high")]
    assert stakes == ["cheap", "cheap", "strong"]


def test_a_refused_attempt_is_repeated_by_the_last_model() -> None:
    @guard(at="handoff", on_trip=Retry(1))
    def is_strong(view: GuardContext) -> str | None:
        return None if view.subject.value == "strong" else "too weak"

    assert ask_sync(pipeline([Agent("a", models=BOTH)], guards=[is_strong]).compile()).value == "strong"


@every_way
def test_choose_is_given_the_request(ask: Any) -> None:
    plan = Plan(subtasks=(Subtask(id="x", goal="sue", skill="law"), Subtask(id="y", goal="add", skill="sums")))
    planner = Agent("planner", run=lambda request: Plan() if request.results else plan)
    agent = Agent("a", models=BOTH, choose=by_skill, skills={"law", "sums"})

    outcome = ask(supervisor(planner=planner, workers=[agent]).compile())

    assert [item["value"] for item in outcome.value] == ["strong", "cheap"]


class Metadata(BaseCallbackHandler):
    """Keeps the chosen names that model calls carry."""

    def __init__(self) -> None:
        self.names: list[Any] = []

    def on_chat_model_start(self, serialized: Any, messages: Any, *, metadata: Any = None, **kwargs: Any) -> None:
        self.names.append((metadata or {}).get("model_choice"))


def test_the_chosen_name_is_in_the_events_and_in_the_trace(tmp_path: Path) -> None:
    events: list[RunEvent] = []
    with Runner(f"sqlite:///{tmp_path}/runs.db", on_event=events.append) as runner:
        runner.run(pipeline([Agent("a", models=BOTH)]), {"goal": "go", "stakes": "high"})
        runner.run(pipeline([Agent("a", model=BOTH["cheap"])]), "go")
    handler = Metadata()
    pipeline([Agent("a", models=BOTH)]).compile().invoke({"task": "go"}, {"callbacks": [handler]})

    calls = [event.data for event in events if event.kind == "model_called"]
    assert [call.get("choice") for call in calls] == ["strong", None]
    assert handler.names == ["cheap"]


def client(name: str, server: loopback.OpenAIServer) -> BaseChatModel:
    return ChatOpenAI(model=name, base_url=server.url, api_key="none", max_retries=0)  # type: ignore[arg-type]


def test_each_call_costs_what_the_chosen_model_costs() -> None:
    answer = loopback.text("it is so", input_tokens=1_000, output_tokens=100)
    with loopback.OpenAIServer(lambda _: answer) as server:
        models = {"cheap": client("gpt-4o-mini", server), "strong": client("gpt-4o", server)}
        graph = pipeline([Agent("a", models=models)], guards=[Budget(usd="1.00")]).compile()
        spent = [ask_sync(graph, {"goal": "go", "stakes": stakes}).usage.usd for stakes in ("low", "high")]

    prices = [price_of("openai", name) for name in ("gpt-4o-mini", "gpt-4o")]
    assert [body.body["model"] for body in server.requests] == ["gpt-4o-mini", "gpt-4o"]
    assert spent == [price and price.usd(1_000, 100) for price in prices]
    assert spent[0] == Decimal("0.00021")


def fails(request: Request) -> str:
    raise LookupError("no table")


@every_way
@pytest.mark.parametrize(
    ("choose", "kind", "why"),
    [
        (lambda _: "huge", "BadInput", "`choose` of agent 'a' returned 'huge'; its models are 'cheap', 'strong'"),
        (lambda _: None, "BadInput", "returned None"),
        (lambda _: [], "BadInput", "returned []"),
        (fails, "LookupError", "no table"),
    ],
)
def test_a_choice_that_fails_is_a_failed_result(choose: Any, kind: str, why: str, ask: Any) -> None:
    graph = pipeline([Agent("a", models=BOTH, choose=choose)], guards=[]).compile()

    state = list(graph.stream({"task": "go"}, stream_mode="values"))[-1]
    (result,) = state["results"]

    assert (result.status, result.error.kind, result.error.type) == ("failed", "raised", kind)
    assert why in result.error.message
    assert ask(graph).status == "failed"


def test_another_choice_of_models_is_another_key_of_a_cache() -> None:
    cache = InMemoryCache[Any]()

    def value(**facts: Any) -> Any:
        return ask_sync(pipeline([Agent("a", cache=cache, **facts)]).compile()).value

    class Other(ScriptedModel):
        pass

    assert value(models=BOTH) == "cheap"
    assert value(models={**BOTH, "cheap": Other(replies=lambda _: "other")}) == "other"
    assert value(models=BOTH, choose=lambda _: "strong") == "strong"
    assert value(models=BOTH) == "cheap"


@pytest.mark.parametrize(
    ("declared", "why"),
    [
        ({"models": BOTH, "model": BOTH["cheap"]}, "exactly one of `run`, `model` and `models`"),
        ({"models": BOTH, "run": str}, "exactly one of `run`, `model` and `models`"),
        ({"models": {}}, "exactly one of `run`, `model` and `models`"),
        ({"models": {"cheap": 3}}, r"`models\['cheap'\]`: `model` must be a chat model or its name, got int"),
        ({"models": {"cheap": None}}, r"`models\['cheap'\]`"),
        ({"models": {1: "offline:extractive"}}, "`models` must be a mapping of names"),
        ({"models": ["offline:extractive"]}, "`models` must be a mapping of names"),
        ({"model": BOTH["cheap"], "choose": by_skill}, "`choose` goes with `models`"),
        ({"models": BOTH, "choose": "strong"}, "`choose` must be"),
    ],
)
def test_what_cannot_be_chosen_from_is_refused_when_built(declared: dict[str, Any], why: str) -> None:
    with pytest.raises(BadGraph, match=why):
        Agent("a", **declared)


def test_an_async_choice_is_refused_when_built() -> None:
    async def choose(request: Request) -> str:
        return "cheap"

    wrong: Any = choose
    with pytest.raises(BadGraph, match="`choose` must be a plain function"):
        Agent("a", models=BOTH, choose=wrong)


DATA = Path(os.environ.get("GUARDGRAPH_DATA") or Path(__file__).parents[3] / "shared" / "data")
RECORDED = DATA / "routellm" / "mmlu_two_model_outcomes.csv.gz"


@pytest.mark.skipif(not RECORDED.is_file(), reason="no recorded outcomes of two models: set GUARDGRAPH_DATA")
def test_on_recorded_outcomes_a_simple_choice_beats_a_random_one_that_costs_the_same() -> None:
    with gzip.open(RECORDED, "rt", encoding="utf-8", newline="") as file:
        rows = [
            (row["subject"], {"cheap": row["mixtral_8x7b_correct"] == "1", "strong": row["gpt4_1106_correct"] == "1"})
            for row in csv.DictReader(file)
        ]
    gains = defaultdict[str, list[int]](list)
    for subject, is_right in rows[::2]:
        gains[subject].append(is_right["strong"] - is_right["cheap"])
    hard = {subject for subject, gain in gains.items() if sum(gain) / len(gain) > 0.1}

    def quality(choose: Any, rows: list[Any]) -> tuple[float, float]:
        """Return the share of right answers, and of calls of the strong model."""
        agent = Agent("a", models=BOTH, choose=lambda request: choose(rows[int(request.goal)]))
        names = [chosen_model(agent, Request(task=Task(goal=str(number)))) for number in range(len(rows))]
        right = sum(row[1][name] for row, name in zip(rows, names, strict=True))
        return right / len(rows), names.count("strong") / len(rows)

    assert quality(lambda row: "cheap", rows)[0] == pytest.approx(0.681, abs=0.001)
    assert quality(lambda row: "strong", rows)[0] == pytest.approx(0.806, abs=0.001)
    perfect = quality(lambda row: "strong" if row[1]["strong"] and not row[1]["cheap"] else "cheap", rows)
    assert perfect == pytest.approx((0.859, 0.178), abs=0.001)

    unseen = rows[1::2]
    right, share = quality(lambda row: "strong" if row[0] in hard else "cheap", unseen)
    weak, strong = (sum(row[1][name] for row in unseen) / len(unseen) for name in BOTH)
    assert (right, share) == pytest.approx((0.770, 0.506), abs=0.001)
    assert right > weak + share * (strong - weak) + 0.02  # the same share of calls of the strong model, at random
