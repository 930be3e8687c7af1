"""The way out: what the team has to tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.types import Command

from guardgraph.guards import Guard
from guardgraph.nodes.agent import Agent
from guardgraph.nodes.attempt import gap_of
from guardgraph.nodes.messages import final_update
from guardgraph.nodes.pieces import accepted_of, titles_of
from guardgraph.nodes.review import Review, review
from guardgraph.nodes.scene import Scene, applied, scene_of
from guardgraph.nodes.services import forget_run
from guardgraph.nodes.ways import too_few_steps, too_many_visits
from guardgraph.state import BadInput, Ending, Gap, Outcome, OutcomeStatus, PatternError, Result, Usage

__all__ = ("conclude", "exit_gate", "open_gaps", "outcome_of")

_COLLECTED = "conclude/results"
"""The id under which the accepted results are judged as the value."""
_REWRITING = 3
"""Supersteps of one more draft: the author, `guard_exit` and `conclude`."""


def exit_gate(guards: Sequence[Guard], *, author: Agent) -> Callable[..., Any]:
    """Return the node `guard_exit`: the draft goes out, is written again with the reason, or is dropped."""
    agents = {agent.name: agent for agent in author.line}

    def guard_exit(state: Mapping[str, Any], config: RunnableConfig) -> Any:
        draft: Result | None = state.get("draft")
        if draft is None:
            return Command(goto="conclude")
        scene = scene_of(state, config)
        found = review(scene, guards, agents, [draft], gate="exit")
        reached = replace(scene, state=applied(state, {"visits": {scene.gate: 1}}))
        update: dict[str, Any] = {
            "verdicts": found.verdicts,
            "passed": [result.id for result in found.accepted],
            "refused": [result.id for result in found.refused],
            "requests": {draft.id: None},
            "visits": {scene.gate: 1},
        }
        for again in found.again:
            stop = too_few_steps(scene, _REWRITING) or too_many_visits(reached, guards)
            if stop is None:
                return Command(update={**update, "draft": None}, goto=[again.send(state)])
            return Command(update={**update, "gaps": [*again.gaps], "ending": stop}, goto="conclude")
        return Command(update={**update, **_ended(found)}, goto="conclude")

    return guard_exit


def conclude(guards: Sequence[Guard], *, expected: Sequence[Agent] = ()) -> Callable[..., Any]:
    """Return the node `conclude`, which tells the outcome of the run.

    What no guard of `exit` has judged yet is judged here: whatever becomes the value. Where the run was stopped, each
    of the agents `expected` that has not worked is a gap. Raises `BadInput` for an input that was not admitted, since
    it does not fit.
    """

    def concluding(state: Mapping[str, Any], config: RunnableConfig) -> dict[str, Any]:
        if state.get("unfit"):
            raise BadInput(state["unfit"])
        scene = scene_of(state, config)
        update = _judged(scene, guards)
        unreached = _unreached(applied(state, update), expected)
        if unreached:
            update["gaps"] = [*update.get("gaps", ()), *unreached]
        took = int((scene.now - scene.position.started).total_seconds() * 1_000_000)
        usage = scene.spent.model_copy(update={"microseconds": max(took, 0)})
        outcome = outcome_of(applied(state, update), usage)
        scene.services.tell("run_finished", scene.position, status=outcome.status, gaps=len(outcome.gaps))
        if scene.position.account == scene.position.run_id:  # the outermost team: the run has ended
            forget_run(scene.position.run_id)
        return {**update, **final_update(state, outcome, scene.position)}

    return concluding


def _unreached(state: Mapping[str, Any], expected: Sequence[Agent]) -> list[Gap]:
    """Return a gap for each agent that has not worked, since the run was stopped before."""
    ending: Ending | None = state.get("ending")
    if ending is None:
        return []
    known = {result.agent for result in state.get("results") or ()} | {gap.subtask for gap in state.get("gaps") or ()}
    missing = [agent.name for agent in expected if known.isdisjoint(member.name for member in agent.line)]
    reason = f"not reached, since the run was stopped: {ending.reason}"
    return [Gap(subtask=name, agent=name, reason=reason, guard=ending.stopped_by) for name in missing]


def _judged(scene: Scene, guards: Sequence[Guard]) -> dict[str, Any]:
    """Return what the guards of `exit` say of that which becomes the value, as far as they were not asked yet."""
    update: dict[str, Any] = {}
    if not any("exit" in guard.gates for guard in guards):
        return update
    for draft in (_written(scene.state), _collected(scene)):
        if draft is None:
            continue
        if draft.id in (scene.state.get("passed") or ()):
            return update
        found = review(scene, guards, {}, [draft], gate="exit")
        more = {
            "verdicts": found.verdicts,
            "refused": [result.id for result in found.refused],
            **_ended(found, scene.state.get("ending")),
        }
        update = {key: [*update.get(key, ()), *new] if isinstance(new, list) else new for key, new in more.items()}
        if found.accepted:
            return update
    return update


def _ended(found: Review, before: Ending | None = None) -> dict[str, Any]:
    """Return what is missing, and what ends the run; one that its caller has cancelled stays so."""
    stays = found.ending is None or (before is not None and before.status == "cancelled")
    return {"gaps": found.gaps, **({} if stays else {"ending": found.ending})}


def _written(state: Mapping[str, Any]) -> Result | None:
    """Return the draft that becomes the value, if there is one that was not refused."""
    draft: Result | None = state.get("draft")
    if draft is not None and not isinstance(cast("object", draft), Result):
        what = f"the channel 'draft' holds {draft!r:.80}, which is no `Result`; `agent_node(writes=…)` writes one"
        raise PatternError(what, node="conclude")
    return draft if draft is not None and draft.has_value and draft.id not in (state.get("refused") or ()) else None


def _collected(scene: Scene) -> Result | None:
    """Return the accepted results as one: they are the value of a team that has written none."""
    accepted = accepted_of(scene.state)
    if not accepted:
        return None
    return Result(
        id=_COLLECTED,
        agent=scene.position.path[-1] if scene.position.path else "team",
        subtask="result",
        value=_results(accepted),
        evidence=_evidence(None, accepted),
        confidence=_confidence(accepted),
        round=scene.state.get("round") or 1,
    )


def outcome_of(state: Mapping[str, Any], usage: Usage) -> Outcome:
    """Return the best there is, what is missing, and what stopped it."""
    draft, written = state.get("draft"), _written(state)
    accepted: list[Result] = [] if _COLLECTED in (state.get("refused") or ()) else accepted_of(state)
    ending: Ending | None = state.get("ending")
    gaps = _all_gaps(state)
    own = {gap.agent for gap in gaps if not gap.path}
    if draft is not None and draft.status != "ok" and draft.agent not in own:
        gaps.extend(gap for gap in draft.gaps or [gap_of(draft)] if gap not in gaps)
    if draft is None and ending is None and not accepted and not gaps:
        gaps.append(_nothing(state.get("plans") or ()))
    missing = bool(gaps) or ending is not None or (bool(accepted) and written is None and draft is not None)
    status: OutcomeStatus = "completed" if not missing else "degraded"
    if ending is not None and ending.status != "degraded":
        status = ending.status
    elif missing and written is None and not accepted:
        status = "failed"
    stopped_by, reason = _stop(ending, gaps)
    return Outcome(
        status=status,
        value=_results(accepted) if written is None else written.value,
        evidence=_evidence(written, accepted),
        confidence=_confidence(accepted if written is None else [written]),
        gaps=tuple(gaps),
        stopped_by=stopped_by,
        reason=reason,
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


def _confidence(results: Sequence[Result]) -> float | None:
    return min((result.confidence for result in results if result.confidence is not None), default=None)


def _all_gaps(state: Mapping[str, Any]) -> list[Gap]:
    """Return what is missing, and a gap for every subtask of which nothing else tells."""
    planned, gaps, closed = titles_of(state), open_gaps(state), _closed(state)
    told = {gap.owner for gap in gaps} | {result.subtask for result in accepted_of(state)} | closed
    ending: Ending | None = state.get("ending")
    reason = f"not done, since the run was stopped: {ending.reason}" if ending is not None else "nobody has done it"
    by = ending.stopped_by if ending is not None else None
    return [*gaps, *(Gap(subtask=id_, reason=reason, guard=by) for id_ in planned if id_ not in told)]


def open_gaps(state: Mapping[str, Any]) -> list[Gap]:
    """Return what is missing so far.

    A gap is closed by an accepted and whole result of its subtask, or of a later one that replaces it. Where an agent
    has worked on the task itself, its gap is closed by such a result of a later round.
    """
    closed = _closed(state)
    whole = [result for result in accepted_of(state) if result.status == "ok" and result.subtask is None]
    later = {result.agent: result.round for result in whole}
    return [
        gap
        for gap in state.get("gaps") or ()
        if gap.owner not in closed and (gap.path or gap.subtask != gap.agent or later.get(gap.subtask, 0) <= gap.round)
    ]


def _closed(state: Mapping[str, Any]) -> set[str]:
    """Return the ids of the subtasks that are done, and of all that these replace, however far back."""
    planned, closed = titles_of(state), set[str]()
    coming = [r.subtask for r in accepted_of(state) if r.status == "ok" and r.subtask in planned]
    while coming:
        id_ = coming.pop()
        if id_ not in closed:
            closed.add(id_)
            coming.extend(planned[id_].replaces if id_ in planned else ())
    return closed


def _stop(ending: Ending | None, gaps: Sequence[Gap]) -> tuple[str | None, str]:
    """Return the guard that ended the run, or stopped the first of what is missing, and why."""
    if ending is not None:
        return ending.stopped_by, ending.reason
    first = next((gap for gap in gaps if gap.guard), None)
    return (None, "") if first is None else (first.guard, first.reason)
