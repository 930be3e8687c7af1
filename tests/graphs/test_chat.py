"""Teams that are asked by messages, and that others ask as a node or as a tool."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, RemoveMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, interrupt
from typing_extensions import TypedDict

from guardgraph.agents import Agent
from guardgraph.graphs import GateContext, Team, pipeline, supervisor
from guardgraph.guards import GuardContext, Refuse, guard
from guardgraph.models.offline import ScriptedModel
from guardgraph.nodes import Route
from guardgraph.runs import Runner
from guardgraph.state import BadInput, Outcome, PatternError, Plan, Request, RunState, Subtask, Task
from guardgraph.storage import SQLSaver
from tests.graphs.teams import planner, worker

pytestmark = [
    pytest.mark.filterwarnings("ignore:This API is in beta"),  # LangChain says so of `as_tool`
    pytest.mark.filterwarnings("ignore:Deserializing unregistered type"),
]


def answer(request: Request) -> Any:
    """Answer the goal, with what was said before."""
    said = [f"{piece.sender}: {piece.value}" for piece in request.context if piece.kind == "background"]
    return {"goal": request.goal, "after": said} if said else f"answer to {request.goal}"


def one(name: str = "desk", run: Callable[[Request], Any] = answer, **facts: Any) -> StateGraph[Any, Any, Any, Any]:
    """Return a team of one agent."""
    return pipeline([Agent("clerk", run=run)], name=name, **facts)


def many() -> StateGraph[Any, Any, Any, Any]:
    """Return a supervisor whose only worker answers the goal of the task."""

    def plan(request: Request) -> Plan:
        return Plan(subtasks=(Subtask(id="s", goal=request.goal),)) if request.round == 1 else Plan()

    def write(request: Request) -> Any:
        return request.results[0].value

    return supervisor(
        planner=Agent("planner", run=plan),
        workers=[Agent("worker", run=answer)],
        synthesizer=Agent("writer", run=write),
        name="desk",
    )


def own(begin: Route | None = None) -> StateGraph[Any, Any, Any, Any]:
    """Return a pattern of a user's."""
    clerk = Agent("clerk", run=answer)
    return Team("desk", guards=[], entry=begin or [clerk], author=clerk).build()


def told(messages: list[AnyMessage]) -> list[tuple[str, str]]:
    return [(message.type, message.text) for message in messages]


def on(thread: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread}}


def ask(graph: Any, given: Any, config: RunnableConfig | None = None, *, way: str = "sync") -> dict[str, Any]:
    return graph.invoke(given, config) if way == "sync" else asyncio.run(graph.ainvoke(given, config))


WAYS = pytest.mark.parametrize("way", ["sync", "async"])
HELLO = {"messages": [{"role": "user", "content": "hello"}]}


@WAYS
@pytest.mark.parametrize("build", [one, many, own])
@pytest.mark.parametrize(
    "messages",
    [
        [HumanMessage("hello")],
        [{"role": "user", "content": "hello"}],
        [{"type": "human", "content": [{"type": "text", "text": "hello"}]}],
        [("user", "hello")],
        HumanMessage("hello"),
        "hello",
    ],
    ids=["message", "dict", "blocks", "pair", "alone", "text"],
)
def test_every_team_takes_messages_in_place_of_a_task(build: Callable[[], Any], messages: Any, way: str) -> None:
    said = ask(build().compile(), {"messages": messages}, way=way)

    assert said["outcome"].value == "answer to hello"
    assert said["outcome"].status == "completed"
    assert told(said["messages"]) == [("human", "hello"), ("ai", "answer to hello")]
    assert said["messages"][-1].name == "desk"


def test_a_task_alone_is_answered_by_a_message_too() -> None:
    said = one().compile().invoke({"task": "hello"})

    assert said["outcome"].value == "answer to hello"
    assert told(said["messages"]) == [("ai", "answer to hello")]


