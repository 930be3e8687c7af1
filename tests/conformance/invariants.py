"""What must hold of every run of a random team."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from guardgraph.state import Gap, Outcome, Result, Subtask
from tests.conformance.random_peers import lost_events, lost_messages
from tests.conformance.random_teams import CALL, Planned, RandomTeam

__all__ = ("broken_promises",)

_State = Mapping[str, Any]


def broken_promises(team: RandomTeam, states: Iterable[_State]) -> list[str]:
    """Return what does not hold of a run, given the last state of each of its teams."""
    found: list[str] = []
    states = list(states)
    late = {result.agent for state in states for result in state.get("results") or () if result.status == "timeout"}
    for state in states:
        position, outcome = state.get("position"), state.get("outcome")
        if outcome is None and position is not None and late.intersection(position.path):
            continue  # it was left behind while it concluded: what called it has a gap
        if position is None or outcome is None:
            found.append(f"lost: the team {position.path if position else '?'} has no outcome")
            continue
        name = "/".join(position.path)
        mine = [one for one in team.planned if one.account == position.account and not _was_late(state, one)]
        found.extend(f"lost: {name}: {what}" for what in _lost(state, mine))
        if outcome.status == "completed" and outcome.gaps:
            found.append(f"untrue: {name} is completed with gaps {outcome.gaps!r:.300}")
        found.extend(_unapproved(team, name, position, state))
        found.extend(_overspent(team, name, position, outcome))
        found.extend(f"{what} ({name})" for what in lost_messages(state))
        found.extend(f"{what} ({name})" for what in lost_events(state, team.subscribers.get(position.path[-1], {})))
    return found


def _was_late(state: _State, planned: Planned) -> bool:
    """Return whether a plan came after its planner was given up: the plan is a gap then."""
    attempts: list[Result] = [one for one in state.get("plans") or () if one.round == planned.round]
    return any(one.attempt == planned.attempt and one.status == "timeout" for one in attempts)


def _unapproved(team: RandomTeam, name: str, position: Any, state: _State) -> list[str]:
    """Nothing is accepted that a reviewer has not approved, where a guard of the team asks for it."""
    if position.path[-1] not in team.reviewed:
        return []
    accepted = set(state.get("accepted") or ())
    results: list[Result] = [one for one in state.get("results") or () if one.id in accepted]
    given = [one.id.rsplit("/", 2)[0] if one.subtask == "proposal" else one.id for one in results]  # by a message
    return [f"untrue: {name}: {one} is accepted without approval" for one in given if one not in team.approved]


def _overspent(team: RandomTeam, name: str, position: Any, outcome: Outcome) -> list[str]:
    """A team may spend one call more than its budget, where the cost of its agents is known."""
    limit = position.allowance.tokens
    if limit is not None and outcome.usage.tokens > limit + CALL:
        return [f"overspent: {name} spent {outcome.usage.tokens} of {limit} tokens"]
    return []


def _lost(state: _State, planned: Sequence[Planned]) -> list[str]:
    """Return what was planned and is neither an accepted result nor a gap, nor replaced by what is."""
    last = {one.round: one for one in planned}  # a plan that was given back is replaced by the next attempt
    known: dict[int, Subtask] = {subtask.priority: subtask for subtask in state.get("subtasks") or ()}
    told = {gap.subtask for gap in state["outcome"].gaps if not gap.path}
    lost: list[str] = []
    for one in last.values():
        for subtask in one.plan.subtasks:
            carried = known.get(subtask.priority)
            if carried is None:
                if not any(id_ == subtask.id or id_.startswith(f"{subtask.id}~") for id_ in told):
                    lost.append(f"{subtask.id!r} of round {one.round}, whose plan was not carried out")
            elif not _is_covered(carried, state, list(known.values())):
                lost.append(f"{carried.id!r} of round {one.round}: {_attempts(state, carried)}")
    return [*lost, *_lost_within(state, list(known.values()))]


def _attempts(state: _State, subtask: Subtask) -> list[str]:
    results: list[Result] = [one for one in state.get("results") or () if one.subtask == subtask.id]
    return [f"{one.id} {one.status}{' accepted' if one.id in state['accepted'] else ''}" for one in results]


def _is_covered(subtask: Subtask, state: _State, known: Sequence[Subtask]) -> bool:
    accepted = _accepted(state, subtask)
    gaps: tuple[Gap, ...] = state["outcome"].gaps
    if any(gap.subtask == subtask.id and not gap.path for gap in gaps):
        return True
    if any(result.status == "ok" for result in accepted):
        return True
    if accepted and any(gap.path and gap.path[0].endswith(f":{subtask.id}") for gap in gaps):
        return True  # partial: what is missing within it is told
    later = known[known.index(subtask) + 1 :]
    return any(_replaces(other, subtask) and _is_covered(other, state, known) for other in later)


def _answers_later(state: _State, result: Result) -> bool:
    """Return whether an agent that works on the task itself has answered anew in a later round."""
    accepted = [one for one in state.get("results") or () if one.id in (state.get("accepted") or ())]
    return any((one.role, one.subtask) == (result.role, None) and one.round > result.round for one in accepted)


def _replaces(other: Subtask, subtask: Subtask) -> bool:
    named: tuple[str, ...] = getattr(other, "replaces", ())
    return subtask.id in named or _work(other) == _work(subtask)


def _work(subtask: Subtask) -> tuple[Any, ...]:
    return " ".join(subtask.goal.casefold().split()), subtask.skill, subtask.inputs


def _accepted(state: _State, subtask: Subtask) -> list[Result]:
    accepted = set(state.get("accepted") or ())
    return [one for one in state.get("results") or () if one.subtask == subtask.id and one.id in accepted]


def _lost_within(state: _State, known: Sequence[Subtask]) -> list[str]:
    """Return gaps of nested teams that do not come up, though their partial value was accepted."""
    gaps = set(state["outcome"].gaps)
    by_id = {subtask.id: subtask for subtask in known}
    lost: list[str] = []
    for result in state.get("results") or ():
        if result.id not in (state.get("accepted") or ()) or result.status == "ok" or set(result.gaps) <= gaps:
            continue
        subtask = by_id.get(result.subtask or "")
        later = known[known.index(subtask) + 1 :] if subtask else []
        is_replaced = any(_replaces(other, subtask) for other in later) if subtask else _answers_later(state, result)
        if not is_replaced:
            lost.append(f"gaps within {result.id} do not come up: {sorted(map(str, set(result.gaps) - gaps))!r:.300}")
    return lost
