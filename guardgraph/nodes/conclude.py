"""The way out: what the team has to tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.types import Command

from guardgraph.guards import Guard
from guardgraph.nodes.agent import Agent
from guardgraph.nodes.assign import send
from guardgraph.nodes.attempt import gap_of
from guardgraph.nodes.pieces import accepted_of, titles_of
from guardgraph.nodes.review import review
from guardgraph.nodes.scene import applied, scene_of
from guardgraph.nodes.services import forget_run
from guardgraph.state import Ending, Gap, Outcome, OutcomeStatus, Result, Usage

__all__ = ("conclude", "exit_gate", "outcome_of")


def exit_gate(guards: Sequence[Guard], *, author: Agent, stop: str = "conclude") -> Callable[..., Any]:
    """Return the node `guard_exit`: the draft goes out, is written again with the reason, or is dropped."""
    agents = {agent.name: agent for agent in author.line}

    def guard_exit(state: Mapping[str, Any], config: RunnableConfig) -> Any:
        draft: Result | None = state.get("draft")
        if draft is None:
            return Command(goto=stop)
        scene = scene_of(state, config)
        found = review(scene, guards, agents, [draft], gate="exit")
        update: dict[str, Any] = {"verdicts": found.verdicts, "refused": [result.id for result in found.refused]}
        for again in found.again:
            update["draft"] = None
            after = applied(state, update)
            return Command(
                update=update, goto=[send(again.agent, after, attempt=draft.attempt + 1, feedback=again.reason)]
            )
        if found.refused:
            update["gaps"] = found.gaps
            update["draft"] = draft.model_copy(update={"status": "failed"})
        if found.ending is not None:
            update["ending"] = found.ending
        return Command(update=update, goto=stop)

    return guard_exit


def conclude(state: Mapping[str, Any], config: RunnableConfig) -> dict[str, Any]:
    """Tell the outcome of the run."""
    scene = scene_of(state, config)
    took = int((scene.now - scene.position.started).total_seconds() * 1_000_000)
    outcome = outcome_of(state, scene.spent.model_copy(update={"microseconds": max(took, 0)}))
    scene.services.tell("run_finished", scene.position, status=outcome.status, gaps=len(outcome.gaps))
    if scene.position.account == scene.position.run_id:  # the outermost team: the run has ended
        forget_run(scene.position.run_id)
    return {"outcome": outcome}


def outcome_of(state: Mapping[str, Any], usage: Usage) -> Outcome:
    """Return the best there is, what is missing, and what stopped it."""
    draft: Result | None = state.get("draft")
    accepted, ending = accepted_of(state), state.get("ending")
    gaps = _open_gaps(state, accepted)
    written = draft is not None and draft.has_value
    if draft is not None and draft.status != "ok" and not any(gap.agent == draft.agent for gap in gaps):
        gaps.extend(draft.gaps or [gap_of(draft)])
    if draft is None and ending is None and not accepted and not gaps:
        gaps.append(_nothing(state.get("plans") or ()))
    value: Any = draft.value if draft is not None and written else _results(accepted)
    sure = [r.confidence for r in ([draft] if draft and written else accepted) if r.confidence is not None]
    missing = bool(gaps) or ending is not None or (bool(accepted) and not written and state.get("draft") is not None)
    status: OutcomeStatus = "completed" if not missing else "degraded"
    if ending is not None and ending.status != "degraded":
        status = ending.status
    elif missing and not written and not accepted:
        status = "failed"
    return Outcome(
        status=status,
        value=value,
        evidence=_evidence(draft if written else None, accepted),
        confidence=min(sure) if sure else None,
        gaps=tuple(gaps),
        stopped_by=ending.stopped_by if ending else _stopper(gaps),
        usage=usage,
    )


def _nothing(plans: Sequence[Result]) -> Gap:
    """Return the gap of a run in which nobody has answered anything."""
    if not plans:
        return Gap(subtask="result", reason="nobody has answered")
    return Gap(subtask="plan", agent=plans[-1].agent, reason="the plan is empty, so nobody has worked")


def _results(accepted: Sequence[Result]) -> Any:
    """Return accepted results as the value of a team that could not write its own; `None` if there are none."""
    return [{"subtask": r.subtask, "agent": r.agent, "value": r.value} for r in accepted] or None


def _evidence(draft: Result | None, accepted: Sequence[Result]) -> tuple[Any, ...]:
    if draft is not None and draft.evidence:
        return draft.evidence
    return tuple(dict.fromkeys(evidence for result in accepted for evidence in result.evidence))


def _open_gaps(state: Mapping[str, Any], accepted: Sequence[Result]) -> list[Gap]:
    """Return the gaps that no accepted result has closed in a later round, and all that an early end left undone."""
    goals = titles_of(state)
    gaps: list[Gap] = list(state.get("gaps") or ())
    ending: Ending | None = state.get("ending")
    if ending is not None:
        told = {gap.subtask for gap in gaps if not gap.path} | {result.subtask for result in accepted}
        reason = f"not done, since the run was stopped: {ending.reason}"
        gaps.extend(Gap(subtask=id_, reason=reason, guard=ending.stopped_by) for id_ in goals if id_ not in told)
    closed = {_same(goals[r.subtask].goal) for r in accepted if r.subtask in goals and r.status == "ok"}
    return [gap for gap in gaps if gap.path or gap.subtask not in goals or _same(goals[gap.subtask].goal) not in closed]


def _same(goal: str) -> str:
    return " ".join(goal.casefold().split())


def _stopper(gaps: Sequence[Gap]) -> str | None:
    """Return the guard that stopped the first of what is missing; `None` where no guard stopped anything."""
    return next((gap.guard for gap in gaps if gap.guard), None)