@WAYS
@pytest.mark.parametrize("build", [one, many, own])
@pytest.mark.parametrize("kind", ["memory", "sql"])
def test_a_second_turn_sends_only_what_is_new_and_knows_the_first(
    build: Callable[[], Any], kind: str, way: str, tmp_path: Path
) -> None:
    with SQLSaver.from_url(f"sqlite:///{tmp_path}/threads.db") as saver:
        graph = build().compile(checkpointer=InMemorySaver() if kind == "memory" else saver)
        ask(graph, HELLO, on("1"), way=way)
        second = ask(graph, {"messages": [("user", "and then?")]}, on("1"), way=way)
        third = ask(graph, {"messages": [("user", "thanks")]}, on("1"), way=way)

    after = ["user: hello", "desk: answer to hello"]
    assert second["outcome"].value == {"goal": "and then?", "after": after}
    answers = ["answer to hello", json.dumps({"goal": "and then?", "after": after}, separators=(",", ":"))]
    assert third["outcome"].value == {"goal": "thanks", "after": [*after, "user: and then?", f"desk: {answers[1]}"]}
    assert [text for _, text in told(third["messages"])][:5] == [
        "hello",
        answers[0],
        "and then?",
        answers[1],
        "thanks",
    ]
    assert len({message.id for message in third["messages"]}) == len(third["messages"]) == 6


def test_a_client_that_sends_the_whole_conversation_again_doubles_nothing() -> None:
    graph = one().compile(checkpointer=InMemorySaver())
    first = graph.invoke(HELLO, on("1"))["messages"]

    second = graph.invoke({"messages": [*first, ("user", "and then?")]}, on("1"))

    assert second["outcome"].value == {"goal": "and then?", "after": ["user: hello", "desk: answer to hello"]}
    assert [kind for kind, _ in told(second["messages"])] == ["human", "ai", "human", "ai"]


def test_a_task_alone_is_not_told_what_was_said_before_on_its_thread() -> None:
    graph = one().compile(checkpointer=InMemorySaver())
    graph.invoke(HELLO, on("1"))

    assert graph.invoke({"task": "count"}, on("1"))["outcome"].value == "answer to count"
    last = graph.invoke({"messages": [("user", "and then?")]}, on("1"))["outcome"].value
    assert last["after"] == ["user: hello", "desk: answer to hello", "desk: answer to count"]


def test_a_task_that_is_asked_again_on_its_thread_is_that_task() -> None:
    graph, task = one().compile(checkpointer=InMemorySaver()), Task(goal="count")
    graph.invoke({"task": task}, on("1"))

    assert graph.invoke({"task": task}, on("1"))["outcome"].value == "answer to count"
    assert graph.invoke({"task": "sum"}, on("1"))["outcome"].value == "answer to sum"


def test_background_that_was_given_to_one_run_is_not_there_in_the_next() -> None:
    graph = one().compile(checkpointer=InMemorySaver())
    rules = {"kind": "background", "title": "rules", "sender": "house", "value": "be brief"}

    first = graph.invoke({**HELLO, "background": [rules]}, on("1"))["outcome"].value
    second = graph.invoke({"messages": [("user", "more")]}, on("1"))["outcome"].value

    assert first["after"] == ["house: be brief"]
    assert [said.partition(":")[0] for said in second["after"]] == ["user", "desk"]


@pytest.mark.parametrize(
    ("messages", "match"),
    [
        ([("ai", "hello")], "at least one is from a human; the 1 given are from assistant"),
        ([("user", " ")], "the last message of a human is empty"),
        ([("user", "hello"), ("user", "")], "the last message of a human is empty"),
        ([], "no task: pass"),
        ([{"say": "hello"}], "`messages` is a list of LangChain messages.*and does not fit: Message dict must contain"),
        (7, "does not fit: Unsupported message type"),
    ],
)
def test_messages_that_ask_nothing_are_bad_input_and_leave_the_thread_usable(messages: Any, match: str) -> None:
    graph = one().compile(checkpointer=InMemorySaver())

    with pytest.raises(BadInput, match=match):
        graph.invoke({"messages": messages}, on("1"))
    last = graph.invoke({"messages": [("user", "count")]}, on("1"))
    assert last["messages"][-2].text == "count"
    assert "count" in last["messages"][-1].text


