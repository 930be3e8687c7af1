"""A panel answers independently; a vote or a rubric judge decides."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from langgraph.graph import StateGraph

from guardgraph.agents.agent import Agent
from guardgraph.graphs.panel_rules import PanelRules, StakesOf, check_rounds, checked_rules
from guardgraph.graphs.team import Team
from guardgraph.guards import Depth, Guard, Schema
from guardgraph.nodes.decisions.ballots import Key, VotingRule
from guardgraph.nodes.decisions.panel import PanelVote, has_converged, latest_answers, vote_of
from guardgraph.nodes.decisions.rubric import Rubric, read_choice, read_scores
from guardgraph.nodes.decisions.settle import (
    ConsensusState,
    conclude_panel,
    refuse_unreadable,
    review_what_is_back,
    send_candidates,
    settle,
    use_answer,
)
from guardgraph.nodes.gate_context import Destination, GateContext
from guardgraph.runtime.boards.declaration import Board

__all__ = ("consensus",)


def consensus(
    panel: Sequence[Agent],
    *,
    answer: Any = None,
    vote: VotingRule | None = None,
    judge: Agent | None = None,
    rubric: Rubric | None = None,
    synthesize: bool = False,
    quorum: int | None = None,
    tie_breaker: Agent | None = None,
    rounds: int = 1,
    stakes: StakesOf | None = None,
    single: Agent | None = None,
    key: Key | None = None,
    guards: Sequence[Guard] | None = None,
    concurrency: int | None = None,
    board: Board | None = None,
    reviewers: Sequence[Agent] = (),
    name: str = "consensus",
) -> StateGraph[Any, Any, Any, Any]:
    """Return a team as an uncompiled graph: a panel answers, each agent without the others, then one answer wins.

    Panelists answer in one type, `answer`. With `vote` the voting rule decides; where it elects none, or several, the
    `judge` decides among these, then the `tie_breaker`. Without `vote` the judge decides wherever the answers differ:
    it scores anonymous candidates by the `rubric`, and the best weighted total wins; with `synthesize` it writes a new
    value. What remains open is `escalated`, and so are fewer than `quorum` answers (default: more than half of the
    panel). With `rounds` above 1 the panel revises its answers, at most so often, with the anonymous candidates before
    it. Where `stakes` are low, `single` answers alone; if it fails, the panel is asked. `key` makes answers the same
    choice whose keys are equal. `Outcome.confidence` is that of `confidence_of`; `Outcome.dissent` has the answers of
    those who disagree. The channel `decision` records candidates, support and scores. `guards=None` means `Depth()`
    and `Schema()`. `reviewers` give opinions where guards name them. Raises `BadGraph` for what does not fit together.
    """
    rules = checked_rules(
        panel=panel, answer=answer, vote=vote, judge=judge, rubric=rubric, synthesize=synthesize, quorum=quorum,
        tie_breaker=tie_breaker, rounds=rounds, stakes=stakes, single=single, key=key,
    )  # fmt: skip
    check_rounds(rounds, guards or ())
    team = Team(
        name, guards=guards, default_guards=(Depth(), Schema()), entry=partial(_begin, rules=rules), board=board,
        destinations=[*rules.alone, *rules.panel], required=() if rules.alone else rules.panel, reviewers=reviewers,
        concurrency=concurrency, state=ConsensusState,
    )  # fmt: skip
    team.add_agents(rules.panel, gate="handoff")
    route, after = partial(_after_panel, rules=rules), [*(rules.panel if rounds > 1 else ()), *rules.deciding]
    team.add_gate("handoff", review_what_is_back, agents=rules.panel, route=route, destinations=after)
    _add_single(team, rules)
    _add_deciding(team, rules, synthesize=synthesize)
    return team.expect(rounds=rounds).build()


def _add_single(team: Team, rules: PanelRules) -> None:
    """Add the agent that answers alone where the stakes are low, if there is one."""
    if not rules.alone:
        return
    team.add_agents(rules.alone, gate="handoff_single", can_rewrite=True)
    route = partial(_after_single, rules=rules)
    team.add_gate("handoff_single", agents=rules.alone, route=route, destinations=rules.panel)


def _add_deciding(team: Team, rules: PanelRules, *, synthesize: bool) -> None:
    """Add the judge and the tie-breaker, each with a gate from which the next one may be asked."""
    for number, agent in enumerate(rules.deciding, 1):
        is_judge, rest = agent is rules.judge, rules.deciding[number:]
        gate, seen = ("handoff_judge", [rules.rubric.context]) if is_judge else ("handoff_tie", [])
        team.add_agents([agent], gate=gate, context=seen, can_rewrite=is_judge and synthesize)
        route = partial(_after_decision, rules=rules, agent=agent, rest=rest)
        team.add_gate(gate, review_what_is_back, agents=[agent], route=route, destinations=rest)


def _begin(gate: GateContext, *, rules: PanelRules) -> Destination:
    gate.write(decision=None)
    stakes = True if rules.stakes is None else rules.stakes(gate.task)
    if stakes not in (True, False, "low", "normal", "high"):
        return gate.stop("failed", by="stakes", reason=f"`stakes` returned {stakes!r:.40}, not a bool, 'low' or 'high'")
    if rules.single is not None and stakes in (False, "low"):
        return gate.send(rules.single, context=gate.state.get("context") or ())
    return _ask_panel(gate, rules)


def _ask_panel(gate: GateContext, rules: PanelRules) -> Destination:
    """Send the task and its background, and nothing else: a retry repeats this request."""
    return [gate.send(agent, context=gate.state.get("context") or ()) for agent in rules.panel]


def _after_single(gate: GateContext, *, rules: PanelRules) -> Destination:
    answer = next((result for result in reversed(gate.reviewed) if result in gate.accepted), None)
    return _ask_panel(gate, rules) if answer is None else gate.conclude(answer)


def _vote(gate: GateContext, rules: PanelRules) -> PanelVote:
    answers = latest_answers(gate.accepted, rules.panel)
    vote = vote_of(answers, rule=rules.vote, key=rules.key, seed=f"{gate.position.account} {gate.round}")
    if not vote.unreadable:
        return vote
    refuse_unreadable(gate, vote)
    return _vote(gate, rules)  # an answer of an earlier round takes the place of one that cannot be read


def _after_panel(gate: GateContext, *, rules: PanelRules) -> Destination:
    """Go on to the next round, or let the vote, the judge or the tie-breaker decide."""
    vote = _vote(gate, rules)
    earlier = latest_answers([one for one in gate.accepted if one.round < gate.round], rules.panel)
    if conclude_panel(gate, vote, earlier, quorum=rules.quorum, panel_size=len(rules.panel)):
        return gate.conclude()
    if gate.round < rules.rounds and not has_converged(earlier, vote.answers, rule=rules.vote, key=rules.key):
        stop = gate.state.get("ending") or gate.next_round()
        if stop is not None:
            gate.stop_for(stop)
        elif sends := gate.allowed(send_candidates(gate, one, vote, vote.candidates, own=True) for one in rules.panel):
            return sends
    return settle(gate, rules.panel, vote, vote.contested, rules.deciding)


def _after_decision(gate: GateContext, *, rules: PanelRules, agent: Agent, rest: Sequence[Agent]) -> Destination:
    """Use the answer of the judge or the tie-breaker; where it is of no use, the next one decides."""
    read = partial(read_scores, rubric=rules.rubric) if agent is rules.judge else read_choice
    return use_answer(gate, rules.panel, _vote(gate, rules), agent, read, rest)
