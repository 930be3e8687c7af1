"""Resuming a team that was left between two of its checkpoints."""

from __future__ import annotations

from typing import Any

import pytest

from guardgraph.agents import Agent
from guardgraph.graphs import supervisor
from guardgraph.runs import Runner
from guardgraph.state import Plan, Request, StorageUnavailable, Subtask


def plan(request: Request) -> Plan:
    return Plan() if request.round > 1 else Plan(subtasks=(Subtask(id="one", goal="one"),))


def nested() -> Any:
    inner = supervisor(planner=Agent("planner", run=plan), workers=[Agent("worker", run=lambda request: "done")])
    return supervisor(planner=Agent("planner", run=plan), workers=[Agent("team", run=inner.compile())], name="outer")


@pytest.mark.parametrize("stored", range(7))
def test_a_nested_team_of_which_the_last_writes_are_stored_but_no_checkpoint_goes_on(
    sqlite_url: str, stored: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Runner(sqlite_url, graphs={"nested": nested}) as runner:
        put, left = runner.saver.put, iter(range(stored))

        def put_some(config: Any, *rest: Any) -> Any:
            if config["configurable"]["checkpoint_ns"] and next(left, None) is None:
                raise StorageUnavailable("the database is gone")
            return put(config, *rest)

        monkeypatch.setattr(runner.saver, "put", put_some)
        with pytest.raises(StorageUnavailable, match="is gone"):
            runner.run("nested", "t", thread_id="thread")

    with Runner(sqlite_url, graphs={"nested": nested}) as runner:
        assert runner.resume("thread").status == "completed"