def test_a_run_that_waits_for_a_human_goes_on_with_its_own_goal() -> None:
    graph = one(run=lambda request: f"{request.goal}: {interrupt('sure?')}").compile(checkpointer=InMemorySaver())
    graph.invoke(HELLO, on("1"))

    said = graph.invoke(Command(resume="yes"), on("1"))

    assert told(said["messages"]) == [("human", "hello"), ("ai", "hello: yes")]


def test_a_run_that_was_given_up_while_it_waited_is_background_once() -> None:
    def hesitate(request: Request) -> Any:
        return interrupt("sure?") if request.goal == "wait" else answer(request)

    graph = one(run=hesitate).compile(checkpointer=InMemorySaver())
    for goal in ("hello", "wait"):
        graph.invoke({"messages": [("user", goal)]}, on("1"))

    said = graph.invoke({"messages": [("user", "and then?")]}, on("1"))["outcome"].value

    assert said == {"goal": "and then?", "after": ["user: hello", "desk: answer to hello", "user: wait"]}


def waits(request: Request) -> Any:
    return interrupt("sure?") if request.goal == "wait" else answer(request)


def closed(_: GateContext) -> str:
    raise RuntimeError("closed today")


RULES = {"kind": "background", "title": "rules", "sender": "house", "value": "be brief"}


@pytest.mark.parametrize("then", [{"task": "count"}, {"messages": [("user", "count")]}])
@pytest.mark.parametrize("given", [{"task": "wait", "background": [RULES]}, {"task": "wait", "background": []}])
def test_what_a_run_was_given_that_never_ended_is_not_there_in_the_next(
    given: dict[str, Any], then: dict[str, Any]
) -> None:
    graph = one(run=waits).compile(checkpointer=InMemorySaver())
    graph.invoke(given, on("1"))

    assert graph.invoke(then, on("1"))["outcome"].value == "answer to count"


def test_a_run_whose_first_route_raised_keeps_what_it_was_given_and_is_resumed() -> None:
    saver = InMemorySaver()
    with pytest.raises(PatternError, match="closed today"):
        own(begin=closed).compile(checkpointer=saver).invoke({"task": "count", "background": [RULES]}, on("1"))

    said = own().compile(checkpointer=saver).invoke(None, on("1"))["outcome"].value
    assert said == {"goal": "count", "after": ["house: be brief"]}


@pytest.mark.parametrize("given", [HELLO, {"task": "hello", "background": [RULES]}])
def test_what_was_given_can_be_changed_before_the_run_is_admitted(given: dict[str, Any]) -> None:
    graph = one().compile(checkpointer=InMemorySaver(), interrupt_before=["guard_admission"])
    graph.invoke(given, on("1"))

    graph.update_state(on("1"), {"background": [{**RULES, "value": "be kind"}]})
    said = graph.invoke(None, on("1"))["outcome"].value

    assert said == {"goal": "hello", "after": ["house: be kind"]}


def test_after_its_answer_was_removed_a_question_is_answered_again_and_belongs_to_no_other_task() -> None:
    graph = one().compile(checkpointer=InMemorySaver())
    asked, answered = graph.invoke({"messages": [("user", "count")]}, on("1"))["messages"]

    told = graph.invoke({"messages": [RemoveMessage(answered.id)]}, on("1"))
    assert told["outcome"].value == "answer to count"
    edited = [RemoveMessage(told["messages"][-1].id), HumanMessage("sum", id=asked.id)]
    told = graph.invoke({"messages": [*edited, ("system", "be exact")]}, on("1"))
    assert told["outcome"].value == {"goal": "sum", "after": ["system: be exact"]}
    removed = [RemoveMessage(told["messages"][-1].id)]
    assert graph.invoke({"messages": removed, "task": "multiply"}, on("1"))["outcome"].value == "answer to multiply"


