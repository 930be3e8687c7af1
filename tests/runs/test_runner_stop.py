"""What begins, and what does not, once a run was asked to stop or was left."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt

from guardgraph.agents import Agent
from guardgraph.graphs import supervisor
from guardgraph.runs import Runner
from guardgraph.state import Plan, Request, Subtask

_PARTS = 4


class Team:
    """Two workers at a time; as soon as the first two are at work, `when_two` is called."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.ended: list[str] = []
        self.when_two: Callable[[], Any] = int
        self.takes = 0.001

    def work(self, request: Request) -> str:
        """Work once another one is at work too."""
        self._begin(request)
        time.sleep(self.takes)
        while len(self.began) < 2:
            time.sleep(0.001)
        return self._end(request)

    async def awork(self, request: Request) -> str:
        """Do as `work` on an event loop."""
        self._begin(request)
        while len(self.began) < 2:
            await asyncio.sleep(0.001)
        return self._end(request)

    def _begin(self, request: Request) -> None:
        self.began.append(request.goal)
        if len(self.began) == 2:
            self.when_two()

    def _end(self, request: Request) -> str:
        self.ended.append(request.goal)
        return request.goal


def plan(request: Request) -> Plan:
    goals = [f"{request.goal}.{number}" for number in range(_PARTS)]
    return Plan() if request.round > 1 else Plan(subtasks=tuple(Subtask(id=goal, goal=goal) for goal in goals))


def flat(work: Callable[[Request], Any], name: str = "team") -> Any:
    return supervisor(planner=Agent("planner", run=plan), workers=[Agent("worker", run=work)], concurrency=2, name=name)


def nested(work: Callable[[Request], Any]) -> Any:
    low = Agent("low", run=flat(work, "low").compile())
    return supervisor(planner=Agent("planner", run=plan), workers=[low], concurrency=2, name="top")


@pytest.fixture
def team() -> Team:
    return Team()


@pytest.fixture
def runner(database_url: str, team: Team) -> Iterator[Runner]:
    graphs = {
        "flat": lambda: flat(team.work),
        "nested": lambda: nested(team.work),
        "async flat": lambda: flat(team.awork),
        "async nested": lambda: nested(team.awork),
    }
    with Runner(database_url, graphs=graphs) as made:
        yield made


@pytest.mark.parametrize(("graph", "parts"), [("flat", _PARTS), ("nested", _PARTS**2)])
@pytest.mark.parametrize("kind", ["", "async "])
def test_what_has_not_begun_when_a_run_is_stopped_begins_when_it_is_resumed(
    runner: Runner, team: Team, kind: str, graph: str, parts: int
) -> None:
    team.when_two = runner.drain
    if kind:
        stopped = asyncio.run(runner.arun(kind + graph, "t", thread_id="thread"))
    else:
        stopped = runner.run(graph, "t", thread_id="thread")
    assert (stopped.status, len(team.began), len(team.ended)) == ("stopped", 2, 2)

    done = runner.resume("thread")

    assert done.status == "completed"
    assert len(team.began) == len(set(team.began)) == len(team.ended) == parts


def test_what_has_not_begun_when_a_stream_is_left_never_does(runner: Runner, team: Team) -> None:
    team.takes = 0.1
    parts: Any = runner.stream("nested", "t", thread_id="thread", stream_mode=["tasks"])
    for part in parts:
        if part["data"]["name"] == "worker" and "result" in part["data"]:
            break
    parts.close()

    assert len(team.ended) == len(team.began) < _PARTS**2


def test_drain_returns_whether_a_run_was_active(runner: Runner, team: Team) -> None:
    output: list[bool] = []
    team.when_two = lambda: output.append(runner.drain())
    runner.run("flat", "t")

    assert output == [True]
    assert not runner.drain()


