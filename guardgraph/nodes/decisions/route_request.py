"""Route a request at the gates of a router: to the worker that is decided on, to the model, or to the fallback."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

from langgraph.types import Send

from guardgraph.agents.agent import Agent
from guardgraph.nodes.decisions.review import retry, retry_request, review_results
from guardgraph.nodes.decisions.route import Ladder, decide_route, read_choice
from guardgraph.nodes.gate_context import Destination, GateContext
from guardgraph.nodes.judging import judge_subject
from guardgraph.runtime.concurrency import isolation
from guardgraph.state import (
    Allowance,
    BadInput,
    ContextItem,
    EarlyStop,
    Gap,
    Plan,
    Result,
    RoutingDecision,
    Subtask,
)

__all__ = ("call_within", "review_worker", "route_request")

_T = TypeVar("_T")


def route_request(
    gate: GateContext, agents: Sequence[Agent], *, ladder: Ladder, workers: Mapping[str, Agent], fallback: Agent
) -> Destination | None:
    """Send the request to exactly one worker; where no rung decides, to the model in `agents`, else to `fallback`.

    Every decision is written to the channel `routing` and emitted as an event. The guards of `round` judge it as a plan
    of one subtask, whose skill is the name of the worker; the guards of `dispatch` judge what is sent. Where one of
    them stops a worker, the fallback worker gets the request.
    """
    model = next(iter(agents), None)
    if model is None or not gate.state.get("plans"):
        decision = decide_route(ladder, gate.task, call=partial(call_within, timeout=ladder.timeout))
        if decision.worker is None and model is not None:
            stop = _stop_before(gate, model)
            if stop is None:
                _record(gate, decision)
                return gate.send(model, context=[*_background(gate), *_score_context(decision)])
            decision = _with_problem(decision, f"the model was not asked: {stop.reason}")
    else:
        read = _read_answer(gate, model, tuple(workers))
        if not isinstance(read, RoutingDecision):
            return read
        decision = read
    if decision.worker is None:
        decision = _to_fallback(decision, fallback)
    worker = workers[str(decision.worker)]
    return _dispatch(gate, decision, [worker] if worker is fallback else [worker, fallback])


def review_worker(gate: GateContext, agents: Sequence[Agent], *, fallback: Agent) -> Destination | None:
    """Review the answer of the worker by the guards of `handoff`; where it has failed, send to the fallback worker.

    `None` where that has failed too.
    """
    before = list(gate.state.get("gaps") or ())
    found = review_results(gate, agents)
    if found is not None and not _may_go_on_free(gate, fallback):
        return found
    accepted = [result for result in gate.reviewed if result in gate.accepted]
    if accepted:
        return gate.conclude(accepted[-1])
    last: RoutingDecision = gate.state["routing"][-1]
    if last.worker == fallback.name:
        gate.write_unchecked(gaps=list(last.gaps))
        return found
    gaps = _new_gaps(gate, before)
    why = gaps[-1].reason if gaps else "it gave no answer"
    decision = RoutingDecision(
        worker=fallback.name, rung="fallback", reason=f"{last.worker!r} failed: {why}", gaps=tuple(gaps)
    )
    gate.write_unchecked(ending=None)
    return _dispatch(gate, decision, [fallback])


class _Attempt(NamedTuple):
    """What comes of the attempt to send a request to a worker."""

    sends: list[Send]
    stop: EarlyStop | None = None
    """What prevents it."""
    is_judged: bool = False
    """Whether a guard does, whose verdict is written."""


def _dispatch(gate: GateContext, decision: RoutingDecision, candidates: Sequence[Agent]) -> Destination:
    """Send the request to the first of `candidates` that nothing prevents, and record the decision.

    What a candidate before it leaves missing is a gap of the decision, not yet of the run.
    """
    missing, before = list(decision.gaps), list(gate.state.get("gaps") or ())
    attempt = _judge_round(gate, decision, candidates[0]) or _try_to_send(gate, candidates[0], decision)
    for agent in candidates[1:]:
        if attempt.stop is None or attempt.stop.status != "degraded":
            break
        missing.extend(_new_gaps(gate, before))
        decision = _not_sent(decision, attempt.stop)
        why = {"reason": decision.problems[-1], "confidence": None}  # those of the rung were about the other worker
        decision = decision.model_copy(update={"worker": agent.name, "rung": "fallback", **why})
        attempt = _try_to_send(gate, agent, decision)
    if attempt.stop is None:
        gate.withdraw(missing)
        _record(gate, decision.model_copy(update={"gaps": tuple(missing)}))
        return attempt.sends
    _record(gate, _not_sent(decision, attempt.stop))
    return gate.end(attempt.stop) if attempt.is_judged else gate.stop_for(attempt.stop)


def _judge_round(gate: GateContext, decision: RoutingDecision, worker: Agent) -> _Attempt | None:
    """Return how the guards of `round` prevent a decision; `None` where they let it pass."""
    plan = Plan(subtasks=(Subtask(id="request", goal=gate.task.goal, skill=worker.name),), reasoning=decision.reason)
    left = Allowance() if worker.kind == "function" else None  # a function needs no allowance
    judged = judge_subject(gate, "round", plan, gate.guards, agent=worker, remaining=left)
    gate.write_unchecked(verdicts=[*judged.verdicts])
    stop = judged.ending(otherwise="degraded")
    return None if stop is None else _Attempt([], stop, is_judged=True)


def _try_to_send(gate: GateContext, worker: Agent, decision: RoutingDecision) -> _Attempt:
    stop = _stop_before(gate, worker)
    if stop is not None:
        return _Attempt([], stop)
    sends = gate.allowed([gate.send(worker, context=_background(gate), trusted=decision.trusted)])
    if sends:
        return _Attempt(sends)
    ending: EarlyStop | None = gate.state.get("ending")
    trip = gate.last_trip
    by, reason = (trip.guard, trip.reason) if trip is not None else (None, "it may not be sent")
    return _Attempt([], ending or EarlyStop(status="degraded", stopped_by=by, reason=reason), is_judged=True)


def _stop_before(gate: GateContext, agent: Agent) -> EarlyStop | None:
    """Return what ends a run that would send to `agent`; a function needs no allowance."""
    gate.needs_no_budget = agent.kind == "function"
    if gate.needs_no_budget and gate.pending_stop is not None and gate.pending_stop.stopped_by == "Budget":
        gate.pending_stop = None
    return gate.stop_reason()


def _may_go_on_free(gate: GateContext, fallback: Agent) -> bool:
    """Return whether a run is stopped only since its budget is spent, and the fallback worker needs none."""
    ending: EarlyStop | None = gate.state.get("ending")
    return ending is not None and ending.stopped_by == "Budget" and fallback.kind == "function"


def _read_answer(gate: GateContext, model: Agent, workers: Sequence[str]) -> RoutingDecision | Destination:
    """Return what the model has decided, or where it tries again; a model that fails decides on no worker."""
    last: Result = gate.state["plans"][-1]
    gate.write_unchecked(requests={last.id: None})
    problem = last.error.message if last.error is not None else "it gave no answer"
    if last.has_value:
        try:
            choice = read_choice(last.value, workers)
        except BadInput as error:
            problem = str(error)
        else:
            reason = choice.reason or (f"the model chose {choice.worker!r}" if choice.worker else "no worker fits")
            return RoutingDecision(
                worker=choice.worker,
                rung="model",
                reason=reason,
                confidence=choice.confidence,
                trusted=last.trusted,
            )
    failed = last.model_copy(update={"status": "failed"}) if last.has_value else last
    members = {agent.name: agent for agent in model.fallback_chain}
    again = retry_request(gate, failed, members, reason=problem, on_trip=None)
    if again is not None and _stop_before(gate, again.agent) is None:
        found = retry(gate, [again])
        if found is not None:
            return found
    problem = f"the model {last.agent!r} failed: {problem}"
    return RoutingDecision(rung="model", reason="the model could not decide", problems=(problem,), trusted=last.trusted)


def _to_fallback(decision: RoutingDecision, fallback: Agent) -> RoutingDecision:
    return decision.model_copy(update={"worker": fallback.name, "rung": "fallback"})


def _not_sent(decision: RoutingDecision, stop: EarlyStop) -> RoutingDecision:
    """Return a decision whose worker does not get the request, with the reason."""
    problem = f"{decision.worker!r} was not sent the request: {stop.reason}"
    return _with_problem(decision, problem).model_copy(update={"worker": None})


def _with_problem(decision: RoutingDecision, problem: str) -> RoutingDecision:
    return decision.model_copy(update={"problems": (*decision.problems, problem)})


def _record(gate: GateContext, decision: RoutingDecision) -> None:
    """Write a decision to the state, behind the others of this run, and emit it as an event."""
    decision = decision.model_copy(update={"run_id": gate.position.run_id})
    is_first = not (gate.state.get("plans") or gate.state.get("results"))  # those of an earlier run are dropped
    earlier: list[RoutingDecision] = [] if is_first else gate.state.get("routing") or []
    gate.write(routing=[*earlier, decision])
    gate.services.emit("routed", gate.position, **decision.model_dump(mode="json", exclude_defaults=True))


def _background(gate: GateContext) -> Sequence[ContextItem]:
    """Return all that is shown to an agent beside the task: no worker sees what another one has done."""
    return gate.state.get("context") or ()


def _score_context(decision: RoutingDecision) -> list[ContextItem]:
    if not decision.scores:
        return []
    title = "scores of a classifier that is unsure, by worker"
    return [
        ContextItem(
            kind="background",
            title=title,
            value=dict(decision.scores),
            sender="classifier",
            origin="code",
            trusted=True,
        )
    ]


def _new_gaps(gate: GateContext, before: Sequence[Gap]) -> list[Gap]:
    return [gap for gap in gate.state.get("gaps") or () if gap not in before]


def call_within(work: Callable[[], _T], *, timeout: float | None) -> _T:
    """Call the user's own code in a thread. Raises `TimeoutError` after `timeout` seconds; `None` sets no limit."""
    try:
        return isolation.run_in_thread(work, timeout=timeout)
    except isolation.TimedOut as error:
        raise TimeoutError(f"no answer within {timeout:g} s") from error
