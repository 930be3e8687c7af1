"""A team that is declared wrongly says so when it is built, in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from guardgraph.graphs import Stage, frame, pipeline, supervisor
from guardgraph.guards import Budget, Deadline, Depth, Guard, Limits, OnTrip, Refuse, Retry, Schema, View, guard
from guardgraph.nodes import Agent, send
from guardgraph.nodes.models import ScriptedModel
from guardgraph.state import BadGraph
from tests.graphs.teams import echo, planner, team, worker

MODEL: Any = ScriptedModel(replies=["said"])
NONE: Any = None


def built(**facts: Any) -> Any:
    known: Any = {"planner": planner(), "workers": [worker()]}
    return supervisor(**{**known, **facts})


@guard(at=("admission", "dispatch"), on_trip=Retry(2))
def sends_back(view: View) -> str | None:
    """Want something sent back where nobody is there yet."""


def framed(**facts: Any) -> Any:
    writer = worker("writer")
    known: Any = {"guards": [], "begin": lambda state: [send(writer, state)], "begins_at": ["writer"], "author": writer}
    return frame("own", **{**known, **facts})


@pytest.mark.parametrize("wrong", [echo, "openai:gpt-5", MODEL, team().compile(), Agent, None])
@pytest.mark.parametrize("role", ["planner", "workers", "synthesizer"])
def test_who_is_no_agent_is_refused(role: str, wrong: Any) -> None:
    if (role, wrong) != ("synthesizer", None):
        with pytest.raises(BadGraph, match=rf"^supervisor: (each of )?`{role}` must be "):
            built(**{role: [wrong] if role == "workers" else wrong})


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: built(workers=worker()), r"supervisor: `workers` must be a list, got one Agent: write workers=\[…\]"),
        (lambda: built(guards=Budget(calls=1)), "supervisor: `guards` must be a list, got one Budget: write guards"),
        (lambda: built(concurrency="4"), "supervisor: `concurrency` must be a whole number or None, got '4'"),
        (lambda: built(concurrency=0), "`concurrency` must be at least 1, got 0"),
        (lambda: built(name=3), "a pattern: `name` must be a text, got 3"),
        (lambda: pipeline(NONE), "pipeline: `stages` must be a list, got None"),
        (lambda: pipeline(worker()), "pipeline: `stages` must be a list, got one Agent"),  # type: ignore[arg-type]
        (lambda: pipeline([echo]), r"each of `stages` must be Stage\(…\) or Agent\(…\), got function"),  # type: ignore[list-item]
        (lambda: pipeline([worker()], guards=Depth()), "pipeline: `guards` must be a list"),  # type: ignore[arg-type]
        (lambda: Stage(echo), r"Stage: `agent` must be Agent\(…\), got function"),  # type: ignore[arg-type]
        (lambda: framed(guards=Depth()), "own: `guards` must be a list, got one Depth"),
        (lambda: framed(begins_at="writer"), "own: `begins_at` must be a list, got one str"),
        (lambda: framed(author=echo), r"own: `author` must be Agent\(…\) or None, got function"),
    ],
)
def test_what_is_declared_wrongly_is_refused(build: Callable[[], object], says: str) -> None:
    with pytest.raises(BadGraph, match=says):
        build()


@pytest.mark.parametrize("judge", [Depth(2, on_trip=Retry(1)), Limits(on_trip=Retry(0)), sends_back])
@pytest.mark.parametrize("build", [built, framed, lambda guards: pipeline([worker()], guards=guards)])
def test_a_retry_where_nobody_can_try_again_is_refused(build: Callable[..., object], judge: Guard) -> None:
    says = r"guard '.*' has `on_trip=Retry\(…\)`, but judges only at (admission, )?dispatch, where nobody has answered"
    with pytest.raises(BadGraph, match=says):
        build(guards=[judge])


@pytest.mark.parametrize("on_trip", [Retry(1), Retry(0)])
@pytest.mark.parametrize("kind", [Schema, partial(Budget, calls=1), partial(Deadline, 9)])
def test_a_retry_of_a_guard_that_also_judges_what_agents_answer_is_taken(kind: Any, on_trip: OnTrip) -> None:
    built(guards=[kind(on_trip=on_trip)])


@pytest.mark.parametrize("attribute", ["gates", "on_trip", "name", "judges_failures"])
@pytest.mark.parametrize("build", [built, framed, lambda guards: pipeline([worker()], guards=guards)])
def test_a_guard_that_cannot_be_read_is_refused(build: Callable[..., object], attribute: str) -> None:
    def broken(_: object) -> None:
        raise OSError("the policy file is gone")

    facts = {"gates": frozenset({"handoff"}), "on_trip": Refuse(), "__call__": broken, attribute: property(broken)}
    policy: Any = type("Policy", (), facts)()

    with pytest.raises(BadGraph, match=r"a Policy that cannot be read: OSError: the policy file is gone"):
        build(guards=[policy])