@pytest.mark.parametrize("how", ["arun", "astream", "aresume"])
async def test_a_run_that_was_cancelled_while_it_was_prepared_is_not_under_way(database_url: str, how: str) -> None:
    entered, go_on = threading.Event(), threading.Event()
    go_on.set()

    def build() -> Any:
        entered.set()
        assert go_on.wait(60)
        return flat(lambda request: interrupt("?"))

    with Runner(database_url, graphs={"team": build}) as runner:
        waiting = runner.run("team", "t", thread_id="thread").waiting
        calls = {
            "arun": lambda: runner.arun("team", "t", thread_id="thread"),
            "astream": lambda: anext(aiter(runner.astream("team", "t", thread_id="thread"))),
            "aresume": lambda: runner.aresume("thread", answers={one.id: "!" for one in waiting}),
        }
        entered.clear()
        go_on.clear()
        call = asyncio.ensure_future(calls[how]())
        await asyncio.to_thread(entered.wait, 60)
        call.cancel()
        go_on.set()
        await asyncio.gather(call, return_exceptions=True)
        await asyncio.get_running_loop().shutdown_default_executor()  # what prepares it has ended

        assert call.cancelled()
        assert not runner.drain()


@pytest.mark.parametrize("is_async", [False, True])
def test_an_agent_that_hides_that_its_graph_was_stopped_has_not_ended(database_url: str, is_async: bool) -> None:
    steps: list[str] = []

    def step(name: str) -> Any:
        def takes(state: MessagesState) -> dict[str, Any]:
            steps.append(name)
            if steps == ["first"]:
                runner.drain()
            return {"messages": [AIMessage(name)]}

        return takes

    graph: Any = StateGraph(MessagesState).add_sequence([("first", step("first")), ("second", step("second"))])
    two_steps = graph.add_edge(START, "first").compile()

    def hides(request: Request) -> str:
        try:
            return two_steps.invoke({"messages": []})["messages"][-1].text
        except Exception as error:
            return f"sorry: {type(error).__name__}"

    async def ahides(request: Request) -> str:
        try:
            return (await two_steps.ainvoke({"messages": []}))["messages"][-1].text
        except Exception as error:
            return f"sorry: {type(error).__name__}"

    def build() -> Any:
        one = Agent("planner", run=lambda request: [] if request.round > 1 else [Subtask(id="a", goal="a")])
        return supervisor(planner=one, workers=[Agent("worker", run=ahides if is_async else hides)])

    with Runner(database_url, graphs={"hides": build}) as runner:
        run = asyncio.run(runner.arun("hides", "t")) if is_async else runner.run("hides", "t")
        assert (run.status, steps) == ("stopped", ["first"])

        outcome = runner.resume(run.thread_id).outcome

    assert outcome is not None
    assert outcome.value == [{"subtask": "a", "agent": "worker", "value": "second"}]


@pytest.mark.parametrize("is_async", [False, True])
def test_what_was_stopped_beside_a_question_goes_on_before_its_answer(database_url: str, is_async: bool) -> None:
    worked, request_input, begun = list[str](), list[str](), list[str]()

    def asks(request: Request) -> str:
        request_input.append(request.goal)
        begun.append(request.goal)
        if len(request_input) == 1:
            runner.drain()
        return interrupt("may I?")

    def works(request: Request) -> str:
        worked.append(request.goal)
        begun.append(request.goal)
        return request.goal

    def build() -> Any:
        goals = [
            Subtask(id="ask", goal="ask", skill="asks"),
            *(Subtask(id=f"s{n}", goal=f"g{n}", skill="works") for n in range(3)),
        ]
        return supervisor(
            planner=Agent("planner", run=lambda request: [] if request.round > 1 else goals),
            workers=[Agent("works", run=works), Agent("asks", run=asks, skills={"asks"})],
            concurrency=1,
        )

    def resume(**given: Any) -> Any:
        return asyncio.run(runner.aresume("t", **given)) if is_async else runner.resume("t", **given)

    with Runner(database_url, graphs={"asks": build}) as runner:
        stopped = runner.run("asks", "x", thread_id="t")
        before = list(worked)

        waiting = resume()

        assert (stopped.status, waiting.status) == ("waiting", "waiting")
        assert len(worked) == 3
        assert len(before) < 3 or begun[3] == "ask", "what had the slot after the question went on without an answer"
        assert resume().status == "waiting"
        done = resume(answers={waiting.waiting[0].id: "yes"})

    assert done.status == "completed"
    assert sorted(worked) == ["g0", "g1", "g2"]
