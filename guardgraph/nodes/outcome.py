"""The outcome of a run: the best there is, what is missing, and what stopped it. Pure: no clock, no ledger."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from guardgraph.agents.results import gap_of
from guardgraph.guards import Budget, Guard, Limits, leaves
from guardgraph.nodes.accepted import accepted_of, closed_subtasks, open_gaps, subtasks_by_id
from guardgraph.state import EarlyStop, Evidence, Gap, Outcome, OutcomeStatus, PatternError, Result, Usage

__all__ = ("collected_value", "outcome_of", "with_limits_named", "written_value")

_COLLECTED = "conclude/results"
"""The id under which the accepted results are judged as the value."""
_NO_CALLS = re.compile(r"\bno calls left(?! of )|\b\d+ calls (wanted, \d+ left(?! of )|left, \d+ needed)")
"""The text of a `ReservationDenied`, a `Budget` or a gate where an account of the tree has too few calls left."""


def written_value(state: Mapping[str, Any]) -> Result | None:
    """Return the draft that becomes the value, if there is one that was not refused."""
    draft: Result | None = state.get("draft")
    if draft is not None and not isinstance(cast("object", draft), Result):
        what = f"the channel 'draft' holds {draft!r:.80}, which is no `Result`; `agent_node(writes=…)` writes one"
        raise PatternError(what, node="guard_exit")
    return draft if draft is not None and draft.has_value and draft.id not in (state.get("refused") or ()) else None


def collected_value(state: Mapping[str, Any], team: str) -> Result | None:
    """Return the accepted results as one: they are the value of a team that has written none."""
    accepted = _answers(state)
    if not accepted:
        return None
    return Result(
        id=_COLLECTED,
        agent=team,
        subtask="result",
        value=_collected(accepted),
        evidence=_evidence(accepted),
        confidence=_confidence(accepted),
        round=state.get("round") or 1,
        trusted=all(result.trusted for result in accepted),
    )


def outcome_of(state: Mapping[str, Any], usage: Usage) -> Outcome:
    """Return the outcome of a run: the best value there is, what is missing, and what stopped the run."""
    draft, written = state.get("draft"), written_value(state)
    accepted: list[Result] = [] if _COLLECTED in (state.get("refused") or ()) else _answers(state)
    ending: EarlyStop | None = state.get("ending")
    gaps = _all_gaps(state)
    own = {gap.agent for gap in gaps if not gap.path}
    if draft is not None and draft.status != "ok" and draft.agent not in own:
        gaps.extend(gap for gap in draft.gaps or [gap_of(draft)] if gap not in gaps)
    is_early = ending is not None and ending.status != "completed"
    if draft is None and not is_early and not accepted and not gaps:
        gaps.append(_no_answer(state.get("plans") or ()))
    is_unwritten = draft is not None and written is None and bool(accepted)
    status: OutcomeStatus = "degraded" if gaps or is_early or is_unwritten else "completed"
    if ending is not None and ending.status not in ("completed", "degraded"):
        status = ending.status
    elif status == "degraded" and written is None and not accepted:
        status = "failed"
    first = next((gap for gap in gaps if gap.guard and not gap.is_external), None)
    stop = ending or EarlyStop(status=status, stopped_by=first and first.guard, reason=first.reason if first else "")
    return Outcome(
        status=status,
        value=_collected(accepted) if written is None else written.value,
        evidence=(written and written.evidence) or _evidence(accepted),
        confidence=_confidence(accepted if written is None else [written]),
        reasoning="" if written is None else written.reasoning,
        gaps=tuple(gaps),
        stopped_by=stop.stopped_by,
        reason=stop.reason,
        dissent=tuple(one for result in (accepted if written is None else [written]) for one in result.dissent),
        trusted=written.trusted if written is not None else bool(accepted) and all(one.trusted for one in accepted),
        usage=usage,
    )


def with_limits_named(outcome: Outcome, guards: Iterable[Guard]) -> Outcome:
    """Return an outcome in which a stop for want of calls has the name of `Limits`, where that caps them most.

    An account knows its caps, and not which guard has set them: what it refuses is named `Budget` first.
    """
    own = leaves(guards)
    most = min((one.calls for one in own if isinstance(one, Limits) and one.calls is not None), default=None)
    budgets = (one for one in own if isinstance(one, Budget) and (one.per, one.window) == ("run", None))
    if most is None or any(one.calls is not None and one.calls <= most for one in budgets):
        return outcome
    gaps = (
        gap.model_copy(update={"guard": "Limits"}) if not gap.path and _lacked_calls(gap.guard, gap.reason) else gap
        for gap in outcome.gaps
    )
    by = "Limits" if _lacked_calls(outcome.stopped_by, outcome.reason) else outcome.stopped_by
    return outcome.model_copy(update={"gaps": tuple(gaps), "stopped_by": by})


def _lacked_calls(guard: str | None, reason: str) -> bool:
    """Return whether an account of the tree had no calls left: its reasons name no account, those of others do."""
    return guard == "Budget" and _NO_CALLS.search(reason) is not None


def _answers(state: Mapping[str, Any]) -> list[Result]:
    return [result for result in accepted_of(state) if result.is_answer]


def _no_answer(plans: Sequence[Result]) -> Gap:
    if not plans:
        return Gap(subtask="result", reason="no agent has answered")
    return Gap(subtask="plan", agent=plans[-1].agent, reason="the plan is empty, so no worker has worked")


def _collected(accepted: Sequence[Result]) -> Any:
    """Return accepted results as the value of a team that has not written its own; `None` if there are none.

    An agent that has worked on the task in several rounds has replaced its earlier answers.
    """
    last = {result.role: result.round for result in accepted}
    current = (result for result in accepted if result.subtask is not None or result.round == last[result.role])
    return [{"subtask": r.subtask, "agent": r.agent, "value": r.value} for r in current] or None


def _evidence(accepted: Sequence[Result]) -> tuple[Evidence, ...]:
    return tuple(dict.fromkeys(evidence for result in accepted for evidence in result.evidence))


def _confidence(results: Sequence[Result]) -> float | None:
    return min((result.confidence for result in results if result.confidence is not None), default=None)


def _all_gaps(state: Mapping[str, Any]) -> list[Gap]:
    """Return what is missing, with a gap for every subtask that has neither a gap nor an accepted result."""
    planned, gaps = subtasks_by_id(state), open_gaps(state)
    known = {gap.owner for gap in gaps} | {result.subtask for result in accepted_of(state)} | closed_subtasks(state)
    ending: EarlyStop | None = state.get("ending")
    reason = f"not done, since the run was stopped: {ending.reason}" if ending is not None else "not done"
    by = ending.stopped_by if ending is not None else None
    return [*gaps, *(Gap(subtask=id_, reason=reason, guard=by) for id_ in planned if id_ not in known)]
