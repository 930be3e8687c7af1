"""`Breaker(of="tool")` and `Breaker(of="model")`: what fails all the time is not called, in all runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import ToolException, tool

from guardgraph.agents import Agent, GuardMiddleware
from guardgraph.cli.entry import main
from guardgraph.graphs import guarded, pipeline
from guardgraph.guards import AllowedTools, Breaker, Finish, Guard
from guardgraph.models.offline import ScriptedModel
from guardgraph.runs import Runner
from guardgraph.runtime.breakers.circuits import Circuits
from guardgraph.runtime.execution_context import KEY, ExecutionContext
from guardgraph.runtime.services import Services
from guardgraph.state import BadGraph, Outcome
from guardgraph.storage.memory_values import MemoryValues
from tests.graphs.loops import calls

TOOLS = Breaker(rate=0.5, of="tool", window=60, least=2, pause=30)
MODELS = Breaker(rate=0.5, of="model", window=60, least=2, pause=30)


class Busy(Exception):
    """What a client raises for a refused call."""

    def __init__(self, status: int) -> None:
        self.status_code = status
        super().__init__(f"status {status}")


class Service:
    """A tool that fails as long as it is ill, and an agent that calls it `turns` times."""

    def __init__(self, turns: int = 9, error: Exception | None = None) -> None:
        self.name, self.made, self.error = f"press{uuid4().hex[:8]}", 0, error or ToolException("down")
        self.is_ill = True

        def call(q: str) -> str:
            """Print something."""
            self.made += 1
            if self.is_ill:
                raise self.error
            return "printed"

        self.tool = tool(self.name)(call)
        self.tool.handle_tool_error = True
        self.answers: list[str] = []

        def reply(messages: list[Any]) -> Any:
            self.answers[:] = [one.text for one in messages if isinstance(one, ToolMessage)]
            return "done" if len(self.answers) >= turns else calls(self.name, q=str(len(self.answers)))

        self.model = ScriptedModel(replies=reply, input_tokens=60, output_tokens=40)

    def agent(self, *guards: Guard) -> Any:
        middleware = [GuardMiddleware([*guards])] if guards else []
        return create_agent(self.model, [self.tool], name="printer", middleware=middleware)


def in_team(service: Service, *guards: Guard) -> tuple[Any, Any]:
    return pipeline([Agent("w", run=service.agent())], guards=[*guards]).compile(), {"task": "print"}


def in_guarded(service: Service, *guards: Guard) -> tuple[Any, Any]:
    return guarded(service.agent(), [*guards]).compile(), {"messages": [HumanMessage("print")]}


def in_middleware(service: Service, *guards: Guard) -> tuple[Any, Any]:
    return service.agent(*guards), {"messages": [HumanMessage("print")]}


BUILDS = [in_team, in_guarded, in_middleware]


def asked(built: tuple[Any, Any], config: Any = None) -> Outcome:
    return built[0].invoke(built[1], config)["outcome"]


def aasked(built: tuple[Any, Any], config: Any = None) -> Outcome:
    return asyncio.run(built[0].ainvoke(built[1], config))["outcome"]


@pytest.fixture(params=[asked, aasked])
def ask(request: pytest.FixtureRequest) -> Callable[..., Outcome]:
    return request.param


@pytest.mark.parametrize("build", BUILDS)
def test_a_tool_that_fails_all_the_time_is_not_called(build: Any, ask: Callable[..., Outcome]) -> None:
    service = Service()

    outcome = ask(build(service, TOOLS))

    assert service.made == 2
    assert service.answers[:2] == ["down", "down"]
    assert len(service.answers) == 5, "three refusals, then the attempt is stopped"
    assert service.answers[2].startswith(
        f"refused: the circuit of tool '{service.name}' is open for 30 s: 2 of its last 2"
    )
    assert outcome.stopped_by == "Breaker"


@pytest.mark.parametrize("build", BUILDS)
def test_another_run_knows_that_it_fails(build: Any) -> None:
    service = Service(turns=3)
    asked(build(service, TOOLS))

    service.made = 0
    outcome = asked(build(service, TOOLS))

    assert (service.made, outcome.status) == (0, "completed")


@pytest.mark.parametrize(("is_ill", "made"), [(True, 1), (False, 9)])
def test_one_call_after_the_pause_shows_whether_it_works_again(is_ill: bool, made: int) -> None:
    now, service = [1_000.0], Service()
    services = Services(circuits=Circuits(MemoryValues(lambda: now[0])))
    config = {"configurable": {KEY: ExecutionContext(services)}}
    asked(in_team(service, TOOLS), config)
    now[0] += 31
    service.made, service.is_ill = 0, is_ill

    asked(in_team(service, TOOLS), config)

    assert service.made == made


def test_a_call_that_another_guard_refuses_shows_nothing_after_the_pause() -> None:
    now, service = [1_000.0], Service()
    services = Services(circuits=Circuits(MemoryValues(lambda: now[0])))
    config = {"configurable": {KEY: ExecutionContext(services)}}
    asked(in_team(service, TOOLS), config)
    now[0] += 31
    service.made, service.is_ill = 0, False

    asked(in_team(service, TOOLS, AllowedTools({"other"}, on_trip=Finish())), config)
    refused, service.made = service.made, 0
    asked(in_team(service, TOOLS), config)

    assert (refused, service.made) == (0, 9)


@pytest.mark.parametrize("build", BUILDS)
def test_arguments_that_do_not_fit_show_nothing_of_the_tool(build: Any) -> None:
    service = Service(turns=4)
    service.is_ill = False
    replies = [calls(service.name, wrong=n) for n in range(3)]
    service.model = ScriptedModel(replies=[*replies, calls(service.name, q="x"), "done"])

    outcome = asked(build(service, Breaker(rate=0.1, of="tool", least=1)))

    assert (service.made, outcome.status) == (1, "completed")


def failing(error: BaseException | None, name: str) -> Any:
    def reply(messages: list[Any]) -> Any:
        if error is not None:
            raise error
        return "said"

    return ScriptedModel(replies=reply, model_name=name)


@pytest.mark.parametrize(
    ("error", "made"),
    [
        (Busy(429), 2),
        (Busy(500), 2),
        (TimeoutError("late"), 2),
        (ConnectionError("down"), 2),
        (Busy(400), 5),
        (ValueError("odd"), 5),
    ],
)
def test_the_fallback_takes_over_where_a_model_fails_all_the_time(
    error: Exception, made: int, ask: Callable[..., Outcome]
) -> None:
    ill, spare = failing(error, f"ill{uuid4().hex[:8]}"), failing(None, "spare")
    graph = pipeline([Agent("w", model=ill, fallback=Agent("spare", model=spare))], guards=[MODELS]).compile()

    outcomes = [ask((graph, {"task": "say"})) for _ in range(5)]

    assert [outcome.value for outcome in outcomes] == ["said"] * 5
    assert (ill.calls, spare.calls) == (made, 5)


def test_what_a_model_has_said_before_is_no_answer_where_another_agent_takes_over() -> None:
    name = f"ill{uuid4().hex[:8]}"
    ill = ScriptedModel(replies=lambda _: calls("look", q="x"), model_name=name)
    spare = failing(None, "spare")

    @tool
    def look(q: str) -> str:
        """Look."""
        for _ in range(2):
            with pytest.raises(Busy):
                failing(Busy(503), name).invoke("x")
        return "nothing"

    agent = Agent("w", run=create_agent(ill, [look]), fallback=Agent("spare", model=spare))
    alone = Agent("w", run=create_agent(ill, [look]))

    outcome = asked((pipeline([agent], guards=[MODELS]).compile(), {"task": "look"}))
    kept = asked((pipeline([alone], guards=[MODELS]).compile(), {"task": "look"}))

    assert (outcome.status, outcome.value) == ("completed", "said")
    assert (kept.status, kept.stopped_by) == ("failed", "Breaker")
    assert f"the circuit of model 'offline:{name}' is open" in kept.reason


def test_circuits_of_a_database_are_shown_and_reset(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    url, service = f"sqlite:///{tmp_path / 'runs.db'}", Service(turns=3)

    def run() -> Any:
        with Runner(url) as runner:
            return runner.run(pipeline([Agent("w", run=service.agent())], guards=[TOOLS]), "print")

    run()
    with Runner(url) as runner:
        [circuit] = runner.breakers()
    name = f"tool:{service.name}"
    assert (circuit.agent, circuit.state, circuit.attempts, circuit.failures) == (name, "open", 2, 2)

    service.made, service.is_ill = 0, False
    assert run().outcome.status == "completed"
    assert service.made == 0

    assert main(["breakers", "reset", name, "--db", url]) == 0
    run()
    assert service.made == 3
    assert main(["breakers", "--db", url]) == 0
    assert name in capsys.readouterr().out


def test_a_middleware_shares_the_circuits_of_the_run_around_it(tmp_path: Any) -> None:
    service = Service(turns=3)
    with Runner(f"sqlite:///{tmp_path / 'runs.db'}") as runner:
        runner.run(pipeline([Agent("w", run=service.agent(TOOLS))], guards=[]), "print")

        assert [one.agent for one in runner.breakers()] == [f"tool:{service.name}"]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Breaker(rate=0.5, of="tools"), "`of` must be one of agent, tool, model; got 'tools'"),  # type: ignore[arg-type]
        (lambda: Breaker(3, of="tool"), "`failures` of a Breaker are those of attempts at a task; give `rate`"),
        (
            lambda: pipeline([Agent("w", run=lambda request: "x")], guards=[TOOLS, TOOLS]),
            "agent 'w' has 2 Breakers with a `rate` .0.5, 0.5., but each tool has one circuit",
        ),
    ],
)
def test_what_could_not_hold_is_refused(make: Any, reason: str) -> None:
    with pytest.raises(BadGraph, match=reason):
        make()


def test_agents_tools_and_models_may_each_have_one() -> None:
    pipeline([Agent("w", run=lambda request: "x")], guards=[TOOLS, MODELS, Breaker(rate=0.5), Breaker(3)])
