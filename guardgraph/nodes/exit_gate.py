"""The exit gate: it judges what becomes the value, and writes the outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.graph import END
from langgraph.types import Command, Send

from guardgraph.agents.agent import Agent
from guardgraph.agents.results import gap_of
from guardgraph.nodes.decisions.review import ReviewDecision, review, unreviewed_results
from guardgraph.nodes.decisions.reviewers import ask_reviewers
from guardgraph.nodes.early_stop import too_few_steps, too_many_visits
from guardgraph.nodes.gate_context import GateContext
from guardgraph.nodes.judging import allowed_sends, emit_last_alerts
from guardgraph.nodes.messages import final_update
from guardgraph.nodes.outcome import collected_value, outcome_of, with_limits_named, written_value
from guardgraph.nodes.scope import attempts_of
from guardgraph.nodes.team_spec import EXIT, TeamSpec
from guardgraph.runtime.execution_context import execution_context, forget_run
from guardgraph.state import BadInput, EarlyStop, Gap, Result

__all__ = ("exit_gate",)


def exit_gate(team: TeamSpec) -> Callable[..., Any]:
    """Return the node `guard_exit` of a team, in which every run ends.

    The guards of `exit` judge the draft, by the opinions of reviewers where they need some: it is the value, is written
    again with the reason, or is dropped. Where there is none, they judge the accepted results, which are the value
    then. Where the run was stopped, each of the agents that the team expects and that has not worked is a gap. Raises
    `BadInput` for an input that was not admitted, since it does not fit.
    """

    def guard_exit(state: Mapping[str, Any], config: RunnableConfig) -> Command[Any]:
        if state.get("unfit"):
            raise BadInput(state["unfit"])
        gate = GateContext(team, EXIT, state, config)
        gate.write_unchecked(visits={EXIT: 1})
        if team.before_exit is not None:
            team.before_exit(gate)
        again = _judged(gate)
        if again:
            return gate.command(again)
        gate.write_unchecked(gaps=[*_unreviewed(gate), *_unreached(gate)])
        emit_last_alerts(gate)
        took = int((gate.now - gate.position.started).total_seconds() * 1_000_000)
        outcome = outcome_of(gate.state, gate.spent.model_copy(update={"microseconds": max(took, 0)}))
        outcome = with_limits_named(outcome, gate.guards)
        gate.services.emit("run_finished", gate.position, status=outcome.status, gaps=len(outcome.gaps))
        current = execution_context(config)
        if current is not None and current.integrity is not None and not outcome.trusted:
            current.integrity.lower()  # the code that has called this team receives its value
        if gate.position.account == gate.position.run_id:  # the outermost team: the run has ended
            forget_run(gate.position.run_id)
        gate.write_unchecked(**final_update(gate.state, outcome, gate.position))
        return gate.command(END)

    return guard_exit


def _judged(gate: GateContext) -> list[Send]:
    """Judge what becomes the value, unless that was done before.

    Return what makes reviewers give the opinions that are needed for it, or an agent write the draft again.
    """
    draft: Result | None = gate.state.get("draft")
    if written_value(gate.state) is None and draft is not None and gate.request_of(draft) is None:
        draft = None  # a failed attempt, which cannot be repeated without its request
    if draft is not None and draft.id in (gate.state.get("passed") or ()):
        return []
    sent = [] if draft is None else _opinions_on(gate, draft) or _judged_draft(gate, draft)
    if sent or written_value(gate.state) is not None:
        return sent
    team = gate.position.path[-1] if gate.position.path else "team"
    collected = collected_value(gate.state, team)
    if collected is not None and any("exit" in guard.gates for guard in gate.guards):
        sent = _opinions_on(gate, collected)
        if not sent:
            _note(gate, review(gate, [collected], at="exit", agents={}))
    return sent


def _opinions_on(gate: GateContext, value: Result) -> list[Send]:
    """Return what makes reviewers judge what becomes the value; the visit of the gate is not counted then.

    A run that is cancelled does nothing any more: nothing is approved in it.
    """
    ending: EarlyStop | None = gate.state.get("ending")
    if ending is not None and ending.status == "cancelled":
        return []
    sent = ask_reviewers(gate, [value], at="exit")
    if sent:
        gate.write_unchecked(visits={EXIT: -1})
    return sent


def _judged_draft(gate: GateContext, draft: Result) -> list[Send]:
    ended: EarlyStop | None = gate.state.get("ending")
    may_rewrite = ended is None or ended.status == "degraded"
    agents = {name: gate.team.agents[name] for name in gate.team.drafters} if may_rewrite else {}
    decision = review(gate, [draft], at="exit", agents=agents)
    gate.write_unchecked(requests={draft.id: None})
    _note(gate, decision)
    for again in decision.retries:
        steps = gate.team.steps_to_end(again.agent.name)
        stop = too_few_steps(gate.state, steps) or too_many_visits(gate.state, gate.guards, EXIT)
        if stop is not None:
            gate.write_unchecked(gaps=[*again.gaps], ending=stop)
            break
        gate.needs_no_budget = again.agent.kind == "function"
        sends = allowed_sends(gate, [gate.send_request(again.agent, again.request)], gaps=[again.gaps])
        if sends:
            gate.write_unchecked(draft=None)
            return sends[:1]
    return []


def _note(gate: GateContext, decision: ReviewDecision) -> None:
    gate.write_unchecked(
        verdicts=decision.verdicts,
        passed=[result.id for result in decision.accepted],
        refused=[result.id for result in decision.refused],
        gaps=decision.gaps,
    )
    earlier: EarlyStop | None = gate.state.get("ending")
    if decision.ending is not None and (earlier is None or earlier.status != "cancelled"):  # a cancelled run stays so
        gate.write_unchecked(ending=decision.ending)


def _unreviewed(gate: GateContext) -> list[Gap]:
    """Return a gap for each result that no gate has reviewed: it is unknown whether it may be used."""
    known = _own_gaps(gate)
    results = unreviewed_results(gate.state)
    return [gap_of(one, reason="no gate has reviewed it") for one in results if one.role not in known]


def _unreached(gate: GateContext) -> list[Gap]:
    """Return a gap for each required agent that has not worked, since the run was stopped before.

    In a later round those are due that are required behind the first one that has worked in it.
    """
    ending: EarlyStop | None = gate.state.get("ending")
    if ending is None:
        return []
    attempts, required = attempts_of(gate.state), gate.team.required
    known = _own_gaps(gate) | {result.agent for result in attempts}
    missing = [agent.name for agent in required if known.isdisjoint(_names(agent))]
    if gate.round > 1:
        now = {result.agent for result in attempts if result.round == gate.round}
        first = next(
            (place for place, agent in enumerate(required) if not now.isdisjoint(_names(agent))), len(required)
        )
        known = now | {gap.subtask for gap in gate.gaps if not gap.path}
        missing += [a.name for a in required[first:] if known.isdisjoint(_names(a)) and a.name not in missing]
    reason = f"not reached, since the run was stopped: {ending.reason}"
    return [Gap(subtask=name, agent=name, reason=reason, guard=ending.stopped_by, round=gate.round) for name in missing]


def _names(agent: Agent) -> set[str]:
    return {member.name for member in agent.fallback_chain}


def _own_gaps(gate: GateContext) -> set[str]:
    return {gap.subtask for gap in gate.state.get("gaps") or () if not gap.path}