def test_a_turn_in_which_nothing_is_said_is_bad_input() -> None:
    graph = one().compile(checkpointer=InMemorySaver())
    graph.invoke({"messages": [("user", "count")]}, on("1"))

    with pytest.raises(BadInput, match="no message is newer than the last answer"):
        graph.invoke({"messages": []}, on("1"))
    assert graph.invoke({"messages": [("user", "sum")]}, on("1"))["messages"][-2].text == "sum"


def test_a_task_alone_knows_nothing_of_a_run_that_was_given_up() -> None:
    graph = one(run=lambda r: interrupt("sure?") if r.goal == "wait" else answer(r)).compile(
        checkpointer=InMemorySaver()
    )
    graph.invoke({"messages": [("user", "wait")]}, on("1"))

    assert graph.invoke({"task": "count"}, on("1"))["outcome"].value == "answer to count"


def test_what_a_guard_refuses_is_said_in_a_sentence() -> None:
    @guard(at="admission", on_trip=Refuse())
    def no_greetings(view: GuardContext) -> str | None:
        return "greetings are not answered"

    said = one(guards=[no_greetings]).compile().invoke(HELLO)

    assert said["outcome"].status == "refused"
    assert said["messages"][-1].text.startswith("There is no answer (refused, stopped by no_greetings)")


@WAYS
def test_a_nested_team_keeps_its_messages_to_itself(way: str) -> None:
    outer = pipeline([Agent("inner", run=one("inner").compile())], name="outer").compile()

    said = ask(outer, HELLO, way=way)

    assert told(said["messages"]) == [("human", "hello"), ("ai", "answer to hello")]
    assert said["messages"][-1].name == "outer"
    streamed = list(outer.stream(HELLO, stream_mode="messages"))
    assert [part[0].text for part in streamed] == ["answer to hello"]  # type: ignore[index]


def fails(request: Request) -> str:
    raise ValueError("broken")


class Chat(MessagesState, total=False):
    outcome: Outcome


class Mine(RunState, total=False):
    messages: Annotated[list[AnyMessage], add_messages]


class Form(TypedDict, total=False):
    task: str
    outcome: Outcome
    messages: list[AnyMessage]


@pytest.mark.parametrize("state", [Chat, Form])
def test_a_graph_of_a_users_that_tells_an_outcome_is_a_team_within_a_team(state: Any) -> None:
    partly = supervisor(
        planner=planner(Plan(subtasks=(Subtask(id="a", goal="a"), Subtask(id="b", goal="b")))),
        workers=[Agent("worker", run=lambda request: fails(request) if request.goal == "b" else "fine")],
    )
    graph: Any = StateGraph(state)
    graph.add_node("team", partly.compile())
    agent = Agent("team", run=graph.add_edge(START, "team").compile())

    outcome: Outcome = pipeline([agent]).compile().invoke({"task": "both"})["outcome"]

    assert agent.kind == "team"
    assert outcome.status == "degraded"
    assert {(gap.path, gap.subtask) for gap in outcome.gaps} == {(("team",), "b")}


def test_a_graph_whose_outcome_is_something_else_is_a_chat_graph() -> None:
    class Game(MessagesState):
        outcome: str

    graph: Any = StateGraph(Game)
    graph.add_node("play", lambda state: {"messages": [AIMessage("won")], "outcome": "won"})

    assert Agent("game", run=graph.add_edge(START, "play").compile()).kind == "messages"


@WAYS
def test_a_team_is_a_node_of_a_users_graph_and_adds_one_message_a_turn(way: str) -> None:
    graph: Any = StateGraph(MessagesState)
    graph.add_node("team", many().compile())
    chat = graph.add_edge(START, "team").compile(checkpointer=InMemorySaver())

    ask(chat, HELLO, on("1"), way=way)
    second = ask(chat, {"messages": [("user", "and then?")]}, on("1"), way=way)

    assert [kind for kind, _ in told(second["messages"])] == ["human", "ai", "human", "ai"]
    assert json.loads(second["messages"][-1].text)["after"] == ["user: hello", "desk: answer to hello"]


