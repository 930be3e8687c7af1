"""A new run from where the last one has failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import takewhile
from typing import Any, NamedTuple

from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, Overwrite, Send, StateSnapshot

from guardgraph.nodes.team_spec import TeamSpec
from guardgraph.runs.former_names import renamed
from guardgraph.runs.graph_facts import VERSION
from guardgraph.runs.head import outermost
from guardgraph.runs.migrating import refusal
from guardgraph.state import DelegationScope, Request, Result

__all__ = ("Failure", "failure_of", "retry_command")

_Unit = tuple[str, int]
"""What was to be done: the id of its subtask or the agent that does it, and the round."""


class Failure(NamedTuple):
    """What a run has failed for."""

    before: StateSnapshot
    """The state before the last visit of the gate that reviews it; all that was accepted is there."""
    sends: Mapping[_Unit, tuple[str, Request]]
    """What is to be done again: the agent, and the request that it was sent with."""
    results: Sequence[str]
    """The ids of the results that have failed."""
    names: frozenset[str]
    """The subtasks and agents to which gaps of them belong."""


def failure_of(
    graph: CompiledStateGraph[Any, Any, Any, Any], thread_id: str, run_id: str, names: Mapping[str, str]
) -> Failure | None:
    """Return what an ended run has failed for; `None` where no attempt of an agent was the last to fail.

    `names` are the present names of nodes by former ones.

    That is the work which the last gate has refused for good, and all that had failed before it at the same gate in
    the same round, but for agents in whose place another was sent the task. Where something was accepted after
    that, it was not what the run has failed for.

    Raises:
        MigrationNeeded: the agent that has failed is gone.
    """
    team: TeamSpec | None = getattr(graph.builder, "team", None)
    history = graph.get_state_history(outermost(thread_id))
    states = list(takewhile(lambda state: getattr(state.values.get("position"), "run_id", None) == run_id, history))
    if team is None or not states:
        return None
    final = {name: renamed(value, names) for name, value in states[0].values.items()}
    failed = _failed(final)
    is_plan = bool(failed) and failed[-1] in final["plans"]
    gone = [one.agent for one in failed[-1:] if one.agent not in team.leads]
    if gone:
        raise refusal(graph, thread_id, (states[0].metadata or {}).get(VERSION, ""), gone)
    gate = team.leads[failed[-1].agent][0] if failed else ""
    visits = (state for state in states if [names.get(name, name) for name in state.next] == [gate])
    before = next((one for one in visits if not is_plan or failed[-1].id in one.values["requests"]), None)
    if before is None:
        return None
    there = {result.id for result in (*before.values["results"], *before.values["plans"])}
    if not _accepted(final) <= there:
        return None
    number = max(failed[-1].round, 1)
    again = [
        one for one in failed if one.round == number and one.id in there and team.leads.get(one.agent, "?")[0] == gate
    ]
    again = _of_last_sends(again, states)
    requests = {id_: request for state in reversed(states) for id_, request in state.values["requests"].items()}
    known = [one for one in reversed(again) if one.id in requests]
    sends = {_unit(one): (one.fallback_for or one.agent, requests[one.id]) for one in known}
    tried = {_unit(one): one.attempt for one in again}
    renewed_sends = {unit: (agent, _again(request, tried[unit])) for unit, (agent, request) in sends.items()}
    owners = frozenset([name for name, _ in sends] + [one.agent for one in again] + ["plan"])
    before = before._replace(values={name: renamed(value, names) for name, value in before.values.items()})
    return Failure(before, renewed_sends, [one.id for one in again], owners) if sends else None


def retry_command(failure: Failure, run_id: str, now: datetime, migrated: Mapping[str, Any]) -> Command[Any]:
    """Return the command by which the graph does again what has failed, as a run of its own.

    `migrated` are the writes that make the state fit the graph, where another version of it has failed.

    The run has the allowance that the one before had when it began, and as much time. Each agent has all its attempts
    again.
    """
    values = failure.before.values
    position = _begun_again(values["position"], run_id, now)
    known = {result.id for result in values["results"]}
    gaps = [gap for gap in values["gaps"] if gap.owner not in failure.names]
    update: dict[str, Any] = {
        **migrated,
        "position": position,
        "refused": [id_ for id_ in failure.results if id_ in known],
        "requests": dict.fromkeys(failure.results),
        "gaps": Overwrite(gaps),
    }
    sends = [Send(agent, {"request": request, "position": position}) for agent, request in failure.sends.values()]
    return Command(update=update, goto=sends)


def _failed(final: Mapping[str, Any]) -> list[Result]:
    """Return the results of workers that failed for good; where there are none, the first plan."""
    accepted = _accepted(final)
    done = {_unit(result) for result in final["results"] if result.id in accepted}
    failed = [one for one in final["results"] if one.id not in accepted and _unit(one) not in done]
    return failed or ([] if accepted else list(final["plans"][:1]))


def _of_last_sends(failed: Sequence[Result], states: Sequence[StateSnapshot]) -> list[Result]:
    """Return failed results without those in whose place another agent was sent the task, as a router's fallback is.

    Agents that are sent the task at once come back at once. Subtasks are all kept.
    """
    age = Counter(result.id for state in states for result in (*state.values["results"], *state.values["plans"]))
    first: dict[_Unit, int] = {}
    for one in failed:
        first[_unit(one)] = max(first.get(_unit(one), 0), age[one.id])
    last = first[_unit(failed[-1])] if failed else 0
    return [one for one in failed if one.subtask is not None or first[_unit(one)] == last]


def _unit(result: Result) -> _Unit:
    return (result.role, result.round)


def _accepted(values: Mapping[str, Any]) -> set[str]:
    return set(values["accepted"]).difference(values["refused"])


def _begun_again(position: DelegationScope, run_id: str, now: datetime) -> DelegationScope:
    work = position.spending_account.removeprefix(position.account)
    deadline, allowance = position.allowance.deadline, position.allowance
    if deadline is not None:
        allowance = allowance.model_copy(update={"deadline": now + (deadline - position.started)})
    accounts = {"run_id": run_id, "account": run_id, "spending_account": f"{run_id}{work}"}
    return position.model_copy(update={**accounts, "allowance": allowance, "started": now})


def _again(request: Request, tried: int) -> Request:
    return request.model_copy(update={"attempt": tried + 1, "tries": 1})
