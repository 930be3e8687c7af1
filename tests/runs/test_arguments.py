from __future__ import annotations

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from guardgraph.runs import Runner
from guardgraph.runs.arguments import checked_allowance, checked_answers, checked_input
from guardgraph.state import Allowance, BadGraph, BadInput
from tests.runs import team

URL = "sqlite://"


@pytest.fixture(autouse=True)
def worked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKED", str(tmp_path / "worked.txt"))


@pytest.mark.parametrize("graphs", [{"flat": team.flat}, {"flat": team.flat()}])
@pytest.mark.parametrize("task", ["x", {"goal": "x"}, {"task": "x"}, {"task": {"goal": "x"}}])
def test_graphs_and_tasks_are_taken_in_every_form(graphs: dict[str, Any], task: Any) -> None:
    with Runner(URL, graphs=graphs) as runner:
        runs = [runner.run(graph, task) for graph in ("flat", graphs["flat"])]

    assert [(run.status, run.graph) for run in runs] == [("completed", "flat")] * 2


@pytest.mark.parametrize(
    ("graphs", "error", "message"),
    [
        ([team.flat], BadInput, "`graphs` maps names to builders"),
        ("flat", BadInput, "`graphs` maps names to builders"),
        ({1: team.flat}, BadInput, "the name of a graph is a text, as in {'vendors': build}; got 1"),
        ({" ": team.flat}, BadInput, "the name of a graph is a text"),
        ({"p": None}, BadGraph, "graph 'p' must be an uncompiled StateGraph or a function that returns one, got None"),
        ({"p": team.flat().compile()}, BadGraph, "graph 'p' must be an uncompiled StateGraph"),
    ],
)
def test_graphs_that_cannot_be_built_are_refused_at_once(graphs: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Runner(URL, graphs=graphs)


def test_a_listener_and_arguments_of_another_kind_are_named() -> None:
    with pytest.raises(BadInput, match=r"`on_event` is a function that is given every event, as events.append; got 3"):
        Runner(URL, on_event=3)  # type: ignore[arg-type]
    with Runner(URL, graphs=team.GRAPHS) as runner, pytest.raises(BadInput, match=r"`arguments` maps .*; got 'x'"):
        runner.run("flat", "x", arguments="x")  # type: ignore[arg-type]


def test_a_function_that_is_not_registered_is_refused_with_a_remedy() -> None:
    with Runner(URL) as runner, pytest.raises(BadGraph, match="of type function; call it, or register it"):
        runner.run(team.flat, "x")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("request_input", "message"),
    [
        ({"task": "x", "tsak": "y"}, "unknown fields 'tsak' beside `task`"),
        ({"gaol": "x"}, "gaol: Extra inputs are not permitted; its fields are goal, id"),
        (3, "a task is a text, a Task or a mapping of its fields, got int"),
    ],
)
def test_what_is_no_task_is_named(request_input: object, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        checked_input(request_input)


@pytest.mark.parametrize("answers", ["yes", ["yes"], 1])
def test_answers_are_given_by_the_ids_of_their_questions(answers: object) -> None:
    with pytest.raises(BadInput, match=r"`answers` maps the id of each question of `run.waiting` to its answer"):
        checked_answers(answers)


@pytest.mark.parametrize(
    ("add", "taken"),
    [(None, None), ({"usd": "1.50"}, Allowance(usd=Decimal("1.50"))), (Allowance(calls=2), Allowance(calls=2))],
)
def test_what_is_added_may_be_given_by_its_fields(add: object, taken: Allowance | None) -> None:
    assert checked_allowance(add) == taken


@pytest.mark.parametrize(
    ("add", "message"),
    [
        (5, "`add` is an Allowance, as Allowance(usd='1.00')"),
        ({"dollars": 1}, "`add` is no Allowance: dollars: Extra inputs are not permitted; its fields are tokens, usd"),
        ({"tokens": -1}, "`add` is no Allowance: tokens: Input should be greater than or equal to 0"),
    ],
)
def test_what_is_no_allowance_is_named(add: object, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        checked_allowance(add)
    assert str(caught.value).startswith(message)


def test_a_runner_takes_what_is_added_and_answered_by_fields(database_url: str) -> None:
    given: Mapping[str, Any] = {"tokens": 10}
    with Runner(database_url, graphs=team.GRAPHS) as runner:
        run = runner.run("asking", "x")
        with pytest.raises(BadInput, match="`answers` maps the id"):
            runner.resume(run.thread_id, answers="yes")  # type: ignore[arg-type]
        done = runner.resume(run.thread_id, answers={run.waiting[0].id: "yes"}, add=given)

    assert done.status == "completed"


def test_a_runner_is_an_async_context_and_opens_again_after_it(database_url: str) -> None:
    async def use() -> Runner:
        async with Runner(database_url, graphs=team.GRAPHS) as runner:
            await runner.arun("flat", "x", thread_id="t")
        return runner

    with asyncio.run(use()) as runner:
        assert runner.status("t").status == "completed"


def test_runs_are_listed_by_how_they_stand(database_url: str) -> None:
    with Runner(database_url, graphs=team.GRAPHS) as runner:
        runner.run("flat", "x", thread_id="done")
        runner.run("asking", "x", thread_id="asks")
        parts = runner.stream("flat", "x", thread_id="left")
        next(parts)
        parts.close()  # type: ignore[attr-defined]

        listed = [(one.row.thread_id, one.status) for one in runner.list_runs()]
        assert listed == [("left", "stopped"), ("asks", "waiting"), ("done", "completed")]
        assert [one.row.thread_id for one in runner.list_runs(status="waiting")] == ["asks"]
        assert [one.row.thread_id for one in runner.list_runs(1, status="stopped")] == ["left"]
        assert [one.row.thread_id for one in runner.list_runs(status="completed")] == ["done"]
        assert {one.status for one in runner.list_runs()} == {runner.status(t).status for t in ("left", "asks", "done")}
        with pytest.raises(BadInput, match="`status` is one of running, waiting, stopped, crashed, completed"):
            runner.list_runs(status="unfinished")  # type: ignore[arg-type]


def streamed(how: str, **given: Any) -> list[Any]:
    """Return the kinds of the parts of a run, without the run."""

    async def gathered(runner: Runner) -> list[Any]:
        return [part async for part in runner.astream("flat", "t", **given)]

    with Runner(URL, graphs={"flat": team.flat}) as runner:
        parts = asyncio.run(gathered(runner)) if how == "async" else list(runner.stream("flat", "t", **given))
        assert parts[-1].status == "completed"
    return [part["type"] for part in parts[:-1]]


@pytest.mark.parametrize("how", ["sync", "async"])
def test_one_mode_of_streaming_may_be_given_as_a_text(how: str) -> None:
    for mode in ("updates", "messages", "values"):
        assert set(streamed(how, stream_mode=mode)) == {mode}
    assert set(streamed(how, stream_mode=["updates", "values"])) == {"updates", "values"}
    assert set(streamed(how)) == {"updates"}


@pytest.mark.parametrize("how", ["sync", "async"])
@pytest.mark.parametrize("modes", ["message", ["updates", "message"], None, 5, [["updates"]]])
def test_what_is_no_mode_of_streaming_is_refused_before_anything_is_stored(how: str, modes: Any) -> None:
    async def first(runner: Runner) -> None:
        await anext(aiter(runner.astream("flat", "t", stream_mode=modes)))

    with Runner(URL, graphs={"flat": team.flat}) as runner:
        with pytest.raises(BadInput, match=r"`stream_mode` is one or several of 'values', 'updates', .*; got "):
            asyncio.run(first(runner)) if how == "async" else next(runner.stream("flat", "t", stream_mode=modes))
        assert runner.list_runs() == []