@WAYS
def test_teams_side_by_side_in_a_users_graph_add_one_message_each(way: str) -> None:
    graph: Any = StateGraph(MessagesState)
    for name in ("left", "right"):
        graph.add_node(name, one(name).compile())
        graph.add_edge(START, name)

    said = ask(graph.compile(), HELLO, way=way)

    assert [(message.name, message.text) for message in said["messages"][1:]] == [
        ("left", "answer to hello"),
        ("right", "answer to hello"),
    ]


def test_the_message_of_the_outcome_is_streamed_once() -> None:
    parts = list(many().compile().stream(HELLO, stream_mode="messages"))

    assert [part[0].text for part in parts] == ["answer to hello"]  # type: ignore[index]


class TestRunner:
    def test_messages_are_a_task_and_their_goal_is_listed(self, tmp_path: Path) -> None:
        team = one()
        with Runner(f"sqlite:///{tmp_path}/runs.db", graphs={"desk": team}) as runner:
            runner.run("desk", HELLO, thread_id="1")
            run = runner.run("desk", {"messages": [("user", "and then?")]}, thread_id="1")
            stored = runner.status("1")
            goals = [listed.row.task.goal for listed in runner.list_runs()]

        assert run.outcome is not None
        assert run.outcome.value == {"goal": "and then?", "after": ["user: hello", "desk: answer to hello"]}
        assert stored.outcome == run.outcome
        assert len(stored.state["messages"]) == 4
        assert goals == ["and then?", "hello"]
        assert stored.state["admitted"].id == run.state["admitted"].id

    def test_a_task_beside_messages_is_the_goal_also_where_the_thread_has_had_it(self, tmp_path: Path) -> None:
        task = Task(goal="count")
        with Runner(f"sqlite:///{tmp_path}/runs.db") as runner:
            for said in ("one", "two"):
                run = runner.run(one(), {"task": task, "messages": [("user", said)]}, thread_id="1")

        assert run.outcome is not None
        value: Any = run.outcome.value
        assert value["goal"] == "count"
        assert value["after"][::2] == ["user: one", "user: two"]

    def test_asynchronously_too(self, tmp_path: Path) -> None:
        async def both() -> Any:
            async with Runner(f"sqlite:///{tmp_path}/runs.db") as runner:
                return await runner.arun(one(), HELLO)

        assert asyncio.run(both()).outcome.value == "answer to hello"

    def test_messages_that_ask_nothing_store_nothing(self, tmp_path: Path) -> None:
        with Runner(f"sqlite:///{tmp_path}/runs.db") as runner:
            with pytest.raises(BadInput, match="at least one is from a human"):
                runner.run(one(), {"messages": [("ai", "hello")]})
            with pytest.raises(BadInput, match="unknown fields 'backgroud' beside `task` and `messages`"):
                runner.run(one(), {**HELLO, "backgroud": []})
            assert runner.list_runs() == []


