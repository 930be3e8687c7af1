"""A new run from where the last one has failed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, Send, StateSnapshot

from guardgraph.nodes.scope import attempts_of
from guardgraph.runs.head import outermost
from guardgraph.state import DelegationScope, Request, Result

__all__ = ("Failure", "failure_of", "retry_command")


class Failure(NamedTuple):
    """What a run has failed for."""

    before: StateSnapshot
    """The state before a gate has reviewed it: all that was accepted is there, and no gap of it yet."""
    requests: Mapping[str, Request]
    """The requests of the attempts that have failed, by the ids of their results."""


def failure_of(graph: CompiledStateGraph[Any, Any, Any, Any], thread_id: str, run_id: str) -> Failure | None:
    """Return the last attempts of a run that were not accepted; `None` where there are none.

    They are looked for in the checkpoints of its outermost team, the latest first.
    """
    final: Mapping[str, Any] = graph.get_state(outermost(thread_id)).values
    for state in graph.get_state_history(outermost(thread_id)):
        position: DelegationScope | None = state.values.get("position")
        if position is None or position.run_id != run_id:
            return None
        requests: Mapping[str, Request] = state.values.get("requests") or {}
        made = [result for result in attempts_of(state.values) if result.id in requests]
        failed = {one.id: requests[one.id] for one in made if _has_failed(one, final) and one.agent in graph.nodes}
        if failed:
            return Failure(state, failed)
    return None


def retry_command(failure: Failure, run_id: str, now: datetime) -> Command[Any]:
    """Return the command by which the graph goes on with the attempts that have failed, as a run of its own.

    The run has the allowance that the one before had when it began, and as much time. Each agent has all its attempts
    again.
    """
    values = failure.before.values
    position = _begun_again(values["position"], run_id, now)
    agents = {result.id: result.agent for result in attempts_of(values)}
    sends = [
        Send(agents[id_], {"request": _again(request), "position": position})
        for id_, request in failure.requests.items()
    ]
    refused = [result.id for result in values.get("results") or () if result.id in failure.requests]
    update: dict[str, Any] = {"refused": refused, "requests": dict.fromkeys(failure.requests), "position": position}
    if values.get("draft") is not None and values["draft"].id in failure.requests:
        update["draft"] = None
    return Command(update=update, goto=sends)


def _begun_again(position: DelegationScope, run_id: str, now: datetime) -> DelegationScope:
    work = position.spending_account.removeprefix(position.account)
    deadline, allowance = position.allowance.deadline, position.allowance
    if deadline is not None:
        allowance = allowance.model_copy(update={"deadline": now + (deadline - position.started)})
    accounts = {"run_id": run_id, "account": run_id, "spending_account": f"{run_id}{work}"}
    return position.model_copy(update={**accounts, "allowance": allowance, "started": now})


def _again(request: Request) -> Request:
    return request.model_copy(update={"attempt": request.attempt + 1, "tries": 1, "feedback": None})


def _has_failed(result: Result, final: Mapping[str, Any]) -> bool:
    """Return whether an ended run does not use a result."""
    if result.id in {plan.id for plan in final.get("plans") or ()}:
        return not result.has_value or any(gap.subtask == "plan" for gap in final.get("gaps") or ())
    done = {*(final.get("accepted") or ()), *(final.get("passed") or ())}
    return result.id not in done.difference(final.get("refused") or ())