class TestTool:
    """A team as a tool of a model."""

    @WAYS
    @pytest.mark.parametrize("build", [one, many, own])
    def test_a_tool_takes_a_task_alone(self, build: Callable[[], Any], way: str) -> None:
        tool: Any = build().compile().as_tool(name="desk", description="Answers.")

        assert ask(tool, {"task": "hello"}, way=way)["outcome"].value == "answer to hello"
        assert ask(tool, {"task": {"goal": "hello"}}, way=way)["outcome"].value == "answer to hello"
        with_more = {"task": "hello", "messages": [("user", "yes")], "background": [{"kind": "gap", "title": "t"}]}
        assert ask(tool, with_more, way=way)["outcome"].value["after"] == ["user: yes"]

    def test_a_model_is_shown_the_task_and_nothing_else(self) -> None:
        tool = one().compile().as_tool(name="desk", description="Answers.")

        shown = convert_to_openai_tool(tool)["function"]["parameters"]

        assert shown["required"] == ["task"]
        assert {name: field["type"] for name, field in shown["properties"].items()} == {"task": "string"}
        assert len(json.dumps(shown)) < 200

    @WAYS
    def test_an_agent_calls_a_team_as_its_tool(self, way: str) -> None:
        def say(messages: list[Any]) -> AIMessage | str:
            if isinstance(messages[-1], ToolMessage):
                return f"heard {messages[-1].text}"
            calls = [{"name": "desk", "args": {"task": goal}, "id": goal} for goal in ("one", "two")]
            return AIMessage("", tool_calls=calls)

        tool: Any = one().compile().as_tool(name="desk", description="Answers.")
        agent: Any = create_agent(ScriptedModel(replies=say), tools=[tool], checkpointer=InMemorySaver())

        said = ask(agent, HELLO, on("1"), way=way)["messages"]

        tools = [message for message in said if isinstance(message, ToolMessage)]
        assert [message.status for message in tools] == ["success", "success"]
        assert ["answer to one" in tools[0].text, "answer to two" in tools[1].text] == [True, True]
        team = pipeline([Agent("helped", run=agent)]).compile()
        outcome = ask(team, {"task": "hello"}, on("2"), way=way)["outcome"]
        assert (outcome.status, outcome.usage.calls) == ("completed", 2)

    @WAYS
    def test_a_tool_node_calls_a_team(self, way: str) -> None:
        tool = one().compile().as_tool(name="desk", description="Answers.")
        graph: Any = StateGraph(MessagesState)
        graph.add_node("tools", ToolNode([tool]))
        calls = [{"name": "desk", "args": {"task": "one"}, "id": "1", "type": "tool_call"}]
        chat = graph.add_edge(START, "tools").compile()

        last = ask(chat, {"messages": [AIMessage("", tool_calls=calls)]}, way=way)["messages"][-1]

        assert isinstance(last, ToolMessage)
        assert last.status == "success"
        assert "answer to one" in last.text


def test_the_schemas_of_a_team_show_messages_to_a_client() -> None:
    graph = one().compile()
    asked, said = graph.get_input_jsonschema(), graph.get_output_jsonschema()

    assert set(asked["properties"]) == {"task", "background", "messages"}
    assert set(said["properties"]) == {"outcome", "messages"}
    assert asked["properties"]["messages"]["langgraph_type"] == "messages"
    assert asked["properties"]["messages"] == said["properties"]["messages"]
    assert {"$ref": "#/$defs/Task"} in asked["properties"]["task"]["anyOf"]
    assert not asked.get("required")
    assert len(json.dumps(asked)) < 4_000, "agent servers hand it to models"


def test_a_state_that_declares_langgraphs_own_messages_works() -> None:
    clerk = worker("clerk", run=answer)
    graph = Team("desk", guards=[], entry=[clerk], author=clerk, state=Mine).build()

    assert told(graph.compile().invoke(HELLO)["messages"]) == [("human", "hello"), ("ai", "answer to hello")]


BAD: dict[str, Any] = {
    "background": {"task": "T1", "background": "junk"},
    "task": {"task": 5},
    "empty": {"task": {"goal": ""}},
    "nobody": {"messages": [("ai", "hello")]},
    "says nothing": {"messages": [("user", " ")]},
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("way", ["sync", "async"])
def test_what_does_not_fit_leaves_nothing_behind_on_its_thread(way: str, bad: str) -> None:
    graph = one().compile(checkpointer=InMemorySaver())
    config: RunnableConfig = {"configurable": {"thread_id": "t"}}

    def ask(given: Any) -> Any:
        return graph.invoke(given, config) if way == "sync" else asyncio.run(graph.ainvoke(given, config))

    for _ in range(2):
        with pytest.raises(BadInput):
            ask(BAD[bad])
    asked = ask({"task": "a good task"})["outcome"]
    with pytest.raises(BadInput):
        ask(BAD[bad])
    said = ask({"messages": [("user", "a question")]})["outcome"]

    assert asked.value == "answer to a good task"
    assert said.value["goal"] == "a question"
